"""How many requests are under way at one host, and a turn in which one of them goes alone.

Some hosts (their firewalls, mostly) refuse by 403 what comes with several others at once, and take it alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator

_POLL_S = 0.2
_LONGEST_S = 10.0
"""How long one that is to go alone waits for the others; an upload may take longer, and then goes on beside it."""


class Crowd:
    """The requests to one host; any number of threads. `check` raises when the run is to end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._begun = 0
        self._one_alone = False
        self._in_vain: set[Hashable] = set()

    @contextlib.contextmanager
    def among(self, check: Callable[[], object]) -> Iterator[Callable[[], bool]]:
        """Hold a place for one request; yields whether others have been under way since it began."""
        with self._changed:
            while self._one_alone:
                self._changed.wait(_POLL_S)
                check()
            accompanied = self._under_way > 0
            self._under_way += 1
            self._begun += 1
            mine = self._begun
        try:
            yield lambda: accompanied or self._begun > mine
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self, kind: Hashable, check: Callable[[], object]) -> Iterator[bool]:
        """Wait for a turn alone; yields False where a request of this `kind` was refused alone, too: it is in vain."""
        with self._changed:
            while self._one_alone:
                self._changed.wait(_POLL_S)
                check()
            self._one_alone = True
            end = time.monotonic() + _LONGEST_S
            try:
                while self._under_way and kind not in self._in_vain and time.monotonic() < end:
                    self._changed.wait(_POLL_S)
                    check()
            except BaseException:
                self._free()
                raise
        try:
            yield kind not in self._in_vain
        finally:
            with self._changed:
                self._free()

    def refused(self, kind: Hashable) -> None:
        """Remember that a request of this kind was refused alone, too."""
        self._in_vain.add(kind)

    def _free(self) -> None:
        self._one_alone = False
        self._changed.notify_all()
