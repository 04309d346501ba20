"""Other tools load the release archives that we write, and run what is in them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from machines.engine import Tool
from machines.required import required
from multiarch_oci.digest import Digest
from multiarch_oci.reference import Reference
from multiarch_oci.store.archive import write_release
from multiarch_oci.store.daemon.client import EngineFailed
from multiarch_oci.store.daemon.daemon import Daemon, runnable
from multiarch_oci.store.memory import Memory
from samples import Sample, sample

NAME = Reference.parse("localhost:5000/tests/release:1.0")
HELLO = (
    'package main\nimport ("fmt"; "runtime")\nfunc main() { fmt.Println("hello from", runtime.GOOS, runtime.GOARCH) }\n'
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a program for each Linux platform."""
    folder = tmp_path_factory.mktemp("hello")
    (folder / "main.go").write_text(HELLO, encoding="utf-8")
    built = {}
    for architecture in ("amd64", "arm64"):
        environment = {"GOOS": "linux", "GOARCH": architecture, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": ""}
        command = [required("go"), "build", "-o", str(folder / architecture), str(folder / "main.go")]
        subprocess.run(command, env={**os.environ, **environment}, check=True, cwd=folder)
        built[f"linux/{architecture}"] = (folder / architecture).read_bytes()
    return built


def write(path: Path, image: Sample, name: Reference = NAME) -> Path:
    memory = Memory()
    write_release(path, memory, image.fill(memory), name)
    return path


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64", "windows(10.0.20348.2849)/amd64"])
def test_skopeo_takes_it_as_either_format(tmp_path: Path, skopeo: Tool, transport: str, platform: str):
    image = sample(platform)
    archive = write(tmp_path / "demo.tar", image)
    system = image.config.platform.os
    skopeo.run("--override-os", system, "copy", f"{transport}:{archive}", f"oci:{tmp_path / 'copied'}:x")
    config = json.loads(skopeo.run("--override-os", system, "inspect", "--config", f"oci:{tmp_path / 'copied'}:x"))
    assert config["rootfs"]["diff_ids"] == [str(each) for each in image.config.diff_ids]
    assert config["os"] == system


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_podman_loads_it_under_its_name(tmp_path: Path, podman: Tool, platform: str):
    image = sample(platform)
    loaded = podman.run("load", "-q", "-i", str(write(tmp_path / "demo.tar", image)))
    assert loaded.strip() == f"Loaded image: {NAME}"
    assert podman.run("inspect", "-f", "{{.Id}}", str(NAME)).strip() == image.manifest.config.digest.hex


@pytest.fixture
def daemon(docker_engine: Any) -> Iterator[Daemon]:
    """Return the engine of the tests through our own room; what the tests loaded is removed."""
    with Daemon(os.environ) as daemon:
        yield daemon
    for image in docker_engine.images.list(name="localhost:5000/tests/release"):
        docker_engine.images.remove(image.id, force=True)


def identities(image: Sample) -> set[Digest]:
    """Return what engines call this image: by its config, or by its manifest in containerd's store."""
    return {image.manifest.config.digest, image.root.digest}


def test_docker_loads_it_under_its_name_and_knows_it_again(tmp_path: Path, daemon: Daemon):
    image = sample("linux/amd64", b"one")
    assert daemon.identity(NAME) is None
    first = daemon.load(write(tmp_path / "demo.tar", image), NAME)
    again = daemon.load(tmp_path / "demo.tar", NAME)
    assert first == again == daemon.identity(NAME)
    assert first in identities(image)


def test_loading_another_image_moves_the_name(tmp_path: Path, daemon: Daemon):
    one, other = sample("linux/amd64", b"one"), sample("linux/amd64", b"other")
    daemon.load(write(tmp_path / "one.tar", one), NAME)
    assert daemon.load(write(tmp_path / "other.tar", other), NAME) in identities(other)
    assert daemon.identity(NAME) in identities(other)


def test_a_second_name_is_given_and_taken(tmp_path: Path, daemon: Daemon):
    one, other = sample("linux/amd64", b"one"), sample("linux/amd64", b"other")
    main = NAME.with_tag("main")
    for image in (one, other, other):
        identity = daemon.load(write(tmp_path / "demo.tar", image), NAME)
        daemon.tag(identity, main)
        assert daemon.identity(main) == identity


def test_what_is_no_archive_is_an_error_in_the_engines_words(tmp_path: Path, daemon: Daemon):
    (tmp_path / "bad.tar").write_bytes(b"no archive" * 1000)
    with pytest.raises(EngineFailed) as caught:
        daemon.load(tmp_path / "bad.tar", NAME)
    assert str(caught.value).startswith(daemon.where)
    assert "the engine says: " in str(caught.value)


def test_an_archive_of_another_name_is_an_error(tmp_path: Path, daemon: Daemon):
    write(tmp_path / "demo.tar", sample(), NAME.with_tag("another"))
    with pytest.raises(EngineFailed) as caught:
        daemon.load(tmp_path / "demo.tar", NAME)
    assert str(caught.value) == f"{daemon.where}: loaded {tmp_path / 'demo.tar'}, but has no image {NAME}"


def test_an_unknown_image_cannot_be_tagged(daemon: Daemon):
    with pytest.raises(EngineFailed):
        daemon.tag(Digest.of(b"unknown"), NAME)


def test_the_engine_says_what_it_runs_on(daemon: Daemon, docker_engine: Any):
    host = daemon.platform()
    assert host.os == docker_engine.info()["OSType"]
    assert runnable(host, (host,)) == (host,)


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_docker_runs_what_it_loaded(  # noqa: PLR0917  # each is a fixture
    tmp_path: Path,
    daemon: Daemon,
    docker_engine: Any,
    programs: dict[str, bytes],
    platform: str,
    request: pytest.FixtureRequest,
):
    if platform == "linux/arm64":
        request.getfixturevalue("qemu_arm64")
    daemon.load(write(tmp_path / "demo.tar", sample(platform, program=programs[platform])), NAME)
    container = docker_engine.containers.create(str(NAME), network_mode="none")
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0
        assert container.logs() == f"hello from {platform.replace('/', ' ')}\n".encode()
    finally:
        container.remove(force=True)
