"""How the build grows with the number of images: `python bench/growth.py [--images 30 100 300] [--runs 5]`.

For each size: a repository of bench/generate.py and a bare SCons graph of the same shape (bench/bare.py), in turns.
Then one leaf package changes, and the steps that ran must be those of its dependents. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import install
from bare import bare
from generate import Shape, generate
from measure import Sample, timed
from servers import Servers

TARGETS = ("images", "push-manifest")
STEP = re.compile(r"^(Compile|Image|Push|Index|Publish) (\S+)", re.MULTILINE)


def scons(*arguments: str) -> list[str]:
    return [*install.scons(), *arguments]


def change_leaf(tree: Path, shape: Shape, environment: dict[str, str], words: Sequence[str]) -> tuple[int, int, Sample]:
    """Change one leaf package and build; exits when other steps ran than those of its dependents."""
    leaf = min(range(shape.packages // 3), key=lambda package: len(shape.dependents(package)))
    source = tree / "internal" / f"p{leaf:02}" / f"p{leaf:02}.go"
    source.write_text(source.read_text(encoding="utf-8").replace(';"', ', changed;"'), encoding="utf-8")
    sample = timed(scons(*words), tree, environment)
    ran = set(STEP.findall((tree.parent / "output").read_text(encoding="utf-8")))
    commands = shape.dependents(leaf)
    wanted = 0
    for command in commands:
        name, flavours = f"c{command:03}", len(shape.flavours(command))
        wanted += 2 + flavours * (2 + 2 + 1 + 1)
        ran -= {step for step in ran if re.search(rf"\b{name}\b", step[1])}
    text = (tree.parent / "output").read_text(encoding="utf-8")
    if ran or len(STEP.findall(text)) != wanted:
        sys.exit(f"{len(STEP.findall(text))} steps ran, {wanted} should have; foreign ones: {sorted(ran)[:5]}")
    return len(commands), wanted, sample


def grow(images: int, runs: int, folder: Path, host: str) -> str:
    """Build, measure and change one size; return its line of the table."""
    environment = {**os.environ, "HOME": str(folder)} | go_places()
    shape = generate(folder / "ours", images)
    bare(folder / "bare", images)
    words = {target: (target, f"REGISTRY={host}/n{images}") for target in TARGETS}
    for tree in ("ours", "bare"):
        timed(scons(*words["push-manifest"]), folder / tree, environment)
        timed(scons(*words["push-manifest"]), folder / tree, environment)
    found: dict[tuple[str, str], list[Sample]] = {}
    for _ in range(runs):
        for target in TARGETS:
            for tree in ("ours", "bare"):
                sample = timed(scons(*words[target]), folder / tree, environment)
                found.setdefault((tree, target), []).append(sample)
    parts = [f"{images} x 2"]
    for target in TARGETS:
        ours, plain = found["ours", target], found["bare", target]
        wall = median(a.wall / b.wall for a, b in zip(ours, plain, strict=True))
        cpu = median(a.cpu / b.cpu for a, b in zip(ours, plain, strict=True))
        parts += [
            f"{median(s.wall for s in ours):.2f} ({median(s.cpu for s in ours):.2f})",
            f"{median(s.wall for s in plain):.2f} ({median(s.cpu for s in plain):.2f})",
            f"{wall:.2f} ({cpu:.2f})",
            f"{max(s.memory for s in ours) / 1e6:.0f}",
        ]
    commands, steps, sample = change_leaf(folder / "ours", shape, environment, words["push-manifest"])
    parts += [f"{commands} of {shape.commands}", str(steps), f"{sample.wall:.1f}"]
    return f"| {' | '.join(parts)} |"


def go_places() -> dict[str, str]:
    """Go's caches, which lie below a HOME that is not the user's now."""
    told = subprocess.run(["go", "env", "GOCACHE", "GOMODCACHE", "GOPATH"], capture_output=True, text=True, check=True)
    return dict(zip(("GOCACHE", "GOMODCACHE", "GOPATH"), told.stdout.split(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="How the build grows with the number of images.")
    parser.add_argument("--images", type=int, nargs="+", default=[30, 100, 300])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    columns = [f"{target}: {what}" for target in TARGETS for what in ("s (CPU)", "bare s (CPU)", "ratio (CPU)", "MB")]
    columns = ["images", *columns, "leaf changed: commands", "steps", "s"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        servers = Servers(Path(name))
        stack.callback(servers.stop)
        servers.start_registry()
        for images in arguments.images:
            folder = Path(name, str(images))
            folder.mkdir()
            print(grow(images, arguments.runs, folder, servers.host), flush=True)


if __name__ == "__main__":
    main()
