"""Layers: what stands in the archive, that it is the same every time, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path

import pytest

from multiarch_oci import layer, mediatype
from multiarch_oci.digest import Digest
from multiarch_oci.layer import Compression, ContentChanged, Entry, InvalidEntry, Kind, Written
from multiarch_oci.tarheader import Unwritable

SOME = random.Random(3).randbytes(3 * (1 << 20) + 77)  # noqa: S311  # wants to be the same every time


def written(
    *entries: Entry, epoch: int = 0, compression: Compression = Compression.GZIP, workers: int = 2
) -> tuple[Written, bytes]:
    sink = io.BytesIO()
    told = layer.write(entries, sink, epoch=epoch, compression=compression, workers=workers)
    return told, sink.getvalue()


def members(*entries: Entry, epoch: int = 0) -> list[tarfile.TarInfo]:
    _, content = written(*entries, epoch=epoch, compression=Compression.NONE)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as read:
        return read.getmembers()


MANY = (
    Entry.directory("app", mode=0o750, uid=3, gid=4),
    Entry.of_bytes("app/demo", SOME, mode=0o755, uid=1000, gid=1001),
    Entry.of_bytes("app/empty", b""),
    Entry.symlink("app/link", "../etc/passwd"),
    Entry.hardlink("aaa", "app/demo"),
    Entry.whiteout("app/gone"),
    Entry.opaque("app"),
)


def test_what_is_told_is_what_was_written() -> None:
    told, content = written(*MANY)
    assert told.descriptor.media_type == mediatype.LAYER_GZIP
    assert told.descriptor.digest == Digest.of(content)
    assert told.descriptor.size == len(content)
    assert told.diff_id == Digest.of(gzip.decompress(content))


def test_without_compression_the_blob_is_the_archive() -> None:
    told, content = written(*MANY, compression=Compression.NONE)
    assert told.descriptor.media_type == mediatype.LAYER_TAR
    assert told.descriptor.digest == told.diff_id == Digest.of(content)
    assert told.diff_id == written(*MANY)[0].diff_id


def test_the_bytes_of_this_layer_never_change() -> None:
    # The golden digests: an image that was built once has these layers in a registry.
    told, _ = written(*MANY[:1], *MANY[2:4], Entry.of_bytes("ü" * 60, b"x" * 3000, mode=0o4755), epoch=1_700_000_000)
    assert str(told.diff_id) == "sha256:6c3247d62c6bb5e1b6b9829b36a22d7f5b5f3d4e84e3df8beb6f118fc19363b4"
    assert str(told.descriptor.digest) == "sha256:a3237d38b0059d526b90ea777ac99503245c794bc55c25113c6708d6fc9e08f7"


def test_order_of_entries_and_number_of_workers_do_not_matter() -> None:
    _, first = written(*MANY)
    assert all(written(*reversed(MANY), workers=workers)[1] == first for workers in (1, 2, 5))


def test_parents_first_whiteouts_before_their_siblings_hard_links_last() -> None:
    found = members(Entry.of_bytes("app/!first", b""), *MANY)
    assert [member.name for member in found] == [
        "app", "app/.wh..wh..opq", "app/.wh.gone", "app/!first", "app/demo", "app/empty", "app/link", "aaa",
    ]  # fmt: skip


def test_a_folder_stands_before_siblings_that_sort_between_it_and_its_children() -> None:
    found = members(Entry.of_bytes("a/b", b""), Entry.of_bytes("a-b", b""), Entry.directory("a"))
    assert [member.name for member in found] == ["a", "a/b", "a-b"]


def test_members_are_what_the_entries_said() -> None:
    found = {member.name: member for member in members(*MANY, epoch=1234)}
    assert {member.mtime for member in found.values()} == {1234}
    assert {(member.uname, member.gname, member.devmajor, member.devminor) for member in found.values()} == {
        ("", "", 0, 0)
    }
    assert all(not member.pax_headers for member in found.values())
    program, folder = found["app/demo"], found["app"]
    assert (program.type, program.mode, program.uid, program.gid, program.size) == (b"0", 0o755, 1000, 1001, len(SOME))
    assert (folder.type, folder.mode, folder.uid, folder.gid) == (b"5", 0o750, 3, 4)
    assert (found["app/link"].type, found["app/link"].linkname) == (b"2", "../etc/passwd")
    assert (found["aaa"].type, found["aaa"].linkname, found["aaa"].size) == (b"1", "app/demo", 0)
    assert (found["aaa"].mode, found["aaa"].uid, found["aaa"].gid) == (0o755, 1000, 1001)
    assert (found["app/.wh.gone"].type, found["app/.wh.gone"].size) == (b"0", 0)


def test_contents_come_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(SOME)
    _, content = written(*MANY, Entry.of_file("copy", source, mode=0o600))
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as read:
        for name in ("app/demo", "copy", "aaa"):
            stream = read.extractfile(name)
            assert stream is not None
            assert hashlib.sha256(stream.read()).digest() == hashlib.sha256(SOME).digest()


def test_an_empty_layer_is_an_archive_without_members() -> None:
    _, content = written()
    assert gzip.decompress(content) == bytes(1024)


def test_records_become_pax_records() -> None:
    entry = Entry("a", open=io.BytesIO, records=(("SCHILY.xattr.security.capability", b"\x01\x00\n=\xff"),))
    (found,) = members(entry)
    assert (
        found.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == b"\x01\x00\n=\xff"
    )


@pytest.mark.parametrize("cut", [1, 7, 65521])
def test_a_stream_that_gives_its_content_in_pieces_gives_the_same_layer(cut: int) -> None:
    content = SOME[:200_000]

    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(cut, size or 0))

    whole = written(Entry.of_bytes("a", content))
    assert written(Entry("a", size=len(content), open=lambda: Pieces(content))) == whole


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (11, "src/a.txt: ended 1 of 11 bytes too early\n"),
        (9, "src/a.txt: is longer than the 9 bytes it had at first\n"),
        (0, "src/a.txt: is longer than the 0 bytes it had at first\n"),
    ],
)
def test_a_file_that_changed_while_it_was_read_is_an_error(size: int, text: str) -> None:
    opened: list[io.BytesIO] = []

    def opener() -> io.BytesIO:
        opened.append(io.BytesIO(b"0123456789"))
        return opened[-1]

    with pytest.raises(ContentChanged) as caught:
        written(Entry("a", size=size, open=opener, origin="src/a.txt"))
    hint = "  hint: it changed while the layer was written: let what writes it come to its end, and build again"
    assert str(caught.value) == text + hint
    assert [stream.closed for stream in opened] == [True]


def test_an_error_of_the_sink_comes_out() -> None:
    class Full(io.RawIOBase):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        layer.write([Entry.of_bytes("a", SOME)], Full())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ((Entry.of_bytes("a", b""), Entry.directory("a")), "two entries of a layer have the path 'a'"),
        ((Entry.symlink("a", "/etc"), Entry.of_bytes("a/b", b"")), "'a/b' is below 'a', a symbolic link"),
        ((Entry.of_bytes("a", b""), Entry.of_bytes("a/b/c", b"")), "'a/b/c' is below 'a', a file"),
        ((Entry.hardlink("a", "b"),), "hard link 'a' needs the file 'b' in its layer"),
        ((Entry.hardlink("a", "b"), Entry.directory("b")), "hard link 'a' needs the file 'b' in its layer"),
    ],
)
def test_entries_that_do_not_fit_together_are_an_error_and_nothing_is_written(
    entries: tuple[Entry, ...], text: str
) -> None:
    sink = io.BytesIO()
    with pytest.raises(InvalidEntry) as caught:
        layer.write(entries, sink)
    assert str(caught.value) == text
    assert sink.getvalue() == b""


def test_a_name_may_be_removed_below_and_made_anew() -> None:
    assert [member.name for member in members(Entry.of_bytes("a", b""), Entry.whiteout("a"))] == [".wh.a", "a"]


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "./a", "..", "a/../b", "a/."])
def test_a_path_that_is_not_inside_a_layer_is_an_error(path: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        Entry.of_bytes(path, b"")
    assert str(caught.value) == f"'{path}' is not a path inside a layer"


def test_a_file_named_like_a_whiteout_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InvalidEntry) as caught:
        Entry("a/.wh.b", open=io.BytesIO, origin="src/.wh.b")
    assert str(caught.value) == (
        "src/.wh.b: 'a/.wh.b' cannot be in a layer: a name that begins with .wh. removes a file\n"
        "  hint: leave it out with .dockerignore, or rename it"
    )


def test_a_file_without_content_and_a_mode_with_a_type_are_errors() -> None:
    with pytest.raises(InvalidEntry, match=r"^file 'a' has no content$"):
        Entry("a")
    with pytest.raises(InvalidEntry, match=r"^'a' has the mode 100644, not permission bits$"):
        Entry("a", Kind.DIRECTORY, mode=0o100644)


def test_a_negative_time_is_an_error() -> None:
    with pytest.raises(Unwritable, match=r"^a: a mtime of -1 cannot stand in a layer$"):
        written(Entry.of_bytes("a", b""), epoch=-1)


def test_memory_does_not_grow_with_the_size_of_a_file() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        left = 64 << 20

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    class Nowhere(io.RawIOBase):
        def write(self, content: bytes) -> int:
            return len(content)

    tracemalloc.start()
    layer.write([Entry("a", size=64 << 20, open=Endless)], Nowhere())  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
