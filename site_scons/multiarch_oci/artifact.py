"""Artifacts that refer to an image or index (OCI image spec 1.1, manifest.md: "Guidelines for Artifact Usage").

The manifest of one has the empty config, one layer as a rule, and names what it is about as its `subject`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.mediatype import EMPTY, MANIFEST, is_manifest

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
        config, subject = document.nested("config"), document.nested("subject")
        if not is_manifest(kind) or config is None or subject is None or "manifests" in document.members:
            raise InvalidDocument(f"is {kind}, which refers to no subject", where=where)
        described = Descriptor.from_json(config)
        return cls(
            document.text("artifactType") or described.media_type,
            Descriptor.from_json(subject),
            tuple(Descriptor.from_json(layer) for layer in document.objects("layers")),
            document.pairs("annotations"),
            described,
            content,
        )

    def to_json(self) -> bytes:
        """The exact bytes that were read, or the canonical form, which holds no time: equal ones are equal bytes."""
        if self.content is not None:
            return self.content
        members: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.artifact_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
            "subject": self.subject.to_json(),
        }
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        return canonical(members)

    def descriptor(self) -> Descriptor:
        """The descriptor as it stands in a list of referrers (distribution spec 1.1, "Listing Referrers")."""
        bare = Descriptor.of(MANIFEST, self.to_json())
        return replace(bare, artifact_type=self.artifact_type, annotations=self.annotations)
