"""Blobs kept for all trees."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import DigestMismatch
from multiarch_oci.mediatype import INDEX, MANIFEST, MANIFESTS
from multiarch_oci.store import BlobMissing, read
from multiarch_oci.store.cache import Cache, Cached
from multiarch_oci.store.memory import Memory
from samples import blob, factory, sample


class Counting(Memory):
    """A memory that counts what is opened."""

    opened = 0

    def open(self, descriptor: Descriptor) -> BinaryIO:
        self.opened += 1
        return super().open(descriptor)


def source(*contents: bytes) -> Counting:
    memory = Counting()
    for content in contents:
        memory.put(blob(content), factory(content))
    return memory


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_what_was_read_once_is_not_asked_for_again(tmp_path: Path):
    origin = source(b"layer" * 100_000)
    cached = Cached(origin, Cache(tmp_path, 1 << 30))
    assert read(cached, blob(b"layer" * 100_000)) == b"layer" * 100_000
    assert read(cached, blob(b"layer" * 100_000)) == b"layer" * 100_000
    assert origin.opened == 1
    assert files(tmp_path) == {blob(b"layer" * 100_000).digest.hex}


def test_an_empty_blob_is_kept(tmp_path: Path):
    origin = source(b"")
    cached = Cached(origin, Cache(tmp_path, 100))
    assert (read(cached, blob(b"")), read(cached, blob(b"")), origin.opened) == (b"", b"", 1)


def test_a_stream_closed_early_keeps_nothing(tmp_path: Path):
    content = os.urandom(3 << 20)
    with Cached(source(content), Cache(tmp_path, 1 << 30)).open(blob(content)) as stream:
        stream.read(10)
    assert files(tmp_path) == set()


def test_wrong_bytes_are_not_kept(tmp_path: Path):
    class Wrong(Memory):
        def open(self, descriptor: Descriptor) -> BinaryIO:  # noqa: ARG002  # the protocol's
            return factory(b"wrong")()

    with pytest.raises(DigestMismatch):
        read(Cached(Wrong(), Cache(tmp_path, 100)), blob(b"right"))
    assert files(tmp_path) == set()


@pytest.mark.parametrize("damage", [b"LAYER", b"layer!", b""])
def test_a_damaged_file_is_fetched_again(tmp_path: Path, damage: bytes):
    cache = Cache(tmp_path, 100)
    cached = Cached(source(b"layer"), cache)
    read(cached, blob(b"layer"))
    cache.path(blob(b"layer").digest).write_bytes(damage)
    with pytest.raises(BlobMissing):
        cache.open(blob(b"layer"))
    assert files(tmp_path) == set()
    assert read(cached, blob(b"layer")) == b"layer"
    assert cache.path(blob(b"layer").digest).read_bytes() == b"layer"


def test_the_longest_unused_goes_first(tmp_path: Path):
    cache = Cache(tmp_path, 25)
    contents = [bytes([65 + number]) * 10 for number in range(3)]
    cached = Cached(source(*contents), cache)
    for age, content in enumerate(contents[:2]):
        read(cached, blob(content))
        os.utime(cache.path(blob(content).digest), (1000 + age, 1000 + age))
    read(cached, blob(contents[0]))  # used again: the other one is older now
    read(cached, blob(contents[2]))
    assert files(tmp_path) == {blob(contents[0]).digest.hex, blob(contents[2]).digest.hex}


def test_a_blob_above_the_limit_passes_through(tmp_path: Path):
    origin = source(b"0123456789")
    cached = Cached(origin, Cache(tmp_path, 9))
    assert read(cached, blob(b"0123456789")) == b"0123456789"
    assert files(tmp_path) == set()


def test_what_a_dead_process_left_is_cleared_away_and_what_is_being_written_is_not(tmp_path: Path):
    folder = tmp_path / "sha256"
    folder.mkdir()
    for name, age in ((".a.part-0", 2 * 24 * 3600), (".b.part-0", 60)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    Cache(tmp_path, 100).trim()
    assert files(tmp_path) == {".b.part-0"}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    cached = Cached(source(b"layer"), Cache(tmp_path / "file" / "cache", 100))
    assert read(cached, blob(b"layer")) == b"layer"


def test_content_that_is_nowhere_is_missing(tmp_path: Path):
    with pytest.raises(BlobMissing):
        Cached(Memory(), Cache(tmp_path, 100)).open(blob(b"x"))


def test_names_are_the_sources(tmp_path: Path):
    memory = Memory()
    memory.tag("1.0", sample().fill(memory))
    cached = Cached(memory, Cache(tmp_path, 100))
    assert cached.resolve("1.0") == memory.resolve("1.0")
    assert Cache(tmp_path, 100).resolve("1.0") is None


@pytest.mark.parametrize(
    "content",
    [
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}',
        b'{"schemaVersion":2,"config":{},"layers":[{}]}',
        b'{"schemaVersion":2,"manifests":[{}]}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{}]}',
    ],
)
def test_a_manifest_that_is_kept_is_known_by_its_digest_without_the_source(tmp_path: Path, content: bytes):
    memory = Memory()
    kinds = [kind for kind in MANIFESTS if kind.encode() in content]
    kind = kinds[0] if kinds else (INDEX if b"manifests" in content else MANIFEST)
    descriptor = Descriptor.of(kind, content)
    memory.put(descriptor, lambda: io.BytesIO(content))
    cache = Cache(tmp_path, 1000)
    assert Cached(Memory(), cache).resolve(str(descriptor.digest)) is None
    assert read(Cached(memory, cache), descriptor) == content
    assert Cached(Memory(), cache).resolve(str(descriptor.digest)) == descriptor
    cache.path(descriptor.digest).write_bytes(content.replace(b"2", b"3"))
    assert Cached(Memory(), cache).resolve(str(descriptor.digest)) is None  # damaged: not believed


@pytest.mark.parametrize("content", [b"layer", b"{}", b"[]", b'{"mediaType":"x/y","layers":[{}]}', b'{"layers":[]}'])
def test_what_is_kept_and_no_manifest_is_the_sources_to_tell(tmp_path: Path, content: bytes):
    cached = Cached(source(content), Cache(tmp_path, 100))
    assert read(cached, blob(content)) == content
    assert Cached(Memory(), Cache(tmp_path, 100)).resolve(str(blob(content).digest)) is None


def test_threads_fill_and_trim_at_once(tmp_path: Path):
    contents = [bytes([number]) * 10_000 for number in range(20)]
    cached = Cached(source(*contents), Cache(tmp_path, 55_000))
    wrong: list[object] = []

    def work() -> None:
        for content in contents * 2:
            try:
                if read(cached, blob(content)) != content:
                    wrong.append(content)
            except Exception as error:  # noqa: BLE001, PERF203  # a thread's failure is the test's
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 55_000
