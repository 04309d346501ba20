"""CACHE_KEY: entries of the shared cache count only with a signature over all that they say.

The signature is a statement of in-toto about the entry without it, with its key, scope and outputs, in a bundle of
sigstore, made and verified as those of SIGN are. It stands in the entry itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from multiarch_oci.actioncache import Entry, NoEntry
from multiarch_oci.attest.keys import PublicKey, fingerprint_of
from multiarch_oci.attest.signing import KeySigner, public_half
from multiarch_oci.attest.statement import statement
from multiarch_oci.attest.verifying import KeyVerifier
from multiarch_oci.digest import Digest
from multiarch_oci.document import content_of
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import ACTION_PREDICATE, IN_TOTO
from scons_multiarch.signatures import hide_key, password_of
from scons_multiarch.variables import UnknownWord

if TYPE_CHECKING:
    from pathlib import Path

    from multiarch_oci.attest.signing import Signer
    from multiarch_oci.attest.verifying import Verifier
    from scons_multiarch.session import CacheSettings, Run

_LARGEST = 1 << 20
_PUBLIC = b"PUBLIC KEY-----"
_KEY = rb"(?m)^-----BEGIN (?:[A-Z]+ )*(?:PUBLIC|PRIVATE) KEY-----"


class KeySeal:
    """Signs entries by the private key of CACHE_KEY, and verifies those of others by its public half; any thread.

    A private key is opened when something is to be signed, or when nothing else says its public half.
    """

    def __init__(self, run: Run, settings: CacheSettings) -> None:
        path = run.tree.root / settings.key
        self._signer: Signer | None = None
        self._verifier: Verifier | None = None
        if _is_public(run, settings):
            self._verifier = KeyVerifier(PublicKey.read(path, where=settings.key))
        else:
            self._signer = KeySigner(path, settings.key, password_of(run, settings.key))

    def sign(self, entry: Entry) -> str:
        """As Seal says."""
        if self._signer is None:
            raise MultiarchError("is a public key, which signs nothing", where="CACHE_KEY")
        outputs = [str(output.descriptor.digest) for output in entry.outputs]
        predicate = {"key": entry.key.hex, "scope": entry.key.scope, "outputs": outputs}
        payload = statement(Digest.of(entry.signed()), entry.key.tag, ACTION_PREDICATE, predicate)
        return self._signer.sign(IN_TOTO, payload).decode()

    def check(self, entry: Entry) -> None:
        """As Seal says. NoEntry for a signature that is wrong, of another key, or of something else."""
        verifier = self._verifier if self._signer is None else self._signer.verifier()
        assert verifier is not None  # noqa: S101  # one of the two is there
        where = entry.key.tag
        try:
            verified = verifier.verify(entry.signature.encode(), subject=Digest.of(entry.signed()), where=where)
        except MultiarchError as error:
            raise NoEntry(error.what, where=where) from error
        if verified.predicate_type != ACTION_PREDICATE:
            raise NoEntry("is signed as something else than an entry", where=where)


def check_key(run: Run, settings: CacheSettings) -> str:
    """The name of CACHE_KEY, as it is now; in a session its file, and its public half, stay as they are.

    Raises MultiarchError for one that is no key, or that cannot sign what is to be written. No image holds it.
    """
    hide_key(run, settings.key)
    if _is_public(run, settings) and settings.writes:
        hint = "name the private key where entries are written, or say CACHE_MODE=read"
        raise UnknownWord("is a public key, which signs nothing", where="CACHE_KEY", hint=hint)
    path = run.tree.root / settings.key
    for file in (path, public_half(path)):
        run.note_read(file)
    return key_name(path, settings.key)


def key_name(path: Path, where: str) -> str:
    """What tells a key from others; nothing is opened for it.

    The fingerprint of its public half, where that lies in a file; else the digest of the private key's file. Raises
    UnknownWord for what is no key.
    """
    content = _key_in(path, where)
    public = path if _PUBLIC in content else public_half(path)
    try:
        return fingerprint_of(public, where=where)
    except MultiarchError:
        return Digest.of(content).hex


def _is_public(run: Run, settings: CacheSettings) -> bool:
    return _PUBLIC in _key_in(run.tree.root / settings.key, settings.key)


def _key_in(path: Path, name: str) -> bytes:
    """The content of a key's file, which the user calls so. Raises UnknownWord for what is none."""
    hint = "the file of a key, in PEM"
    try:
        content = content_of(path, _LARGEST, where="CACHE_KEY")
    except MultiarchError as error:
        raise UnknownWord(f"{name} {error.what}", where="CACHE_KEY", hint=hint) from None
    if content is None:
        raise UnknownWord(f"there is no file {name}", where="CACHE_KEY", hint=hint)
    if not re.search(_KEY, content):
        raise UnknownWord(f"{name} holds no key", where="CACHE_KEY", hint=hint)
    return content
