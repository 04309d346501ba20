"""A proxy before a real registry that does, on demand, what networks and registries do on bad days.

Raw sockets and threads, port 0. It looks at one request at a time, names its kind, and applies the first fault that was
ordered for this kind; everything else passes unchanged. Kinds: `HEAD blob`, `GET blob`, `POST`, `mount`, `PATCH`,
`PUT blob`, `GET upload`, `HEAD manifest`, `GET manifest`, `PUT manifest`, `token`, `other`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from machines.registry import hold_port

TLS_HANDSHAKE = 0x16
BLOCK = 1 << 16
WRONG_DIGEST = "sha256:" + "f" * 64


@dataclass
class Fault:
    """What happens to matching requests, `times` of them, after `after` have passed.

    Exactly one of: `status` (answered by the proxy, with `headers` and `body`; the request never arrives), `cut_request`
    (both ends close after so many bytes of its body; 0: the request never arrives), `cut_answer` (… after so many bytes of the answer's body, once the
    registry has done its work; -1: before its head), `digest` (the answer's Docker-Content-Digest becomes this),
    `expired` (401 with the registry's own challenge), `refuse` (all is closed, and connections refused, for so many
    seconds), `corrupt` (the answer's body has another first byte), `stall` (seconds of silence before the request goes on), `hold` (seconds of silence once the registry has done its work).
    With `path`, only of requests whose path ends so.
    """

    kind: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut_request: int | None = None
    cut_answer: int | None = None
    digest: str | None = None
    expired: bool = False
    refuse: float = 0.0
    corrupt: bool = False
    stall: float = 0.0
    hold: float = 0.0
    path: str = ""
    after: int = 0
    times: int = 1


@dataclass
class Head:
    """The first lines of a request or answer."""

    first: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def put(self, name: str, value: str) -> None:
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()] + [(name, value)]

    def to_bytes(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


@dataclass
class Seen:
    """One request that arrived here."""

    kind: str
    method: str
    path: str
    authorization: str | None
    range: str | None = None
    body: int = 0


def kind_of(method: str, path: str) -> str:
    """Name the kind of a request."""
    bare, _, query = path.partition("?")
    if bare == "/token":
        return "token"
    if "/manifests/" in bare:
        return f"{method} manifest"
    if "/blobs/uploads/" in bare:
        upload = {"GET": "GET upload", "PUT": "PUT blob", "DELETE": "DELETE upload"}
        return ("mount" if "mount=" in query else "POST") if method == "POST" else upload.get(method, method)
    return f"{method} blob" if "/blobs/" in bare else "other"


@dataclass
class FaultProxy:
    """Listens on `host` and passes on to `upstream` (`127.0.0.1:PORT`), token requests to `tokens`.

    The realm of a challenge becomes this proxy, where there are `tokens`, or the host `realm`.
    With `tls` it speaks nothing else; without, it answers a TLS handshake as Go's servers do. `rate` limits bodies, in bytes
    a second. `latency` is a round trip in seconds: paid once when a connection begins, as TCP does, and once a request.
    """

    upstream: str
    tokens: str | None = None
    realm: str = ""
    latency: float = 0.0
    rate: float = 0.0
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    tls_attempts: int = 0
    connections: int = 0
    _void: set[str] = field(default_factory=set)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)
    _challenge: str = 'Basic realm="faults"'
    _listener: socket.socket | None = None
    _held: socket.socket | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _port: int = 0

    def __enter__(self) -> FaultProxy:  # noqa: PYI034  # Self is not in Python 3.10
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # what is stalled does not reach the registry later, in the midst of another test
        self.refuse()
        if self._held is not None:
            self._held.close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._port}"

    def order(self, kind: str, **fault: Any) -> Fault:
        """Order a fault for the requests of one kind; return it, to be looked at or taken back."""
        made = Fault(kind, **fault)
        with self._lock:
            self._faults.append(made)
        return made

    def kinds(self) -> Counter[str]:
        """Count the requests that arrived, by kind."""
        with self._lock:
            return Counter(seen.kind for seen in self.seen)

    def uploaded(self) -> int:
        """Sum the bytes of request bodies that arrived."""
        with self._lock:
            return sum(seen.body for seen in self.seen)

    def take_back(self) -> None:
        """Take back the faults that were not met."""
        with self._lock:
            self._faults.clear()

    def revoke(self) -> int:
        """Refuse from now on (401) every Authorization that was sent until now; how many that are."""
        with self._lock:
            self._void = {seen.authorization for seen in self.seen if seen.authorization and seen.kind != "token"}
            return len(self._void)

    def forget(self) -> None:
        """Begin to count anew; faults that were not met are taken back."""
        with self._lock:
            self.seen.clear()
            self._faults.clear()
            self.tls_attempts = self.connections = 0

    def listen(self) -> None:
        """Accept connections, on the same port as before."""
        listener, self._held = self._held or hold_port(), None
        listener.listen(64)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self, seconds: float | None = None) -> None:
        """Close everything; new connections are refused, for so long or until `listen`. The port stays ours."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._held = hold_port(self._port)
        with self._lock:
            held = list(self._open)
        for connection in held:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if seconds is not None:
            timer = threading.Timer(seconds, self.listen)
            timer.daemon = True
            timer.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            time.sleep(self.latency)
            first = client.recv(1, socket.MSG_PEEK)
            if first and first[0] == TLS_HANDSHAKE and self.tls is not None:
                self.tls_attempts += 1
                client = self.tls.wrap_socket(client, server_side=True)
            elif first and (first[0] == TLS_HANDSHAKE or self.tls is not None):
                self.tls_attempts += first[0] == TLS_HANDSHAKE
                time.sleep(self.latency)
                client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            stream = client.makefile("rb")
            while self._one(client, stream):
                pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def _one(self, client: socket.socket, stream: Any) -> bool:
        """Pass one request on, or spoil it; False when the connection is over."""
        head = read_head(stream)
        if head is None:
            return False
        method, path, _ = head.first.split(" ", 2)
        seen = Seen(kind_of(method, path), method, path, head.get("Authorization"), head.get("Range"))
        with self._lock:
            self.seen.append(seen)
            fault = self._take(seen)
            if seen.authorization in self._void and seen.kind != "token":
                fault = Fault(seen.kind, expired=True)
        if self._over.wait(self.latency + (fault.stall if fault else 0)):
            return False
        if fault is not None and fault.refuse:
            self.refuse(fault.refuse)
            return False
        length = int(head.get("Content-Length") or 0)
        if fault is not None and fault.cut_request == 0:
            return False
        if fault is not None and (fault.status or fault.expired):
            self._drain(stream, length, seen)
            client.sendall(self._own_answer(fault, method))
            return True
        return self._pass_on(client, stream, head, seen, fault)

    def _take(self, seen: Seen) -> Fault | None:
        for fault in self._faults:
            if fault.kind == seen.kind and seen.path.endswith(fault.path) and fault.times:
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def _own_answer(self, fault: Fault, method: str) -> bytes:
        status = 401 if fault.expired else fault.status
        answer = Head(f"HTTP/1.1 {status} Fault", [*fault.headers, ("Content-Length", str(len(fault.body)))])
        if fault.expired:
            answer.put("WWW-Authenticate", self._challenge + ',error="invalid_token"')
        return answer.to_bytes() + (b"" if method == "HEAD" else fault.body)

    def _pass_on(  # what one exchange is made of
        self, client: socket.socket, stream: Any, head: Head, seen: Seen, fault: Fault | None
    ) -> bool:
        upstream = self.tokens if seen.kind == "token" and self.tokens else self.upstream
        name, _, port = upstream.rpartition(":")
        head.put("Connection", "close")
        with socket.create_connection((name, int(port)), timeout=60) as server:
            server.sendall(head.to_bytes())
            for block in self._blocks(stream, int(head.get("Content-Length") or 0), seen, fault):
                server.sendall(block)
            if fault is not None and fault.cut_request is not None:
                return False
            with server.makefile("rb") as back:
                return self._answer(client, back, seen, fault)

    def _blocks(self, stream: Any, length: int, seen: Seen, fault: Fault | None) -> Iterator[bytes]:
        limit = length if fault is None or fault.cut_request is None else min(length, fault.cut_request)
        while limit and (block := stream.read1(min(limit, BLOCK))):
            limit -= len(block)
            seen.body += len(block)
            if self.rate:
                time.sleep(len(block) / self.rate)
            yield block

    def _drain(self, stream: Any, length: int, seen: Seen) -> None:
        for _ in self._blocks(stream, length, seen, None):
            pass

    def _answer(self, client: socket.socket, back: Any, seen: Seen, fault: Fault | None) -> bool:
        answer = read_head(back)
        if answer is None or (fault is not None and fault.cut_answer == -1):
            return False
        time.sleep(fault.hold if fault is not None else 0)
        challenge = answer.get("WWW-Authenticate")
        if challenge is not None:
            if self.tokens or self.realm:
                challenge = re.sub(r'realm="http://[^/"]+', f'realm="http://{self.realm or self.host}', challenge)
                answer.put("WWW-Authenticate", challenge)
            self._challenge = challenge
        if fault is not None and fault.digest is not None:
            answer.put("Docker-Content-Digest", fault.digest)
        answer.put("Connection", "keep-alive")
        bodiless = seen.method == "HEAD" or answer.first.split()[1] in ("204", "304")
        if not bodiless and answer.get("Content-Length") is None:
            content = back.read() if answer.get("Transfer-Encoding") is None else read_chunks(back)
            answer.headers = [pair for pair in answer.headers if pair[0].lower() != "transfer-encoding"]
            answer.put("Content-Length", str(len(content)))
            client.sendall(answer.to_bytes() + content)
            return True
        client.sendall(answer.to_bytes())
        left = 0 if bodiless else int(answer.get("Content-Length") or 0)
        allowed = left if fault is None or fault.cut_answer is None else min(left, fault.cut_answer)
        cut = allowed < left
        while allowed and (block := back.read1(min(allowed, BLOCK))):
            allowed -= len(block)
            if fault is not None and fault.corrupt:
                block, fault = bytes([block[0] ^ 1]) + block[1:], None
            client.sendall(block)
        return not cut


def read_head(stream: Any) -> Head | None:
    """Read the first lines; None at the end of the connection."""
    first = stream.readline(BLOCK).decode("latin-1").strip()
    if not first:
        return None
    headers = []
    while line := stream.readline(BLOCK).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers.append((name.strip(), value.strip()))
    return Head(first, headers)


def read_chunks(stream: Any) -> bytes:
    """Read a chunked body to its end."""
    content = b""
    while size := int(stream.readline(BLOCK).split(b";")[0], 16):
        content += stream.read(size)
        stream.readline(BLOCK)
    stream.readline(BLOCK)
    return content
