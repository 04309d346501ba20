"""`multiarch init`, installed: a stranger's repository, and after it an image."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from machines import wheels
from machines.required import required
from scons_multiarch.init import FILES, WORKFLOWS

MAIN = 'package main\n\nvar version = "dev"\n\nfunc main() { println(version) }\n'


@pytest.fixture(scope="module")
def installed(wheel: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> wheels.Installed:
    """Return an environment of the newest Python with the wheel 1.2.3 in it."""
    return wheels.Installed(tmp_path_factory.mktemp("installed") / "venv", wheels.pythons()[-1], wheel("1.2.3"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "whoami"
    folder.mkdir()
    (folder / "go.mod").write_text("module github.com/acme/whoami\n\ngo 1.24\n", encoding="utf-8")
    (folder / "main.go").write_text(MAIN, encoding="utf-8")
    return folder


def test_init_writes_an_sconstruct_that_builds_and_asked_again_changes_nothing(
    installed: wheels.Installed, tree: Path
) -> None:
    shown = installed.run(tree, "init", "--dry-run").text
    assert not (tree / "SConstruct").exists()
    text = installed.run(tree, "init").text
    assert (tree / "SConstruct").read_text(encoding="utf-8") in shown
    assert "next: multiarch push-manifest VERSION=v0.1.0" in text
    before = {path: path.read_bytes() for path in tree.iterdir()}
    assert "nothing was changed" in installed.run(tree, "init").text
    assert {path: path.read_bytes() for path in tree.iterdir()} == before
    built = installed.run(tree, "manifest", "VERSION=v0.1.0")
    assert {"Compile", "Image", "Index"} <= {step.partition(" ")[0] for step in built.steps}


def test_the_template_is_laid_out_and_builds(installed: wheels.Installed, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    installed.run(folder, "init", "--template")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    refused = installed.run(folder, "init", "--template", check=False)
    assert (refused.status, "nothing was changed" in refused.text) == (2, True)
    installed.run(folder, "bin")


def test_an_empty_folder_and_a_wrong_word_are_errors_of_status_2(installed: wheels.Installed, tmp_path: Path) -> None:
    empty = installed.run(tmp_path, "init", check=False)
    assert (empty.status, "init --template" in empty.text, "Traceback" in empty.text) == (2, True, False)
    assert installed.run(tmp_path, "init", "--nonsense", check=False).status == 2


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_written_once(installed: wheels.Installed, tmp_path: Path, name: str) -> None:
    shown = installed.run(tmp_path, "init", "--ci", name, "--dry-run").text
    assert not any(tmp_path.iterdir())
    installed.run(tmp_path, "init", "--ci", name)
    path = tmp_path / WORKFLOWS[name]
    assert path.read_text(encoding="utf-8") in shown
    assert "scons-multiarch" in shown
    path.write_text("mine", encoding="utf-8")
    assert installed.run(tmp_path, "init", "--ci", name, check=False).status == 2
    assert path.read_text(encoding="utf-8") == "mine"


def test_where_there_is_no_sconstruct_the_command_says_what_writes_one(installed: wheels.Installed, tree: Path) -> None:
    inside = tree / "cmd" / "whoami"
    inside.mkdir(parents=True)
    for words in ((), ("push-manifest",), ("-j2", "REGISTRY=localhost:5000")):
        run = installed.run(tree, *words, check=False)
        assert (run.status, "multiarch init writes one" in run.text, "Main.py" in run.text) == (2, True, False)
    assert "multiarch init " in installed.run(tree, "-h").text
    installed.run(tree, "init")
    assert "push-manifest" in installed.run(tree, "-h").text  # though no version is known yet
    assert "VERSION: the file is missing" in installed.run(tree, "bin", check=False).text
    assert f"multiarch -u takes the one of {tree}" in installed.run(inside, check=False).text
    installed.run(inside, "-u", "bin", "VERSION=v1")
    installed.run(inside, "-C", str(tree), "bin", "VERSION=v1")


def test_the_version_is_that_of_the_wheel(installed: wheels.Installed, tmp_path: Path) -> None:
    assert installed.run(tmp_path, "--version").text.startswith("scons-multiarch 1.2.3")


@pytest.mark.parametrize("name", ["Hello", "hello-world"])
def test_a_rust_program_becomes_images(
    installed: wheels.Installed, tmp_path: Path, name: str, rust: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for compiler in ("x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"):
        required(compiler)
    if rust:
        monkeypatch.setenv("PATH", f"{rust}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.rs").write_text("fn main() {}\n", encoding="utf-8")
    (tmp_path / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "1.0.0"\n', encoding="utf-8")
    assert "needs rustup target add" in installed.run(tmp_path, "init").text
    assert len((tmp_path / "SConstruct").read_text(encoding="utf-8").splitlines()) <= 15
    installed.run(tmp_path, "manifest", "VERSION=v1")
    assert len(list((tmp_path / "_output" / "images").iterdir())) == 2
