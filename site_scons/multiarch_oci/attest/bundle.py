"""Sigstore bundles, version 0.3, with a DSSE envelope, in JSON (sigstore/cosign, specs/BUNDLE_SPEC.md).

Whether a signature is right is not asked here but by `verifying`.
"""

from __future__ import annotations

import base64

import msgspec

from multiarch_oci.attest.dsse import Envelope, InvalidEnvelope, only, strict
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.mediatype import BUNDLE

_MATERIAL = ("publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData")
_CERTIFICATES = ("certificate", "x509CertificateChain")


class Bundle(msgspec.Struct, frozen=True):
    """An envelope, and what says by whom: the hint of a key, or a certificate, which are two different things."""

    envelope: Envelope
    hint: str | None  # base64 of the sha256 of the key's SubjectPublicKeyInfo in DER; None for a certificate

    @classmethod
    def from_json(cls, content: bytes, *, where: str = "bundle") -> Bundle:
        """Read a bundle; raises InvalidEnvelope for anything that is none, of another version too."""
        try:
            return cls._of(strict(content, where=where))
        except InvalidDocument as error:
            raise InvalidEnvelope(error.what, where=error.where) from None

    @classmethod
    def _of(cls, document: Document) -> Bundle:
        only(document, ("mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"))
        if document.text("mediaType") != BUNDLE:
            raise InvalidEnvelope(f"is not of type {BUNDLE}", where=document.where)
        envelope, material = document.nested("dsseEnvelope"), document.nested("verificationMaterial")
        if envelope is None or "messageSignature" in document.members:
            raise InvalidEnvelope("has no DSSE envelope", where=document.where)
        if material is None:
            raise InvalidEnvelope("does not say by whom it is", where=document.where)
        only(material, _MATERIAL)
        key = material.nested("publicKey")
        if (key is None) != any(name in material.members for name in _CERTIFICATES):
            raise InvalidEnvelope("names neither one key nor one certificate", where=document.where)
        if key is not None:
            only(key, ("hint",))
        return cls(Envelope.of(envelope), None if key is None else key.text("hint") or "")

    def to_json(self) -> bytes:
        """The exact bytes: equal bundles are equal bytes. For bundles of keys only."""
        members = {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}},
            "dsseEnvelope": self.envelope.to_members(),
        }
        return canonical(members)


def hint_of(fingerprint: str) -> str:
    """The hint of a key, from the hexadecimal sha256 of its SubjectPublicKeyInfo."""
    return base64.b64encode(bytes.fromhex(fingerprint)).decode()
