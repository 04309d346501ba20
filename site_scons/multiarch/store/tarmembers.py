"""The members of a tar file, found once and read in any order; the file is not trusted (POSIX.1-2017, pax).

Only regular files are members: folders, links and devices are passed over, so that a link leads nowhere. Sparse files,
a name that is there twice and one that leaves the archive are errors. Every offset is checked against the file's size.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from multiarch.errors import MultiarchError
from multiarch.record import dataclass, replace
from multiarch.tarheader import DIRECTORY, FILE, RECORD

MOST = 100_000
"""Members that are read at most; an image has some dozens."""
_LONGEST_PAX = 1 << 20
_REGULAR = (FILE, b"\0", b"7")
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_EXTENSIONS = (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK)


class InvalidArchive(MultiarchError, ValueError):
    """A file that is no tar archive, or one that holds what an image archive must not."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where the content of a regular file lies in the archive, in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    size: int
    typeflag: bytes


def members(path: Path) -> dict[str, Member]:
    """All regular files of an archive by name; InvalidArchive says what is wrong with it."""
    where = str(path)
    found: dict[str, Member] = {}
    try:
        stream = path.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidArchive("is not there, or is no file", where=where) from None
    with stream:
        end = stream.seek(0, 2)
        for count, (header, offset) in enumerate(_headers(stream, end, where)):
            if count >= MOST:
                raise InvalidArchive(f"has more than {MOST} members", where=where)
            if header.typeflag not in _REGULAR:
                continue
            name = _safe(header.name, where)
            if name in found:
                raise InvalidArchive(f"member '{name}' is there twice", where=where)
            found[name] = Member(name, offset, header.size)
    return found


def _headers(stream: BinaryIO, end: int, where: str) -> Iterator[tuple[_Header, int]]:
    """Every header with the offset of its content, extensions applied."""
    offset = 0
    names: dict[str, str] = {}
    while True:
        stream.seek(offset)
        block = stream.read(RECORD)
        if len(block) < RECORD:
            raise InvalidArchive("is no tar archive, or ends too early", where=where)
        if not any(block):
            return
        header = _header(block, where)
        offset += RECORD
        if header.typeflag in _EXTENSIONS:
            _check_end(header, offset, end, where)
            if header.size > _LONGEST_PAX:
                raise InvalidArchive(f"has an extended header of {header.size} bytes", where=where)
            names |= _extension(header.typeflag, stream.read(header.size), where)
        else:
            header = _extended(header, names, where)
            _check_end(header, offset, end, where)
            names = {}
            yield header, offset
        offset += -(-header.size // RECORD) * RECORD


def _check_end(header: _Header, offset: int, end: int, where: str) -> None:
    if header.size > end - offset:
        raise InvalidArchive(f"ends within member '{header.name}'", where=where)


def _header(block: bytes, where: str) -> _Header:
    try:
        wanted = _number(block[148:156])
        name = _text(block[:100])
        size = _number(block[124:136])
    except ValueError:
        raise InvalidArchive("is no tar archive, or damaged", where=where) from None
    if wanted != sum(block[:148]) + 8 * 0x20 + sum(block[156:]) or size < 0:
        raise InvalidArchive("is no tar archive, or damaged", where=where)
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    typeflag = block[156:157]
    return _Header(f"{prefix}/{name}" if prefix else name, size if typeflag != DIRECTORY else 0, typeflag)


def _extension(typeflag: bytes, body: bytes, where: str) -> dict[str, str]:
    """What an extended header says about the next member: pax records, or GNU's long name."""
    if typeflag == _LONG_NAME:
        return {"path": _text(body)}
    if typeflag != _PAX:
        return {}
    records = {}
    while body:
        digits, space, _ = body.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0  # noqa: PLR2004  # digits of _LONGEST_PAX
        record, body = body[:length], body[length:]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if len(record) != length or not (space and equals and record.endswith(b"\n")):
            raise InvalidArchive("has a damaged extended header", where=where)
        records[_text(key)] = value[:-1].decode("utf-8", "surrogateescape")
    if any(key.startswith("GNU.sparse") for key in records):
        raise InvalidArchive("holds a sparse file", where=where)
    return records


def _extended(header: _Header, records: dict[str, str], where: str) -> _Header:
    size = records.get("size", "")
    if size and not (size.isascii() and size.isdigit() and len(size) < 20):  # noqa: PLR2004  # digits of 2**64
        raise InvalidArchive("has a damaged extended header", where=where)
    return replace(header, name=records.get("path", header.name), size=int(size) if size else header.size)


def _number(field: bytes) -> int:
    """Octal, or GNU's base 256 when the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits, 8) if digits else 0


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _safe(name: str, where: str) -> str:
    """The name without `./` and doubled slashes; InvalidArchive when it leaves the archive."""
    plain = posixpath.normpath(name)
    if name.startswith("/") or plain == ".." or plain.startswith("../") or "\\" in name:
        raise InvalidArchive(f"member '{name}' lies outside of the archive", where=where)
    return plain
