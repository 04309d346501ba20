"""Which node of a builder suits an image, and what `buildx inspect` says of nodes."""

from __future__ import annotations

import pytest

from multiarch_oci.engine.external.calling import EngineFailed
from multiarch_oci.engine.external.nodes import Block, Node, Nodes, blocks
from multiarch_oci.platform import Platform

AMD64, ARM64, ARM, I386 = map(Platform.parse, ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386"))
WITH_QEMU = "linux/amd64 linux/amd64/v2 linux/amd64/v3 linux/arm64 linux/386 linux/arm/v7"
OF_ARM = "linux/arm64 linux/amd64 linux/386 linux/arm/v7 linux/arm/v6"


def node(name: str, platforms: str, meant: str = "", pods: int = 1) -> Node:
    listed, said = (tuple(map(Platform.parse, words.split())) for words in (platforms, meant))
    return Node(name, {}, listed, said, pods)


@pytest.mark.parametrize(
    ("platforms", "meant", "platform", "distance"),
    [
        (WITH_QEMU, "", "linux/amd64", 0),
        (WITH_QEMU, "", "linux/amd64/v3", 0),
        (WITH_QEMU, "", "linux/386", 0),
        (WITH_QEMU, "", "linux/arm64", 2),
        (WITH_QEMU, "", "linux/arm/v7", 2),
        (OF_ARM, "", "linux/arm/v7", 0),
        (OF_ARM, "", "linux/386", 2),
        (WITH_QEMU, "linux/amd64 linux/arm64", "linux/amd64", 0),
        (WITH_QEMU, "linux/amd64 linux/arm64", "linux/arm64", 1),
        (WITH_QEMU, "linux/arm64", "linux/amd64", 3),
        (WITH_QEMU, "", "linux/s390x", 4),
        (WITH_QEMU, "", "windows/amd64", 4),
        ("", "linux/arm64", "linux/arm64", 1),
        ("", "", "linux/arm64", 2),
        ("windows/amd64", "", "windows(10.0.20348)/amd64", 0),
    ],
)
def test_how_far_a_machine_is_from_one_of_a_platform(platforms: str, meant: str, platform: str, distance: int):
    assert node("n", platforms, meant).distance(Platform.parse(platform)) == distance


def test_the_least_busy_of_the_nearest_is_taken_and_pods_count():
    nodes = Nodes((node("arm", OF_ARM), node("one", WITH_QEMU), node("three", WITH_QEMU, pods=3)), room=2)
    assert nodes.room == 10
    taken = [nodes.taken((AMD64,)) for _ in range(8)]
    assert [block.__enter__().name for block in taken] == ["one", *["three"] * 3, "one", *["three"] * 3]
    taken[0].__exit__(None, None, None)
    with nodes.taken((AMD64,)) as node_of_next, nodes.taken((ARM64, ARM)) as node_of_arm:
        assert (node_of_next.name, node_of_arm.name) == ("one", "arm")


def test_the_farthest_platform_that_runs_counts_first():
    nodes = Nodes((node("arm", "linux/arm64"), node("amd", WITH_QEMU)), room=1)
    with nodes.taken((AMD64, ARM64)) as both:
        assert both.name == "amd"


def test_a_lost_node_is_taken_for_nothing_and_without_any_it_is_an_error():
    nodes = Nodes((node("a", WITH_QEMU), node("b", OF_ARM)), room=1, lost={"a": "gone"})
    with nodes.taken((I386,)) as emulating:
        assert emulating.name == "b"
    nodes.lose("b", "cut off")
    nodes.lose("b", "again")
    with pytest.raises(EngineFailed) as error, nodes.taken((I386,)):
        pass
    assert str(error.value) == (
        "no node of buildx's builder is left (a: gone; b: cut off)\n  hint: see 'docker buildx ls'"
    )


PRINTED = (
    "Name: farm Driver: kubernetes Last Activity: 2026-11-30 16:59:26 +0000 UTC Nodes: "
    'Name: amd Endpoint: kubernetes:///farm?deployment=amd Driver Options: replicas="2" Status: running '
    "BuildKit version: v0.34.2 Platforms: linux/amd64*, linux/amd64/v2 Labels: org.mobyproject.buildkit.worker.executor: oci "
    "GC Policy rule#0: All: false Name: amd Endpoint: kubernetes:///farm?deployment=amd Status: running "
    'Platforms: linux/amd64 Name: arm Endpoint: kubernetes:///farm?deployment=arm Error: deployments.apps "arm" is forbidden'
)


def test_nodes_pods_and_errors_are_read_from_what_buildx_prints():
    error = 'deployments.apps "arm" is forbidden'
    assert blocks(PRINTED) == (
        Block("amd", "running", "", ("linux/amd64", "linux/amd64/v2")),
        Block("amd", "running", "", ("linux/amd64",)),
        Block("arm", "", error, ()),
    )
    assert [block.failing("kubernetes") for block in blocks(PRINTED)] == ["", "", error]
    assert blocks("Name: none Driver: remote Error: nothing Nodes:") == ()
    silent = Block("a", "inactive", "", ())
    assert (silent.failing("docker-container"), silent.failing("remote")) == ("", "no BuildKit answers there")
