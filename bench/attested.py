"""What attestations cost a build with nothing to do: `python bench/attested.py [--runs 10] [--trees …]`.

Each tree is built twice, without attestations and with everything on (ATTEST=sbom,provenance SIGN=key), each to a
repository of its own in one registry without the referrers API. Then `push-manifest` runs in pairs with nothing to do,
the one that goes first in turns. Told is CPU time, of which a busy machine changes the ratio least; a run that did or
sent anything ends the measurement. Prints a table.

Trees: `template` (one program), `30` (30 programs), `300` (300 images of 100 programs); two platforms each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import install
from generate import ROOT, generate
from growth import go_places, scons
from measure import Sample, timed
from servers import Servers

AIMS: Mapping[str, float] = {"template": 1.25, "30": 1.25, "300": 1.6}
TEMPLATE = ("SConstruct", "VERSION", "Dockerfile.amd64", "Dockerfile.arm64", "main.go", "go.mod")
KEY = """\
import sys
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
key = ec.generate_private_key(ec.SECP256R1())
sys.stdout.buffer.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
"""


def plant(name: str, folder: Path) -> None:
    """Write a tree into a new folder."""
    if name == "template":
        folder.mkdir()
        for file in TEMPLATE:
            shutil.copy(ROOT / file, folder)
        shutil.copytree(ROOT / "site_scons", folder / "site_scons")
    else:
        generate(folder, int(name), chains=True, a_command=1 if name == "30" else 3)


def key_in(folder: Path) -> Path:
    """A new private key, which others cannot read."""
    path = folder / "key.pem"
    path.touch(0o600)
    path.write_bytes(subprocess.run([install.scons()[0], "-c", KEY], capture_output=True, check=True).stdout)
    return path


class Pair:
    """A tree without attestations, and the same with everything on."""

    def __init__(self, name: str, folder: Path, host: str, counted: Callable[[], tuple[int, int]]) -> None:
        self._environment = {**os.environ, "HOME": str(folder)} | go_places()
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._counted = counted
        self._trees = {True: folder / f"{name}-on" / "tree", False: folder / f"{name}-off" / "tree"}
        everything = ("ATTEST=sbom,provenance", f"SIGN={folder / 'key.pem'}")
        self._words = {
            on: ("push-manifest", f"REGISTRY={host}/{name}-{'on' if on else 'off'}", *(everything if on else ()))
            for on in self._trees
        }
        for on, tree in self._trees.items():
            tree.parent.mkdir()
            plant(name, tree)
            self._run(on)
            self.nothing(on)  # what the first one with nothing to do learns is no part of the others

    def _run(self, on: bool) -> Sample:  # noqa: FBT001  # one of two
        return timed(scons(*self._words[on]), self._trees[on], self._environment, counted=self._counted)

    def nothing(self, on: bool) -> Sample:  # noqa: FBT001  # one of two
        """Build with nothing to do; exits where there was anything."""
        sample = self._run(on)
        text = (self._trees[on].parent / "output").read_text(encoding="utf-8")
        if "is up to date" not in text or sample.uploaded:
            sys.exit(f"{self._trees[on]}: there was something to do ({sample.uploaded} bytes sent)\n{text[-2000:]}")
        return sample

    def measured(self, runs: int) -> tuple[list[Sample], list[Sample]]:
        """So many pairs: those without, those with everything on."""
        samples: dict[bool, list[Sample]] = {False: [], True: []}
        for number in range(runs):
            for on in (False, True) if number % 2 else (True, False):
                samples[on].append(self.nothing(on))
        return samples[False], samples[True]


def row(name: str, without: list[Sample], everything: list[Sample]) -> str:
    """A line of the table."""
    ratios = [a.cpu / b.cpu for a, b in zip(everything, without, strict=True)]
    least = min(sample.cpu for sample in everything) / min(sample.cpu for sample in without)
    cells = [
        name,
        *(f"{median(s.cpu for s in samples):.2f}" for samples in (without, everything)),
        f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        f"{least:.2f}",
        f"{AIMS[name]}",
        *(f"{median(s.requests for s in samples):.0f}" for samples in (without, everything)),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="What attestations cost a build with nothing to do.")
    parser.add_argument("--trees", nargs="+", default=[*AIMS], choices=AIMS)
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    columns = ("tree", "without: CPU s", "everything on: CPU s", "ratio (range)", "least by least", "aim",
               "requests without", "with")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        servers = Servers(Path(folder))
        stack.callback(servers.stop)
        servers.start_registry()
        key_in(Path(folder))
        for name in arguments.trees:
            pair = Pair(name, Path(folder), servers.host, servers.counted)
            print(row(name, *pair.measured(arguments.runs)), flush=True)


if __name__ == "__main__":
    main()
