"""Random edits on three machines that share one cache in a registry; each makes what a build without any cache makes.

Machines are killed or interrupted in the middle, or begin anew with nothing; the registry loses entries and blobs, or
damages them, is down, answers with errors, mounts nothing or deletes nothing; some builds have another scope; and
somebody without the key puts entries of right digests under right tags.
Run by hand: python tests/soak/shared.py --seed 1 --steps 300
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

import conftest
from faults import FaultProxy
from machines.places import Folder, Remote
from machines.project import Run, steps_of
from machines.registry import Registry, registry_program
from machines.small import Tree
from machines.suppliers import Keys
from multiarch_oci.store.archive import Archive
from soak import edits, ending
from soak.hands import Hands
from soak.sources import Sources
from soak.world import Base, Wrong, check_whole

WORDS = (("manifest",), ("push-manifest",), ("bin", "manifest"), ("push-manifest", "release"), ("bin", "images"))
CLEAN = ("bin", "images", "release", "push-manifest")
FOLDERS = {name: f"{name}/" for name in ("bin", "images", "release", "manifest")} | {"push-manifest": "manifest/"}
MODES, SCOPES = ("read", "readwrite", "readwrite", "readwrite", "write"), ("", "", "pulls")
EVENTS = {
    "none": 2,
    "anew": 1,
    "kill": 4,
    "lose": 2,
    "poison": 1,
    "two": 1,
    "down": 1,
    "odd": 1,
    "faults": 1,
    "prune": 1,
}
"""What happens in a step besides edits, and how often."""
ATTEST = ("", "", "sbom", "provenance", "sbom,provenance")
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 500},
    {"status": 403},
    {"status": 404},
    {"cut_answer": -1},
    {"cut_answer": 10},
    {"cut_request": 0},
    {"corrupt": True},
)
KINDS = ("GET manifest", "GET manifest", "GET blob", "GET blob", "HEAD blob", "POST", "PUT blob", "PUT manifest")
OWN = {"_output", ".multiarch", "site_scons", "images.lock"}


class Machine:
    """A clone with a HOME, caches of Go and a `.multiarch` of its own; a `warm` one has the packages that it needs compiled."""

    def __init__(self, folder: Path) -> None:
        self.warm, self.folder, self.tree = True, folder, Tree(folder / "clone", folder / "go.log")

    def forget(self, random: Random) -> None:
        """Begin anew with nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.warm = random.random() < 0.9  # else it compiles the standard library

    def pull(self, origin: Path) -> None:
        """Bring the sources to the state of `origin`."""
        self.tree.path.mkdir(parents=True, exist_ok=True)
        for name in {entry.name for entry in self.tree.path.iterdir()} - OWN:
            self.tree.remove(name)
        known = OWN & {entry.name for entry in self.tree.path.iterdir()}
        ignored = shutil.ignore_patterns("_output", ".multiarch", *known)
        shutil.copytree(origin, self.tree.path, symlinks=True, ignore=ignored, dirs_exist_ok=True)

    def start(self, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start SCons in a process group of its own; what it prints goes to a file, as a killed one leaves others."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        places = {"HOME": "", "USERPROFILE": "", "GOPATH": "go", "GOMODCACHE": "go/pkg/mod"}
        places |= {} if self.warm else {"GOCACHE": "go-build"}
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "site_scons/scons_multiarch/__main__.py", "./sconsw", *words],  # as ./sconsw does
                cwd=self.tree.path,
                env=os.environ | environment | {name: str(home / path) for name, path in places.items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, process: subprocess.Popen[bytes], seconds: float = 600) -> Run:
        """Wait for the end. Raises TimeoutExpired."""
        status, text = process.wait(seconds), self.output()
        return Run(steps_of(text), status, text)

    def output(self) -> str:
        """What the last process printed."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Clean:
    """What a build without any cache does and makes, by path, and its tags."""

    run: Run
    outputs: dict[str, str]
    tags: dict[str, str]
    attached: set[str]

    @classmethod
    def made(cls, tree: Tree, sources: Sources) -> Clean:
        """Build in a copy, and take it away."""
        try:
            run = tree.scons(*CLEAN, *sources.arguments(), env=sources.env, check=False, timeout=600)
            place = Folder(tree.path)
            return cls(run, outputs(tree), place.tags(), place.attached())
        finally:
            shutil.rmtree(tree.path)


@dataclass(frozen=True)
class Build:
    """A build that was started, and where it pushes to."""

    machine: Machine
    words: list[str]
    targets: tuple[str, ...]
    place: Remote
    process: subprocess.Popen[bytes]
    is_first: bool  # of a machine that had nothing
    began: float


class SharedRun(edits.EditRun):
    """Three machines; `counts` says what was done, and how often an entry was taken or refused."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.counts: Counter[str] = Counter()
        self.keys = Keys.make(folder)
        self.machines = [Machine(folder / f"machine{number}") for number in (1, 2, 3)]
        self.registries: list[Registry] = []
        self.spans = ending.Spans()
        self.clean: Clean | None = None
        try:
            for name in ("shared", "other"):
                self.registries.append(Registry(registry_program(conftest.CACHE, "debian"), folder / name))
            self.sources = Sources(self.tree, (Base(self.registries[1]).name,)).plant()
        except BaseException:
            self.stop()
            raise
        self.hands = Hands(self.registries[0])
        self.proxy = FaultProxy(self.registries[0].host)
        self.proxy.listen()

    def stop(self) -> None:
        """End the registries."""
        if hasattr(self, "proxy"):
            self.proxy.__exit__()
        for registry in self.registries:
            registry.stop()

    def step(self, number: int) -> None:
        """Edit up to three things, do something to cache or machines, build on one or two of them, compare each."""
        random = Random(self.random.getrandbits(64))  # noqa: S311  # one step draws no more than its own numbers
        self.proxy.forget()
        self.edit(number, random, random.choice((0, 0, 0, 1, 1, 2)))
        one, other = random.sample(self.machines, 2)
        event = random.choices(list(EVENTS), list(EVENTS.values()))[0]
        self.counts[event] += 1
        self.log.append(f"{number}. {event}, machine {self.machines.index(one) + 1}")
        scope = random.choice(SCOPES)
        if event == "anew" or (event in ("lose", "down", "faults", "prune") and random.random() < 0.6):
            self.share(one, other, scope, random)
        if event == "kill":
            for _ in range(random.choice((1, 1, 2))):
                self.kill(number, one, scope, random)
        elif event == "lose":
            self.log.append(f"   {self.hands.lose(random)}")
        elif event == "poison":
            self.poison(one, other, scope, random)
        elif event == "down":
            self.proxy.refuse()
        elif event in ("odd", "faults", "prune"):
            self.trouble(event, one, scope, random)
        machines = (one, other) if event == "two" else (one,)
        for build in [self.begin(machine, random.choice(WORDS), scope, random) for machine in machines]:
            self.check(build, again=random.random() < 0.3)
        if event == "down":
            self.proxy.listen()
        self.log.append(f"   so far {dict(self.counts)}")

    def edit(self, number: int, random: Random, times: int) -> None:
        """Change something in the sources so many times, or what is attested."""
        for _ in range(times):
            if random.random() < 0.1:
                self.sources.settings["ATTEST"] = random.choice(ATTEST)
                self.log.append(f"{number}. ATTEST={self.sources.settings['ATTEST']}")
            else:
                self.log.append(f"{number}. {self.sources.edit(random)}")
            self.clean = None

    def trouble(self, event: str, machine: Machine, scope: str, random: Random) -> None:
        """Let the registry mount nothing or delete nothing, or answer as on a bad day; or let somebody prune it."""
        if event == "faults":
            for _ in range(random.randint(1, 4)):
                kind, fault = random.choice(KINDS), random.choice(FAULTS)
                after, times = random.choice((0, 0, 1, 3)), random.choice((1, 2, 20))
                self.proxy.order(kind, **fault, after=after, times=times)
                self.log.append(f"   {kind} {fault}, {times} after {after}")
            return
        if event == "odd" or random.random() < 0.3:
            self.proxy.order("DELETE manifest", status=405, times=9999)
            self.proxy.order("mount", status=random.choice((404, 405)), times=9999)
        if event == "prune" and (machine.tree.path / "SConstruct").exists():
            words = ["cache", "prune", f"OLDER={random.choice((0, 1))}d", f"CACHE={self.proxy.host}/cache"]
            run = machine.end(machine.start([*words, f"CACHE_SCOPE={scope}"], {}))
            self.log.append(f"   {run.text.strip().splitlines()[-1:]}")
            if run.status not in (0, 1) or "Traceback" in run.text or run.steps:
                self.differ("prune fails", run)

    def share(self, one: Machine, other: Machine, scope: str, random: Random) -> None:
        """Let one machine write all entries, and another that has nothing make what needs no bytes of them."""
        if random.random() < 0.7:
            other.forget(random)
        self.check(self.begin(other, CLEAN, scope, random, mode="readwrite"), again=False)
        one.forget(random)
        self.check(self.begin(one, ("manifest",), scope, random, mode="read"), again=False)

    def poison(self, one: Machine, other: Machine, scope: str, random: Random) -> None:
        """Let a machine write all entries, somebody without the key change them, and one with nothing read them."""
        other.forget(random)
        self.check(self.begin(other, CLEAN, scope, random, mode="readwrite"), again=False)
        changed = self.hands.poison(random)
        self.log.append(f"   poisoned: {dict(changed)}")
        one.forget(random)
        build = self.begin(one, ("bin", *random.choice(WORDS)), scope, random, mode=random.choice(MODES[:2]))
        here = self.check(build, again=False)
        believed = re.findall(r"(?m)^Compile .*: from cache", here.text)
        if not here.status and not changed["refused by the registry"] and (believed or "is left out" not in here.text):
            self.differ(f"believed: {believed}", here)

    def kill(self, number: int, machine: Machine, scope: str, random: Random) -> None:
        """Begin a build, and end it in the middle."""
        if random.random() < 0.7 or self.sources.broken:
            machine.forget(random)
        else:
            self.edit(number, random, 3)  # so that there is something to do
        targets, way = random.choice((*WORDS, CLEAN)), random.choice(ending.WAYS)
        moment = self.spans.moment(targets, random)
        build = self.begin(machine, targets, scope, random, mode="readwrite")
        alive = ending.end(build.process, self.proxy, moment, way)
        self.counts[f"{way} alive" if alive else "ended before"] += 1
        self.log.append(f"   {way} after {moment[0]:.2f} s or {moment[1]} requests, {'alive' if alive else 'ended'}")
        try:
            run = machine.end(build.process, 30)
        except subprocess.TimeoutExpired:
            self.differ(f"is not ended by {way}", Run([], 0, machine.output()))
        # Python had not come to us yet, or ends already, where the second of two signals has its first meaning again.
        is_over = way.endswith("twice") and run.text.endswith("Build interrupted.\n") and "Traceback" not in run.text
        is_python = run.status == -signal.SIGINT and ("scons" not in run.text or is_over)
        if not is_python and (
            "Traceback" in run.text or (alive and "KILL" not in way and run.status not in (0, 2, -signal.SIGTERM))
        ):
            self.differ(f"ended by {way}: exit {run.status}", run)

    def begin(self, machine: Machine, targets: tuple[str, ...], scope: str, random: Random, *, mode: str = "") -> Build:
        """Start a build of the sources as they are now, with the cache."""
        machine.pull(self.tree.path)
        given, mode = mode, mode or random.choice(MODES)
        is_whole = self.proxy._listener is not None and not self.is_faulty()
        place = Remote(random.choice(self.registries if is_whole else self.registries[1:]), f"step{len(self.log)}/demo")
        if place.registry is self.registries[0]:
            place.name = self.proxy.host
        shared = {
            "CACHE": f"{self.proxy.host}/cache",
            "CACHE_MODE": mode,
            "CACHE_KEY": str(self.keys.public if mode == "read" else self.keys.private),
            "CACHE_SCOPE": scope,
            "REGISTRY": f"{place.name}/step{len(self.log)}",
        }
        if random.random() < 0.1 and not given:
            del shared["CACHE"]  # what lies here may lie in it alone
        words = [*targets, *self.sources.arguments(), *(f"{name}={value}" for name, value in shared.items())]
        self.log.append(f"   machine {self.machines.index(machine) + 1}: scons {' '.join(words)}")
        is_first = not (machine.tree.path / "_output").exists()
        process, began = machine.start(words, self.sources.env), time.monotonic()
        return Build(machine, words, targets, place, process, is_first, began)

    def is_faulty(self) -> bool:
        """Whether a push through the proxy may fail, rightly."""
        return any(fault.kind not in ("mount", "DELETE manifest") for fault in self.proxy._faults)

    def check(self, build: Build, *, again: bool) -> Run:
        """Wait for a build, compare it with the clean one and return it; `again`: the run after it does nothing."""
        before = len(self.proxy.seen)
        here = build.machine.end(build.process)
        if build.is_first and not here.status:
            self.spans.note(build.targets, time.monotonic() - build.began, len(self.proxy.seen) - before)
        if self.clean is None:
            self.clean = Clean.made(self.tree.copy(self.folder / "clean", built=False), self.sources)
        there = self.clean.run
        self.counts["taken"] += here.text.count(": from cache")
        self.counts["refused"] += here.text.count("is left out")
        if here.status != there.status or (there.status != 0) != self.sources.broken or "Traceback" in here.text:
            self.differ(f"exit {here.status} with the cache, {there.status} without", here, there)
        if there.status:
            return here
        folders = [FOLDERS[target] for target in build.targets]
        if "push-manifest" in build.targets and self.sources.settings.get("ATTEST"):
            folders += ["sbom/", "provenance/"]
        mine = outputs(build.machine.tree)
        wrong = [
            path
            for path, digest in self.clean.outputs.items()
            if path.startswith(tuple(folders)) and mine.get(path) != digest
        ]
        if wrong:
            self.differ(f"not as without a cache: {', '.join(wrong)}", here, there)
        if "push-manifest" in build.words:
            self.check_pushed(build, here)
        if again:
            after = build.machine.end(build.machine.start(build.words, self.sources.env))
            if after.steps or after.status:
                self.differ("the run after is no no-op", here, after)
        return here

    def check_pushed(self, build: Build, here: Run) -> None:
        """Compare all tags with those of the clean build, and read every byte below them."""
        assert self.clean is not None
        wanted, attached = self.clean.tags, build.place.attached()
        held = {tag: digest for tag, digest in build.place.tags().items() if not tag.startswith("sha256-")}
        if (held, attached) != (wanted, self.clean.attached):
            self.differ(f"pushed {held} {attached}, without a cache {wanted} {self.clean.attached}", here)
        main = self.tree.read("VERSION").strip()
        try:
            check_whole(build.place, main, wanted[main], self.sources.platforms())
        except (Wrong, OSError) as error:
            self.differ(f"what was pushed is not whole: {error}", here)


def outputs(tree: Tree) -> dict[str, str]:
    """The digests of what a tree made.

    Of an image that of its manifest, as its tarball may lack the layers; of an archive, too, as it names the registry:
    it is read as a whole.
    """
    made = tree.digests()
    for path in made:
        if path.endswith(".tar"):
            archive = Archive(tree.path / "_output" / path)
            made[path] = str(archive.roots[0].digest)
            for layer in archive.image().layers if path.startswith("release/") else ():
                with archive.open(layer) as stream:
                    shutil.copyfileobj(stream, io.BytesIO())  # raises for other bytes
    return made


if __name__ == "__main__":
    sys.exit(edits.main(SharedRun))
