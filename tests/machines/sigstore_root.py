"""A sigstore of one's own: certificate authority, certificate log and transparency log, and what an identity signs there."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from multiarch_oci.attest.dsse import pae
from multiarch_oci.document import canonical
from multiarch_oci.mediatype import BUNDLE, IN_TOTO

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
HOUR = dt.timedelta(hours=1)
ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


class Sigstore:
    """Keys of the three, and the root certificate."""

    def __init__(self) -> None:
        self.ca, self.log, self.ct = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        usage = x509.KeyUsage(*(n in (5, 6) for n in range(9)))  # certificates and their lists
        self.root = (
            self._begin(name, self.ca, ca=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.ca, hashes.SHA256())
        )

    def _begin(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.CertificateBuilder:
        issuer = name if ca else self.root.subject
        return (
            x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(), NOW - HOUR, NOW + HOUR)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()), critical=False)
        )

    def trusted_root(self) -> bytes:
        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
            public = {
                "rawBytes": encoded(der(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2021-01-01T00:00:00Z"},
            }
            name = {"keyId": encoded(hashlib.sha256(der(key)).digest())}
            return {"baseUrl": "https://log.test", "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": name}

        chain = {"certificates": [{"rawBytes": encoded(self.root.public_bytes(Encoding.DER))}]}
        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": "https://ca.test",
            "certChain": chain,
            "validFor": {"start": "2021-01-01T00:00:00Z"},
        }
        members = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log)],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self.ct)],
            "timestampAuthorities": [],
        }
        return canonical(members)

    def certificate(self, identity: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        who = x509.RFC822Name(identity) if "://" not in identity else x509.UniformResourceIdentifier(identity)
        builder = (
            self._begin(x509.Name([]), key, ca=False)
            .add_extension(x509.KeyUsage(*(n == 0 for n in range(9))), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([who]), critical=True)
            .add_extension(x509.UnrecognizedExtension(ISSUER, issuer.encode()), critical=False)
        )
        unlogged = builder.sign(self.ca, hashes.SHA256()).tbs_certificate_bytes
        stamp = int(NOW.timestamp() * 1000)
        issuer_key = hashlib.sha256(der(self.ca)).digest()
        entry = issuer_key + len(unlogged).to_bytes(3, "big") + unlogged
        signature = sign(self.ct, struct.pack("!BBQH", 0, 0, stamp, 1) + entry + b"\0\0")
        sct = b"\0" + hashlib.sha256(der(self.ct)).digest() + struct.pack("!QHBBH", stamp, 0, 4, 3, len(signature))
        sct += signature
        listed = struct.pack("!H", len(sct)) + sct
        tls = struct.pack("!H", len(listed)) + listed
        octets = b"\x04" + (bytes([len(tls)]) if len(tls) < 128 else b"\x81" + bytes([len(tls)])) + tls
        return builder.add_extension(x509.UnrecognizedExtension(SCTS, octets), critical=False).sign(
            self.ca, hashes.SHA256()
        )

    def bundle(self, identity: str, issuer: str, payload: bytes) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificate(identity, issuer, key)
        signature = sign(key, pae(IN_TOTO, payload))
        envelope = {
            "payload": encoded(payload),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": encoded(signature)}],
        }
        verifier = encoded(certificate.public_bytes(Encoding.PEM))
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(canonical(envelope)).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": encoded(signature), "verifier": verifier}],
        }
        body = canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        name = hashlib.sha256(der(self.log)).digest()
        stamp = int(NOW.timestamp())
        entry = {"body": encoded(body), "integratedTime": stamp, "logID": name.hex(), "logIndex": 0}
        leaf = hashlib.sha256(b"\0" + body).digest()
        note = f"log.test\n1\n{encoded(leaf)}\n"
        checkpoint = f"{note}\n\u2014 log.test {encoded(name[:4] + sign(self.log, note.encode()))}\n"
        proof = {
            "logIndex": "0",
            "rootHash": encoded(leaf),
            "treeSize": "1",
            "hashes": [],
            "checkpoint": {"envelope": checkpoint},
        }
        logged = {
            "logIndex": "0",
            "logId": {"keyId": encoded(name)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(stamp),
            "inclusionPromise": {"signedEntryTimestamp": encoded(sign(self.log, canonical(entry)))},
            "inclusionProof": proof,
            "canonicalizedBody": encoded(body),
        }
        material = {
            "certificate": {"rawBytes": encoded(certificate.public_bytes(Encoding.DER))},
            "tlogEntries": [logged],
        }
        return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()
