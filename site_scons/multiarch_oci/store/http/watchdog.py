"""What a run waits for at its servers, and how the waiting ends with it: open connections, and names looked up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from typing import Any

from multiarch_oci.store.http.errors import Cancelled, NoName

_POLL_S = 0.25


class Watchdog:
    """Ends what waits once `cancelled` is set, within half a second: a thread that waits for a server sees no event."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lookups: dict[tuple[str, int], Future[list[Any]]] = {}
        self._watched = False

    def check(self) -> None:
        """Raise Cancelled once the run was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    def add(self, sock: socket.socket) -> None:
        """Watch one more connection for as long as it exists; Cancelled when it is too late for one."""
        with self._lock:
            self._sockets.add(sock)
            begin, self._watched = not self._watched, True
        if begin:
            _started(_watch, weakref.ref(self), self._cancelled)
        self.check()

    def end(self) -> None:
        """Shut every connection; whoever waits on one meets an error."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                # The plain socket's own shutdown: that of TLS would pull the session from under its reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def addresses(self, host: str, port: int, seconds: float) -> list[Any]:
        """The addresses of a host, as socket.getaddrinfo gives them; of a name within so many seconds.

        Nothing ends a look-up that hangs: it has a thread of its own, and who asks again meanwhile waits for the same.
        Raises socket.gaierror, NoName and Cancelled.
        """
        # Bytes: of a str, Python would find out first how it is written in ASCII, and load a codec for it.
        with contextlib.suppress(socket.gaierror):
            return socket.getaddrinfo(host.encode(), port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        with self._lock:
            begun = self._lookups.get((host, port))
            lookup = self._lookups[host, port] = begun or Future()
        if begun is None and not _started(self._look_up, host, port, lookup):
            self._look_up(host, port, lookup)
        end = time.monotonic() + seconds
        while True:
            self.check()
            remaining = end - time.monotonic()
            try:
                return lookup.result(max(0.0, min(remaining, _POLL_S)))
            except NotDone:  # before Python 3.11 no TimeoutError
                if remaining <= _POLL_S:
                    raise NoName from None

    def _look_up(self, host: str, port: int, lookup: Future[list[Any]]) -> None:
        try:
            lookup.set_result(socket.getaddrinfo(host.encode(), port, 0, socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001  # raised by whoever waits
            lookup.set_exception(error)
        with self._lock:
            del self._lookups[host, port]


def _started(target: Callable[..., None], *arguments: object) -> bool:
    """Start a thread; False where there is none: at the end of a process Python 3.12 starts no more."""
    try:
        threading.Thread(target=target, args=arguments, daemon=True).start()
    except RuntimeError:
        return False
    return True


def _watch(watchdog: weakref.ref[Watchdog], cancelled: threading.Event) -> None:
    while not cancelled.wait(_POLL_S):
        if watchdog() is None:
            return
    remaining = watchdog()
    if remaining is not None:
        remaining.end()
