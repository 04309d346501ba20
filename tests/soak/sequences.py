"""One random sequence: edits, builds, faults, kills, foreign hands; then one undisturbed run, and the judgement."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from machines.places import Folder, Remote
from machines.project import steps_of
from soak.world import (
    Place,
    World,
    Wrong,
    blobs_below,
    change_place,
    check_as_from_clean,
    damage,
    order_faults,
    python,
)

TARGETS = (
    ("push-manifest",),
    ("push-manifest",),
    ("push-manifest",),
    ("push",),
    ("images",),
    ("manifest",),
    ("release",),
)
LONGEST_S = 180


@dataclass(frozen=True)
class Build:
    """A build that runs, and the file that it prints to."""

    process: subprocess.Popen[bytes]
    output: Path

    def stop(self, after: float, number: int, *, group: bool) -> bool:
        """Send a signal so many seconds from now; False when it has ended before."""
        try:
            self.process.wait(after)
        except subprocess.TimeoutExpired:
            (os.killpg if group else os.kill)(self.process.pid, number)
            return True
        return False


@dataclass
class Sequence:
    """A tree of its own, an empty registry, and a seed that decides everything but the timing of others."""

    world: World
    seed: int
    log: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311  # a seed that replays is the point
        planted, folder = self.world.planted, self.world.folder / f"sequence{self.seed}"
        tree = planted.tree.copy(folder / "tree")
        # As planted, nothing shared: what a sequence changes is its own.
        self.sources = replace(
            planted, tree=tree, settings={}, env={}, added=[], recipes={a: list(r) for a, r in planted.recipes.items()}
        )
        self.world.registry.empty()
        self.world.proxy.forget()
        self.push_to(Folder(tree.path) if self.random.random() < 0.2 else Remote(self.world.registry))

    def push_to(self, place: Place) -> None:
        """Choose the registry; a real one is behind the proxy."""
        self.place = place
        self.where = f"REGISTRY={Folder.name if isinstance(place, Folder) else self.world.proxy.host}"

    def run(self) -> None:
        """Do it all; raises Wrong, or whatever else shows a mistake."""
        self.counts["sequences"] += 1
        for _ in range(self.random.randint(4, 9)):
            # A step draws from numbers of its own, so that what a race decides does not change the steps after.
            random = Random(self.random.getrandbits(64))  # noqa: S311
            step = random.choices(STEPS, [weight for _, weight in WEIGHTED])[0]
            self.counts["steps"] += 1
            self.counts[step.__name__] += 1
            self.note(f"{step.__name__}:")
            step(self, random)
        self.judge()

    def judge(self) -> None:
        """One undisturbed run of push-manifest, a second that does nothing, and a clean build to compare with."""
        self.world.proxy.take_back()
        self.note(self.sources.mend())
        self.undisturbed("push-manifest")
        steps = steps_of(self.undisturbed("push-manifest"))
        if steps:
            raise Wrong(f"the run after the last one is no no-op: {steps}")
        tree = self.sources.tree
        clean = tree.copy(tree.path.parent / "clean", built=False)
        clean.scons("push-manifest", *self.sources.arguments(), env=self.sources.env)
        check_as_from_clean(tree, clean, self.place, self.sources.platforms())

    def discard(self) -> None:
        """Take the tree away."""
        shutil.rmtree(self.sources.tree.path.parent, ignore_errors=True)

    # What steps are made of

    def note(self, line: str) -> None:
        self.log.append(line)

    def edit(self, random: Random) -> None:
        for _ in range(random.choice((1, 1, 2, 3))):
            self.note(f"  {self.sources.edit(random)}")

    def start(self, *words: str) -> Build:
        """Start a build in a process group of its own, as a shell does."""
        command = [*python(), *words, self.where, *self.sources.arguments()]
        self.note(f"  scons {' '.join(command[3:])} {self.sources.env}")
        self.counts["builds"] += 1
        # Into a file: what a killed build leaves running would hold a pipe open, and here it must be free to go on.
        output = self.sources.tree.path.parent / f"output{self.counts['builds']}"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=self.sources.tree.path,
                env=os.environ | self.sources.env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Build(process, output)

    def end(self, build: Build, *statuses: int, interrupted: bool = False) -> str:
        """Wait for the end; raises Wrong when it hangs, shows a traceback, or ends with another status.

        An interrupted one may end with any, and show one of Python's own: SCons may not have been up yet.
        """
        try:
            status = build.process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(build.process.pid, signal.SIGKILL)
            build.process.wait()
            status = None
        text = build.output.read_text(encoding="utf-8", errors="replace")
        self.note(f"  exit {status}\n{text}")
        if status is None or (not interrupted and ("Traceback" in text or status not in statuses)):
            raise Wrong("it hangs" if status is None else f"exit {status}")
        return text

    def undisturbed(self, *words: str) -> str:
        """Build with nobody in the way: right, or an error when the sources are broken."""
        return self.end(self.start(*words), 2 if self.sources.broken else 0)


def edit(s: Sequence, random: Random) -> None:
    s.edit(random)


def build(s: Sequence, random: Random) -> None:
    s.edit(random)
    s.undisturbed(*random.choice(TARGETS))


def fault(s: Sequence, random: Random) -> None:
    s.edit(random)
    s.note(f"  {order_faults(s.world.proxy, random)}")
    s.end(s.start("push-manifest"), 0, 2)
    s.world.proxy.take_back()
    time.sleep(0.5)  # a proxy that refuses is back after that


def kill(s: Sequence, random: Random) -> None:
    if random.random() < 0.7:
        s.edit(random)
    proxy, group = s.world.proxy, random.random() < 0.5
    proxy.latency, proxy.rate = random.choice(((0.0, 0.0), (0.05, 0.0), (0.02, 2e6)))
    process, delay = s.start("push-manifest"), random.uniform(0, 4)
    s.counts["killed alive"] += process.stop(delay, signal.SIGKILL, group=group)
    s.note(f"  killed after {delay:.2f} s, {'the group' if group else 'alone'}, {proxy.latency} s, {proxy.rate} B/s")
    s.end(process, -signal.SIGKILL, 2 if s.sources.broken else 0)
    proxy.latency = proxy.rate = 0.0


def interrupt(s: Sequence, random: Random) -> None:
    s.edit(random)
    process, delay = s.start("push-manifest"), random.uniform(0.2, 3)
    s.counts["interrupted alive"] += process.stop(delay, signal.SIGINT, group=True)
    s.note(f"  SIGINT after {delay:.2f} s")
    s.end(process, interrupted=True)


def others(s: Sequence, random: Random) -> None:
    s.note(f"  {change_place(s.place, random)}")
    if random.random() < 0.4:
        s.note(f"  {change_place(s.place, random)}")


def harm(s: Sequence, random: Random) -> None:
    s.note(f"  {damage(s.sources.tree, random)}")


def forget(s: Sequence, random: Random) -> None:
    """All that was built or remembered goes."""
    path = s.sources.tree.path / random.choice((".multiarch", "_output/images", "_output/receipts", "_output/bin"))
    shutil.rmtree(path, ignore_errors=True)
    s.note(f"  {path.name}")


def two(s: Sequence, random: Random) -> None:
    """Two builds at once; maybe the first is killed while the second waits for it."""
    s.edit(random)
    first = s.start("push-manifest")
    time.sleep(random.uniform(0, 0.5))
    second = s.start(*random.choice(TARGETS))
    usual = 2 if s.sources.broken else 0
    if random.random() < 0.3:
        s.counts["killed alive"] += first.stop(random.uniform(0, 2), signal.SIGKILL, group=False)
        s.note("  the first is killed")
        s.end(first, usual, -signal.SIGKILL)
    else:
        s.end(first, usual)
    s.end(second, usual)


def move_base(s: Sequence, random: Random) -> None:
    s.world.base.move(random.randbytes(20))
    if random.random() < 0.5:
        s.note(f"  {s.sources.mend()}")
        s.undisturbed("update-bases")


def lose(s: Sequence, random: Random) -> None:
    """A registry that holds all loses one blob under a living manifest: `verify` finds it and sends it again."""
    s.note(f"  {s.sources.mend()}")
    s.undisturbed("push-manifest")
    main = s.sources.tree.read("VERSION").strip()
    digest = random.choice(blobs_below(s.place, s.place.tags()[main]))
    place = s.place
    path = place._blob(digest) if isinstance(place, Folder) else place.registry.blob(digest)
    path.unlink()
    s.note(f"  {digest} is lost")
    s.undisturbed("verify", "push-manifest")


WEIGHTED: tuple[tuple[Callable[[Sequence, Random], None], int], ...] = (
    (edit, 3),
    (build, 4),
    (fault, 5),
    (kill, 5),
    (interrupt, 2),
    (others, 4),
    (harm, 3),
    (forget, 1),
    (two, 2),
    (move_base, 1),
    (lose, 1),
)
STEPS = tuple(step for step, _ in WEIGHTED)


@dataclass
class Figures:
    """What a soak did, and what it found: the logs of the sequences that failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def soak(world: World, seed: int, sequences: int, enough: Callable[[], bool], say: Callable[[str], None]) -> Figures:
    """Run sequences of the seeds `seed`, `seed` + 1, …; all of them, or until it is `enough`."""
    figures = Figures()
    for number in range(seed, seed + sequences):
        if enough():
            break
        began, sequence = time.monotonic(), Sequence(world, number)
        try:
            sequence.run()
            verdict = "right"
        except Exception as error:  # noqa: BLE001  # a failure of any kind is one, and the next sequence goes on
            verdict = f"FAILED: {error}"
            again = f"again: python tests/soak/soak.py --seed {number} --sequences 1"
            figures.failures.append("\n".join([*sequence.log, traceback.format_exc(), verdict, again]))
            say(figures.failures[-1])
        figures.counts += sequence.counts
        sequence.discard()
        say(f"seed {number}: {verdict} ({sequence.counts['steps']} steps, {time.monotonic() - began:.0f} s)")
    return figures
