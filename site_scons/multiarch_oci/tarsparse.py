"""Sparse files in tar archives: GNU's old format and pax formats 0.0, 0.1 and 1.0, as Go's archive/tar reads them.

What is not stored of such a file are zeros. Where the stored parts lie says a map, which is checked as a whole before
anything of the content is read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, cast

from multiarch_oci.digest import BLOCK
from multiarch_oci.tarfields import Damaged, Fields, decimal, number
from multiarch_oci.tarheader import RECORD

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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


class _Expanded(io.RawIOBase):
    """Zeros, and what is stored in between."""

    def __init__(self, stored: BinaryIO, regions: Regions, size: int) -> None:
        super().__init__()
        self._stored = stored
        self._regions = [region for region in regions if region[1]][::-1]
        self._at = 0
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        offset, length = self._regions[-1] if self._regions else (self._size, 0)
        if self._at < offset:
            part = bytes(min(len(view), offset - self._at))
        else:
            part = self._stored.read(min(len(view), offset + length - self._at))
        view[: len(part)] = part
        self._at += len(part)
        if self._regions and self._at == offset + length:
            self._regions.pop()
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._stored.close()
        super().close()
