"""Text as Go sees it, where Python's own idea of blanks, case and bytes differs."""

from __future__ import annotations

import re

SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""`unicode.IsSpace`; Python's `isspace` also takes U+001C to U+001F."""

WHITESPACE = re.compile(r"[\t\v\f\r ]+")
"""What BuildKit splits a line at."""

_LONE = re.compile("[\ud800-\udfff]")


def decode(content: bytes) -> str:
    """Read UTF-8 and keep what is none, byte by byte."""
    return content.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Undo `decode`."""
    return text.encode("utf-8", "surrogateescape")


def runes(text: str) -> str:
    """Give the text as a loop over its runes does: every byte that is not UTF-8 becomes U+FFFD."""
    return _LONE.sub("\ufffd", text)


def lower(text: str) -> str:
    """`strings.ToLower`: rune by rune, so no final sigma and no combining dot."""
    return text.lower() if text.isascii() else "".join("i" if rune == "\u0130" else rune.lower() for rune in text)


def byte_is_space(byte: int) -> bool:
    """`unicode.IsSpace(rune(b))` of one byte, which takes 0x85 and 0xA0 in the middle of a character for blanks."""
    return byte in b"\t\n\v\f\r \x85\xa0"


def quoted(text: str) -> str:
    """Quote for an error message."""
    return '"' + runes(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
