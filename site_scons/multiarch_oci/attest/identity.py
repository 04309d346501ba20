"""Signatures by an identity: a certificate of Fulcio says who signed, a transparency log when (sigstore).

By the package `sigstore`, the extra `keyless`, imported where it is used. With the file of a trusted root it verifies
without a network; else it asks sigstore's own for one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.attest.bundle import Bundle
from multiarch_oci.attest.keys import installed
from multiarch_oci.attest.verifying import CERTIFICATE, NotVerified, Verified, Verifier, about
from multiarch_oci.digest import Digest
from multiarch_oci.document import UnreadableFile, content_of
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.mediatype import IN_TOTO

if TYPE_CHECKING:
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier as SigstoreVerifier

_LONGEST = 8 << 20
"""Bytes of the largest trusted root that is read; sigstore's own has some 10 KiB."""


def _reason(error: Exception) -> str:
    """What others say, for one line; an address in it is who signed, and no login."""
    return _printable(" ".join(str(error).split())) or type(error).__name__


def _printable(text: str, longest: int = 200) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])


class InvalidIdentity(MultiarchError, ValueError):
    """An identity that is not one with its issuer."""


class NotSigned(MultiarchError):
    """Nobody could be asked who signs, or the answer was no."""


class Identity(msgspec.Struct, frozen=True):
    """Who signed: an address or URI that stands in the certificate, and who says so (its OIDC issuer)."""

    name: str
    issuer: str

    @classmethod
    def parse(cls, text: str, *, where: str) -> Identity:
        """Read `identity,issuer`; raises InvalidIdentity. Without the issuer anybody's word would count."""
        name, _, issuer = (part.strip() for part in text.rpartition(","))
        if not name or not issuer.startswith("https://"):
            hint = f"for example {where}=me@example.com,https://accounts.google.com"
            raise InvalidIdentity(f"{_printable(text)!r} is not an identity and its issuer", where=where, hint=hint)
        if _printable(text) != text:
            raise InvalidIdentity(f"{_printable(text)!r} holds what cannot be printed", where=where)
        return cls(name, issuer)

    def __str__(self) -> str:
        return f"{self.name} ({self.issuer})"


class IdentityVerifier(msgspec.Struct, frozen=True):
    """Verifier by an identity; `root` is the file of a trusted root, None for sigstore's own."""

    who: Identity
    root: Path | None = None

    @property
    def identity(self) -> str:
        """The identity and its issuer."""
        return str(self.who)

    def verify(self, bundle: bytes, *, subject: Digest, where: str = "bundle") -> Verified:
        """As Verifier says."""
        if Bundle.from_json(bundle, where=where).hint is not None:
            raise NotVerified(f"is signed by a key, not by {self.identity}", where=where)
        with installed("keyless"):
            from sigstore.models import Bundle as SigstoreBundle
            from sigstore.verify.policy import Identity as Policy
        policy = Policy(identity=self.who.name, issuer=self.who.issuer)
        verifier = _verifier(self.root, b"" if self.root is None else _content(self.root))
        try:
            payload_type, payload = verifier.verify_dsse(SigstoreBundle.from_json(bundle), policy)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the bundle of a stranger: it is not verified
            raise NotVerified(f"is not signed by {self.identity}: {_reason(error)}", where=where) from None
        return about(payload_type, payload, subject, signer=self.identity, where=where)

    def refusal(self, payload: bytes, signature: bytes, annotations: Mapping[str, str]) -> str | None:  # noqa: ARG002
        """Always one: cosign before 3 kept the log's promise that it would take an entry, or nothing of a log.

        `sigstore` loads no bundle without the log's proof that it did, of version 0.1 either.
        """
        if CERTIFICATE not in annotations:
            return f"is signed by a key, not by {self.identity}"
        return (
            f"is signed by an identity, in the way of cosign 2, without the log's proof of inclusion that the package "
            f"sigstore verifies {self.identity} by: what counts is a bundle, as cosign 3 writes it, or a key"
        )


@functools.lru_cache(8)
def _verifier(root: Path | None, content: bytes) -> SigstoreVerifier:
    """What verifies by a trusted root, made once for its `content`: a session may see the file change."""
    del content
    from sigstore.verify import Verifier as SigstoreVerifier

    if root is not None:
        return SigstoreVerifier(trusted_root=_trusted_root(root))
    try:
        return SigstoreVerifier.production()
    except Exception as error:  # noqa: BLE001  # of the network, of files, of what came: all the same to the user
        hint = "see the network, or name the file of a trusted root: SIGN_ROOT, or trustedRoot in the trust file"
        what = f"sigstore's trusted root cannot be had ({_reason(error)})"
        raise NotSigned(what, hint=hint) from None


def _content(root: Path) -> bytes:
    content = content_of(root, _LONGEST, where=str(root))
    if content is None:
        raise UnreadableFile("there is no such file", where=str(root), hint="a trusted_root.json of sigstore")
    return content


def _trusted_root(path: Path) -> TrustedRoot:
    from sigstore.models import TrustedRoot

    try:
        return TrustedRoot.from_file(str(path))
    except Exception:  # noqa: BLE001  # a file of the user's, whatever it holds
        raise UnreadableFile("is no trusted root of sigstore", where=str(path)) from None


class KeylessSigner:
    """Signer by an identity that this machine can prove: that of a CI job, or the user's in a browser."""

    def __init__(self, verifier: Verifier, *, interactive: bool) -> None:
        """`interactive`: a browser may be opened where the machine has no identity of its own."""
        self._verifier = verifier
        self._interactive = interactive

    def verifier(self) -> Verifier:
        """As Signer says."""
        return self._verifier

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """As Signer says; asks an issuer, Fulcio and a transparency log over the network."""
        with installed("keyless"):
            from sigstore.dsse import Statement
            from sigstore.models import ClientTrustConfig
            from sigstore.sign import SigningContext
        if payload_type != IN_TOTO:
            raise NotSigned(f"{quoted(payload_type)} is not what sigstore signs", where="SIGN=keyless")
        try:
            config = ClientTrustConfig.production()
            token = self._token(config)
            with SigningContext.from_trust_config(config).signer(token) as signer:
                bundle: bytes = signer.sign_dsse(Statement(payload)).to_json().encode()
        except MultiarchError:
            raise
        except Exception as error:  # noqa: BLE001  # of the network, of the issuer: all the same to the user
            raise NotSigned(
                f"sigstore did not sign: {_reason(error)}", where="SIGN=keyless", hint="see the network"
            ) from None
        from multiarch_oci.attest.verifying import subject_of

        verified = self._verifier.verify(bundle, subject=subject_of(payload), where="SIGN=keyless")
        if verified.payload != payload:
            raise NotSigned("something else came back than was to be signed", where="SIGN=keyless")
        return bundle

    def _token(self, config: object) -> object:
        from sigstore.oidc import IdentityToken, Issuer, detect_credential

        text = detect_credential()
        if text is not None:
            return IdentityToken(text)
        if not self._interactive:
            hint = "in CI: let the job have a token (permissions: id-token: write); else start this in a terminal"
            raise NotSigned("this machine cannot prove who it is", where="SIGN=keyless", hint=hint)
        return Issuer(config.signing_config.get_oidc_url()).identity_token()  # type: ignore[attr-defined]
