"""Random edits, one after the other; after each the build in place equals a build from clean of a fresh copy.

Run by hand: python tests/soak/edits.py --seed 1 --steps 500
"""

from __future__ import annotations

import inspect
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

from machines import small
from machines.project import Run
from machines.small import Tree
from soak import alone
from soak.sources import Sources

TARGETS = ("bin", "images", "manifest")


class Different(AssertionError):
    """The incremental result is not the clean one; says the seed, and everything that was done."""


class EditRun:
    """One tree, edited and built again and again. The same seed does the same."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed, self.folder, self.log = seed, folder, [f"seed {seed}"]
        self.random = Random(seed)  # noqa: S311  # a seed that replays is the point
        self.sources = Sources(small.plant(folder / "tree", folder / "go.log")).plant()
        self.tree = self.sources.tree
        self.failed_builds = 0
        self.indexed: object = None  # what the last index was made of

    def step(self, number: int) -> None:
        """Edit up to three things, build here and elsewhere, compare."""
        random = Random(self.random.getrandbits(64))  # noqa: S311  # one step draws no more than its own numbers
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            self.log.append(f"{number}. {self.sources.edit(random)}")
        here = self.build(self.tree)
        clean = self.tree.copy(self.folder / "clean", built=False)
        try:
            self.compare(here, self.build(clean), clean)
        finally:
            shutil.rmtree(clean.path)

    def build(self, tree: Tree) -> Run:
        """What is done after an edit, in place and from clean."""
        return self.run(tree)

    def run(self, tree: Tree) -> Run:
        """A run of SCons."""
        return tree.scons(*TARGETS, *self.sources.arguments(), env=self.sources.env, check=False, timeout=300)

    def compare(self, here: Run, there: Run, clean: Tree) -> None:
        if not self.ended_alike(here, there):
            return
        mine, wanted = self.tree.digests(), clean.digests()
        wrong = [path for path, digest in wanted.items() if mine.get(path) != digest]
        if wrong:
            self.differ(f"not as from clean: {', '.join(wrong)}", here, there)
        members = {path: digest for path, digest in wanted.items() if not path.startswith("bin/")}
        indexed = (members, self.sources.settings.get("PLATFORMS"), self.sources.settings.get("ANNOTATIONS"))
        if indexed == self.indexed and any(step.startswith("Index ") for step in here.steps):
            self.differ("the index is made again of the same images", here)
        self.indexed = indexed
        again = self.run(self.tree)
        if again.steps or again.status:
            self.differ("the run after is no no-op", here, again)

    def ended_alike(self, here: Run, there: Run, *, of: tuple[str, str] = ("here", "from clean")) -> bool:
        """Whether two runs succeeded. Raises Different where one failed alone, or the sources say otherwise."""
        if here.status != there.status or (there.status != 0) != self.sources.broken:
            self.differ(f"exit {here.status} {of[0]}, {there.status} {of[1]}", here, there)
        self.failed_builds += there.status != 0
        return there.status == 0

    def stop(self) -> None:
        """End what runs beside."""

    def differ(self, what: str, *runs: Run) -> None:
        texts = [run.text for run in runs]
        again = f"again: python tests/soak/{Path(inspect.getfile(type(self))).name} --seed {self.seed}"
        raise Different("\n".join([what, *self.log, *texts, again]))


def run(
    folder: Path,
    seed: int,
    steps: int,
    enough: Callable[[], bool],
    say: Callable[[str], None],
    *,
    kind: type[EditRun] = EditRun,
) -> int:
    """Do so many steps, or fewer once it is `enough`; return how many. Raises Different."""
    made = kind(folder, seed)
    try:
        for number in range(1, steps + 1):
            if enough():
                return number - 1
            made.step(number)
            say(f"{made.log[-1]}")
    finally:
        made.stop()
    return steps


def main(kind: type[EditRun] = EditRun) -> int:
    """Run by hand; a failure ends its seed, and the next seed takes the steps that are left."""
    told = alone.arguments("steps", 500)
    failures = done = 0
    with alone.surroundings() as folder:
        while done < told.count and not told.enough():
            seed, before = told.seed + failures, done

            def say(line: str) -> None:
                nonlocal done
                done += 1
                alone.say(f"{done}: {line}")

            try:
                run(folder / f"seed{seed}", seed, told.count - before, told.enough, say, kind=kind)
            except Different as error:
                failures += 1
                done += 1
                alone.say(f"FAILED {error}")
    alone.say(f"{done} steps, {failures} failures, seeds {told.seed} to {told.seed + failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
