"""Signed envelopes (DSSE 1.0, envelope.md and protocol.md), and JSON from others, read without leniency.

What two readers could read in two ways is refused: members that are there twice or that nobody knows, base64 that is
not the one spelling of its bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection

import msgspec

from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.errors import MultiarchError, quoted

LONGEST = 96 << 20
"""Bytes of the largest envelope or bundle that is read: a statement of 64 MiB is in it, in base64."""

_DEEPEST = 64
"""Levels of the deepest JSON that is read."""


class InvalidEnvelope(MultiarchError, ValueError):
    """Bytes that are no envelope, bundle or statement, or one that could be read in two ways."""


class Envelope(msgspec.Struct, frozen=True):
    """A payload and its one signature, over `pae` of the two; whose it is says who verifies it."""

    payload_type: str
    payload: bytes
    signature: bytes

    @classmethod
    def of(cls, document: Document) -> Envelope:
        """Read the JSON form; raises InvalidEnvelope, as for no signature or several."""
        only(document, ("payload", "payloadType", "signatures"))
        signatures = document.objects("signatures")
        if len(signatures) != 1:
            raise InvalidEnvelope(f"has {len(signatures)} signatures, not one", where=document.where)
        only(signatures[0], ("sig", "keyid"))
        if signatures[0].text("keyid"):
            raise InvalidEnvelope("names its key itself ('keyid')", where=document.where)
        return cls(document.required("payloadType"), encoded(document, "payload"), encoded(signatures[0], "sig"))

    def to_members(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"sig": base64.b64encode(self.signature).decode()}],
        }

    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload, each with its length before it (DSSE 1.0, protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def strict(content: bytes, *, where: str, limit: int = LONGEST) -> Document:
    """One JSON object of at most `limit` bytes that is read in one way only; raises InvalidEnvelope for all else."""
    if len(content) > limit:
        raise InvalidEnvelope(f"is {len(content)} bytes, the limit is {limit}", where=where)

    def unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a member is there twice")
        return members

    def refused(constant: str) -> object:
        raise ValueError(f"{constant} is no JSON")

    try:
        value: object = json.loads(content.decode("utf-8"), object_pairs_hook=unrepeated, parse_constant=refused)
        if _depth(value) > _DEEPEST:
            raise InvalidEnvelope(f"is deeper than {_DEEPEST} levels", where=where)
        return Document.of(value, where=where)
    except InvalidDocument as error:
        raise InvalidEnvelope(error.what, where=where) from None
    except (ValueError, RecursionError) as error:
        raise InvalidEnvelope(f"is not JSON: {_reason(error)}", where=where) from None


def _reason(error: Exception) -> str:
    """Why bytes are no JSON, without the bytes."""
    return "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else quoted(str(error), 80)[1:-1]


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        inner: list[object] = []
        for item in level:
            inner += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        level = inner
    return deepest


def only(document: Document, known: Collection[str]) -> None:
    """Raise InvalidEnvelope for a member that is not one of these."""
    for name in document.members:
        if name not in known:
            raise InvalidEnvelope(f"holds {quoted(name, 40)}, which is not known", where=document.where)


def encoded(document: Document, key: str) -> bytes:
    """The bytes of a member in base64 (RFC 4648, section 4, with its padding); raises InvalidEnvelope."""
    text = document.text(key)
    if not text:
        raise InvalidEnvelope(f"has no '{key}'", where=document.where)
    return decoded(text, where=f"{document.where}: {key}")


def decoded(text: str, *, where: str) -> bytes:
    """The bytes of a text in base64, which must be the one spelling of them; raises InvalidEnvelope."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        content = None
    if content is None or base64.b64encode(content).decode() != text:
        raise InvalidEnvelope("is not base64", where=where)
    return content
