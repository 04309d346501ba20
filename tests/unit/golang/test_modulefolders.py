"""Where the sources of linked modules lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.golang.modulefolders import ModuleFolders

GO_MOD = """\
module example.com/demo

go 1.21

replace example.org/local => ./local

replace (
	example.org/far v1.0.0 => ../far
	example.org/old => example.org/new v1.1.0
)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("demo/local", "demo/cmd", "far", "cache/example.org/new@v1.1.0", "cache/example.org/!upper@v1.0.0"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "demo" / "go.mod").write_text(GO_MOD, "utf-8")
    return tmp_path


def folders(tree: Path) -> ModuleFolders:
    return ModuleFolders(tree / "demo" / "cmd", {"GOMODCACHE": str(tree / "cache")})


def test_the_cache_of_modules_has_capitals_in_its_own_way(tree: Path):
    found = folders(tree).folder("example.org/Upper", "v1.0.0")
    assert found == tree / "cache/example.org/!upper@v1.0.0"
    assert folders(tree).is_cached(found)
    assert folders(tree).folder("example.org/absent", "v1.0.0") is None


def test_what_replaces_a_module(tree: Path):
    known = folders(tree)
    assert known.folder("example.org/new", "v1.1.0", "example.org/old") == tree / "cache/example.org/new@v1.1.0"
    assert known.folder("./local", "(devel)", "example.org/local") == tree / "demo/local"
    assert known.folder("../far", "", "example.org/far") == tree / "far"
    assert not known.is_cached(tree / "far")


def test_the_main_module_and_those_of_the_workspace(tree: Path):
    (tree / "other").mkdir()
    (tree / "other" / "go.mod").write_text("module example.com/other\n", "utf-8")
    (tree / "go.work").write_text("go 1.21\n\nuse (\n\t./demo\n\t./other\n)\n", "utf-8")
    assert folders(tree).folder("example.com/demo", "(devel)") == tree / "demo"
    assert folders(tree).folder("example.com/other", "(devel)") == tree / "other"


def test_what_is_vendored_comes_first(tree: Path):
    vendor = tree / "demo" / "vendor"
    (vendor / "example.org/old").mkdir(parents=True)
    (vendor / "modules.txt").write_text("", "utf-8")
    assert folders(tree).folder("example.org/new", "v1.1.0", "example.org/old") == vendor / "example.org/old"
