"""A token service (Docker's and the OAuth2 form) whose tokens a real registry accepts, and a registry behind it."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .registry import PASSWORD, USER, Registry

ISSUER, SERVICE = "multiarch-tests", "registry-of-tests"
REFRESH_TOKEN = "a-refresh-token-of-tests"  # noqa: S105 - good for a registry that lives for one test


def _b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Signer:
    """Signs tokens with a key of its own, whose certificate the registry is told to trust."""

    def __init__(self, certificate: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
        now = dt.datetime.now(dt.timezone.utc)
        signed = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self._header = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode()],
        }

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a JSON Web Token (RFC 7519) signed with ES256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        text = ".".join(_b64url(json.dumps(part).encode()) for part in (self._header, claims))
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass
class TokenService:
    """The realm. Its counters and switches may be read and set while it runs.

    `lifetime` is in seconds and may be negative: such tokens are refused at once. With `anonymous_pull` nobody needs a
    password to pull. `claims_expiry` False leaves `expires_in` out of the answer, which then means 60 s by the
    specification. `asked` holds every request as (method, parameters), the secrets left out.
    """

    signer: Signer
    lifetime: int = 300
    anonymous_pull: bool = False
    claims_expiry: bool = True
    issued: Counter[str] = field(default_factory=Counter)  # by method: GET, POST
    refused: int = 0
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Serve on a free loopback port."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query, keep_blank_values=True)
                self._answer(*service.by_password("GET", query, self.headers.get("Authorization")))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
                self._answer(*service.by_grant(urllib.parse.parse_qs(body, keep_blank_values=True)))

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Keep the test's output quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End the service; the port refuses connections from now on. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def realm(self) -> str:
        """The address that the registry's challenge names."""
        if self._server is None:
            raise RuntimeError("the token service does not run")
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def by_password(
        self, method: str, query: dict[str, list[str]], authorization: str | None
    ) -> tuple[int, dict[str, Any]]:
        """Answer Docker's form: GET with Basic, or without any account."""
        self.asked.append((method, query))
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization is not None and authorization != expected:
            return self._refuse("wrong password")
        if authorization is None and not self.anonymous_pull:
            return self._refuse("no account given")
        scopes = [scope for value in query.get("scope", []) for scope in value.split()]
        answer = self._token(method, scopes, "" if authorization is None else USER)
        if query.get("offline_token") == ["true"]:
            answer["refresh_token"] = REFRESH_TOKEN
        return 200, answer | {"token": answer["access_token"]}

    def by_grant(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Answer the OAuth2 form: POST with a password or an identity (refresh) token."""
        self.asked.append(("POST", {k: v for k, v in form.items() if k not in ("password", "refresh_token")}))
        match form.get("grant_type"):
            case ["password"]:
                good = form.get("username") == [USER] and form.get("password") == [PASSWORD]
            case ["refresh_token"]:
                good = form.get("refresh_token") == [REFRESH_TOKEN]
            case _:
                return 400, {"error": "unsupported_grant_type"}
        if not good:
            return self._refuse("wrong grant")
        scopes = [scope for value in form.get("scope", []) for scope in value.split()]
        return 200, self._token("POST", scopes, USER) | {"refresh_token": REFRESH_TOKEN}

    def _refuse(self, why: str) -> tuple[int, dict[str, Any]]:
        self.refused += 1
        return 401, {"errors": [{"code": "UNAUTHORIZED", "message": why, "detail": None}]}

    def _token(self, method: str, scopes: list[str], subject: str) -> dict[str, Any]:
        access = []
        for scope in scopes:
            kind, rest = scope.split(":", 1)
            name, actions = rest.rsplit(":", 1)
            allowed = [action for action in actions.split(",") if subject or action == "pull"]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "exp": now + self.lifetime,
            "nbf": now - 60,
            "iat": now,
            "jti": f"{now}-{sum(self.issued.values())}",
            "access": access,
        }
        self.issued[method] += 1
        answer: dict[str, Any] = {"access_token": self.signer.sign(claims), "scope": " ".join(scopes)}
        if self.claims_expiry:
            answer |= {"expires_in": self.lifetime}
        return answer


class TokenRegistry:
    """A registry that takes nothing but the tokens of its `service`."""

    def __init__(self, program: list[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        certificate = folder / "root.pem"
        self.service = TokenService(Signer(certificate))
        self.service.start()
        token = {
            "realm": self.service.realm,
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(certificate),
        }
        self.registry = Registry(program, folder / "registry", {"token": token})

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it stands in references."""
        return self.registry.host

    def stop(self) -> None:
        """End both. Idempotent."""
        self.registry.stop()
        self.service.stop()
