"""A registry that shows late what it took: everything ends right, and every tag is put once.

No part of the distribution spec 1.1; so answer registries whose questions go to replicas (GHCR, Docker Hub, ECR).
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from machines.late import Delays, Late, Refusal
from machines.registry import Registry as Machine
from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.plan.policy import Policy, TagMoved
from multiarch_oci.platform import Platform
from multiarch_oci.publish import NotVisible, Published, Tagging, publish
from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.store import PartsMissing
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.errors import Cancelled, RegistryRefused
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.memory import Memory
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.tags import resolve_all
from multiarch_oci.store.visible import Patience, Written
from multiarch_oci.verify import Expected, verify

QUICK = Patience(limit=6.0, silent=0.3, rival=0.5, lost=0.6, first=0.02, longest=0.1)
SHORT = replace(QUICK, limit=0.8)
PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass
class Run:
    """What one run of a build holds: a connection, what it wrote, what it said."""

    host: str
    patience: Patience = QUICK

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self.cancelled = threading.Event()
        self.transport = Transport(Settings(backoff=0.01), Credentials({}, Path("/nowhere")), self.cancelled)
        self.written = Written(self.patience, self.said.append)
        self.there: set[tuple[str, Digest]] = set()

    def store(self, action: str = "push") -> Registry:
        there = self.there if action == "push" else None
        return Registry(self.transport, Reference(self.host, "demo"), action=action, there=there, written=self.written)

    def push(self, source: Memory, root: Descriptor, tag: str, **more) -> Published:
        tagging = Tagging(**{name: more.pop(name) for name in Tagging.__struct_fields__ if name in more})
        self.written.saw(f"{self.host}/demo", tag, tagging.own)  # as the Tool does
        return publish(source, self.store(), root, Reference(self.host, "demo", tag), tagging, **({"new": True} | more))


@pytest.fixture
def late(registry: Machine) -> Iterator[Late]:
    with Late(registry.host) as made:
        yield made


def image(source: Memory, platform: str, text: bytes = b"one") -> Descriptor:
    """Put a small image into the source, whose first layer all images have in common."""
    contents = (b"shared", text + platform.encode())
    config = ImageConfig(Platform.parse(platform), diff_ids=tuple(map(Digest.of, contents)))
    layers = [_held(source, LAYER_GZIP, content) for content in contents]
    manifest = Manifest(_held(source, config.descriptor().media_type, config.to_json()), tuple(layers))
    return _held(source, manifest.media_type, manifest.to_json())


def _held(source: Memory, media_type: str, content: bytes) -> Descriptor:
    descriptor = Descriptor.of(media_type, content)
    source.put(descriptor, lambda: io.BytesIO(content))
    return descriptor


def index(source: Memory, children: list[Descriptor]) -> Descriptor:
    """Put the index of these images, in the order of PLATFORMS, alone into the source."""
    entries = (
        Descriptor(child.media_type, child.digest, child.size, Platform.parse(platform))
        for child, platform in zip(children, PLATFORMS, strict=True)
    )
    made = Index(tuple(entries))
    return _held(source, made.media_type, made.to_json())


@dataclass
class Release:
    """A build's images and index, and how they are pushed."""

    source: Memory
    children: list[Descriptor]
    root: Descriptor

    @classmethod
    def make(cls, text: bytes = b"one") -> Release:
        source, indexes = Memory(), Memory()
        children = [image(source, platform, text) for platform in PLATFORMS]
        made = cls(source, children, index(indexes, children))
        made.indexes = indexes
        return made

    indexes: Memory = None  # type: ignore[assignment]  # of `make`

    def push(self, run: Run, **more) -> list[Published]:
        done = [
            run.push(self.source, child, f"v1-{platform[6:]}", **_own(more, f"v1-{platform[6:]}"))
            for child, platform in zip(self.children, PLATFORMS, strict=True)
        ]
        return [*done, run.push(self.indexes, self.root, "v1", also=("latest", "1"), **_own(more, "v1"))]

    def held(self) -> dict[str, Digest]:
        return {
            **{f"v1-{p[6:]}": c.digest for p, c in zip(PLATFORMS, self.children, strict=True)},
            **dict.fromkeys(("v1", "latest", "1"), self.root.digest),
        }


def _own(more: dict, tag: str) -> dict:
    previous = more.get("receipts", {}).get(tag)
    return {key: value for key, value in more.items() if key != "receipts"} | {"previous": previous}


DELAYS = {
    "tags": Delays(tag=0.5),
    "manifests": Delays(manifest=0.5),
    "blobs": Delays(blob=0.5),
    "a little": Delays(tag=0.05, manifest=0.05, blob=0.05),
    "all": Delays(tag=0.7, manifest=1.0, blob=1.2),
    "manifests longer than tags": Delays(tag=0.2, manifest=1.5),
    "some replicas": Delays(tag=1.0, manifest=1.0, blob=1.0, flaps=True),
}
POLICIES = {
    "repair": Policy(),
    "DRIFT=fail": Policy(repair=False),
    "IMMUTABLE=yes": Policy(immutable=True),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("delays", DELAYS)
def test_what_is_shown_late_is_waited_for_and_put_once(delays: str, policy: str, late: Late, registry: Machine) -> None:
    late.delays = DELAYS[delays]
    release = Release.make()
    done = release.push(Run(late.host), policy=POLICIES[policy])
    assert {tag: str(digest) for tag, digest in release.held().items()} == {
        tag: registry.digest("demo", tag) for tag in registry.tags("demo")
    }
    assert set(late.taken.values()) == {1}  # tags, manifests and blobs, the one that the images share among them
    assert [remark for each in done for remark in each.remarks] == []


@pytest.mark.parametrize("policy", ["repair", "DRIFT=fail"])
@pytest.mark.parametrize("settled", [True, False], ids=["settled", "in quick succession"])
@pytest.mark.parametrize("delays", ["tags", "all", "some replicas"])
def test_a_tag_that_still_names_the_release_before_is_nobody_elses(
    delays: str, policy: str, settled: bool, late: Late, registry: Machine
) -> None:
    before = Release.make(b"before")
    receipts = {published.receipt.reference.tag: published.receipt for published in before.push(Run(late.host))}
    if settled:
        late.settle()
    late.taken.clear()
    late.delays = DELAYS[delays]
    after = Release.make(b"after")
    done = after.push(Run(late.host), policy=POLICIES[policy], receipts=receipts)
    assert {tag: registry.digest("demo", tag) for tag in after.held()} == {
        tag: str(digest) for tag, digest in after.held().items()
    }
    assert set(late.tags_put.values()) == {1}
    assert [remark for each in done for remark in each.remarks] == []


def test_it_is_said_after_a_while_and_once(late: Late) -> None:
    late.delays = Delays(tag=0.9)
    run = Run(late.host)
    Release.make().push(run)
    name = f"{late.host}/demo"
    assert sorted(run.said) == [
        f"{name}:{tag} was pushed and cannot be read yet; the registry is waited for, up to 6 s"
        for tag in ("1", "latest", "v1-amd64", "v1-arm64")  # the main tag was waited for with the further ones
    ]
    quick = Run(late.host)
    late.delays = Delays(tag=0.1)
    Release.make(b"two").push(quick)
    assert quick.said == []


def test_the_tags_of_one_push_are_waited_for_together(late: Late) -> None:
    release = Release.make()
    run = Run(late.host)
    for child, platform in zip(release.children, PLATFORMS, strict=True):
        run.push(release.source, child, f"v1-{platform[6:]}")
    late.delays = Delays(tag=1.0)
    begin = time.monotonic()
    run.push(release.indexes, release.root, "v1", also=tuple(f"further{number}" for number in range(12)))
    assert time.monotonic() - begin < 2.0


@pytest.mark.parametrize("before", [False, True], ids=["absent", "the old one"])
def test_what_never_shows_is_one_error_and_the_next_run_goes_on(
    before: bool,
    late: Late,
) -> None:
    old, root = Memory(), Memory()
    was, wanted = image(old, "linux/amd64", b"old"), image(root, "linux/amd64")
    receipt = Run(late.host).push(old, was, "v1").receipt if before else None
    late.settle()
    late.delays = Delays(tag=1000)
    begin = time.monotonic()
    with pytest.raises(NotVisible) as caught:
        Run(late.host, SHORT).push(root, wanted, "v1", previous=receipt)
    assert SHORT.limit <= time.monotonic() - begin < SHORT.limit + 1
    there = f"still holds {was.digest}" if before else "is not there"
    assert str(caught.value) == (
        f"{late.host}/demo:v1: {there} although the registry took {wanted.digest}, and was waited for\n"
        "  hint: it shows late what it takes, or drops it; run the same command again: what was sent is not sent again"
    )
    assert late.tags_put == {"v1": 1}
    late.delays = Delays()
    done = Run(late.host).push(root, wanted, "v1", previous=receipt, policy=Policy(repair=False))
    assert (done.receipt, done.copied.sent, late.tags_put) == (
        Receipt(Reference(late.host, "demo", "v1"), wanted),
        (),
        {"v1": 1},
    )


def test_a_cancelled_run_waits_no_longer(late: Late) -> None:
    late.delays = Delays(tag=1000)
    run, source = Run(late.host, replace(QUICK, limit=60)), Memory()
    root = image(source, "linux/amd64")
    threading.Timer(1.0, run.cancelled.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        run.push(source, root, "v1")
    assert time.monotonic() - begin < 2.0


def rival(late: Late, registry: Machine, times: int) -> tuple[Memory, Descriptor, Descriptor]:
    """Let somebody else put another image under every tag right after us, so often."""
    source = Memory()
    root, other = image(source, "linux/amd64"), image(source, "linux/amd64", b"theirs")
    Run(registry.host).push(source, other, "theirs")
    left = [times]

    def move(name: str) -> None:
        if left[0] and name == "v1":
            left[0] -= 1
            registry.move_tag("demo", "v1", "theirs")

    late.after_manifest = move
    late.delays = Delays()
    return source, root, other


def test_a_third_digest_is_somebody_else_at_once(late: Late, registry: Machine) -> None:
    for policy in (Policy(repair=False), Policy(immutable=True)):
        registry.empty()
        source, root, other = rival(late, registry, 1000)
        begin = time.monotonic()
        with pytest.raises(TagMoved, match=f"holds {other.digest} right after {root.digest} was pushed"):
            _direct(late, Run(late.host)).push(source, root, "v1", policy=policy)
        assert time.monotonic() - begin < 1.0


def _direct(late: Late, run: Run) -> Run:
    """Let the proxy show what the registry holds, whoever put it there."""
    late._note = lambda *_, **__: None  # type: ignore[method-assign]
    return run


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_a_rival_who_does_not_give_in_is_an_error_soon(times: int, late: Late, registry: Machine) -> None:
    source, root, _ = rival(late, registry, times)
    run = _direct(late, Run(late.host))
    begin = time.monotonic()
    if times < 3:
        assert len(run.push(source, root, "v1").remarks) == times
        assert registry.digest("demo", "v1") == str(root.digest)
    else:
        with pytest.raises(TagMoved, match="somebody else pushes this tag at the same time"):
            run.push(source, root, "v1")
    assert time.monotonic() - begin < 3 * QUICK.rival + 1


def test_a_further_tag_that_somebody_else_moves_meanwhile_is_told_and_left(late: Late, registry: Machine) -> None:
    source, root, other = rival(late, registry, 0)
    late.after_manifest = lambda name: registry.move_tag("demo", "latest", "theirs") if name == "latest" else None
    done = _direct(late, Run(late.host)).push(source, root, "v1", also=("latest",))
    assert done.remarks == (
        f"{late.host}/demo:latest holds {other.digest} right after {root.digest} was pushed: somebody else moved it",
    )
    assert registry.digest("demo", "latest") == str(other.digest)


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("delays", ["tags", "manifests", "blobs", "all"])
def test_verify_waits_for_what_this_run_wrote(
    delays: str,
    content: bool,
    late: Late,
) -> None:
    release, run = Release.make(), Run(late.host)
    done = release.push(run)
    late.delays = DELAYS[delays]
    late.renew()
    expected = [Expected(each.receipt.reference, run.store("pull"), each.receipt.descriptor) for each in done]
    assert verify(expected, content=content) == ()


def test_a_later_run_takes_what_it_is_told(late: Late) -> None:
    done = Release.make().push(Run(late.host))
    late.delays = Delays(tag=1000)
    later = Run(late.host)
    expected = [Expected(each.receipt.reference, later.store("pull"), each.receipt.descriptor) for each in done]
    begin = time.monotonic()
    assert len(verify(expected)) == 3
    assert time.monotonic() - begin < 1.0


def test_many_tags_asked_for_at_once_are_waited_for_together(late: Late) -> None:
    release, run = Release.make(), Run(late.host)
    release.push(run)
    late.delays = Delays(tag=1.0)
    late.renew()
    begin = time.monotonic()
    references = [Reference(late.host, "demo", tag) for tag in release.held()]
    found = resolve_all(run.transport, references, written=run.written)
    assert {each.tag: held.digest for each, held in found.items() if isinstance(held, Descriptor)} == release.held()
    assert time.monotonic() - begin < 2.0


REFUSALS = [
    (code, status) for code in ("BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN") for status in (400, 404)
]


@pytest.mark.parametrize(("code", "status"), REFUSALS)
def test_a_manifest_that_is_refused_for_parts_that_were_sent_is_offered_again(
    code: str, status: int, late: Late, registry: Machine
) -> None:
    late.delays, late.refuses = Delays(blob=0.4, manifest=0.4), Refusal(code, status)
    release = Release.make()
    run = Run(late.host)
    release.push(run)
    assert {tag: registry.digest("demo", tag) for tag in release.held()} == {
        tag: str(digest) for tag, digest in release.held().items()
    }
    assert set(late.taken.values()) == {1}
    assert late.refused["v1-amd64"] > 0


def test_a_registry_that_refuses_so_for_a_while_though_all_can_be_read(late: Late) -> None:
    late.refuses = Refusal(times=6)
    run = Run(late.host, replace(QUICK, silent=0.1))
    Release.make().push(run)
    assert set(late.taken.values()) == {1}
    assert "\n".join(run.said) == (
        f"{late.host}/demo:v1-amd64 is not taken yet (the registry refused to push: 404 MANIFEST_BLOB_UNKNOWN: blob "
        "unknown to registry), though all that it names was pushed; the registry is waited for, up to 6 s"
    )


def test_a_registry_that_refuses_so_for_ever_is_one_error_in_bounded_time(late: Late) -> None:
    late.refuses = Refusal(times=10_000)
    source = Memory()
    root = image(source, "linux/amd64")
    begin = time.monotonic()
    with pytest.raises(RegistryRefused) as caught:
        Run(late.host, SHORT).push(source, root, "v1")
    assert SHORT.limit <= time.monotonic() - begin < SHORT.limit + 1
    assert str(caught.value) == (
        f"{late.host}/demo: the registry refused to push: 404 MANIFEST_BLOB_UNKNOWN: blob unknown to registry"
    )


@pytest.mark.parametrize("which", range(3), ids=["the config", "a layer that is shared", "a layer"])
def test_a_blob_that_the_registry_lost_between_is_sent_again(which: int, late: Late, registry: Machine) -> None:
    source = Memory()
    root = image(source, "linux/amd64")
    with source.open(root) as stream:
        manifest = Manifest.from_json(stream.read(), where="")
    lost = list(manifest.blobs())[which]
    times: list[str] = []

    def lose(name: str) -> None:
        if not times:
            times.append(name)
            _lose(registry, lost.digest)

    late.before_manifest = lose
    Run(late.host).push(source, root, "v1")
    assert registry.digest("demo", "v1") == str(root.digest)
    assert registry.blob(str(lost.digest)).exists()
    assert (late.taken[str(lost.digest)], late.tags_put) == (2, {"v1": 1})


def _lose(registry: Machine, digest: Digest) -> None:
    registry.blob(str(digest)).unlink()
    (registry.repository("demo") / "_layers" / "sha256" / digest.hex / "link").unlink(missing_ok=True)


def test_a_blob_that_is_lost_again_and_again_is_an_error_that_names_it(late: Late, registry: Machine) -> None:
    source = Memory()
    root = image(source, "linux/amd64")
    with source.open(root) as stream:
        lost = Manifest.from_json(stream.read(), where="").layers[1].digest
    late.before_manifest = lambda _: _lose(registry, lost) if registry.blob(str(lost)).exists() else None
    with pytest.raises(PartsMissing, match=f"it lacks {lost}"):
        Run(late.host, replace(QUICK, lost=0.1)).push(source, root, "v1")


def test_a_child_that_the_registry_lost_between_is_put_again(late: Late, registry: Machine) -> None:
    release, run = Release.make(), Run(late.host)
    times: list[str] = []

    def lose(name: str) -> None:
        if name == "latest" and not times:
            times.append(name)
            registry.delete_manifest("demo", str(release.children[0].digest))

    late.before_manifest = lose
    release.push(run)
    assert registry.digest("demo", str(release.children[0].digest)) is not None
    assert registry.digest("demo", "v1") == str(release.root.digest)


def test_a_child_of_another_machine_that_is_gone_is_named(late: Late, registry: Machine) -> None:
    release = Release.make()
    for child, platform in zip(release.children, PLATFORMS, strict=True):
        Run(late.host).push(release.source, child, f"v1-{platform[6:]}")
    theirs = release.children[1].digest
    run = Run(late.host)
    run.there.update((f"{late.host}/demo", child.digest) for child in release.children)  # seen when the run began
    registry.delete_manifest("demo", str(theirs))
    with pytest.raises(PartsMissing, match=f"it lacks {theirs}"):
        run.push(release.indexes, release.root, "v1")


@pytest.mark.parametrize("asks", ["has", "open"])
def test_what_is_absent_and_was_not_put_by_this_run_is_absent_at_once(asks: str, late: Late) -> None:
    source = Memory()
    root = image(source, "linux/amd64")
    ask: dict[str, Callable[[Registry], object]] = {"has": lambda s: s.has(root), "open": lambda s: s.resolve("v1")}
    begin = time.monotonic()
    assert not ask[asks](Run(late.host).store("pull"))
    assert time.monotonic() - begin < 0.5
