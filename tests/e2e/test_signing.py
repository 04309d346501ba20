"""Keys and passwords of signatures in a build: where they must not get to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import unpacked
from machines.project import Project

SCONSTRUCT = """\
import os
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "oci_image", "oci_targets"], ENGINES)
env.Targets(images=[env.Image("_output/images/one.tar", dockerfile="Dockerfile")])
print("seen", [name for name in os.environ if "SIGN" in name])
env.Command("environment.txt", [], "env > $TARGET", ENV=dict(os.environ))
"""

SECRET = "correct-horse-battery"  # noqa: S105  # nobody's


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.linked(
        tmp_path / "project", {"SConstruct": SCONSTRUCT.replace("ENGINES", 'DEFAULTS={"VERSION": "v1"}')}
    )
    made.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    made.edit("keys/own.pem", "a private key\n")
    made.edit("keys/other.txt", "no key\n")
    (made.path / "linked.pem").symlink_to("keys/own.pem")
    return made


@pytest.mark.parametrize("spelled", ["keys/own.pem", "./keys/own.pem", "../project/keys/own.pem", "{}/keys/own.pem"])
def test_the_key_of_sign_is_in_no_image(project: Project, spelled: str):
    project.scons("images", f"SIGN={spelled.format(project.path)}")
    names = set(unpacked.of_archive(project.path / "_output/images/one.tar"))
    assert "keys/other.txt" in names
    assert "keys/own.pem" not in names


@pytest.mark.parametrize("engine", ["podman", "docker", "buildx"])
def test_the_key_of_sign_is_in_no_image_of_another_engine(
    project: Project, engine: str, request: pytest.FixtureRequest
):
    environment: dict[str, str] = request.getfixturevalue(f"{engine}_environment")
    project.edit("Dockerfile", "FROM scratch\nCOPY . /\nCOPY keys /keys/\n")
    path = os.pathsep.join(filter(None, (environment.get("PATH"), os.environ["PATH"])))
    more = {"SIGN_PASSWORD": SECRET, "PATH": path}
    project.scons("images", "SIGN=keys/own.pem", f"ENGINE={engine}", env=environment | more)
    image = unpacked.of_archive(project.path / "_output/images/one.tar")
    assert "keys/other.txt" in image
    assert "keys/own.pem" not in image


@pytest.mark.parametrize("words", [("SIGN=keyless:own",), ("CACHE_KEY=keyless", "CACHE=./shared")])
def test_a_key_is_in_no_image_whatever_its_file_is_called(project: Project, words: tuple[str, ...]):
    name = words[0].partition("=")[2]
    project.edit(name, "-----BEGIN PRIVATE KEY-----\n")
    project.scons("images", *words)
    names = set(unpacked.of_archive(project.path / "_output/images/one.tar"))
    assert "keys/other.txt" in names
    assert name not in names


def test_a_key_behind_a_link_is_in_no_image_under_either_name(project: Project):
    project.scons("images", "SIGN=linked.pem")
    names = set(unpacked.of_archive(project.path / "_output/images/one.tar"))
    assert not {"keys/own.pem", "linked.pem"} & names


def test_a_hard_link_of_the_key_is_in_no_image(project: Project):
    (project.path / "share/deep").mkdir(parents=True)
    (project.path / "share/deep/hard.pem").hardlink_to(project.path / "keys/own.pem")
    project.edit("share/deep/beside.txt", "no key\n")
    project.scons("images", "SIGN=keys/own.pem")
    names = set(unpacked.of_archive(project.path / "_output/images/one.tar"))
    assert "share/deep/beside.txt" in names
    assert not {"keys/own.pem", "share/deep/hard.pem"} & names


def test_a_key_that_is_copied_by_name_is_not_there(project: Project):
    project.edit("Dockerfile", "FROM scratch\nCOPY keys/own.pem /\n")
    ran = project.scons("images", "SIGN=keys/own.pem", check=False)
    assert ran.status == 2
    assert "'keys/own.pem' is not in the context\n  hint: no image holds it: SIGN or CACHE_KEY names it" in ran.text
    assert ".dockerignore" not in ran.text
    assert "Traceback" not in ran.text


@pytest.mark.parametrize("name", ["SIGN_PASSWORD", "COSIGN_PASSWORD"])
def test_a_password_on_the_command_line_is_an_error_that_does_not_repeat_it(project: Project, name: str):
    ran = project.scons("images", f"{name}={SECRET}", check=False)
    assert ran.status == 2
    assert f"{name} stands where others can read it" in ran.text
    assert SECRET not in ran.text


def test_a_password_in_custom_py_is_one_too(project: Project):
    project.edit("custom.py", f"SIGN_PASSWORD = {SECRET!r}\n")
    ran = project.scons("images", check=False)
    assert ran.status == 2
    assert "SIGN_PASSWORD stands where others can read it" in ran.text
    assert SECRET not in ran.text


@pytest.mark.skipif(os.name != "posix", reason="env is a program of POSIX")
def test_no_other_program_inherits_a_password_and_no_file_holds_it(project: Project):
    ran = project.scons(
        "environment.txt", "images", "SIGN=keys/own.pem", env={"SIGN_PASSWORD": SECRET, "COSIGN_PASSWORD": SECRET}
    )
    assert "seen []" in ran.text
    assert "PATH=" in project.read("environment.txt")
    assert SECRET not in ran.text
    holding = [file for file in project.path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert holding == []
