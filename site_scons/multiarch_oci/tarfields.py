"""What stands in the headers of tar archives from elsewhere: V7, ustar, pax, GNU and star (POSIX.1-2017, pax; GNU tar).

Read as Go's archive/tar reads them, since that is what engines unpack with: the same archives are refused, and the
same names, sizes and owners come out of the others.

Sparse files stand in GNU's old format and in pax formats 0.0, 0.1 and 1.0. What is not stored of such a file are zeros.
Where the stored parts lie says a map, which is checked as a whole before anything of the content is read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO, cast

import msgspec

from multiarch_oci.digest import BLOCK, Filter
from multiarch_oci.errors import MultiarchError
from multiarch_oci.tarheader import DIRECTORY, FILE, RECORD

PAX, GLOBAL, LONG_NAME, LONG_LINK, OLD_SPARSE = b"x", b"g", b"L", b"K", b"S"
_REGULAR = (FILE, b"\0", b"7", OLD_SPARSE)
_WITHOUT_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_LARGEST = (1 << 63) - 1
_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"([+-]?)0*([0-9]{1,19})")
_SECONDS = re.compile(rb"([+-]?[0-9]+)(?:\.([0-9]*))?")
_SPARSE = b"GNU.sparse."
_NO_NUL = (b"path", b"linkpath", b"uname", b"gname")
Records = Mapping[str, bytes]
NO_RECORDS: Records = MappingProxyType({})


class InvalidArchive(MultiarchError, ValueError):
    """A file that is no tar archive, a damaged one, or one that holds what no engine could unpack."""


class Damaged(ValueError):
    """A field that says nothing; `TarReader` makes an InvalidArchive of it, which names archive and member."""


class Member(msgspec.Struct, frozen=True):
    """One member of an archive, extended headers applied; nothing of it is checked against other members.

    `name` and `target` are as the archive has them. `typeflag` is FILE for every kind of regular file, DIRECTORY also
    where an old archive says it by a slash. `size` is that of the content, 0 for what has none. `stored` bytes of the
    archive from `offset` hold it: fewer than `size` where `regions` (offset and length in the content, in order) are
    all that is not zeros. `mtime` are whole seconds. `records` are the pax records, by name.
    """

    name: str
    typeflag: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: str = ""
    device: tuple[int, int] = (0, 0)
    records: Records = NO_RECORDS
    offset: int = 0
    stored: int = 0
    regions: tuple[tuple[int, int], ...] | None = None

    @property
    def is_file(self) -> bool:
        """Whether it has a content."""
        return self.typeflag == FILE


class Fields(msgspec.Struct):
    """The fields of one header block, and what extended headers say over them."""

    name: bytes
    typeflag: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: bytes
    device: tuple[int, int]
    gnu: bool

    def apply(self, records: Mapping[bytes, bytes]) -> None:
        """Take over what pax records say; an empty one leaves the field as it is. Raises Damaged."""
        for key, value in records.items():
            if not value:
                continue
            if key == b"path":
                self.name = value
            elif key == b"linkpath":
                self.target = value
            elif key == b"size":
                self.size = decimal(value)
            elif key == b"uid":
                self.uid = decimal(value)
            elif key == b"gid":
                self.gid = decimal(value)
            elif key in (b"mtime", b"atime", b"ctime"):
                seconds = _SECONDS.fullmatch(value)
                if seconds is None:
                    raise Damaged("a time that is no number")
                whole = decimal(seconds[1])
                earlier = seconds[1].startswith(b"-") and (seconds[2] or b"")[:9].strip(b"0")
                self.mtime = whole - bool(earlier) if key == b"mtime" else self.mtime

    @property
    def has_content(self) -> bool:
        """Whether something of this kind has a content; links, folders, devices and pipes have none."""
        return self.typeflag not in _WITHOUT_CONTENT

    @property
    def stored(self) -> int:
        """The bytes that follow the header, whatever it says of links and folders. Raises Damaged for less than 0."""
        if not self.has_content:
            return 0
        if self.size < 0:
            raise Damaged("a size below 0")
        return self.size

    def settle(self) -> None:
        """Make one kind of all that is a regular file, and a folder of an old archive's name with a slash."""
        if self.typeflag == b"\0" and self.name.endswith(b"/"):
            self.typeflag = DIRECTORY
        elif self.typeflag in _REGULAR:
            self.typeflag = FILE


def header(block: bytes) -> Fields:
    """The fields of a header block. Raises Damaged for a wrong check sum, and for a number that is none."""
    check_sum = number(block[148:156], signed=False)
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if check_sum != unsigned:
        negative = sum(1 for byte in block[:148] + block[156:] if byte & 0x80)
        if check_sum != unsigned - 256 * negative:
            raise Damaged("no header of a tar archive, or a damaged one")
    ustar, gnu = block[257:263] == b"ustar\0", block[257:265] == b"ustar  \0"
    star = ustar and block[508:512] == b"tar\0"
    fields = Fields(
        name=text(block[:100]),
        typeflag=block[156:157],
        mode=number(block[100:108]),
        uid=number(block[108:116]),
        gid=number(block[116:124]),
        size=number(block[124:136]),
        mtime=number(block[136:148]),
        target=text(block[157:257]),
        device=(number(block[329:337]), number(block[337:345])) if ustar or gnu else (0, 0),
        gnu=gnu,
    )
    prefix = b""
    if ustar:
        prefix = text(block[345 : 476 if star else 500])
    elif gnu and _misused(block):
        prefix = text(block[345:500])
    if star:
        number(block[476:488])
        number(block[488:500])
    if prefix:
        fields.name = prefix + b"/" + fields.name
    return fields


def _misused(block: bytes) -> bool:
    """Whether a GNU header has a prefix in the place of its times, as Go before 1.8 wrote it."""
    try:
        for field in (block[345:357], block[357:369]):
            if field[0]:
                number(field)
    except Damaged:
        return text(block[345:500]).isascii()
    return False


def number(field: bytes, *, signed: bool = True) -> int:
    """A number in octal, or `signed` in base 256 where the first bit is set (GNU). Raises Damaged."""
    if signed and field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if not -_LARGEST - 1 <= value <= _LARGEST:
            raise Damaged("a number above 2**63")
        return value
    digits = text(field.strip(b" \0"))
    if not digits:
        return 0
    if _OCTAL.fullmatch(digits) is None:
        raise Damaged("a number that is none")
    return int(digits, 8)


def decimal(value: bytes) -> int:
    """A number of a pax record, as Go's strconv.ParseInt. Raises Damaged."""
    match = _DECIMAL.fullmatch(value)
    whole = int(match[1] + match[2]) if match is not None else _LARGEST + 1
    if not -_LARGEST - 1 <= whole <= _LARGEST:
        shown = value[:30].decode("utf-8", "backslashreplace")
        raise Damaged(f"its header says '{shown}' where a number below 2**63 belongs")
    return whole


def text(field: bytes) -> bytes:
    """What stands before the first NUL."""
    return field.split(b"\0", 1)[0]


def pax_records(body: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, the map of GNU's sparse format 0.0 made one of 0.1. Raises Damaged."""
    records: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 20)
        length = decimal(body[at:space]) if space > at else 0
        record = body[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if length < 5 or at + length > len(body) or not (equals and key and record.endswith(b"\n")):  # noqa: PLR2004
            raise Damaged("a damaged extended header")
        if b"\0" in (value if key in _NO_NUL else key):
            raise Damaged("a NUL in an extended header")
        if key in (_SPARSE + b"offset", _SPARSE + b"numbytes"):
            if (key == _SPARSE + b"offset") == bool(len(sparse) % 2) or b"," in value:
                raise Damaged("a damaged map of a sparse file")
            sparse.append(value)
        else:
            records[key] = value
        at += length
    if sparse:
        records[_SPARSE + b"map"] = b",".join(sparse)
    return records


def named(field: bytes) -> str:
    """A name as a text; bytes that are no UTF-8 are kept as Python keeps them in names of files."""
    return field.decode("utf-8", "surrogateescape")


def whole_blocks(size: int) -> int:
    """What a content of this size takes in an archive, in bytes."""
    return -(-size // RECORD) * RECORD


LARGEST = 64 << 30
"""Bytes of a sparse file that are written out: a header of 512 bytes can ask for 2**63 zeros."""
_LONGEST_MAP = 1 << 20
_GNU = b"GNU.sparse."
Regions = tuple[tuple[int, int], ...]
"""Offset and length of what is stored, in order."""


def old_regions(fields: Fields, block: bytes, take: Callable[[int], bytes]) -> Regions:
    """The map of GNU's old format, from the header and the blocks that follow it; sets the size. Raises Damaged."""
    if not fields.gnu:
        raise Damaged("a sparse file of a kind that is not known")
    fields.size = number(block[483:495])
    part, most, whole = block[386:483], 4, 0
    regions: list[tuple[int, int]] = []
    while True:
        for at in range(0, most * 24, 24):
            if not part[at]:
                break
            regions.append((number(part[at : at + 12]), number(part[at + 12 : at + 24])))
        if not part[most * 24]:
            return _checked(tuple(regions), fields.size)
        part, most, whole = take(RECORD), 21, whole + RECORD
        if whole > _LONGEST_MAP:
            raise Damaged(f"a sparse file whose map is longer than {_LONGEST_MAP} bytes")


def pax_regions(fields: Fields, records: Mapping[bytes, bytes], take: Callable[[int], bytes]) -> Regions | None:
    """The map that pax records tell of; None for a file that is not sparse. Sets name and size. Raises Damaged.

    That of format 1.0 stands before the content, and `take` reads it.
    """
    version = records.get(_GNU + b"major", b""), records.get(_GNU + b"minor", b"")
    known = version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0"))
    if not known and (any(version) or not records.get(_GNU + b"map")):
        return None
    if not fields.has_content:
        raise Damaged("a sparse file that can have no content")
    fields.name = records.get(_GNU + b"name") or fields.name
    size = records.get(_GNU + b"size") or records.get(_GNU + b"realsize")
    if size:
        fields.size = decimal(size)
    if version[0] == b"1":
        numbers = _leading_numbers(take)
    else:
        words = records.get(_GNU + b"map", b"").split(b",")
        numbers = [] if words == [b""] else [decimal(word) for word in words]
        if decimal(records.get(_GNU + b"numblocks", b"")) * 2 != len(numbers):
            raise Damaged("a damaged map of a sparse file")
    return _checked(tuple(zip(numbers[::2], numbers[1::2], strict=True)), fields.size)


def _leading_numbers(take: Callable[[int], bytes]) -> list[int]:
    """The numbers of a map in front of its content, a line each, the first of which says how many pairs follow."""
    body = b""

    def more(lines: int) -> None:
        nonlocal body
        while body.count(b"\n") < lines:
            if len(body) >= _LONGEST_MAP:
                raise Damaged(f"a sparse file whose map is longer than {_LONGEST_MAP} bytes")
            body += take(RECORD)

    more(1)
    count = decimal(body.partition(b"\n")[0])
    if not 0 <= count <= _LONGEST_MAP:
        raise Damaged("a damaged map of a sparse file")
    more(2 * count + 1)
    return [decimal(line) for line in body.split(b"\n", 2 * count + 1)[1 : 2 * count + 1]]


def _checked(regions: Regions, size: int) -> Regions:
    if not 0 <= size <= LARGEST:
        raise Damaged(f"a sparse file of {size} bytes, the limit is {LARGEST}")
    before = 0
    for offset, length in regions:
        if offset < before or length < 0 or offset + length > size:
            raise Damaged("a damaged map of a sparse file")
        before = offset + length
    return regions


def expanded(stored: BinaryIO, regions: Regions, size: int) -> BinaryIO:
    """The content of a sparse file of `size` bytes, of which `stored` holds the regions one after the other."""
    return cast("BinaryIO", io.BufferedReader(_Expanded(stored, regions, size), BLOCK))


class _Expanded(Filter):
    """Zeros, and what is stored in between."""

    def __init__(self, stored: BinaryIO, regions: Regions, size: int) -> None:
        super().__init__(stored)
        self._regions = [region for region in regions if region[1]][::-1]
        self._at = 0
        self._size = size

    def take(self, size: int) -> bytes:
        offset, length = self._regions[-1] if self._regions else (self._size, 0)
        if self._at < offset:
            part = bytes(min(size, offset - self._at))
        else:
            part = self._below.read(min(size, offset + length - self._at))
        self._at += len(part)
        if self._regions and self._at == offset + length:
            self._regions.pop()
        return part
