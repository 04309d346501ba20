"""A layer of an engine, written anew: the same names and contents, without what differs from run to run.

Times are cut to the image's time stamp, as BuildKit's `rewrite-timestamp` does; names of users, access times and the
engine's own way to write and compress archives go. So equal files are an equal digest, whichever engine made them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.engine.export.made import InvalidOutput
from multiarch_oci.engine.frontend.packing import unpacked
from multiarch_oci.engine.frontend.tree import Head, Node, Overlay
from multiarch_oci.executable import HEAD, essential
from multiarch_oci.gzipstream import BlockWriter, member
from multiarch_oci.layer import Compression, Kind, Written
from multiarch_oci.tarfields import Member
from multiarch_oci.tarheader import BLOCK, CHARACTER, DIRECTORY, END, FIFO, FILE, HARDLINK, SYMLINK, Header, padding
from multiarch_oci.tarreader import TarReader, inner_path

_DEVICES = (CHARACTER, BLOCK)
_KNOWN = (FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO)
_KEPT = ("SCHILY.xattr.", "MSWINDOWS.", "LIBARCHIVE.xattr.")


def repack(
    opener: Callable[[], BinaryIO], diff_id: Digest, sink: BinaryIO, files: Overlay, *, epoch: int, where: str
) -> Written:
    """Write the layer to `sink`, and into `files` what it does to the layers before.

    Of a file no more than its head is kept, and only if it is a program or a script. DigestMismatch when the archive is
    not the one that `diff_id` names.
    """
    with BlockWriter(sink, member) as blocks:
        with unpacked(opener, diff_id, f"{where}: layer {diff_id}") as reader:
            for entry in reader:
                _entry(entry, reader, blocks, files, (epoch, where))
        blocks.write(END)
        blocks.finish()
        packed_as = Descriptor(Compression.GZIP.value, Digest("sha256", blocks.written_sum.hexdigest()), blocks.size)
        return Written(packed_as, Digest("sha256", blocks.read_sum.hexdigest()))


def _entry(entry: Member, reader: TarReader, blocks: BlockWriter, files: Overlay, how: tuple[int, str]) -> None:
    epoch, where = how
    path = inner_path(entry.name)
    if path is None or entry.typeflag not in _KNOWN:
        what = "leads out of its layer" if path is None else f"is of an unknown kind, {entry.typeflag!r}"
        raise InvalidOutput(f"member '{entry.name}' {what}", where=where)
    if not path:
        return  # the root: every engine makes it as it likes
    blocks.write(
        Header(
            f"{path}/" if entry.typeflag == DIRECTORY else path,
            entry.typeflag,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            min(max(entry.mtime, 0), epoch),
            _target(entry),
            _records(entry),
            entry.device if entry.typeflag in _DEVICES else (0, 0),
        ).to_bytes()
    )
    head = _content(reader, entry, blocks) if entry.is_file else b""
    apply(files, path, entry, head)


def _target(entry: Member) -> str:
    if entry.typeflag == HARDLINK:
        return inner_path(entry.target) or ""
    return entry.target if entry.typeflag == SYMLINK else ""


def _records(entry: Member) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value) for name, value in sorted(entry.records.items()) if name.startswith(_KEPT))


def _content(reader: TarReader, entry: Member, blocks: BlockWriter) -> bytes:
    head = b""
    for block in reader.blocks():
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
        blocks.write(block)
    blocks.write(padding(entry.size))
    return head


def apply(files: Overlay, path: str, entry: Member, head: bytes) -> None:
    """Do to `files` what a member of a layer does; of a file's content no more than `head` is known."""
    if files.whiteout(path):
        return
    if entry.typeflag == HARDLINK:
        linked = files.lookup(_target(entry))
        if linked is not None:
            files.put(path, linked)
    else:
        files.put(path, _node(entry, head))


def _node(entry: Member, head: bytes) -> Node:
    mode = entry.mode
    if entry.typeflag == DIRECTORY:
        return Node(Kind.DIRECTORY, mode)
    if entry.typeflag == SYMLINK:
        return Node(Kind.SYMLINK, mode, target=entry.target)
    head = essential(head)
    if not head:
        return Node(Kind.FILE, mode)
    return Node(Kind.FILE, mode, content=Head(head))
