"""The formats in which engines hand an image over: an OCI layout in a tar, and what `docker save` writes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from multiarch.descriptor import Descriptor
from multiarch.errors import MultiarchError
from multiarch.index import Index, serves
from multiarch.manifest import Manifest
from multiarch.mediatype import is_index, is_manifest
from multiarch.platform import Platform
from multiarch.record import dataclass
from multiarch.store import read
from multiarch.store.archive import Archive
from multiarch.store.selecting import select


class InvalidOutput(MultiarchError):
    """What an engine handed back is no image, or not one image."""


@dataclass(frozen=True, slots=True)
class Made:
    """The config's bytes, and for each layer, from the base up, how to open its blob, packed or not."""

    config: bytes
    layers: tuple[Callable[[], BinaryIO], ...]


def of_layout(path: Path, platform: Platform) -> Made:
    """The image in a tar of an OCI layout; of an index in it the entry for `platform`. Every blob is verified."""
    archive = Archive(path)
    root = _manifest(archive, platform)
    manifest = Manifest.from_json(read(archive, root), where=str(path), media_type=root.media_type)
    return Made(read(archive, manifest.config), tuple(partial(archive.open, layer) for layer in manifest.layers))


def _manifest(archive: Archive, platform: Platform) -> Descriptor:
    found = [root for root in archive.roots if is_manifest(root.media_type)]
    for root in archive.roots:
        if is_index(root.media_type):
            index = Index.from_json(read(archive, root), where=str(archive.path), media_type=root.media_type)
            entry = select(archive, index, platform, serves=serves, where=str(archive.path))
            found += [] if entry is None else [entry.descriptor]
    if len(found) != 1:
        raise InvalidOutput(f"holds {len(found)} images for {platform}, not one", where=str(archive.path))
    return found[0]


def of_save(path: Path) -> Made:
    """The one image in what `docker save` wrote (moby, image/tarexport): layers unpacked, or blobs of a layout."""
    try:
        with tarfile.open(path, "r:") as archive:
            listed = json.loads(_member(archive, "manifest.json", path))
            entry = listed[0]
            config = _member(archive, entry["Config"], path)
            layers = [str(name) for name in entry["Layers"]]
    except (tarfile.TarError, ValueError, LookupError, TypeError):
        raise InvalidOutput("is nothing that 'docker save' writes", where=str(path)) from None
    if len(listed) != 1:
        raise InvalidOutput(f"holds {len(listed)} images, not one", where=str(path))
    return Made(config, tuple(partial(_open, path, name) for name in layers))


def _member(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise InvalidOutput(f"has no '{name}'", where=str(path))
    with stream:
        return stream.read()


def _open(path: Path, name: str) -> BinaryIO:
    """A layer's bytes. An engine writes one that it has written already as a link, which tarfile follows."""
    archive = tarfile.open(path, "r:")  # noqa: SIM115  # lives as long as the stream
    try:
        stream = archive.extractfile(name)
    except KeyError:
        stream = None
    if stream is None:
        archive.close()
        raise InvalidOutput(f"has no '{name}'", where=str(path))
    return cast("BinaryIO", stream)
