"""Packed streams: what ADD unpacks, and the layers of bases and of engines, checked against the diff_id of the config.

Damage is an error that says so.
"""

from __future__ import annotations

import bz2
import hashlib
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

import msgspec

from multiarch_oci.digest import BLOCK, Digest, DigestMismatch, Filter, Readable
from multiarch_oci.engine.frontend.tree import CannotCopy
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarreader import TarReader

MEMORY = 128 << 20
"""Bytes that a packed stream may want for what went by: enough for `xz -9` and for what `zstd -19` makes."""
_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)))
_MAGIC = 6
_INPUT = 64 << 10


class _Machine(Protocol):
    """What bz2, lzma and compression.zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Packing(msgspec.Struct, frozen=True):
    """How streams of one kind begin, what unpacks one, and what that raises for a damaged one."""

    magic: tuple[bytes, ...]
    new: Callable[[], _Machine]
    errors: tuple[type[Exception], ...]


def decompressed(packed: BinaryIO, where: str, *, trailing: bool = False, part: int = BLOCK) -> BinaryIO:
    """The bytes of a stream unpacked, by what its head says, or as it is (moby/go-archive, `compression`).

    What is damaged, ends too early or wants more than MEMORY raises InvalidArchive, which names `where`; so do bytes
    that follow a packed stream and are no further one, unless `trailing` lets them be. Damage is found `part` bytes
    ahead. CannotCopy: no zstd here.
    """
    stream = cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", packed), BLOCK))
    head = cast("io.BufferedReader", stream).peek(_MAGIC)[:_MAGIC]
    if head.startswith(_ZSTD):
        return cast("BinaryIO", io.BufferedReader(_unzstd(stream, where, trailing=trailing), part))
    for packing in (_GZIP, _BZIP2, _XZ):
        if head.startswith(packing.magic):
            return cast("BinaryIO", io.BufferedReader(_Unpacked(stream, packing, where, trailing=trailing), part))
    return stream


class _Gunzip:
    """zlib's way to unpack one member, with the names of the others'."""

    def __init__(self) -> None:
        self._machine = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._machine.eof

    @property
    def needs_input(self) -> bool:
        return not self._machine.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._machine.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._machine.decompress(self._machine.unconsumed_tail + data, max(max_length, 0))


def _unxz() -> _Machine:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY)


_GZIP = _Packing((b"\x1f\x8b\x08",), _Gunzip, (zlib.error,))
_BZIP2 = _Packing((b"BZh",), bz2.BZ2Decompressor, (OSError, ValueError))
_XZ = _Packing((b"\xfd7zXZ\x00",), _unxz, (lzma.LZMAError, MemoryError))


class _Unpacked(Filter):
    """The contents of packed streams that follow each other; never more of them in memory than was asked for."""

    def __init__(self, below: BinaryIO, packing: _Packing, where: str, *, trailing: bool) -> None:
        super().__init__(below)
        self._packing = packing
        self._where = where
        self._trailing = trailing
        self._unread = b""
        self._machine: _Machine | None = packing.new()

    def take(self, size: int) -> bytes:
        while self._machine is not None:
            part = self._part(self._machine, size)
            if self._machine.eof:
                self._unread = self._machine.unused_data
                self._machine = self._following()
            if part:
                return part
        return b""

    def _input(self) -> bytes:
        data, self._unread = self._unread or self._below.read(_INPUT), b""
        return data

    def _part(self, machine: _Machine, size: int) -> bytes:
        hungry = machine.needs_input
        data = self._input() if hungry else b""
        try:
            part = machine.decompress(data, size)
        except self._packing.errors as error:
            raise InvalidArchive(f"cannot be read: the packed data is damaged: {error}", where=self._where) from None
        if hungry and not data and not part and not machine.eof:
            raise InvalidArchive("cannot be read: the packed data ends too early", where=self._where)
        return part

    def _following(self) -> _Machine | None:
        """What unpacks the stream that follows; None at the end. Zeros between fill up a tape, and are nothing."""
        head = b""
        while (data := self._input()) and not (head := data.lstrip(b"\0")):
            pass
        while 0 < len(head) < _MAGIC and (data := self._below.read(_MAGIC)):
            head += data
        if not head or (self._trailing and not head.startswith(self._packing.magic)):
            return None
        if not head.startswith(self._packing.magic):
            raise InvalidArchive("cannot be read: something else follows the packed data", where=self._where)
        self._unread = head
        return self._packing.new()


class _Checked(Readable):
    """What the package zstandard unpacks, its errors made ours."""

    def __init__(self, below: BinaryIO, error: type[Exception], where: str) -> None:
        super().__init__()
        self._below = below
        self._error = error
        self._where = where

    def take(self, size: int) -> bytes:
        try:
            return self._below.read(size)
        except self._error as error:
            raise InvalidArchive(f"cannot be read: the packed data is damaged: {error}", where=self._where) from None


def _unzstd(stream: BinaryIO, where: str, *, trailing: bool) -> io.RawIOBase:
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError:
        pass
    else:
        limit = {zstd.DecompressionParameter.window_log_max: MEMORY.bit_length() - 1}
        packing = _Packing(_ZSTD, lambda: zstd.ZstdDecompressor(options=limit), (zstd.ZstdError, EOFError))
        return _Unpacked(stream, packing, where, trailing=trailing)
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        raise CannotCopy(
            "is packed with zstd, which this Python cannot read",
            where=where,
            hint="pack it with gzip or xz, use Python 3.14, or install zstandard",
        ) from None
    reader = zstandard.ZstdDecompressor(max_window_size=MEMORY).stream_reader(stream, read_across_frames=True)
    return _Checked(reader, zstandard.ZstdError, where)


@contextmanager
def unpacked(opener: Callable[[], BinaryIO], diff_id: Digest, where: str) -> Iterator[TarReader]:
    """The members of a layer, packed or not; `where` names it in errors.

    When the block ends, the rest is read, too. DigestMismatch when the bytes are not those of `diff_id`,
    InvalidArchive for a damaged archive, and what the opener's stream raises.
    """
    with opener() as packed, decompressed(packed, where) as plain:
        hashing = _Hashing(plain, diff_id.algorithm)
        stream = cast("BinaryIO", io.BufferedReader(hashing, BLOCK))
        yield TarReader(stream, where)
        while stream.read(BLOCK):
            pass
        actual = Digest(diff_id.algorithm, hashing.sum.hexdigest())
        if actual != diff_id:
            raise DigestMismatch(f"unpacked it is {actual}, but the image's config says {diff_id}", where=where)


class _Hashing(Readable):
    """What is read, hashed on the way."""

    def __init__(self, below: BinaryIO, algorithm: str) -> None:
        super().__init__()
        self._below = below
        self.sum = hashlib.new(algorithm)

    def take(self, size: int) -> bytes:
        part = self._below.read(size)
        self.sum.update(part)
        return part
