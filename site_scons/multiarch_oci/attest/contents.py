"""What an image's own layers leave in it: every file with its sums, and the content of those that say what they are.

The layers of its base are not read: they are described by the base's own SBOM, where there is one.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import msgspec

from multiarch_oci.attest.bom import File, Part
from multiarch_oci.attest.readers import Known, parts_of, wants
from multiarch_oci.executable import HEAD
from multiarch_oci.image import Image
from multiarch_oci.layer import OPAQUE, WHITEOUT
from multiarch_oci.mediatype import is_foreign
from multiarch_oci.store import Source
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarheader import DIRECTORY, FILE, HARDLINK
from multiarch_oci.tarreader import TarReader, inner_path

_WINDOWS = "Files/"
_IN_MEMORY = 32 << 20
"""Bytes of a file that is looked into which are kept in memory; more of it in a temporary file."""

Kept = tuple[File, tuple[Part, ...]]


def own_contents(
    image: Image, source: Source, known: Known, *, where: str
) -> tuple[tuple[File, ...], tuple[Part, ...]]:
    """The files that the image adds to its base, or changes there, and what they say that the image is made of.

    Sorted by path. `source` has the image's own layers; each is verified. A link of the file system is a file, a
    symbolic one is not. Raises InvalidArchive for a layer that is damaged, or packed as none of ours is.
    """
    contents: dict[str, Kept] = {}
    windows = image.platform.os == "windows"
    for layer in image.layers:
        if layer.digest in image.own | image.shared and not is_foreign(layer.media_type):
            with _plain(source.open(layer), where) as stream:
                _apply(contents, TarReader(stream, f"{where}: {layer.digest}"), known, windows=windows)
                while stream.read(1 << 20):  # the digest of the whole is checked at its end
                    pass
    files = tuple(contents[path][0] for path in sorted(contents))
    return files, tuple(part for path in sorted(contents) for part in contents[path][1])


@contextmanager
def _plain(stream: BinaryIO, where: str) -> Iterator[BinaryIO]:
    """A layer's tar: what we write is packed by gzip, or not packed."""
    with stream as packed:
        buffered = io.BufferedReader(cast("io.RawIOBase", packed))
        if buffered.peek(2)[:2] == b"\x1f\x8b":
            try:
                yield cast("BinaryIO", gzip.GzipFile(fileobj=buffered))
            except (zlib.error, EOFError, gzip.BadGzipFile):
                raise InvalidArchive("is damaged: it cannot be unpacked", where=where) from None
        else:
            yield cast("BinaryIO", buffered)


def _apply(contents: dict[str, Kept], reader: TarReader, known: Known, *, windows: bool) -> None:
    """Let a layer change what those below it left (OCI image spec 1.1, layer.md)."""
    added: dict[str, Kept] = {}
    gone: set[str] = set()
    emptied: set[str] = set()
    folders: set[str] = set()
    for member in reader:
        path = _path(member.name, windows=windows)
        if path is None:
            continue
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            emptied.add(folder)
            continue
        if name.startswith(WHITEOUT):
            gone.add(f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/"))
            continue
        added.pop(path, None)
        (folders if member.typeflag == DIRECTORY else gone).add(path)
        if member.typeflag == FILE:
            added[path] = _read(path, reader.open, known)
        elif member.typeflag == HARDLINK:
            target = _path(member.target, windows=windows) or ""
            linked = added.get(target) or contents.get(target)
            if linked is not None:
                added[path] = msgspec.structs.replace(linked[0], path=path), linked[1]
    for path in [path for path in contents if path in gone or path in folders or _is_below(path, gone, emptied)]:
        del contents[path]
    contents |= added


def _is_below(path: str, gone: set[str], emptied: set[str]) -> bool:
    """Whether a folder above was taken away, replaced, or emptied."""
    while path:
        path = path.rpartition("/")[0]
        if path in emptied or (path and path in gone):
            return True
    return False


def _path(name: str, *, windows: bool) -> str | None:
    r"""The path in the image; of a Windows layer that of the files alone, as registry hives are none.

    A name that is no UTF-8 stands in no document: its bytes are written as `\xff`.
    """
    path = (inner_path(name) or "").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if not path or not windows:
        return path or None
    return path[len(_WINDOWS) :] or None if path.startswith(_WINDOWS) else None


def _read(path: str, opener: Callable[[], BinaryIO], known: Known) -> Kept:
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    with opener() as stream, tempfile.SpooledTemporaryFile(_IN_MEMORY) as content:
        block = stream.read(max(HEAD, 1 << 20))
        is_read = wants(path, block[:HEAD])
        while block:
            sha1.update(block)
            sha256.update(block)
            if is_read:
                content.write(block)
            block = stream.read(1 << 20)
        file = File(path, sha1.hexdigest(), sha256.hexdigest())
        return file, parts_of(file, cast("BinaryIO", content), known) if is_read else ()
