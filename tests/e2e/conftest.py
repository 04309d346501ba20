"""What the tests of the whole build share: a small tree, built once and copied for each test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from machines import debian, small, wheels
from machines.project import Project
from machines.required import cache_folder
from machines.small import Tree

CACHE = cache_folder()  # before a test moves HOME


class Workbench:
    """The one tree of a session that every test starts from, and the `go` that counts."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "go.log"
        self.bin = small.counting_go(folder / "goroot", self.log)
        self.planted = small.plant(folder / "planted", self.log)
        self._folder = folder
        self._built: Tree | None = None

    def built(self) -> Tree:
        """Return the tree in which `push-manifest` has run; it is never written to."""
        if self._built is None:
            made = self.planted.copy(self._folder / "built")
            made.scons("push-manifest")
            self._built = made
        return self._built


@pytest.fixture(scope="session")
def _workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    if sys.platform == "win32":
        pytest.skip("the counting `go` is a shell script")
    return Workbench(tmp_path_factory.mktemp("workbench"))


@pytest.fixture
def _counted(_workbench: Workbench, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:  # noqa: ARG001
    monkeypatch.setenv("PATH", small.path_with(_workbench.bin))
    return _workbench


@pytest.fixture
def fresh(_counted: Workbench, tmp_path: Path) -> Tree:
    """Return a small tree in which nothing was built yet."""
    tree = _counted.planted.copy(tmp_path / "fresh")
    tree.go_starts()
    return tree


@pytest.fixture
def tree(_counted: Workbench, tmp_path: Path) -> Tree:
    """Return a small tree in which `push-manifest` has run."""
    tree = _counted.built().copy(tmp_path / "tree")
    tree.go_starts()
    return tree


@pytest.fixture
def variant(_counted: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tree]:
    """Return a maker of further trees in which nothing was built yet."""

    def make(name: str) -> Tree:
        return _counted.planted.copy(tmp_path_factory.mktemp("variant") / name)

    return make


@pytest.fixture(scope="session")
def rust(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Return a folder for PATH with cargo; None where the one that is there knows both machines."""
    for machine in ("x86_64", "aarch64"):
        question = ["rustc", "--print", "target-libdir", "--target", f"{machine}-unknown-linux-gnu"]
        try:
            folder = subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            folder = ""
        if not folder or not Path(folder).is_dir():
            return debian.rust(tmp_path_factory.mktemp("rust"), CACHE)
    return None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a maker of wheels: this tree, with another version; each is made once."""
    wheels.hatchling()
    folder = tmp_path_factory.mktemp("wheels")

    def make(version: str) -> str:
        tree = folder / version
        if not tree.exists():
            wheels.checkout(tree, f"v{version}")
            Project(tree).scons("wheel")
        return str(tree / "_output" / "dist" / f"scons_multiarch-{version}-py3-none-any.whl")

    return make


@pytest.fixture(scope="session")
def installed(wheel: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> wheels.Installed:
    """Return an environment of this Python with the wheel 3.2.1 in it; nobody changes it."""
    return wheels.Installed(tmp_path_factory.mktemp("environment") / "venv", sys.executable, wheel("3.2.1"))
