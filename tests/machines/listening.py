"""What servers of tests share: they listen on a free port of this machine for as long as a block runs, a thread each.

`HttpServer` reads heads and hands each request to `serve`; `Listener` hands over the bare connections.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

_Http = TypeVar("_Http", bound="HttpServer")
_Bare = TypeVar("_Bare", bound="Listener")


class HttpServer:
    """Answers each request by `serve`, whatever its method; with `tls` it speaks nothing else."""

    tls: ssl.SSLContext | None = None
    _server: ThreadingHTTPServer | None = None

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        raise NotImplementedError

    def __enter__(self: _Http) -> _Http:  # noqa: PYI019  # Self is not in Python 3.10
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self) -> None:
                owner.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - the base class names them so

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Keep the test's output quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Keep quiet about connections that the other side ended."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        if self._server is None:
            raise RuntimeError("the server does not run")
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Scheme and host."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}"


class Listener:
    """Hands each connection to `serve`, which closes it; `connections` are all there were, in their order."""

    def serve(self, connection: socket.socket) -> None:
        """See to one connection; OSError ends it."""
        raise NotImplementedError

    def __enter__(self: _Bare) -> _Bare:  # noqa: PYI019  # Self is not in Python 3.10
        self.connections: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self.serve(connection)


class Meeting(Listener):
    """Who connects waits until he is let go, so that what runs at once is counted and not timed.

    `most` is how many waited at once, `met` how many came.
    """

    def __init__(self) -> None:
        self.most = self.met = 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._round = 0
        self._open = False

    @property
    def port(self) -> int:
        """Where to connect to."""
        return int(self.listener.getsockname()[1])

    def serve(self, connection: socket.socket) -> None:
        """Hold a connection until all that wait are let go."""
        with self._changed:
            self.met += 1
            self._waiting += 1
            self.most = max(self.most, self._waiting)
            self._changed.notify_all()
            before = self._round
            while not self._open and self._round == before:
                self._changed.wait()
        connection.close()

    def wait_for(self, count: int, seconds: float = 120) -> None:
        """Return when so many wait; TimeoutError when they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= count, seconds):
                raise TimeoutError(f"{self._waiting} came, and not {count}")

    def release(self) -> None:
        """Let all go that wait."""
        with self._changed:
            self._round += 1
            self._waiting = 0
            self._changed.notify_all()

    def open(self) -> None:
        """Hold nobody any more."""
        with self._changed:
            self._open = True
            self._changed.notify_all()
