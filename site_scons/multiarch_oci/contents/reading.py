"""Images of any place, read for people: which platforms there are, and the files of their layers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.contents.listing import File, Listing, listing, made_by
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.image import Image
from multiarch_oci.index import Index
from multiarch_oci.layer import Kind
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_foreign, is_index, is_manifest
from multiarch_oci.store import Source, read
from multiarch_oci.store.selecting import ATTESTATION

MOST_IMAGES = 1000
"""Images of one index that are read."""
_DEPTH = 4


class NoImage(MultiarchError, ValueError):
    """Content that is neither an image nor an index of images."""


class LayerView(msgspec.Struct, frozen=True):
    """One layer for people: `files` are not known where `why` says so."""

    descriptor: Descriptor
    made_by: str
    from_base: bool
    files: Listing | None
    why: str = ""


class ImageView(msgspec.Struct, frozen=True):
    """One image of a place; `listing_of` reads a layer, or says in an error why it cannot."""

    name: str
    image: Image
    source: Source
    listing_of: Callable[[Descriptor], Listing]

    @property
    def platform(self) -> str:
        """What it runs on, in words."""
        return str(self.image.platform)

    def layers(self, first: int = 0) -> Iterator[LayerView]:
        """Its layers from the base up, but for the first ones, each read when it is asked for."""
        named = list(zip(self.image.layers, made_by(self.image.config), strict=True))
        for descriptor, line in named[first:]:
            from_base = self.image.is_of_base(descriptor)
            try:
                yield LayerView(descriptor, line, from_base, self.listing_of(descriptor.bare()))
            except MultiarchError as error:
                yield LayerView(descriptor, line, from_base, None, one_line(error))


class Opened(msgspec.Struct, frozen=True):
    """What a word of the command line names: images by platform, or plain files; `digest` of what it is as a whole."""

    name: str
    digest: str = ""
    kind: str = "image"
    images: tuple[ImageView, ...] = ()
    files: Mapping[str, File] = msgspec.field(default_factory=dict)


def images_of(source: Source, root: Descriptor, where: str) -> tuple[ImageView, ...]:
    """The images that a manifest or index leads to, attestations left out; raises NoImage, and what the source raises.

    Their layers are read from `source`, but for foreign ones.
    """
    reader = reading_once(lambda descriptor: read_layer(source, descriptor, where))
    views = []
    for descriptor in _manifests(source, root, where, _DEPTH):
        content = read(source, descriptor)
        manifest = Manifest.from_json(content, where=where, media_type=descriptor.media_type)
        held = frozenset(layer.digest for layer in manifest.layers)
        image = Image.of(descriptor, content, read(source, manifest.config), held, where=where)
        views.append(ImageView(where, image, source, reader))
    return tuple(views)


def read_layer(source: Source, descriptor: Descriptor, where: str) -> Listing:
    """What is in a layer; raises NoImage for a foreign one, which registries may lack, and what `listing` raises."""
    if is_foreign(descriptor.media_type):
        raise NoImage("a layer that may not be distributed, and is not read", where=where)
    return listing(source.open(descriptor), f"{where}: layer {descriptor.digest}")


def reading_once(read_it: Callable[[Descriptor], Listing]) -> Callable[[Descriptor], Listing]:
    """The same function, which reads each layer once, and raises again what it raised."""
    known: dict[Descriptor, Listing | MultiarchError] = {}

    def listing_of(descriptor: Descriptor) -> Listing:
        if descriptor not in known:
            try:
                known[descriptor] = read_it(descriptor)
            except MultiarchError as error:
                known[descriptor] = error
        answer = known[descriptor]
        if isinstance(answer, MultiarchError):
            raise answer
        return answer

    return listing_of


def _manifests(source: Source, root: Descriptor, where: str, depth: int) -> Iterator[Descriptor]:
    if is_manifest(root.media_type):
        yield root
        return
    if not is_index(root.media_type) or not depth:
        raise NoImage(f"is {root.media_type}, and no image", where=where)
    members = Index.from_json(read(source, root), where=where, media_type=root.media_type).manifests
    for member in members[:MOST_IMAGES]:
        if member.annotation(ATTESTATION) is None and (is_manifest(member.media_type) or is_index(member.media_type)):
            yield from _manifests(source, member, where, depth - 1)


def folder_files(folder: Path) -> dict[str, File]:
    """The files below a folder, by path from there, links not followed; raises OSError."""
    files: dict[str, File] = {}
    for here, folders, names in os.walk(folder, onerror=_raise):
        for name in sorted((*folders, *names)):
            path = Path(here, name)
            files[path.relative_to(folder).as_posix()] = file_at(path, path.relative_to(folder).as_posix())
    return dict(sorted(files.items()))


def file_at(path: Path, name: str) -> File:
    """A file of the disk, as a layer would have it, without its owner; raises OSError."""
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return File(name, Kind.SYMLINK.value, target=os.readlink(path))  # noqa: PTH115  # its text as it is
    if stat.S_ISDIR(status.st_mode):
        return File(name, Kind.DIRECTORY.value, mode=mode)
    if not stat.S_ISREG(status.st_mode):
        return File(name, Kind.CHARACTER.value, mode=mode)
    return File(name, Kind.FILE.value, status.st_size, mode, digest=Digest.of_file(path).hex)


def _raise(error: OSError) -> None:
    raise error
