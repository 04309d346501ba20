"""Values by key, each made once: who wants one that is being made waits for it, and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Once(Generic[_T]):
    """Values by key, each made at its first use; thread-safe. What could not be made is tried again by the next one.

    No lock is held while something is made, so that it may take its time, and may ask here for others: not for itself.
    `functools.cache` would make a value twice for two threads; a lock a key would let all who wait fail one by one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, _UnderWay] = {}
        self._ready: dict[Hashable, _T] = {}

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of `key`, by `make` when it is not there; raises what `make` raises, to all who wait for it."""
        if key in self._ready:
            return self._ready[key]
        with self._lock:
            others = self._under_way.get(key)
            if others is None:
                own = self._under_way[key] = _UnderWay()
        if others is not None:
            others.done.wait()
            if others.error is not None:
                raise others.error
            return self._ready[key]
        try:
            value = self._ready[key] = make()
        except BaseException as error:
            own.error = error
            with self._lock:
                del self._under_way[key]
            raise
        finally:
            own.done.set()
        return value

    def peek(self, key: Hashable) -> _T | None:
        """The value of `key` when it was made already, else None; never waits."""
        return self._ready.get(key)


class _UnderWay:
    """What others wait for: less than a Future of `concurrent.futures`, not loaded by a run with nothing to do."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: BaseException | None = None
