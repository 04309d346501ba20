"""One platform's image as its records say it, whatever place they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import BASE_DIGEST, BASE_NAME, CACHE_LAYERS, CACHE_ORIGIN, Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import InvalidDocument
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_foreign
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference


class Image(msgspec.Struct, frozen=True):
    """A manifest with its config, checked against each other; `own` are the digests that its place holds.

    `descriptor` is the manifest's, with the platform and the annotations under which it was found. `base` is the image
    that it was built on, with digest; None over `scratch`, or when nothing says so. `shared` are the layers that lie
    where a shared cache has them, `shared_at`: a repository, or the folder of a layout.
    """

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    base: Reference | None
    own: frozenset[Digest]
    shared: frozenset[Digest] = frozenset()
    shared_at: str = ""

    @classmethod
    def of(
        cls, descriptor: Descriptor, manifest: bytes, config: bytes, held: frozenset[Digest], *, where: str = "image"
    ) -> Image:
        """Read the two documents that `descriptor` leads to; `held` is what the place holds beside them.

        Raises DigestMismatch when the bytes are others, InvalidDocument when they contradict each other or the
        descriptor: the platform, the number of layers.
        """
        _check(descriptor.digest, manifest, where)
        read = Manifest.from_json(manifest, where=where, media_type=descriptor.media_type)
        _check(read.config.digest, config, where)
        parsed = ImageConfig.from_json(config, where=where)
        check_layers(read, parsed, where=where)
        annotated = descriptor.platform
        if annotated is not None and annotated.normalized() != parsed.platform.normalized():
            raise InvalidDocument(f"is said to be {annotated}, but its config says {parsed.platform}", where=where)
        shared, shared_at = _shared(descriptor)
        return cls(descriptor, read, parsed, _base(descriptor, read), held, shared - held, shared_at)

    @property
    def platform(self) -> Platform:
        """What the image runs on, as its config says it."""
        return self.config.platform

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """All layers, from the base up."""
        return self.manifest.layers

    @property
    def size(self) -> int:
        """The bytes of its config and layers, as they are stored and sent."""
        return sum(blob.size for blob in self.manifest.blobs())

    def is_of_base(self, layer: Descriptor) -> bool:
        """Whether a layer is one of the base, as far as its place tells: neither that nor a shared cache holds it."""
        return layer.digest not in self.own and layer.digest not in self.shared

    @property
    def missing(self) -> tuple[Descriptor, ...]:
        """The layers that the place does not hold, each once: those of the base."""
        return tuple(layer for layer in dict.fromkeys(self.layers) if layer.digest not in self.own)

    @property
    def mountable(self) -> Mapping[Digest, Reference]:
        """From which repository each missing layer of the base can be taken. Foreign layers are not sent."""
        if self.base is None:
            return MappingProxyType({})
        of_base = filter(self.is_of_base, self.missing)
        return MappingProxyType({layer.digest: self.base for layer in of_base if not is_foreign(layer.media_type)})


def check_layers(manifest: Manifest, config: ImageConfig, *, where: str) -> None:
    """Raise InvalidDocument when a config does not name one diff_id for each layer (config.md, `rootfs`)."""
    layers, named = len(manifest.layers), len(config.diff_ids)
    if layers != named:
        raise InvalidDocument(f"has {layers} layers, but its config names {named} diff_ids", where=where)


def _check(expected: Digest, content: bytes, where: str) -> None:
    actual = Digest.of(content, expected.algorithm)
    if actual != expected:
        raise DigestMismatch(f"wanted {expected}, the bytes are {actual}", where=where)


def _shared(descriptor: Descriptor) -> tuple[frozenset[Digest], str]:
    """The layers that a shared cache has, and where; what only a tarball's entry says, never a registry."""
    digests = (descriptor.annotation(CACHE_LAYERS) or "").split()
    return frozenset(map(Digest.parse, digests)), descriptor.annotation(CACHE_ORIGIN) or ""


def _base(descriptor: Descriptor, manifest: Manifest) -> Reference | None:
    """The base that the descriptor's annotations name, or else the manifest's (image spec 1.1, annotations.md)."""
    for pairs in (descriptor.annotations, manifest.annotations):
        annotations = dict(pairs)
        name = annotations.get(BASE_NAME)
        if name:
            reference = Reference.parse(name)
            digest = annotations.get(BASE_DIGEST)
            return reference.with_digest(Digest.parse(digest)) if digest else reference
    return None
