"""Headers of tar archives: POSIX ustar, and pax only for what ustar cannot say (POSIX.1-2017, pax, "ustar" and "pax").

Only fields that are given get in: no names of users, no clock. Equal fields give equal bytes.
"""

from __future__ import annotations

import msgspec

from multiarch_oci.errors import MultiarchError

RECORD = 512
"""Every header is a multiple of it, and every content is filled up to one, in bytes."""
END = bytes(2 * RECORD)
"""What closes an archive."""
FILE = b"0"
HARDLINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK = b"4"
DIRECTORY = b"5"
FIFO = b"6"
_PAX = b"x"
_NAME, _PREFIX = 100, 155
_OCTAL_7, _OCTAL_11 = 8**7 - 1, 8**11 - 1


class Unwritable(MultiarchError, ValueError):
    """A value that no tar header can hold."""


class Header(msgspec.Struct, frozen=True):
    """The fields of one member; `name` of a folder ends in a slash. `size` in bytes, `mtime` in seconds."""

    name: str
    typeflag: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: str = ""
    records: tuple[tuple[str, bytes], ...] = ()
    device: tuple[int, int] = (0, 0)
    """Major and minor number, of a device alone."""

    def to_bytes(self) -> bytes:
        """The header, after a pax header where one is needed; raises Unwritable: a NUL in a text, a number below 0."""
        name, target = _encoded(self.name), _encoded(self.target)
        records = dict(self.records)
        prefix, short = _split(name)
        if short is None:
            records["path"] = name
            prefix, short = b"", _ascii(name)[:_NAME]
        if len(target) > _NAME or not target.isascii():
            records["linkpath"] = target
            target = _ascii(target)[:_NAME]
        numbers = {}
        for word, value, most in (
            ("uid", self.uid, _OCTAL_7),
            ("gid", self.gid, _OCTAL_7),
            ("size", self.size, _OCTAL_11),
            ("mtime", self.mtime, _OCTAL_11),
        ):
            if value < 0:
                raise Unwritable(f"a {word} of {value} cannot stand in a layer", where=self.name)
            if value > most:
                records[word] = b"%d" % value
            numbers[word] = value if value <= most else 0
        own = _ustar((prefix, short), self.typeflag, self.mode, numbers, target, self.device)
        return _pax(short, records, numbers["mtime"]) + own if records else own


def padding(size: int) -> bytes:
    """What follows a content of `size` bytes."""
    return bytes(-size % RECORD)


def _encoded(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")  # a name that is no UTF-8 keeps its bytes, as GNU tar does
    if b"\0" in encoded:
        raise Unwritable("a name with a NUL cannot stand in a layer", where=repr(text))
    return encoded


def _ascii(text: bytes) -> bytes:
    return bytes(byte if byte < 0x80 else 0x5F for byte in text)  # noqa: PLR2004  # the bound of ASCII


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """The name as ustar's prefix and name; (b"", None) when it does not fit."""
    if not name.isascii():
        return b"", None
    if len(name) <= _NAME:
        return b"", name
    # The slash between the two is not stored, and neither part may be empty; the longest prefix is taken, as Go does.
    at = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > _NAME:
        return b"", None
    return name[:at], name[at + 1 :]


def _ustar(  # noqa: PLR0917  # the header's fields
    name: tuple[bytes, bytes],
    typeflag: bytes,
    mode: int,
    numbers: dict[str, int],
    target: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    prefix, short = name
    head = b"".join(
        (
            short.ljust(_NAME, b"\0"),
            b"%07o\0%07o\0%07o\0" % (mode, numbers["uid"], numbers["gid"]),
            b"%011o\0%011o\0" % (numbers["size"], numbers["mtime"]),
            b" " * 8,
            typeflag,
            target.ljust(_NAME, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % device,
            prefix.ljust(_PREFIX, b"\0"),
            bytes(12),
        )
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def _pax(name: bytes, records: dict[str, bytes], mtime: int) -> bytes:
    body = b"".join(_pair(word.encode(), value) for word, value in sorted(records.items()))
    numbers = {"uid": 0, "gid": 0, "size": len(body), "mtime": mtime}
    short = b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2]
    return _ustar((b"", short[:_NAME]), _PAX, 0o644, numbers) + body + padding(len(body))


def _pair(word: bytes, value: bytes) -> bytes:
    """`length word=value` and a line feed, where the length counts its own digits."""
    rest = len(word) + len(value) + 3
    length = rest + len(str(rest))
    if length != rest + len(str(length)):
        length += 1
    return b"%d %s=%s\n" % (length, word, value)
