"""A buildx builder of several nodes, two real BuildKits: which one builds what, how many at once, what a death costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import CACHE
from machines.bases import push_image, store_of
from machines.builders import Nodes, buildkit_nodes, busybox
from machines.listening import Meeting
from machines.registry import Registry
from multiarch_oci.engine import Base, EngineUnavailable
from multiarch_oci.engine.buildx import BuildxEngine
from multiarch_oci.engine.external.calling import EngineFailed, Programs
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.platform import Platform
from workshop import AMD64, Workshop

ARM64 = Platform.parse("linux/arm64")
COPIES = "FROM scratch\nARG N\nLABEL n=$N\nCOPY src /\n"


@dataclass
class Fleet:
    """A context with a base that has a shell, and what the engine said."""

    shop: Workshop
    base: str
    lines: list[str] = field(default_factory=list)

    def engine(self, nodes: Nodes, builder: str, *, jobs: int = 4) -> BuildxEngine:
        programs = Programs(nodes.environment, lambda _: None)
        given = Surroundings(
            store_of, self.shop.warnings.append, programs, Reader(), ("127.0.0.0/8",), say=self.lines.append, jobs=jobs
        )
        return BuildxEngine(given, builder=builder)

    def build(self, engine: BuildxEngine, text: str, number: int = 0, platform: Platform = AMD64) -> str:
        """Build an image; return its manifest's digest. What only the number makes another is built anew."""
        plan = self.shop.plan(text, platform=platform, build_args=(("N", str(number)),))
        return str(engine.build(plan, self.shop.folder.parent / f"{number}.tar").digest)


@pytest.fixture
def fleet(tmp_path: Path, registry: Registry) -> Fleet:
    (tmp_path / "context").mkdir()
    shop = Workshop(tmp_path / "context")
    base = f"{registry.host}/shell:v1"
    shop.bases = (Base(base, AMD64, push_image(base, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)),)
    shop.write("src/a.txt", "a")
    return Fleet(shop, base)


@pytest.fixture
def mortal() -> Iterator[Nodes]:
    """Two BuildKits that a test may kill."""
    with (
        tempfile.TemporaryDirectory(prefix="bn", ignore_cleanup_errors=True) as folder,
        buildkit_nodes(Path(folder), CACHE, "a", "b") as running,
    ):
        yield running


def built_on(node: str, builder: str) -> str:
    return f"  built on node '{node}' of builder '{builder}'"


def test_each_platform_goes_to_the_node_that_is_for_it(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("mixed", a="linux/amd64", b="linux/arm64"))
    for number, platform in enumerate((ARM64, AMD64, ARM64)):
        fleet.build(engine, COPIES, number, platform)
    assert fleet.lines == [built_on("b", "mixed"), built_on("a", "mixed"), built_on("b", "mixed")]
    assert fleet.shop.warnings == []


def test_a_node_whose_own_machine_it_is_comes_before_one_that_emulates(fleet: Fleet, nodes: Nodes):
    """Both are amd64; `a` is said to be for arm64, too, and stands first: buildx would take it for both."""
    engine = fleet.engine(nodes, nodes.builder("words", a="linux/arm64", b=""))
    fleet.build(engine, COPIES, 1, AMD64)
    fleet.build(engine, COPIES, 2, ARM64)
    assert fleet.lines == [built_on("b", "words"), built_on("a", "words")]


def test_what_a_node_only_emulates_goes_to_one_that_is_for_it(fleet: Fleet, nodes: Nodes):
    """Both are amd64, and `b` says nothing: what it lists first is its own."""
    engine = fleet.engine(nodes, nodes.builder("first", a="linux/amd64,linux/arm64", b=""))
    with Meeting() as meeting, ThreadPoolExecutor(2) as pool:
        text = f"FROM {fleet.base}\nARG N\nRUN echo $N; nc 127.0.0.1 {meeting.port} < /dev/null\n"
        builds = [pool.submit(fleet.build, engine, text, number) for number in (1, 2)]
        meeting.wait_for(2)
        fleet.build(engine, COPIES, 3, ARM64)
        meeting.open()
        for build in builds:
            build.result()
    assert fleet.lines[0] == built_on("a", "first")
    assert sorted(fleet.lines[1:]) == [built_on("a", "first"), built_on("b", "first")]


def test_what_a_stage_runs_decides_and_not_what_the_image_is_for(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("mixed", a="linux/arm64", b="linux/amd64"))
    text = f"FROM --platform=linux/amd64 {fleet.base} AS build\nRUN echo x > /x\nFROM scratch\nCOPY --from=build /x /\n"
    fleet.build(engine, text, 1, ARM64)
    assert fleet.lines == [built_on("b", "mixed")]


def test_images_of_one_platform_are_spread_and_no_more_run_at_once_than_there_is_room(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("pair", a="", b=""), jobs=1)
    with Meeting() as meeting, ThreadPoolExecutor(6) as pool:
        text = f"FROM {fleet.base}\nARG N\nRUN echo $N; nc 127.0.0.1 {meeting.port} < /dev/null\n"
        builds = [pool.submit(fleet.build, engine, text, number) for number in range(6)]
        for _ in range(3):
            meeting.wait_for(2)
            meeting.release()
        digests = {build.result() for build in builds}
    assert meeting.most == 2
    assert len(digests) == 6
    assert sorted(fleet.lines) == [built_on("a", "pair")] * 3 + [built_on("b", "pair")] * 3


def test_the_node_is_in_no_digest(fleet: Fleet, nodes: Nodes):
    text = f"FROM {fleet.base}\nRUN echo x > /x\n"
    one = fleet.engine(nodes, nodes.builder("first", a="linux/amd64", b="linux/arm64"))
    other = fleet.engine(nodes, nodes.builder("second", a="linux/arm64", b="linux/amd64"))
    assert fleet.build(one, text, 1) == fleet.build(other, text, 1)
    assert fleet.lines == [built_on("a", "first"), built_on("b", "second")]


def test_a_node_that_dies_costs_its_image_one_more_try(fleet: Fleet, mortal: Nodes):
    engine = fleet.engine(mortal, mortal.builder("pair", a="", b=""))
    with Meeting() as meeting, ThreadPoolExecutor(1) as pool:
        text = f"FROM {fleet.base}\nARG N\nRUN echo $N > /n; nc 127.0.0.1 {meeting.port} < /dev/null\n"
        build = pool.submit(fleet.build, engine, text, 1)
        meeting.wait_for(1)
        mortal.kill("a")
        meeting.release()
        meeting.wait_for(1)
        meeting.release()
        build.result()
    assert fleet.shop.warnings == [
        "node 'a' of builder 'pair': no BuildKit answers there; the image is tried once more"
    ]
    fleet.build(engine, COPIES, 2)
    assert fleet.lines == [built_on("b", "pair")] * 2


def test_the_second_death_is_an_error_and_so_is_the_last_node(fleet: Fleet, mortal: Nodes):
    engine = fleet.engine(mortal, mortal.builder("pair", a="", b=""))
    with Meeting() as meeting, ThreadPoolExecutor(1) as pool:
        text = f"FROM {fleet.base}\nRUN nc 127.0.0.1 {meeting.port} < /dev/null\n"
        build = pool.submit(fleet.build, engine, text, 1)
        for node in ("a", "b"):
            meeting.wait_for(1)
            mortal.kill(node)
            meeting.release()
        with pytest.raises(EngineFailed, match="docker buildx build on 'b' failed"):
            build.result()
    reasons = "a: no BuildKit answers there; b: no BuildKit answers there"
    with pytest.raises(EngineFailed, match=f"no node of buildx's builder is left .{reasons}."):
        fleet.build(engine, COPIES, 2)


def test_a_run_that_fails_is_tried_once(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("pair", a="", b=""))
    with Meeting() as meeting:
        meeting.open()
        text = f"FROM {fleet.base}\nRUN nc 127.0.0.1 {meeting.port} < /dev/null; echo 'code = Unavailable'; exit 3\n"
        with pytest.raises(EngineFailed, match="exit code: 3"):
            fleet.build(engine, text)
        assert meeting.met == 1
    assert fleet.shop.warnings == []


def test_a_node_that_is_dead_from_the_start_gets_no_image(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("half", gone="linux/amd64", b=""))
    fleet.build(engine, COPIES)
    assert fleet.shop.warnings == [
        "node 'gone' of builder 'half': no BuildKit answers there; it gets no image",
    ]
    assert fleet.lines == [built_on("b", "half")]


def test_a_builder_without_a_living_node_is_refused(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("none", gone="", lost=""))
    plan = fleet.shop.plan(COPIES)
    assert engine.refusal(plan) == "buildx's builder does not answer: no BuildKit answers there"
    with pytest.raises(EngineUnavailable):
        fleet.build(engine, COPIES)


def test_the_users_own_settings_of_buildx_stay_as_they_are(fleet: Fleet, nodes: Nodes):
    engine = fleet.engine(nodes, nodes.builder("pair", a="linux/amd64", b="linux/arm64"))
    instances = nodes.folder / "config" / "buildx" / "instances"
    before = {path.name: path.read_bytes() for path in instances.iterdir()}
    fleet.build(engine, COPIES)
    assert {path.name: path.read_bytes() for path in instances.iterdir()} == before
