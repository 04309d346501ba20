"""Digests: what a blob is called (OCI image spec 1.1, descriptor.md, "Digests").

Only sha256 and sha512 are accepted, as these are the registered algorithms; what this library makes is always sha256.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from multiarch_oci.errors import MultiarchError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = "0123456789abcdef"
BLOCK = 1 << 20
"""Bytes moved at once when a stream is hashed or copied."""


def is_sha256(text: str) -> bool:
    """Whether a text is the hexadecimal part of a sha256 digest: 64 digits, the letters in lower case."""
    return len(text) == _LENGTH["sha256"] and not text.strip(_HEX)


class InvalidDigest(MultiarchError, ValueError):
    """A text that is no registered digest."""


class DigestMismatch(MultiarchError):
    """Bytes that are not what their descriptor says; they are never stored or published."""


class Digest(msgspec.Struct, frozen=True, order=True):
    """An algorithm and the lower-case hexadecimal of its sum; safe as a path component pair once parsed."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        if _LENGTH.get(self.algorithm) != len(self.hex) or self.hex.strip(_HEX):
            raise InvalidDigest(f"'{self.algorithm}:{self.hex[:140]}' is not a sha256 or sha512 digest")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `algorithm:hex`; raises InvalidDigest for anything else, including upper case."""
        algorithm, _, hexadecimal = text.partition(":")
        return cls(algorithm, hexadecimal)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of these bytes; `algorithm` is sha256 or sha512."""
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    @classmethod
    def of_stream(cls, stream: BinaryIO, algorithm: str = "sha256") -> Digest:
        """The digest of the rest of a stream, read in blocks; the stream stays open. `algorithm` as for `of`."""
        running = hashlib.new(algorithm)
        while block := stream.read(BLOCK):
            running.update(block)
        return cls(algorithm, running.hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Digest:
        """The sha256 digest of a file's bytes; OSError is the caller's."""
        with path.open("rb") as stream:
            return cls.of_stream(stream)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Readable(io.RawIOBase):
    """A stream that is read by `take`: up to `size` bytes, b"" at the end."""

    def take(self, size: int) -> bytes:
        """The next bytes, at most `size` of them."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """As io.RawIOBase says, over `take`, which makes the bytes that are handed on: nothing is copied."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.take(BLOCK), b""))
        return self.take(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As io.RawIOBase says, over `take`."""
        view = memoryview(buffer).cast("B")
        block = self.take(len(view))
        view[: len(block)] = block
        return len(block)


class Filter(Readable):
    """A Readable over the stream `below`, which is closed with it."""

    def __init__(self, below: BinaryIO) -> None:
        super().__init__()
        self._below = below

    def close(self) -> None:
        """Close this stream and the one below."""
        if not self.closed:
            self._below.close()
        super().close()


class VerifyingReader(Filter):
    """A stream that hands on exactly `size` bytes with the digest `expected`, or raises DigestMismatch.

    The check happens at the read that reaches the end, *before* the last bytes are handed on; whoever stores what
    it reads has therefore never stored a whole wrong blob.
    """

    def __init__(self, below: BinaryIO, expected: Digest, size: int, *, where: str | None = None) -> None:
        super().__init__(below)
        self._expected = expected
        self._remaining = size
        self._size = size
        self._where = where
        self._running = hashlib.new(expected.algorithm)
        self._checked = False

    def take(self, size: int) -> bytes:
        """As Readable says; b"" only after the digest was found right."""
        if size == 0 or self._checked:
            return b""
        block = self._below.read(min(size, self._remaining)) if self._remaining else b""
        if not block and self._remaining:
            raise DigestMismatch(
                f"{self._expected} ended {self._remaining} of {self._size} bytes too early", where=self._where
            )
        self._running.update(block)
        self._remaining -= len(block)
        if not self._remaining:
            self._check()
        return block

    def _check(self) -> None:
        if self._below.read(1):
            raise DigestMismatch(f"{self._expected} is longer than its {self._size} bytes", where=self._where)
        if self._running.hexdigest() != self._expected.hex:
            actual = f"{self._expected.algorithm}:{self._running.hexdigest()}"
            raise DigestMismatch(f"wanted {self._expected}, the bytes are {actual}", where=self._where)
        self._checked = True


def verifying(below: BinaryIO, expected: Digest, size: int, *, where: str | None = None) -> BinaryIO:
    """A VerifyingReader behind a buffer, so that it is a BinaryIO in every respect and reads are never short."""
    return io.BufferedReader(VerifyingReader(below, expected, size, where=where), BLOCK)
