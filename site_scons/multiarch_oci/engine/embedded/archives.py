"""Tar archives as input: those that ADD unpacks, and the layers of bases. Read as streams; never trusted.

An archive is passed over once for its names. Where contents are wanted, it is unpacked once into an unnamed temporary
file, so that memory stays flat and no file is decompressed twice.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from multiarch_oci.digest import BLOCK as PART
from multiarch_oci.digest import Digest, Readable
from multiarch_oci.engine.frontend.packing import decompressed, unpacked
from multiarch_oci.engine.frontend.tree import CannotCopy, Node, StoredContent
from multiarch_oci.layer import Kind
from multiarch_oci.tarfields import Damaged, InvalidArchive, Member, expanded, header
from multiarch_oci.tarheader import BLOCK, CHARACTER, DIRECTORY, FIFO, RECORD, SYMLINK
from multiarch_oci.tarreader import TarReader, inner_path

_XATTR = "SCHILY.xattr."
_SPECIAL = {CHARACTER: Kind.CHARACTER, BLOCK: Kind.BLOCK, FIFO: Kind.FIFO}
_USTAR = slice(257, 262)


class TarContents:
    """The members of an archive, packed or not. `key` names its bytes, `origin` the file in messages.

    `diff_id` is that of a layer, whose bytes are checked against it.
    """

    def __init__(
        self, opener: Callable[[], BinaryIO], key: Callable[[], str], origin: str, *, diff_id: Digest | None = None
    ) -> None:
        self._opener = opener
        self._key = key
        self._origin = origin
        self._diff_id = diff_id
        self._known: str | None = None
        self._plain: BinaryIO | None = None

    def members(self) -> Iterator[tuple[str, Member]]:
        """Path and header of each member, in its order; CannotCopy for a path that leads out, and a damaged archive.

        That of a layer is InvalidArchive, or DigestMismatch when its end was reached.
        """
        try:
            with self._reader() as reader:
                for member in reader:
                    yield self.path(member.name), member
        except InvalidArchive as error:
            if self._diff_id is not None:
                raise
            raise CannotCopy(f"{self._origin} {error.what}") from None

    @contextmanager
    def _reader(self) -> Iterator[TarReader]:
        if self._diff_id is not None:
            with unpacked(self._opener, self._diff_id, self._origin) as reader:
                yield reader
            return
        with self._opener() as packed, decompressed(packed, self._origin, trailing=True) as stream:
            yield TarReader(stream, self._origin)
            while stream.read(PART):  # so that damage behind the last member is found, too
                pass

    def is_archive(self, warn: Callable[[str], None] | None = None) -> bool:
        """Whether this is a tar, packed or not: its first header can be read, which is BuildKit's rule.

        What seems to have been an archive, and is too damaged for that, is told to `warn`.
        """
        try:
            with self._headed() as stream:
                if not self._begins(stream.read(RECORD)):
                    return False
            with self._headed() as stream:
                return any(True for _ in TarReader(stream, self._origin))
        except InvalidArchive as error:
            if warn is not None:
                warn(f"{self._origin} seems to be a damaged archive, and is copied as it is: it {error.what}")
            return False

    @contextmanager
    def _headed(self) -> Iterator[BinaryIO]:
        """The archive, of which no more is unpacked than is read: what is damaged behind its head is an archive."""
        with self._opener() as packed, decompressed(packed, self._origin, trailing=True, part=RECORD) as stream:
            yield stream

    def _begins(self, head: bytes) -> bool:
        """Whether a file may be a tar archive by its first block."""
        try:
            return len(head) == RECORD and any(head) and header(head) is not None
        except Damaged:
            if head[_USTAR] == b"ustar":
                raise InvalidArchive("is no tar archive, or a damaged one") from None
            return False

    def node(self, path: str, member: Member) -> Node | None:
        """A member as it stands there, with its extended attributes; None for a hard link, and what no system knows."""
        records = attributes(member)
        owner = (member.uid, member.gid)
        if member.typeflag == DIRECTORY:
            return Node(Kind.DIRECTORY, member.mode, *owner, records=records)
        if member.typeflag == SYMLINK:
            return Node(Kind.SYMLINK, 0o777, *owner, member.target, records=records)
        if member.typeflag in _SPECIAL:
            device = (0, 0) if member.typeflag == FIFO else member.device
            return Node(_SPECIAL[member.typeflag], member.mode, *owner, records=records, device=device)
        if not member.is_file:
            return None
        extent = (member.offset, member.stored, member.size, member.regions)
        content = StoredContent(self, *extent, f"{self._origin}: {path}")
        return Node(Kind.FILE, member.mode, *owner, content=content, records=records)

    def path(self, name: str) -> str:
        """The path of a member below the place where it is unpacked; CannotCopy when it leads out."""
        path = inner_path(name)
        if path is None:
            raise CannotCopy(f"{self._origin}: member '{name}' leads out of the archive")
        return path

    def key(self) -> str:
        """What names the archive's bytes."""
        if self._known is None:  # once, not once a member
            self._known = self._key()
        return self._known

    def open_stored(self, content: StoredContent) -> BinaryIO:
        """The content of a member; OSError when there is no room to unpack the archive."""
        if self._plain is None:
            plain = cast("BinaryIO", tempfile.TemporaryFile(prefix="multiarch-"))  # noqa: SIM115  # lives as long as this
            with self._opener() as packed, decompressed(packed, self._origin, trailing=True) as stream:
                shutil.copyfileobj(stream, plain, PART)
            self._plain = plain
        stored = cast("BinaryIO", io.BufferedReader(_Window(self._plain, content.offset, content.stored), PART))
        return stored if content.regions is None else expanded(stored, content.regions, content.size)


def attributes(member: Member) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of a member, as PAX records, by name."""
    return tuple((name, value) for name, value in sorted(member.records.items()) if name.startswith(_XATTR))


class _Window(Readable):
    """Some bytes of an open file that others read too, one after the other."""

    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._stream = stream
        self._at = offset
        self._end = offset + size

    def take(self, size: int) -> bytes:
        self._stream.seek(self._at)
        block = self._stream.read(min(size, self._end - self._at))
        self._at += len(block)
        return block
