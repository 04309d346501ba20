"""Who signs: what SIGN says, opened only when something is to be signed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from multiarch_oci.attest.bundle import Bundle, hint_of
from multiarch_oci.attest.dsse import Envelope, pae
from multiarch_oci.attest.keys import InvalidKey, PrivateKey, PublicKey, check_private, fingerprint_of
from multiarch_oci.attest.statement import Statement
from multiarch_oci.attest.verifying import KeyVerifier, Verifier, subject_of
from multiarch_oci.errors import MultiarchError, quoted

PLUGIN, KEYLESS = "plugin", "keyless"
"""What SIGN may say beside a file: `plugin:<program>`, and the word alone."""

Password = Callable[[], "bytes | None"]
"""Asks for the password of a key; None where there is none, and nobody who could be asked."""


class UnknownSigner(MultiarchError, ValueError):
    """A value of SIGN, SIGN_KEY or SIGN_IDENTITY that says nothing that could be done."""


class NobodySigns(MultiarchError):
    """Something is to be signed, and SIGN says nobody who does."""


class Signer(Protocol):
    """One who signs; made without a look at any file, and used by any number of threads."""

    def verifier(self) -> Verifier:
        """Who that is, and what verifies such a signature. Raises MultiarchError where that cannot be known.

        The private key is not opened for it where its public half is known: by SIGN_KEY, or from the file `.pub`
        beside it.
        """

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """A bundle v0.3 with this payload, in JSON, that `verifier()` takes. Raises MultiarchError."""


class KeySigner:
    """Signer by a key file."""

    def __init__(
        self, path: Path, name: str, password: Password, *, public: Path | None = None, public_name: str = ""
    ) -> None:
        """`name` is the file as the user wrote it; `public` is the file of SIGN_KEY, and `public_name` as written."""
        self._path = path
        self._name = name
        self._password = password
        self._public = public
        self._public_name = public_name
        self._guard = threading.Lock()
        self._opened: PrivateKey | None = None
        self._verifier: KeyVerifier | None = None

    def verifier(self) -> Verifier:
        """As Signer says."""
        with self._guard:
            if self._verifier is None:
                public = self._known()
                self._verifier = KeyVerifier(self._private().public if public is None else public)
            return self._verifier

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """As Signer says; the key is opened by the first call, and its public half compared with the known one."""
        with self._guard:
            private = self._private()
            public = self._known()
        if public is not None and public != private.public:
            where = self._public_name or str(public_half(Path(self._name)))
            hint = f"it is {public}, and that of {self._name} is {private.public.fingerprint}"
            raise InvalidKey(f"is not the public half of {self._name}", where=where, hint=hint)
        signature = private.sign(pae(payload_type, payload))
        return Bundle(Envelope(payload_type, payload, signature), hint_of(private.public.fingerprint)).to_json()

    def _private(self) -> PrivateKey:
        if self._opened is None:
            self._opened = PrivateKey.read(self._path, self._password, where=self._name)
        return self._opened

    def _known(self) -> PublicKey | None:
        if self._public is not None:
            return PublicKey.read(self._public, where=self._public_name)
        beside = public_half(self._path)
        return PublicKey.read(beside, where=str(public_half(Path(self._name)))) if beside.is_file() else None


class AbsentSigner:
    """Signer where only whose signatures count is said: what that one signed is known, and nothing can be signed."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def verifier(self) -> Verifier:
        """As Signer says."""
        return self._verifier

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """Raise NobodySigns, always."""
        del payload_type
        read = Statement.parse(payload, where="statement")
        kind = quoted(read.predicate_type)[1:-1]
        what = f"{subject_of(payload)} has no {kind} by {self._verifier.identity}, and nobody is named who signs it"
        raise NobodySigns(what, hint="give SIGN, too: SIGN_KEY and SIGN_IDENTITY say only whose signatures count")


class Asked(msgspec.Struct, frozen=True):
    """What SIGN, SIGN_KEY, SIGN_IDENTITY and SIGN_ROOT say; paths are from the SConstruct's folder."""

    sign: str = ""
    key: str = ""
    identity: str = ""
    root: str = ""


def verifier_of(given: Asked, root: Path) -> Verifier | None:
    """Who SIGN_KEY or SIGN_IDENTITY names; None for neither. Raises UnknownSigner for both, InvalidKey for another."""
    if given.key and given.identity:
        raise UnknownSigner("stands beside SIGN_KEY", where="SIGN_IDENTITY", hint="a signature is by one of the two")
    if given.identity:
        from multiarch_oci.attest.identity import Identity, IdentityVerifier

        trusted_root = root / given.root if given.root else None
        return IdentityVerifier(Identity.parse(given.identity, where="SIGN_IDENTITY"), trusted_root)
    return KeyVerifier(PublicKey.read(root / given.key, where=given.key)) if given.key else None


def is_key_file(sign: str) -> bool:
    """Whether what SIGN says is the file of a key; `keyless:x` is one, as only the word alone says something else."""
    return bool(sign) and sign != KEYLESS and sign.partition(":")[0] != PLUGIN


def check(given: Asked) -> None:
    """Raise UnknownSigner for what says nothing that could be done; no file is looked at."""
    kind, _, program = given.sign.partition(":")
    if not given.sign:
        return
    if kind == PLUGIN:
        if not program or not (given.key or given.identity):
            hint = "SIGN=plugin:<program> with SIGN_KEY=<public key> or SIGN_IDENTITY=<identity>,<issuer>"
            what = "names no program" if not program else "is not enough: what it gives has to be verified"
            raise UnknownSigner(what, where="SIGN", hint=hint)
    elif given.sign == KEYLESS:
        if not given.identity or given.key:
            hint = "SIGN_IDENTITY=<identity>,<issuer>, as the certificate will say it, and no SIGN_KEY"
            raise UnknownSigner("is not enough: who signs has to be known", where="SIGN", hint=hint)
    elif "://" in given.sign:
        hint = "a program that can do it signs as SIGN=plugin:<program>"
        raise UnknownSigner("is no file: keys that lie elsewhere are for a plugin", where="SIGN", hint=hint)
    elif given.identity:
        raise UnknownSigner("is not for a key file", where="SIGN_IDENTITY", hint="SIGN_KEY is its public half")


def check_files(given: Asked, root: Path) -> None:
    """Raise what signing would raise at once, as far as it is known without opening a key or asking anybody.

    UnknownSigner, InvalidIdentity, InvalidKey, UnreadableFile. A private key need not be there beside a public one.
    """
    check(given)
    if given.identity:
        from multiarch_oci.attest.identity import Identity

        Identity.parse(given.identity, where="SIGN_IDENTITY")
    public = public_file(given, root)
    if public is not None:
        fingerprint_of(root / public, where=public)
    if is_key_file(given.sign):
        private = root / given.sign
        if public is None or os.path.lexists(private):
            check_private(private, where=given.sign)


def public_file(given: Asked, root: Path) -> str | None:
    """The name of the file that tells whose signatures count: SIGN_KEY, else the `.pub` beside the key, if it is there.

    None where only the private key tells, and where an identity signs.
    """
    if given.identity or given.key:
        return given.key or None
    beside = public_half(Path(given.sign))
    return str(beside) if (root / beside).is_file() else None


def public_half(key: Path) -> Path:
    """The file that cosign writes the public half to: `cosign.pub` for `cosign.key`; else `<name>.pub`."""
    return key.with_suffix(".pub") if key.suffix == ".key" else key.with_name(f"{key.name}.pub")


def signer(
    given: Asked, *, root: Path, password: Password, environment: Mapping[str, str], interactive: bool = False
) -> Signer:
    """Who signs as SIGN says; no private key is opened yet. Without SIGN, who is believed, and cannot sign.

    `environment` is a plugin's; `interactive`: the user may be asked, as in a browser. Raises what `check` raises, and
    for a plugin or keyless what `verifier_of` raises.
    """
    check(given)
    verifier = None if is_key_file(given.sign) else verifier_of(given, root)
    if verifier is None:
        public = root / given.key if given.key else None
        return KeySigner(root / given.sign, given.sign, password, public=public, public_name=given.key)
    if not given.sign:
        return AbsentSigner(verifier)
    if given.sign == KEYLESS:
        from multiarch_oci.attest.identity import KeylessSigner

        return KeylessSigner(verifier, interactive=interactive)
    from multiarch_oci.attest.plugin import PluginSigner

    return PluginSigner(given.sign.partition(":")[2], root, environment, verifier)
