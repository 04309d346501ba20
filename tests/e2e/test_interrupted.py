"""Ended in the middle, by others or by itself: the next run ends in the digests of an undisturbed one.

OCI distribution spec 1.1: "Pushing blobs", "Pushing Manifests".
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults import FaultProxy
from machines.places import Folder
from machines.registry import Registry
from machines.small import Tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@dataclass
class Changed:
    """A published tree with a change of both images, not published yet, and the digests to come."""

    tree: Tree
    wanted: dict[str, str]


class Stage:
    """A tree that was published once through the proxy, and what the registry then held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wanted: dict[str, str] | None = None

    def changed(self, built: Tree, proxy: FaultProxy, registry: Registry, target: Path) -> Changed:
        kept, storage = self._folder / "tree", self._folder / "storage"
        if self._wanted is None:
            built.copy(kept).scons(*publish(proxy))
            shutil.copytree(registry.storage / "docker", storage)
            self._wanted = expected(changed(built.copy(self._folder / "changed")))
        registry.empty()
        shutil.copytree(storage, registry.storage / "docker")
        proxy.forget()
        return Changed(changed(Tree(kept, self._folder / "go.log").copy(target)), self._wanted)


def changed(tree: Tree) -> Tree:
    tree.append("share/greeting", "a change of both images\n")
    return tree


@pytest.fixture(scope="module")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def _proxy(_session_registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(_session_registry.host) as made:
        yield made


@pytest.fixture
def proxy(_proxy: FaultProxy, registry: Registry) -> FaultProxy:  # noqa: ARG001  # it is emptied
    _proxy.forget()
    return _proxy


@pytest.fixture
def stage(_counted, _stage: Stage, proxy: FaultProxy, registry: Registry, tmp_path: Path) -> Changed:
    return _stage.changed(_counted.built(), proxy, registry, tmp_path / "stage")


def publish(proxy: FaultProxy) -> tuple[str, ...]:
    return ("push-manifest", f"REGISTRY={proxy.host}", "TAGS=latest")


def held(registry: Registry) -> dict[str, str | None]:
    return {tag: registry.digest("demo", tag) for tag in registry.tags("demo")}


def wait_for(met: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def expected(tree: Tree) -> dict[str, str]:
    """Return what an undisturbed run publishes, found in a folder."""
    other = tree.copy(tree.path.with_name("undisturbed"))
    other.scons("push-manifest", "TAGS=latest")
    return Folder(other.path).tags()


POINTS = [("HEAD manifest", 0), ("POST", 0), ("PUT blob", 1), *(("PUT manifest", count) for count in range(4))]


@pytest.mark.parametrize(("kind", "after"), POINTS, ids=[f"{kind} number {after + 1}" for kind, after in POINTS])
def test_killed_while_publishing_a_change_the_next_run_ends_as_if_nothing_had_been(
    kind: str, after: int, stage: Changed, registry: Registry, proxy: FaultProxy
) -> None:
    fault = proxy.order(kind, stall=60.0, after=after)
    running = stage.tree.start(*publish(proxy))
    wait_for(lambda: fault.times == 0 or running.poll() is not None)
    assert running.poll() is None, f"there is no {kind} number {after + 1}\n{running.communicate()[0]}"
    running.send_signal(signal.SIGKILL)
    running.communicate()
    ran = stage.tree.scons(*publish(proxy))
    assert held(registry) == stage.wanted
    assert "somebody" not in ran.text  # it was this tree that moved the tag


def test_an_interrupt_ends_the_upload_of_a_large_layer_within_a_second(
    tree: Tree, registry: Registry, proxy: FaultProxy
) -> None:
    content = random.Random(1).randbytes(40 << 20)  # noqa: S311  # the same in every run
    (tree.path / "share/large").write_bytes(content)
    tree.scons("images")
    wanted = expected(tree)
    proxy.rate = 4e6
    running = tree.start(*publish(proxy))
    wait_for(lambda: proxy.uploaded() > 1 << 20 or running.poll() is not None)
    running.send_signal(signal.SIGINT)
    begun = time.monotonic()
    text = running.communicate()[0]
    assert time.monotonic() - begun < 1
    assert running.returncode == 2
    assert "Traceback" not in text
    assert registry.tags("demo") == []
    proxy.rate = 0
    tree.scons(*publish(proxy))
    assert held(registry) == wanted


def test_of_two_builds_at_once_the_second_waits_and_both_end_right(
    tree: Tree, registry: Registry, proxy: FaultProxy
) -> None:
    wanted = expected(tree)
    fault = proxy.order("PUT manifest", stall=2.0)
    first = tree.start(*publish(proxy))
    wait_for(lambda: fault.times == 0)
    second = tree.start(*publish(proxy))
    told = [process.communicate()[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), told
    assert f"another build (process {first.pid}) works in this tree; waiting for it to end" in told[1]
    assert "waiting" not in told[0]
    assert "is up to date" in told[1]
    assert held(registry) == wanted


@pytest.mark.parametrize("question", [("-h",), ("-n", "push-manifest"), ("-q", "push-manifest"), ("why", "manifest")])
def test_questions_do_not_wait(question: tuple[str, ...], tree: Tree, proxy: FaultProxy) -> None:
    fault = proxy.order("PUT manifest", stall=60.0)
    first = tree.start(*publish(proxy))
    wait_for(lambda: fault.times == 0)
    asked = tree.scons(*question, check=False, timeout=30)
    first.kill()
    first.communicate()
    assert asked.status in (0, 1)
    assert "waiting" not in asked.text


@pytest.mark.parametrize("policy", [(), ("DRIFT=fail",)], ids=["repair", "fail"])
def test_the_loser_of_two_machines_says_so(
    policy: tuple[str, ...], stage: Changed, registry: Registry, proxy: FaultProxy
) -> None:
    theirs: list[str] = []
    pass_on = proxy._pass_on

    def after_ours(client: Any, stream: Any, head: Any, seen: Any, fault: Any) -> bool:
        if (seen.kind, seen.path) == ("HEAD manifest", "/v2/demo/manifests/v1.0") and "ours" in theirs:
            theirs[:] = [registry.move_tag("demo", "v1.0", "v1.0-amd64")]
        done = pass_on(client, stream, head, seen, fault)
        if (seen.kind, seen.path) == ("PUT manifest", "/v2/demo/manifests/v1.0") and not theirs:
            theirs.append("ours")
        return done

    proxy._pass_on = after_ours  # type: ignore[method-assign]
    try:
        ran = stage.tree.scons(*publish(proxy), *policy, check=False)
    finally:
        del proxy._pass_on
    assert f"{proxy.host}/demo:v1.0" in ran.text
    assert f"holds {theirs[0]} right after {stage.wanted['v1.0']} was pushed" in ran.text
    assert "somebody else pushes this tag at the same time" in ran.text
    assert ran.status == (2 if policy else 0)
    if policy:
        assert registry.digest("demo", "v1.0") == theirs[0]
        stage.tree.scons(*publish(proxy))
    assert held(registry) == stage.wanted


@pytest.mark.parametrize(
    "tag", ["v1.0-amd64", "latest", "v1.0"], ids=["a platform tag", "a further tag", "the main tag"]
)
@pytest.mark.parametrize("then", ["another edit", "the edit taken back"])
def test_what_a_killed_push_left_under_a_tag_is_not_somebody_elses(
    tag: str, then: str, tree: Tree, registry: Registry, proxy: FaultProxy
) -> None:
    tree.scons(*publish(proxy), "-j1")
    before = held(registry)
    tree.append("share/greeting", "more\n")
    proxy.order("PUT manifest", path=f"/{tag}", hold=600.0)  # done, but whoever asked for it does not learn of it
    running = tree.start(*publish(proxy), "-j1")

    def moved() -> bool:
        with contextlib.suppress(urllib.error.HTTPError):  # registry 2.8 while it writes the tag's file
            return registry.digest("demo", tag) != before[tag]
        return False

    wait_for(lambda: moved() or running.poll() is not None)
    assert running.poll() is None, running.communicate()[0]
    running.send_signal(signal.SIGKILL)
    running.communicate()
    proxy.take_back()
    if then == "another edit":
        tree.append("share/greeting", "and more\n")
    else:
        tree.edit("share/greeting", "hello\n")
    ran = tree.scons(*publish(proxy), "DRIFT=fail")
    assert "somebody" not in ran.text
    after = held(registry)
    assert after == (before if then == "the edit taken back" else expected(tree))
    assert tree.scons(*publish(proxy), "DRIFT=fail").up_to_date
    assert list((tree.path / ".multiarch/pushes").iterdir()) == []
