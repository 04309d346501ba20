"""What ends running steps at Ctrl-C, SIGTERM and their like.

SCons notes such a signal and waits for the steps that run. They unpack, hash, compress and wait in loops all over the
library, none of which knows of signals. So the thread that hears of the signal raises an exception in theirs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_GRACE_S = 0.4
"""How long a step may come to its own end: one that is about to needs no exception, and leaves nothing behind."""
_AGAIN_S = 0.5
"""How long what an exception began to clean up may take; some code of Python itself swallows an exception, too."""
_LIMIT_S = 1.7
_POLL_S = 0.05

_ENDING = frozenset(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if (number := getattr(signal, name, None)) is not None
)


class Interrupted(KeyboardInterrupt):
    """Raised in a thread that works, by a signal. No `except Exception` keeps it; `finally` and `with` clean up."""


class Interrupts:
    """The steps that are performed, and the targets that are decided, each in a thread.

    `cancelled` is set by a signal; transfers and waits poll it.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[int, int] = {}
        self._ended = False

    def watch(self) -> None:
        """Set `cancelled` at Ctrl-C and its like, and end the running steps; SCons itself would wait for them.

        SCons installs its own signal handlers later; the interpreter's wake-up pipe is told of a signal whoever
        handles it. Call in the main thread.
        """
        receive, wakeup = _wakeup()
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

        def listen() -> None:
            while received := receive():
                self.cancelled.set()
                if received[0] in _ENDING:
                    self.end()

        threading.Thread(target=listen, daemon=True, name="interrupts").start()

    def performing(self) -> Interrupts:
        """Work in this thread, `with` this; Interrupted is raised in it, or out of here, when it has to end."""
        return self

    def __enter__(self) -> None:
        thread = threading.get_ident()
        if thread in self._threads:
            self._threads[thread] += 1  # what is of this thread no other one changes
            return
        with self._lock:
            self._threads[thread] = 1

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        if self._threads[thread] > 1:
            self._threads[thread] -= 1
            return
        with self._lock:
            del self._threads[thread]

    def end(self) -> None:
        """End the steps that run now; called once a signal, not in a thread of theirs.

        A thread that waits within the operating system (for a name, a disk, a lock) hears no exception. As a build may
        be killed at any time, the process ends then, with what the steps had begun left beside their targets.
        """
        with self._lock:
            running = bool(self._threads)
            if self._ended or not running:
                return
            self._ended = True
        deadline = time.monotonic() + _LIMIT_S
        again = time.monotonic() + _GRACE_S
        while running and time.monotonic() < deadline:
            if time.monotonic() >= again:
                self._interrupt()
                again = time.monotonic() + _AGAIN_S
            time.sleep(_POLL_S)
            with self._lock:
                running = bool(self._threads)
        if running:
            sys.stderr.write("scons: *** interrupted: a step that did not end was cut off\n")
            sys.stderr.flush()
            os._exit(2)
        self._ended = False

    def _interrupt(self) -> None:
        import ctypes  # slow to load, and only a signal needs it

        raised = ctypes.pythonapi.PyThreadState_SetAsyncExc
        with self._lock:
            for thread in self._threads:
                raised(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))


def _wakeup() -> tuple[Callable[[], bytes], int]:
    """How to wait for a byte, and the descriptor to write it to, both open as long as the process.

    A pipe where that will do: sockets cost 2 ms to load.
    """
    if os.name != "nt":
        receiving, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        return lambda: os.read(receiving, 1), wakeup
    import socket  # Windows wakes up by sockets alone

    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    return lambda: receiver.recv(1), sender.detach()
