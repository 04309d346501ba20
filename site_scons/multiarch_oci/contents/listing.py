"""The files of a layer, and what made it, as the layer and the image's history say (OCI image spec 1.1, layer.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import keyed, remembered_as
from multiarch_oci.engine.frontend.packing import decompressed
from multiarch_oci.layer import OPAQUE, WHITEOUT, Kind
from multiarch_oci.store import Source
from multiarch_oci.store.atomic import replacing
from multiarch_oci.tarfields import InvalidArchive, Member
from multiarch_oci.tarheader import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK
from multiarch_oci.tarreader import TarReader, inner_path

MOST_ENTRIES = 200_000
"""Names of one layer that are kept; the rest is counted."""
MOST_BYTES = 1 << 36
"""Bytes of files of one layer that are read."""
_KINDS = {
    DIRECTORY: Kind.DIRECTORY,
    SYMLINK: Kind.SYMLINK,
    HARDLINK: Kind.HARDLINK,
    CHARACTER: Kind.CHARACTER,
    BLOCK: Kind.BLOCK,
    FIFO: Kind.FIFO,
}
_HOLD_VALUES = ("ENV", "ARG")
_ARGUMENTS = re.compile(r"RUN \|(\d{1,4}) ")
_NAME = re.compile(r"(?<= )([A-Za-z_][A-Za-z0-9_.-]*)=")
_SHELL = re.compile(r" (?:/\S*sh (?:-\w+ )*-\w*c|cmd /S /C|powershell|pwsh)(?= )", re.IGNORECASE)


class File(msgspec.Struct, frozen=True, array_like=True):
    """One name in a layer: `kind` as `layer.Kind` words it, `digest` the sha256 of a file's content in hexadecimal."""

    path: str
    kind: str = Kind.FILE.value
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    target: str = ""
    digest: str = ""


class Listing(msgspec.Struct, frozen=True):
    """What is in one layer, by path: at most MOST_ENTRIES, and how many `more` there are; `size` of all its files."""

    files: tuple[File, ...]
    size: int
    more: int = 0

    def largest(self, count: int) -> tuple[File, ...]:
        """The first files by size, equals by path; folders only where there is nothing else."""
        ranked = sorted(self.files, key=lambda file: (file.kind == Kind.DIRECTORY.value, -file.size, file.path))
        return tuple(ranked[:count])


def listing(stream: BinaryIO, where: str) -> Listing:
    """Read a layer through, packed or not, and close it. Of two entries of one path the last counts, as it is unpacked.

    Raises InvalidArchive for what is no layer, or holds more than MOST_BYTES, CannotCopy for a packing that this Python
    cannot read, and what the stream raises.
    """
    files: dict[str, File] = {}
    size, more = 0, 0
    with closing(stream), closing(decompressed(stream, where)) as unpacked:
        reader = TarReader(unpacked, where)
        for member in reader:
            size += member.size
            if size > MOST_BYTES:
                raise InvalidArchive(f"holds more than {MOST_BYTES} bytes", where=where)
            path = inner_path(member.name)
            if not path:
                continue
            if len(files) >= MOST_ENTRIES and path not in files:
                more += 1
                continue
            file = _file(path, member, reader)
            files.pop(file.path, None)
            files[file.path] = file
        while unpacked.read(1 << 20):  # so that all of it is verified
            pass
    return Listing(tuple(files[path] for path in sorted(files)), size, more)


def _file(path: str, member: Member, reader: TarReader) -> File:
    folder, _, name = path.rpartition("/")
    mode, uid, gid = member.mode, member.uid, member.gid
    if name == OPAQUE:
        return File(folder or ".", Kind.OPAQUE.value)
    if name.startswith(WHITEOUT):
        return File(f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/"), Kind.WHITEOUT.value)
    if member.typeflag == FILE:
        running = hashlib.sha256()
        for part in reader.blocks():
            running.update(part)
        return File(path, Kind.FILE.value, member.size, mode, uid, gid, digest=running.hexdigest())
    kind = _KINDS.get(member.typeflag, Kind.FILE)
    return File(path, kind.value, 0, mode, uid, gid, member.target)


class Listings:
    """Listings by the digest of their layers, kept in a folder: a layer is read through once, not each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, descriptor: Descriptor, source: Source, where: str) -> Listing:
        """The listing of a layer, read from `source` where it is not kept; raises what `listing` raises. Any thread."""
        kept = self.kept(str(descriptor.digest))
        if kept is not None:
            return kept
        new = listing(source.open(descriptor), where)
        with suppress(OSError), replacing(self._file(str(descriptor.digest))) as file:
            file.write(keyed(msgspec.to_builtins(new)))
        return new

    def kept(self, digest: str) -> Listing | None:
        """The listing of a layer that was read before; None when none is kept."""
        return remembered_as(self._file(digest), Listing)

    def forget_others(self, digests: Collection[str]) -> None:
        """Keep the listings of these layers alone."""
        names = {self._file(digest).name for digest in digests}
        for file in self._folder.glob("*.json"):
            if file.name not in names:
                with suppress(OSError):
                    file.unlink()

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest.replace(':', '-').replace('/', '-')}.json"


def made_by(config: ImageConfig) -> tuple[str, ...]:
    """For each layer of an image the line of its history that made it; empty where the history does not fit."""
    lines = [line.created_by or line.comment or "" for line in config.history if not line.empty_layer]
    if len(lines) != len(config.diff_ids):
        return ("",) * len(config.diff_ids)
    return tuple(map(without_values, lines))


def without_values(line: str) -> str:
    """A line of a history without the values of build arguments and variables, which may be secrets.

    `RUN |1 TOKEN=x /bin/sh -c make` becomes `RUN |1 TOKEN=… /bin/sh -c make`, and `ENV TOKEN=x` becomes `ENV TOKEN=…`.
    """
    line = line.removeprefix("/bin/sh -c #(nop) ").lstrip()
    command, _, rest = line.partition(" ")
    if command.upper() in _HOLD_VALUES:
        names = _NAME.findall(f" {rest}") or rest.split()[:1]
        return f"{command} {' '.join(f'{name}=…' for name in names)}" if rest.strip() else line
    counted = _ARGUMENTS.match(line)
    if counted is None:
        return line
    names = list(_NAME.finditer(line, counted.end() - 1))[: int(counted[1])]
    shell = _SHELL.search(line, names[-1].end()) if names else None
    hidden = "".join(f" {name[1]}=…" for name in names)
    return f"{counted[0].rstrip()}{hidden}{'' if shell is None else line[shell.start() :]}"
