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
