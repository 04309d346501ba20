"""What every place promises, held against each of them.

OCI distribution spec 1.1: "Pull", "Push"; image spec 1.1, descriptor.md, "Verification".
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from msgspec.structs import replace

from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.reference import InvalidReference, Reference
from multiarch_oci.store import BlobMissing, Store, copy, read
from multiarch_oci.store.archive import ArchiveWriter
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.memory import Memory
from multiarch_oci.store.registry import Registry
from samples import blob, factory, sample

ELSEWHERE = Reference.parse("registry.example/other/image:1")


def memory(request: pytest.FixtureRequest, closing: ExitStack) -> Store:  # noqa: ARG001
    return Memory()


def layout(request: pytest.FixtureRequest, closing: ExitStack) -> Store:  # noqa: ARG001
    return Layout(request.getfixturevalue("tmp_path") / "registry" / "team" / "demo")


def archive(request: pytest.FixtureRequest, closing: ExitStack) -> Store:
    return closing.enter_context(ArchiveWriter(request.getfixturevalue("tmp_path") / "image.tar"))


def registry(request: pytest.FixtureRequest, closing: ExitStack) -> Store:  # noqa: ARG001
    running = request.getfixturevalue("registry")
    transport = Transport(Settings(backoff=0.01, longest_pause=0.1), Credentials({}, Path("/nowhere")))
    return Registry(transport, Reference(running.host, "team/demo"))


PLACES: dict[str, Callable[[pytest.FixtureRequest, ExitStack], Store]] = {
    "memory": memory,
    "layout": layout,
    "archive": archive,
    "registry": registry,
}


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with ExitStack() as closing:
        yield PLACES[request.param](request, closing)


@pytest.fixture(params=[name for name in PLACES if name != "registry"])
def local(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Return a place that asks no server, and so can promise more."""
    with ExitStack() as closing:
        yield PLACES[request.param](request, closing)


def test_an_empty_place_has_nothing(store: Store):
    assert store.resolve("1.0") is None
    assert store.resolve(str(Digest.of(b"x"))) is None
    assert not store.has(blob())


def test_what_was_put_is_there_and_reads_back(store: Store):
    content = bytes(range(256)) * 10_000
    store.put(blob(content), factory(content))
    assert store.has(blob(content))
    with store.open(blob(content)) as stream:
        assert stream.read() == content


def test_an_empty_blob_is_content_too(store: Store):
    store.put(blob(b""), factory(b""))
    with store.open(blob(b"")) as stream:
        assert stream.read() == b""


def test_a_stream_is_read_in_pieces_to_its_end(store: Store):
    store.put(blob(b"0123456789"), factory(b"0123456789"))
    with store.open(blob(b"0123456789")) as stream:
        pieces = [stream.read(4), stream.read(4), stream.read(4), stream.read(4)]
    assert pieces == [b"0123", b"4567", b"89", b""]


def test_putting_twice_is_putting_once(store: Store):
    for _ in range(2):
        store.put(blob(b"x"), factory(b"x"))
    assert read(store, blob(b"x")) == b"x"


def test_putting_twice_reads_the_content_once(local: Store):
    opened = []

    def content() -> BinaryIO:
        opened.append(1)
        return io.BytesIO(b"x")

    local.put(blob(b"x"), content)
    local.put(blob(b"x"), content)
    assert opened == [1]


def test_put_closes_what_it_opened(store: Store):
    stream = io.BytesIO(b"x")
    store.put(blob(b"x"), lambda: stream)
    assert stream.closed


def test_two_streams_of_one_blob_do_not_disturb_each_other(store: Store):
    store.put(blob(b"abcdef"), factory(b"abcdef"))
    with store.open(blob(b"abcdef")) as one, store.open(blob(b"abcdef")) as other:
        assert (one.read(3), other.read(6), one.read(3)) == (b"abc", b"abcdef", b"def")


@pytest.mark.parametrize("wrong", [b"wrong bytes", b"right byte", b"right bytes!", b""])
def test_wrong_bytes_are_never_stored(store: Store, wrong: bytes):
    with pytest.raises(MultiarchError):
        store.put(blob(b"right bytes"), factory(wrong))
    assert not store.has(blob(b"right bytes"))
    with pytest.raises(BlobMissing):
        read(store, blob(b"right bytes"))
    store.put(blob(b"right bytes"), factory(b"right bytes"))
    assert read(store, blob(b"right bytes")) == b"right bytes"


def test_a_stream_that_breaks_stores_nothing(store: Store):
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError("cut")
            return super().read(min(size or 4, 4))

    with pytest.raises((OSError, MultiarchError)):
        store.put(blob(b"0123456789"), lambda: Breaking(b"0123456789"))
    assert not store.has(blob(b"0123456789"))


def test_absent_content_is_an_error_that_names_the_digest(store: Store):
    with pytest.raises(BlobMissing, match=str(blob().digest)):
        store.open(blob()).read()


def test_a_tag_names_a_manifest_and_can_be_moved(store: Store):
    first, second = sample(text=b"one"), sample(text=b"two")
    for image in (first, second):
        image.fill(store)
    store.tag("1.0", first.root)
    assert bare(store.resolve("1.0")) == first.root.bare()
    store.tag("1.0", second.root)
    store.tag("1.0", second.root)
    assert bare(store.resolve("1.0")) == second.root.bare()
    assert bare(store.resolve(str(first.root.digest))) == first.root.bare()


def test_a_manifest_without_tag_is_found_by_digest(store: Store):
    image = sample()
    image.fill(store)
    assert bare(store.resolve(str(image.root.digest))) == image.root.bare()


def test_a_blob_that_is_no_manifest_is_not_found_by_digest(local: Store):
    image = sample()
    image.fill(local)
    assert local.resolve(str(image.own.digest)) is None
    assert local.resolve(str(image.manifest.config.digest)) is None


NO_TAGS = ["", "-x", ".x", "a/b", "../x", "a:b", "a" * 129, "sha256:abc", "ä", "latest\n"]


@pytest.mark.parametrize("name", NO_TAGS)
def test_what_can_be_no_tag_is_refused(store: Store, name: str):
    image = sample()
    image.fill(store)
    with pytest.raises(InvalidReference):
        store.tag(name, image.root)


@pytest.mark.parametrize("name", NO_TAGS)
def test_what_can_be_no_tag_names_nothing(local: Store, name: str):
    assert local.resolve(name) is None


def test_a_tag_cannot_name_what_is_not_there(store: Store):
    with pytest.raises(MultiarchError):
        store.tag("1.0", sample().root)
    assert store.resolve("1.0") is None


def test_a_blob_of_nowhere_cannot_be_mounted(store: Store):
    assert store.mount(blob(), ELSEWHERE) is False
    assert not store.has(blob())


def test_an_image_is_copied_once(store: Store):
    image, origin = sample(), Memory()
    image.fill(origin)
    first = copy(origin, store, image.root, tags=("1.0", "latest"))
    again = copy(origin, store, image.root, tags=("1.0", "latest"))
    assert {each.digest for each in first.sent} == {each.digest for each in image.blobs}
    assert again.sent == ()
    assert bare(store.resolve("latest")) == image.root.bare()


def test_an_index_is_copied_with_all_its_members(store: Store):
    origin = Memory()
    images = [sample("linux/amd64"), sample("linux/arm64"), sample("windows(10.0.20348.1)/amd64")]
    index = Index(tuple(image.fill(origin) for image in images))
    origin.put(index.descriptor(), factory(index.to_json()))
    copy(origin, store, index.descriptor(), tags=("all",))
    found = store.resolve("all")
    assert found is not None
    assert Index.from_json(read(store, found), where="all").manifests == tuple(image.root for image in images)
    for image in images:
        assert read(store, image.root) == image.manifest.to_json()
        assert read(store, image.own) == image.blobs[image.own]


def test_a_copy_that_fails_tags_nothing(store: Store):
    image, origin = sample(), Memory()
    image.fill(origin, without=(image.own,))
    with pytest.raises(BlobMissing):
        copy(origin, store, image.root, tags=("1.0",))
    assert store.resolve("1.0") is None
    assert not store.has(image.root)


def test_threads_put_and_read_at_once(store: Store):
    contents = [bytes([number]) * 50_000 for number in range(24)]
    failed: list[BaseException] = []

    def work(part: int) -> None:
        try:
            for content in contents[part::2] + contents[:8]:
                store.put(blob(content), factory(content))
                assert read(store, blob(content)) == content
        except BaseException as error:  # noqa: BLE001  # a thread's failure is the test's
            failed.append(error)

    threads = [threading.Thread(target=work, args=(part % 2,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all(read(store, blob(content)) == content for content in contents)


def test_a_wrong_size_is_found_out(store: Store):
    store.put(blob(b"12345"), factory(b"12345"))
    longer, shorter = replace(blob(b"12345"), size=6), replace(blob(b"12345"), size=4)
    for wrong in (longer, shorter):
        with pytest.raises(DigestMismatch):
            read(store, wrong)


def bare(found: Any) -> Any:
    return None if found is None else found.bare()
