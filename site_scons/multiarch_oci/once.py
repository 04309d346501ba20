"""Things that are made once and kept: who wants one that is being made waits for it, and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")


class Awaited(Generic[_T]):
    """The outcome of something under way: settled once, by whoever does it; any number of threads may wait for it."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._value: _T | None = None
        self._error: BaseException | None = None

    def settle(self, value: _T | None, error: BaseException | None = None) -> None:
        """Give the outcome, a value or an error, to all who wait."""
        self._value, self._error = value, error
        self._settled.set()

    def is_settled(self) -> bool:
        """Whether the outcome is there."""
        return self._settled.is_set()

    def wait(self, seconds: float | None = None) -> _T:
        """The value when it is there, however long that takes, or TimeoutError; raises the error."""
        if not self._settled.wait(seconds):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return cast("_T", self._value)


class Once(Generic[_T]):
    """Values by key, each made at its first use; thread-safe. What could not be made is tried again by the next one.

    No lock is held while something is made, so that it may take its time, and may ask here for others: not for itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, Awaited[_T]] = {}
        self._ready: dict[Hashable, _T] = {}

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of `key`, by `make` when it is not there; raises what `make` raises, to all who wait for it."""
        if key in self._ready:
            return self._ready[key]
        with self._lock:
            found = self._made.get(key)
            mine = found is None
            awaited = self._made[key] = Awaited() if found is None else found
        if not mine:
            return awaited.wait()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._made[key]
            awaited.settle(None, error)
            raise
        self._ready[key] = value
        awaited.settle(value)
        return value

    def peek(self, key: Hashable) -> _T | None:
        """The value of `key` when it was made already, else None; never waits."""
        return self._ready.get(key)
