"""What a base's layers leave, by name: enough to follow the path of a program through links, and to read its head."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from multiarch.digest import BLOCK
from multiarch.engine.harvest.repacking import apply
from multiarch.engine.reading.bases import BaseImage
from multiarch.engine.reading.packing import decompressed
from multiarch.engine.reading.tree import CannotCopy, Overlay
from multiarch.executable import HEAD

_DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError)


def names_of(image: BaseImage | None) -> Overlay:
    """The files of a base, each program and script with its head as content; nothing for none, or for Windows.

    The layers of a Windows base are gigabytes that often no registry but Microsoft's has; its links are not followed.
    Raises CannotCopy for a damaged layer, and what the base's registry raises.
    """
    files = Overlay()
    if image is None or image.config.platform.os == "windows":
        return files
    for descriptor in image.layers:
        layer = Overlay(files)  # whiteouts are for the layers below alone
        for path, member, head in _members(partial(image.source.open, descriptor), str(descriptor.digest)):
            if path and not files.whiteout(path):
                apply(layer, path, member, head)
        for path, node in layer.changes.items():
            files.put(path, node)
    return files


def _members(opener: Callable[[], BinaryIO], digest: str) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    try:
        with opener() as packed, decompressed(packed) as stream:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive:
                for member in archive:
                    runs = member.isreg() and member.mode & 0o111
                    content = archive.extractfile(member) if runs else None
                    yield _plain(member.name), member, b"" if content is None else content.read(HEAD)
            while stream.read(BLOCK):
                pass
    except _DAMAGED as error:
        raise CannotCopy(f"layer {digest} is a damaged archive: {error}") from None


def _plain(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise CannotCopy(f"member '{name}' leads out of its layer")
    return "/".join(parts)
