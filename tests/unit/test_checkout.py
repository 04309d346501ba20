"""A revision in a clean folder: which commit holds files with known contents, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from multiarch_oci.checkout import CannotCheckOut, Clone, is_address


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q")
    for text in ("one", "two", "three"):
        (folder / "sub" / "file").write_text(text, encoding="utf-8")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", text)
    return folder


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.email=someone@example.com", "-c", "user.name=someone"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_commit_with_these_contents_is_found_and_laid_out(repository: Path, tmp_path: Path):
    clone = Clone(tmp_path / "clone", os.environ)
    clone.fetch(str(repository))
    second = git(repository, "rev-parse", "HEAD~1")
    assert list(clone.holding({"file": sha256("two")}, ["HEAD"], "sub/")) == [second]
    assert list(clone.holding({"file": sha256("two"), "other": sha256("")}, ["HEAD"], "sub/")) == []
    assert clone.differing[1] == "other"
    clone.checkout(second)
    assert (tmp_path / "clone" / "sub" / "file").read_text(encoding="utf-8") == "two"
    assert clone.commit("no-such-name") is None
    assert clone.commit("--upload-pack=x") is None
    with pytest.raises(CannotCheckOut, match="cannot be checked out"):
        clone.checkout("0" * 40)


def test_of_commits_that_differ_in_what_is_built_elsewhere_one_is_given(repository: Path, tmp_path: Path):
    last = git(repository, "rev-parse", "HEAD")
    made = []
    for name in ("README", "SConstruct", "docs"):
        (repository / name).write_text(name, encoding="utf-8")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", name)
        made.append(git(repository, "rev-parse", "HEAD"))
    clone = Clone(tmp_path / "clone", os.environ)
    clone.fetch(str(repository))
    assert list(clone.holding({"file": sha256("three")}, ["HEAD"], "sub/")) == [made[-1], last]


def test_a_hook_of_a_template_is_not_run(repository: Path, tmp_path: Path):
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n", encoding="utf-8")
    (hooks / "post-checkout").chmod(0o755)
    clone = Clone(tmp_path / "clone", {**os.environ, "GIT_TEMPLATE_DIR": str(tmp_path / "template")})
    clone.fetch(str(repository))
    clone.checkout(git(repository, "rev-parse", "HEAD"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("https://example.com/a.git", True),
        ("ssh://git@example.com/a.git", True),
        ("git@example.com:team/a.git", True),
        ("http://example.com/a.git", False),
        ("ext::sh -c x", False),
        (".", False),
        ("../a", False),
    ],
)
def test_addresses_are_https_and_ssh(text: str, known: bool):
    assert is_address(text) is known


@pytest.mark.parametrize("address", ["git://example.com/a", "http://example.com/a", "ext::sh -c false", "nowhere"])
def test_nothing_else_is_cloned(address: str, tmp_path: Path):
    with pytest.raises(CannotCheckOut):
        Clone(tmp_path / "clone", os.environ).fetch(address)
