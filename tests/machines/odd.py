"""A registry in memory that keeps to the distribution spec but where a test bends it, over real HTTP on a free port.

It stands for registries that cannot be run here; what the others do is tested against themselves.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any

from faults import kind_of

from .listening import HttpServer
from .registry import PASSWORD, USER

BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
TOKEN = "a-token-of-tests"  # noqa: S105 - good for a registry that lives for one test


@dataclass
class Call:
    """One request as it arrived; `number` counts those of its kind from 0."""

    kind: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    number: int = 0

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Reply:
    """An answer; `cut`: the connection ends without it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    challenges: tuple[str, ...] = ()

    def but(self, *, drop: str = "", status: int = 0, body: bytes | None = None, **headers: str) -> Reply:
        """The same answer without one header, or with others (`_` stands for `-`)."""
        kept = {name: value for name, value in self.headers.items() if name != drop}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(
            self, status=status or self.status, headers=kept | given, body=self.body if body is None else body
        )


Bend = Callable[[Call, Callable[[], Reply]], Reply]


def refusal(status: int, code: str, message: str, detail: Any = None) -> Reply:
    """An answer as in the spec's "Error Codes"."""
    error = {"code": code, "message": message} | ({} if detail is None else {"detail": detail})
    return Reply(status, {"Content-Type": "application/json"}, json.dumps({"errors": [error]}).encode())


@dataclass
class State:
    """What a registry holds; two servers can share one."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, bytearray] = field(default_factory=dict)
    numbers: Any = field(default_factory=itertools.count)


class OddRegistry(HttpServer):
    """`bend` sees each call and may answer in place of the usual answer, which it makes by calling its second argument.

    With `challenges` (`{url}` is this server) a login is wanted: the Bearer token of /token, or Basic.
    """

    def __init__(self, state: State | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.state = State() if state is None else state
        self.tls = tls
        self.bend: Bend = lambda _, usual: usual()
        self.challenges: tuple[str, ...] = ()
        self.calls: list[Call] = []
        self._lock = threading.Lock()

    def of(self, kind: str) -> list[Call]:
        """The calls of one kind, the oldest first."""
        with self._lock:
            return [call for call in self.calls if call.kind == kind]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        target = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        call = Call(kind_of(handler.command, handler.path), handler.command, target.path, query, headers, body)
        with self._lock:
            call.number = sum(other.kind == call.kind for other in self.calls)
            self.calls.append(call)
        reply = self.bend(call, lambda: self.usual(call))
        if reply.cut:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        reply.headers.setdefault("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            if value:
                handler.send_header(name, value.replace("{url}", self.url).replace("{host}", self.host))
        for challenge in reply.challenges:
            handler.send_header("WWW-Authenticate", challenge.replace("{url}", self.url))
        handler.end_headers()
        if call.method != "HEAD":
            handler.wfile.write(reply.body)

    def usual(self, call: Call) -> Reply:
        """Answer as the spec has it."""
        if call.kind == "token":
            return Reply(200, {}, json.dumps({"token": TOKEN, "expires_in": 300}).encode())
        wanted = f"Bearer {TOKEN}" if "bearer" in "".join(self.challenges).lower() else BASIC
        if self.challenges and call.authorization != wanted:
            return replace(refusal(401, "UNAUTHORIZED", "authentication required"), challenges=self.challenges)
        name = urllib.parse.unquote(call.path.rpartition("/")[2])
        if call.kind.endswith(" manifest"):
            return self._put_manifest(name, call) if call.method == "PUT" else self._manifest(name)
        if call.kind in ("HEAD blob", "GET blob"):
            return self._blob(name)
        if call.kind in ("POST", "mount"):
            return self._begin(call)
        if call.kind in ("PATCH", "PUT blob", "GET upload"):
            return self._continue(name, call)
        return Reply(200, {}, b"{}")

    def _manifest(self, name: str) -> Reply:
        found = self.state.manifests.get(self.state.tags.get(name, name))
        if found is None:
            return refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Reply(200, {"Content-Type": found[1], "Docker-Content-Digest": digest(found[0])}, found[0])

    def _put_manifest(self, name: str, call: Call) -> Reply:
        self.state.manifests[digest(call.body)] = (call.body, call.headers["content-type"])
        if ":" not in name:
            self.state.tags[name] = digest(call.body)
        return Reply(201, {"Docker-Content-Digest": digest(call.body), "Location": call.path})

    def _blob(self, name: str) -> Reply:
        content = self.state.blobs.get(name)
        if content is None:
            return refusal(404, "BLOB_UNKNOWN", "blob unknown")
        return Reply(200, {"Docker-Content-Digest": name}, content)

    def _begin(self, call: Call) -> Reply:
        held = self.state.blobs.get(call.query.get("mount", ""))
        if held is not None:
            return Reply(201, {"Location": f"{call.path}{call.query['mount']}"})
        name = f"session-{next(self.state.numbers)}"
        self.state.sessions[name] = bytearray()
        return Reply(202, {"Location": f"{call.path}{name}", "Range": "0-0"})

    def _continue(self, name: str, call: Call) -> Reply:
        session = self.state.sessions.get(name)
        if session is None:
            return refusal(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        begin = call.headers.get("content-range", "").partition("-")[0]
        if begin and int(begin) != len(session):
            return Reply(416, {"Location": call.path, "Range": f"0-{len(session) - 1}"})
        session += call.body
        if call.method != "PUT":
            status = 202 if call.method == "PATCH" else 204
            return Reply(status, {"Location": call.path, "Range": f"0-{max(0, len(session) - 1)}"})
        content = bytes(session)
        if digest(content) != call.query["digest"]:
            return refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.state.blobs[call.query["digest"]] = content
        del self.state.sessions[name]
        return Reply(201, {"Docker-Content-Digest": call.query["digest"], "Location": call.path})


def digest(content: bytes) -> str:
    """The digest of the spec's own algorithm."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
