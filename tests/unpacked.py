"""What an image holds once it is unpacked: layers applied one on the other by rules of their own (image spec, layer.md)."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from multiarch_oci.store.archive import Archive


@dataclass(frozen=True)
class Found:
    """One name: `d`, `f`, `l`, `c`, `b` or `p`; mode; owner; a link's target, a file's sha256, a device's numbers."""

    kind: str
    mode: str
    owner: str
    content: str


def of_tar(stream: io.BufferedIOBase) -> dict[str, Found]:
    """Return the names of a tar stream, hard links as files of their own."""
    found: dict[str, Found] = {}
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for member in archive:
            path = member.name.strip("/").removeprefix("./")
            if path in ("", "."):
                continue
            owner = f"{member.uid}:{member.gid}"
            if member.isdir():
                found[path] = Found("d", oct(member.mode & 0o7777), owner, "")
            elif member.issym():
                found[path] = Found("l", "", owner, member.linkname)
            elif member.islnk():
                found[path] = found[member.linkname.strip("/").removeprefix("./")]
            elif member.ischr() or member.isblk() or member.isfifo():
                kind = "c" if member.ischr() else "b" if member.isblk() else "p"
                numbers = "" if member.isfifo() else f"{member.devmajor}:{member.devminor}"
                found[path] = Found(kind, oct(member.mode & 0o7777), owner, numbers)
            else:
                content = archive.extractfile(member)
                assert content is not None, path
                found[path] = Found("f", oct(member.mode & 0o7777), owner, hashlib.sha256(content.read()).hexdigest())
    return found


def unzipped(content: bytes) -> bytes:
    """Return a layer's tar; tarfile itself stops behind the first member of a gzip file."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def members(layer: bytes) -> list[tarfile.TarInfo]:
    """Return the headers of a layer."""
    with tarfile.open(fileobj=io.BytesIO(unzipped(layer))) as archive:
        return archive.getmembers()


def merged(layers: Iterable[dict[str, Found]]) -> dict[str, Found]:
    """Return what the layers leave, from the base up."""
    whole: dict[str, Found] = {}
    for layer in layers:
        for path in layer:
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _drop(whole, folder, keep=True)
            elif name.startswith(".wh."):
                _drop(whole, f"{folder}/{name[4:]}".strip("/"))
        for path, found in layer.items():
            if path.rpartition("/")[2].startswith(".wh."):
                continue
            if found.kind != "d":
                _drop(whole, path)
            whole[path] = found
    return whole


def of_archive(path: Path, lower: Iterable[dict[str, Found]] = ()) -> dict[str, Found]:
    """Return what the image in one of our tarballs holds, over the layers of its base."""
    archive = Archive(path)
    image = archive.image()
    own = [layer for layer in image.layers if layer.digest in image.own]
    return merged([*lower, *(of_tar(io.BytesIO(unzipped(archive.open(layer).read()))) for layer in own)])


def _drop(whole: dict[str, Found], path: str, *, keep: bool = False) -> None:
    for name in [name for name in whole if name.startswith(f"{path}/") or (name == path and not keep)]:
        del whole[name]
