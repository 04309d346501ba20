"""in-toto Statements v1: what an attestation says of which content (in-toto attestation spec, v1/statement.md).

Written so that equal contents are equal bytes, as these bytes are what is signed and what a registry keeps by digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument

STATEMENT = "https://in-toto.io/Statement/v1"
OLDER_STATEMENT = "https://in-toto.io/Statement/v0.1"
"""The `_type` of statements that are read, too: `cosign attest` writes it still. Its members are the same."""

PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
COSIGN_SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of a plain signature of cosign 3; its predicate is empty."""

UNSIGNED_TYPE = "in-toto.io/predicate-type"
"""The annotation that says what a statement says that nobody signed: BuildKit's."""

LIMIT = 64 << 20
"""Bytes of the largest statement that is read: an SBOM of a large image has tens of megabytes."""


class Subject(msgspec.Struct, frozen=True):
    """What a statement speaks of: its digests by algorithm, and a name that identifies nothing."""

    name: str
    digests: tuple[tuple[str, str], ...]

    def names(self, digest: Digest) -> bool:
        """Whether it has this very digest; no other algorithm stands for it."""
        return (digest.algorithm, digest.hex) in self.digests


class Statement(msgspec.Struct, frozen=True):
    """A statement as it was read; the predicate is what its type says, and untrusted until a signature was verified."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, object]

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Statement:
        """Read a statement of at most LIMIT bytes; InvalidDocument for anything else, and for one without a subject."""
        return cls.of(Document.parse(content, where=where, limit=LIMIT))

    @classmethod
    def of(cls, document: Document) -> Statement:
        """Take a document that was read already; InvalidDocument as `parse`."""
        where = document.where
        kind = document.required("_type")
        if kind not in (STATEMENT, OLDER_STATEMENT):
            raise InvalidDocument(f"has the type {kind[:140]!r}, not {STATEMENT!r}", where=where)
        subjects = tuple(Subject(s.text("name") or "", s.pairs("digest")) for s in document.objects("subject"))
        if not any(subject.digests for subject in subjects):
            raise InvalidDocument("names no subject by digest", where=where)
        predicate = document.nested("predicate")
        return cls(subjects, document.required("predicateType"), {} if predicate is None else predicate.members)

    def names(self, digest: Digest) -> bool:
        """Whether the content with this digest is among the subjects."""
        return any(subject.names(digest) for subject in self.subjects)


def statement(subject: Digest, name: str, predicate_type: str, predicate: Mapping[str, object]) -> bytes:
    """The bytes of a Statement v1 about one content: JSON without blanks, in UTF-8, the members of objects sorted.

    `name` is for people; consumers match by digest. InvalidDocument for a predicate that UTF-8 cannot hold.
    """
    return sorted_json(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {subject.algorithm: subject.hex}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def sorted_json(value: object) -> bytes:
    """Equal values as equal bytes, in whatever order they were made; InvalidDocument for what UTF-8 cannot hold."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = ascii(text[max(0, error.start - 40) : error.end])
        raise InvalidDocument(f"an attestation cannot hold a name that is no UTF-8: {shown}") from None
