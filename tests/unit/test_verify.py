"""The deep check, against places in memory that something was taken from."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_FOREIGN_GZIP
from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.memory import Memory
from multiarch_oci.verify import Expected, Finding, Problem, verify
from samples import Sample, factory, sample

NAME = Reference.parse("localhost:5000/demo")
AMD64, ARM64 = sample("linux/amd64"), sample("linux/arm64")
IMAGES = {"v1-amd64": AMD64, "v1-arm64": ARM64}
INDEX = Index(tuple(image.root for image in IMAGES.values()))


class Down(Memory):
    """A place that cannot be asked for some things."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: object = None
        self.asked: list[object] = []

    def resolve(self, name: str) -> Descriptor | None:
        self._ask(name)
        return super().resolve(name)

    def has(self, descriptor: Descriptor) -> bool:
        self._ask(descriptor.digest)
        return super().has(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        self._ask(descriptor.digest)
        return super().open(descriptor)

    def _ask(self, what: object) -> None:
        self.asked.append(what)
        if what == self.broken:
            raise MultiarchError("does not answer", where="localhost:5000", hint="is it on?")


def published(store: Memory | Layout, index: Index = INDEX, without: tuple[Descriptor, ...] = ()) -> list[Expected]:
    """Fill a place with an index and its images, and say what is expected of it."""
    expected = []
    receipts = []
    for tag, image in IMAGES.items():
        image.fill(store, without=without)
        root = image.root.bare()
        if root.digest not in {gone.digest for gone in without}:
            store.tag(tag, root)
        receipts.append(Receipt(NAME.with_tag(tag), root))
        expected.append(Expected(NAME.with_tag(tag), store, root))
    store.put(index.descriptor(), factory(index.to_json()))
    store.tag("v1", index.descriptor())
    return [*expected, Expected(NAME.with_tag("v1"), store, index.descriptor(), members=tuple(receipts))]


def told(findings: tuple[Finding, ...]) -> list[tuple[str, Problem]]:
    return [(str(finding), finding.problem) for finding in findings]


@pytest.mark.parametrize("content", [False, True])
def test_what_is_all_there_has_no_findings(content):
    assert verify(published(Memory()), content=content) == ()


def test_a_lost_blob_is_found_under_a_living_manifest():
    expected = published(Memory(), without=(ARM64.own,))
    assert told(verify(expected)) == [
        (
            (
                f"localhost:5000/demo:v1-arm64: the blob {ARM64.own.digest} ({ARM64.own.size} bytes)"
                " is not in the registry, or not whole"
            ),
            Problem.MISSING,
        )
    ]
    assert [(f.number, f.descriptor) for f in verify(expected)] == [(1, ARM64.own)]


def test_what_several_tags_share_is_told_once_for_the_first():
    expected = published(Memory(), without=(AMD64.base,))
    assert [finding.number for finding in verify(expected)] == [0]


def test_a_blob_is_asked_for_once_and_read_only_when_contents_are_wanted():
    for content, times in ((False, 1), (True, 2)):
        store = Down()
        expected = published(store)
        store.asked.clear()
        assert verify(expected, content=content) == ()
        assert store.asked.count(AMD64.base.digest) == times
        assert store.asked.count(AMD64.root.digest) == 1


def test_the_same_name_in_another_repository_is_another_place():
    here, there = published(Memory()), published(Memory(), without=(AMD64.own,))
    there = [replace(one, reference=Reference.parse(f"localhost:5000/other:{one.reference.tag}")) for one in there]
    assert [finding.number for finding in verify([*here, *there])] == [3]


def test_a_deleted_tag_is_one_finding_and_what_is_left_below_it_is_checked():
    expected = published(Memory(), without=(AMD64.own,))
    gone = replace(expected[0], reference=NAME.with_tag("v2-amd64"))
    found = verify([gone])
    assert [finding.problem for finding in found] == [Problem.MISSING, Problem.MISSING]
    assert str(found[0]) == f"localhost:5000/demo:v2-amd64: is not in the registry; it should hold {AMD64.root.digest}"
    assert found[1].descriptor == AMD64.own


def test_a_child_that_is_gone_is_told_of_its_own_tag():
    expected = published(Memory(), without=(ARM64.root,))
    assert told(verify(expected)) == [
        (f"localhost:5000/demo:v1-arm64: is not in the registry; it should hold {ARM64.root.digest}", Problem.MISSING),
        (
            (
                f"localhost:5000/demo:v1: the manifest {ARM64.root.digest} ({ARM64.root.size} bytes)"
                " is not in the registry, or not whole"
            ),
            Problem.MISSING,
        ),
    ]


def test_an_empty_registry_is_one_finding_a_tag():
    expected = [replace(one, store=Memory()) for one in published(Memory())]
    assert [(finding.number, finding.problem) for finding in verify(expected)] == [
        (number, Problem.MISSING) for number in range(3)
    ]


def test_a_moved_tag_is_told_with_both_digests():
    store = Memory()
    expected = published(store)
    store.tag("v1-arm64", AMD64.root.bare())
    assert told(verify(expected)) == [
        (
            f"localhost:5000/demo:v1-arm64: holds {AMD64.root.digest}, not {ARM64.root.digest}: somebody moved it",
            Problem.MOVED,
        )
    ]


def test_a_push_without_receipt_is_told():
    assert told(verify([Expected(NAME.with_tag("v1"), Memory(), None)])) == [
        (
            "localhost:5000/demo:v1: was not pushed from this tree: there is no receipt that says what it should hold",
            Problem.UNRECORDED,
        )
    ]


def test_a_further_tag_must_be_there_whatever_it_holds():
    store = Memory()
    *rest, index = published(store)
    store.tag("latest", AMD64.root.bare())
    found = verify([*rest, replace(index, further=("latest", "1.0"))])
    assert list(map(str, found)) == ["localhost:5000/demo:v1: the tag 1.0 beside it is not in the registry"]


def test_a_pin_names_an_index_and_its_image_is_checked_below():
    store = Memory()
    published(store, without=(ARM64.own,))
    pinned = Expected(NAME.with_tag("v1"), store, ARM64.root.bare(), held=INDEX.descriptor().digest)
    assert [(finding.problem, finding.descriptor) for finding in verify([pinned])] == [(Problem.MISSING, ARM64.own)]
    assert verify([replace(pinned, foreign=True)]) == ()
    moved = replace(pinned, foreign=True, held=AMD64.own.digest)
    assert [finding.problem for finding in verify([moved])] == [Problem.MOVED]


def test_the_index_names_its_members_and_nothing_else():
    *rest, index = published(Memory())
    some = replace(index, members=(index.members or ())[:1])
    assert told(verify([*rest, some])) == [
        (
            f"localhost:5000/demo:v1: the index names {ARM64.root.digest}, which no receipt of this tree knows",
            Problem.CONTRADICTION,
        )
    ]
    other = Receipt(NAME.with_tag("v1-s390x"), Descriptor.of(AMD64.root.media_type, b"s390x"))
    more = replace(index, members=(*(index.members or ()), other))
    assert list(map(str, verify([*rest, more]))) == [
        (
            f"localhost:5000/demo:v1: the index does not name {other.descriptor.digest},"
            " which localhost:5000/demo:v1-s390x is"
        )
    ]


def test_a_member_named_twice_is_told():
    expected = published(Memory(), Index((AMD64.root, AMD64.root, ARM64.root)))
    assert list(map(str, verify(expected))) == [f"localhost:5000/demo:v1: the index names {AMD64.root.digest} 2 times"]


def test_a_platform_that_the_config_contradicts_is_told():
    wrong = replace(ARM64.root, platform=AMD64.config.platform)
    expected = published(Memory(), Index((AMD64.root, wrong)))
    assert told(verify(expected)) == [
        (
            (
                f"localhost:5000/demo:v1: the index says that {ARM64.root.digest} is linux/amd64,"
                " but its config says linux/arm64"
            ),
            Problem.CONTRADICTION,
        )
    ]


def test_a_config_of_another_number_of_layers_is_told():
    store = Memory()
    manifest = Manifest(AMD64.manifest.config, (AMD64.base,))
    AMD64.fill(store)
    store.put(manifest.descriptor(), factory(manifest.to_json()))
    store.tag("v1", manifest.descriptor())
    found = verify([Expected(NAME.with_tag("v1"), store, manifest.descriptor())])
    assert told(found) == [
        (
            (
                f"localhost:5000/demo:v1: the config {manifest.config.digest} has 1 layers,"
                " but its config names 2 diff_ids"
            ),
            Problem.CONTRADICTION,
        )
    ]


def test_foreign_layers_are_not_asked_for():
    store = Memory()
    foreign = replace(AMD64.base, media_type=LAYER_FOREIGN_GZIP, urls=("https://example.com/base",))
    manifest = Manifest(AMD64.manifest.config, (foreign, AMD64.own))
    AMD64.fill(store, without=(AMD64.base,))
    store.put(manifest.descriptor(), factory(manifest.to_json()))
    store.tag("v1", manifest.descriptor())
    assert verify([Expected(NAME.with_tag("v1"), store, manifest.descriptor())], content=True) == ()


@pytest.mark.parametrize("what", ["v1-amd64", AMD64.own.digest, AMD64.manifest.config.digest])
def test_what_cannot_be_asked_is_not_known_and_the_rest_is_checked(what):
    store = Down()
    expected = published(store)
    store.broken = what
    found = verify(expected)
    assert [finding.problem for finding in found] == [Problem.UNKNOWN]
    assert "localhost:5000: does not answer" in str(found[0])
    assert "hint" not in str(found[0])


def _flip(folder: Path, image: Sample, which: Descriptor) -> None:
    path = folder / "blobs" / str(which.digest).replace(":", "/")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert image.blobs[which] != bytes(content)


def test_a_damaged_layer_is_found_when_contents_are_read_and_a_damaged_config_always(tmp_path: Path):
    layout = Layout(tmp_path)
    expected = published(layout)
    _flip(tmp_path, AMD64, AMD64.own)
    assert verify(expected) == ()
    (found,) = verify(expected, content=True)
    assert (found.problem, found.descriptor) == (Problem.DAMAGED, AMD64.own)
    assert str(found).startswith(
        f"localhost:5000/demo:v1-amd64: the blob {AMD64.own.digest} is damaged: wanted {AMD64.own.digest}, the bytes are"
    )
    _flip(tmp_path, ARM64, ARM64.manifest.config)
    assert [(f.problem, f.descriptor) for f in verify(expected)] == [(Problem.DAMAGED, ARM64.manifest.config)]


def test_findings_are_in_the_order_of_what_is_expected():
    expected = published(Memory(), without=(AMD64.own, ARM64.own, ARM64.manifest.config))
    found = verify(expected, workers=3)
    assert [finding.descriptor for finding in found] == [AMD64.own, ARM64.manifest.config, ARM64.own]
    assert found == verify(expected, workers=1)


def test_the_words_for_a_missing_blob_are_never_those_of_the_place():
    with pytest.raises(BlobMissing):
        Memory("secret place").open(AMD64.own)
    assert "secret place" not in str(verify(published(Memory("secret place"), without=(AMD64.own,)))[0])
