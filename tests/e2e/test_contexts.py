"""Named contexts in a build: what a change in another folder, a generated file, a moved image causes, and what nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import unpacked
from machines.bases import push_image
from machines.project import Project
from machines.registry import Registry
from multiarch_oci.store.archive import Archive

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "oci_image", "oci_targets"], DEFAULTS={"VERSION": "v1"})
env["LIB"] = "../shared/lib"
one = env.Image("_output/images/one.tar", dockerfile="Dockerfile.one", contexts={"lib": "$LIB"})
two = env.Image("_output/images/two.tar", dockerfile="Dockerfile.two", contexts={"lib": env.Dir("inside")})
three = env.Image("_output/images/three.tar", dockerfile="Dockerfile.three")
env.Command("inside/made.txt", "made.in", Copy("$TARGET", "$SOURCE"))
env.Targets(images=[one, two, three])
"""
RECIPE = "FROM scratch\nCOPY --from=lib {} /\n"
ONE, TWO, THREE = (f"Image _output/images/{name}.tar" for name in ("one", "two", "three"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a build of three images, of which two have a context each."""
    made = Project.linked(tmp_path / "project", {"SConstruct": SCONSTRUCT})
    made.edit("Dockerfile.one", RECIPE.format("a*.txt sub"))
    made.edit("Dockerfile.two", RECIPE.format("."))
    made.edit("Dockerfile.three", "FROM scratch\nCOPY made.in /\n")
    made.edit("made.in", "made")
    for name in ("a1.txt", "b.txt", "sub/x", "left.tmp", "sub/left.tmp"):
        made.edit(f"../shared/lib/{name}", name)
    made.edit("../shared/lib/.dockerignore", "**/*.tmp\n")
    made.edit("inside/f", "f")
    return made


def files(project: Project, name: str) -> list[str]:
    return sorted(unpacked.of_archive(project.path / f"_output/images/{name}.tar"))


def test_what_the_dockerfile_takes_of_a_folder_is_what_its_image_depends_on(project: Project):
    assert sorted(project.scons("images").steps) == sorted((ONE, TWO, THREE))
    assert files(project, "one") == ["a1.txt", "x"]
    assert files(project, "two") == ["f", "made.txt"]
    assert project.scons("images").up_to_date
    for path in ("b.txt", "left.tmp", "sub/left.tmp"):
        project.edit(f"../shared/lib/{path}", "changed")
    assert project.scons("images").up_to_date
    project.edit("../shared/lib/sub/x", "changed")
    again = project.scons("images")
    assert again.steps == [ONE]
    assert f"{ONE}: lib//sub/x changed\n" in again.text
    project.edit("../shared/lib/a2.txt", "new")
    again = project.scons("images")
    assert (again.steps, "lib//a2.txt added" in again.text) == ([ONE], True)
    assert files(project, "one") == ["a1.txt", "a2.txt", "x"]
    project.edit("../shared/lib/.dockerignore", "**/*.tmp\na1.txt\n")
    assert project.scons("images").steps == [ONE]
    assert files(project, "one") == ["a2.txt", "x"]
    assert project.scons("images").up_to_date


@pytest.mark.skipif(sys.platform == "win32", reason="the file system has no executable bit")
def test_the_executable_bit_of_a_file_of_a_folder_counts(project: Project):
    project.scons("images")
    (project.path / "../shared/lib/sub/x").chmod(0o755)
    assert project.scons("images").steps == [ONE]
    assert unpacked.of_archive(project.path / "_output/images/one.tar")["x"].mode == "0o755"


def test_a_file_of_a_folder_that_the_build_makes_is_made_first(project: Project):
    ran = project.scons("_output/images/two.tar")
    assert ran.steps == [TWO]
    assert files(project, "two") == ["f", "made.txt"]
    project.edit("made.in", "changed")
    assert sorted(project.scons("images").steps) == sorted((ONE, TWO, THREE))
    project.edit("inside/f", "changed")
    assert project.scons("images").steps == [TWO]


def test_another_folder_with_the_same_files_is_the_same_image(project: Project):
    project.scons("images")
    os.rename(project.path / "../shared/lib", project.path / "../shared/moved")  # noqa: PTH104  # as a user does
    project.replace("SConstruct", "../shared/lib", "../shared/moved")
    assert project.scons("images").up_to_date


def test_a_folder_that_is_gone_and_a_context_that_is_none_are_errors(project: Project):
    project.edit("Dockerfile.one", RECIPE.format("."))
    project.scons("images")
    os.rename(project.path / "../shared/lib", project.path / "../shared/moved")  # noqa: PTH104  # as a user does
    ran = project.scons("images", check=False)
    assert ran.status == 2
    assert "Dockerfile.one:2: COPY: context 'lib': there is no folder" in ran.text
    project.replace("SConstruct", "../shared/lib", "oci-layout://x@sha256:0")
    ran = project.scons("images", check=False)
    assert ran.status == 2
    assert "context 'lib': an image in a folder cannot be a base: a push would not find its layers" in ran.text
    assert "Traceback" not in ran.text


def test_an_image_in_the_place_of_another_is_locked_by_its_own_name(project: Project, registry: Registry):
    name = f"{registry.host}/real:v1"
    push_image(name, "linux/amd64", {"f": b"1"})
    project.replace("SConstruct", '{"lib": "$LIB"}', f'{{"golang:1": "docker-image://{name}"}}')
    project.edit("Dockerfile.one", "FROM golang:1 AS build\nFROM scratch\nCOPY --from=build /f /f\n")
    ran = project.scons("images")
    assert f"images.lock: {name} for linux/amd64 is sha256:" in ran.text
    assert files(project, "one") == ["f"]
    before = project.digests("_output/images")
    push_image(name, "linux/amd64", {"f": b"2"})
    assert project.scons("images").up_to_date
    assert f"{name} for linux/amd64 is stale: " in project.scons("check-bases", check=False).text
    project.scons("update-bases")
    assert project.scons("images").steps == [ONE]
    assert project.digests("_output/images") != before
    assert Archive(project.path / "_output/images/one.tar").image().layers
