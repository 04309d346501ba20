r"""Path patterns as Go and moby/patternmatcher match them on Unix: `*`, `?`, `[a-z]`, escapes, and `**`.

patternmatcher writes a Go regular expression and lets Go read it, so a class that holds `*`, or an escaped letter
(`\d`), means there what it means in that expression. The same expression is built here and read by Go's rules.
"""

from __future__ import annotations

import re
from functools import cached_property

from multiarch_oci.errors import BadPattern

__all__ = ["BadPattern", "Wildcard", "has_wildcards", "match_glob"]

_LONE = re.compile("[\ud800-\udfff]")
_ERROR = 0xFFFD
_GO = frozenset("[]{|}\\")
"""What Go's regular expressions read in a way of their own."""


def has_wildcards(text: str) -> bool:
    """Whether a `*`, `?` or `[` stands in it that no backslash takes away."""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "*?[":
            return True
    return False


def match_glob(pattern: str, name: str) -> bool:
    """Match a whole name as Go's `filepath.Match` does on Unix; neither `*` nor `?` matches `/`.

    Raises BadPattern if the pattern is malformed as far as it was read: Go stops at the first mismatch.
    """
    rest, remaining = _encode(pattern), _encode(name)
    while rest:
        star, chunk, rest = _chunk(rest)
        if star and not chunk:
            return b"/" not in remaining
        after = _after_chunk(chunk, remaining)
        if after is None or (after and not rest):
            after = _after_star(chunk, remaining, last=not rest) if star else None
        if after is None:
            return False
        remaining = after
    return not remaining


def _after_star(chunk: bytes, name: bytes, *, last: bool) -> bytes | None:
    """Find the chunk further on in the same folder; give what follows it, None if it is not there."""
    for at, byte in enumerate(name):
        if byte == ord("/"):
            return None
        after = _after_chunk(chunk, name[at + 1 :])
        if after is not None and not (last and after):
            return after
    return None


def _chunk(pattern: bytes) -> tuple[bool, bytes, bytes]:
    """Split a pattern: whether it begins with stars, the part up to the next star, the rest."""
    chunk = pattern.lstrip(b"*")
    star = len(chunk) < len(pattern)
    at, in_class = 0, False
    while at < len(chunk):
        byte = chunk[at : at + 1]
        if byte == b"*" and not in_class:
            break
        in_class = byte == b"[" or (in_class and byte != b"]")
        at += 2 if byte == b"\\" and at + 1 < len(chunk) else 1
    return star, chunk[:at], chunk[at:]


def _after_chunk(chunk: bytes, name: bytes) -> bytes | None:
    """Match a chunk at the beginning of a name, and read it to its end for its errors; None if it does not match."""
    failed = False
    while chunk:
        failed = failed or not name
        kind, chunk = chunk[:1], chunk[1:]
        if kind == b"[":
            rune, size = (0, 0) if failed else _rune(name)
            matched, chunk = _class(chunk, rune)
            failed = failed or not matched
        elif kind == b"?":
            _, size = (0, 0) if failed else _rune(name)
            failed = failed or name[:1] == b"/"
        else:
            if kind == b"\\":
                kind, chunk = chunk[:1], chunk[1:]
            if not kind:
                raise BadPattern("a backslash at the end")
            size = 1
            failed = failed or kind != name[:1]
        name = name[size:]
    return None if failed else name


def _class(chunk: bytes, rune: int) -> tuple[bool, bytes]:
    """Read a class behind its `[`: whether it holds the rune, and what follows it."""
    negated = chunk.startswith(b"^")
    chunk = chunk[negated:]
    inside, count = False, 0
    while not (count and chunk.startswith(b"]")):
        low, chunk = _member(chunk)
        high = low
        if chunk.startswith(b"-"):
            high, chunk = _member(chunk[1:])
        inside = inside or low <= rune <= high
        count += 1
    return inside is not negated, chunk[1:]


def _member(chunk: bytes) -> tuple[int, bytes]:
    if chunk[:1] in {b"", b"-", b"]"}:
        raise BadPattern("a class without end, or with a stray - or ]")
    chunk = chunk.removeprefix(b"\\")
    rune, size = _rune(chunk)
    if (rune == _ERROR and size <= 1) or not chunk[size:]:
        raise BadPattern("a class without end")
    return rune, chunk[size:]


def _rune(text: bytes) -> tuple[int, int]:
    """Decode the first rune, as `utf8.DecodeRuneInString`; what is not UTF-8 is U+FFFD of one byte."""
    lead = text[:1]
    size = 1 + (lead >= b"\xc0") + (lead >= b"\xe0") + (lead >= b"\xf0")
    decoded = text[:size].decode("utf-8", "replace")
    if len(decoded) == 1 and (decoded != "\ufffd" or text.startswith(b"\xef\xbf\xbd")):
        return ord(decoded), size
    return _ERROR, min(1, len(text))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _runes(text: str) -> str:
    """Give the text as Go's runes: each byte that is not UTF-8 is U+FFFD."""
    return _LONE.sub("\ufffd", text)


class Wildcard:
    """A pattern of moby/patternmatcher, compiled when it is first used, as there; an error shows only then."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wildcard) and self.pattern == other.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    def matches(self, path: str) -> bool:
        """Match a path; its parents are the caller's. Raises BadPattern."""
        kind, expression = self._compiled
        if kind == "exact":
            return path == self.pattern
        if kind == "prefix":  # the pattern ends in `**`
            return path.startswith(self.pattern[:-2])
        if kind == "suffix":  # the pattern begins with `**`
            suffix = self.pattern[2:]
            return path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
        return bool(expression and expression.search(_runes(path)))

    @cached_property
    def _compiled(self) -> tuple[str, re.Pattern[str] | None]:
        pattern = _runes(self.pattern).removeprefix("\ufeff")
        kind, text = _translated(pattern)
        if kind != "regexp":
            return kind, None
        if _GO.isdisjoint(pattern):
            return kind, re.compile(rf"^{text}\Z")  # equal in both languages
        from multiarch_oci.goregexp import python_expression  # start-up; most patterns have no use for it

        return kind, re.compile(python_expression(f"^{text}$"))


def _translated(pattern: str) -> tuple[str, str]:
    """Give the kind of a pattern and its Go expression, as patternmatcher's `compile` does, character for character."""
    kind, text, at, count = "exact", "", 0, 0
    while at < len(pattern):
        rune = pattern[at]
        at += 1
        if pattern.startswith("**", at - 1):
            at += 2 if pattern.startswith("/", at + 1) else 1
            if at < len(pattern):
                kind, text = "regexp", text + "(.*/)?"
            elif kind == "exact":
                kind = "prefix"
            else:
                kind, text = "regexp", text + ".*"
            kind = kind if count else "suffix"
        elif rune in "*?[]":
            kind, text = "regexp", text + {"*": "[^/]*", "?": "[^/]"}.get(rune, rune)
        elif rune in ".+()$":  # `|`, `{` and `}` are left to Go, which reads them as operators
            text += "\\" + rune
        elif rune == "\\":
            kind = "regexp" if at < len(pattern) else kind
            text += rune + pattern[at : at + 1]
            at += 1
        else:
            text += rune
        count += 1
    return kind, text
