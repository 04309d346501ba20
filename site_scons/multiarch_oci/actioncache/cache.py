"""A place of entries: one repository of a registry, or one layout in a folder. Entries are read by one request each."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

import msgspec
from msgspec.structs import replace

from multiarch_oci.actioncache import Entry, Key, NoEntry
from multiarch_oci.artifact import EMPTY_CONFIG, EMPTY_CONTENT
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.mediatype import MANIFEST
from multiarch_oci.store import Store, read


class EntryStore(Store, Protocol):
    """A place that also gives a manifest with the answer to the question for its tag."""

    def fetch(self, name: str) -> Descriptor | None:
        """As `resolve`; `open` of what it returns asks nothing more."""
        ...

    def tags(self) -> tuple[str, ...]:
        """All tags, sorted; none where the repository is not there yet."""
        ...

    def delete(self, digest: Digest, *tags: str) -> bool:
        """Let a manifest and all its tags, `tags` of them known, be gone; False: this place cannot."""
        ...


class Seal(Protocol):
    """Signs entries, and checks those of others (CACHE_KEY)."""

    def sign(self, entry: Entry) -> str:
        """The signature over all that an entry says, as text; a MultiarchError where nothing can be signed."""
        ...

    def check(self, entry: Entry) -> None:
        """Return when an entry has a right signature of a key that counts; else raise a MultiarchError."""
        ...


class Kept(msgspec.Struct, frozen=True):
    """What keeping an entry sent, in bytes of blobs, and what was there already."""

    sent: int = 0
    present: int = 0


Contents = Mapping[Digest, Callable[[], BinaryIO]]
"""Where the content of each output is to be read, anew for each try."""


class ActionCache:
    """Entries in one place; any number of threads. With a `seal` only signed ones count."""

    def __init__(self, store: EntryStore, *, seal: Seal | None = None) -> None:
        self._store = store
        self._seal = seal

    @property
    def store(self) -> EntryStore:
        """The place itself, to read outputs from."""
        return self._store

    def look(self, key: Key) -> Entry | None:
        """The entry of a key; None where there is none. NoEntry for one that does not count.

        Raises what the place raises, and InvalidDocument or DigestMismatch for a damaged one.
        """
        descriptor = self._store.fetch(key.tag)
        if descriptor is None:
            return None
        if descriptor.media_type != MANIFEST:
            raise NoEntry("is no entry", where=key.tag)
        entry = Entry.from_json(read(self._store, descriptor), key, where=key.tag)
        if self._seal is not None:
            if not entry.signature:
                raise NoEntry("is not signed, and CACHE_KEY is set", where=key.tag)
            self._seal.check(entry)
        return entry

    def keep(self, entry: Entry, contents: Contents) -> Kept:
        """Put the outputs of a step, then its entry; what is there already is not sent. Idempotent.

        Two who make the same at once write one entry, and both are right. Raises what the place and the contents raise.
        """
        if self._seal is not None:
            entry = replace(entry, signature=self._seal.sign(entry))
        content = entry.to_json()  # what is too large is known before anything is sent
        sent = present = 0
        for output in entry.outputs:
            descriptor = output.descriptor
            if self._store.has(descriptor):
                present += descriptor.size
            else:
                self._store.put(descriptor, contents[descriptor.digest])
                sent += descriptor.size
        put_manifest(self._store, entry.key.tag, content)
        return Kept(sent, present)


def put_manifest(store: Store, tag: str, content: bytes) -> None:
    """Put a manifest of ours, which has the empty config, under a tag."""
    if not store.has(EMPTY_CONFIG):
        store.put(EMPTY_CONFIG, lambda: io.BytesIO(EMPTY_CONTENT))
    store.tag(tag, Descriptor.of(MANIFEST, content), lambda: io.BytesIO(content))
