from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.golang.project import locate, overlaid


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
