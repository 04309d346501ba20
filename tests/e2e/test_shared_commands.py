"""`env.Cached`: what commands of any language make is kept in the shared cache (behaviour, section 9)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from machines.project import Project, Run
from machines.suppliers import Keys

SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment(PLATFORMS="linux/amd64")
made = env.Command(["out.txt", "more.txt"], "in.txt", [
    "echo ran >> ran.log", "tr a-z A-Z < $SOURCE > out.txt", "wc -c < $SOURCE > more.txt", "chmod +x out.txt",
])
env.Cached(made)
"""


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return f"CACHE={tmp_path / 'shared'}"


def plant(folder: Path, sconstruct: str = SCONSTRUCT, **files: str) -> Project:
    return Project.of(folder, {"SConstruct": sconstruct, "in.txt": "one\n", **files})


def runs(tree: Project) -> int:
    log = tree.path / "ran.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_what_a_command_made_is_taken_by_another_machine(tmp_path: Path, cache: str):
    first, second = plant(tmp_path / "first"), plant(tmp_path / "second")
    first.scons("out.txt", cache, "CACHE_MODE=readwrite")
    run = second.scons("out.txt", "more.txt", cache)
    assert "out.txt, more.txt: from cache" in run.text
    assert runs(second) == 0
    assert second.read("out.txt") == "ONE\n"
    assert second.read("more.txt") == first.read("more.txt")
    assert os.access(second.path / "out.txt", os.X_OK)
    assert second.scons("out.txt", "more.txt", cache).up_to_date
    assert second.scons("out.txt", "more.txt").up_to_date


@pytest.mark.parametrize("change", ["source", "command", "scope"])
def test_what_decides_the_output_is_in_the_key(tmp_path: Path, cache: str, change: str):
    plant(tmp_path / "first").scons("out.txt", cache, "CACHE_MODE=readwrite")
    second = plant(tmp_path / "second")
    words: tuple[str, ...] = ()
    if change == "source":
        second.edit("in.txt", "two\n")
    elif change == "command":
        second.replace("SConstruct", "tr a-z A-Z", "tr a-y A-Y")
    else:
        words = ("CACHE_SCOPE=other",)
    second.scons("out.txt", cache, *words)
    assert runs(second) == 1


def test_what_was_taken_before_there_was_a_key_runs_here(tmp_path: Path, cache: str):
    plant(tmp_path / "first").scons("out.txt", cache, "CACHE_MODE=readwrite")
    second, key = plant(tmp_path / "second"), f"CACHE_KEY={Keys.make(tmp_path).public}"
    second.scons("out.txt", "more.txt", cache)
    assert second.scons("out.txt", "more.txt", cache).up_to_date  # SCons records it anew
    assert runs(second) == 0
    second.scons("out.txt", "more.txt", cache, key)
    assert runs(second) == 1
    assert second.scons("out.txt", "more.txt", cache, key).up_to_date


FOLDER = """\
import scons_multiarch

env = scons_multiarch.environment(PLATFORMS="linux/amd64")
env.Cached(env.Command("names.txt", [Glob("folder/*"), File("../beside.txt")], ["echo ran >> ran.log", "ls folder > names.txt"]))
"""


@pytest.mark.parametrize("name", ["a.txt", "b.txt"])
def test_a_source_by_another_name_is_another_one(tmp_path: Path, cache: str, name: str):
    (tmp_path / "beside.txt").write_text("the same for both\n", encoding="utf-8")
    first = plant(tmp_path / "first", FOLDER, **{"folder/a.txt": "one\n"})
    first.scons("names.txt", cache, "CACHE_MODE=readwrite")
    second = plant(tmp_path / "second", FOLDER, **{f"folder/{name}": "one\n"})
    second.scons("names.txt", cache)
    assert second.read("names.txt") == f"{name}\n"
    assert runs(second) == (name != "a.txt")


def test_a_lost_file_is_made_again(tmp_path: Path, cache: str):
    plant(tmp_path / "first").scons("out.txt", cache, "CACHE_MODE=readwrite")
    for blob in (tmp_path / "shared" / "blobs").rglob("*"):
        if blob.is_file() and blob.read_bytes() == b"ONE\n":
            blob.unlink()
    second = plant(tmp_path / "second")
    run = second.scons("out.txt", cache)
    assert "it is made here" in run.text
    assert (runs(second), second.read("out.txt")) == (1, "ONE\n")


def test_a_rehearsal_writes_nothing(tmp_path: Path, cache: str):
    plant(tmp_path / "first").scons("out.txt", cache, "CACHE_MODE=readwrite")
    second = plant(tmp_path / "second")
    second.scons("-n", "out.txt", cache, "CACHE_MODE=readwrite")
    assert not (second.path / "out.txt").exists()


def failing(tmp_path: Path, line: str) -> Run:
    sconstruct = f"import scons_multiarch\n\nenv = scons_multiarch.environment()\n{line}\n"
    return plant(tmp_path / "tree", sconstruct).scons("-n", check=False)


def test_what_nothing_makes_and_folders_are_errors(tmp_path: Path):
    run = failing(tmp_path, 'env.Cached("in.txt")')
    assert run.status == 2
    assert "in.txt: is made by nothing" in run.text
    assert "Traceback" not in run.text
