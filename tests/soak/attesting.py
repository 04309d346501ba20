"""Random edits with ATTEST: what is attached is what a build from clean makes, though documents are declared late.

After each the SBOMs and provenances here are those of a fresh copy that was asked for them, what the receipts name is in
the registry, and a second run has nothing to do. Run by hand: python tests/soak/attesting.py --seed 1 --steps 300
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

import conftest
from machines.project import Run
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
        if here.status != there.status or (there.status != 0) != self.sources.broken:
            self.differ(f"exit {here.status} here, {there.status} from clean", here, there)
        if there.status:
            self.failed_builds += 1
            return
        mine, wanted = self.tree.digests(), clean.digests()
        wrong = [path for path, digest in wanted.items() if path.startswith(DOCUMENTS) and mine.get(path) != digest]
        if wrong:
            self.differ(f"not as from clean: {', '.join(wrong)}", here, there)
        attached = {blob for receipt in self.receipts() for blob in self.blobs(receipt)}
        lacking = [path for path in wanted if path.startswith(DOCUMENTS) and f"sha256:{wanted[path]}" not in attached]
        if lacking:
            self.differ(f"not attached: {', '.join(lacking)}", here)
        again = self.run(self.tree)
        if again.steps or again.status:
            self.differ("the run after is no no-op", here, again)

    def receipts(self) -> list[Path]:
        """The receipts of what was attached."""
        return sorted((self.tree.path / "_output/receipts/attestations").rglob("*.json"))

    def blobs(self, receipt: Path) -> list[str]:
        """The digests of what the artifacts hold that a receipt names, as the registry has them."""
        digests = []
        for referrer in json.loads(receipt.read_bytes())["referrers"]:
            manifest = self.registry.json("demo", referrer["digest"])
            digests += [layer["digest"] for layer in manifest["layers"]]
        return digests


if __name__ == "__main__":
    sys.exit(edits.main(AttestRun))
