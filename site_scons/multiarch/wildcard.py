r"""Path patterns as Go and moby/patternmatcher match them on Unix: `*`, `?`, `[a-z]`, escapes, and `**`.

patternmatcher writes a Go regular expression and lets Go read it, so a class that holds `*`, or an escaped letter
(`\d`), means there what it means in that expression. The same expression is built here and read by Go's rules.
"""

from __future__ import annotations

import re
from functools import cached_property

_LONE = re.compile("[\ud800-\udfff]")
_ERROR = 0xFFFD
_END = r"\Z"
_PERL = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}
_NOT_PERL = {
    "D": r"\x00-/:-\U0010ffff",
    "W": r"\x00-/:-@\[-\^`{-\U0010ffff",
    "S": "\\x00-\\x08\\x0b\\x0e-\\x1f!-\\U0010ffff",
}
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_NOT_POSIX = {
    "alnum": r"\x00-/:-@\[-`{-\U0010ffff",
    "alpha": r"\x00-@\[-`{-\U0010ffff",
    "ascii": r"\x80-\U0010ffff",
    "blank": r"\x00-\x08\n-\x1f!-\U0010ffff",
    "cntrl": r" -~\x80-\U0010ffff",
    "digit": r"\x00-/:-\U0010ffff",
    "graph": r"\x00- \x7f-\U0010ffff",
    "lower": r"\x00-`{-\U0010ffff",
    "print": r"\x00-\x1f\x7f-\U0010ffff",
    "punct": r"\x00- 0-9A-Za-z\x7f-\U0010ffff",
    "space": r"\x00-\x08\x0e-\x1f!-\U0010ffff",
    "upper": r"\x00-@\[-\U0010ffff",
    "word": r"\x00-/:-@\[-\^`{-\U0010ffff",
    "xdigit": r"\x00-/:-@G-`g-\U0010ffff",
}


class BadPattern(ValueError):
    """A malformed pattern."""


def match_glob(pattern: str, name: str) -> bool:
    """Match a whole name as Go's `filepath.Match` does on Unix; neither `*` nor `?` matches `/`.

    Raises BadPattern if the pattern is malformed as far as it was read: Go stops at the first mismatch.
    """
    rest, left = _encode(pattern), _encode(name)
    while rest:
        star, chunk, rest = _chunk(rest)
        if star and not chunk:
            return b"/" not in left
        after = _after_chunk(chunk, left)
        if after is None or (after and not rest):
            after = _after_star(chunk, left, last=not rest) if star else None
        if after is None:
            return False
        left = after
    return not left


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
    found, count = False, 0
    while not (count and chunk.startswith(b"]")):
        low, chunk = _member(chunk)
        high = low
        if chunk.startswith(b"-"):
            high, chunk = _member(chunk[1:])
        found = found or low <= rune <= high
        count += 1
    return found is not negated, chunk[1:]


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
    found = text[:size].decode("utf-8", "replace")
    if len(found) == 1 and (found != "\ufffd" or text.startswith(b"\xef\xbf\xbd")):
        return ord(found), size
    return _ERROR, min(1, len(text))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _runes(text: str) -> str:
    """Give the text as Go's runes: each byte that is not UTF-8 is U+FFFD."""
    return _LONE.sub("\ufffd", text)


def _range(low: str, high: str) -> str:
    return re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}"


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
        kind, text = _translated(_runes(self.pattern).removeprefix("\ufeff"))
        return kind, re.compile(_GoExpression(f"^{text}$").python()) if kind == "regexp" else None


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
        elif rune in ".+()|{}$":
            text += "\\" + rune
        elif rune == "\\":
            kind = "regexp" if at < len(pattern) else kind
            text += rune + pattern[at : at + 1]
            at += 1
        else:
            text += rune
        count += 1
    return kind, text


class _GoExpression:
    """A reader of the Go regular expressions that `_translated` writes, which gives the same in Python's syntax."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, text: str) -> bool:
        found = self.text.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def next(self) -> str:
        rune = self.text[self.at : self.at + 1]
        self.at += 1
        return rune

    def python(self) -> str:
        found: list[str] = []
        while self.at < len(self.text):
            rune = self.next()
            if rune == "[":
                found.append(self.bracket())
            elif rune == "\\":
                found.append(self.escape())
            elif rune == "$":
                found.append(_END)
            elif rune in "^.*?()":
                found.append(rune)
            else:
                found.append(re.escape(rune))
        return "".join(found)

    def escape(self) -> str:
        rune = self.next()
        if rune == "A":
            return "^"
        if rune == "z":
            return _END
        if rune in {"b", "B"}:
            return rf"(?a:\{rune})"
        if rune == "Q":
            literal, _, _ = self.text[self.at :].partition(r"\E")
            self.at += len(literal)
            self.take(r"\E")
            return "".join(map(re.escape, literal))
        if rune in _PERL or rune in _NOT_PERL:
            return f"[{_PERL.get(rune) or _NOT_PERL[rune]}]"
        self.at -= 1
        return re.escape(self.escaped())

    def escaped(self) -> str:
        """Read what follows a backslash when it stands for one character."""
        rune = self.next()
        if rune in _CONTROLS:
            return _CONTROLS[rune]
        octal = re.compile("0[0-7]{0,2}|[1-7][0-7]{1,2}").match(self.text, self.at - 1)
        if octal:
            self.at = octal.end()
            return chr(int(octal.group(), 8))
        hexadecimal = re.compile("x([0-9A-Fa-f]{2})").match(self.text, self.at - 1)
        if hexadecimal:
            self.at = hexadecimal.end()
            return chr(int(hexadecimal[1], 16))
        if not rune or not rune.isascii() or rune.isalnum():
            raise BadPattern(self.text)
        return rune

    def bracket(self) -> str:
        negated = self.take("^")
        members: list[str] = []
        while not (members and self.take("]")):
            if self.text.startswith("[:", self.at) and ":]" in self.text[self.at + 2 :]:
                members.append(self.named())
            elif self.text[self.at : self.at + 2] in {"\\" + rune for rune in (*_PERL, *_NOT_PERL)}:
                rune = self.text[self.at + 1]
                members.append(_PERL.get(rune) or _NOT_PERL[rune])
                self.at += 2
            else:
                members.append(self.member())
        return f"[{'^' * negated}{''.join(members)}]"

    def named(self) -> str:
        self.at += 2
        name, _, _ = self.text[self.at :].partition(":]")
        self.at += len(name) + 2
        classes = _NOT_POSIX if name.startswith("^") else _POSIX
        if name.removeprefix("^") not in classes:
            raise BadPattern(self.text)
        return classes[name.removeprefix("^")]

    def member(self) -> str:
        low = self.character()
        high = low
        if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in {"", "]"}:
            self.at += 1
            high = self.character()
        if high < low:
            raise BadPattern(self.text)
        return _range(low, high)

    def character(self) -> str:
        if self.at >= len(self.text):
            raise BadPattern(self.text)
        return self.escaped() if self.take("\\") else self.next()
