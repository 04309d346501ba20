"""containerd takes our archives with platform and name, and `load` keeps images in it as in an engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from machines.containerd import containerd
from machines.engine import Tool
from machines.project import Project
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.daemon.client import EngineFailed
from multiarch_oci.store.daemon.containerd import Containerd
from multiarch_oci.store.daemon.endpoint import EngineUnreachable

AMD64 = Platform.parse("linux/amd64")


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[dict[str, str], Tool]]:
    with (
        tempfile.TemporaryDirectory(prefix="cd", ignore_cleanup_errors=True) as folder,
        containerd(Path(folder)) as found,
    ):
        yield found


def images(ctr: Tool) -> dict[str, tuple[str, str]]:
    """Return digest and platforms of every image by name."""
    rows = [line.split() for line in ctr.run("images", "ls").splitlines()[1:]]
    return {row[0]: (row[2], row[5]) for row in rows}


def test_ctr_imports_an_archive_with_its_platform_and_under_its_tag(
    project: Project, told: tuple[dict[str, str], Tool]
):
    _, ctr = told
    project.scons("release")
    for architecture in ("amd64", "arm64"):
        ctr.run("images", "import", project.path / f"_output/release/demo-v1.0-linux-{architecture}.tar")
    found = images(ctr)
    for architecture in ("amd64", "arm64"):
        name = f"docker.io/library/demo:v1.0-{architecture}"
        assert found[name][1] == f"linux/{architecture}"
        assert "complete" in ctr.run("images", "check", f"name=={name}")
    assert ctr.run("run", "--rm", "docker.io/library/demo:v1.0-amd64", "once") == "demo v1.0 linux/amd64\n"
    ctr.run("images", "rm", "--sync", *found)


def test_load_into_containerd_is_tracked(project: Project, told: tuple[dict[str, str], Tool]):
    variables, ctr = told
    project.replace("SConstruct", "environment(", 'environment(LOAD_INTO="containerd", ')
    first = project.scons("load", env=variables)
    assert "demo:v1.0-arm64: left out, the engine runs linux/amd64" in first.text
    own, main = "docker.io/library/demo:v1.0-amd64", "docker.io/library/demo:v1.0"
    assert set(images(ctr)) == {own, main}
    assert images(ctr)[own] == images(ctr)[main]
    assert project.scons("load", env=variables).up_to_date
    for gone in (own, main):
        ctr.run("images", "rm", gone)
        assert project.scons("load", env=variables).steps == ["Load demo:v1.0-amd64"]
        assert set(images(ctr)) == {own, main}
    assert project.scons("load", env=variables).up_to_date
    elsewhere = variables | {"CONTAINERD_NAMESPACE": "default"}
    assert "Load demo:v1.0-amd64" in project.scons("load", env=elsewhere).steps
    ctr.run("images", "rm", "--sync", own, main)


def test_an_image_that_is_not_wholly_there_is_not_there(project: Project, told: tuple[dict[str, str], Tool]):
    variables, ctr = told
    project.scons("release")
    name = Reference.parse("demo:v1.0-amd64")
    asked = Containerd({"PATH": "/usr/bin:/bin", **variables}, AMD64)
    identity = asked.load(project.path / "_output/release/demo-v1.0-linux-amd64.tar", name)
    assert asked.identity(name) == identity
    for line in ctr.run("content", "ls", "--quiet").split():
        if line != str(identity):
            ctr.run("content", "rm", line)
    assert asked.identity(name) is None
    ctr.run("images", "rm", "--sync", str(name))


def test_what_goes_wrong_is_said(told: tuple[dict[str, str], Tool], tmp_path: Path):
    variables, _ = told
    there = {"PATH": "/usr/bin:/bin", **variables}
    name = Reference.parse("demo:v1.0")
    with pytest.raises(EngineUnreachable) as caught:
        Containerd({"PATH": "/nowhere"}, AMD64).identity(name)
    assert str(caught.value) == (
        "containerd:///run/containerd/containerd.sock/k8s.io: there is no ctr in PATH\n  hint: it comes with containerd"
    )
    with pytest.raises(EngineUnreachable) as caught:
        Containerd(there | {"CONTAINERD_ADDRESS": str(tmp_path / "none")}, AMD64).identity(name)
    assert str(caught.value).startswith(f"containerd://{tmp_path}/none/k8s.io: containerd does not answer: ")
    assert str(caught.value).endswith("hint: start containerd, or set CONTAINERD_ADDRESS to its socket")
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(EngineFailed, match="containerd says: "):
        Containerd(there, AMD64).load(tmp_path / "broken.tar", name)
