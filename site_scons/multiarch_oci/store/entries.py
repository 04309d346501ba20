"""What is the same in every place that keeps an OCI image layout (OCI image spec 1.1, image-layout.md).

The layout's marker, and `index.json` as a list of entries of which we change only those that are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import REF_NAME, Descriptor
from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import INDEX, MANIFEST, MANIFESTS
from multiarch_oci.reference import InvalidReference, check_tag

MARKER = "oci-layout"
INDEX_FILE = "index.json"
VERSION = "1.0.0"


class InvalidLayout(MultiarchError):
    """A folder or tar file that is no OCI image layout of a version we know, or a damaged one."""


def is_tag(name: str) -> bool:
    """Whether this can be a tag."""
    try:
        check_tag(name)
    except InvalidReference:
        return False
    return True


def parse_digest(name: str) -> Digest | None:
    """The digest that this name is, or None when it is none."""
    try:
        return Digest.parse(name)
    except InvalidDigest:
        return None


def marker() -> bytes:
    """The content of `oci-layout`."""
    return canonical({"imageLayoutVersion": VERSION})


def check_marker(content: bytes, *, where: str) -> None:
    """Raise InvalidLayout or InvalidDocument unless this is the `oci-layout` of a version 1 layout."""
    version = Document.parse(content, where=f"{where}: {MARKER}").required("imageLayoutVersion")
    if not version.startswith("1."):
        raise InvalidLayout(f"is an OCI image layout of version {version}; known is {VERSION}", where=where)


class Entries(msgspec.Struct, frozen=True):
    """`index.json` as it was read: what is not changed is written back as it is, member for member."""

    members: Mapping[str, object]
    where: str

    @classmethod
    def empty(cls, *, where: str) -> Entries:
        """The index of a new layout."""
        return cls({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, where)

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Entries:
        """Read an `index.json`; InvalidDocument when it is none."""
        document = Document.parse(content, where=where)
        document.objects("manifests")
        return cls(document.members, where)

    def to_json(self) -> bytes:
        """The file's content."""
        return canonical(dict(self.members))

    def descriptors(self) -> tuple[Descriptor, ...]:
        """All entries, as they are."""
        return tuple(Descriptor.from_json(item) for item in self._documents())

    def find(self, name: str, content: Callable[[Digest], bytes | None]) -> Descriptor | None:
        """The entry of a tag or digest, without the annotation that is its tag; None when there is none.

        A digest without an entry may be a manifest that was put and never tagged, as the members of an index are:
        `content` gives its bytes (all, or more than LIMIT), and None when it is not there.
        """
        digest = parse_digest(name)
        if digest is None:
            descriptor = self.named(name) if is_tag(name) else None
        else:
            descriptor = self.with_digest(digest) or _unlisted(digest, content(digest))
        return None if descriptor is None else untagged(descriptor)

    def named(self, name: str) -> Descriptor | None:
        """The entry of a tag; None when there is none."""
        for item in self._documents():
            if _name(item) == name:
                return Descriptor.from_json(item)
        return None

    def with_digest(self, digest: Digest) -> Descriptor | None:
        """The first entry of this digest; None when there is none."""
        for item in self._documents():
            if item.members.get("digest") == str(digest):
                return Descriptor.from_json(item)
        return None

    def tagged(self, name: str, descriptor: Descriptor) -> Entries:
        """The entries with this tag on `descriptor` alone; sorted by tag, so that it is no matter who was tagged first.

        What has no tag stays before the others, in its order.
        """
        kept = tuple((key, value) for key, value in descriptor.annotations if key != REF_NAME)
        new = replace(descriptor, annotations=(*kept, (REF_NAME, name))).to_json()
        raw = [dict(item.members) for item in self._documents()]
        positions = [position for position, item in enumerate(self._documents()) if _name(item) == name]
        for position in reversed(positions[1:]):
            del raw[position]
        if positions:
            raw[positions[0]] = new
        else:
            raw.append(new)
        raw.sort(key=lambda members: _name(Document(members, self.where)) or "")
        return Entries({**self.members, "manifests": raw}, self.where)

    def removed(self, digest: Digest) -> Entries:
        """The entries without those of this digest, tagged or not."""
        raw = [dict(item.members) for item in self._documents() if item.members.get("digest") != str(digest)]
        return Entries({**self.members, "manifests": raw}, self.where)

    def listed(self, descriptor: Descriptor) -> Entries:
        """The entries and, at the end, this one without a tag."""
        raw: list[object] = [dict(item.members) for item in self._documents()]
        return Entries({**self.members, "manifests": [*raw, descriptor.to_json()]}, self.where)

    def without(self, gone: Collection[Digest]) -> Entries:
        """The entries but for those of these digests that have no tag."""
        digests = set(map(str, gone))
        raw = [
            dict(item.members)
            for item in self._documents()
            if item.members.get("digest") not in digests or _name(item) is not None
        ]
        return Entries({**self.members, "manifests": raw}, self.where)

    def _documents(self) -> tuple[Document, ...]:
        return Document(self.members, self.where).objects("manifests")


def _unlisted(digest: Digest, content: bytes | None) -> Descriptor | None:
    media_type = None if content is None else manifest_type(content)
    return None if content is None or media_type is None else Descriptor(media_type, digest, len(content))


def _name(item: Document) -> str | None:
    annotations = item.members.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def untagged(descriptor: Descriptor) -> Descriptor:
    """The descriptor without the annotation that is its tag."""
    return replace(descriptor, annotations=tuple(pair for pair in descriptor.annotations if pair[0] != REF_NAME))


def manifest_type(content: bytes) -> str | None:
    """The media type of bytes that are a manifest or an index, by what they say or how they look; None = neither."""
    try:
        document = Document.parse(content, where=INDEX_FILE)
    except InvalidDocument:
        return None
    media_type = document.members.get("mediaType")
    if media_type is not None:
        return media_type if isinstance(media_type, str) and media_type in MANIFESTS else None
    if isinstance(document.members.get("manifests"), list):
        return INDEX
    if isinstance(document.members.get("layers"), list) and isinstance(document.members.get("config"), dict):
        return MANIFEST
    return None
