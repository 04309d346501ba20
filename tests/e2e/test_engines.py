"""Dockerfiles with RUN in a build: which engine builds them, what is told, what a change and what nothing causes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import unpacked
from machines.bases import push_image
from machines.builders import busybox
from machines.registry import Registry
from machines.small import Tree
from multiarch.store.archive import Archive

IMAGE = "_output/images/demo-linux-amd64.tar"
RECIPE = """\
FROM {base}
COPY _output/bin/amd64/linux/demo /demo
RUN --mount=type=bind,source=conf,target=/conf --mount=type=secret,id=token \\
    cat /conf/*.conf > /joined && wc -c < /run/secrets/token > /length
ENTRYPOINT ["/demo"]
"""


@pytest.fixture
def running(fresh: Tree, registry: Registry) -> Tree:
    """Return a tree whose amd64 image needs an engine."""
    base = f"{registry.host}/shell:v1"
    push_image(base, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)
    fresh.edit("Dockerfile.amd64", RECIPE.format(base=base))
    fresh.edit("token", "correct horse")
    fresh.replace(
        "SConstruct",
        "        platform=platform,\n    )\n    programs",
        '        platform=platform,\n        secrets="id=token,src=token",\n    )\n    programs',
    )
    return fresh


def told(environment: dict[str, str]) -> dict[str, str]:
    """Return what of an engine's environment SCons is to see, beside what the tests see."""
    wanted = ("CONTAINERS_STORAGE_CONF", "BUILDAH_ISOLATION", "DOCKER_HOST", "DOCKER_CONFIG", "BUILDX_BUILDER")
    return {name: environment[name] for name in wanted if name in environment}


def without(folder: Path, *names: str) -> str:
    """Return a PATH on which these programs are not."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in names and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_auto_says_which_engine_and_why_and_asks_none_when_nothing_changed(
    running: Tree, podman_environment: dict[str, str], tmp_path: Path
):
    podman = told(podman_environment) | {"PATH": without(tmp_path / "bin", "docker", "buildx", "docker-buildx")}
    ran = running.scons(IMAGE, "_output/images/demo-linux-arm64.tar", env=podman)
    why = "Dockerfile.amd64:3: the embedded engine cannot execute RUN"
    assert f"  engine: podman (embedded: {why}; buildx: there is no docker in PATH)\n" in ran.text
    assert ran.text.count("engine: ") == 1
    files = unpacked.of_archive(running.path / IMAGE)
    assert {"demo", "joined", "length"} <= set(files)
    assert b"correct horse" not in (running.path / IMAGE).read_bytes()
    assert not [
        path
        for path in (running.path / ".multiarch").rglob("*")
        if path.is_file() and b"correct horse" in path.read_bytes()
    ]
    nothing = {
        "PATH": without(tmp_path / "none", "podman", "buildah", "docker", "buildx"),
        "DOCKER_HOST": "unix:///nowhere",
    }
    assert running.scons(IMAGE, env=nothing).up_to_date
    running.edit("token", "another")
    assert running.scons(IMAGE, env=nothing).up_to_date
    running.edit("conf/three.conf", "three\n")
    again = running.scons(IMAGE, env=podman)
    assert again.steps == [f"Image {IMAGE}"]
    assert "conf/three.conf added" in again.text
    running.edit("conf/left.tmp", "ignored\n")
    assert running.scons(IMAGE, env=nothing).up_to_date
    running.edit("conf/three.conf", "3\n")
    refused = running.scons(IMAGE, env=nothing, check=False)
    assert refused.status == 2
    assert "no engine can build this image" in refused.text
    assert "podman: there is neither podman nor buildah in PATH" in refused.text
    assert "Traceback" not in refused.text


def test_auto_stays_with_the_engine_of_the_last_build(
    running: Tree, podman_environment: dict[str, str], buildx_environment: dict[str, str], tmp_path: Path
):
    podman = told(podman_environment) | {"PATH": without(tmp_path / "bin", "docker", "buildx", "docker-buildx")}
    running.scons(IMAGE, env=podman)
    both = told(podman_environment) | told(buildx_environment)
    assert running.scons(IMAGE, env=both).up_to_date
    running.edit("conf/three.conf", "three\n")
    assert "  engine: podman (" in running.scons(IMAGE, env=both).text
    named = running.scons(IMAGE, "ENGINE=buildx", env=both)
    assert named.steps == [f"Image {IMAGE}"]
    assert "engine: 'auto' → 'buildx'" in named.text


def test_each_image_has_the_engine_that_the_sconstruct_names(
    running: Tree, docker_environment: dict[str, str], podman_environment: dict[str, str]
):
    choice = f'engine="docker" if platform.architecture == "amd64" else "embedded", endpoint="{docker_environment["DOCKER_HOST"]}"'
    running.replace("SConstruct", 'src=token"', f'src=token", network="none", {choice}')
    path = f"{docker_environment['PATH']}{os.pathsep}{os.environ['PATH']}"
    ran = running.scons("images", env=told(podman_environment) | {"PATH": path})
    assert len([step for step in ran.steps if step.startswith("Image")]) == 2
    roots = Archive(running.path / IMAGE).roots
    assert roots[0].annotation("multiarch.engine") == "docker"
    assert Archive(running.path / "_output/images/demo-linux-arm64.tar").roots[0].annotation("multiarch.engine") is None


def test_an_image_of_an_engine_is_pushed_with_its_base_mounted(
    running: Tree, registry: Registry, podman_environment: dict[str, str]
):
    registry.requests()
    running.scons("push", f"REGISTRY={registry.host}", "ENGINE=auto", env=told(podman_environment))
    assert registry.tags("demo") == ["v1.0-amd64", "v1.0-arm64"]
    manifest = registry.json("demo", "v1.0-amd64")
    assert manifest["layers"][0] == registry.json("shell", "v1")["layers"][0]
    again = running.scons("push", f"REGISTRY={registry.host}", env=told(podman_environment))
    assert again.up_to_date
