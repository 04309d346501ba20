"""The formats in which engines hand an image over: an OCI layout in a tar, and what `docker save` writes."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import LIMIT
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index, serves
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_index, is_manifest
from multiarch_oci.platform import Platform
from multiarch_oci.store import read
from multiarch_oci.store.archive import Archive
from multiarch_oci.store.selecting import select
from multiarch_oci.store.tarmembers import Member, members, window
from multiarch_oci.tarfields import InvalidArchive


class InvalidOutput(MultiarchError):
    """What an engine handed back is no image, or not one image."""


class Made(msgspec.Struct, frozen=True):
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
    manifests = [root for root in archive.roots if is_manifest(root.media_type)]
    for root in archive.roots:
        if is_index(root.media_type):
            index = Index.from_json(read(archive, root), where=str(archive.path), media_type=root.media_type)
            entry = select(archive, index, platform, serves=serves, where=str(archive.path))
            manifests += [] if entry is None else [entry.descriptor]
    if len(manifests) != 1:
        raise InvalidOutput(f"holds {len(manifests)} images for {platform}, not one", where=str(archive.path))
    return manifests[0]


def of_save(path: Path) -> Made:
    """The one image in what `docker save` wrote (moby, image/tarexport): layers unpacked, or blobs of a layout.

    An engine writes a layer that it has written already as a link to that one. Raises InvalidOutput.
    """
    try:
        by_name = members(path, saved=True)
    except InvalidArchive as error:
        raise InvalidOutput(f"is nothing that 'docker save' writes: it {error.what}", where=str(path)) from None
    try:
        listed = json.loads(_content(path, by_name, "manifest.json"))
        entry = listed[0]
        config = _content(path, by_name, str(entry["Config"]))
        layers = [_member(path, by_name, str(name)) for name in entry["Layers"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise InvalidOutput("is nothing that 'docker save' writes", where=str(path)) from None
    if len(listed) != 1:
        raise InvalidOutput(f"holds {len(listed)} images, not one", where=str(path))
    return Made(config, tuple(partial(window, path, layer) for layer in layers))


def _member(path: Path, by_name: Mapping[str, Member], name: str) -> Member:
    member = by_name.get(posixpath.normpath(name))
    if member is None:
        raise InvalidOutput(f"has no '{name}'", where=str(path))
    return member


def _content(path: Path, by_name: Mapping[str, Member], name: str) -> bytes:
    with window(path, _member(path, by_name, name)) as stream:
        return stream.read(LIMIT + 1)
