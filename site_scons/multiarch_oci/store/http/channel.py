"""A connection as bytes that go and come, each wait within limits: a total, a longest silence, a lowest speed."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable

_RECORDS = 32 << 10  # what TLS is given at once: it says nothing before all of it is sent


class LowSpeed(OSError):
    """A transfer below the lowest speed, at which it would take for ever; the text says which."""


class Channel(io.RawIOBase):
    """What is sent and received over one connection, with `low_speed_limit` bytes a second in `low_speed_time` seconds.

    `begin` opens a phase: no wait in it is longer than `silence` seconds, and it ends at `end` (time.monotonic), both
    with TimeoutError. When it is `paced`, and from its first byte on when not, LowSpeed is raised where less than the
    lowest speed was reached for so long. Only time spent waiting for the other side counts, so that who takes its time
    with what came is no slow connection. Closing it leaves the connection open: `sock` is its owner's.
    """

    def __init__(self, sock: socket.socket, low_speed: tuple[int, float]) -> None:
        super().__init__()
        self.sock = sock
        self.ended = False
        self._piece = 1 << 30 if type(sock) is socket.socket else _RECORDS
        self._limit, self._window = low_speed
        self._peeking = False
        self.begin(0.0)

    def begin(self, silence: float, *, end: float | None = None, paced: bool = True) -> None:
        """Open the next phase."""
        self._silence, self._end, self._paced = silence, end, paced
        self._waited, self._moved, self._quiet = 0.0, 0, 0.0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # typeshed's is not public
        """As io.RawIOBase says; nobody waits within `is_quiet`. Raises TimeoutError, LowSpeed and OSError."""
        if self._peeking:
            try:
                count = self.sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
        else:
            count = self._wait(lambda: self.sock.recv_into(buffer))
        self.ended = not count
        return count

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises TimeoutError, LowSpeed and OSError."""
        left = memoryview(data).cast("B")
        while left:
            piece = left[: self._piece]
            left = left[self._wait(lambda: self.sock.send(piece)) :]  # noqa: B023  # called at once

    def is_quiet(self, stream: io.BufferedReader[Channel]) -> bool:
        """Whether an idle connection is still there, and nothing waits that nobody asked for; `stream` reads from this.

        The tickets that TLS 1.3 sends after its handshake are not for us, and are taken in here.
        """
        self._peeking = True
        try:
            self.sock.settimeout(0)
            return not stream.peek(1) and not self.ended
        except OSError:
            return False
        finally:
            self._peeking = False

    def _wait(self, move: Callable[[], int]) -> int:
        """How many bytes moved, once some did or the connection ended."""
        while True:
            begun = time.monotonic()
            self.sock.settimeout(self._allowed(begun))
            count = 0
            late = False
            try:
                count = move()
            except TimeoutError:
                late = True
            waited = time.monotonic() - begun
            self._waited += waited
            self._quiet = self._quiet + waited if late else 0.0
            if late:
                continue
            if not self._paced:  # the first byte starts the clock
                self._paced, self._waited = True, 0.0
            self._moved += count
            return count

    def _allowed(self, now: float) -> float:
        """How many seconds the next wait may take."""
        if self._paced and self._waited >= self._window:
            if self._moved < self._limit * self._window:
                raise LowSpeed(f"less than {self._limit / 1024:g} KiB/s for {self._window:g} s")
            self._waited, self._moved = 0.0, 0
        seconds = self._silence - self._quiet
        if self._end is not None:
            seconds = min(seconds, self._end - now)
        if seconds <= 0:
            raise TimeoutError
        return min(seconds, self._window - self._waited) if self._paced else seconds
