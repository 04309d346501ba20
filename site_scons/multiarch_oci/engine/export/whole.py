"""All files of an image, those of its base too: enough to follow the path of a program, and to read its machine.

On Windows letter case tells no two names apart: there paths are in capitals (`capitals`), below what a layer has in
`Files`. The layers of a Windows base are large, and few registries but Microsoft's have them: where they cannot be
read, that is said, and no more than the image's own files is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from msgspec.structs import replace

from multiarch_oci.digest import DigestMismatch
from multiarch_oci.engine.export.repacking import apply
from multiarch_oci.engine.frontend.bases import BaseImage
from multiarch_oci.engine.frontend.packing import unpacked
from multiarch_oci.engine.frontend.tree import CannotCopy, Node, Overlay
from multiarch_oci.errors import MultiarchError
from multiarch_oci.executable import HEAD
from multiarch_oci.layer import WHITEOUT
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarheader import HARDLINK
from multiarch_oci.tarreader import TarReader, inner_path

FILES = "Files/"
"""The folder, in a Windows layer, of what the image's C: holds."""


def capitals(path: str) -> str:
    """A path of a Windows image as these trees have it; the mark of a whiteout stays what it is."""
    folder, slash, name = path.rpartition("/")
    marked = name.startswith(WHITEOUT)
    return f"{folder.upper()}{slash}{WHITEOUT + name[len(WHITEOUT) :].upper() if marked else name.upper()}"


def whole_windows(
    own: Mapping[str, Node], gone: Iterable[str], base: BaseImage | None, warn: Callable[[str], None]
) -> Overlay:
    """The files of a Windows image whose layers leave `own`, and take `gone` away; `warn` is told of an absent base.

    Raises CannotCopy, InvalidArchive or DigestMismatch for a damaged layer of the base.
    """
    try:
        whole = Overlay(names_of(base))
    except (CannotCopy, InvalidArchive, DigestMismatch):
        raise
    except MultiarchError as error:
        warn(f"{error.what}; its links are not followed")
        whole = Overlay()
    for path in gone:
        whole.remove(capitals(path))
    for path, node in own.items():
        whole.put(capitals(path), node)
    return whole


def names_of(image: BaseImage | None) -> Overlay:
    """The files that a base's layers leave, programs and scripts with their head (not on Windows); nothing for none.

    Raises CannotCopy for a name that leads out, InvalidArchive or DigestMismatch for a damaged layer, and what the
    base's registry raises.
    """
    files = Overlay()
    for index, descriptor in enumerate(() if image is None else image.layers):
        assert image is not None  # noqa: S101  # it has layers
        where, windows = image.layer_name(index), image.config.platform.os == "windows"
        layer = Overlay(files)  # whiteouts are for the layers below alone
        with unpacked(partial(image.source.open, descriptor), image.diff_id(index), where) as reader:
            _read_layer(reader, layer, files, where, windows=windows)
        for path, node in layer.changes.pairs():
            files.put(path, node)
    return files


def _read_layer(reader: TarReader, layer: Overlay, files: Overlay, where: str, *, windows: bool) -> None:
    for member in reader:
        path = _plain(member.name, where)
        if windows:
            path = _on_drive(path)
        if not path or files.whiteout(path):
            continue
        head = b""
        if windows and member.typeflag == HARDLINK:
            target = _on_drive(_plain(member.target, where))
            apply(layer, path, replace(member, target=target), head)
            continue
        if member.is_file and member.mode & 0o111 and not windows:
            with reader.open() as content:
                head = content.read(HEAD)
        apply(layer, path, member, head)


def _plain(name: str, where: str) -> str:
    path = inner_path(name)
    if path is None:
        raise CannotCopy(f"member '{name}' leads out of its layer", where=where)
    return path


def _on_drive(path: str) -> str:
    """The path on C: of a member of a Windows layer, in capitals; "" for what is not there."""
    return capitals(path[len(FILES) :]) if path.startswith(FILES) else ""
