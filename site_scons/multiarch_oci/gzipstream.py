"""Gzip that is the same everywhere: equal input gives equal bytes on every machine, CPU and number of threads.

The input is cut into blocks of exactly `BLOCK` bytes (the last may be shorter), and each block becomes one gzip member
(RFC 1952 §2.2: members follow each other, every reader reads on). libdeflate's output depends on nothing but the block,
its level and its version; that is what `COMPRESSOR` names, and what belongs into the signature of a layer.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from concurrent.futures import Future

BLOCK = 1 << 20
"""Bytes of input in one gzip member."""
LEVEL = 1
"""libdeflate's level; `docs/decisions.md` has the measurement."""
VERSION = "0.9.0"
"""The version of the PyPI package `deflate` that is locked; a test compares it with what is installed."""
COMPRESSOR = f"libdeflate (deflate {VERSION}), level {LEVEL}, members of {BLOCK} bytes"
"""What decides the compressed bytes beside the input; part of a layer's signature, free to read."""


def member(block: bytes) -> bytes:
    """One gzip member of this block: header with MTIME 0, XFL 4 and OS 255, no name; an empty block is valid too."""
    import deflate

    return bytes(deflate.gzip_compress(block, LEVEL))


class BlockWriter:
    """Cuts a stream into blocks, packs each on one of `workers` threads and writes them to `sink` in order.

    In one pass it hashes what comes in and what goes out. Holds at most `workers` + 2 blocks. Equal input gives equal
    output, however it is cut into writes and however many workers there are. Leaving the `with` after an error waits
    for the threads and writes nothing more; `sink` stays open.
    """

    def __init__(self, sink: BinaryIO, pack: Callable[[bytes], bytes] | None = member, *, workers: int = 2) -> None:
        """Write to `sink`; `pack` None = blocks go out as they come in."""
        from concurrent.futures import ThreadPoolExecutor  # start-up: COMPRESSOR is asked for by a no-op, too

        self._sink = sink
        self._pack = pack
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers) if pack is not None else None
        self._waiting: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._empty = True
        self.read_sum = hashlib.sha256()
        self.written_sum = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> BlockWriter:  # noqa: PYI034  # Self is newer than Python 3.10; there are no subclasses
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def room(self) -> int:
        """Bytes that still fit into the present block; at least 1. Whoever writes so much at once saves a copy."""
        return BLOCK - len(self._block)

    def write(self, content: bytes) -> None:
        """Take any number of bytes."""
        at = 0
        while at < len(content):
            part = content[at : at + self.room]
            self._block += part
            at += len(part)
            if len(self._block) == BLOCK:
                self._cut()

    def finish(self) -> None:
        """Write the rest; afterwards `read_sum`, `written_sum` and `size` are final."""
        if self._block or self._empty:
            self._cut()
        while self._waiting:
            self._out(self._waiting.popleft().result())

    def _cut(self) -> None:
        block = bytes(self._block)
        self._block.clear()
        self._empty = False
        if self._pool is None or self._pack is None:
            self.read_sum.update(block)
            self._out(block)
            return
        self._waiting.append(self._pool.submit(self._pack, block))
        self.read_sum.update(block)
        if len(self._waiting) > self._workers:
            self._out(self._waiting.popleft().result())

    def _out(self, packed: bytes) -> None:
        self._sink.write(packed)
        self.written_sum.update(packed)
        self.size += len(packed)
