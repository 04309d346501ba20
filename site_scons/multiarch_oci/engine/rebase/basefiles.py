"""What lies in the layers of an image, each name with all that a layer over it may repeat, or leave out.

A layer repeats the folders it lies in (mode, owner, attributes, and a time that is older than the image's), and engines
leave out of it what a base has just so (size, time, content). A COPY alone needs less: that is `layertree`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from msgspec.structs import replace

from multiarch_oci.digest import Digest
from multiarch_oci.engine.export.repacking import apply
from multiarch_oci.engine.frontend.bases import BaseImage
from multiarch_oci.engine.frontend.packing import unpacked
from multiarch_oci.engine.frontend.tree import ROOT, CannotCopy, Node, Overlay, node_table, parent
from multiarch_oci.executable import HEAD
from multiarch_oci.layer import OPAQUE, Kind
from multiarch_oci.pathtable import PairList
from multiarch_oci.tarfields import Member
from multiarch_oci.tarheader import DIRECTORY, HARDLINK, SYMLINK
from multiarch_oci.tarreader import inner_path

_XATTR = "SCHILY.xattr."
_TIME, _SIZE, _SHA256, _TYPE = "time", "size", "sha256", "type"
_IMPLIED = replace(ROOT, records=(("implied", b""),))
Found = tuple[str, Member, Callable[[], Iterator[bytes]]]


def files_of(image: BaseImage) -> Overlay:
    """The files that the layers of a base leave. Raises CannotCopy for a damaged layer, and what its registry raises.

    A folder in which a layer changed something without naming the folder has no time: it is that of the unpacking.
    """
    files = Overlay()
    for index, descriptor in enumerate(image.layers):
        where = image.layer_name(index)
        _apply(files, _members(partial(image.source.open, descriptor), image.diff_id(index), where), where)
    return files


def own_layer(
    opener: Callable[[], BinaryIO], diff_id: Digest, whole: Overlay, where: str
) -> tuple[tuple[str, Node], ...]:
    """The names of one of an image's own layers, whiteouts too; `whole` gets what it does to those before.

    There a program has its head as content, and nothing else has any.
    """
    nodes: dict[str, Node] = {}
    for path, member, content in _members(opener, diff_id, where):
        if not path:
            continue
        apply(whole, path, member, next(content(), b"")[:HEAD])
        linked = nodes.get(_plain(member.target, where)) if member.typeflag == HARDLINK else None
        nodes[path] = linked or _node(member, None)
    return tuple(nodes.items())


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


def _apply(files: Overlay, members: Iterator[Found], where: str) -> None:
    added = node_table()
    links = PairList()
    for path, member, content in members:
        if files.whiteout(path):
            if path.rpartition("/")[2] != OPAQUE:
                _touch(files, parent(path))
        elif member.typeflag == HARDLINK:
            links.append(path, _plain(member.target, where))
        elif path:
            added.pop(path)
            added.put(path, _node(member, _sha256(content()) if member.is_file else None))
    for path, node in added.pairs():
        _put(files, path, node, named=parent(path) in added)
    for path, target in links:
        linked = files.lookup(target)
        if linked is None or linked.is_directory:
            raise CannotCopy(f"'{path}' is a hard link to '{target}', which is no file", where=where)
        _put(files, path, linked, named=parent(path) in added)


def _members(opener: Callable[[], BinaryIO], diff_id: Digest, where: str) -> Iterator[Found]:
    """Path, header and content of each member; the content is to be asked for before the next one is."""
    with unpacked(opener, diff_id, where) as reader:
        for member in reader:
            yield _plain(member.name, where), member, reader.blocks


def _plain(name: str, where: str) -> str:
    path = inner_path(name)
    if path is None:
        raise CannotCopy(f"member '{name}' leads out of its layer", where=where)
    return path


def _sha256(blocks: Iterator[bytes]) -> bytes:
    running = hashlib.sha256()
    for block in blocks:
        running.update(block)
    return running.hexdigest().encode("ascii")


def _node(member: Member, sha256: bytes | None) -> Node:
    records = [(name, value) for name, value in member.records.items() if name.startswith(_XATTR)]
    records.append((_TIME, str(member.mtime).encode("ascii")))
    kinds = {DIRECTORY: Kind.DIRECTORY, SYMLINK: Kind.SYMLINK}
    kind = kinds.get(member.typeflag, Kind.FILE)
    if kind is Kind.FILE:
        records.append((_SIZE, str(member.size).encode("ascii")))
        device = "" if member.is_file else f" {member.device[0]} {member.device[1]}"
        records.append((_TYPE, member.typeflag + device.encode("ascii")))
        records += [(_SHA256, sha256)] if sha256 is not None else []
    target = member.target if kind is Kind.SYMLINK else ""
    return Node(kind, member.mode, member.uid, member.gid, target, records=tuple(sorted(records)))


def _put(files: Overlay, path: str, node: Node, *, named: bool) -> None:
    missing = []
    above = parent(path)
    while (there := files.lookup(above)) is None or not there.is_directory:
        missing.append(above)
        above = parent(above)
    if missing or not named:
        _touch(files, above)
    for folder in reversed(missing):
        files.put(folder, _IMPLIED)
    files.put(path, node)


def _touch(files: Overlay, path: str) -> None:
    node = files.lookup(path)
    if path and node is not None and node.is_directory:
        files.put(path, replace(node, records=tuple(record for record in node.records if record[0] != _TIME)))
