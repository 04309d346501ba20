from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

import pytest

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.plan.policy import Move, Policy, TagImmutable, TagMoved
from multiarch_oci.platform import Platform
from multiarch_oci.publish import ATTEMPTS, PinMissing, Tagging, pin, publish
from multiarch_oci.receipt import Receipt
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing, read
from multiarch_oci.store.memory import Memory

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
TAG = Reference.parse("localhost:5000/demo:v1")


def held(memory: Memory, media_type: str, content: bytes) -> Descriptor:
    descriptor = Descriptor.of(media_type, content)
    memory.put(descriptor, lambda: io.BytesIO(content))
    return descriptor


def image(memory: Memory, platform: Platform = AMD64, text: bytes = b"layer") -> Descriptor:
    config = ImageConfig(platform, (Digest.of(text),))
    layer = held(memory, LAYER_GZIP, text)
    manifest = Manifest(held(memory, config.descriptor().media_type, config.to_json()), (layer,))
    return held(memory, manifest.media_type, manifest.to_json())


def push(source: Memory, store: Memory, root: Descriptor, **more):
    tagging = Tagging(**{name: more.pop(name) for name in Tagging.__struct_fields__ if name in more})
    return publish(source, store, root, TAG, tagging, **more)


def test_a_first_push_sends_everything_and_the_receipt_says_what():
    source, store = Memory(), Memory()
    root = image(source)
    done = push(source, store, root)
    assert store.resolve("v1") == root
    assert (done.receipt, done.move, len(done.copied.sent)) == (Receipt(TAG, root), Move.CREATE, 3)


def test_a_tag_that_holds_the_image_is_adopted_and_nothing_is_sent():
    source, store = Memory(), Memory()
    root = image(source)
    push(source, store, root)
    again = push(source, store, root)
    assert (again.move, again.copied.sent, again.receipt) == (Move.KEEP, (), Receipt(TAG, root))


def test_a_moved_tag_is_repaired_without_sending_what_is_there():
    source, store = Memory(), Memory()
    root, other = image(source), image(source, text=b"other")
    first = push(source, store, root)
    push(source, store, other)
    done = push(source, store, root, previous=first.receipt)
    assert store.resolve("v1") == root
    assert (done.move, done.copied.sent) == (Move.OVERWRITE, ())
    assert len(done.remarks) == 1


def test_an_immutable_tag_is_left_as_it_is():
    source, store = Memory(), Memory()
    root, other = image(source), image(source, text=b"other")
    push(source, store, other)
    with pytest.raises(TagImmutable):
        push(source, store, root, policy=Policy(immutable=True))
    assert store.resolve("v1") == other


def test_a_tag_that_holds_the_image_is_mended_below_when_asked():
    source, store, lossy = Memory(), Memory(), Memory()
    root = image(source)
    push(source, store, root)
    (layer,) = Manifest.from_json(read(store, root), where="").layers
    for blob in (root, Manifest.from_json(read(store, root), where="").config):
        lossy.put(blob, lambda blob=blob: store.open(blob))
    lossy.tag("v1", root)
    assert push(source, lossy, root).copied.sent == ()
    done = push(source, lossy, root, deep=True)
    assert (done.move, done.copied.sent) == (Move.KEEP, (layer,))
    assert push(source, lossy, root, again=frozenset({root.digest})).copied.sent == (root,)


def test_further_tags_are_written_with_a_new_image():
    source, store = Memory(), Memory()
    root = image(source)
    push(source, store, root, also=("latest", "1"))
    assert store.resolve("latest") == store.resolve("1") == root


def test_a_further_tag_that_somebody_moved_is_left_alone():
    source, store = Memory(), Memory()
    root, other = image(source), image(source, text=b"other")
    first = push(source, store, root, also=("latest",))
    publish(source, store, other, TAG.with_tag("latest"))
    push(source, store, root, also=("latest",), previous=first.receipt)
    assert store.resolve("latest") == other


def test_an_absent_further_tag_is_written():
    source, store = Memory(), Memory()
    root = image(source)
    first = push(source, store, root)
    push(source, store, root, also=("latest",), previous=first.receipt)
    assert store.resolve("latest") == root


def test_a_new_image_takes_a_further_tag_that_exists():
    source, store = Memory(), Memory()
    root, newer = image(source), image(source, text=b"newer")
    first = push(source, store, root, also=("latest",))
    push(source, store, newer, also=("latest",), previous=first.receipt)
    assert store.resolve("latest") == newer


class Limited(Memory):
    """A place to which the connection is cut after so many tags."""

    left = 99

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        if not self.left:
            raise ConnectionError("cut")
        self.left -= 1
        super().tag(name, descriptor, content)


@pytest.mark.parametrize("written", range(3))
def test_a_push_cut_off_between_its_tags_leaves_them_all_to_the_next_one(written: int):
    source, store = Memory(), Limited()
    root, newer = image(source), image(source, text=b"newer")
    first = push(source, store, root, also=("latest", "1"))
    store.left = written
    with pytest.raises(ConnectionError):
        push(source, store, newer, also=("latest", "1"), previous=first.receipt)
    store.left = 99
    push(source, store, newer, also=("latest", "1"), previous=first.receipt)
    assert [store.resolve(tag) for tag in ("v1", "latest", "1")] == [newer] * 3


def test_an_index_is_not_published_before_its_children():
    source, store, alone = Memory(), Memory(), Memory()
    child = image(source)
    index = Index((Descriptor(child.media_type, child.digest, child.size, AMD64),))
    root = held(alone, index.media_type, index.to_json())
    with pytest.raises(BlobMissing):
        push(alone, store, root)
    assert store.resolve("v1") is None
    push(source, store, child)
    push(alone, store, root)
    assert store.resolve("v1") == root


class Rival(Memory):
    """A place where somebody else writes every tag right after us, `times` times."""

    def __init__(self, other: Descriptor, times: int) -> None:
        super().__init__()
        self.other = other
        self.left = times

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        super().tag(name, descriptor, content)
        if self.left:
            self.left -= 1
            super().tag(name, self.other)


def rivalry(times: int, policy: Policy | None = None):
    source = Memory()
    root, other = image(source), image(source, text=b"other")
    store = Rival(other, times)
    held(store, LAYER_GZIP, b"other")
    with source.open(other) as stream:
        held(store, other.media_type, stream.read())
    return store, root, lambda: push(source, store, root, policy=policy or Policy())


def test_a_push_that_loses_a_race_says_so_and_writes_the_tag_again():
    store, root, race = rivalry(ATTEMPTS - 1)
    done = race()
    assert store.resolve("v1") == root
    assert len(done.remarks) == ATTEMPTS - 1
    assert done.remarks[0] == (
        f"localhost:5000/demo:v1 holds {store.other.digest} right after {root.digest} was pushed: "
        "somebody else pushes this tag at the same time; it is written again"
    )


@pytest.mark.parametrize(
    ("times", "policy"),
    [(ATTEMPTS, Policy()), (1, Policy(repair=False)), (1, Policy(immutable=True))],
    ids=["the other does not give in", "DRIFT=fail", "IMMUTABLE=yes"],
)
def test_a_race_that_may_not_be_won_is_an_error(times, policy):
    store, root, race = rivalry(times, policy)
    with pytest.raises(TagMoved) as caught:
        race()
    assert str(caught.value) == (
        f"localhost:5000/demo:v1: holds {store.other.digest} right after {root.digest} was pushed: "
        "somebody else pushes this tag at the same time\n"
        "  hint: run the same command again when the other push has ended"
    )


def test_a_pin_says_what_the_tag_holds_and_for_which_platform():
    source = Memory()
    root = image(source, ARM64)
    source.tag("nightly", root)
    receipt = pin(source, TAG.with_tag("nightly"), ARM64)
    assert receipt.reference.digest == root.digest
    assert (receipt.descriptor.digest, receipt.descriptor.platform) == (root.digest, ARM64)


def test_a_pin_takes_its_platform_out_of_an_index():
    source = Memory()
    one, two = image(source, AMD64), image(source, ARM64)
    index = Index(tuple(Descriptor(d.media_type, d.digest, d.size, p) for d, p in ((one, AMD64), (two, ARM64))))
    root = held(source, index.media_type, index.to_json())
    source.tag("all", root)
    receipt = pin(source, TAG.with_tag("all"), ARM64)
    assert (receipt.reference.digest, receipt.descriptor.digest) == (root.digest, two.digest)


def test_a_pin_of_another_repository_is_copied_under_our_tag():
    source, store = Memory(), Memory()
    root = image(source, ARM64)
    source.tag("nightly", root)
    pin(source, TAG.with_tag("nightly"), ARM64, into=store, into_reference=TAG.with_tag("v1-arm64"))
    assert store.resolve("v1-arm64") == root


def test_a_pin_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(PinMissing, match=r"localhost:5000/demo:v1: is not in the registry"):
        pin(Memory(), TAG, ARM64)


def test_a_pin_of_another_platform_is_an_error():
    source = Memory()
    source.tag("v1", image(source, AMD64))
    with pytest.raises(PinMissing, match="is linux/amd64, not linux/arm64"):
        pin(source, TAG, ARM64)


def test_an_index_without_the_platform_is_an_error_that_says_what_it_holds():
    source = Memory()
    one = image(source, AMD64)
    index = Index((Descriptor(one.media_type, one.digest, one.size, AMD64),))
    source.tag("all", held(source, index.media_type, index.to_json()))
    with pytest.raises(PinMissing) as caught:
        pin(source, TAG.with_tag("all"), ARM64)
    assert str(caught.value) == (
        "localhost:5000/demo:all: is an index without linux/arm64\n  hint: it holds linux/amd64"
    )


STRICT = Policy(repair=False)


def test_what_our_own_unfinished_push_left_is_nobody_elses():
    source, store = Memory(), Memory()
    first, left, root = image(source), image(source, text=b"left"), image(source, text=b"root")
    done = push(source, store, first)
    push(source, store, left)
    with pytest.raises(TagMoved):
        push(source, store, root, previous=done.receipt, policy=STRICT)
    again = push(source, store, root, previous=done.receipt, policy=STRICT, unfinished=frozenset([left.digest]))
    assert (store.resolve("v1"), again.move, again.remarks) == (root, Move.OVERWRITE, ())


def test_a_further_tag_that_an_unfinished_push_moved_comes_back():
    source, store = Memory(), Memory()
    root, left = image(source), image(source, text=b"left")
    done = push(source, store, root, also=("latest",))
    store.put(left, lambda: source.open(left))
    store.tag("latest", left)
    push(source, store, root, previous=done.receipt, also=("latest",))
    assert store.resolve("latest") == left  # somebody's: it is left alone
    push(source, store, root, previous=done.receipt, also=("latest",), unfinished=frozenset([left.digest]))
    assert store.resolve("latest") == root


def test_the_intent_is_told_before_the_first_tag_is_written_and_only_then():
    source, store = Memory(), Memory()
    root = image(source)
    told: list[Descriptor | None] = []
    push(source, store, root, also=("latest",), intend=lambda _: told.append(store.resolve("latest")))
    assert told == [None]
    push(source, store, root, also=("latest",), intend=lambda _: told.append(store.resolve("latest")))
    assert told == [None]
