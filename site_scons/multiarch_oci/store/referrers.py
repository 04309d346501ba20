"""What refers to a manifest, as it is listed (OCI distribution spec 1.1: "Listing Referrers").

A registry lists by itself what names a subject, or it does not: then a tag of the subject holds that list, which those
who attach something keep. A layout lists it in its `index.json`.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.artifact import Artifact
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import INDEX, is_index, is_manifest
from multiarch_oci.store import Source, read
from multiarch_oci.store.repository import Repository, Tagged, referrers_tag

if TYPE_CHECKING:
    from multiarch_oci.store.layout import Layout


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

    def holds(self, ours: Collection[Descriptor]) -> bool:
        """Whether each of these is listed: under a tag as it is, elsewhere by its digest, whatever is said of it."""
        if self.by is Listed.TAG:
            return set(ours) <= set(map(_in_order, self.referrers))
        return {descriptor.digest for descriptor in ours} <= self.digests()


def listing(
    store: Repository | Layout, subject: Digest, *, by: Listed | None = None, limit: float | None = None
) -> Listing:
    """What refers to a subject now. `by` says how it is listed there, where that is known: that is one question.

    Else the API is asked first. Raises NoList for a tag that holds no index, InvalidDocument for one that cannot be
    read, and what the place raises.
    """
    if not isinstance(store, Repository):
        return Listing(Listed.FOLDER, tuple(_referring(store, subject)))
    if by is not Listed.TAG:
        by_api = store.referrers_by_api(subject, limit=limit)
        if by_api is not None:
            return Listing(Listed.API, by_api)
    tagged = store.tagged(referrers_tag(subject), limit=limit)
    return Listing(Listed.TAG, () if tagged is None else TagList.of(tagged, subject).descriptors())


def artifact(store: Source, referrer: Descriptor, subject: Digest) -> Artifact:
    """The manifest of a referrer, read; what a list says of it is not taken for true.

    Raises BlobMissing, InvalidDocument where it does not refer to that subject, and what the place raises.
    """
    read_out = Artifact.from_json(read(store, referrer.bare()), where=str(referrer.digest))
    if read_out.subject.digest != subject:
        raise InvalidDocument(f"refers to {read_out.subject.digest}, not to {subject}", where=str(referrer.digest))
    return read_out


class TagList(msgspec.Struct, frozen=True):
    """The index that a subject's tag holds; members and entries that are not ours are kept byte for byte."""

    members: Mapping[str, msgspec.Raw]
    entries: tuple[bytes, ...]
    where: str

    @classmethod
    def empty(cls) -> TagList:
        """One that nobody wrote yet."""
        members = {"schemaVersion": msgspec.Raw(b"2"), "mediaType": msgspec.Raw(b'"' + INDEX.encode() + b'"')}
        return cls(members, (), "")

    @classmethod
    def of(cls, tagged: Tagged, subject: Digest) -> TagList:
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

    def holds(self, ours: tuple[Descriptor, ...]) -> bool:
        """Whether each of these is in the list as it is, whatever its order and whoever wrote it."""
        return Listing(Listed.TAG, self.descriptors()).holds(ours)

    def holds_any(self, gone: frozenset[Digest]) -> bool:
        """Whether one of these is in the list."""
        return any(_named(entry) in set(map(str, gone)) for entry in self.entries)

    def with_entries(self, ours: tuple[Descriptor, ...], gone: frozenset[Digest]) -> TagList:
        """The list with ours, each once, without what is `gone`, sorted by digest."""
        replaced = {str(digest) for digest in gone} | {str(descriptor.digest) for descriptor in ours}
        kept = [(_named(entry), entry) for entry in self.entries]
        kept = [(digest, entry) for digest, entry in kept if digest not in replaced]
        kept += [(str(descriptor.digest), canonical(descriptor.to_json())) for descriptor in ours]
        return TagList(self.members, tuple(entry for _, entry in sorted(kept, key=lambda pair: pair[0])), self.where)

    def to_json(self) -> bytes:
        """The bytes of the index: what was there as it was, the entries last."""
        members = [msgspec.json.encode(name) + b":" + bytes(value) for name, value in self.members.items()]
        return b"{" + b",".join([*members, b'"manifests":[' + b",".join(self.entries) + b"]"]) + b"}"


def _in_order(descriptor: Descriptor) -> Descriptor:
    """The descriptor with its annotations in the order in which ours are."""
    return msgspec.structs.replace(descriptor, annotations=tuple(sorted(descriptor.annotations)))


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
        except (MultiarchError, OSError):
            continue
        yield msgspec.structs.replace(made.descriptor(), digest=entry.digest, size=entry.size)
