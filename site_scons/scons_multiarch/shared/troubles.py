"""What is wrong with the shared cache of a run: each cause is said once, and whoever fails is not asked for ever."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import TYPE_CHECKING

from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.store.http.errors import Cancelled, TooManyRequests, Transient, is_unanswered
from scons_multiarch.process import say_now
from scons_multiarch.shared.origins import repository_of

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURES = 3
"""After so many questions of a run that failed nothing is asked there any more."""
_KEY = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")


class Troubles:
    """Of one build; any number of threads. `is_new` says whether words were not said yet.

    They are said at once: of the whole run, not of the step that met them, which may begin anew.
    """

    def __init__(self, is_new: Callable[[str], bool]) -> None:
        self._is_new = is_new
        self._guard = threading.Lock()
        self._failures: Counter[str] = Counter()  # of questions, by host
        self._unread: set[str] = set()  # hosts that are not asked any more
        self._unwritten: set[str] = set()  # hosts, and places, that get nothing any more
        self._left_out: Counter[tuple[str, str]] = Counter()  # entries, by cause

    def is_closed(self, origin: str, *, writing: bool = False) -> bool:
        """Whether a place is not asked any more, or, `writing`, gets nothing any more."""
        host = _host(origin)
        return not self._unwritten.isdisjoint((host, origin)) if writing else host in self._unread

    def failed(self, origin: str, error: Exception, *, writing: bool = False) -> None:
        """Note, and say once, that a place could not be read, or written to.

        Who says nothing, or that we ask too often, is left alone for the rest of the run. Who fails often is, too. Who
        refuses to be written to may still be read; and to be read, still be written to: nobody made it yet, perhaps.
        """
        if isinstance(error, Cancelled):
            return
        host = _host(origin)
        is_over = isinstance(error, TooManyRequests) or is_unanswered(error)
        with self._guard:
            known = is_over and host in self._unread
            self._failures[host] += not writing
            if is_over or self._failures[host] >= _FAILURES:
                self._unread.add(host)
                if isinstance(error, Transient):
                    self._unwritten.add(host)
            if writing:
                self._unwritten.add(origin)
        if not known:
            self._say_failed(error, writing=writing, is_over=is_over)

    def _say_failed(self, error: Exception, *, writing: bool, is_over: bool) -> None:
        what = f"the cache cannot be {'written to' if writing else 'read'}: {one_line(error)}"
        hint = error.hint if isinstance(error, MultiarchError) else None
        if is_over:
            more = "; this run goes on without it: mend that, or leave CACHE out"
        else:
            more = f" ({hint})" if hint is not None else ""
        if self._is_new(f"{what}{more if is_over else ''}"):  # a hint may be another one at the second time
            say_now(f"  warning: {what}{more}")

    def left_out(self, error: Exception) -> None:
        """Note an entry that does not count; of each cause the first is said."""
        cause = _cause(error)
        with self._guard:
            self._left_out[cause] += 1
            is_first = self._left_out[cause] == 1
        if is_first:
            say_now(f"  warning: an entry of the cache is left out: {_shortened(one_line(error))}")

    def say_rest(self) -> None:
        """Say how many more entries of each cause were left out."""
        with self._guard:
            counts, self._left_out = self._left_out, Counter()
        for (kind, words), count in counts.items():
            if count > 1:
                entries = "more entry of the cache is" if count == 2 else "more entries of the cache are"  # noqa: PLR2004
                say_now(f"  warning: {count - 1} {entries} left out: {words or kind}")


def _host(origin: str) -> str:
    """What fails together: the registry of a place, or the folder."""
    reference = repository_of(origin)
    return origin if reference is None else reference.registry


def _cause(error: Exception) -> tuple[str, str]:
    """What entries that are left out have in common."""
    what = error.what if isinstance(error, MultiarchError) else ""
    return type(error).__name__, _KEY.sub("…", what)


def _shortened(words: str) -> str:
    """Words with the beginning of each digest and key in them alone."""
    return _KEY.sub(r"\1…", words)
