"""A certificate authority for one test: of it a server on loopback, and a client."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any


def write(folder: Path) -> Path:
    """Write ca.pem, server.pem, server-key.pem, cert.pem and key.pem, as the docker command line calls the last two."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    top, server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    authority = _named("tests")
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    _write(folder / "ca.pem", _signed(authority, top, authority, top, x509.BasicConstraints(ca=True, path_length=None)))
    _write(folder / "server.pem", _signed(_named("engine"), server, authority, top, address))
    _write(folder / "cert.pem", _signed(_named("user"), client, authority, top, address))
    _write_key(folder / "server-key.pem", server)
    _write_key(folder / "key.pem", client)
    return folder


def _named(name: str) -> Any:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _signed(name: Any, key: Any, issuer: Any, by: Any, extension: Any) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = dt.datetime.now(dt.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=2))
    return made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints)).sign(
        by, hashes.SHA256()
    )


def _write(path: Path, certificate: Any) -> None:
    from cryptography.hazmat.primitives import serialization

    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: Any) -> None:
    from cryptography.hazmat.primitives import serialization as as_

    kinds = (as_.Encoding.PEM, as_.PrivateFormat.PKCS8, as_.NoEncryption())
    path.write_bytes(key.private_bytes(*kinds))
    path.chmod(0o600)
