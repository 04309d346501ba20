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
from multiarch_oci.engine.frontend.layers import unpacked
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
            for each in reader:
                _entry(each, reader, blocks, files, (epoch, where))
        blocks.write(END)
        blocks.finish()
        packed_as = Descriptor(Compression.GZIP.value, Digest("sha256", blocks.written_sum.hexdigest()), blocks.size)
        return Written(packed_as, Digest("sha256", blocks.read_sum.hexdigest()))


def _entry(each: Member, reader: TarReader, blocks: BlockWriter, files: Overlay, how: tuple[int, str]) -> None:
    epoch, where = how
    path = inner_path(each.name)
    if path is None or each.typeflag not in _KNOWN:
        what = "leads out of its layer" if path is None else f"is of an unknown kind, {each.typeflag!r}"
        raise InvalidOutput(f"member '{each.name}' {what}", where=where)
    if not path:
        return  # the root: every engine makes it as it likes
    blocks.write(
        Header(
            f"{path}/" if each.typeflag == DIRECTORY else path,
            each.typeflag,
            each.mode,
            each.uid,
            each.gid,
            each.size,
            min(max(each.mtime, 0), epoch),
            _target(each),
            _records(each),
            each.device if each.typeflag in _DEVICES else (0, 0),
        ).to_bytes()
    )
    head = _content(reader, each, blocks) if each.is_file else b""
    apply(files, path, each, head)


def _target(each: Member) -> str:
    if each.typeflag == HARDLINK:
        return inner_path(each.target) or ""
    return each.target if each.typeflag == SYMLINK else ""


def _records(each: Member) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value) for name, value in sorted(each.records.items()) if name.startswith(_KEPT))


def _content(reader: TarReader, each: Member, blocks: BlockWriter) -> bytes:
    head = b""
    for block in reader.blocks():
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
        blocks.write(block)
    blocks.write(padding(each.size))
    return head


def apply(files: Overlay, path: str, each: Member, head: bytes) -> None:
    """Do to `files` what a member of a layer does; of a file's content no more than `head` is known."""
    if files.whiteout(path):
        return
    if each.typeflag == HARDLINK:
        linked = files.lookup(_target(each))
        if linked is not None:
            files.put(path, linked)
    else:
        files.put(path, _node(each, head))


def _node(each: Member, head: bytes) -> Node:
    mode = each.mode
    if each.typeflag == DIRECTORY:
        return Node(Kind.DIRECTORY, mode)
    if each.typeflag == SYMLINK:
        return Node(Kind.SYMLINK, mode, target=each.target)
    head = essential(head)
    if not head:
        return Node(Kind.FILE, mode)
    return Node(Kind.FILE, mode, content=Head(head))
