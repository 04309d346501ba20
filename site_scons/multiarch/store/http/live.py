"""The open connections of a run, which end when it is cancelled."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref

from multiarch.store.http.failures import Cancelled

_POLL_S = 0.25


class Live:
    """The open connections, so that `cancelled` can end them: a thread that waits for a server sees no event."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
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
            threading.Thread(target=_watch, args=(weakref.ref(self), self._cancelled), daemon=True).start()
        self.check()

    def end(self) -> None:
        """Shut every connection; whoever waits on one meets an error."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                # The plain socket's own shutdown: that of TLS would pull the session from under its reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _watch(live: weakref.ref[Live], cancelled: threading.Event) -> None:
    while not cancelled.wait(_POLL_S):
        if live() is None:
            return
    remaining = live()
    if remaining is not None:
        remaining.end()
