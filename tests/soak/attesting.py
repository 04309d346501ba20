"""Random edits with ATTEST: what is attached is what a build from clean makes, though documents are declared late.

After each the SBOMs and provenances here are those of a fresh copy that was asked for them, what the receipts name is in
the registry, and a second run has nothing to do. Run by hand: python tests/soak/attesting.py --seed 1 --steps 300
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

import conftest
from machines.project import Run
from machines.referring import attached
from machines.registry import Registry, registry_program
from machines.small import Tree
from soak import edits

DOCUMENTS = ("sbom", "provenance")
ATTEST = f"ATTEST={','.join(DOCUMENTS)}"


class AttestRun(edits.EditRun):
    """One tree that publishes after every edit."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.registry = Registry(registry_program(conftest.CACHE, "debian"), folder / "registry")

    def stop(self) -> None:
        """End the registry."""
        self.registry.stop()

    def run(self, tree: Tree) -> Run:
        """Publish, here; from clean the documents are asked for, and nothing is published."""
        targets = ("push-manifest",) if tree is self.tree else DOCUMENTS
        words = (*targets, *self.sources.arguments(), f"REGISTRY={self.registry.host}", ATTEST)
        return tree.scons(*words, env=self.sources.env, check=False, timeout=300)

    def compare(self, here: Run, there: Run, clean: Tree) -> None:
        """Raise Different where the documents are not those from clean, or are not in the registry."""
        if not self.ended_alike(here, there):
            return
        mine, wanted = self.tree.digests(), clean.digests()
        wrong = [path for path, digest in wanted.items() if path.startswith(DOCUMENTS) and mine.get(path) != digest]
        if wrong:
            self.differ(f"not as from clean: {', '.join(wrong)}", here, there)
        there_now = attached(self.tree, self.registry, "demo")
        lacking = [path for path in wanted if path.startswith(DOCUMENTS) and f"sha256:{wanted[path]}" not in there_now]
        if lacking:
            self.differ(f"not attached: {', '.join(lacking)}", here)
        again = self.run(self.tree)
        if again.steps or again.status:
            self.differ("the run after is no no-op", here, again)


if __name__ == "__main__":
    sys.exit(edits.main(AttestRun))
