"""Artifacts that refer to an image or index (OCI image spec 1.1, manifest.md: "Guidelines for Artifact Usage").

The manifest of one has the empty config, one layer as a rule, and names what it is about as its `subject`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.manifest import Parts, parts_of, written
from multiarch_oci.mediatype import EMPTY, MANIFEST

EMPTY_CONTENT = b"{}"
EMPTY_CONFIG = Descriptor.of(EMPTY, EMPTY_CONTENT)
"""What stands for a config where there is nothing to configure, and its content."""


class Artifact(msgspec.Struct, frozen=True):
    """The manifest of an artifact; `content` is the exact bytes as read, or None for one that was made here.

    `artifact_type` is what the manifest says, else the media type of its config.
    """

    artifact_type: str
    subject: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    config: Descriptor = EMPTY_CONFIG
    content: bytes | None = None

    @classmethod
    def of(
        cls, artifact_type: str, subject: Descriptor, layer: Descriptor, annotations: Mapping[str, str] | None = None
    ) -> Artifact:
        """One that holds a single blob. Its type stands in the config's descriptor, too.

        Registries that list referrers without reading the type of their manifests look for it there.
        """
        config = replace(EMPTY_CONFIG, artifact_type=artifact_type)
        noted = tuple(sorted((annotations or {}).items()))
        return cls(artifact_type, subject.bare(), (layer,), noted, config)

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Artifact:
        """Read the manifest of an artifact and keep its bytes; InvalidDocument for anything that has no subject."""
        document = Document.parse(content, where=where)
        kind = document.text("mediaType") or MANIFEST
        subject = document.nested("subject")
        parts = None if subject is None else parts_of(document, kind)
        if subject is None or parts is None:
            raise InvalidDocument(f"is {kind}, which refers to no subject", where=where)
        artifact_type = document.text("artifactType") or parts.config.media_type
        return cls(artifact_type, Descriptor.from_json(subject), parts.layers, parts.annotations, parts.config, content)

    def to_json(self) -> bytes:
        """The exact bytes that were read, or the canonical form, which holds no time: equal ones are equal bytes."""
        if self.content is not None:
            return self.content
        parts = Parts(self.config, self.layers, self.annotations)
        return written(parts, artifact_type=self.artifact_type, subject=self.subject)

    def descriptor(self) -> Descriptor:
        """The descriptor as it stands in a list of referrers (distribution spec 1.1, "Listing Referrers")."""
        bare = Descriptor.of(MANIFEST, self.to_json())
        return replace(bare, artifact_type=self.artifact_type, annotations=self.annotations)
