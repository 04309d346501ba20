"""An answer, read strictly (RFC 9112): what is not in the grammar is a broken answer, and never a guess.

`http.client` takes `5`, `+5`, `0x5` and `-5` for the size of a chunk, one of two lengths, a header without a colon for
the end of all headers, and waits for any number of interim answers and trailers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from multiarch_oci.store.http.errors import BrokenAnswer, CutShort

_LINE_BYTES = 64 << 10
_HEAD_BYTES = 300 << 10  # of all heads of an answer together, the interim ones too: as curl bounds them
_TRAILER_BYTES = 64 << 10
_FIELDS = 100
_INTERIM = 100
_CHUNK_LINE = 4096
_CHUNK_EXCESS = 16 << 10
_SWITCHING, _FINAL, _BODILESS = 101, 200, (204, 304)

_STATUS = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: [^\r\n\0]*)?\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)\r?\n")
_FOLD = rb"[ \t]([^\r\n\0]*)\r?\n"
_EMPTY = (b"\r\n", b"\n")
_BLANKS = (b" ", b"\t")
_LENGTH_DIGITS = 18
_CHUNK = rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?\r?\n"


class Head(msgspec.Struct, frozen=True):
    """Status and headers of an answer, and what they say of its body.

    `length` is the size of the body in bytes, None where the connection's end is its end or it is `chunked`. `kept`:
    the connection can take another request when the body was read to its end.
    """

    status: int
    headers: list[tuple[str, str]]
    length: int | None
    chunked: bool
    kept: bool


class _Lines:
    """The lines of a head or of trailers, at most so many bytes of them."""

    def __init__(self, stream: BinaryIO, bound: int) -> None:
        self._stream = stream
        self._remaining = bound

    def next(self, bound: int = _LINE_BYTES) -> bytes:
        bound = min(bound, self._remaining)
        line = self._stream.readline(bound + 1)
        if len(line) > bound:
            raise BrokenAnswer("a line or a head that is too long")
        if not line.endswith(b"\n"):
            raise CutShort
        self._remaining -= len(line)
        return line

    def fields(self) -> list[tuple[str, str]]:
        """Header or trailer fields to the empty line (RFC 9112 §5); one that is folded becomes one line (§5.2)."""
        fields: list[tuple[str, str]] = []
        while (line := self.next()) not in _EMPTY:
            if fields and line.startswith(_BLANKS) and (fold := re.fullmatch(_FOLD, line)):
                name, value = fields[-1]
                fields[-1] = name, f"{value} {_text(fold[1])}".strip()
                continue
            field = _FIELD.fullmatch(line)
            if field is None:
                raise BrokenAnswer("a header that is none")
            if len(fields) == _FIELDS:
                raise BrokenAnswer(f"more than {_FIELDS} headers")
            fields.append((field[1].decode("ascii"), _text(field[2])))
        return fields


def read_head(method: str, stream: BinaryIO, begin: Callable[[], object] = lambda: None) -> Head:
    """The head of the final answer to a request; interim ones (100, 102, 103) are passed over (RFC 9110 §15.2).

    `begin` is called before each is read. Raises CutShort and BrokenAnswer, and what reading raises.
    """
    lines = _Lines(stream, _HEAD_BYTES)
    for _ in range(_INTERIM):
        begin()
        line = lines.next()
        match = _STATUS.fullmatch(line)
        if match is None:
            raise BrokenAnswer("no status line of HTTP/1.1")
        status = int(match[2])
        fields = lines.fields()
        if status == _SWITCHING:
            raise BrokenAnswer("a change of protocol that nobody asked for (101)")
        if status >= _FINAL:
            return _head(method, int(match[1]), status, fields)
    raise BrokenAnswer(f"more than {_INTERIM} interim answers")


def _head(method: str, minor: int, status: int, fields: list[tuple[str, str]]) -> Head:
    """What a head says of its body (RFC 9112 §6.3) and its connection (§9.3)."""
    length = _length(fields)
    codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
    if codings and length is not None:
        raise BrokenAnswer("both Content-Length and Transfer-Encoding")
    if codings and (minor == 0 or [coding.lower() for coding in codings] != ["chunked"]):
        raise BrokenAnswer("a Transfer-Encoding that nobody asked for")
    if length is not None:
        fields = [pair for pair in fields if pair[0].lower() != "content-length"] + [("Content-Length", str(length))]
    if method == "HEAD" or status in _BODILESS:
        length, codings = 0, []
    text = ",".join(value for name, value in fields if name.lower() == "connection").lower()
    options = {option.strip() for option in text.split(",")}
    lasting = "keep-alive" in options if minor == 0 else "close" not in options
    return Head(status, fields, length, bool(codings), lasting and (bool(codings) or length is not None))


def _length(fields: list[tuple[str, str]]) -> int | None:
    """Content-Length in bytes; said twice, it has to be the same (RFC 9112 §6.3)."""
    values = [value for name, value in fields if name.lower() == "content-length"]
    if not values:
        return None
    texts = [text.strip(" \t") for value in values for text in value.split(",")]
    if not all(text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS for text in texts):
        raise BrokenAnswer("a Content-Length that is no number")
    lengths = {int(text) for text in texts}
    if len(lengths) > 1:
        raise BrokenAnswer("two different Content-Lengths")
    return lengths.pop()


class Body:
    """The body that follows a head, without its chunks; `ended` once nothing more of it will come."""

    def __init__(self, stream: BinaryIO, head: Head) -> None:
        self._stream = stream
        self._chunked = head.chunked
        self._remaining = 0 if head.chunked else head.length
        self._first = True
        self._cut = False
        self._excess = 0
        self.ended = head.length == 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end; what came before a cut first, then CutShort. BrokenAnswer."""
        parts: list[bytes] = []
        while size and not self.ended:
            if self._cut:
                if any(parts):
                    break
                raise CutShort
            if self._chunked and not self._remaining:
                self._begin_chunk()
                continue
            most = size if self._remaining is None else min(size, self._remaining)
            block = self._stream.read(most)
            self._count(len(block), most)
            parts.append(block)
            size -= len(block)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _count(self, came: int, most: int) -> None:
        if self._remaining is None:
            self.ended = came < most
            return
        self._remaining -= came
        self._cut = came < most
        self.ended = not self._chunked and not self._remaining

    def _begin_chunk(self) -> None:
        """Read to the first byte of the next chunk's content, or to the end of the trailers (RFC 9112 §7.1)."""
        lines = _Lines(self._stream, _TRAILER_BYTES)
        if not self._first and lines.next(2) not in _EMPTY:
            raise BrokenAnswer("a chunk that is longer than its size")
        self._first = False
        line = lines.next(_CHUNK_LINE)
        match = re.fullmatch(_CHUNK, line)
        if match is None:
            raise BrokenAnswer("a chunk size that is no number")
        self._remaining = int(match[1], 16)
        # Many small chunks with much said about each would be a body that hardly grows.
        self._excess = max(0, self._excess + len(line) - 16 - 2 * self._remaining)
        if self._excess > _CHUNK_EXCESS:
            raise BrokenAnswer("more about its chunks than is in them")
        if not self._remaining:
            lines.fields()
            self.ended = True


def _text(value: bytes) -> str:
    return value.strip(b" \t").decode("latin-1")
