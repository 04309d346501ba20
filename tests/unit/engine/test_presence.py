"""What a look at files says of engines; nothing is started."""

from __future__ import annotations

import pytest

from multiarch_oci.engine.presence import absent


@pytest.fixture
def machine(tmp_path):
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


def test_podman_is_podman_or_buildah(machine):
    assert absent("podman", machine()) == "there is neither podman nor buildah in PATH"
    assert absent("podman", machine("podman")) is None
    assert absent("podman", machine("buildah")) is None


def test_buildx_is_a_plugin_that_docker_finds_or_a_program(machine):
    assert absent("buildx", machine()) == "there is no docker in PATH"
    assert absent("buildx", machine("buildx")) is None
    assert absent("buildx", machine(plugin=True)) == "there is no docker in PATH"
    assert absent("buildx", machine("docker")) is None


def test_docker_is_where_an_address_a_context_or_its_command_line_is(machine):
    for told in ({"DOCKER_HOST": "tcp://x"}, {"DOCKER_CONTEXT": "x"}, machine("docker")):
        assert absent("docker", told) is None
    assert absent("docker", {}, "ssh://winbox") is None


def test_the_embedded_engine_is_always_there():
    assert absent("embedded", {}) is None
