from __future__ import annotations

import re

import pytest

from multiarch_oci.config import ImageConfig
from multiarch_oci.engine.external.marks import for_buildah, for_buildkit, for_legacy, unnamed
from multiarch_oci.engine.external.pinning import pinned
from multiarch_oci.engine.frontend.fingerprint import MARK
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.layer import Entry

MOUNTED = (
    "FROM example.com/base:v1 AS made\n\n# about it\nRUN --mount=type=bind,source=d,target=/m \\\n  cat /m/f\n"
    "COPY d /d\nFROM scratch\nRUN --mount=from=made,target=/m true"
)


@pytest.fixture
def base(shop):
    shop.write("d/f", "one")
    return shop.base("example.com/base:v1", (Entry.of_bytes("f", b"x"),))


def marked(shop, text, kind=for_buildah, **more):
    """The Dockerfile's lines with the digests of its marks, and whether the cache may be used."""
    plan = shop.plan(text, **more)
    settled = Reader().settled(plan, lambda _: shop.store)
    marks = kind(settled, Reader()) if kind is for_buildah else kind(settled)
    lines = pinned(plan.dockerfile.read_bytes(), settled, marks).decode().splitlines()
    found = [line.partition("=")[2] for line in lines if line.startswith(f"LABEL {MARK}=")]
    return [re.sub(f"{MARK}=.*", "here", line) for line in lines], found, marks.cached


@pytest.mark.usefixtures("base")
def test_a_mark_stands_behind_each_from_and_before_each_run_that_mounts(shop):
    lines, marks, cached = marked(shop, MOUNTED)
    assert lines[1:] == [
        *["LABEL here", "", "# about it"],
        *["LABEL here", "RUN --mount=type=bind,source=d,target=/m \\", "  cat /m/f", "COPY d /d"],
        *["FROM scratch", "LABEL here", "RUN --mount=from=made,target=/m true"],
    ]
    assert len(set(marks)) == 3
    assert cached


@pytest.mark.usefixtures("base")
def test_an_edit_changes_the_marks_of_what_takes_it_and_of_what_is_mounted_from_there(shop):
    _, first, _ = marked(shop, MOUNTED)
    shop.write("d/f", "two")
    _, second, _ = marked(shop, MOUNTED)
    assert [one == other for one, other in zip(first, second, strict=True)] == [True, False, False]
    shop.write("d/f", "one", mode=0o755)
    assert marked(shop, MOUNTED)[1] != first
    shop.write("d/f", "one")
    assert marked(shop, MOUNTED)[1] == first


def test_another_base_is_another_mark(shop):
    shop.base("example.com/base:v1", (Entry.of_bytes("f", b"x"),), config=ImageConfig(shop.platform, env=("A=1",)))
    text = "FROM example.com/base:v1\nCOPY d /d\n"
    shop.write("d/f", "one")
    _, first, _ = marked(shop, text)
    shop.bases = ()
    shop.base("example.com/base:v1", (Entry.of_bytes("f", b"x"),), config=ImageConfig(shop.platform, env=("A=2",)))
    assert marked(shop, text)[1] != first


def test_before_a_trigger_nothing_can_stand(shop):
    config = ImageConfig(shop.platform, on_build=("RUN true",))
    shop.base("example.com/base:v1", (Entry.of_bytes("f", b"x"),), config=config)
    assert not marked(shop, "FROM example.com/base:v1\nLABEL a=b\n")[2]
    assert marked(shop, "FROM example.com/base:v1\nLABEL a=b\n", for_legacy)[2]
    proxy = (("HTTP_PROXY", "http://a.invalid"),)
    assert not marked(shop, "FROM example.com/base:v1\nLABEL a=b\n", for_legacy, build_args=proxy)[2]


@pytest.mark.usefixtures("base")
def test_what_no_dockerfile_names_counts_for_every_engine_and_what_is_secret_does_not(shop):
    plan = shop.plan(MOUNTED)
    assert (unnamed(plan), for_buildkit(plan)) == ("", [])
    assert marked(shop, "FROM example.com/base:v1\nRUN true\n", for_legacy)[1] == []
    proxies = {"build_args": (("https_proxy", "http://a.invalid"), ("A", "b"))}
    found = unnamed(shop.plan(MOUNTED, **proxies))
    assert marked(shop, "FROM example.com/base:v1\nRUN true\nRUN x\n", for_legacy, **proxies)[1] == [found]
    assert for_buildkit(shop.plan(MOUNTED, **proxies)) == ["--add-host", f"{found[:32]}.multiarch.invalid:127.0.0.1"]
    one, other = (unnamed(shop.plan(MOUNTED, secrets=(f"id=t,src={path}",))) for path in ("/a", "/b"))
    assert one == other != ""
    assert unnamed(shop.plan(MOUNTED, ssh=("default=/a",))) == unnamed(shop.plan(MOUNTED, ssh=("default",))) != ""
