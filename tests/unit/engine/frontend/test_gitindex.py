from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from multiarch_oci.engine.frontend.gitindex import executables


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_the_index_says_what_is_executable(tmp_path, version):
    (tmp_path / "sub/deeper").mkdir(parents=True)
    names = ["a", "run.sh", "sub/run", "sub/deeper/run-with-a-longer-name", "sub/plain"]
    for name in names:
        (tmp_path / name).write_text(name)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "update-index", "--chmod=+x", "run.sh", "sub/run", "sub/deeper/run-with-a-longer-name")
    git(tmp_path, "update-index", "--index-version", version)
    if version == "3":
        (tmp_path / "later").write_text("x")
        git(tmp_path, "add", "--intent-to-add", "later")
    assert executables(tmp_path) == {"run.sh", "sub/run", "sub/deeper/run-with-a-longer-name"}
    assert executables(tmp_path / "sub") == {"run", "deeper/run-with-a-longer-name"}


def test_no_repository_and_a_damaged_index_say_nothing(tmp_path):
    assert executables(tmp_path) == frozenset()
    git(tmp_path, "init", "-q")
    (tmp_path / ".git/index").write_bytes(b"DIRC\0\0\0\2\0\0\0\5short")
    assert executables(tmp_path) == frozenset()
