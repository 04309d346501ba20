"""Layers: a tar archive of what an image adds, written once, in one pass (OCI image spec 1.1, layer.md).

Equal entries give equal bytes: the order is ours, the time is the caller's, and nothing of the host (names of users,
inode numbers, umask) gets in. Memory does not grow with the size of the files.
"""

from __future__ import annotations

import enum
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from multiarch_oci import mediatype
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.gzipstream import BlockWriter, member
from multiarch_oci.tarheader import BLOCK, CHARACTER, DIRECTORY, END, FIFO, FILE, HARDLINK, SYMLINK, Header, padding

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
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "pipe"
    WHITEOUT = "whiteout"
    """`path` of the layers below is gone (layer.md, "Whiteouts"); stands in the archive as `.wh.<name>`."""
    OPAQUE = "opaque whiteout"
    """Everything in the folder `path` of the layers below is gone; stands in the archive as `.wh..wh..opq`."""


class Compression(enum.Enum):
    """How the archive is packed; the value is the layer's media type."""

    NONE = mediatype.LAYER_TAR
    GZIP = mediatype.LAYER_GZIP


class Entry(msgspec.Struct, frozen=True):
    """One name in a layer.

    `path` is relative, with `/`, without `.`, `..` and a slash at either end. `mode` are the twelve permission bits.
    `target` is a symbolic link's text, or the `path` of the entry that a hard link shares. `size` and `open` are for
    files alone; `open` gives the content from its beginning at each call. `records` are PAX records (extended
    attributes: `SCHILY.xattr.<name>`), by name. `origin` is the file it came from, for messages. `device` are the major
    and minor number of a device. Raises InvalidEntry.
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
    device: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise InvalidEntry(f"'{self.path}' is not a path inside a layer", where=self.origin or None)
        if parts[-1].startswith(WHITEOUT):
            raise InvalidEntry(
                f"'{self.path}' cannot be in a layer: a name that begins with {WHITEOUT} removes a file",
                where=self.origin or None,
                hint="leave it out with .dockerignore, or rename it",
            )
        if self.kind is Kind.FILE and self.open is None:
            raise InvalidEntry(f"file '{self.path}' has no content", where=self.origin or None)
        if not 0 <= self.mode <= 0o7777:  # noqa: PLR2004  # the twelve permission bits
            raise InvalidEntry(
                f"'{self.path}' has the mode {self.mode:o}, not permission bits", where=self.origin or None
            )

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
    def hardlink(cls, path: str, target: str) -> Entry:
        """A second name of the file at path `target` of the same layer; mode and owner are that file's."""
        return cls(path, Kind.HARDLINK, target=target)

    @classmethod
    def whiteout(cls, path: str) -> Entry:
        """The removal of what the layers below have at `path`."""
        return cls(path, Kind.WHITEOUT)

    @classmethod
    def opaque(cls, path: str) -> Entry:
        """The removal of all that the layers below have in the folder `path`; the folder itself is another entry."""
        return cls(path, Kind.OPAQUE)


class Layer(msgspec.Struct, frozen=True):
    """A layer that is there: its blob's descriptor, the digest of the archive in it, the blob's bytes at each call."""

    descriptor: Descriptor
    diff_id: Digest
    open: Callable[[], BinaryIO]


class Written(msgspec.Struct, frozen=True):
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
    ordered: bool = False,
) -> Written:
    """Write a layer with these entries (in any order) to `sink`, in one pass, and say what it was.

    Every entry has the modification time `epoch` (seconds, at least 0). Equal entries give equal bytes, whatever
    `workers` (threads that compress) is. Nothing is added: parents that are absent stay absent (in a Linux layer they
    would change the mode of the base's folders). Memory: about twice `workers` MiB and a name for each entry; none for
    each with `ordered`, by which the caller says that they come as they are to stand in the archive (`in_order`).
    Raises InvalidEntry before anything is written (with `ordered` amid it), ContentChanged, Unwritable or OSError amid
    it; then `sink` holds half a layer, and it is the caller who throws it away.
    """
    standing = in_order(entries) if ordered else _ordered(entries)
    with BlockWriter(sink, member if compression is Compression.GZIP else None, workers=workers) as blocks:
        for entry in standing:
            blocks.write(_header(entry, epoch).to_bytes())
            if entry.kind is Kind.FILE:
                _content(entry, blocks)
                blocks.write(padding(entry.size))
        blocks.write(END)
        blocks.finish()
        descriptor = Descriptor(compression.value, Digest("sha256", blocks.written_sum.hexdigest()), blocks.size)
        return Written(descriptor, Digest("sha256", blocks.read_sum.hexdigest()))


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    """The entries as they stand in the archive: parents first, in a folder whiteouts first, hard links last of all."""
    named: dict[str, Entry] = {}
    for entry in entries:
        name = _name(entry)
        if name in named:
            raise InvalidEntry(f"two entries of a layer have the path '{entry.path}'", where=_where(entry, named[name]))
        named[name] = entry
    for name, entry in named.items():
        _fits(name, entry, named)
    return sorted((_shared(entry, named) for entry in named.values()), key=_rank)


def in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries, while what lies in a folder follows it at once, name by name; InvalidEntry where it does not.

    There are no hard links among them, which stand at the end and want to know the others.
    """
    above: list[Entry] = []
    last = ""
    for entry in entries:
        name, rank = _name(entry), _rank(entry)[1]
        if rank <= last:
            raise InvalidEntry(f"'{entry.path}' stands twice in a layer, or out of its order", where=_where(entry))
        while above and not name.startswith(f"{_name(above[-1])}/"):
            above.pop()
        _fits(name, entry, {_name(folder): folder for folder in above[-1:]})
        above.append(entry)
        last = rank
        yield entry


def _shared(entry: Entry, named: dict[str, Entry]) -> Entry:
    # An engine gives the file behind a hard link the mode and owner of whichever header it reads last.
    if entry.kind is not Kind.HARDLINK:
        return entry
    target = named[entry.target]
    return replace(entry, mode=target.mode, uid=target.uid, gid=target.gid)


def _rank(entry: Entry) -> tuple[bool, str]:
    """By what entries are sorted: name by name (no name holds a NUL), a whiteout before what else is in its folder."""
    folder, slash, last = _name(entry).rpartition("/")
    whiteout = entry.kind in (Kind.WHITEOUT, Kind.OPAQUE)
    above = f"\2{folder}{slash}".replace("/", "\0\2")[: -1 if slash else 0]
    return entry.kind is Kind.HARDLINK, f"{above}{chr(1) if whiteout else chr(2)}{last}"


def _fits(name: str, entry: Entry, named: dict[str, Entry]) -> None:
    above = name
    while above := above.rpartition("/")[0]:
        parent = named.get(above)
        if parent is None:
            continue
        if parent.kind is not Kind.DIRECTORY:
            raise InvalidEntry(f"'{entry.path}' is below '{parent.path}', a {parent.kind.value}", where=_where(entry))
        break  # what is above that one is asked for it
    if entry.kind is Kind.HARDLINK:
        target = named.get(entry.target)
        if target is None or target.kind is not Kind.FILE:
            raise InvalidEntry(
                f"hard link '{entry.path}' needs the file '{entry.target}' in its layer", where=_where(entry)
            )


def _name(entry: Entry) -> str:
    if entry.kind is Kind.OPAQUE:
        return f"{entry.path}/{OPAQUE}"
    if entry.kind is Kind.WHITEOUT:
        folder, slash, last = entry.path.rpartition("/")
        return f"{folder}{slash}{WHITEOUT}{last}"
    return entry.path


def _where(*entries: Entry) -> str | None:
    return ", ".join(dict.fromkeys(entry.origin for entry in entries if entry.origin)) or None


_TYPES = {Kind.DIRECTORY: DIRECTORY, Kind.SYMLINK: SYMLINK, Kind.HARDLINK: HARDLINK}
_TYPES |= {Kind.CHARACTER: CHARACTER, Kind.BLOCK: BLOCK, Kind.FIFO: FIFO}


def _header(entry: Entry, epoch: int) -> Header:
    name = _name(entry) + ("/" if entry.kind is Kind.DIRECTORY else "")
    size = entry.size if entry.kind is Kind.FILE else 0
    typeflag = _TYPES.get(entry.kind, FILE)
    return Header(
        name, typeflag, entry.mode, entry.uid, entry.gid, size, epoch, entry.target, entry.records, entry.device
    )


def _content(entry: Entry, blocks: BlockWriter) -> None:
    remaining = entry.size
    with _opened(entry) as stream:
        while remaining:
            part = stream.read(min(remaining, blocks.room))
            if not part:
                raise _changed(entry, f"ended {remaining} of {entry.size} bytes too early")
            blocks.write(part)
            remaining -= len(part)
        if stream.read(1):
            raise _changed(entry, f"is longer than the {entry.size} bytes it had at first")


def _opened(entry: Entry) -> BinaryIO:
    if entry.open is None:  # __post_init__ refuses such a file; this is for the type checker
        raise InvalidEntry(f"file '{entry.path}' has no content")
    return entry.open()


def _changed(entry: Entry, how: str) -> ContentChanged:
    hint = "it changed while the layer was written: let what writes it come to its end, and build again"
    return ContentChanged(how, where=entry.origin or entry.path, hint=hint)
