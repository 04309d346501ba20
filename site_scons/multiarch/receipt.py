"""Receipts: what a push, a pin or a load established."""

from __future__ import annotations

from multiarch.descriptor import Descriptor
from multiarch.document import Document, InvalidDocument, readable
from multiarch.record import dataclass
from multiarch.reference import Reference


@dataclass(frozen=True, slots=True)
class Receipt:
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
