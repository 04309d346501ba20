"""The version of a tree by git: real repositories, made by git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from multiarch_oci.errors import MultiarchError
from multiarch_oci.git import Described, Git, NoAnswer, Repository

ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, message: str = "change") -> str:
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def asked(folder: Path, pattern: str = "") -> Described:
    return Git(folder, ENVIRONMENT).describe(pattern)


def test_at_a_tag_the_version_is_the_tag(tree: Path):
    git(tree, "tag", "v0.3.1")
    described = asked(tree)
    assert (described.version.text, described.release, described.version.is_prerelease) == ("v0.3.1", "v0.3.1", False)
    assert described.commit == git(tree, "rev-parse", "HEAD")


def test_after_a_tag_the_version_is_what_git_describe_says_and_a_prerelease(tree: Path):
    git(tree, "tag", "-a", "-m", "release", "v0.3")
    for _ in range(4):
        commit(tree)
    described = asked(tree)
    assert described.version.text == git(tree, "describe", "--tags", "--abbrev=7")
    assert described.version.is_prerelease
    assert described.version.numbers == ("0", "3")
    assert described.release == "v0.3-dev"


@pytest.mark.parametrize(
    ("tag", "version", "prerelease"),
    [
        ("v1.0.0+build.5", "v1.0.0-build.5", False),
        ("1.2.3-rc.1", "1.2.3-rc.1", True),
        ("api/v2.0", "v2.0", False),
        ("v1.0-4-gabcdef1", "v1.0-4-gabcdef1", True),
    ],
)
def test_a_version_is_spelled_as_its_tag(
    tree: Path, tag: str, version: str, prerelease: bool
):  # a parameter of the table
    git(tree, "tag", tag)
    assert (asked(tree).version.text, asked(tree).version.is_prerelease) == (version, prerelease)


def test_a_pattern_chooses_the_tags_of_one_program(tree: Path):
    git(tree, "tag", "api/v1.0")
    commit(tree)
    git(tree, "tag", "worker/v7.0")
    assert asked(tree, "api/v*").version.text.startswith("v1.0-1-g")
    assert asked(tree, "worker/v*").version.text == "v7.0"
    with pytest.raises(NoAnswer, match="no tag like 'web/v\\*' before HEAD") as error:
        asked(tree, "web/v*")
    assert error.value.hint == "set one: git tag web/v0.1.0; or give VERSION=v1.0 on the command line"


def test_a_tag_that_no_registry_has_is_an_error_that_says_how_to_choose(tree: Path):
    git(tree, "tag", "release=1")
    with pytest.raises(MultiarchError, match="git's tag 'release=1' is no version") as error:
        _ = asked(tree).version
    assert "VERSION_TAG='v*'" in str(error.value.hint)


def test_what_is_missing_is_said(tmp_path: Path):
    with pytest.raises(NoAnswer, match="this is no git repository"):
        asked(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(NoAnswer, match="git has no commit yet"):
        asked(tmp_path)
    commit(tmp_path)
    with pytest.raises(NoAnswer, match="git knows no tag before HEAD") as error:
        asked(tmp_path)
    assert error.value.hint == "set one: git tag v0.1.0; or give VERSION=v1.0 on the command line"
    with pytest.raises(NoAnswer, match="there is no git on PATH"):
        Git(tmp_path, {"PATH": str(tmp_path)}).describe()


def test_a_shallow_clone_says_how_to_clone(tree: Path, tmp_path: Path):
    git(tree, "tag", "v1.0")
    commit(tree)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", tree.as_uri(), "shallow")
    with pytest.raises(NoAnswer, match="this clone is shallow") as error:
        asked(tmp_path / "shallow")
    assert "fetch-depth: 0" in str(error.value.hint)


def test_untracked_files_are_no_change_and_edits_of_tracked_ones_are(tree: Path):
    (tree / "a.txt").write_text("one", encoding="utf-8")
    git(tree, "add", ".")
    commit(tree)
    (tree / "_output").mkdir()
    (tree / "_output" / "x").write_text("", encoding="utf-8")
    assert Git(tree, ENVIRONMENT).changed() == ()
    (tree / "a.txt").write_text("two", encoding="utf-8")
    assert Git(tree, ENVIRONMENT).changed() == ("a.txt",)
    git(tree, "add", "a.txt")
    assert Git(tree, ENVIRONMENT).changed() == ("a.txt",)


def counted(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment whose git notes each call in a file."""
    real, calls = git(tmp_path, "--exec-path"), tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "git"
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real}/git "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return {**ENVIRONMENT, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}, calls


@pytest.mark.skipif(os.name == "nt", reason="the program that counts is a shell script")
def test_git_is_asked_only_when_head_or_a_ref_changed(tree: Path, tmp_path: Path):
    environment, calls = counted(tmp_path)
    git(tree, "tag", "v1.0")

    def version() -> str:
        return Git(tree, environment, tree / ".multiarch" / "git.json").describe().version.text

    def asked_again() -> bool:
        before = calls.read_text(encoding="utf-8").count("\n")
        version()
        return calls.read_text(encoding="utf-8").count("\n") > before

    assert version() == "v1.0"
    assert not asked_again()
    (tree / "untracked").write_text("", encoding="utf-8")
    assert not asked_again()
    changes = [
        lambda: commit(tree),
        lambda: git(tree, "tag", "v1.1"),
        lambda: git(tree, "tag", "--force", "v1.1", "HEAD~1"),
        lambda: git(tree, "tag", "--delete", "v1.1"),
        lambda: git(tree, "checkout", "--quiet", "--detach"),
        lambda: commit(tree),
        lambda: git(tree, "pack-refs", "--all"),
    ]
    for change in changes:
        change()
        assert asked_again()
        assert not asked_again()


def test_a_worktree_has_a_head_of_its_own(tree: Path, tmp_path: Path):
    git(tree, "tag", "v1.0")
    git(tree, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    commit(tmp_path / "other")
    assert asked(tree).distance == 0
    assert asked(tmp_path / "other").distance == 1
    repository = Repository.around(tmp_path / "other")
    assert repository is not None
    before = repository.state()
    commit(tmp_path / "other")
    assert repository.state() != before


def test_a_hooks_variables_do_not_lead_to_another_repository(tree: Path, tmp_path: Path):
    git(tree, "tag", "v1.0")
    environment = {**ENVIRONMENT, "GIT_DIR": str(tmp_path / "nowhere"), "GIT_INDEX_FILE": str(tmp_path / "index")}
    assert Git(tree, environment).describe().version.text == "v1.0"


def test_a_branch_that_is_a_symbolic_reference_is_followed(tree: Path):
    git(tree, "tag", "v1.0")
    git(tree, "branch", "trunk")
    git(tree, "symbolic-ref", "refs/heads/alias", "refs/heads/trunk")
    git(tree, "symbolic-ref", "HEAD", "refs/heads/alias")
    cache = tree / "git.json"
    assert Git(tree, ENVIRONMENT, cache).describe().distance == 0
    commit(tree)
    assert Git(tree, ENVIRONMENT, cache).describe().distance == 1


@pytest.mark.skipif(os.name == "nt", reason="the program that counts is a shell script")
def test_the_commit_alone_is_asked_once_too(tree: Path, tmp_path: Path):
    environment, calls = counted(tmp_path)
    cache = tree / "git.json"
    for _ in range(2):
        assert Git(tree, environment, cache).head() == git(tree, "rev-parse", "HEAD")
    assert calls.read_text(encoding="utf-8").count("\n") == 1
    assert Git(tree, environment, cache).head() != commit(tree) == Git(tree, environment, cache).head()
