"""A C compiler for every platform: zig, from PyPI, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .required import missing

VERSION = "0.17.1"


def zig(cache: Path) -> tuple[Path, dict[str, str]]:
    """Return the Python that has zig, installed at first use, and the variables that keep what zig compiled.

    zig compiles the C library of a platform when it first meets that platform: minutes, once a cache.
    """
    folder = cache / f"zig-{VERSION}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / "ready").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
            subprocess.run([python, "-m", "pip", "install", f"ziglang=={VERSION}"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            missing("ziglang", str(error))
        (folder / "ready").touch()
    return python, {"ZIG_GLOBAL_CACHE_DIR": os.fspath(cache / "zig-cache")}
