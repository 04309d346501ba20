"""What refers to a manifest, written (OCI distribution spec 1.1: "Pushing Manifests with Subject").

Artifacts first, then the list of them, where the place does not keep that by itself.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from multiarch_oci.artifact import EMPTY_CONFIG, EMPTY_CONTENT, Artifact
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import INDEX
from multiarch_oci.store import PartsMissing
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import Listed, Listing, TagList
from multiarch_oci.store.registry import Registry, Superseded
from multiarch_oci.store.repository import referrers_tag

ATTEMPTS = 12
"""How often the tag of a subject is written, in all, that others write at the same time."""
_PAUSE_S = (0.02, 0.12)
"""Between writing that tag and reading it again; by chance, so that two who met once do not meet again."""


class NotListed(MultiarchError):
    """What was attached, and is not among what its place lists."""


class Attached(msgspec.Struct, frozen=True):
    """What attaching did: what was sent of manifests and blobs, what of the list could not be removed, and remarks."""

    by: Listed
    sent: tuple[Descriptor, ...] = ()
    kept: tuple[Digest, ...] = ()
    remarks: tuple[str, ...] = ()


Attachment: TypeAlias = "tuple[Artifact, bytes]"
"""An artifact, and the content of its one layer."""


def attach(
    store: Registry | Layout,
    subject: Digest,
    attachments: Iterable[Attachment],
    *,
    before: Listing,
    gone: frozenset[Digest] = frozenset(),
) -> Attached:
    """Make artifacts be there and listed, and what is `gone` not: all of them, then the list, once.

    `before` is how the subject's referrers were listed a moment ago. Idempotent: what is there is not sent. What others
    attached stays listed, byte for byte. Returns when all of ours are in the list that is read back; another machine
    that replaces the list at the very same time may yet take them out, and the next call puts them back. Raises
    NotListed, NoList, and what the place raises.
    """
    ours: list[Descriptor] = []
    sending = _Sending(store)
    for made, content in attachments:
        ours.append(made.descriptor())
        listed = ours[-1].digest in before.digests()
        # Where a registry lists by itself, and not this one, it is put though it may be there: it may be listed then.
        if (before.by is Listed.API and not listed) or not sending.is_there(made, listed=listed):
            sending.send(made, content)
    sent = tuple(sending.sent)
    by, kept, remarks = enlist(store, subject, ours, sent=frozenset(map(_digest, sent)), before=before, gone=gone)
    return Attached(by, sent, kept, remarks)


def enlist(
    store: Registry | Layout,
    subject: Digest,
    ours: Iterable[Descriptor],
    *,
    sent: frozenset[Digest],
    before: Listing | None = None,
    gone: frozenset[Digest] = frozenset(),
) -> tuple[Listed, tuple[Digest, ...], tuple[str, ...]]:
    """Have what refers to a subject, and is there, be listed, and what is `gone` not; as `attach`.

    `sent` was put a moment ago. Returns where it is listed, what could not be taken off the list, and remarks.
    """
    descriptors = tuple(sorted(ours, key=_digest))
    if isinstance(store, Layout):
        store.relist(descriptors, gone)
        return Listed.FOLDER, (), ()
    if before is None:
        by_api = store.referrers_by_api(subject)
        before = Listing(Listed.TAG if by_api is None else Listed.API, by_api or ())
    elif not sent and before.holds(descriptors) and not gone & before.digests():
        return before.by, (), ()
    remarks: list[str] = []
    fresh = sent & set(map(_digest, descriptors))
    # It says of what it takes that it lists it, so that it need not be asked; some that list it say nothing.
    by_itself = before.by is Listed.API or (fresh and all(map(store.indexed, fresh)))
    if by_itself and _is_listed(store, subject, descriptors):
        kept = tuple(sorted(digest for digest in gone & before.digests() if not store.delete(digest)))
        return Listed.API, kept, ()
    with store.alone(referrers_tag(subject)):
        _list(store, subject, descriptors, gone, remarks.append)
    return Listed.TAG, (), tuple(remarks)


class _Sending:
    """Artifacts on their way to a place, which is asked for each of their blobs once; `sent` is what was not there."""

    def __init__(self, store: Registry | Layout) -> None:
        self._store = store
        self._held: dict[Digest, bool] = {}
        self.sent: list[Descriptor] = []

    def is_there(self, made: Artifact, *, listed: bool) -> bool:
        """Whether the manifest is there; one that is not `listed` is asked for only where its own layer is there."""
        return (listed or self._holds(made.layers[0])) and self._store.has(made.descriptor().bare())

    def send(self, made: Artifact, content: bytes) -> None:
        """Put the manifest, without asking for it, and what it names where that is not there."""
        blobs = ((EMPTY_CONFIG, EMPTY_CONTENT), (made.layers[0], content))
        for descriptor, bytes_ in blobs:
            if not self._holds(descriptor):
                self._put(descriptor, bytes_)
                self.sent.append(descriptor)
        root, manifest = made.descriptor().bare(), made.to_json()
        try:
            self._put(root, manifest)
        except PartsMissing:  # what was there a moment ago
            for descriptor, bytes_ in blobs:
                self._put(descriptor, bytes_)
            self._put(root, manifest)
        self.sent.append(root)

    def _holds(self, blob: Descriptor) -> bool:
        if blob.digest not in self._held:
            self._held[blob.digest] = self._store.has(blob)
        return self._held[blob.digest]

    def _put(self, descriptor: Descriptor, content: bytes) -> None:
        self._store.put(descriptor, lambda: io.BytesIO(content))
        self._held[descriptor.digest] = True


def _is_listed(store: Registry, subject: Digest, ours: tuple[Descriptor, ...]) -> bool:
    """Whether the registry lists what it took; it may do that late. False where it has no API after all.

    Raises NotListed where it never does.
    """

    def missing() -> tuple[Descriptor, ...] | None:
        listed = store.referrers_by_api(subject)
        if listed is None:
            return None
        there = {referrer.digest for referrer in listed}
        return tuple(descriptor for descriptor in ours if descriptor.digest not in there)

    lacking = store.until_visible(f"what refers to {subject}", missing, done=lambda lacking: not lacking)
    if lacking:
        what = f"does not list {lacking[0].digest}, which refers to {subject}, though it took it, and was waited for"
        raise NotListed(what, where=store.name, hint="run the same command again: what was sent is not sent again")
    return lacking is not None


def _list(
    store: Registry,
    subject: Digest,
    ours: tuple[Descriptor, ...],
    gone: frozenset[Digest],
    remark: Callable[[str], object],
) -> None:
    """Keep the tag that lists the referrers of a subject: written, and read again until ours are in it."""
    tag = referrers_tag(subject)
    lost: frozenset[Digest] = frozenset()
    for _ in range(ATTEMPTS):
        tagged = store.tagged(tag)
        current = TagList.empty() if tagged is None else TagList.of(tagged, subject)
        if current.holds(ours) and not current.holds_any(gone | lost):
            return
        content = current.with_entries(ours, gone | lost).to_json()
        try:
            store.replace(tag, Descriptor.of(INDEX, content), content, None if tagged is None else tagged.etag)
        except Superseded:
            pass  # somebody was faster: what he wrote is read, and ours joins it
        except PartsMissing as error:
            absent = frozenset(part.digest for part in error.missing) - {descriptor.digest for descriptor in ours}
            if not absent or absent <= lost:
                raise
            lost |= absent
            for digest in sorted(absent):
                remark(f"{digest} refers to {subject} and is not there any more: it is listed no more")
            continue
        store.pause(random.uniform(*_PAUSE_S))  # noqa: S311  # no secret
    hint = "run the same command again when the other one has ended"
    raise NotListed(
        f"is written by somebody else all the time, {ATTEMPTS} times", where=f"{store.name}:{tag}", hint=hint
    )


def _digest(descriptor: Descriptor) -> Digest:
    return descriptor.digest
