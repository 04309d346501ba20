"""What somebody attached to a subject, read: bundles, statements and SBOMs, whatever a list says of them.

Nothing of it is believed here. Sizes and numbers are bounded, as anybody who may write to a repository can attach.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from multiarch_oci.artifact import Artifact
from multiarch_oci.attest.statement import CYCLONEDX, LIMIT, OLDER_STATEMENT, PROVENANCE, SPDX, STATEMENT, Statement
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import BUNDLE, CYCLONEDX_JSON, IN_TOTO, SPDX_JSON
from multiarch_oci.store import BlobMissing, ManifestTooLarge, Store
from multiarch_oci.store.referrers import artifact

KINDS = (BUNDLE, IN_TOTO, SPDX_JSON, CYCLONEDX_JSON)
MOST = 500
"""How many referrers of one subject are read."""

PLAIN = {SPDX: SPDX_JSON, CYCLONEDX: CYCLONEDX_JSON}
"""The media types of documents that stand beside their signed statements, by the predicate type of those."""
PREDICATES = {media_type: predicate_type for predicate_type, media_type in PLAIN.items()}
"""The predicate types of such documents, by their media types."""


class Stored(msgspec.Struct, frozen=True):
    """One referrer: its descriptor, its manifest, and the content of its one layer; a fault in the place of both."""

    descriptor: Descriptor
    artifact: Artifact | None
    content: bytes = b""
    fault: MultiarchError | None = None

    @property
    def kind(self) -> str:
        """What the manifest says that it is; empty where that could not be read."""
        return "" if self.artifact is None else self.artifact.artifact_type


def stored(
    store: Store, subject: Digest, referrers: Iterable[Descriptor], *, kinds: Collection[str] = KINDS
) -> Iterator[Stored]:
    """Read what refers to a subject, the first MOST; the content of what is of these kinds, and can be read whole."""
    for number, referrer in enumerate(dict.fromkeys(descriptor.bare() for descriptor in referrers)):
        if number >= MOST:
            return
        try:
            made = artifact(store, referrer, subject)
            yield Stored(referrer, made, _content(store, made, kinds))
        except (BlobMissing, DigestMismatch, InvalidDocument, ManifestTooLarge) as error:
            yield Stored(referrer, None, fault=error)


def _content(store: Store, made: Artifact, kinds: Collection[str]) -> bytes:
    if made.artifact_type not in kinds or len(made.layers) != 1 or made.layers[0].size > LIMIT:
        return b""
    with store.open(made.layers[0].bare()) as stream:
        return stream.read()


def predicate_of(stored_one: Stored) -> tuple[str, Mapping[str, object]] | None:
    """What a referrer that nobody signed says, by predicate type; None for what cannot be read, and for bundles."""
    if stored_one.kind not in (IN_TOTO, *PREDICATES):
        return None
    try:
        document = Document.parse(stored_one.content, where=str(stored_one.descriptor.digest), limit=LIMIT)
        if stored_one.kind != IN_TOTO:
            return PREDICATES[stored_one.kind], document.members
        read = Statement.of(document)
    except MultiarchError:
        return None
    return read.predicate_type, read.predicate


def document_type(document: Document) -> str:
    """What a file says, as a predicate type; empty where it is a whole statement. InvalidDocument for anything else."""
    if document.members.get("_type") in (STATEMENT, OLDER_STATEMENT):
        return ""
    if isinstance(document.members.get("spdxVersion"), str):
        return SPDX
    if document.members.get("bomFormat") == "CycloneDX":
        return CYCLONEDX
    raise InvalidDocument("is neither an SBOM (SPDX, CycloneDX) nor an in-toto statement", where=document.where)


def maker(predicate_type: str, predicate: Mapping[str, object]) -> str | None:
    """What made a predicate, as it says itself: the builder, or the tool without its version; None where it does not.

    Of each type there is one by one maker: a newer one takes the place of an older.
    """
    try:
        document = Document.of(predicate, where=predicate_type)
        if predicate_type == PROVENANCE:
            details = document.nested("runDetails")
            builder = None if details is None else details.nested("builder")
            return None if builder is None else builder.text("id")
        if predicate_type == SPDX:
            created = document.nested("creationInfo")
            tools = [] if created is None else [c for c in created.texts("creators") if c.startswith("Tool: ")]
            return tools[0] if tools else None
        metadata = document.nested("metadata") if predicate_type == CYCLONEDX else None
        tools_of = None if metadata is None else metadata.nested("tools")
        components = () if tools_of is None else tools_of.objects("components")
        return components[0].text("name") if components else None
    except MultiarchError:
        return None
