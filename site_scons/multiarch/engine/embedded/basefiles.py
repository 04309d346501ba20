"""What lies in the layers of an image, each name with all that a layer over it may repeat, or leave out.

A layer repeats the folders it lies in (mode, owner, attributes, and a time that is older than the image's), and engines
leave out of it what a base has just so (size, time, content). A COPY alone needs less: that is `layertree`.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from multiarch.digest import BLOCK, Digest
from multiarch.engine.harvest.repacking import apply
from multiarch.engine.reading.bases import BaseImage
from multiarch.engine.reading.packing import decompressed
from multiarch.engine.reading.tree import ROOT, CannotCopy, Node, Overlay, parent
from multiarch.executable import HEAD
from multiarch.layer import OPAQUE, Kind
from multiarch.record import replace

_XATTR = "SCHILY.xattr."
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError)
_TIME, _SIZE, _SHA256, _TYPE = "time", "size", "sha256", "type"
_IMPLIED = replace(ROOT, records=(("implied", b""),))
Member = tuple[str, tarfile.TarInfo, Callable[[], Iterator[bytes]]]


def files_of(image: BaseImage) -> Overlay:
    """The files that the layers of a base leave. Raises CannotCopy for a damaged layer, and what its registry raises.

    A folder in which a layer changed something without naming the folder has no time: it is that of the unpacking.
    """
    files = Overlay()
    for descriptor in image.layers:
        _apply(files, partial(image.source.open, descriptor), str(descriptor.digest))
    return files


def own_layer(opener: Callable[[], BinaryIO], digest: Digest, whole: Overlay) -> tuple[tuple[str, Node], ...]:
    """The names of one of an image's own layers, whiteouts too; `whole` gets what it does to those before.

    There a program has its head as content, and nothing else has any.
    """
    found: dict[str, Node] = {}
    for path, member, content in _members(opener, str(digest)):
        if not path:
            continue
        apply(whole, path, member, next(content(), b"")[:HEAD])
        linked = found.get(_plain(member.linkname)) if member.islnk() else None
        found[path] = linked or _node(member, None)
    return tuple(found.items())


def size_of(node: Node) -> int:
    """The bytes of a file."""
    return int(dict(node.records).get(_SIZE, b"0"))


def content_of(node: Node | None) -> bytes | None:
    """A name for the content of a file of a base; None for what is none."""
    return None if node is None else dict(node.records).get(_SHA256)


def as_repeated(node: Node | None, epoch: int) -> Node | None:
    """What a layer over it tells of a folder or link: its time is never younger than the image's."""
    if node is None or node.kind is Kind.FILE:
        return node
    known = dict(node.records)
    time = min(max(int(known.pop(_TIME, str(epoch))), 0), epoch)
    if node.kind is Kind.DIRECTORY:
        known[_TIME] = str(time).encode("ascii")
    return replace(node, records=tuple(sorted(known.items())))


def _apply(files: Overlay, opener: Callable[[], BinaryIO], digest: str) -> None:
    added: dict[str, Node] = {}
    links: list[tuple[str, str]] = []
    for path, member, content in _members(opener, digest):
        if files.whiteout(path):
            if path.rpartition("/")[2] != OPAQUE:
                _touch(files, parent(path))
        elif member.islnk():
            links.append((path, _plain(member.linkname)))
        elif path:
            added.pop(path, None)
            added[path] = _node(member, _sha256(content()) if member.isreg() else None)
    for path, node in added.items():
        _put(files, path, node, named=parent(path) in added)
    for path, target in links:
        linked = files.lookup(target)
        if linked is None or linked.is_directory:
            raise CannotCopy(f"layer {digest}: '{path}' is a hard link to '{target}', which is no file")
        _put(files, path, linked, named=parent(path) in added)


def _members(opener: Callable[[], BinaryIO], digest: str) -> Iterator[Member]:
    """Path, header and content of each member; the content is to be asked for before the next one is."""
    try:
        with opener() as packed, decompressed(packed) as stream:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive:
                for member in archive:
                    yield _plain(member.name), member, partial(_blocks, archive, member)
            while stream.read(BLOCK):
                pass
    except _DAMAGED as error:
        raise CannotCopy(f"layer {digest} is a damaged archive: {error}") from None


def _blocks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    stream = archive.extractfile(member) if member.isreg() else None
    while stream is not None:
        block = stream.read(BLOCK)
        if not block:
            return
        yield block


def _plain(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise CannotCopy(f"member '{name}' leads out of its layer")
    return "/".join(parts)


def _sha256(blocks: Iterator[bytes]) -> bytes:
    running = hashlib.sha256()
    for block in blocks:
        running.update(block)
    return running.hexdigest().encode("ascii")


def _node(member: tarfile.TarInfo, sha256: bytes | None) -> Node:
    records = [
        (name, value.encode("utf-8", "surrogateescape"))
        for name, value in member.pax_headers.items()
        if name.startswith(_XATTR)
    ]
    records.append((_TIME, str(int(member.mtime)).encode("ascii")))
    kind = Kind.DIRECTORY if member.isdir() else Kind.SYMLINK if member.issym() else Kind.FILE
    if kind is Kind.FILE:
        records.append((_SIZE, str(member.size).encode("ascii")))
        device = "" if member.isreg() else f" {member.devmajor} {member.devminor}"
        records.append((_TYPE, member.type + device.encode("ascii")))
        records += [(_SHA256, sha256)] if sha256 is not None else []
    target = member.linkname if kind is Kind.SYMLINK else ""
    return Node(kind, member.mode & 0o7777, member.uid, member.gid, target, records=tuple(sorted(records)))


def _put(files: Overlay, path: str, node: Node, *, named: bool) -> None:
    above = parent(path)
    there = files.lookup(above)
    if there is None or not there.is_directory:
        _put(files, above, _IMPLIED, named=False)
    elif not named:
        _touch(files, above)
    files.put(path, node)


def _touch(files: Overlay, path: str) -> None:
    node = files.lookup(path)
    if path and node is not None and node.is_directory:
        files.put(path, replace(node, records=tuple(each for each in node.records if each[0] != _TIME)))
