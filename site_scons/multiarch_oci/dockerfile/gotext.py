"""Text and numbers as Go sees them, where Python's own idea of blanks, case, bytes, durations and sizes differs."""

from __future__ import annotations

import re

from multiarch_oci.dockerfile import InvalidDockerfile

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


_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\xb5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_PART = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^.0-9]*)")
_SIZE = re.compile(r"(.*[0-9. ])([^0-9. ]*)\Z", re.DOTALL)
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_POWERS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_MOST = 1 << 63


def duration(text: str) -> int:
    """Read `1m30s` as nanoseconds (Go's `time.ParseDuration`). Raises InvalidDockerfile."""
    invalid = InvalidDockerfile(
        f"time: invalid duration {quoted(text)}", hint="a number and a unit: ns, us, ms, s, m, h, as in 1m30s"
    )
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0
    while rest:
        match = _PART.match(rest)
        if not match or not (match[1] or match[3]):
            raise invalid
        if not match[4]:
            raise InvalidDockerfile(f"time: missing unit in duration {quoted(text)}", hint=invalid.hint)
        if match[4] not in _UNITS:
            raise InvalidDockerfile(
                f"time: unknown unit {quoted(match[4])} in duration {quoted(text)}", hint=invalid.hint
            )
        total += _part(match[1], match[3] or "", _UNITS[match[4]])
        if total > _MOST:
            raise invalid
        rest = rest[match.end() :]
    if text.startswith("-"):
        return -total
    if total == _MOST:
        raise invalid
    return total


def _part(integer: str, fraction: str, unit: int) -> int:
    if len(integer.lstrip("0")) > 19:  # noqa: PLR2004 - 2**63 has 19 digits; Python refuses to read thousands of them
        return _MOST + 1
    value = int(integer or "0") * unit
    numerator, scale = 0, 1.0
    for digit in fraction:
        longer = numerator * 10 + int(digit)
        if longer > _MOST:
            break
        numerator = longer
        scale *= 10
    return value + int(float(numerator) * (float(unit) / scale))


def size(text: str) -> int | None:
    """Read `64m` as bytes (go-units' `RAMInBytes`); None if it is no size."""
    match = _SIZE.match(text)
    if not match:
        return None
    number, suffix = match[1].removesuffix(" "), lower(match[2])
    if not _FLOAT.fullmatch(number) or len(match[2].encode("utf-8", "surrogateescape")) > 3:  # noqa: PLR2004 - `kib`
        return None
    value = float(number)
    if value < 0 or value == float("inf"):
        return None
    if suffix in {"", "b"}:
        return int(value)
    power = _POWERS.get(suffix[0])
    return int(value * power) if power and suffix[1:] in {"", "b", "ib"} else None


def boolean(text: str) -> bool | None:
    """Read a boolean (Go's `strconv.ParseBool`); None if it is none."""
    return True if text in _TRUE else False if text in _FALSE else None


def unsigned(text: str, base: int) -> int | None:
    """Read an unsigned number of 32 bits in base 8 or 10; None if it is none."""
    digits = "01234567" if base == 8 else "0123456789"  # noqa: PLR2004 - the mode of a file
    significant = text.lstrip("0")
    if not text or text.strip(digits) or len(significant) > 11:  # noqa: PLR2004 - 2**32 has 11 octal digits
        return None
    value = int(significant or "0", base)
    return value if value < 1 << 32 else None
