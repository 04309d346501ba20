"""Descriptors: what points to content (OCI image spec 1.1, descriptor.md)."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.platform import Platform

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
REF_NAME = "org.opencontainers.image.ref.name"
CACHE_ORIGIN = "multiarch.cache"
"""In a tarball: the repository, or the folder of a layout, that holds the layers which a shared cache had."""
CACHE_LAYERS = "multiarch.cache.layers"
"""In a tarball: the digests of these layers, with blanks between."""


class Descriptor(msgspec.Struct, frozen=True):
    """Media type, digest and size in bytes of a blob or manifest, and what is said about it from outside."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    urls: tuple[str, ...] = ()
    artifact_type: str | None = None

    @classmethod
    def of(cls, media_type: str, content: bytes) -> Descriptor:
        """The descriptor of these very bytes."""
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_json(cls, document: Document) -> Descriptor:
        """Read a descriptor object; InvalidDocument or InvalidDigest when it is none. Embedded `data` is ignored."""
        size = document.integer("size")
        if size is None or size < 0:
            raise InvalidDocument("has no 'size' of at least 0", where=document.where)
        platform = document.nested("platform")
        if platform is not None and not (platform.members.get("os") or platform.members.get("architecture")):
            platform = None  # an empty one says as much as none
        return cls(
            document.required("mediaType"),
            Digest.parse(document.required("digest")),
            size,
            None if platform is None else Platform.from_json(platform.members),
            document.pairs("annotations"),
            document.texts("urls"),
            document.text("artifactType"),
        )

    def to_json(self) -> dict[str, object]:
        """The JSON object, keys in the specification's order, what is empty left out."""
        members: dict[str, object] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            members["urls"] = list(self.urls)
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        if self.platform is not None:
            members["platform"] = self.platform.to_json()
        if self.artifact_type is not None:
            members["artifactType"] = self.artifact_type
        return members

    def annotation(self, name: str) -> str | None:
        """The value of one annotation; None when it is absent."""
        return dict(self.annotations).get(name)

    def bare(self) -> Descriptor:
        """The content alone: without platform, annotations and artifact type. Two of them are equal for equal bytes."""
        return replace(self, platform=None, annotations=(), artifact_type=None)
