"""The one reader of tar archives that others made: layers, archives for ADD, what engines and `docker save` write.

A stream goes in, members come out one after the other. Nothing is kept of those that went by, and no header makes the
reader take more than a bound into memory. Which archives are right, and what they say, is as with Go's archive/tar.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NoReturn, cast

from multiarch_oci.digest import BLOCK, Readable
from multiarch_oci.tarfields import (
    GLOBAL,
    LONG_LINK,
    LONG_NAME,
    OLD_SPARSE,
    PAX,
    Damaged,
    Fields,
    InvalidArchive,
    Member,
    Regions,
    expanded,
    header,
    named,
    old_regions,
    pax_records,
    pax_regions,
    text,
    whole_blocks,
)
from multiarch_oci.tarheader import FILE, RECORD

LONGEST_HEADER = 1 << 20
"""Bytes of an extended header that are read (archive/tar, `maxSpecialFileSize`)."""
LONGEST_NAME, LONGEST_PART = 4096, 255
"""Bytes of a path, and of a name in it, that Linux takes (PATH_MAX, NAME_MAX): no engine unpacks a longer one."""
_SHOWN = 60


class TarReader:
    """The members of an archive in their order, from a stream that is not packed; `where` names it in errors.

    Ends at two zero blocks or at the end of the stream, whose rest is left unread. A content is read by `open` before
    the next member is asked for, or passed over. Raises InvalidArchive, and what the stream raises.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream = stream
        self._where = where
        self._seekable = stream.seekable()
        self._at = 0
        self._end = 0
        self._member: Member | None = None
        self._name = b""

    def __iter__(self) -> Iterator[Member]:
        while (member := self._following()) is not None:
            yield member

    def open(self) -> BinaryIO:
        """The content of the present member, once, before the next one is asked for; holes are zeros."""
        member = self._member
        if member is None or self._at != member.offset:
            raise ValueError("a content is read once, before the next member")
        return content(cast("BinaryIO", io.BufferedReader(_Stored(self), BLOCK)), member)

    def blocks(self) -> Iterator[bytes]:
        """The content of the present member in parts."""
        with self.open() as stream:
            while part := stream.read(BLOCK):
                yield part

    def some(self, most: int) -> bytes:
        """Some bytes of what is stored of the present member, at most so many; b"" at its end."""
        return self._take(min(most, self._end - self._at, BLOCK))

    def _take(self, size: int) -> bytes:
        """Exactly so many bytes of the stream."""
        parts = []
        while size:
            part = self._stream.read(min(size, BLOCK))
            if not part:
                self._fail("the archive ends within it")
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fail(self, what: str) -> NoReturn:
        """Raise InvalidArchive about the present member."""
        name = named(self._name)
        if not name and self._at <= RECORD:
            raise InvalidArchive("is no tar archive, or a damaged one", where=self._where)
        shown = f"{name[:_SHOWN]}…" if len(name) > _SHOWN else name
        member = f"member '{shown}': " if shown else ""
        raise InvalidArchive(f"cannot be read: {member}{what}", where=self._where)

    def _following(self) -> Member | None:
        try:
            return self._extended()
        except Damaged as error:
            self._fail(str(error))

    def _extended(self) -> Member | None:
        """The next member, extended headers applied; a global one counts for nothing, as with engines."""
        records: Mapping[bytes, bytes] = {}
        long_name = long_link = b""
        while (block := self._header()) is not None:
            fields = header(block)
            self._name = fields.name
            size = fields.stored
            if fields.typeflag == PAX:
                records = pax_records(self._special(size))
            elif fields.typeflag == GLOBAL:
                pax_records(self._special(size))
                records, long_name, long_link = {}, b"", b""
            elif fields.typeflag == LONG_NAME:
                long_name = text(self._special(size))
            elif fields.typeflag == LONG_LINK:
                long_link = text(self._special(size))
            else:
                fields.apply(records)
                fields.name, fields.target = long_name or fields.name, long_link or fields.target
                self._member = self._settled(fields, records, block)
                return self._member
        return None

    def _header(self) -> bytes | None:
        """The next header block; None at the end of the archive."""
        self._skip()
        self._name = b""
        self._member = None
        block = self._record()
        if block is None or any(block):
            return block
        second = self._record()
        if second is not None and any(second):
            self._fail("there is a zero block, but not the second that ends an archive")
        return None

    def _record(self) -> bytes | None:
        block = self._stream.read(RECORD)
        while 0 < len(block) < RECORD:
            more = self._stream.read(RECORD - len(block))
            if not more:
                self._fail("the archive ends within a header")
            block += more
        self._at += len(block)
        self._end = self._at
        return block or None

    def _skip(self) -> None:
        """Go to the next header. That the last content of all is not filled up to a whole block is no damage."""
        if self._seekable and self._end - self._at > BLOCK:
            self._stream.seek(self._end - self._at - 1, io.SEEK_CUR)
            self._at = self._end - 1
        while self._at < self._end:
            self._take(min(BLOCK, self._end - self._at))
        fill = whole_blocks(self._end) - self._end
        while fill and (part := self._stream.read(fill)):
            self._at += len(part)
            fill -= len(part)

    def _special(self, size: int) -> bytes:
        """The body of an extended header."""
        if size > LONGEST_HEADER:
            raise Damaged(f"an extended header of {size} bytes, the limit is {LONGEST_HEADER}")
        self._end = self._at + size
        return self._take(size)

    def _settled(self, fields: Fields, records: Mapping[bytes, bytes], block: bytes) -> Member:
        self._name = fields.name
        regions, stored = self._regions(fields, records, block)
        self._name = fields.name
        _check_length(fields)
        self._end = self._at + stored
        return Member(
            named(fields.name),
            fields.typeflag,
            fields.mode & 0o7777,
            fields.uid,
            fields.gid,
            fields.size if fields.typeflag == FILE else 0,
            fields.mtime,
            named(fields.target),
            fields.device,
            {named(key): value for key, value in records.items()},
            self._at,
            stored,
            regions,
        )

    def _regions(self, fields: Fields, records: Mapping[bytes, bytes], block: bytes) -> tuple[Regions | None, int]:
        """The map of a sparse file, None for any other, and how many bytes of content follow here."""
        old = fields.typeflag == OLD_SPARSE
        fields.settle()
        self._end = self._at + fields.stored
        if old:
            start = self._at
            regions: Regions | None = old_regions(fields, block, self._take)
            self._end += self._at - start  # the blocks of the map are no part of the size that the header says
        else:
            regions = pax_regions(fields, records, self._of_content)
        if regions is not None and sum(length for _, length in regions) != self._end - self._at:
            raise Damaged("a sparse file whose map does not fit its content")
        return regions, self._end - self._at

    def _of_content(self, size: int) -> bytes:
        if size > self._end - self._at:
            raise Damaged("a damaged map of a sparse file")
        return self._take(size)


class _Stored(Readable):
    """What is stored of a reader's present member."""

    def __init__(self, reader: TarReader) -> None:
        super().__init__()
        self._reader = reader

    def take(self, size: int) -> bytes:
        return self._reader.some(size)


def content(stored: BinaryIO, member: Member) -> BinaryIO:
    """The content of a member, given the bytes that hold it."""
    return stored if member.regions is None else expanded(stored, member.regions, member.size)


def inner_path(name: str) -> str | None:
    """The path that a name means below the folder an archive is unpacked in, "" for that one; None when it leads out.

    Read as engines clean it (Go's path.Clean), before any link is followed; a slash at its beginning is nothing.
    """
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts and not name.startswith("/"):
                return None
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _check_length(fields: Fields) -> None:
    for name, word in ((fields.name, "name"), (fields.target, "link")):
        if len(name) > LONGEST_NAME:
            raise Damaged(f"a {word} of {len(name)} bytes, the limit is {LONGEST_NAME}")
    if len(fields.name) > LONGEST_PART and (longest := max(map(len, fields.name.split(b"/")))) > LONGEST_PART:
        raise Damaged(f"a name with a part of {longest} bytes, the limit is {LONGEST_PART}")
