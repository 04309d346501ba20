from __future__ import annotations

import os
import sys

import pytest

from multiarch_oci.engine.external.calling import EngineFailed, Programs, absent

SCRIPT = "import sys\nfor n in range(30): print('line', n, flush=True)\nprint('wrong', file=sys.stderr)\nsys.exit(3)"


def test_every_line_is_told_and_the_last_ones_stand_in_the_error():
    said: list[str] = []
    with pytest.raises(EngineFailed) as caught:
        Programs(os.environ, said.append).run([sys.executable, "-c", SCRIPT], where="Dockerfile", doing="the build")
    assert len(said) == 31
    lines = str(caught.value).splitlines()
    assert lines[0] == "Dockerfile: the build failed (status 3)"
    assert lines[1:] == [*[f"  | line {n}" for n in range(11, 30)], "  | wrong"]


def test_a_program_that_cannot_be_started_is_an_error():
    with pytest.raises(EngineFailed) as caught:
        Programs({}, print).run(["/nowhere/podman"], where="Dockerfile", doing="x")
    assert str(caught.value) == "Dockerfile: /nowhere/podman cannot be started: No such file or directory"


def test_the_environment_is_the_one_that_is_given():
    said: list[str] = []
    programs = Programs({"ONE": "1", "PATH": "/nowhere"}, said.append)
    script = "import os; print(os.environ['ONE'], os.environ.get('TWO'), os.environ.get('HOME'))"
    programs.run([sys.executable, "-c", script], where="x", doing="x", more={"TWO": "2"})
    assert said == ["1 2 None"]
    assert programs.find("sh") is None


def test_a_question_is_answered_in_one_line_and_never_fails():
    programs = Programs(os.environ, print)
    assert programs.ask([sys.executable, "-c", "print('a'); print('b')"]) == (True, "a b")
    assert programs.ask([sys.executable, "-c", "raise SystemExit('no')"]) == (False, "no")
    assert programs.ask(["/nowhere"])[0] is False


@pytest.fixture
def environment_with(tmp_path):
    """Return a maker of environments in which these programs are on PATH."""

    def make(*programs, plugin=False):
        folder = tmp_path / "-".join(("bin", *programs))
        folder.mkdir(exist_ok=True)
        for name in programs:
            (folder / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
            (folder / name).chmod(0o755)
        if plugin:
            place = tmp_path / ".docker" / "cli-plugins"
            place.mkdir(parents=True)
            (place / "docker-buildx").touch()
        return {"PATH": str(folder), "HOME": str(tmp_path)}

    return make


def test_podman_is_podman_or_buildah(environment_with):
    assert absent("podman", environment_with()) == "there is neither podman nor buildah in PATH"
    assert absent("podman", environment_with("podman")) is None
    assert absent("podman", environment_with("buildah")) is None


def test_buildx_is_a_plugin_that_docker_finds_or_a_program(environment_with):
    assert absent("buildx", environment_with()) == "there is no docker in PATH"
    assert absent("buildx", environment_with("buildx")) is None
    assert absent("buildx", environment_with(plugin=True)) == "there is no docker in PATH"
    assert absent("buildx", environment_with("docker")) is None


def test_docker_is_where_an_address_a_context_or_its_command_line_is(environment_with):
    for environment in ({"DOCKER_HOST": "tcp://x"}, {"DOCKER_CONTEXT": "x"}, environment_with("docker")):
        assert absent("docker", environment) is None
    assert absent("docker", {}, "ssh://winbox") is None


def test_the_embedded_engine_is_always_there():
    assert absent("embedded", {}) is None
