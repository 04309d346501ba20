"""Connections that end when the run does."""

from __future__ import annotations

import gc
import socket
import threading

import pytest

from multiarch_oci.store.http.errors import Cancelled
from multiarch_oci.store.http.watchdog import Watchdog


def test_whoever_waits_on_a_connection_meets_its_end() -> None:
    cancelled = threading.Event()
    watchdog = Watchdog(cancelled)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watchdog.add(ours)
        watchdog.check()
        cancelled.set()
        assert ours.recv(1) == b""  # waits until then
        with pytest.raises(Cancelled):
            watchdog.check()


def test_a_connection_that_comes_too_late_is_not_waited_on() -> None:
    cancelled = threading.Event()
    watchdog = Watchdog(cancelled)
    cancelled.set()
    with socket.socket() as late, pytest.raises(Cancelled):
        watchdog.add(late)


def test_a_connection_that_was_forgotten_or_closed_is_no_trouble_at_the_end() -> None:
    watchdog = Watchdog(threading.Event())
    closed = socket.socket()
    watchdog.add(closed)
    closed.close()
    with socket.socket() as unused:
        watchdog.add(unused)
    del unused
    gc.collect()
    watchdog.end()


def test_where_no_thread_can_be_started_names_are_looked_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")  # as Python 3.12 says from atexit

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watchdog = Watchdog(threading.Event())
    with socket.socket() as used:
        watchdog.add(used)
    assert watchdog.addresses("localhost", 80, 10)
