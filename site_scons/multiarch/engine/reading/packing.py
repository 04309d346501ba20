"""Packed streams: what ADD unpacks, and the layers of bases and of engines."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
from typing import BinaryIO, cast

from multiarch.digest import BLOCK
from multiarch.engine.reading.tree import CannotCopy

_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)))
_MAGIC = 6


def decompressed(packed: BinaryIO) -> BinaryIO:
    """The bytes of a stream unpacked, by what its head says, or as it is (moby/go-archive, `compression`)."""
    stream = io.BufferedReader(cast("io.RawIOBase", packed), BLOCK)
    head = stream.peek(_MAGIC)[:_MAGIC]
    if head.startswith(b"\x1f\x8b\x08"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if head.startswith(b"BZh"):
        return cast("BinaryIO", bz2.BZ2File(stream))
    if head == b"\xfd7zXZ\x00":
        return cast("BinaryIO", lzma.LZMAFile(stream))
    if head.startswith(_ZSTD):
        return _unzstd(cast("BinaryIO", stream))
    return cast("BinaryIO", stream)


def _unzstd(stream: BinaryIO) -> BinaryIO:
    try:
        return cast("BinaryIO", importlib.import_module("compression.zstd").ZstdFile(stream))
    except ImportError:
        pass
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        raise CannotCopy(
            "is packed with zstd, which this Python cannot read",
            hint="pack it with gzip or xz, use Python 3.14, or install zstandard",
        ) from None
    return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True))
