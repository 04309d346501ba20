"""The nodes of a buildx builder, each a BuildKit of its own: which one builds an image, and what one that dies costs.

buildx itself gives every build for a platform to the first node that has it, whatever that one is doing
(docker/buildx#429, #1081), and fails with the node. So each build is shown one node alone, by BUILDX_CONFIG: a folder
with the user's own entry of the builder (`instances/<name>`, store/nodegroup.go of buildx) less its other nodes.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from multiarch_oci.dockerfile.instructions import Run
from multiarch_oci.document import Document, InvalidDocument, canonical, remembered
from multiarch_oci.engine.external.calling import EngineFailed, Programs
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.platform import InvalidPlatform, Platform

_BLOCK = re.compile(r"\bName: (\S+) Endpoint: ")
_STATUS = re.compile(r"\bStatus: (\S+)")
_PLATFORMS = re.compile(r"\bPlatforms: ([^\s,]+(?:, [^\s,]+)*)")
_ERROR = re.compile(r"\bError: (.*?)(?= Platforms:| Name:|$)")
_CUT = re.compile(
    r"^ERROR: (?:failed to build: )?"
    r"(?:failed to receive status|listing workers|(?:failed to solve: )?(?:rpc error: code = )?Unavailable\b)"
)
"""The last line of buildx when it lost its BuildKit; of a RUN that fails it says `failed to solve: process`."""
_TURN_S = 0.2
ANSWER_S = 40
"""How long `buildx inspect` is waited for: it gives a node that is silent 20 s."""
_LIMIT = 16 << 20  # bytes of a builder's entry, with the files of a buildkitd's own settings in it
_REMOTE, _RUNNING = "remote", "running"
_SILENT, _CUT_OFF = "no BuildKit answers there", "the connection was cut"
_ALSO = {"amd64": "386", "arm64": "arm"}
"""What the processors of an architecture execute, too, where the worker lists it."""


class Block(msgspec.Struct, frozen=True):
    """What `buildx inspect` says of a node, or of one pod of it. `error` is empty where there is none."""

    name: str
    status: str
    error: str
    platforms: tuple[str, ...]

    def failing(self, driver: str) -> str:
        """Why no build can run there; empty where one can. Other drivers than `remote` start what does not run."""
        return self.error or (_SILENT if driver == _REMOTE and self.status != _RUNNING else "")


def blocks(text: str) -> tuple[Block, ...]:
    """The nodes in what `buildx inspect` printed, white space made single blanks; in its order."""
    starts = [*_BLOCK.finditer(text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    known: list[Block] = []
    for start, end in zip(starts, ends, strict=False):
        part = text[start.start() : end]
        status, error, platforms = _STATUS.search(part), _ERROR.search(part), _PLATFORMS.search(part)
        words = platforms[1].replace("*", "").split(", ") if platforms is not None else []
        known.append(Block(start[1], status[1] if status else "", error[1].strip() if error else "", tuple(words)))
    return tuple(known)


class Node(msgspec.Struct, frozen=True):
    """A node. `platforms` are those that its worker runs, its own first; none: not known before it is started.

    `meant` are those that the user said it is for (`buildx create --platform`). `pods` are its replicas.
    """

    name: str
    entry: Mapping[str, object]
    platforms: tuple[Platform, ...] = ()
    meant: tuple[Platform, ...] = ()
    pods: int = 1

    def distance(self, platform: Platform) -> int:
        """How far this machine is from one of the platform.

        0: it is one; 1: the user says so; 2: it emulates; 3: it is meant for others; 4: it does not list it.
        """
        listed = [known for known in self.platforms if platform.matches(known)]
        own = self.platforms[0].architecture if self.platforms else ""
        native = any(known.architecture in (own, _ALSO.get(own)) for known in listed)
        is_meant = any(platform.matches(known) for known in self.meant)
        if is_meant or not self.meant:
            return 0 if native else 1 if is_meant else 2 if listed or not self.platforms else 4
        return 3 if listed else 4


class Nodes:
    """The nodes of one builder for the length of a build; any thread. Each takes `room` images at once."""

    def __init__(self, nodes: Sequence[Node], room: int, lost: Mapping[str, str] | None = None) -> None:
        self._nodes = nodes
        self._room = room
        self._changed = threading.Condition()
        self._running = dict.fromkeys((node.name for node in nodes), 0)
        self._lost = dict(lost or {})

    @property
    def lost(self) -> Mapping[str, str]:
        """The nodes that get no image, and why."""
        return dict(self._lost)

    @property
    def room(self) -> int:
        """How many images all nodes take at once."""
        return sum(node.pods * self._room for node in self._nodes)

    @contextmanager
    def taken(self, platforms: Iterable[Platform]) -> Iterator[Node]:
        """A node for an image whose RUNs are of these platforms: of the nearest the least busy, once it has room.

        Raises EngineFailed where no node is left.
        """
        platforms = tuple(platforms)
        with self._changed:
            while (node := self._free(platforms)) is None:
                self._changed.wait(_TURN_S)
            self._running[node.name] += 1
        try:
            yield node
        finally:
            with self._changed:
                self._running[node.name] -= 1
                self._changed.notify_all()

    def lose(self, node: str, why: str) -> None:
        """Give a node no image any more."""
        with self._changed:
            self._lost.setdefault(node, why)
            self._changed.notify_all()

    def _free(self, platforms: Sequence[Platform]) -> Node | None:
        """The node to take now; None: wait."""
        alive = [node for node in self._nodes if node.name not in self._lost]
        if not alive:
            reasons = "; ".join(f"{name}: {why}" for name, why in self._lost.items())
            raise EngineFailed(f"no node of buildx's builder is left ({reasons})", hint="see 'docker buildx ls'")
        distances = {node.name: sorted(map(node.distance, platforms), reverse=True) for node in alive}
        nearest = min(distances.values())
        free = [
            node
            for node in alive
            if distances[node.name] == nearest and self._running[node.name] < node.pods * self._room
        ]
        return min(free, key=lambda node: self._running[node.name] / node.pods, default=None)


class NodeGroup:
    """A builder of several nodes, asked and started by `command`, which is buildx."""

    def __init__(self, command: Sequence[str], name: str, driver: str, programs: Programs) -> None:
        self.name = name
        self._command = command
        self._driver = driver
        self._programs = programs
        self.nodes = Nodes((), 0)

    def look(self, room: int) -> bool:
        """Ask for the nodes, each to take `room` images; False where what buildx keeps of them is not read."""
        entries = self._entries()
        with tempfile.TemporaryDirectory(prefix="multiarch-", ignore_cleanup_errors=True) as folder:
            inspected = self._look(Path(folder), entries)
        nodes, lost = [], {}
        for name, entry in entries.items():
            own = [block for block in inspected if block.name == name]
            listed = _platforms(Platform.parse, (text for block in own for text in block.platforms))
            objects = (document.members for document in Document(entry, name).objects("Platforms"))
            nodes.append(Node(name, entry, listed, _platforms(Platform.from_json, objects), max(1, len(own))))
            failures = [block.failing(self._driver) for block in own] or [_SILENT]
            if all(failures):
                lost[name] = failures[0]
        self.nodes = Nodes(nodes, room, lost)
        return bool(nodes)

    def build(self, node: Node, arguments: Sequence[str], folder: Path, *, where: str, doing: str) -> None:
        """Run `buildx build` with these arguments on one node; `folder` is for this build alone, and private.

        Raises NodeDied where it was the node that failed, else EngineFailed.
        """
        last = ""

        def tell(line: str) -> None:
            nonlocal last
            last = line if line.startswith("ERROR: ") else last
            self._programs.tell(line)

        config = self._shown(folder, {node.name: node.entry})
        command = [*self._command, "build", "--builder", self.name, *arguments]
        try:
            Programs(self._programs.environment, tell).run(command, where=where, doing=doing, more=config)
        except EngineFailed as error:
            why = self._death(node, last, folder)
            if why is None:
                raise
            raise NodeDied(error.what, where=where, hint=error.hint, node=node.name, why=why) from None

    def _death(self, node: Node, last: str, folder: Path) -> str | None:
        """Why a node, and not what it was given, is what failed; None: it is not."""
        inspected = self._look(folder, {node.name: node.entry})
        if not any(block.status == _RUNNING for block in inspected):
            return _SILENT
        return _CUT_OFF if _CUT.search(last) else None

    def _look(self, folder: Path, entries: Mapping[str, Mapping[str, object]]) -> tuple[Block, ...]:
        """What buildx says of nodes; without what the user said they are for, so their own platform comes first."""
        command = [*self._command, "inspect", self.name]
        return blocks(self._programs.ask(command, self._shown(folder, entries), seconds=ANSWER_S)[1])

    def _shown(self, folder: Path, entries: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
        """Variables with which buildx knows these nodes of the builder alone."""
        path = folder / "buildx" / "instances" / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        nodes = [{**entry, "Platforms": None} for entry in entries.values()]
        path.write_bytes(canonical({"Name": self.name, "Driver": self._driver, "Nodes": nodes, "Dynamic": False}))
        return {"BUILDX_CONFIG": str(folder / "buildx")}

    def _entries(self) -> dict[str, Mapping[str, object]]:
        """What buildx keeps of the nodes, by name."""
        environment = self._programs.environment
        home = environment.get("HOME") or environment.get("USERPROFILE") or ""
        docker = environment.get("DOCKER_CONFIG") or Path(home, ".docker")
        path = Path(environment.get("BUILDX_CONFIG") or Path(docker, "buildx"), "instances", self.name)
        try:
            document = Document.of(remembered(path, _LIMIT), where=str(path))
            return {entry.required("Name"): entry.members for entry in document.objects("Nodes")}
        except InvalidDocument:
            return {}


class NodeDied(EngineFailed):
    """A build that failed since its node did."""

    def __init__(self, what: str, *, where: str | None, hint: str | None, node: str, why: str) -> None:
        super().__init__(what, where=where, hint=hint)
        self.node = node
        self.why = why

    @property
    def is_gone(self) -> bool:
        """Whether the node does not answer; else it was started again, or the connection alone was cut."""
        return self.why == _SILENT


def _platforms(read: Callable[[Any], Platform], values: Iterable[object]) -> tuple[Platform, ...]:
    """Platforms as buildx writes them; what is none is left out."""
    known: list[Platform] = []
    for value in values:
        with suppress(InvalidPlatform):
            known.append(read(value))
    return tuple(known)


def run_platforms(settled: Settled) -> tuple[Platform, ...]:
    """The platforms whose programs an image's RUNs start, that of a stage each; of one without RUN its own."""
    recipe = settled.recipe
    run = {
        recipe.stages[number].platform
        for number in recipe.needed
        if any(isinstance(command, Run) for command in recipe.commands(number))
    }
    return tuple(sorted(run or {settled.plan.platform}))
