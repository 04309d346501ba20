"""Manifests: the config and layers of one platform's image (OCI image spec 1.1, manifest.md; Docker schema 2 too)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.mediatype import MANIFEST, is_manifest


class Parts(NamedTuple):
    """What the manifests of images and of artifacts have in common."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...]


def parts_of(document: Document, media_type: str) -> Parts | None:
    """The parts of a document of this media type; None for what is no manifest, InvalidDocument for a wrong one."""
    config = document.nested("config")
    if not is_manifest(media_type) or config is None or "manifests" in document.members:
        return None
    layers = tuple(Descriptor.from_json(layer) for layer in document.objects("layers"))
    return Parts(Descriptor.from_json(config), layers, document.pairs("annotations"))


def written(
    parts: Parts, media_type: str = MANIFEST, *, artifact_type: str | None = None, subject: Descriptor | None = None
) -> bytes:
    """The canonical form of a manifest of these parts, in this order of members: equal ones are equal bytes."""
    members: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type is not None:
        members["artifactType"] = artifact_type
    members["config"] = parts.config.to_json()
    members["layers"] = [layer.to_json() for layer in parts.layers]
    if subject is not None:
        members["subject"] = subject.to_json()
    if parts.annotations:
        members["annotations"] = dict(parts.annotations)
    return canonical(members)


class Manifest(msgspec.Struct, frozen=True):
    """A config descriptor, layer descriptors from the base up, annotations; `content` is the exact bytes as read."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    media_type: str = MANIFEST
    content: bytes | None = None

    @classmethod
    def from_json(cls, content: bytes, *, where: str, media_type: str | None = None) -> Manifest:
        """Read a manifest and keep its bytes; InvalidDocument for an index or anything else.

        A `mediaType` inside that contradicts the one it was served with is an error (a confusion attack).
        """
        document = Document.parse(content, where=where)
        inside = document.text("mediaType")
        if inside is not None and media_type is not None and inside != media_type:
            raise InvalidDocument(f"says it is {inside}, but was served as {media_type}", where=where)
        kind = inside or media_type or MANIFEST
        parts = parts_of(document, kind)
        if parts is None:
            raise InvalidDocument(f"is {kind}, not the manifest of an image", where=where)
        return cls(*parts, kind, content)

    def to_json(self) -> bytes:
        """The exact bytes that were read, or the canonical form of a manifest that was made here."""
        if self.content is not None:
            return self.content
        return written(Parts(self.config, self.layers, self.annotations), self.media_type)

    def descriptor(self) -> Descriptor:
        """The descriptor of `to_json()`."""
        return Descriptor.of(self.media_type, self.to_json())

    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each once, in the order in which they are sent."""
        return tuple(dict.fromkeys((*self.layers, self.config)))
