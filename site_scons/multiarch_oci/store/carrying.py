"""What refers to an image of another repository, taken along when the image is copied from there.

Nothing of it is judged: it is copied byte for byte, whoever made it, and what refers to it in its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.reference import Reference
from multiarch_oci.store import Copied, copy
from multiarch_oci.store.attaching import enlist
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import artifact, listing
from multiarch_oci.store.registry import Registry

_DEPTH = 4
"""How far what refers to what refers to an image is followed: a signature of an SBOM of it is at two."""
_MOST = 1000
"""How many referrers of one manifest are copied."""


def copy_referrers(source: Registry | Layout, store: Registry | Layout, subject: Digest, depth: int = _DEPTH) -> Copied:
    """Make what refers to a manifest in one place be there and listed in another, which holds that manifest.

    Idempotent. What the other place lists already stays listed. Raises what the places raise.
    """
    before, done = listing(source, subject), Copied()
    entries = []
    for referrer in dict.fromkeys(entry.bare() for entry in before.referrers[:_MOST]):
        done += copy(source, store, referrer)
        entries.append(artifact(source, referrer, subject).descriptor())
        if depth > 1:
            done += copy_referrers(source, store, referrer.digest, depth - 1)
    if entries:
        enlist(store, subject, entries, sent=frozenset(descriptor.digest for descriptor in done.sent))
    return done


class Carrying:
    """A Store as another one, but that takes along what refers to a manifest, before a tag names that."""

    def __init__(self, source: Registry | Layout, store: Registry | Layout) -> None:
        self._source = source
        self._store = store
        self._taken: set[Digest] = set()

    def take_along(self, subject: Digest) -> None:
        """Copy what refers to a manifest that is there; only the first call does."""
        if subject not in self._taken:
            copy_referrers(self._source, self._store, subject)
            self._taken.add(subject)

    def resolve(self, name: str) -> Descriptor | None:
        """As the protocol says."""
        return self._store.resolve(name)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """As the protocol says."""
        return self._store.open(descriptor)

    def has(self, descriptor: Descriptor) -> bool:
        """As the protocol says."""
        return self._store.has(descriptor)

    def put(self, descriptor: Descriptor, content: Callable[[], BinaryIO]) -> None:
        """As the protocol says."""
        self._store.put(descriptor, content)

    def mount(self, descriptor: Descriptor, origin: Reference, *, unasked: bool = False) -> bool:
        """As the protocol says."""
        return self._store.mount(descriptor, origin, unasked=unasked)

    def tag(self, name: str, descriptor: Descriptor, content: Callable[[], BinaryIO] | None = None) -> None:
        """As the protocol says; what refers to the manifest is there and listed by then."""
        if content is not None:
            self._store.put(descriptor, content)
        self.take_along(descriptor.digest)
        self._store.tag(name, descriptor, content)
