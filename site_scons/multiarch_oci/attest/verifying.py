"""Whether a bundle is a signature by one that is wanted, of one subject: what it says is handed out only then.

Others than that are asked by `Verifier` alone: a key, or an identity (`identity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from multiarch_oci.attest.bundle import Bundle, hint_of
from multiarch_oci.attest.dsse import InvalidEnvelope, strict
from multiarch_oci.attest.keys import PublicKey
from multiarch_oci.attest.statement import LIMIT, Statement
from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.mediatype import IN_TOTO

CERTIFICATE = "dev.sigstore.cosign/certificate"
"""The annotation with who signed, where cosign before 3 signed by an identity (cosign, specs/SIGNATURE_SPEC.md)."""


class NotVerified(MultiarchError):
    """A signature that is not by whom it has to be, not of what it has to be, or not right."""


class AboutAnother(NotVerified):
    """A right signature by whom it has to be, of something else."""


class Verified(msgspec.Struct, frozen=True):
    """What somebody signed: a statement about a subject."""

    signer: str  # the key's or certificate's identity, as `Verifier.identity` says it
    payload: bytes  # the statement's exact bytes
    statement: Statement

    @property
    def predicate_type(self) -> str:
        """What kind of statement it is."""
        return self.statement.predicate_type


class Verifier(Protocol):
    """One who is believed: a key or an identity."""

    @property
    def identity(self) -> str:
        """Who that is, in words that are always the same: what is tracked of a signature."""

    def verify(self, bundle: bytes, *, subject: Digest, where: str = "bundle") -> Verified:
        """What a bundle says about this subject; raises NotVerified or InvalidEnvelope."""

    def refusal(self, payload: bytes, signature: bytes, annotations: Mapping[str, str]) -> str | None:
        """Why this is not its signature of these very bytes, as cosign before 3 kept it; None when it is.

        `annotations` stood beside the signature: its certificate, where an identity signed.
        """


class KeyVerifier(msgspec.Struct, frozen=True):
    """Verifier by a public key."""

    key: PublicKey

    @property
    def identity(self) -> str:
        """The key's fingerprint."""
        return str(self.key)

    def verify(self, bundle: bytes, *, subject: Digest, where: str = "bundle") -> Verified:
        """As Verifier says."""
        read = Bundle.from_json(bundle, where=where)
        if read.hint is None:
            raise NotVerified(f"is signed by an identity, not by {self.identity}", where=where)
        if read.hint not in ("", hint_of(self.key.fingerprint)):
            raise NotVerified(f"is signed by another key than {self.identity}", where=where)
        if not self.key.verifies(read.envelope.signature, read.envelope.signed()):
            raise NotVerified(f"its signature is not by {self.identity}", where=where)
        return about(read.envelope.payload_type, read.envelope.payload, subject, signer=self.identity, where=where)

    def refusal(self, payload: bytes, signature: bytes, annotations: Mapping[str, str]) -> str | None:
        """As Verifier says."""
        if self.key.verifies(signature, payload):
            return None
        if CERTIFICATE in annotations:
            return f"is signed by an identity, not by {self.identity}"
        return f"its signature is not by {self.identity}"


def about(payload_type: str, payload: bytes, subject: Digest, *, signer: str, where: str) -> Verified:
    """A payload whose signature is right, when it is a statement about this subject; else NotVerified, AboutAnother."""
    if payload_type != IN_TOTO:
        raise NotVerified(f"is of type {quoted(payload_type, 80)}, not {IN_TOTO}", where=where)
    try:
        statement = Statement.of(strict(payload, where=where, limit=LIMIT))
    except InvalidDocument as error:
        raise InvalidEnvelope(error.what, where=where) from None
    if not statement.names(subject):
        others = [quoted(f"{name}:{text}", 90)[1:-1] for other in statement.subjects for name, text in other.digests]
        raise AboutAnother(f"is about {', '.join(others[:2])}, not {subject}", where=where)
    return Verified(signer, payload, statement)


def subject_of(payload: bytes) -> Digest:
    """The first subject of a statement that we made ourselves; raises InvalidDocument, InvalidDigest."""
    statement = Statement.parse(payload, where="statement")
    return next(Digest(*subject.digests[0]) for subject in statement.subjects if subject.digests)
