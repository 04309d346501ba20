"""Values by key, each made once: who wants one that is being made waits for it, and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Once(Generic[_T]):
    """Values by key, each made at its first use; thread-safe. What could not be made is tried again by the next one.

    No lock is held while something is made, so that it may take its time, and may ask here for others: not for itself.
    `functools.cache` would make a value twice for two threads; a lock a key would let all who wait fail one by one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, Future[_T]] = {}
        self._ready: dict[Hashable, _T] = {}

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of `key`, by `make` when it is not there; raises what `make` raises, to all who wait for it."""
        if key in self._ready:
            return self._ready[key]
        with self._lock:
            under_way = self._made.get(key)
            if under_way is None:
                future = self._made[key] = Future()
        if under_way is not None:
            return under_way.result()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._made[key]
            future.set_exception(error)
            raise
        self._ready[key] = value
        future.set_result(value)
        return value

    def peek(self, key: Hashable) -> _T | None:
        """The value of `key` when it was made already, else None; never waits."""
        return self._ready.get(key)
