"""Other people's engines and tools take what we published, archived and loaded, and run the right program."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from machines.engine import Tool
from machines.project import Project, copy_template
from machines.registry import OPENER, Registry, free_port
from machines.required import required

ARCHIVE = "_output/release/demo-v1.0-linux-{}.tar"
SAYS = {arch: f"demo v1.0 linux/{arch}\n" for arch in ("amd64", "arm64")}


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("engines") / "project"
    copy_template(folder)
    return Project(folder)


@pytest.fixture
def demo(_template: Project) -> Project:
    """Return the template with its archives made."""
    _template.scons("release")
    return _template


@pytest.fixture
def published(demo: Project, registry: Registry) -> str:
    """Return the main tag in the registry."""
    demo.scons("push-manifest", f"REGISTRY={registry.host}")
    return f"{registry.host}/demo:v1.0"


@pytest.fixture(params=SAYS)
def arch(request: pytest.FixtureRequest) -> str:
    """Return each architecture that this machine runs, or must run by qemu."""
    if request.param == "arm64":
        request.getfixturevalue("qemu_arm64")
    return str(request.param)


def run_by_docker(docker: Any, image: str) -> str:
    said: bytes = docker.containers.run(image, network_mode="none", remove=True)
    return said.decode()


def run_by_podman(podman: Tool, image: str) -> str:
    # Whoever runs the tests may allow no limits as podman sets them; where control groups of both versions are
    # mounted, crun starts nothing, and runc, which Docker brings along, does.
    limits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
    return podman.run(f"--runtime={required('runc')}", "run", "--rm", "--network=none", *limits, image)


def forget(docker: Any, *names: str) -> None:
    from docker.errors import ImageNotFound

    for name in names:
        with contextlib.suppress(ImageNotFound):
            docker.images.remove(name, force=True)


def test_docker_pulls_the_main_tag_and_runs_its_own_program(
    arch: str, published: str, docker_engine, registry: Registry
) -> None:
    image = docker_engine.images.pull(published, platform=f"linux/{arch}")
    # The engine may have it from another registry of these tests as well.
    assert f"{registry.host}/demo@{registry.digest('demo', 'v1.0')}" in image.attrs["RepoDigests"]
    assert (image.attrs["Os"], image.attrs["Architecture"]) == ("linux", arch)
    assert run_by_docker(docker_engine, image.id) == SAYS[arch]
    forget(docker_engine, image.id)


def test_podman_pulls_the_main_tag_and_runs_its_own_program(arch: str, published: str, podman: Tool) -> None:
    podman.run("pull", "--quiet", "--tls-verify=false", f"--platform=linux/{arch}", published)
    assert run_by_podman(podman, published) == SAYS[arch]
    podman.run("rmi", "--force", published)


def test_docker_loads_the_archive_under_the_platform_tag_and_runs_it(arch: str, demo: Project, docker_engine) -> None:
    forget(docker_engine, f"demo:v1.0-{arch}")
    with (demo.path / ARCHIVE.format(arch)).open("rb") as archive:
        loaded = docker_engine.images.load(archive)
    assert f"demo:v1.0-{arch}" in loaded[0].tags
    assert run_by_docker(docker_engine, f"demo:v1.0-{arch}") == SAYS[arch]
    forget(docker_engine, f"demo:v1.0-{arch}")


def test_podman_loads_the_archive_under_the_platform_tag_and_runs_it(arch: str, demo: Project, podman: Tool) -> None:
    podman.run("load", "--quiet", "--input", demo.path / ARCHIVE.format(arch))
    assert run_by_podman(podman, f"demo:v1.0-{arch}") == SAYS[arch]
    podman.run("rmi", "--force", f"demo:v1.0-{arch}")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_skopeo_takes_the_archive(kind: str, demo: Project, skopeo: Tool, tmp_path: Path) -> None:
    skopeo.run("copy", f"{kind}:{demo.path / ARCHIVE.format('arm64')}", f"dir:{tmp_path / 'copied'}")
    manifest = json.loads((tmp_path / "copied/manifest.json").read_bytes())
    config = json.loads((tmp_path / "copied" / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    assert (config["os"], config["architecture"]) == ("linux", "arm64")


def test_load_is_tracked_in_the_engine(demo: Project, docker_engine) -> None:
    from docker.errors import ImageNotFound

    forget(docker_engine, "demo:v1.0", "demo:v1.0-amd64", "demo:v1.0-arm64")
    demo.scons("load")
    own = docker_engine.images.get("demo:v1.0-amd64")
    assert docker_engine.images.get("demo:v1.0").id == own.id
    with pytest.raises(ImageNotFound):
        docker_engine.images.get("demo:v1.0-arm64")
    assert run_by_docker(docker_engine, "demo:v1.0") == SAYS["amd64"]
    assert demo.scons("load").up_to_date

    forget(docker_engine, own.id)
    assert demo.scons("load").steps == ["Load demo:v1.0-amd64"]
    assert docker_engine.images.get("demo:v1.0").id == own.id

    docker_engine.api.remove_image("demo:v1.0")
    assert demo.scons("load").steps == ["Load demo:v1.0-amd64"]
    assert docker_engine.images.get("demo:v1.0").id == own.id
    assert demo.scons("load").up_to_date
    forget(docker_engine, own.id)


def answer_of(port: int) -> str:
    """Return what the program answers, once it listens."""
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 5):
            break
        assert time.monotonic() < end, "nobody listens"
        time.sleep(0.05)
    with OPENER.open(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def test_the_image_serves_http(demo: Project, docker_engine) -> None:
    forget(docker_engine, "demo:v1.0", "demo:v1.0-amd64")
    demo.scons("load")
    port = free_port()
    container = docker_engine.containers.run(
        "demo:v1.0", ["-serve", f"127.0.0.1:{port}"], network_mode="host", detach=True
    )
    try:
        assert answer_of(port) == SAYS["amd64"]
    finally:
        container.remove(force=True)
        forget(docker_engine, "demo:v1.0", "demo:v1.0-amd64")


def test_the_program_serves_http(demo: Project) -> None:
    port = free_port()
    program = demo.path / "_output/bin/amd64/linux/demo"
    with subprocess.Popen([program, "-serve", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL) as process:
        try:
            assert answer_of(port) == SAYS["amd64"]
        finally:
            process.kill()
