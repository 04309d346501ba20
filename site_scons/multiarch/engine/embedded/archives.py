"""Tar archives as input: those that ADD unpacks, and the layers of bases. Read as streams; never trusted.

An archive is passed over once for its names. Where contents are wanted, it is unpacked once into an unnamed temporary
file, so that memory stays flat and no file is decompressed twice.
"""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from multiarch.digest import BLOCK
from multiarch.engine.reading.packing import decompressed
from multiarch.engine.reading.tree import CannotCopy, Content, Node
from multiarch.layer import Kind

_XATTR = "SCHILY.xattr."
_SPECIAL = {tarfile.CHRTYPE: Kind.CHARACTER, tarfile.BLKTYPE: Kind.BLOCK, tarfile.FIFOTYPE: Kind.FIFO}
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError)


class TarContents:
    """The members of an archive, packed or not. `key` names its bytes, `origin` the file in messages."""

    def __init__(self, opener: Callable[[], BinaryIO], key: Callable[[], str], origin: str) -> None:
        self._opener = opener
        self._key = key
        self._origin = origin
        self._plain: BinaryIO | None = None

    def members(self) -> Iterator[tuple[str, tarfile.TarInfo]]:
        """Path and header of each member, in its order; CannotCopy for a damaged archive or a path that leads out."""
        try:
            with self._opener() as packed, decompressed(packed) as stream:
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    for member in archive:
                        yield self._path(member.name), member
                _drain(stream)
        except _DAMAGED as error:
            raise CannotCopy(f"{self._origin} is a damaged archive: {error}") from None

    def is_archive(self) -> bool:
        """Whether the bytes are a tar with at least one member, packed or not."""
        try:
            with (
                self._opener() as packed,
                decompressed(packed) as stream,
                tarfile.open(fileobj=stream, mode="r|") as archive,
            ):
                return archive.next() is not None
        except (*_DAMAGED, OSError):
            return False

    def node(self, path: str, member: tarfile.TarInfo) -> Node | None:
        """A member as it stands there, with its extended attributes; None for a hard link, and what no system knows."""
        mode = member.mode & 0o7777
        records = attributes(member)
        if member.isdir():
            return Node(Kind.DIRECTORY, mode, member.uid, member.gid, records=records)
        if member.issym():
            return Node(Kind.SYMLINK, 0o777, member.uid, member.gid, member.linkname, records=records)
        if member.type in _SPECIAL:
            device = (0, 0) if member.isfifo() else (member.devmajor, member.devminor)
            return Node(_SPECIAL[member.type], mode, member.uid, member.gid, records=records, device=device)
        if not member.isreg():
            return None
        if member.issparse():
            raise CannotCopy(f"{self._origin}: '{path}' is a sparse file", hint="pack the archive without --sparse")
        content = Content(
            member.size,
            lambda: self._window(member.offset_data, member.size),
            lambda: f"{self._key()} {member.offset_data}",
            f"{self._origin}: {path}",
        )
        return Node(Kind.FILE, mode, member.uid, member.gid, content=content, records=records)

    def _path(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise CannotCopy(f"{self._origin}: member '{name}' leads out of the archive")
        return "/".join(parts)

    def _window(self, offset: int, size: int) -> BinaryIO:
        if self._plain is None:
            plain = cast("BinaryIO", tempfile.TemporaryFile(prefix="multiarch-"))  # noqa: SIM115  # lives as long as this
            with self._opener() as packed, decompressed(packed) as stream:
                shutil.copyfileobj(stream, plain, BLOCK)
            self._plain = plain
        return io.BufferedReader(_Window(self._plain, offset, size), BLOCK)


def attributes(member: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of a member, as PAX records, by name."""
    return tuple(
        (name, value.encode("utf-8", "surrogateescape"))
        for name, value in sorted(member.pax_headers.items())
        if name.startswith(_XATTR)
    )


class _Window(io.RawIOBase):
    """Some bytes of an open file that others read too, one after the other."""

    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._stream = stream
        self._at = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is not public
        self._stream.seek(self._at)
        block = self._stream.read(min(len(buffer), self._end - self._at))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def _drain(stream: BinaryIO) -> None:
    """Read to the end, so that a verified stream is verified as a whole."""
    while stream.read(BLOCK):
        pass
