"""The connections to one origin: kept while they are good, and one exchange over each at a time.

Loaded at the first request of a run, as `http.client` and `ssl` are.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import weakref
from collections import deque
from typing import Protocol

from multiarch.errors import MultiarchError
from multiarch.store.http.causes import interrupted
from multiarch.store.http.dial import Way, dial
from multiarch.store.http.live import Live

_BLOCK = 1 << 18
_HUNG_UP = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ssl.SSLEOFError)


class Body(Protocol):
    """What a request's body is read from."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""


class Pool:
    """The connections to one origin; thread-safe. At most `size` are kept; there may be more at a time."""

    def __init__(self, way: Way, size: int, live: Live) -> None:
        self.way = way
        self._prefix = way.prefix
        self._fields = way.fields
        self._size = size
        self._live = live
        self._idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def ask(
        self, method: str, target: str, headers: dict[str, str], body: Body, limits: tuple[float, float]
    ) -> Exchange:
        """Send a request and read the head of its answer; `limits` are for connecting and for each wait, in seconds.

        An answer that comes before the body was sent whole is an answer. Raises Unreachable, Interrupted and
        UntrustedHost, Cancelled, and what reading the body raises.
        """
        connect, patience = limits
        connection = self._take(connect)
        try:
            connection.sock.settimeout(patience)
            _send(connection, method, self._prefix + target, self._fields | headers, body)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self.explained(error, patience) from None
        except BaseException:
            connection.close()
            raise
        return Exchange(self, connection, response, patience)

    def open(self, seconds: float) -> None:
        """Open one more connection, for the next request that takes one. Raises as `ask`."""
        self.keep(self._dialled(seconds))

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Take back a connection whose last answer was read to its end."""
        if len(self._idle) < self._size:
            self._idle.append(connection)
        else:
            connection.close()

    def explained(self, error: Exception, patience: float) -> MultiarchError:
        """The error for a connection that broke; Cancelled when it was we who ended it."""
        self._live.check()
        return interrupted(error, self.way.netloc, patience)

    def check(self) -> None:
        """Raise Cancelled once the run was cancelled."""
        self._live.check()

    def _take(self, seconds: float) -> http.client.HTTPConnection:
        """The connection used last that is still good, else a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._dialled(seconds)
            if _is_quiet(connection.sock):
                return connection
            connection.close()

    def _dialled(self, seconds: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.way.origin.host, self.way.origin.port)
        connection.auto_open = 0  # nothing goes out but over what `dial` made
        connection.sock = dial(self.way, seconds, self._live)
        return connection


class Exchange(io.RawIOBase):
    """The answer to one request, and its body; closing it frees the connection, to be used again or for good."""

    def __init__(
        self, pool: Pool, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, patience: float
    ) -> None:
        super().__init__()
        self._pool = pool
        self._connection = connection
        self._response = response
        self._patience = patience
        self.status = response.status
        self.headers = response.getheaders()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all of them for -1 or None. Interrupted when it is cut short."""
        self._pool.check()
        response = self._response
        try:
            block = response.read(None if size is None or size < 0 else size)
        except (OSError, http.client.HTTPException) as error:
            raise self._pool.explained(error, self._patience) from None
        if not block and size and response.length and response.isclosed():  # what the head promised did not come
            raise self._pool.explained(http.client.IncompleteRead(b""), self._patience)
        return block

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is not public
        """As io.RawIOBase says, over `read`."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else end it."""
        if not self.closed:
            read = self._response.isclosed() and not self._response.length
            self._response.close()
            if read and self._connection.sock is not None:
                self._pool.keep(self._connection)
            else:
                self._connection.close()
        super().close()


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: dict[str, str],
    body: Body,
) -> None:
    """Send a request, or as much of it as the server takes: its answer may explain why that was not all."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    try:
        connection.endheaders()
        while block := body.read(_BLOCK):
            connection.send(block)
    except _HUNG_UP:
        return
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:  # macOS, of a connection that is being closed
            raise


def _is_quiet(sock: socket.socket) -> bool:
    """Whether an idle connection is still there: nothing waits in it, neither its end nor bytes that nobody asked for.

    The tickets that TLS 1.3 sends after its handshake are not for us, and are taken in here.
    """
    try:
        sock.settimeout(0)
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False


def _close_all(connections: deque[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()
