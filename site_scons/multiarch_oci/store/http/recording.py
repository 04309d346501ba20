"""Requests as they go: what a progress line, a trace and a report need to know of each.

Nothing here is loaded, and nothing counted, where nobody watches.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol
from urllib.parse import urlsplit

import msgspec


class RequestRecord(msgspec.Struct, eq=False):
    """One request to one host, while it is under way and afterwards; written by the thread that asks, read by any.

    Times are those of `time.monotonic()`. `path` has no query, in which some keep secrets. `length` is the size of the
    body that is to be sent; `sent` and `received` are bytes of bodies so far, `moved` is when the last of them went or
    came. `status` is None while there is no answer, `error` the class of what ended it before its end.
    """

    method: str
    host: str
    path: str
    length: int
    began: float
    thread: str
    moved: float
    sent: int = 0
    received: int = 0
    status: int | None = None
    error: str | None = None
    ended: float | None = None

    @classmethod
    def begun(cls, method: str, url: str, length: int) -> RequestRecord:
        """A request that this thread is about to send."""
        parts, now = urlsplit(url), time.monotonic()
        host = parts.netloc.rpartition("@")[2]
        return cls(method, host, parts.path, length, now, threading.current_thread().name, now)

    def went(self, count: int) -> None:
        """Note bytes of the body that were sent."""
        self.sent, self.moved = self.sent + count, time.monotonic()

    def came(self, count: int) -> None:
        """Note bytes of the answer's body."""
        self.received, self.moved = self.received + count, time.monotonic()

    def end(self, error: str | None = None) -> None:
        """Note that nothing more will go or come, and what it was that failed, unless that is noted."""
        self.error, self.ended = error or self.error, time.monotonic()


class Watch(Protocol):
    """Who is told of requests, from any thread; what it does has to be quick, and raises nothing."""

    def request(self, record: RequestRecord) -> None:
        """A request is about to be sent; the record goes on to say what becomes of it."""
        ...

    def pause(self, seconds: float, error: str) -> None:
        """A try failed, and this thread waits so long before the next one; `error` is one line."""
        ...
