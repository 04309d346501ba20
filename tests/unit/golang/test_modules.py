"""None"""

from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.golang.modules import (
    directives,
    facts,
    go_version,
    is_compiled,
    is_local,
    local_replacements,
    locate,
    overlaid,
    uses,
)
from multiarch_oci.platform import Platform

MOD = """\
module ex.org/r // comment
go 1.24
toolchain go1.27.9
godebug default=go1.21
godebug (
\tpanicnil=1 // why
)
require ex.org/a v1.2.3 // indirect
require (
\tex.org/b v1.0.0+incompatible

\t"ex.org/c" `v1.0.0`
)
replace ex.org/b => ../b
replace ex.org/c v1.0.0 => ex.org/d v2.0.0
replace "ex.org/e" => "/abs path/x"
retract [v1.0.0, v1.1.0] // bad
tool ex.org/a/cmd
"""


def test_every_line_that_can_change_a_program_is_a_fact():
    assert facts(MOD, "go.mod") == {
        "go.mod module": "ex.org/r",
        "go.mod go": "1.24",
        "go.mod godebug default": "go1.21",
        "go.mod godebug panicnil": "1",
        "go.mod require ex.org/a": "v1.2.3",
        "go.mod require ex.org/b": "v1.0.0+incompatible",
        "go.mod require ex.org/c": "v1.0.0",
        "go.mod replace ex.org/b": "../b",
        "go.mod replace ex.org/c v1.0.0": "ex.org/d v2.0.0",
        "go.mod replace ex.org/e": "/abs path/x",
    }


@pytest.mark.parametrize(
    "other",
    [
        "// a comment\ngo 1.24\nrequire a.b/c v1.0.0",
        "go 1.24// comment\n\n\nrequire a.b/c v1.0.0 // indirect\n",
        "require (\n a.b/c v1.0.0\n)\ngo 1.24\r\n",
        'require "a.b/c" `v1.0.0`\ngo 1.24\nretract v0.0.1\ntool x.y/z\nignore ./node_modules\n',
    ],
)
def test_comments_order_blocks_and_quotes_do_not_count(other: str):
    assert facts(other, "go.mod") == facts("go 1.24\nrequire a.b/c v1.0.0\n", "go.mod")


def test_a_directive_that_stands_twice_counts_twice():
    assert facts("module a\nmodule b\n", "m") == {"m module": "a, b"}


@pytest.mark.parametrize(
    ("text", "version"), [(MOD, "1.24"), ("go 1.27rc1\n", "1.27rc1"), ("module x\n", None), ("go\n", None)]
)
def test_the_go_line_is_what_is_required(text: str, version: str | None):
    assert go_version(text) == version


def test_local_replacements_are_those_that_name_folders():
    assert local_replacements(MOD) == ["../b", "/abs path/x"]
    assert local_replacements("replace (\n a => ./x\n b v1 => ex.org/x v2\n c => ..\n d =>\n)\n") == ["./x", ".."]


def test_a_workspace_names_its_folders():
    assert uses("go 1.24\nuse ./a\nuse (\n\t./b // why\n\t../c\n)\n") == ["./a", "./b", "../c"]


def test_nonsense_is_read_without_an_error():
    assert list(directives(')\n(\nrequire (\n"unclosed\n\x00')) != []


@pytest.mark.parametrize(
    ("path", "local"),
    [
        *[(path, True) for path in (".", "..", "./x", "../x", "/x", "C:\\x", ".\\x", "./...")],
        *[(path, False) for path in ("x", "ex.org/x", ".x", "...")],
    ],
)
def test_a_folder_starts_as_go_wants_it(path: str, local: bool):
    assert is_local(path) is local


@pytest.mark.parametrize(
    ("platform", "names", "others"),
    [
        (
            "linux/amd64",
            "a.go a_linux.go a_amd64.go a_linux_amd64.go linux.go a_b.go a_unix.go",
            "a.c a_test.go _a.go .a.go",
        ),
        (
            "linux/amd64",
            "a_darwin_linux.go a_b.windows.go",
            "a_windows.go a_arm64.go a_windows_amd64.go a_linux_arm.go",
        ),
        ("android/arm64", "a_linux.go a_android.go a_linux_arm64.go", "a_windows.go a_wasip1.go"),
        ("windows/386", "a_windows.go a_windows_386.go", "a_linux.go a_windows_amd64.go"),
    ],
)
def test_the_name_of_a_file_says_where_it_is_compiled(platform: str, names: str, others: str):
    there = Platform.parse(platform)
    assert [name for name in [*names.split(), *others.split()] if is_compiled(name, there)] == names.split()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "w/app/go.mod": "module app\ngo 1.24\nreplace x => ../x\n",
        "w/app/go.sum": "a.b/c v1.0.0 h1:sum=\na.b/c v1.0.0/go.mod h1:mod=\nnonsense\n",
        "w/app/cmd/main.go": "",
        "w/lib/go.mod": "module lib\nreplace y => ./y\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "w"


def test_a_module_is_found_from_below_with_what_replaces_others(root: Path):
    found = locate(root / "app" / "cmd", {})
    assert found.root == root / "app"
    assert found.roots == (str(root / "app"), str(root / "x"))
    assert found.facts == {"go.mod module": "app", "go.mod go": "1.24", "go.mod replace x": "../x"}
    assert found.sums == {"a.b/c v1.0.0": "h1:sum=", "a.b/c v1.0.0/go.mod": "h1:mod="}


def test_a_workspace_in_a_parent_adds_its_members_and_what_they_replace(root: Path):
    (root / "go.work").write_text("go 1.25\nuse ./app\nuse ./lib\nreplace z => ./z\n", encoding="utf-8")
    found = locate(root / "app", {})
    names = ("app", "lib", "vendor", "x", "lib/y", "z")
    assert set(found.roots) == {str(root / name) for name in names}
    assert found.facts["go.work go"] == "1.25"
    assert found.facts["go.work use ./lib"] == "yes"


@pytest.mark.parametrize("settings", [{"GOWORK": "off"}, {"GO111MODULE": "off"}])
def test_a_workspace_may_be_switched_off(root: Path, settings: dict[str, str]):
    (root / "go.work").write_text("go 1.25\nuse ./lib\n", encoding="utf-8")
    assert locate(root / "app", settings).roots == (str(root / "app"), str(root / "x"))


def test_a_workspace_may_be_named(root: Path, tmp_path: Path):
    (tmp_path / "other.work").write_text("go 1.25\nuse ./w/lib\n", encoding="utf-8")
    found = locate(root / "app", {"GOWORK": str(tmp_path / "other.work")})
    assert str(root / "lib") in found.roots


def test_another_go_mod_may_be_named(root: Path):
    (root / "alt.mod").write_text("module app\nreplace q => ../q\n", encoding="utf-8")
    found = locate(root / "app", {}, "../alt.mod")
    assert str(root / "q") in found.roots
    assert found.sums == {}


def test_without_a_module_the_folder_itself_is_looked_at(tmp_path: Path):
    found = locate(tmp_path / "nowhere", {})
    assert (found.root, found.roots) == (tmp_path / "nowhere", (str(tmp_path / "nowhere"),))


@pytest.mark.parametrize("text", ["", "[]", '{"Replace": 3}', "{"])
def test_an_overlay_that_is_none_replaces_nothing(tmp_path: Path, text: str):
    (tmp_path / "overlay.json").write_text(text, encoding="utf-8")
    assert overlaid(tmp_path / "overlay.json") == {}
    assert overlaid(tmp_path / "missing.json") == {}


def test_an_overlay_names_what_it_replaces(tmp_path: Path):
    (tmp_path / "overlay.json").write_text('{"Replace": {"a.go": "b.go", "c.go": ""}}', encoding="utf-8")
    assert overlaid(tmp_path / "overlay.json") == {"a.go": "b.go", "c.go": ""}
