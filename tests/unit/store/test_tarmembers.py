"""Tar files of others, read without trust."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from multiarch_oci.store import tarmembers
from multiarch_oci.store.tarmembers import members
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarheader import END


def info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    return member


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.tar"


def write(path: Path, *infos: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, "w", format=form) as tar:
        for each in infos:
            tar.addfile(each, io.BytesIO(b"c" * each.size) if each.isreg() else None)


def refused(path: Path) -> str:
    with pytest.raises(InvalidArchive) as caught:
        members(path)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.what


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a", "x" * 100, "d/" * 60 + "file", "blobs/" + "n" * 90])
def test_members_lie_where_tarfile_finds_them(path: Path, form: int, name: str):
    write(path, info("first", 513), info("folder", kind=tarfile.DIRTYPE), info(name, 10), info("empty"), form=form)
    found = members(path)
    with tarfile.open(path) as tar:
        wanted = {each.name: (each.offset_data, each.size) for each in tar if each.isreg()}
    assert {each.name: (each.offset, each.size) for each in found.values()} == wanted


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["n" * 255, "größe", "d/" * 200 + "x"])
def test_long_and_foreign_names_are_read(path: Path, form: int, name: str):
    write(path, info(name, 3), form=form)
    assert list(members(path)) == [name]


def test_what_gnu_tar_writes_is_read(path: Path, tmp_path: Path):
    (tmp_path / "in" / "blobs").mkdir(parents=True)
    (tmp_path / "in" / "blobs" / ("b" * 128)).write_bytes(b"content")
    subprocess.run(["tar", "-C", tmp_path / "in", "-cf", path, "."], check=True)
    found = members(path)["blobs/" + "b" * 128]
    with path.open("rb") as stream:
        stream.seek(found.offset)
        assert stream.read(found.size) == b"content"


def test_links_and_devices_lead_nowhere(path: Path):
    write(
        path,
        info("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        info("hard", kind=tarfile.LNKTYPE, link="x"),
        info("pipe", kind=tarfile.FIFOTYPE),
        info("file"),
    )
    assert list(members(path)) == ["file"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..", "a\\..\\x"])
def test_a_name_that_leaves_the_archive_is_refused(path: Path, name: str):
    write(path, info(name))
    assert refused(path) == f"member '{name}' lies outside of the archive"


@pytest.mark.parametrize("second", ["a/b", "./a/b", "a//b", "a/c/../b"])
def test_a_name_that_is_there_twice_is_refused(path: Path, second: str):
    write(path, info("a/b"), info(second))
    assert refused(path) == "member 'a/b' is there twice"


def test_a_sparse_file_is_refused(path: Path):
    sparse = info("file", 10)
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    write(path, sparse)
    assert refused(path) == "cannot be read: member 'file': a damaged map of a sparse file"
    sparse.pax_headers = {"GNU.sparse.map": "0,10", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "20"}
    write(path, sparse)
    assert refused(path) == "member 'file' is a sparse file"


def test_an_old_sparse_file_that_is_not_of_gnu_is_refused(path: Path):
    write(path, info("file", 10), info("after"))
    content = bytearray(path.read_bytes())
    content[156:157] = b"S"
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 8 * 32 + sum(content[156:512]))
    path.write_bytes(content)
    assert refused(path) == "cannot be read: member 'file': a sparse file of a kind that is not known"


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 512, b"\x1f\x8b" + bytes(range(256)) * 8, b"\xff" * 1024])
def test_what_is_no_tar_file_is_refused(path: Path, content: bytes):
    path.write_bytes(content)
    assert refused(path) == ("is no tar archive, or a damaged one" if content else "is no tar archive, or an empty one")


def test_a_file_cut_anywhere_is_refused(path: Path):
    write(path, info("a", 600), info("n" * 90, 10))
    whole = path.read_bytes().rstrip(b"\0")
    for length in range(0, len(whole) - 10, 97):
        if not 512 + 600 <= length <= 512 + 1024:  # what fills the last block up is not missed, as with Go
            path.write_bytes(whole[:length])
            refused(path)


def test_a_size_beyond_the_end_is_refused(path: Path):
    large = info("a").tobuf(tarfile.USTAR_FORMAT)
    for size in (7, 8**11 - 1, 2**80):
        header = info("a", 0)
        header.size = size
        form = tarfile.GNU_FORMAT
        path.write_bytes(header.tobuf(form) + END[: len(large) - 512])
        within = "cannot be read: member 'a': the archive ends within it"
        assert refused(path) == (within if size < 8**11 else "is no tar archive, or a damaged one")


def test_the_number_of_members_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tarmembers, "MOST", 3)
    write(path, *(info(str(number)) for number in range(3)))
    assert len(members(path)) == 3
    write(path, *(info(str(number)) for number in range(4)))
    assert refused(path) == "has more than 3 members"


@pytest.mark.parametrize(
    "record", [b"x", b"5 a=b\n", b"99 path=a\n", b"9 path=a\n ", b"-3 a=b\n", b"10 path a\n", b"\xb2 a=b\n"]
)
def test_a_damaged_pax_header_is_refused(path: Path, record: bytes):
    head = info("PaxHeaders", len(record), tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(head + record.ljust(512, b"\0") + info("a").tobuf() + END)
    assert refused(path).startswith("cannot be read: member 'PaxHeaders': ")


@pytest.mark.parametrize("size", ["-1", "x", "1" * 20, "²"])
def test_a_pax_size_that_is_no_number_is_refused(path: Path, size: str):
    member = info("a")
    member.pax_headers = {"size": size}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.fileobj.write(member.tobuf(tarfile.PAX_FORMAT))
    assert refused(path).startswith("cannot be read: member 'a': ")


def test_an_extended_header_that_is_too_long_is_refused(path: Path):
    head = info("PaxHeaders", (1 << 20) + 1, tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(head + bytes(2 << 20))
    wanted = "cannot be read: member 'PaxHeaders': an extended header of 1048577 bytes, the limit is 1048576"
    assert refused(path) == wanted
