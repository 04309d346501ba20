"""Manifests: the config and layers of one platform's image (OCI image spec 1.1, manifest.md; Docker schema 2 too)."""

from __future__ import annotations

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.mediatype import MANIFEST, is_manifest


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
        config = document.nested("config")
        if not is_manifest(kind) or config is None or "manifests" in document.members:
            raise InvalidDocument(f"is {kind}, not the manifest of an image", where=where)
        return cls(
            Descriptor.from_json(config),
            tuple(Descriptor.from_json(layer) for layer in document.objects("layers")),
            document.pairs("annotations"),
            kind,
            content,
        )

    def to_json(self) -> bytes:
        """The exact bytes that were read, or the canonical form of a manifest that was made here."""
        if self.content is not None:
            return self.content
        members: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        return canonical(members)

    def descriptor(self) -> Descriptor:
        """The descriptor of `to_json()`."""
        return Descriptor.of(self.media_type, self.to_json())

    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each once, in the order in which they are sent."""
        return tuple(dict.fromkeys((*self.layers, self.config)))
