"""What one run of SCons holds: caches, the lock, connections, what was observed, what was done. Not a Tool.

One `Run` stands in the environment as `MULTIARCH_RUN` and is shared by its clones; there is no other state.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch.document import InvalidDocument, readable
from multiarch.engine.glance import Glances
from multiarch.errors import MultiarchError
from multiarch.plan import Policy
from multiarch.reference import Destination, Reference
from multiarch.statcache import StatCache
from multiarch.treelock import TreeLock
from multiarch.why import Facts

if TYPE_CHECKING:
    from multiarch.baselock import BaseLock
    from multiarch.descriptor import Descriptor
    from multiarch.digest import Digest
    from multiarch.golang import GoBuild, Lister, Toolchain
    from multiarch.platform import Platform
    from multiarch.store import Source, Store
    from multiarch.store.http import Transport

PRIVATE = ".multiarch"
"""The folder, below the tree's root, of everything that is remembered between runs and is no output."""


HIDDEN = (
    PRIVATE,
    "images.lock",
    *(f"_output/{folder}" for folder in ("images", "release", "receipts", "manifest", "registry")),
)
"""What the build makes of images: an image that copies everything does not copy these."""
CACHE_BYTES = 20 << 30
"""How large the cache of base blobs, which all trees of a user share, may grow."""


class Run:
    """The state of one run; `environment` is the process's, read here once and passed down."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self.environment = environment
        self.stat = StatCache(root / PRIVATE / "stat.json")
        self.lock = TreeLock(root / PRIVATE / "lock")
        self.policy = Policy()
        self.insecure: tuple[str, ...] = ()
        self.report_file: Path | None = None
        self.locked = False
        self.epoch = 0
        self.hidden = HIDDEN
        self.bases: BaseLock | None = None
        self.resolved: dict[tuple[Reference, Platform], Digest] = {}  # bases that are not in images.lock yet
        self.programs: list[GoBuild] = []
        self.loading = threading.Lock()  # one archive at a time: an engine unpacks them one after the other anyway
        self.guard = threading.RLock()
        self.cancelled = threading.Event()
        self._made: dict[str, Any] = {}
        self._reports: list[dict[str, str]] = []
        self._observed: dict[Reference, Descriptor | MultiarchError | None] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Make something at its first use and keep it for the run."""
        with self.guard:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

    def watch_interrupts(self) -> None:
        """Set `cancelled` at Ctrl-C and its like, so that a long transfer stops; SCons itself waits for running steps.

        SCons installs its own signal handlers later; the interpreter's wake-up socket is told of a signal whoever
        handles it. Call in the main thread.
        """
        heard, wakeup = socket.socketpair()
        wakeup.settimeout(0)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

        def listen() -> None:
            while heard.recv(1):
                self.cancelled.set()

        self._made["wakeup"] = wakeup  # kept open as long as the run
        threading.Thread(target=listen, daemon=True, name="interrupts").start()

    def finish(self) -> None:
        """Keep what the next run can use; called once, when the run ends."""
        self.stat.save()
        lister: Lister | None = self._made.get("lister")
        if lister is not None:
            lister.save()
        glances: Glances | None = self._made.get("glances")
        if glances is not None:
            glances.save()
        if self.report_file is not None:
            self.report_file.write_bytes(readable({"steps": self._reports}))
        self.lock.release()

    # What a target was made from, so that the next making can be explained.

    def _facts_file(self, target: str) -> Path:
        return self.root / PRIVATE / "facts" / f"{Path(target).as_posix().lstrip('/')}.json"

    def remember(self, target: str, facts: Facts, because: str | None) -> None:
        """Keep the facts of a target that has just been made, and why it was."""
        from oci_steps import write

        write(self._facts_file(target), facts.to_json())
        write(self._facts_file(target).with_suffix(".why"), f"{because or 'not built before'}\n".encode())

    def last_reason(self, target: str) -> str | None:
        """Why a target was made when it was made last; None when that is not known."""
        try:
            return self._facts_file(target).with_suffix(".why").read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def recall(self, target: str) -> Facts | None:
        """The facts of a target's last making; None when there was none."""
        path = self._facts_file(target)
        try:
            return Facts.from_json(path.read_bytes(), where=str(path))
        except (OSError, InvalidDocument):
            return None

    def report(self, verb: str, target: Any) -> None:
        """Note a step that was performed, for REPORT."""
        line = {"step": verb, "subject": str(target.attributes.subject), "target": Path(str(target)).as_posix()}
        digest = getattr(target.attributes, "digest", None)
        with self.guard:
            self._reports.append(line | ({"digest": str(digest)} if digest else {}))

    # Places

    def transport(self) -> Transport:
        """The connections of this run."""
        return self.once("transport", self._transport)

    def _transport(self) -> Transport:
        from multiarch.store.auth import Credentials
        from multiarch.store.http import Settings, Transport
        from multiarch.store.http.hosts import LOOPBACK

        settings = Settings(
            insecure=(*LOOPBACK, *self.insecure), environment=self.environment, sessions=self.root / PRIVATE / "uploads"
        )
        home = Path(self.environment.get("HOME") or self.environment.get("USERPROFILE") or self.root)
        return Transport(settings, Credentials(self.environment, home), self.cancelled)

    def store(self, reference: Reference, folder: str | None = None) -> Store:
        """The place that a reference names: a registry's repository, or the OCI layout in `folder`."""
        if folder is not None:
            from multiarch.store.layout import Layout

            return Layout(self.root / folder, reference=reference.bare)
        from multiarch.store.registry import Registry

        return Registry(self.transport(), reference)

    def source(self, reference: Reference) -> Source:
        """A registry's repository to read from, blobs kept in the cache that all trees of this user share."""
        from multiarch.store.cache import Cache, Cached

        home = self.environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        cache = self.once("cache", lambda: Cache(Path(home) / "multiarch" / "blobs", CACHE_BYTES))
        return Cached(self.store(reference), cache)

    def glances(self) -> Glances:
        """What Dockerfiles took in earlier runs."""
        return self.once("glances", lambda: Glances(self.root / PRIVATE / "glances.json"))

    # Observations

    def prefetch(self, wanted: Iterable[tuple[Reference, str | None]]) -> None:
        """Ask all places for their tags at once; answers are kept for the run."""
        with self.guard:
            new = dict(pair for pair in wanted if pair[0] not in self._observed)
            remote = [reference for reference, folder in new.items() if folder is None]
            if remote:
                from multiarch.store.registry import resolve_all

                self._observed.update(resolve_all(self.transport(), remote))
            for reference, folder in new.items():
                if folder is not None:
                    self._observed[reference] = self.store(reference, folder).resolve(_name(reference))

    def observed(self, reference: Reference, folder: str | None) -> Digest | None:
        """What a tag holds now; None = nothing. Raises what the place raised when it was asked."""
        self.prefetch([(reference, folder)])
        found = self._observed[reference]
        if isinstance(found, MultiarchError):
            raise found
        return None if found is None else found.digest

    def forget(self, reference: Reference) -> None:
        """Drop an observation: a step has just changed the tag."""
        with self.guard:
            self._observed.pop(reference, None)

    # Go

    def toolchain(self) -> Toolchain:
        """The Go of this run: from PATH when it is new enough for the tree, else the one that ./sconsw installed."""
        return self.once("go", self._toolchain)

    def _toolchain(self) -> Toolchain:
        from multiarch.golang import find_go, minimum_version

        path = self.environment.get("PATH", os.defpath)
        return find_go(
            path,
            (self.root / PRIVATE / "venv",),
            minimum_version(self.root),
            directory=self.root,
            environment=self.environment,
            cache=self.root / PRIVATE / "goroot.json",
        )

    def lister(self) -> Lister:
        """What says what Go programs are made of; all programs declared so far are known to it."""
        return self.once("lister", self._lister)

    def _lister(self) -> Lister:
        from multiarch.golang import Lister

        skip = (self.root / "_output", self.root / PRIVATE)
        lister = Lister(self.toolchain(), self.environment, self.root / PRIVATE / "go", self.stat, skip=skip)
        lister.declare(*self.programs)
        return lister


def _name(reference: Reference) -> str:
    return str(reference.digest) if reference.digest is not None else reference.tag or "latest"


def place(text: str) -> tuple[Reference, str | None]:
    """What `host/repository:tag` or `folder/repository:tag` names: its reference, and the layout's folder if it is one.

    Raises InvalidReference.
    """
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        name, tag = text, ""
    if Destination.parse(name, where=None).registry is not None:
        return Reference.parse(text), None
    folder, _, image = name.rpartition("/")
    destination = Destination.parse(folder or ".", where=None)
    return destination.reference(image, tag or None), destination.layout(image)
