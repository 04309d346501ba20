"""A layer of an engine, written anew: the same names and contents, without what differs from run to run.

Times are cut to the image's time stamp, as BuildKit's `rewrite-timestamp` does; names of users, access times and the
engine's own way to write and compress archives go. So equal files are an equal digest, whichever engine made them.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

from multiarch.descriptor import Descriptor
from multiarch.digest import BLOCK, Digest, DigestMismatch
from multiarch.engine.reading.packing import decompressed
from multiarch.engine.reading.tree import Content, Node, Overlay
from multiarch.executable import HEAD, essential
from multiarch.gzipstream import BlockWriter, member
from multiarch.layer import Compression, Kind, Written
from multiarch.tarheader import DIRECTORY, END, FILE, HARDLINK, SYMLINK, Header, padding

_TYPES = {tarfile.DIRTYPE: DIRECTORY, tarfile.LNKTYPE: HARDLINK, tarfile.SYMTYPE: SYMLINK}
_TYPES |= {kind: kind for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)}
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
_KEPT = ("SCHILY.xattr.", "MSWINDOWS.", "LIBARCHIVE.xattr.")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError)


def repack(
    opener: Callable[[], BinaryIO], diff_id: Digest, sink: BinaryIO, files: Overlay, *, epoch: int, where: str
) -> Written:
    """Write the layer to `sink`, and into `files` what it does to the layers before.

    Of a file no more than its head is kept, and only if it is a program or a script. DigestMismatch when the archive is
    not the one that `diff_id` names.
    """
    with opener() as packed, BlockWriter(sink, member) as blocks:
        running = _Hashing(decompressed(packed))
        try:
            with tarfile.open(fileobj=running, mode="r|", bufsize=BLOCK) as archive:
                for each in archive:
                    _entry(each, archive, blocks, files, epoch)
            while running.read(BLOCK):
                pass
        except _DAMAGED as error:
            raise DigestMismatch(f"layer {diff_id} is a damaged archive: {error}", where=where) from None
        found = Digest(diff_id.algorithm, running.sum.hexdigest())
        if found != diff_id:
            raise DigestMismatch(f"wanted layer {diff_id}, the bytes are {found}", where=where)
        blocks.write(END)
        blocks.finish()
        packed_as = Descriptor(Compression.GZIP.value, Digest("sha256", blocks.written_sum.hexdigest()), blocks.size)
        return Written(packed_as, Digest("sha256", blocks.read_sum.hexdigest()))


class _Hashing(io.RawIOBase):
    """What is read, hashed on the way."""

    def __init__(self, below: BinaryIO) -> None:
        super().__init__()
        self._below = below
        self.sum = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._below.read(size)
        self.sum.update(block)
        return block


def _entry(each: tarfile.TarInfo, archive: tarfile.TarFile, blocks: BlockWriter, files: Overlay, epoch: int) -> None:
    path = "/".join(part for part in each.name.split("/") if part not in ("", "."))
    if not path:
        return  # the root: every engine makes it as it likes
    typeflag = _TYPES.get(each.type, FILE)
    size = each.size if typeflag == FILE else 0
    blocks.write(
        Header(
            f"{path}/" if typeflag == DIRECTORY else path,
            typeflag,
            each.mode & 0o7777,
            each.uid,
            each.gid,
            size,
            min(max(int(each.mtime), 0), epoch),
            _target(each),
            _records(each),
            (each.devmajor, each.devminor) if each.type in _DEVICES else (0, 0),
        ).to_bytes()
    )
    head = _content(archive, each, blocks) if typeflag == FILE else b""
    apply(files, path, each, head)


def _target(each: tarfile.TarInfo) -> str:
    if each.islnk():
        return "/".join(part for part in each.linkname.split("/") if part not in ("", "."))
    return each.linkname if each.issym() else ""


def _records(each: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    return tuple(
        (name, value.encode("utf-8", "surrogateescape"))
        for name, value in sorted(each.pax_headers.items())
        if name.startswith(_KEPT)
    )


def _content(archive: tarfile.TarFile, each: tarfile.TarInfo, blocks: BlockWriter) -> bytes:
    stream = archive.extractfile(each)
    if stream is None:
        return b""
    head, left = b"", each.size
    while left:
        block = stream.read(min(left, blocks.room))
        if not block:
            raise EOFError(f"'{each.name}' ends too early")
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
        blocks.write(block)
        left -= len(block)
    blocks.write(padding(each.size))
    return head


def apply(files: Overlay, path: str, each: tarfile.TarInfo, head: bytes) -> None:
    """Do to `files` what a member of a layer does; of a file's content no more than `head` is known."""
    if files.whiteout(path):
        return
    if each.islnk():
        linked = files.lookup(_target(each))
        if linked is not None:
            files.put(path, linked)
    else:
        files.put(path, _node(each, head))


def _node(each: tarfile.TarInfo, head: bytes) -> Node:
    mode = each.mode & 0o7777
    if each.isdir():
        return Node(Kind.DIRECTORY, mode)
    if each.issym():
        return Node(Kind.SYMLINK, mode, target=each.linkname)
    head = essential(head)
    if not head:
        return Node(Kind.FILE, mode)
    content = Content(len(head), lambda: cast("BinaryIO", io.BytesIO(head)), str)
    return Node(Kind.FILE, mode, content=content)
