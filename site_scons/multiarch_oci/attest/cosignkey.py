"""The encrypted key files of cosign: scrypt makes a key of the password, NaCl's secret box holds PKCS #8.

The form is that of go-securesystemslib's `encrypted`: JSON in the body of the PEM block, bytes in it in base64.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from multiarch_oci.attest.dsse import InvalidEnvelope, decoded, encoded, only, strict
from multiarch_oci.attest.keys import InvalidKey, installed
from multiarch_oci.document import Document, InvalidDocument

_BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END [A-Z ]+-----\s*\Z")
_KEY = 32
_MOST = 1 << 30
"""Bytes of memory that a key file may make scrypt take; cosign's own take 64 MiB."""


class Locked(msgspec.Struct, frozen=True):
    """What such a file holds."""

    cost: tuple[int, int, int]  # N, r and p of scrypt (RFC 7914)
    salt: bytes
    nonce: bytes
    ciphertext: bytes

    @classmethod
    def from_pem(cls, content: bytes, *, where: str) -> Locked:
        """Read a file's PEM; raises InvalidKey for another key derivation or cipher, and for costs without measure."""
        try:
            block = _BLOCK.search(content.replace(b"\r\n", b"\n"))
            if block is None:
                raise InvalidKey("holds no key of cosign that can be read", where=where)
            body = b"".join(block[1].split()).decode()
            return cls._of(strict(decoded(body, where=where), where=where))
        except (InvalidEnvelope, InvalidDocument) as error:
            raise InvalidKey(f"holds no key of cosign that can be read: {error.what}", where=where) from None

    @classmethod
    def _of(cls, document: Document) -> Locked:
        only(document, ("kdf", "cipher", "ciphertext"))
        kdf, cipher = document.nested("kdf"), document.nested("cipher")
        costs = None if kdf is None else kdf.nested("params")
        if kdf is None or costs is None or kdf.text("name") != "scrypt":
            raise InvalidEnvelope("its password is not for scrypt", where=document.where)
        if cipher is None or cipher.text("name") != "nacl/secretbox":
            raise InvalidEnvelope("it is not a secret box of NaCl", where=document.where)
        n, r, p = ((costs.integer(name) or 0) for name in ("N", "r", "p"))
        too_much = 128 * n * r > _MOST or not 0 < p <= 16 or not 0 < r <= 64  # noqa: PLR2004  # RFC 7914, section 2
        if n < 2 or n & (n - 1) or too_much:  # noqa: PLR2004
            raise InvalidEnvelope("what it asks of scrypt is out of all measure", where=document.where)
        box = (encoded(kdf, "salt"), encoded(cipher, "nonce"), encoded(document, "ciphertext"))
        if len(box[1]) != 24:  # noqa: PLR2004  # crypto_secretbox_NONCEBYTES
            raise InvalidEnvelope("its nonce is not 24 bytes", where=document.where)
        return cls((n, r, p), *box)

    def opened(self, password: bytes) -> bytes | None:
        """The private key in DER (PKCS #8); None when this is not the password."""
        with installed():
            from nacl.exceptions import CryptoError
            from nacl.secret import SecretBox
        n, r, p = self.cost
        room = 128 * r * (n + p + 2) + (1 << 20)
        key = hashlib.scrypt(password, salt=self.salt, n=n, r=r, p=p, maxmem=room, dklen=_KEY)
        try:
            return bytes(SecretBox(key).decrypt(self.ciphertext, self.nonce))
        except (CryptoError, ValueError):
            return None
