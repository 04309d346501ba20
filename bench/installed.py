"""A run with nothing to do, installed beside in place: `python bench/installed.py [--runs N]`.

Installs this tree as a wheel into an environment of its own, builds the same small repository both ways, and starts
`push-manifest` in turns (A B A B …): CPU time of each, medians, and the median of the pairs. The same again with
PYTHONDONTWRITEBYTECODE, as images of Python set it. Nothing of the tree is touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median

from install import ROOT, scons
from measure import timed
from servers import CACHE

SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment(PROGRAM="demo", GOLDFLAGS="-X main.version=$VERSION")
images, pushes = [], []
for platform in env["PLATFORMS"]:
    program = env.GoBinary(f"_output/bin/{platform.directory}/$PROGRAM", platform=platform)
    recipe = platform.dockerfiles()
    images += env.Image(f"_output/images/{platform.slug}.tar", program, dockerfile=recipe, platform=platform)
    pushes += env.Push(images[-1], f"$REPOSITORY:$VERSION-{platform.tag_suffix}")
index = env.Index("_output/manifest/index.json", images, platforms=env["PLATFORMS"])
env.Targets(manifest=index, push_manifest=env.Push(index, "$REPOSITORY:$VERSION", children=pushes))
"""
FILES = ("Dockerfile.amd64", "Dockerfile.arm64", "main.go", "go.mod", "VERSION", ".dockerignore")


def installed() -> Path:
    """The programs of an environment with this tree's wheel in it, made anew."""
    folder = CACHE / "installed"
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", str(ROOT)], check=True)
    return folder / "bin"


def plant(folder: Path) -> None:
    """The template's repository, without the tool."""
    folder.mkdir()
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    (folder / "SConstruct").write_text(SCONSTRUCT, encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=31)
    runs = parser.parse_args().runs
    programs = installed()
    with tempfile.TemporaryDirectory() as temporary:
        copy, foreign = Path(temporary, "a", "copy"), Path(temporary, "b", "foreign")
        for tree in (copy, foreign):
            tree.parent.mkdir()
            plant(tree)
        shutil.copytree(ROOT / "site_scons", copy / "site_scons", ignore=shutil.ignore_patterns("__pycache__"))
        launcher = str(copy / "site_scons/scons_multiarch/__main__.py")
        ways = {
            "in place": ([scons()[0], launcher, "./sconsw", "push-manifest"], copy),
            "installed": ([str(programs / "multiarch"), "push-manifest"], foreign),
            "in place, by scons": ([*scons(), "push-manifest"], copy),
            "installed, by scons": ([str(programs / "scons"), "push-manifest"], foreign),
        }
        for more in ({}, {"PYTHONDONTWRITEBYTECODE": "1"}):
            environment = {**os.environ, **more}
            samples: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(runs + 2):  # two to warm up
                for way, (command, tree) in ways.items():
                    cpu = timed(command, tree, environment).cpu
                    if number > 1:
                        samples[way].append(cpu)
            print(" ".join(more) or "as it is", file=sys.stdout)
            for way, times in samples.items():
                ratio = median(time / other for time, other in zip(times, samples["in place"], strict=True))
                print(f"  {way:20} {1000 * median(times):6.1f} ms  {ratio:5.3f}")


if __name__ == "__main__":
    main()
