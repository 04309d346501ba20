"""Where the data of a program lies in its file: the sections of ELF, PE and Mach-O, read with bounds.

ELF (System V ABI, gABI chapter 4), PE (Microsoft's "PE Format"), Mach-O (Apple's `mach-o/loader.h`, `fat.h`). What does
not fit into the file is left out, whatever its headers say.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

MOST = 64 << 20
"""Bytes that are read of one section."""
_TABLE = 4096
"""Headers that are looked at."""
_ELF, _MZ, _PE = b"\x7fELF", b"MZ", b"PE\0\0"
_NOBITS, _WRITE, _COMPRESSED = 8, 1, 0x800
_PT_LOAD, _PF_X, _PF_W = 1, 1, 2
_INITIALIZED_WRITABLE = 0x80000040
_THIN = {
    b"\xcf\xfa\xed\xfe": ("<", True),
    b"\xce\xfa\xed\xfe": ("<", False),
    b"\xfe\xed\xfa\xcf": (">", True),
    b"\xfe\xed\xfa\xce": (">", False),
}
_FAT = {b"\xca\xfe\xba\xbe": (">IIIII", 20), b"\xca\xfe\xba\xbf": (">IIQQII", 32)}
_SEGMENT, _SEGMENT_64 = 1, 25


class Section(msgspec.Struct, frozen=True):
    """A section or segment: its name ("" for a segment), and its bytes in the file; `is_data`: the program writes it.

    `packed`: the bytes begin with a header of their size, and are packed by zlib.
    """

    name: str
    offset: int
    size: int
    is_data: bool = False
    packed: bool = False


def sections(stream: BinaryIO) -> tuple[Section, ...]:
    """The sections of a program (seekable) whose bytes lie in its file; none for anything else."""
    try:
        return tuple(_inside(stream, list(_sections(stream, 0))))
    except (struct.error, OverflowError, ValueError, OSError):
        return ()  # a header that ends early, or leads where no file has anything


def read_section(stream: BinaryIO, section: Section) -> bytes:
    """The beginning of a section, up to MOST bytes."""
    stream.seek(section.offset)
    return stream.read(min(section.size, MOST))


def inflated(data: bytes, most: int = MOST) -> bytes | None:
    """Bytes that zlib packed; None when they are none, or more than `most`."""
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(data, most + 1)
    except zlib.error:
        return None
    return plain if unpacking.eof and len(plain) <= most else None


def _inside(stream: BinaryIO, known: list[Section]) -> Iterator[Section]:
    end = stream.seek(0, io.SEEK_END)
    for section in known:
        if 0 <= section.offset < end and section.size > 0:
            yield msgspec.structs.replace(section, size=min(section.size, end - section.offset))


def _at(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(min(size, MOST))


def _sections(stream: BinaryIO, start: int) -> Iterator[Section]:
    head = _at(stream, start, 64).ljust(64, b"\0")
    if head.startswith(_ELF):
        yield from _elf(stream, head)
    elif head.startswith(_MZ):
        yield from _pe(stream, head)
    elif head[:4] in _THIN:
        yield from _mach(stream, start, *_THIN[head[:4]])
    elif head[:4] in _FAT and start == 0:
        yield from _fat(stream, head)


def _elf(stream: BinaryIO, head: bytes) -> Iterator[Section]:
    wide, order = head[4] == 2, ">" if head[5] == 2 else "<"  # noqa: PLR2004  # ELFCLASS64, ELFDATA2MSB
    programs, table = struct.unpack_from(order + ("QQ" if wide else "II"), head, 32 if wide else 28)
    step, count, entry, entries, names = struct.unpack_from(order + "HHHHH", head, 54 if wide else 42)
    shape = order + ("IIQQQQ" if wide else "IIIIII")
    content = _at(stream, table, entry * min(entries, _TABLE)) if table else b""
    headers = [
        struct.unpack_from(shape, content, at)
        for at in range(0, len(content) - struct.calcsize(shape) + 1, max(entry, struct.calcsize(shape)))
    ]
    texts = _at(stream, headers[names][4], headers[names][5]) if names < len(headers) else b""
    for name, kind, flags, _, offset, size in headers:
        if kind != _NOBITS:
            text = texts[name : texts.find(b"\0", name)].decode("ascii", "replace")
            yield Section(text, offset, size, is_data=bool(flags & _WRITE), packed=bool(flags & _COMPRESSED))
    if not headers:  # stripped of its table: the segments that are loaded and written
        yield from _segments(stream, programs, step, count, order=order, wide=wide)


def _segments(stream: BinaryIO, table: int, step: int, count: int, *, order: str, wide: bool) -> Iterator[Section]:
    content = _at(stream, table, step * min(count, _TABLE))
    shape = order + ("IIQQQQ" if wide else "IIIIIII")
    for at in range(0, len(content) - struct.calcsize(shape) + 1, max(step, struct.calcsize(shape))):
        fields = struct.unpack_from(shape, content, at)
        kind, flags, offset, size = (
            (fields[0], fields[1], fields[2], fields[5]) if wide else (fields[0], fields[6], fields[1], fields[4])
        )
        if kind == _PT_LOAD and flags & (_PF_X | _PF_W) == _PF_W:
            yield Section("", offset, size, is_data=True)


def _pe(stream: BinaryIO, head: bytes) -> Iterator[Section]:
    (at,) = struct.unpack_from("<I", head, 0x3C)
    coff = _at(stream, at, 24)
    if not coff.startswith(_PE):
        return
    count, optional = struct.unpack_from("<2xH12xH", coff, 4)
    content = _at(stream, at + 24 + optional, 40 * min(count, _TABLE))
    for begin in range(0, len(content) - 39, 40):
        name, _, _, size, offset, flags = struct.unpack_from("<8sIIII12xI", content, begin)
        text = name.rstrip(b"\0").decode("ascii", "replace")
        yield Section(text, offset, size, is_data=flags & _INITIALIZED_WRITABLE == _INITIALIZED_WRITABLE)


def _mach(stream: BinaryIO, start: int, order: str, wide: bool) -> Iterator[Section]:  # noqa: FBT001  # of _THIN
    count, size = struct.unpack_from(order + "II", _at(stream, start, 32), 16)
    content = _at(stream, start + (32 if wide else 28), size)
    at = 0
    for _ in range(min(count, _TABLE)):
        kind, length = struct.unpack_from(order + "II", content, at)
        if kind == (_SEGMENT_64 if wide else _SEGMENT):
            yield from _mach_segment(content[at : at + length], start, order, wide=wide)
        if length < 8:  # noqa: PLR2004  # no command is shorter than what says its length
            return
        at += length


def _mach_segment(command: bytes, start: int, order: str, *, wide: bool) -> Iterator[Section]:
    (count,) = struct.unpack_from(order + "I", command, 64 if wide else 48)
    step, shape = (80, "16s16sQQI") if wide else (68, "16s16sIII")
    for index in range(min(count, _TABLE)):
        name, segment, _, size, offset = struct.unpack_from(order + shape, command, (72 if wide else 56) + step * index)
        text = name.rstrip(b"\0").decode("ascii", "replace")
        yield Section(text, start + offset, size, is_data=segment.startswith(b"__DATA"))


def _fat(stream: BinaryIO, head: bytes) -> Iterator[Section]:
    """Those of each program in a universal one."""
    (count,) = struct.unpack_from(">I", head, 4)
    shape, step = _FAT[head[:4]]
    content = _at(stream, 8, step * min(count, 30))
    for begin in range(0, len(content) - step + 1, step):
        yield from _sections(stream, struct.unpack_from(shape, content, begin)[2])
