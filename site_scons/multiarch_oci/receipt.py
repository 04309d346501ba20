"""Receipts: what a push, a pin or a load established; intents: what a push is about to."""

from __future__ import annotations

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument, readable
from multiarch_oci.reference import Reference


class Receipt(msgspec.Struct, frozen=True):
    """A reference and the descriptor found or put there. No time and no host, so an equal push writes equal bytes."""

    reference: Reference
    descriptor: Descriptor

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Receipt:
        """Read a receipt; InvalidDocument, InvalidReference or InvalidDigest when it is none."""
        document = Document.parse(content, where=where)
        reference = document.required("reference")
        descriptor = document.nested("descriptor")
        if descriptor is None:
            raise InvalidDocument("has no 'descriptor'", where=where)
        return cls(Reference.parse(reference), Descriptor.from_json(descriptor))

    def to_json(self) -> bytes:
        """The receipt as a readable file."""
        return readable({"reference": str(self.reference), "descriptor": self.descriptor.to_json()})


class Intent(msgspec.Struct, frozen=True):
    """What pushes that did not end were about to let a reference hold; any of it may be there."""

    reference: Reference
    digests: tuple[Digest, ...]

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Intent:
        """Read an intent; InvalidDocument, InvalidReference or InvalidDigest when it is none."""
        document = Document.parse(content, where=where)
        digests = tuple(Digest.parse(text) for text in document.texts("digests"))
        return cls(Reference.parse(document.required("reference")), digests)

    def to_json(self) -> bytes:
        """The intent as a readable file."""
        return readable({"reference": str(self.reference), "digests": [str(digest) for digest in self.digests]})


class Attested(msgspec.Struct, frozen=True):
    """What was promised of a subject and is there: its referrers, how the place lists them, by whom they are signed.

    `listed` is a value of `store.referrers.Listed`; `signer` is empty where nobody signed.
    """

    reference: Reference
    subject: Descriptor
    listed: str
    signer: str
    referrers: tuple[Descriptor, ...]

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Attested:
        """Read such a receipt; InvalidDocument, InvalidReference or InvalidDigest when it is none."""
        document = Document.parse(content, where=where)
        subject = document.nested("subject")
        if subject is None:
            raise InvalidDocument("has no 'subject'", where=where)
        return cls(
            Reference.parse(document.required("reference")),
            Descriptor.from_json(subject),
            document.required("listed"),
            document.text("signer") or "",
            tuple(Descriptor.from_json(referrer) for referrer in document.objects("referrers")),
        )

    def to_json(self) -> bytes:
        """The receipt as a readable file."""
        return readable(
            {
                "reference": str(self.reference),
                "subject": self.subject.to_json(),
                "listed": self.listed,
                "signer": self.signer,
                "referrers": [referrer.to_json() for referrer in self.referrers],
            }
        )
