"""Connections that end when the run does."""

from __future__ import annotations

import gc
import socket
import threading

import pytest

from multiarch.store.http.failures import Cancelled
from multiarch.store.http.live import Live


def test_whoever_waits_on_a_connection_meets_its_end() -> None:
    cancelled = threading.Event()
    live = Live(cancelled)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        live.add(ours)
        live.check()
        cancelled.set()
        assert ours.recv(1) == b""  # waits until then
        with pytest.raises(Cancelled):
            live.check()


def test_a_connection_that_comes_too_late_is_not_waited_on() -> None:
    cancelled = threading.Event()
    live = Live(cancelled)
    cancelled.set()
    with socket.socket() as late, pytest.raises(Cancelled):
        live.add(late)


def test_a_connection_that_was_forgotten_or_closed_is_no_trouble_at_the_end() -> None:
    live = Live(threading.Event())
    closed = socket.socket()
    live.add(closed)
    closed.close()
    with socket.socket() as unused:
        live.add(unused)
    del unused
    gc.collect()
    live.end()
