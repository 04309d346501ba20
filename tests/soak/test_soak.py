"""The soak, as long as a test may be: SOAK_SEED, SOAK_SEQUENCES and SOAK_SECONDS ask for another one, or more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from machines.places import Remote
from machines.small import Tree
from soak import alone
from soak.sequences import Sequence, soak
from soak.world import World, Wrong, check_as_from_clean, world

SEQUENCES = int(os.environ.get("SOAK_SEQUENCES", "12"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "90"))
SEED = int(os.environ.get("SOAK_SEED", "1"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups and kill -9 are POSIX")


@pytest.fixture
def ready(clean_environment: Path, tmp_path: Path) -> Iterator[World]:  # noqa: ARG001  # HOME is set before the builds
    with world(tmp_path / "world") as made:
        yield made


def test_whatever_happens_the_next_undisturbed_run_ends_in_the_digests_of_a_clean_build(ready: World):
    enough = alone.limit(SECONDS)
    done: list[str] = []
    # A sequence at the least, however slow the machine.
    figures = soak(ready, SEED, SEQUENCES, lambda: bool(done) and enough(), done.append)
    assert figures.counts["sequences"] >= 1
    assert not figures.failures, "\n\n".join(figures.failures)


@pytest.fixture
def finished(ready: World) -> Iterator[Sequence]:
    """Return a sequence without steps, pushed to a registry and judged to be right."""
    sequence = Sequence(ready, SEED)
    sequence.push_to(Remote(ready.registry))
    sequence.judge()
    yield sequence
    sequence.discard()


def test_the_judgement_sees_what_is_wrong(finished: Sequence):
    """All in one, as it takes two builds to get there."""
    registry, tree = finished.world.registry, finished.sources.tree
    clean, place = Tree(tree.path.parent / "clean", tree.path), finished.place
    both = ["linux/amd64", "linux/arm64"]

    def judge(declared: list[str]) -> None:
        check_as_from_clean(tree, clean, place, declared)

    judge(both)
    with pytest.raises(Wrong, match="from clean: "):
        judge([*both, "linux/arm/v7"])
    with pytest.raises(Wrong, match="declared are"):
        judge(["linux/amd64", "linux/s390x"])

    layer = registry.blob(registry.json("demo", "v1.0-arm64")["layers"][-1]["digest"])
    content = layer.read_bytes()
    layer.write_bytes(bytes(len(content)))
    with pytest.raises(Wrong, match="is sha256:"):
        judge(both)
    layer.unlink()
    with pytest.raises(HTTPError, match="404"):
        judge(both)
    layer.write_bytes(content)
    judge(both)

    right = registry.digest("demo", "v1.0-arm64")
    assert right is not None
    registry.move_tag("demo", "v1.0-arm64", "v1.0-amd64")
    with pytest.raises(Wrong, match=r"\(held, wanted\): .*v1\.0-arm64.*" + right):
        judge(both)
    registry.move_tag("demo", "v1.0-arm64", right)
    judge(both)

    image = tree.path / "_output/images/demo-linux-arm64.tar"
    image.write_bytes(image.read_bytes() + b"more")
    with pytest.raises(Wrong, match=r"outputs differ .*demo-linux-arm64"):
        judge(both)
