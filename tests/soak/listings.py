"""Random edits, and machines with nothing but the checkout and a shared cache: each makes what a build without it makes.

One machine builds after every edit and writes to the cache. Another, a fresh copy, reads it: before that, when it knows
the listing and programs of the edits before, or after it. Run by hand: python tests/soak/listings.py --seed 1 --steps 300
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

from machines import small
from machines.project import Run
from machines.small import Tree
from soak import edits


class ListingRun(edits.EditRun):
    """`known` counts the machines that started no `go list`."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.go = small.path_with(small.counting_go(folder / "goroot", folder / "go.log"))
        self.cache, self.known = folder / "cache", 0

    def step(self, number: int) -> None:
        """Edit up to three things; build there with the cache and elsewhere without, compare."""
        random = Random(self.random.getrandbits(64))  # noqa: S311  # one step draws no more than its own numbers
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            self.log.append(f"{number}. {self.sources.edit(random)}")
        before = random.random() < 0.5
        if not before:
            self.with_cache(self.tree, "readwrite")
        cold, clean = (self.tree.copy(self.folder / name, built=False) for name in ("cold", "clean"))
        try:
            cold.go_starts()
            here = self.with_cache(cold, "read")
            starts = [line.split()[0] for line in cold.go_starts()]
            self.known += "list" not in starts
            self.log.append(f"   {'before' if before else 'after'} the writer: go {' '.join(starts) or 'never'}")
            self.differences(here, cold, self.run(clean), clean)
        finally:
            shutil.rmtree(cold.path)
            shutil.rmtree(clean.path)
        if before:
            self.with_cache(self.tree, "readwrite")

    def with_cache(self, tree: Tree, mode: str) -> Run:
        """A run of SCons with the shared cache."""
        words = (*edits.TARGETS, *self.sources.arguments(), f"CACHE={self.cache}", f"CACHE_MODE={mode}")
        return tree.scons(*words, env={**self.sources.env, "PATH": self.go}, check=False, timeout=300)

    def differences(self, here: Run, cold: Tree, there: Run, clean: Tree) -> None:
        """Raise Different where the two did not make the same."""
        if self.ended_alike(here, there, of=("with the cache", "without")):
            mine, theirs = cold.digests(), clean.digests()
            wrong = [
                path for path, digest in theirs.items() if not path.startswith("images/") and mine.get(path) != digest
            ]
            if wrong:
                self.differ(f"not as without a cache: {', '.join(wrong)}", here, there)


if __name__ == "__main__":
    sys.exit(edits.main(ListingRun))
