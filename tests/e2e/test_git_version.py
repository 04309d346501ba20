"""VERSION by git: tags as they are spelled, no step for a commit that changes nothing, no process where HEAD stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from machines import wheels
from machines.project import Project, copy_template
from machines.registry import Registry
from machines.required import required


class Repository(Project):
    """A project under git, without a file VERSION."""

    def git(self, *arguments: str) -> str:
        command = [required("git"), *wheels.AUTHOR, *arguments]
        ran = subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True)
        return ran.stdout.strip()

    def commit(self, text: str) -> None:
        self.edit("NOTES.md", text)
        self.git("add", "NOTES.md")
        self.git("commit", "-qm", text)


@pytest.fixture
def tree(tmp_path: Path) -> Repository:
    copy_template(tmp_path / "tree")
    repository = Repository(tmp_path / "tree")
    repository.remove("VERSION")
    repository.git("init", "-q")
    repository.git("add", "-A")
    repository.git("commit", "-qm", "first")
    repository.git("tag", "v0.3.1")
    return repository


def verbs(steps: list[str]) -> set[str]:
    return {step.partition(" ")[0] for step in steps}


def test_ten_commits_of_a_page_compile_nothing_and_send_manifests_alone(tree: Repository, registry: Registry) -> None:
    to = f"REGISTRY={registry.host}"
    tree.scons("push-manifest", to)
    for number in range(10):
        tree.commit(f"page {number}")
    tree.scons("push-manifest", to)  # the release is v0.3.1-dev from here on
    tree.commit("one more")
    registry.requests()
    ran = tree.scons("push-manifest", to)
    assert verbs(ran.steps) == {"Index", "Push", "Publish"}
    assert not [request for request in registry.requests() if "/blobs/uploads/" in str(request)]
    described = tree.git("describe", "--tags", "--abbrev=7")
    assert described.startswith("v0.3.1-11-g")
    assert described in " ".join(ran.steps)
    assert tree.scons("push-manifest", to).up_to_date


def test_a_program_knows_the_release_and_who_wants_it_the_commit(tree: Repository) -> None:
    tree.scons("bin")
    assert b"v0.3.1" in (program := tree.path / "_output/bin/amd64/linux/demo").read_bytes()
    tree.commit("page")
    assert verbs(tree.scons("bin").steps) == {"Compile"}
    assert b"v0.3.1-dev" in program.read_bytes()
    assert tree.scons("bin").up_to_date
    tree.commit("another page")
    assert tree.scons("bin").up_to_date
    tree.replace("SConstruct", "main.version=$VERSION", "main.version=$REVISION")
    tree.scons("bin")
    assert tree.git("rev-parse", "HEAD").encode() in program.read_bytes()
    tree.commit("a third page")
    assert verbs(tree.scons("bin").steps) == {"Compile"}


def test_between_tags_further_tags_stay_and_it_is_said(tree: Repository) -> None:
    tree.commit("page")
    text = tree.scons("push-manifest", "TAGS=latest").text
    assert "latest is not moved" in text
    assert "is a pre-release" in text


def test_a_changed_file_is_said_once_and_untracked_ones_are_none(tree: Repository) -> None:
    tree.edit("untracked.md", "")
    assert "not as in" not in tree.scons("push-manifest").text
    tree.edit("Dockerfile.win", tree.read("Dockerfile.win") + "# more\n")
    tree.edit("main.go", tree.read("main.go") + "// more\n")
    tree.commit("page")
    text = tree.scons("push-manifest").text
    assert text.count("Dockerfile.win and 1 more: not as in git's commit") == 1
    assert tree.scons("push-manifest").up_to_date


def test_a_tag_that_never_moves_is_of_its_very_commit(tree: Repository, registry: Registry) -> None:
    to = f"REGISTRY={registry.host}"
    tree.edit("main.go", tree.read("main.go") + "// more\n")
    refused = tree.scons("push-manifest", to, "IMMUTABLE=yes", check=False)
    assert refused.status == 2
    assert "main.go: not as in git's commit" in refused.text
    assert "which has the tag v0.3.1" in refused.text
    assert not [request for request in registry.requests() if str(request).startswith("PUT")]
    tree.scons("push-manifest", to, "IMMUTABLE=yes", "VERSION=v9")


def test_a_monorepo_takes_the_tags_of_one_program(tree: Repository) -> None:
    tree.commit("page")
    tree.git("tag", "api/v2.0")
    tree.edit("VERSION", "v7\n")
    steps = " ".join(tree.scons("manifest", "VERSION_TAG=api/v*").steps)
    assert "-v2.0.json" in steps
    assert "-v7.json" in " ".join(tree.scons("manifest").steps)


@pytest.mark.parametrize(
    ("spoil", "words", "hint"),
    [
        (lambda tree: tree.remove(".git"), "the file is missing, and this is no git repository", "VERSION=v1.0"),
        (lambda tree: tree.git("tag", "-d", "v0.3.1"), "the file is missing, and git knows no tag", "git tag v0.1.0"),
        (lambda tree: tree.git("update-ref", "-d", "HEAD"), "git has no commit yet", "git tag v0.1.0"),
    ],
    ids=["no repository", "no tag", "no commit"],
)  # fmt: skip
def test_what_git_does_not_know_is_one_error(tree: Repository, spoil: object, words: str, hint: str) -> None:
    assert callable(spoil)
    spoil(tree)
    ran = tree.scons("push-manifest", check=False)
    assert ran.status == 2
    assert words in ran.text
    assert hint in ran.text
    assert "Traceback" not in ran.text


def test_a_shallow_clone_says_how_to_clone(tree: Repository, tmp_path: Path) -> None:
    tree.commit("page")
    tree.git("clone", "-q", "--depth=1", "--no-tags", tree.path.as_uri(), str(tmp_path / "shallow"))
    ran = Project(tmp_path / "shallow").scons("push-manifest", check=False)
    assert (ran.status, "this clone is shallow" in ran.text, "fetch-depth: 0" in ran.text) == (2, True, True)


@pytest.mark.skipif(os.name == "nt", reason="the program that counts is a shell script")
def test_a_run_with_nothing_to_do_starts_no_git(tree: Repository, tmp_path: Path) -> None:
    git, calls = required("git"), tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "git"
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {git} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    tree.scons("push-manifest", env=environment)
    assert "describe" in calls.read_text(encoding="utf-8")
    calls.unlink()
    assert tree.scons("push-manifest", env=environment).up_to_date
    assert not calls.exists()


def test_two_clones_of_different_origins_make_one_index(tree: Repository, tmp_path: Path) -> None:
    digests = []
    for name, login in (("one", ""), ("two", "somebody:hidden@")):
        tree.git("clone", "-q", tree.path.as_uri(), str(tmp_path / name))
        clone = Repository(tmp_path / name)
        clone.git("remote", "set-url", "origin", f"https://{login}example.org/{name}.git")
        clone.scons("manifest")
        (index,) = (clone.path / "_output/manifest").glob("*.json")
        digests.append(index.read_bytes())
        assert b"hidden" not in index.read_bytes()
        assert json.loads(index.read_bytes())["manifests"]
    assert digests[0] == digests[1]


WHOAMI = """import scons_multiarch

env = scons_multiarch.environment(PLATFORMS="linux/amd64")
env.GoImage("whoami")
"""


def annotations(tree: Repository, *arguments: str) -> dict[str, str]:
    """Return what the index says of itself, by the last part of each name."""
    tree.scons("manifest", *arguments)
    (index,) = (tree.path / "_output/manifest").glob("*.json")
    noted = json.loads(index.read_bytes()).get("annotations", {})
    return {name.rpartition(".")[2]: text for name, text in noted.items()}


def test_the_index_says_version_and_source_and_the_revision_where_the_version_is_gits(tree: Repository) -> None:
    tree.edit("SConstruct", WHOAMI)
    tree.edit("Dockerfile.amd64", tree.read("Dockerfile.amd64").replace("demo", "whoami"))
    tree.edit("go.mod", "module github.com/acme/whoami\n\ngo 1.24\n")
    tree.git("remote", "add", "origin", "https://somebody:hidden@example.org/x.git")
    commit = tree.git("rev-parse", "HEAD")
    of_git = {"version": "v0.3.1", "revision": commit, "source": "https://github.com/acme/whoami"}
    assert annotations(tree) == of_git
    tree.remove("_output/manifest")
    assert annotations(tree, "VERSION=v0.3.1") == {name: of_git[name] for name in ("version", "source")}
    assert annotations(tree, "VERSION=v0.3.1", "REVISION=yes") == of_git
    own = annotations(tree, "VERSION=v0.3.1", "ANNOTATIONS=org.opencontainers.image.source=https://example.org/me")
    assert own["source"] == "https://example.org/me"
    tree.commit("page")
    assert annotations(tree, "VERSION=v0.3.1", "REVISION=yes")["revision"] == tree.git("rev-parse", "HEAD")
    steps = tree.scons("manifest", "VERSION=v0.3.1", "REVISION=yes").steps
    assert steps == []


def test_a_session_refuses_a_version_that_a_new_tag_made_old(tree: Repository) -> None:
    tag = f"{required('git')} tag v9.0"
    tree.edit("SConstruct", WHOAMI + f'env.AlwaysBuild(env.Alias("tag", [], "{tag}"))\n')
    tree.edit("Dockerfile.amd64", tree.read("Dockerfile.amd64").replace("demo", "whoami"))
    words = "build manifest\nbuild tag\nbuild manifest\nexit\n"
    command = [sys.executable, "-m", "SCons", "--interactive"]
    ran = subprocess.run(command, cwd=tree.path, input=words, capture_output=True, text=True, check=False)
    assert "changed since this session read what there is to build" in ran.stdout + ran.stderr


def test_a_revision_beside_a_version_of_a_file_says_changed_files(tree: Repository) -> None:
    tree.edit("VERSION", "v5\n")
    tree.edit("main.go", tree.read("main.go") + "// more\n")
    text = tree.scons("push-manifest", "REVISION=yes").text
    assert "main.go: not as in git's commit" in text
    assert tree.scons("push-manifest", "REVISION=yes").up_to_date
