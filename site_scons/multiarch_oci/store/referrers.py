"""What refers to a manifest, listed and written (OCI distribution spec 1.1).

A registry lists by itself what names a subject, or it does not: then a tag of the subject holds that list, which those
who attach something keep. A layout lists it in its `index.json`.
"""

from __future__ import annotations

import enum
import io
import random
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from multiarch_oci.artifact import EMPTY_CONFIG, EMPTY_CONTENT, Artifact
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import INDEX, MANIFEST, is_index, is_manifest
from multiarch_oci.store import BlobMissing, PartsMissing, read
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.registry import Registry, Superseded
from multiarch_oci.store.repository import Tagged, referrers_tag

ATTEMPTS = 12
"""How often the tag of a subject is written, in all, that others write at the same time."""
_PAUSE_S = (0.02, 0.12)
"""Between writing that tag and reading it again; by chance, so that two who met once do not meet again."""


class NotListed(MultiarchError):
    """What was attached, and is not among what its place lists."""


class NoList(MultiarchError):
    """A tag that should list what refers to a subject, and holds something else."""


class Listed(enum.Enum):
    """Where a place lists what refers to a subject."""

    API = "api"
    TAG = "tag"
    FOLDER = "folder"


class Listing(msgspec.Struct, frozen=True):
    """What refers to a subject, as its place lists it."""

    by: Listed
    referrers: tuple[Descriptor, ...]

    def digests(self) -> frozenset[Digest]:
        """What they are, whatever the list says of them."""
        return frozenset(referrer.digest for referrer in self.referrers)


class Attached(msgspec.Struct, frozen=True):
    """What attaching did: what was sent of manifests and blobs, what of the list could not be removed, and remarks."""

    by: Listed
    sent: tuple[Descriptor, ...] = ()
    kept: tuple[Digest, ...] = ()
    remarks: tuple[str, ...] = ()


Attachment: TypeAlias = "tuple[Artifact, bytes]"
"""An artifact, and the content of its one layer."""


def listing(
    store: Registry | Layout, subject: Digest, *, by: Listed | None = None, limit: float | None = None
) -> Listing:
    """What refers to a subject now. `by` says how it is listed there, where that is known: that is one question.

    Else the API is asked first. Raises NoList for a tag that holds no index, InvalidDocument for one that cannot be
    read, and what the place raises.
    """
    if isinstance(store, Layout):
        return Listing(Listed.FOLDER, tuple(_referring(store, subject)))
    if by is not Listed.TAG:
        by_api = store.referrers_by_api(subject, limit=limit)
        if by_api is not None:
            return Listing(Listed.API, by_api)
    tagged = store.tagged(referrers_tag(subject), limit=limit)
    return Listing(Listed.TAG, () if tagged is None else _List.of(tagged, subject).descriptors())


def artifact(store: Registry | Layout, referrer: Descriptor, subject: Digest) -> Artifact:
    """The manifest of a referrer, read; what a list says of it is not taken for true.

    Raises BlobMissing, InvalidDocument where it does not refer to that subject, and what the place raises.
    """
    read_out = Artifact.from_json(read(store, referrer.bare()), where=str(referrer.digest))
    if read_out.subject.digest != subject:
        raise InvalidDocument(f"refers to {read_out.subject.digest}, not to {subject}", where=str(referrer.digest))
    return read_out


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
    sent: list[Descriptor] = []
    for made, content in attachments:
        ours.append(made.descriptor())
        # Where it is not listed it is put again though it may be there: the registry may list it then.
        sent += _send(store, made, content, new=ours[-1].digest not in before.digests())
    descriptors = tuple(sorted(ours, key=_digest))
    if isinstance(store, Layout):
        store.relist(descriptors, gone)
        return Attached(Listed.FOLDER, tuple(sent))
    remarks: list[str] = []
    fresh = set(map(_digest, sent))
    # It says of what it takes that it lists it, so that it need not be asked; some that list it say nothing.
    by_itself = before.by is Listed.API or (fresh and all(map(store.indexed, fresh & set(map(_digest, descriptors)))))
    if by_itself and _is_listed(store, subject, descriptors):
        kept = tuple(sorted(digest for digest in gone & before.digests() if not store.delete(digest)))
        return Attached(Listed.API, tuple(sent), kept)
    with store.alone(referrers_tag(subject)):
        _list(store, subject, descriptors, gone, remarks.append)
    return Attached(Listed.TAG, tuple(sent), remarks=tuple(remarks))


def _send(store: Registry | Layout, made: Artifact, content: bytes, *, new: bool) -> tuple[Descriptor, ...]:
    """Put an artifact and what it names; what of that was not there. A `new` manifest is put without asking for it."""
    manifest = made.to_json()
    root = Descriptor.of(MANIFEST, manifest)
    if not new and store.has(root):
        return ()
    blobs = ((EMPTY_CONFIG, EMPTY_CONTENT), (made.layers[0], content))
    sent = [(descriptor, bytes_) for descriptor, bytes_ in blobs if not store.has(descriptor)]
    for descriptor, bytes_ in sent:
        _put(store, descriptor, bytes_)
    try:
        _put(store, root, manifest)
    except PartsMissing:  # what was there a moment ago
        for descriptor, bytes_ in blobs:
            _put(store, descriptor, bytes_)
        _put(store, root, manifest)
    return (*(descriptor for descriptor, _ in sent), root)


def _put(store: Registry | Layout, descriptor: Descriptor, content: bytes) -> None:
    store.put(descriptor, lambda: io.BytesIO(content))


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
        current = _List.empty() if tagged is None else _List.of(tagged, subject)
        following = current.with_entries(ours, gone | lost)
        content = following.to_json()
        if tagged is not None and content == tagged.content:
            return
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


class _List(msgspec.Struct, frozen=True):
    """The index that a subject's tag holds; members and entries that are not ours are kept byte for byte."""

    members: Mapping[str, msgspec.Raw]
    entries: tuple[bytes, ...]
    where: str

    @classmethod
    def empty(cls) -> _List:
        members = {"schemaVersion": msgspec.Raw(b"2"), "mediaType": msgspec.Raw(b'"' + INDEX.encode() + b'"')}
        return cls(members, (), "")

    @classmethod
    def of(cls, tagged: Tagged, subject: Digest) -> _List:
        """Read what a tag names. Raises NoList for what is no index, InvalidDocument for what is no JSON."""
        where = f"what refers to {subject}"
        if not is_index(tagged.descriptor.media_type):
            what = f"the tag {referrers_tag(subject)} should list it, but names {tagged.descriptor.media_type}"
            raise NoList(what, where=where, hint="somebody put something else there; remove that tag")
        Document.parse(tagged.content, where=where).objects("manifests")
        try:
            members = msgspec.json.decode(tagged.content, type=dict[str, msgspec.Raw])
            raw = msgspec.json.decode(members.pop("manifests", msgspec.Raw(b"[]")), type=list[msgspec.Raw] | None)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidDocument(f"is no index: {error}", where=where) from None
        return cls(members, tuple(map(bytes, raw or ())), where)

    def descriptors(self) -> tuple[Descriptor, ...]:
        """The entries, as far as they are descriptors of manifests."""
        known = (_descriptor(entry, self.where) for entry in self.entries)
        return tuple(descriptor for descriptor in known if descriptor is not None)

    def with_entries(self, ours: tuple[Descriptor, ...], gone: frozenset[Digest]) -> _List:
        """The list with ours, each once, without what is `gone`, sorted by digest."""
        replaced = {str(digest) for digest in gone} | {str(descriptor.digest) for descriptor in ours}
        kept = [(_named(entry), entry) for entry in self.entries]
        kept = [(digest, entry) for digest, entry in kept if digest not in replaced]
        kept += [(str(descriptor.digest), canonical(descriptor.to_json())) for descriptor in ours]
        return _List(self.members, tuple(entry for _, entry in sorted(kept, key=lambda pair: pair[0])), self.where)

    def to_json(self) -> bytes:
        """The bytes of the index: what was there as it was, the entries last."""
        members = [msgspec.json.encode(name) + b":" + bytes(value) for name, value in self.members.items()]
        return b"{" + b",".join([*members, b'"manifests":[' + b",".join(self.entries) + b"]"]) + b"}"


def _named(entry: bytes) -> str:
    """The digest that an entry names, whatever else it says."""
    digest = Document.parse(entry, where="").members.get("digest")
    return digest if isinstance(digest, str) else ""


def _descriptor(entry: bytes, where: str) -> Descriptor | None:
    try:
        descriptor = Descriptor.from_json(Document.parse(entry, where=where))
    except MultiarchError:
        return None
    return descriptor if is_manifest(descriptor.media_type) or is_index(descriptor.media_type) else None


def _referring(layout: Layout, subject: Digest) -> Iterable[Descriptor]:
    """The manifests that a layout lists and that name this subject; what cannot be read refers to nothing."""
    known: set[Digest] = set()
    for entry in layout.listed():
        if entry.digest in known or not is_manifest(entry.media_type):
            continue
        known.add(entry.digest)
        try:
            made = artifact(layout, entry, subject)
        except (BlobMissing, MultiarchError, OSError):
            continue
        yield msgspec.structs.replace(made.descriptor(), digest=entry.digest, size=entry.size)


def _digest(descriptor: Descriptor) -> Digest:
    return descriptor.digest
