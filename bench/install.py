"""The peers that are Go programs, built once at pinned versions into a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from servers import CACHE, Missing

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = {
    "ko": ("github.com/google/ko", "v0.19.1"),
    "crane": ("github.com/google/go-containerregistry/cmd/crane", "v0.22.1"),
    "buildx": ("github.com/docker/buildx/cmd/buildx", "v0.38.2"),
}
# Its go.mod excludes versions, which `go install` refuses; as a dependency of an empty module it builds.
BUILDKITD = ("github.com/moby/buildkit", "v0.34.2")


def go_program(name: str) -> Path:
    """The path of a peer, installed when it is not there; Missing when that fails."""
    folder = CACHE / "peers"
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        package, version = INSTALLED[name]
        print(f"installing {name} {version} into {folder} …", file=sys.stderr)
        _go(["install", f"{package}@{version}"], folder, {"GOBIN": str(folder)})
    return path


def buildkitd() -> Path:
    """The path of the BuildKit daemon, built when it is not there."""
    path = CACHE / "peers" / "buildkitd"
    if not path.exists():
        module, version = BUILDKITD
        folder = CACHE / "buildkit"
        folder.mkdir(parents=True, exist_ok=True)
        print(f"building buildkitd {version} in {folder} …", file=sys.stderr)
        (folder / "go.mod").write_text("module bench\n", encoding="utf-8")
        _go(["get", f"{module}/cmd/buildkitd@{version}"], folder, {})
        _go(["build", "-o", str(path), f"{module}/cmd/buildkitd"], folder, {})
    return path


def scons() -> list[str]:
    """SCons in an environment of its own with the locked packages: what ./sconsw starts, without ./sconsw.

    Made anew when other packages are locked than it was made of.
    """
    folder = CACHE / "venv"
    python = folder / "bin" / "python"
    lock, made_of = ROOT / "requirements.lock", folder / "requirements.lock"
    if not made_of.exists() or made_of.read_bytes() != lock.read_bytes():
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock]
        subprocess.run(command, check=True)
        made_of.write_bytes(lock.read_bytes())
    return [str(python), str(folder / "bin" / "scons")]


def _go(arguments: list[str], folder: Path, more: dict[str, str]) -> None:
    ran = subprocess.run(
        ["go", *arguments], cwd=folder, env={**os.environ, "GOFLAGS": "", **more}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if ran.returncode:
        raise Missing(f"go {' '.join(arguments)}: {ran.stderr.strip()[-500:]}")
