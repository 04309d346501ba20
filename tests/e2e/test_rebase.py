"""A base moves, and nothing else: images that an engine made get it without the engine, where that is sound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from machines.bases import push_image
from machines.builders import busybox
from machines.registry import Registry
from machines.small import Tree
from multiarch_oci.digest import Digest
from multiarch_oci.store.archive import Archive

IMAGE = "_output/images/demo-linux-amd64.tar"
RECIPE = """\
FROM {host}/shell:v1 AS build
COPY conf /conf
RUN cat /conf/*.conf > /joined
FROM {host}/base:v1
COPY --from=build /joined /app/joined
COPY _output/bin/amd64/linux/demo /demo
LABEL own=1
ENTRYPOINT ["/demo"]
"""
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere"}


def push_base(registry: Registry, age: str, **more: bytes) -> Digest:
    """Push the base as it is at some age, under its one tag."""
    files = {"etc/age": age.encode(), **{f"etc/{name}": content for name, content in more.items()}}
    return push_image(f"{registry.host}/base:v1", "linux/amd64", files, env=(f"AGE={age}",))


@pytest.fixture
def moving(fresh: Tree, registry: Registry) -> Tree:
    """Return a tree whose amd64 image needs an engine for a stage of its own, over a base that no stage uses."""
    push_image(f"{registry.host}/shell:v1", "linux/amd64", {"bin/sh": busybox()}, mode=0o755)
    push_base(registry, "old")
    fresh.edit("Dockerfile.amd64", RECIPE.format(host=registry.host))
    return fresh


@pytest.fixture
def engine(podman_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return an environment with podman alone, each of whose starts is noted."""
    folder = tmp_path / "bin"
    folder.mkdir()
    names = ("docker", "buildx", "docker-buildx", "podman", "buildah")
    real = ""
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name == "podman":
                real = real or str(program)
            if program.name not in names and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    script = folder / "podman"
    script.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/starts\nexec {real} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    wanted = ("CONTAINERS_STORAGE_CONF", "BUILDAH_ISOLATION")
    return {name: podman_environment[name] for name in wanted} | NO_ENGINE | {"PATH": str(folder)}


def starts(folder: Path) -> list[str]:
    """Return with what podman was started since the last call."""
    log = folder / "starts"
    found = log.read_text(encoding="utf-8").split() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def test_update_bases_then_images_runs_no_engine_and_makes_what_a_clean_build_makes(
    moving: Tree, registry: Registry, engine: dict[str, str], tmp_path: Path
):
    first = moving.scons(IMAGE, env=engine)
    assert "engine: podman (" in first.text
    before = dict(Archive(moving.path / IMAGE).roots[0].annotations)["org.opencontainers.image.base.digest"]
    assert "build" in starts(tmp_path)
    after = push_base(registry, "new", more=b"1")
    assert moving.scons(IMAGE, env=engine).up_to_date
    moving.scons("update-bases", env=engine)
    changed = f"base {registry.host}/base:v1: '{before}' → '{after}'"
    foreseen = f"{changed}; to be rebased without an engine, if its files allow"
    assert f"Image {IMAGE}: {foreseen}" in moving.scons("why", IMAGE, env=engine).text
    assert foreseen in moving.scons("plan", IMAGE, env=engine).text
    assert set(starts(tmp_path)) <= {"info"}  # whether it could build is all that was asked
    ran = moving.scons(IMAGE, env=engine)
    assert ran.steps == [f"Image {IMAGE}"]
    assert f"Image {IMAGE}: {changed}\n  rebased from {before} to {after} (no engine run)\n" in ran.text
    assert "engine: " not in ran.text
    assert starts(tmp_path) == []
    assert moving.scons(IMAGE, env=engine).up_to_date
    assert f"made last because: {changed}; rebased, no engine run" in moving.scons("why", IMAGE, env=engine).text
    clean = moving.copy(tmp_path / "clean", built=False)
    clean.scons(IMAGE, env=engine)
    assert "build" in starts(tmp_path)
    assert (clean.path / IMAGE).read_bytes() == (moving.path / IMAGE).read_bytes()
    assert Archive(clean.path / IMAGE).image().config.variable("AGE") == "new"


def test_the_engine_builds_where_it_is_asked_to_or_more_than_the_base_changed(
    moving: Tree, registry: Registry, engine: dict[str, str], tmp_path: Path
):
    moving.scons(IMAGE, env=engine)
    for age, words in (("2", ["REBASE=no"]), ("3", [])):
        push_base(registry, age)
        moving.scons("update-bases", env=engine)
        if not words:
            moving.edit("conf/three.conf", "three\n")
        starts(tmp_path)
        ran = moving.scons(IMAGE, *words, env=engine)
        assert "rebased" not in ran.text
        assert "build" in starts(tmp_path)
    moving.replace("SConstruct", 'env.GoImage("demo")', 'env.GoImage("demo", rebase=False)')
    push_base(registry, "4")
    moving.scons("update-bases", env=engine)
    assert "rebased" not in moving.scons(IMAGE, env=engine).text


def test_where_the_base_may_matter_the_engine_builds_and_the_step_says_why(
    moving: Tree, registry: Registry, engine: dict[str, str], tmp_path: Path
):
    moving.replace("Dockerfile.amd64", "/joined /app/joined", "/joined /etc/")
    moving.scons(IMAGE, env=engine)
    push_base(registry, "new")
    moving.scons("update-bases", env=engine)
    starts(tmp_path)
    ran = moving.scons(IMAGE, env=engine)
    assert "  not rebased (Dockerfile.amd64:5: COPY: '/etc/age' of the bases differs" in ran.text
    assert "engine: podman (" in ran.text
    assert "build" in starts(tmp_path)


def test_an_image_that_was_changed_by_hand_is_not_rebased(
    moving: Tree, registry: Registry, engine: dict[str, str], tmp_path: Path
):
    moving.scons(IMAGE, env=engine)
    push_base(registry, "new")
    moving.scons("update-bases", env=engine)
    content = (moving.path / IMAGE).read_bytes()
    (moving.path / IMAGE).write_bytes(content + bytes(512))
    starts(tmp_path)
    assert "rebased" not in moving.scons(IMAGE, env=engine).text
    assert "build" in starts(tmp_path)
