"""A store in memory: for planning, trying out and tests; the shortest true implementation of the protocol."""

from __future__ import annotations

import io
from collections.abc import Callable
from threading import Lock
from typing import BinaryIO

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, verifying
from multiarch_oci.mediatype import MANIFESTS
from multiarch_oci.reference import Reference, check_tag
from multiarch_oci.store import BlobMissing
from multiarch_oci.store.entries import parse_digest


class Memory:
    """One repository, as dictionaries; any number of threads may use it."""

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self._blobs: dict[Digest, bytes] = {}
        self._types: dict[Digest, str] = {}
        self._tags: dict[str, Digest] = {}
        self._lock = Lock()

    def resolve(self, name: str) -> Descriptor | None:
        """The descriptor of a tag or digest; None = absent."""
        with self._lock:
            digest = self._tags.get(name) or parse_digest(name)
            if digest is None or digest not in self._types:
                return None
            return Descriptor(self._types[digest], digest, len(self._blobs[digest]))

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content, verified; BlobMissing when absent."""
        with self._lock:
            content = self._blobs.get(descriptor.digest)
        if content is None:
            raise BlobMissing(f"has no {descriptor.digest}", where=self._name)
        return verifying(io.BytesIO(content), descriptor.digest, descriptor.size, where=self._name)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether this blob or manifest is there."""
        with self._lock:
            content = self._blobs.get(descriptor.digest)
            return content is not None and len(content) == descriptor.size and self._listed(descriptor)

    def _listed(self, descriptor: Descriptor) -> bool:
        return descriptor.media_type not in MANIFESTS or descriptor.digest in self._types

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """Keep the content, verified; DigestMismatch keeps nothing."""
        if self.has(descriptor):
            return
        with verifying(content(), descriptor.digest, descriptor.size, where=self._name) as stream:
            held = stream.read()
        with self._lock:
            self._blobs[descriptor.digest] = held
            if descriptor.media_type in MANIFESTS:
                self._types[descriptor.digest] = descriptor.media_type

    def fetch(self, name: str) -> Descriptor | None:
        """As `resolve`."""
        return self.resolve(name)

    def tags(self) -> tuple[str, ...]:
        """All tags, sorted."""
        with self._lock:
            return tuple(sorted(self._tags))

    def delete(self, digest: Digest, *_tags: str) -> bool:
        """Let a manifest and all its tags be gone; True."""
        with self._lock:
            self._types.pop(digest, None)
            self._blobs.pop(digest, None)
            self._tags = {name: held for name, held in self._tags.items() if held != digest}
        return True

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:  # noqa: ARG002  # the protocol's
        """False unless the blob is here already: nothing lies beside a repository in memory."""
        return self.has(descriptor)

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """Let a tag name a manifest, put first where its content is given; InvalidReference, BlobMissing."""
        check_tag(name)
        if content is not None:
            self.put(descriptor, content)
        with self._lock:
            if descriptor.digest not in self._types:
                raise BlobMissing(f"has no manifest {descriptor.digest} for tag '{name}'", where=self._name)
            self._tags[name] = descriptor.digest
