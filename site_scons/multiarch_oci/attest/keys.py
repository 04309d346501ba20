"""Keys: ECDSA over P-256 and Ed25519, as PEM files of OpenSSL and of cosign.

Signing is deterministic (RFC 6979, RFC 8032): equal payloads have equal signatures. `cryptography` and `nacl` are
imported where they are used. No message holds a key or a password.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from multiarch_oci.document import UnreadableFile, content_of
from multiarch_oci.errors import MultiarchError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    AnyPrivateKey: TypeAlias = EllipticCurvePrivateKey | Ed25519PrivateKey

_LONGEST = 64 << 10
"""Bytes of the largest file that is read for a key."""

_KINDS = "an ECDSA key over P-256, or an Ed25519 key"
_MAKE = "cosign generate-key-pair makes one, openssl genpkey -algorithm ed25519 too"
_LABEL = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,60})-----\s*$", re.MULTILINE)
_BODY = re.compile(rb"-----BEGIN (?:PUBLIC|PRIVATE|EC PRIVATE) KEY-----([A-Za-z0-9+/=\s]+)-----END")
_RSA = bytes.fromhex("06092a864886f70d010101")
"""The object identifier rsaEncryption (RFC 8017) in DER."""
_CURVES = {
    bytes.fromhex(f"06052b810400{n:02x}"): name for n, name in ((10, "secp256k1"), (34, "secp384r1"), (35, "secp521r1"))
}
"""Other curves than P-256, by their object identifiers in DER (SEC 2, section A.2)."""
_COSIGN = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_PRIVATE = (*_COSIGN, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY")
_SHARED = 0o077
"""Bits of a file's mode that let others in."""


class InvalidKey(MultiarchError, ValueError):
    """A file that holds no key that can be used here."""


class WrongPassword(InvalidKey):
    """A private key that no password was given for, or not its own."""


class MissingPackage(MultiarchError):
    """A package that signs or verifies, and is not installed."""


@contextmanager
def installed(extra: str = "sign") -> Iterator[None]:
    """A context in which packages are imported; raises MissingPackage, which says what to install."""
    try:
        yield
    except ImportError as error:
        module = (error.name or "that is needed").partition(".")[0]
        what = f"the package {'pynacl' if module == 'nacl' else module} is not installed"
        hint = f"pip install 'scons-multiarch[{extra}]'"
        raise MissingPackage(what, hint=hint) from None


class PublicKey(msgspec.Struct, frozen=True):
    """A public key: its SubjectPublicKeyInfo (RFC 5280, 4.1) in DER."""

    der: bytes

    @classmethod
    def from_pem(cls, content: bytes, *, where: str) -> PublicKey:
        """Read the one public key of a PEM text; raises InvalidKey, for a private key too, and for other kinds."""
        check_public(content, where=where)
        with installed():
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.serialization import load_pem_public_key
        try:
            key = load_pem_public_key(content)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InvalidKey("holds no public key that can be read", where=where) from None
        return _public(key, where)

    @classmethod
    def read(cls, path: Path, *, where: str | None = None) -> PublicKey:
        """Read a PEM file; raises InvalidKey, UnreadableFile."""
        where = where or str(path)
        return cls.from_pem(public_pem(path, where=where), where=where)

    @property
    def fingerprint(self) -> str:
        """The hexadecimal sha256 of the DER, as `openssl pkey -pubin -outform der | sha256sum` says it."""
        import hashlib

        return hashlib.sha256(self.der).hexdigest()

    def __str__(self) -> str:
        return f"key sha256:{self.fingerprint}"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this is a signature of the message by this key."""
        with installed():
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
        key = _loaded(self.der)
        try:
            if isinstance(key, EllipticCurvePublicKey):
                key.verify(signature, message, ECDSA(hashes.SHA256()))
            else:
                key.verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def fingerprint_of(path: Path, *, where: str) -> str:
    """The fingerprint of a public key's file, from its bytes alone: nothing is loaded for it, and no key is checked.

    Raises InvalidKey, UnreadableFile.
    """
    import hashlib

    der = _der(public_pem(path, where=where), where)
    if not der:
        raise InvalidKey("holds no public key that can be read", where=where)
    return hashlib.sha256(der).hexdigest()


def _der(content: bytes, where: str) -> bytes:
    """What an open key in PEM holds, empty where it is none. Raises InvalidKey for one of RSA or another curve."""
    import base64

    body = _BODY.search(content)
    try:
        der = base64.b64decode(b"".join(body[1].split()), validate=True) if body is not None else b""
    except ValueError:
        return b""
    if _RSA in der:
        raise InvalidKey("is an RSA key", where=where, hint=f"it must be {_KINDS}")
    curve = next((name for identifier, name in _CURVES.items() if identifier in der), None)
    if curve is not None:
        raise InvalidKey(f"is an ECDSA key over {curve}", where=where, hint=f"it must be {_KINDS}")
    return der


def check_private(path: Path, *, where: str) -> bytes:
    """The bytes of a private key's file, as far as its heading and mode tell that it can be one; it is not opened.

    Raises InvalidKey, UnreadableFile.
    """
    content = content_of(path, _LONGEST, where=where)
    if content is None:
        hint = "SIGN names a private key, a PEM file, or plugin:<program>, or keyless"
        raise UnreadableFile("there is no such file", where=where, hint=hint)
    label = _label(content, where)
    if label == "PUBLIC KEY":
        hint = "SIGN is the private key; the public one belongs into SIGN_KEY"
        raise InvalidKey("is a public key, which cannot sign", where=where, hint=hint)
    if label not in _PRIVATE:
        raise InvalidKey(f"holds a {label}", where=where, hint=f"it must be {_KINDS}; {_MAKE}")
    _der(content, where)
    _check_alone(path, where)
    return content


def public_pem(path: Path, *, where: str) -> bytes:
    """The bytes of a public key's file, as far as its heading tells; raises InvalidKey, UnreadableFile."""
    content = content_of(path, _LONGEST, where=where)
    if content is None:
        raise UnreadableFile("there is no such file", where=where)
    check_public(content, where=where)
    return content


def check_public(content: bytes, *, where: str) -> None:
    """Raise InvalidKey for a PEM text whose heading is not that of one public key; the key itself is not looked at."""
    label = _label(content, where)
    if label in _PRIVATE:
        hint = "its public half belongs here: cosign public-key --key FILE, openssl pkey -in FILE -pubout"
        raise InvalidKey("is a private key", where=where, hint=hint)
    if label != "PUBLIC KEY":
        raise InvalidKey(f"holds a {label}, not a PUBLIC KEY", where=where, hint=f"it must be {_KINDS}")


class PrivateKey:
    """A private key, opened. It has no `repr` that shows it, and is never written anywhere."""

    def __init__(self, key: AnyPrivateKey, public: PublicKey) -> None:
        self._key = key
        self.public = public

    @classmethod
    def read(cls, path: Path, password: Callable[[], bytes | None], *, where: str | None = None) -> PrivateKey:
        """Open a key file of this user alone; `password` is asked only for a key that has one, and gives None for none.

        Raises InvalidKey, WrongPassword, UnreadableFile.
        """
        where = where or str(path)
        content = check_private(path, where=where)
        is_cosign = _label(content, where) in _COSIGN
        key = _cosign(content, password, where) if is_cosign else _openssl(content, password, where)
        return cls(*key)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message: always the same one."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey

        if isinstance(self._key, EllipticCurvePrivateKey):
            return self._key.sign(message, ECDSA(hashes.SHA256(), deterministic_signing=True))
        return self._key.sign(message)


def _label(content: bytes, where: str) -> str:
    """What a PEM text says it holds (RFC 7468), its first part that is no list of parameters."""
    labels = [label.decode() for label in _LABEL.findall(content.replace(b"\r\n", b"\n"))]
    labels = [label for label in labels if label != "EC PARAMETERS"]
    if len(labels) != 1:
        what = "holds no key in PEM" if not labels else f"holds {len(labels)} keys, not one"
        raise InvalidKey(what, where=where, hint=f"it must be {_KINDS}; {_MAKE}")
    return str(labels[0])


def _check_alone(path: Path, where: str) -> None:
    if os.name == "posix" and (mode := path.stat().st_mode) & _SHARED:
        hint = "make it readable by you alone: chmod 600"
        raise InvalidKey(f"others can read this private key (mode {mode & 0o777:04o})", where=where, hint=hint)


def _public(key: object, where: str) -> PublicKey:
    """A public key of `cryptography` as ours; raises InvalidKey for other kinds."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(key, EllipticCurvePublicKey):
        if not isinstance(key.curve, SECP256R1):
            raise InvalidKey(f"is an ECDSA key over {key.curve.name}", where=where, hint=f"it must be {_KINDS}")
    elif not isinstance(key, Ed25519PublicKey):
        kind = "an RSA key" if isinstance(key, RSAPublicKey) else f"a key of type {type(key).__name__}"
        raise InvalidKey(f"is {kind}", where=where, hint=f"it must be {_KINDS}")
    return PublicKey(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@functools.lru_cache(64)
def _loaded(der: bytes) -> EllipticCurvePublicKey | Ed25519PublicKey:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key: object = load_der_public_key(der)
    return key  # type: ignore[return-value]  # `_public` has let in no others


def _private(key: object, where: str) -> tuple[AnyPrivateKey, PublicKey]:
    public = getattr(key, "public_key", None)
    if public is None:
        raise InvalidKey(f"is a key of type {type(key).__name__}", where=where, hint=f"it must be {_KINDS}")
    return key, _public(public(), where)  # type: ignore[return-value]  # `_public` has looked at its half


def _openssl(content: bytes, password: Callable[[], bytes | None], where: str) -> tuple[AnyPrivateKey, PublicKey]:
    """PKCS #8 (RFC 5958), encrypted or not, and the older form of EC keys (RFC 5915)."""
    with installed():
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    is_locked = b"ENCRYPTED" in content
    secret = _required(password, where) if is_locked else None
    try:
        return _private(load_pem_private_key(content, secret), where)
    except InvalidKey:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if is_locked:
            raise _wrong(where) from None
        raise InvalidKey("holds no private key that can be read", where=where) from None


def _cosign(content: bytes, password: Callable[[], bytes | None], where: str) -> tuple[AnyPrivateKey, PublicKey]:
    """An own key of cosign; an empty password, which many in CI have, is not asked for."""
    from multiarch_oci.attest.cosignkey import Locked

    with installed():
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_der_private_key
    locked = Locked.from_pem(content, where=where)
    der = locked.opened(b"")
    if der is None:
        der = locked.opened(_required(password, where))
    if der is None:
        raise _wrong(where)
    try:
        return _private(load_der_private_key(der, None), where)
    except InvalidKey:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidKey("holds no private key that can be read", where=where) from None


def _required(password: Callable[[], bytes | None], where: str) -> bytes:
    secret = password()
    if secret is None:
        hint = "set SIGN_PASSWORD in the environment, or start this in a terminal, where it is asked for"
        raise WrongPassword("this key has a password, and none was given", where=where, hint=hint)
    return secret


def _wrong(where: str) -> WrongPassword:
    hint = "it is taken from SIGN_PASSWORD, else COSIGN_PASSWORD of the environment, else from the terminal"
    return WrongPassword("the password is not the one of this key", where=where, hint=hint)
