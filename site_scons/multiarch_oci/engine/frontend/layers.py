"""Layers as they are unpacked: what is read of one is checked against the diff_id that its config says."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from multiarch_oci.digest import BLOCK, Digest, DigestMismatch
from multiarch_oci.engine.frontend.packing import decompressed
from multiarch_oci.tarreader import TarReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


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
        found = Digest(diff_id.algorithm, hashing.sum.hexdigest())
        if found != diff_id:
            raise DigestMismatch(f"unpacked it is {found}, but the image's config says {diff_id}", where=where)


class _Hashing(io.RawIOBase):
    """What is read, hashed on the way."""

    def __init__(self, below: BinaryIO, algorithm: str) -> None:
        super().__init__()
        self._below = below
        self.sum = hashlib.new(algorithm)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        part = self._below.read(len(view))
        self.sum.update(part)
        view[: len(part)] = part
        return len(part)
