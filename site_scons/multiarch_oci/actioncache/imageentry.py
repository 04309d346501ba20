"""An image as an entry of a shared cache, and a tarball again that holds none of its layers.

A tarball of an image that another machine made names the place of its layers, as every tarball does for its base: a
push mounts them from there, and what needs their bytes reads them there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from multiarch_oci.actioncache import Entry, ImageText, Key, NoEntry, Output
from multiarch_oci.descriptor import BASE_DIGEST, CACHE_LAYERS, CACHE_ORIGIN, Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.image import Image
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import MANIFEST
from multiarch_oci.platform import Platform
from multiarch_oci.store.archive import Archive, ArchiveWriter


def entry_of(key: Key, archive: Archive, names: Iterable[str]) -> Entry:
    """The entry of the image in a tarball that was just made, with all layers that are its own.

    Raises NoEntry for one whose manifest no entry can carry, and what reading the tarball raises.
    """
    image = archive.image()
    content = image.manifest.to_json()
    if image.descriptor.media_type != MANIFEST or image.shared:
        raise NoEntry("is no image that was made here", where=str(archive.path))
    with archive.open(image.manifest.config) as stream:
        config = stream.read()
    outputs = [
        Output(layer.bare(), diff_id=diff_id)
        for layer, diff_id in zip(image.layers, image.config.diff_ids, strict=True)
        if layer.digest in image.own
    ]
    outputs.append(Output(image.manifest.config.bare(), data=config))
    text = ImageText(content, tuple(sorted(image.descriptor.annotations)))
    return Entry(key, tuple(dict.fromkeys(outputs)), text, tuple(names))


def check(entry: Entry, platform: Platform, bases: Iterable[Digest]) -> Image:
    """The image that an entry says, checked as one that was just made: its platform, its base, layers and diff_ids.

    `bases` are those that the Dockerfile names. Raises NoEntry, or InvalidDocument and DigestMismatch for what
    contradicts itself.
    """
    where = entry.key.tag
    if entry.image is None:
        raise NoEntry("is not the entry of an image", where=where)
    manifest = Manifest.from_json(entry.image.manifest, where=where, media_type=MANIFEST)
    config = entry.output(manifest.config.digest)
    if config is None or config.data is None:
        raise NoEntry("lacks the image's config", where=where)
    own = {output.descriptor.digest: output.diff_id for output in entry.outputs}
    held = frozenset(own)
    described = replace(manifest.descriptor(), annotations=entry.image.annotations)
    image = Image.of(described, entry.image.manifest, config.data, held, where=where)
    _check_platform(image, platform, where)
    based = image.descriptor.annotation(BASE_DIGEST)
    if based is not None and Digest.parse(based) not in set(bases):
        raise NoEntry(f"is over another base, {based}", where=where)
    for layer, diff_id in zip(image.layers, image.config.diff_ids, strict=True):
        if layer.digest in own and own[layer.digest] != diff_id:
            raise NoEntry(f"has another diff_id for {layer.digest} than its config", where=where)
        if layer.digest not in own and based is None:
            raise NoEntry(f"lacks the layer {layer.digest}", where=where)
    return replace(image, descriptor=replace(described, platform=image.platform))


def _check_platform(image: Image, platform: Platform, where: str) -> None:
    """Raise NoEntry for the image of another platform; of Windows the base says the version."""
    actual, declared = image.platform.normalized(), platform.normalized()
    alike = (actual.os, actual.architecture, actual.variant) == (declared.os, declared.architecture, declared.variant)
    version = declared.os != "windows" or actual.os_version.startswith(".".join(declared.os_version.split(".")[:3]))
    if not alike or not version:
        raise NoEntry(f"is an image of {image.platform}, not of {platform}", where=where)


def write(image: Image, config: bytes, output: Path, origin: str) -> Descriptor:
    """Write the tarball of an image whose own layers lie at `origin`: manifest and config alone.

    `output` is replaced at once or not at all. Returns the manifest's descriptor, with platform and annotations.
    """
    layers = " ".join(dict.fromkeys(str(layer.digest) for layer in image.layers if layer.digest in image.own))
    noted = (*image.descriptor.annotations, *(((CACHE_LAYERS, layers), (CACHE_ORIGIN, origin)) if layers else ()))
    root = replace(image.descriptor, annotations=tuple(sorted(noted)))
    manifest = image.manifest
    with ArchiveWriter(output) as archive:
        for descriptor, content in ((manifest.config, config), (manifest.descriptor(), manifest.to_json())):
            archive.put(descriptor, _reader(content))
        archive.root(root)
    return root


def _reader(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)
