"""A registry that shows late what it took, by the build as a user runs it: one PUT a tag, and everything ends right.

No part of the distribution spec 1.1; `tests/integration/test_late.py` has the finer cases.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from machines import bases
from machines.late import Delays, Late, Refusal
from machines.registry import Registry
from machines.small import Tree

TAGS = ("v1.0", "v1.0-amd64", "v1.0-arm64", "latest", "1.0")


@pytest.fixture
def late(registry: Registry) -> Iterator[Late]:
    with Late(registry.host) as made:
        yield made


def publish(tree: Tree, late: Late, *more: str, target: str = "push-manifest", check: bool = True):
    return tree.scons(target, f"REGISTRY={late.host}", "TAGS=latest,1.0", *more, check=check)


def held(registry: Registry) -> dict[str, str | None]:
    return {tag: registry.digest("demo", tag) for tag in registry.tags("demo")}


@pytest.mark.parametrize(
    ("delays", "settings"),
    [
        (Delays(tag=2.5), ()),
        (Delays(tag=0.3, manifest=3.0), ("DRIFT=fail",)),
        (Delays(tag=1.0, manifest=1.0, blob=4.0), ("IMMUTABLE=yes",)),
        (Delays(tag=2.0, manifest=2.0, blob=2.0, flaps=True), ("DRIFT=fail",)),
    ],
    ids=["tags", "manifests", "all", "some replicas"],
)
def test_a_release_and_the_next_one_end_right_with_one_put_a_tag(
    delays: Delays, settings: tuple[str, ...], tree: Tree, late: Late, registry: Registry
) -> None:
    late.delays = delays
    theirs = bases.push_image(f"{registry.host}/team/port:7", "linux/riscv64", {"port": b"theirs"})
    external = f"EXTERNAL=linux/riscv64={registry.host}/team/port:7"
    first = publish(tree, late, external, *settings)
    assert "somebody" not in first.text
    assert late.tags_put == dict.fromkeys((*TAGS, "v1.0-riscv64"), 1)
    assert registry.digest("demo", "v1.0-riscv64") == str(theirs)
    assert [entry["digest"] for entry in registry.json("demo", "latest")["manifests"]] == [
        registry.digest("demo", f"v1.0-{each}") for each in ("amd64", "arm64", "riscv64")
    ]
    if not delays.flaps:
        assert publish(tree, late, external, *settings).up_to_date
    if "IMMUTABLE=yes" in settings:
        return
    late.settle()
    tree.append("share/greeting", "more\n")
    before = held(registry)
    second = publish(tree, late, external, *settings)
    assert "somebody" not in second.text
    assert late.tags_put == dict.fromkeys(TAGS, 1)
    after = held(registry)
    assert all(after[tag] != before[tag] for tag in TAGS)
    assert after["v1.0"] == after["latest"] == after["1.0"]


def test_what_is_waited_for_is_said(tree: Tree, late: Late) -> None:
    late.delays = Delays(tag=2.6)
    said = publish(tree, late, "PLATFORMS=linux/amd64", target="push").text
    line = f"  {late.host}/demo:v1.0-amd64 was pushed and cannot be read yet; the registry is waited for, up to 30 s"
    assert line in said.splitlines()


def test_a_registry_that_refuses_what_it_does_not_see_yet(tree: Tree, late: Late, registry: Registry) -> None:
    late.delays, late.refuses = Delays(manifest=1.5, blob=1.5), Refusal("BLOB_UNKNOWN", 400)
    assert publish(tree, late).status == 0
    assert late.tags_put == dict.fromkeys(TAGS, 1)
    assert late.refused["v1.0-amd64"] > 0
    assert sorted(held(registry)) == sorted(TAGS)


def test_a_repair_is_verified_though_it_shows_late(tree: Tree, late: Late, registry: Registry) -> None:
    publish(tree, late)
    late.settle()
    registry.delete_manifest("demo", str(registry.digest("demo", "v1.0-arm64")))
    registry.delete_tag("demo", "latest")
    late.delays = Delays(tag=2.0, manifest=2.0, blob=2.0)
    ran = tree.scons("verify", "push-manifest", f"REGISTRY={late.host}", "TAGS=latest,1.0")
    assert "repaired: everything is there" in ran.text
    assert set(late.tags_put.values()) == {1}


def test_somebody_else_is_told_from_a_delay_at_once(tree: Tree, late: Late, registry: Registry) -> None:
    bases.push_image(f"{registry.host}/demo:theirs", "linux/amd64", {"theirs": b"theirs"})

    def move(name: str) -> None:
        if name == "v1.0-amd64":
            with late._lock:
                late._tags.clear()  # the proxy shows at once what the other one does
            registry.move_tag("demo", name, "theirs")

    late.after_manifest = move
    begin = time.monotonic()
    ran = publish(tree, late, "PLATFORMS=linux/amd64", "DRIFT=fail", target="push", check=False)
    assert time.monotonic() - begin < 15
    assert ran.status == 2
    assert "somebody else pushes this tag at the same time" in ran.text
    assert late.tags_put == {"v1.0-amd64": 1}


def test_what_never_shows_is_one_error_and_the_next_run_goes_on(tree: Tree, late: Late, registry: Registry) -> None:
    late.delays = Delays(tag=100_000)
    begin = time.monotonic()
    ran = publish(tree, late, "PLATFORMS=linux/amd64", target="push", check=False)
    assert 30 < time.monotonic() - begin < 45
    assert ran.status == 2
    assert ran.text.count("is not there although the registry took sha256:") == 1
    assert ran.text.count("hint: it shows late what it takes, or drops it; run the same command again") == 1
    assert "Traceback" not in ran.text
    late.delays = Delays()
    publish(tree, late, "PLATFORMS=linux/amd64", "DRIFT=fail", target="push")
    assert late.tags_put == {"v1.0-amd64": 1}
    assert sorted(held(registry)) == ["v1.0-amd64"]
    assert publish(tree, late, "PLATFORMS=linux/amd64", "DRIFT=fail", target="push").up_to_date


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("what", ["a tag", "a manifest that is refused"])
def test_an_interrupt_ends_the_wait(what: str, tree: Tree, late: Late) -> None:
    if what == "a tag":
        late.delays = Delays(tag=100_000)
    else:
        late.refuses = Refusal(times=100_000)
    running = tree.start("push", f"REGISTRY={late.host}", "PLATFORMS=linux/amd64")
    end = time.monotonic() + 60
    while late.asked["v1.0-amd64"] < 5 and late.refused["v1.0-amd64"] < 4 and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    begin = time.monotonic()
    try:
        text, _ = running.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        running.kill()
        text, _ = running.communicate()
    assert time.monotonic() - begin < 2.0, text
    assert running.returncode == 2
    assert "Traceback" not in text
    late.delays, late.refuses = Delays(), None
    tree.scons("push", f"REGISTRY={late.host}", "PLATFORMS=linux/amd64", "DRIFT=fail")
    assert late.tags_put == {"v1.0-amd64": 1}
