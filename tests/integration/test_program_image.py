"""The image of a program without a Dockerfile: the same by every engine, and it runs where its platform says."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

import unpacked
from machines.project import Project
from multiarch_oci.store.archive import Archive

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "go_binary", "oci_image", "oci_archive", "oci_targets"], DEFAULTS={"VERSION": "v1"}
)
images, archives = [], []
for platform in env["PLATFORMS"]:
    program = env.GoBinary(f"_output/bin/{platform.directory}/whoami", platform=platform)
    image = env.Image(f"_output/images/whoami-{platform.slug}.tar", program, platform=platform)
    images += image
    archives += env.Archive(f"_output/release/{platform.slug}.tar", image, reference="whoami:" + platform.tag_suffix)
env.Targets(images=images, release=archives)
"""
MAIN = """\
package main

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
)

func main() {
	who, err := user.Current()
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(os.TempDir()+"/written", nil, 0o600); err != nil {
		panic(err)
	}
	folder, _ := os.Stat("/tmp")
	roots, _ := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	fmt.Println(runtime.GOARCH, who.Uid, who.Gid, who.Username, folder.Mode(), len(roots) > 100_000)
}
"""
IMAGE = "_output/images/whoami-linux-amd64.tar"
TOLD = ("CONTAINERS_STORAGE_CONF", "BUILDAH_ISOLATION", "DOCKER_HOST", "DOCKER_CONFIG", "BUILDX_BUILDER")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {"SConstruct": SCONSTRUCT, "go.mod": "module example.com/whoami\n\ngo 1.21\n", "main.go": MAIN}
    return Project.linked(tmp_path / "project", files)


@pytest.mark.parametrize("other", ["buildx", "podman", "docker"])
def test_every_engine_makes_the_same_image(project: Project, other: str, request: pytest.FixtureRequest):
    project.scons("images", "PLATFORMS=linux/amd64")
    ours = unpacked.of_archive(project.path / IMAGE)
    config = Archive(project.path / IMAGE).image().config
    environment = request.getfixturevalue(f"{other}_environment")
    told = {name: environment[name] for name in TOLD if name in environment}
    project.scons("images", "PLATFORMS=linux/amd64", f"ENGINE={other}", env=told)
    assert unpacked.of_archive(project.path / IMAGE) == ours
    made = Archive(project.path / IMAGE).image().config
    assert (made.user, made.working_dir, made.entrypoint) == (config.user, config.working_dir, config.entrypoint)


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_image_runs_as_nobody_of_rank_and_may_write_to_tmp_alone(
    project: Project, arch: str, docker_engine: Any, request: pytest.FixtureRequest
):
    if arch == "arm64":
        request.getfixturevalue("qemu_arm64")
    from docker.errors import ImageNotFound

    project.scons("release", f"PLATFORMS=linux/{arch}")
    with (project.path / f"_output/release/linux-{arch}.tar").open("rb") as archive:
        docker_engine.images.load(archive)
    try:
        said = docker_engine.containers.run(f"whoami:{arch}", network_mode="none", remove=True).decode()
    finally:
        with contextlib.suppress(ImageNotFound):
            docker_engine.images.remove(f"whoami:{arch}", force=True)
    assert said == f"{arch} 65532 65532 nonroot dtrwxrwxrwx true\n"
