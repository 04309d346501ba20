"""Whether libdeflate's gzip is the same on every CPU: natively, under x86-64 models of qemu, and on aarch64.

`python bench/gzip_everywhere.py FILE…` packs the files (and some made samples) by blocks as a layer does, at several
levels, on every machine at hand, and compares the digests; exit 1 where two differ. Wants qemu-user-static. For aarch64
it fetches Debian's Python and PyPI's wheel into `--folder`, kept for the next run (apt with its own state, no root).
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
from pathlib import Path

BLOCK = 1 << 20
LEVELS = (1, 2, 3, 4, 6, 9, 12)
MODELS = ("qemu64", "Nehalem", "Haswell", "max")
ARM_MODELS = ("cortex-a53", "max")
DEBIAN = "python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 zlib1g libexpat1 libgcc-s1"
WHEEL = "deflate==0.9.0"


def samples(paths: list[Path]) -> list[bytes]:
    """Return contents that take every way through the compressor: nothing, runs, noise, words, real programs."""
    some = random.Random(7)  # noqa: S311  # wants to be the same everywhere
    words = [some.randbytes(some.randrange(2, 9)) for _ in range(500)]
    made = [b"", b"a", bytes(3 * BLOCK), some.randbytes(BLOCK + 1), b" ".join(some.choices(words, k=400_000))]
    return made + [path.read_bytes() for path in paths]


def print_digests(paths: list[Path]) -> None:
    """Print one line a level: level, digest of all samples packed."""
    import deflate

    contents = samples(paths)
    for level in LEVELS:
        running = hashlib.sha256()
        for content in contents:
            for at in range(0, len(content) or 1, BLOCK):
                running.update(deflate.gzip_compress(content[at : at + BLOCK], level))
        print(level, running.hexdigest())


def aarch64(folder: Path) -> list[str]:
    """Return the beginning of a command that runs Python with deflate as aarch64; fetch what it needs."""
    root, site = folder / "root", folder / "site"
    if not (site / "deflate").exists():
        for part in ("lists/partial", "cache/archives/partial", "debs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        options = [
            f"-oDir::State::lists={folder}/lists",
            f"-oDir::Cache={folder}/cache",
            f"-oDir::State::status={folder}/status",
            "-oAPT::Architecture=arm64",
            "-oAPT::Architectures=arm64",
        ]
        subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
        subprocess.run(["apt-get", "-qq", *options, "download", *DEBIAN.split()], check=True, cwd=folder / "debs")
        for package in sorted((folder / "debs").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version=3.11",
        ]
        platforms = ["--platform=manylinux2014_aarch64", "--platform=manylinux_2_28_aarch64"]
        subprocess.run([*pip, *platforms, "-d", str(folder), WHEEL], check=True)
        (wheel,) = folder.glob("deflate-*.whl")
        subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    environment = ["-E", f"PYTHONPATH={site}", "-E", f"PYTHONHOME={root}/usr"]
    return ["qemu-aarch64-static", "-L", str(root), *environment, str(root / "usr/bin/python3.11")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--folder", type=Path, help="where aarch64's Python is kept; without it aarch64 is left out")
    parser.add_argument("--digests", action="store_true", help="only print the digests of this machine")
    chosen = parser.parse_args()
    files = [path.resolve() for path in chosen.files]
    if chosen.digests:
        print_digests(files)
        return 0
    arguments = [__file__, "--digests", *map(str, files)]
    runs = {"native": [sys.executable, *arguments]}
    for model in MODELS:
        runs[f"x86-64 {model}"] = ["qemu-x86_64-static", "-cpu", model, sys.executable, *arguments]
    if chosen.folder:
        qemu, *rest = aarch64(chosen.folder.resolve())
        for model in ARM_MODELS:
            runs[f"aarch64 {model}"] = [qemu, "-cpu", model, *rest, *arguments]
    first = ""
    different = False
    for name, command in runs.items():
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        first = first or found
        different |= found != first
        print(f"{name:20} {'same' if found == first else 'DIFFERENT'}  level 1: {found.split()[1][:16]}", flush=True)
    return int(different)


if __name__ == "__main__":
    sys.exit(main())
