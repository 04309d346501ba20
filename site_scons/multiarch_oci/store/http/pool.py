"""The connections to one origin: kept while they are good, and one exchange over each at a time.

Loaded at the first request of a run, as `http.client` and `ssl` are.
"""

from __future__ import annotations

import errno
import http.client
import io
import ssl
import time
import weakref
from collections import deque
from typing import Protocol

from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.connection import Channel, Way, dial
from multiarch_oci.store.http.errors import BrokenAnswer, CutShort, interrupted
from multiarch_oci.store.http.reading import Body, Head, read_head
from multiarch_oci.store.http.watchdog import Watchdog

_BLOCK = 1 << 18
_BUFFER = 16 << 10
_FAILURES = (OSError, http.client.HTTPException, CutShort, BrokenAnswer)
_HUNG_UP = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ssl.SSLEOFError)


class Content(Protocol):
    """What a request's body is read from."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""


class Connection:
    """One connection: what is sent goes into `channel`, what comes is read from `stream`, which buffers."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.stream = io.BufferedReader(channel, _BUFFER)

    def is_quiet(self) -> bool:
        """Whether another request may be sent: it is there, and nothing was said unasked."""
        return self.channel.is_quiet(self.stream)

    def close(self) -> None:
        """End it."""
        self.channel.sock.close()


class Pool:
    """The connections to one origin; thread-safe. At most `size` are kept; there may be more at a time."""

    def __init__(self, way: Way, size: int, low_speed: tuple[int, float], watchdog: Watchdog) -> None:
        self.way = way
        self._low_speed = low_speed
        self._prefix = way.prefix
        self._fields = way.fields
        self._size = size
        self._watchdog = watchdog
        self._idle: deque[Connection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def ask(
        self, method: str, target: str, headers: dict[str, str], body: Content, limits: tuple[float, float]
    ) -> Exchange:
        """Send a request and read the head of its answer; `limits` are for connecting and for that head, in seconds.

        An answer that comes before the body was sent whole is an answer. Raises Unreachable, Interrupted and
        UntrustedHost, Cancelled, and what reading the body raises.
        """
        connect, patience = limits
        connection = self._take(connect)
        channel = connection.channel
        try:
            channel.begin(patience)
            self._send(channel, method, self._prefix + target, self._fields | headers, body)
            end = time.monotonic() + patience
            head = read_head(method, connection.stream, lambda: channel.begin(patience, end=end, paced=False))
        except _FAILURES as error:
            connection.close()
            raise self.explained(error, patience) from None
        except BaseException:
            connection.close()
            raise
        channel.begin(patience)
        return Exchange(self, connection, head, patience)

    def connect(self, seconds: float) -> None:
        """Have a connection for the next request; Unreachable, Interrupted, UntrustedHost, Cancelled."""
        self.keep(self._dialled(seconds))

    def keep(self, connection: Connection) -> None:
        """Take back a connection whose last answer was read to its end."""
        if len(self._idle) < self._size:
            self._idle.append(connection)
        else:
            connection.close()

    def explained(self, error: Exception, patience: float) -> MultiarchError:
        """The error for a connection that broke; Cancelled when it was we who ended it."""
        self._watchdog.check()
        return interrupted(error, self.way.netloc, patience)

    def check(self) -> None:
        """Raise Cancelled once the run was cancelled."""
        self._watchdog.check()

    def _take(self, seconds: float) -> Connection:
        """The connection used last that is still good, else a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._dialled(seconds)
            if connection.is_quiet():
                return connection
            connection.close()

    def _dialled(self, seconds: float) -> Connection:
        return Connection(Channel(dial(self.way, seconds, self._watchdog), self._low_speed))

    def _send(self, channel: Channel, method: str, target: str, headers: dict[str, str], body: Content) -> None:
        """Send a request, or as much of it as the server takes: its answer may explain why that was not all."""
        request = http.client.HTTPConnection(self.way.origin.host, self.way.origin.port)
        request.auto_open = 0  # nothing goes out but over what `dial` made
        request.sock = channel  # all that is asked of it here is `sendall`
        request.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            request.putheader(name, value)
        try:
            request.endheaders()
            while block := body.read(_BLOCK):
                request.send(block)
        except _HUNG_UP:
            return
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # macOS, of a connection that is being closed
                raise


class Exchange(io.RawIOBase):
    """The answer to one request, and its body; closing it frees the connection, to be used again or for good."""

    def __init__(self, pool: Pool, connection: Connection, head: Head, patience: float) -> None:
        super().__init__()
        self._pool = pool
        self._connection = connection
        self._body = Body(connection.stream, head)
        self._kept = head.kept
        self._patience = patience
        self.status = head.status
        self.headers = head.headers

    def within(self, seconds: float) -> None:
        """Give the rest of the body so many seconds in all."""
        self._patience = seconds
        self._connection.channel.begin(seconds, end=time.monotonic() + seconds)

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all of them for -1 or None. Interrupted when it is cut short."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_BLOCK), b""))
        self._pool.check()
        try:
            return self._body.read(size)
        except _FAILURES as error:
            raise self._pool.explained(error, self._patience) from None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is not public
        """As io.RawIOBase says, over `read`."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else end it."""
        if not self.closed:
            if self._kept and self._body.ended:
                self._pool.keep(self._connection)
            else:
                self._connection.close()
        super().close()


def _close_all(connections: deque[Connection]) -> None:
    while connections:
        connections.pop().close()
