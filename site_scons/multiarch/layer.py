"""Layers: a tar archive of what an image adds, written once, in one pass (OCI image spec 1.1, layer.md).

Equal entries give equal bytes: the order is ours, the time is the caller's, and nothing of the host (names of users,
inode numbers, umask) gets in. Memory does not grow with the size of the files.
"""

from __future__ import annotations

import enum
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from multiarch import mediatype
from multiarch.descriptor import Descriptor
from multiarch.digest import Digest
from multiarch.errors import MultiarchError
from multiarch.gzipstream import COMPRESSOR, BlockWriter, member

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class InvalidEntry(MultiarchError, ValueError):
    """An entry that no layer can hold: a path that leads out, a second entry of the same path, a missing content."""


class ContentChanged(MultiarchError):
    """A file whose content was longer or shorter than its size said: it changed while the layer was written."""


class Kind(enum.Enum):
    """What an entry is; the value is the word for it in messages."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    WHITEOUT = "whiteout"
    """`path` of the layers below is gone (layer.md, "Whiteouts"); stands in the archive as `.wh.<name>`."""
    OPAQUE = "opaque whiteout"
    """Everything in the folder `path` of the layers below is gone; stands in the archive as `.wh..wh..opq`."""


class Compression(enum.Enum):
    """How the archive is packed; the value is the layer's media type."""

    NONE = mediatype.LAYER_TAR
    GZIP = mediatype.LAYER_GZIP


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a layer.

    `path` is relative, with `/`, without `.`, `..` and a slash at either end. `mode` are the twelve permission bits.
    `target` is a symbolic link's text, or the `path` of the entry that a hard link shares. `size` and `open` are for
    files alone; `open` gives the content from its beginning at each call. `records` are PAX records (extended
    attributes: `SCHILY.xattr.<name>`), by name. `origin` is the file it came from, for messages. Raises InvalidEntry.
    """

    path: str
    kind: Kind = Kind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    target: str = ""
    open: Callable[[], BinaryIO] | None = None
    records: tuple[tuple[str, bytes], ...] = ()
    origin: str = ""

    @classmethod
    def of_bytes(cls, path: str, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
        """A file with this content."""
        return cls(path, Kind.FILE, mode, uid, gid, len(content), open=lambda: io.BytesIO(content))

    @classmethod
    def of_file(cls, path: str, source: Path, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
        """A file with the content of `source`, which is read when the layer is written; OSError is the caller's."""
        size = source.stat().st_size
        return cls(path, Kind.FILE, mode, uid, gid, size, open=lambda: source.open("rb"), origin=str(source))

    @classmethod
    def directory(cls, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
        """A folder."""
        return cls(path, Kind.DIRECTORY, mode, uid, gid)

    @classmethod
    def symlink(cls, path: str, target: str, *, uid: int = 0, gid: int = 0) -> Entry:
        """A symbolic link with this text."""
        return cls(path, Kind.SYMLINK, 0o777, uid, gid, target=target)

    @classmethod
    def hardlink(cls, path: str, target: str, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
        """A second name of the entry at path `target` of the same layer."""
        return cls(path, Kind.HARDLINK, mode, uid, gid, target=target)

    @classmethod
    def whiteout(cls, path: str) -> Entry:
        """The removal of what the layers below have at `path`."""
        return cls(path, Kind.WHITEOUT)

    @classmethod
    def opaque(cls, path: str) -> Entry:
        """The removal of all that the layers below have in the folder `path`; the folder itself is another entry."""
        return cls(path, Kind.OPAQUE)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that is there: its blob's descriptor, the digest of the archive in it, and the blob's bytes, anew at each call."""

    descriptor: Descriptor
    diff_id: Digest
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Written:
    """What `write` wrote: the descriptor of the blob, and the digest of the unpacked archive."""

    descriptor: Descriptor
    diff_id: Digest

    def layer(self, opener: Callable[[], BinaryIO]) -> Layer:
        """The layer, given how to open the blob."""
        return Layer(self.descriptor, self.diff_id, opener)


def write(
    entries: Iterable[Entry],
    sink: BinaryIO,
    *,
    epoch: int = 0,
    compression: Compression = Compression.GZIP,
    workers: int = 2,
) -> Written:
    """Write a layer with these entries (in any order) to `sink`, in one pass, and say what it was.

    Every entry has the modification time `epoch` (seconds, at least 0). Equal entries give equal bytes. Nothing is
    added: parents that are absent stay absent (in a Linux layer they would change the mode of the base's folders).
    Memory: about `workers` + 2 MiB. Raises InvalidEntry before anything is written, ContentChanged or OSError amid it;
    then `sink` holds half a layer, and it is the caller who throws it away.
    """
    raise NotImplementedError
