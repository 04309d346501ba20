"""What a base's layers leave, by name: enough to follow the path of a program through links, and to read its head."""

from __future__ import annotations

from functools import partial

from multiarch_oci.engine.export.repacking import apply
from multiarch_oci.engine.frontend.bases import BaseImage
from multiarch_oci.engine.frontend.layers import unpacked
from multiarch_oci.engine.frontend.tree import CannotCopy, Overlay
from multiarch_oci.executable import HEAD
from multiarch_oci.tarreader import TarReader, inner_path


def names_of(image: BaseImage | None) -> Overlay:
    """The files of a base, each program and script with its head as content; nothing for none, or for Windows.

    The layers of a Windows base are gigabytes that often no registry but Microsoft's has; its links are not followed.
    Raises CannotCopy for a name that leads out, InvalidArchive or DigestMismatch for a damaged layer, and what the
    base's registry raises.
    """
    files = Overlay()
    if image is None or image.config.platform.os == "windows":
        return files
    for index, descriptor in enumerate(image.layers):
        where = image.layer_name(index)
        layer = Overlay(files)  # whiteouts are for the layers below alone
        with unpacked(partial(image.source.open, descriptor), image.diff_id(index), where) as reader:
            _read(reader, layer, files, where)
        for path, node in layer.changes.pairs():
            files.put(path, node)
    return files


def _read(reader: TarReader, layer: Overlay, files: Overlay, where: str) -> None:
    for member in reader:
        path = inner_path(member.name)
        if path is None:
            raise CannotCopy(f"member '{member.name}' leads out of its layer", where=where)
        if path and not files.whiteout(path):
            head = b""
            if member.is_file and member.mode & 0o111:
                with reader.open() as content:
                    head = content.read(HEAD)
            apply(layer, path, member, head)
