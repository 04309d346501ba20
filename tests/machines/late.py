"""A proxy before a real registry that shows late what it took: as registries do whose answers come from replicas.

After a PUT, HEAD and GET answer as before it for some seconds. Everything else passes unchanged. A registry itself
looks at its own storage, so it takes what names a part that nobody can read yet; with `refuses` it does not.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from faults import kind_of

from .listening import HttpServer
from .odd import digest as digest_of

HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class Delays:
    """Seconds until what was put can be read; `flaps`: every second answer is the new one already."""

    tag: float = 0.0
    manifest: float = 0.0
    blob: float = 0.0
    flaps: bool = False


@dataclass
class Refusal:
    """How a manifest is refused while a part of it is not to be seen, or for so many `times` in any case."""

    code: str = "MANIFEST_BLOB_UNKNOWN"
    status: int = 404
    times: int = 0

    def body(self) -> bytes:
        return json.dumps({"errors": [{"code": self.code, "message": "blob unknown to registry"}]}).encode()


@dataclass
class Late(HttpServer):
    """Listens on `host` and passes on to `upstream` (`127.0.0.1:PORT`).

    `taken` counts the manifests that were put, by name (tag or digest), and blobs by digest; `asked` the questions for
    tags. `before_manifest` is called with each manifest's name before it is passed on, `after_manifest` once it was
    taken.
    """

    upstream: str
    delays: Delays = field(default_factory=Delays)
    refuses: Refusal | None = None
    before_manifest: Callable[[str], object] = str
    after_manifest: Callable[[str], object] = str
    taken: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    _put: dict[tuple[str, str], float] = field(default_factory=dict)
    _tags: dict[tuple[str, str], list[tuple[str | None, float]]] = field(default_factory=dict)
    _turns: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tags_put(self) -> dict[str, int]:
        """How often each tag was put."""
        return {name: count for name, count in self.taken.items() if not name.startswith("sha256:")}

    def settle(self) -> None:
        """Show all that was put, from now on and whatever the delays; begin to count anew."""
        with self._lock:
            for noted in (self._put, self._tags, self.taken, self.asked, self.refused):
                noted.clear()

    def renew(self) -> None:
        """Hide all that was put here, as if it had been put just now."""
        now = time.monotonic()
        with self._lock:
            self._put = dict.fromkeys(self._put, now)
            self._tags = {key: [(None, 0.0), (history[-1][0], now)] for key, history in self._tags.items()}

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        kind = kind_of(handler.command, handler.path)
        repository, _, name = handler.path.partition("?")[0].removeprefix("/v2/").rpartition("/")
        repository = repository.removesuffix("/manifests").removesuffix("/blobs")
        path = handler.path
        if kind in ("HEAD manifest", "GET manifest"):
            shown = self._shown(repository, name)
            path = f"/v2/{repository}/manifests/{shown}" if shown else ""
        elif kind in ("HEAD blob", "GET blob") and not self._visible(repository, name, self.delays.blob):
            path = ""
        elif kind == "PUT manifest":
            self.before_manifest(name)
            refusal = self._refusal(repository, body)
            if refusal is not None:
                self.refused[name] += 1
                self._reply(handler, refusal.status, [("Content-Type", "application/json")], refusal.body())
                return
        if not path:
            self._reply(
                handler, 404, [("Content-Type", "application/json")], b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
            )
            return
        old = self._digest(repository, name) if kind == "PUT manifest" else None
        known = kind == "PUT manifest" and self._digest(repository, digest_of(body)) is not None
        status, headers, content = self._pass_on(handler.command, path, dict(handler.headers.items()), body)
        if 200 <= status < 300:
            self._note(kind, repository, handler.path, body, old, known=known)
        self._reply(handler, status, headers, content)
        if kind == "PUT manifest" and 200 <= status < 300:
            self.after_manifest(name)

    def _note(self, kind: str, repository: str, path: str, body: bytes, old: str | None, *, known: bool) -> None:
        """Remember what was taken just now."""
        now = time.monotonic()
        name = path.rpartition("/")[2]
        with self._lock:
            if kind == "PUT manifest":
                self.taken[name] += 1
                digest = digest_of(body)
                if not known:
                    self._put.setdefault((repository, digest), now)
                if ":" not in name:
                    history = self._tags.setdefault((repository, name), [(old, 0.0)])
                    history.append((digest, now))
            elif kind == "PUT blob" or (kind == "mount" and "digest" not in path):
                digest = path.replace("%3A", ":").partition("digest=" if kind == "PUT blob" else "mount=")[2]
                digest = digest.partition("&")[0]
                repository = path.removeprefix("/v2/").partition("/blobs/")[0]
                if kind == "PUT blob":
                    self.taken[digest] += 1
                    self._put.setdefault((repository, digest), now)

    def _shown(self, repository: str, name: str) -> str | None:
        """What a manifest's name stands for now: itself, or the digest that it had; None = nothing."""
        if ":" in name:
            return name if self._visible(repository, name, self.delays.manifest) else None
        self.asked[name] += 1
        with self._lock:
            history = list(self._tags.get((repository, name), []))
        if not history:
            return name
        end = time.monotonic() - self.delays.tag
        seen = [digest for digest, at in history if at <= end] or [history[0][0]]
        return history[-1][0] if self._flapped(name) else seen[-1]

    def _visible(self, repository: str, digest: str, delay: float) -> bool:
        with self._lock:
            at = self._put.get((repository, digest))
        return at is None or time.monotonic() - at >= delay or self._flapped(digest)

    def _flapped(self, name: str) -> bool:
        """Whether it is the turn of the replica that has it all."""
        if not self.delays.flaps:
            return False
        with self._lock:
            self._turns[name] += 1
            return self._turns[name] % 2 == 0

    def _refusal(self, repository: str, body: bytes) -> Refusal | None:
        if self.refuses is None:
            return None
        if self.refuses.times:
            self.refuses.times -= 1
            return self.refuses
        document = json.loads(body)
        blobs = [document.get("config", {}).get("digest"), *(layer["digest"] for layer in document.get("layers", ()))]
        children = [entry["digest"] for entry in document.get("manifests", ())]
        seen = [self._visible(repository, digest, self.delays.blob) for digest in blobs if digest]
        seen += [self._visible(repository, digest, self.delays.manifest) for digest in children]
        return None if all(seen) else self.refuses

    def _digest(self, repository: str, name: str) -> str | None:
        accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}
        status, headers, _ = self._pass_on("HEAD", f"/v2/{repository}/manifests/{name}", accept, b"")
        found = {key.lower(): value for key, value in headers}
        return found.get("docker-content-digest") if status == 200 else None

    def _pass_on(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            sent = {key: value for key, value in headers.items() if key.lower() not in HOPS}
            sent |= {"Content-Length": str(len(body)), "Host": self.host}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes
    ) -> None:
        head = handler.command == "HEAD"
        length = next((value for key, value in headers if key.lower() == "content-length"), None)
        with contextlib.suppress(OSError):
            handler.send_response(status)
            for key, value in headers:
                if key.lower() not in HOPS:
                    handler.send_header(key, value)
            handler.send_header("Content-Length", length or "0" if head else str(len(content)))
            handler.end_headers()
            if not head:
                handler.wfile.write(content)
