"""Waiting until a file of interest changes: which paths count, and the wait for them (the package `watchfiles`).

Folders are watched by themselves, never with all that is below them: a folder that no input lies in costs nothing.
"""

from __future__ import annotations

import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

_ADDED, _DELETED = 1, 3  # watchfiles.Change
_STEP_MS = 20
"""How long it has to be still before a change is told: an editor writes, sets times and renames within that."""
_LONGEST_MS = 400
_POLL_MS = 200
_BUSY_S = 30.0
"""How long a program of git's may be waited for that changes many files."""


class Watched(msgspec.Struct, frozen=True):
    """The paths whose change counts, all of them absolute.

    `files` are inputs by name, there or not. `made` are outputs with their `signature`: they count when it is another,
    as when somebody removes one. `folders` are those in which names may appear that count; which, `counts` says. What
    `is_ours` is true of never counts, as files that a build writes beside others before it renames them.
    """

    files: frozenset[str]
    made: Mapping[str, str]
    folders: frozenset[str]
    counts: tuple[Callable[[str], bool], ...] = ()
    is_ours: Callable[[str], bool] = lambda _: False

    def is_input(self, change: int, path: str) -> bool:
        """Whether a change (watchfiles.Change) of a path counts."""
        if self.is_ours(path):
            return False
        if path in self.made:
            return signature(path) != self.made[path]
        if path in self.files or any(counts(path) for counts in self.counts):
            return True
        below = path + os.sep
        if change == _DELETED and any(made.startswith(below) for made in self.made):
            return not os.path.lexists(path)
        return change in (_ADDED, _DELETED) and any(
            name.startswith(below) for names in (self.files, self.folders) for name in names
        )

    def watched_folders(self) -> frozenset[str]:
        """The folders to look at: those of all files, as far as they are there, and all above them but the topmost."""
        there: set[str] = set()
        for folder in {*self.folders, *map(_folder_of, (*self.files, *self.made))}:
            path = folder
            while path not in there and _folder_of(path) != path:
                if os.path.isdir(path):  # noqa: PTH112  # as text, like all paths here
                    there.add(path)
                path = _folder_of(path)
        return frozenset(there)

    def changed_since(self, moment_ns: int, among: frozenset[str]) -> list[str]:
        """The inputs in the folders `among` that were written at or after a moment of the file system, sorted."""
        named = {path for path in self.files if _folder_of(path) in among}
        listed = {f"{folder}{os.sep}{name}" for folder in self.folders & among for name in _names(folder)}
        appeared = {path for path in listed - self.made.keys() if any(counts(path) for counts in self.counts)}
        return sorted(path for path in named | appeared if _time_of(path) >= moment_ns and not self.is_ours(path))


def signature(path: str) -> str:
    """What `stat` says of a file, in one line; "" where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _folder_of(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120  # as text, like all paths here


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # as text
    except OSError:
        return []


def _time_of(path: str) -> int:
    """When a file was written, or its state changed, in nanoseconds; 0 where there is none, and for a folder."""
    try:
        status = os.lstat(path)  # as text
    except OSError:
        return 0
    return 0 if stat.S_ISDIR(status.st_mode) else max(status.st_mtime_ns, status.st_ctime_ns)


def moment(beside: Path) -> int:
    """Now, in nanoseconds, by the clock of the file system in which the file `beside` is written."""
    beside.write_bytes(b"")
    return beside.stat().st_mtime_ns


def below(folder: str, skip: Iterable[str] = ()) -> Iterator[str]:
    """A folder and all folders in it, absolute; those in `skip` and version control's own are left out."""
    left_out = {*skip}
    for here, folders, _ in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if os.path.join(here, name) not in left_out and name != ".git"  # noqa: PTH118
        ]
        yield here


class Watcher:
    """The changes in some folders, collected from now on, in a thread of its own; to be closed.

    Raises OSError where the system watches no more folders.
    """

    def __init__(self, folders: frozenset[str]) -> None:
        self.folders = folders
        self._changes: queue.Queue[set[tuple[int, str]] | BaseException | None] = queue.Queue()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watch")
        self._thread.start()
        self._seen = self._next(None)

    def _watch(self) -> None:
        from watchfiles import watch  # slow to load, and only a watch needs it

        try:
            for number, changes in enumerate(
                watch(
                    *sorted(self.folders),
                    watch_filter=None,
                    debounce=_LONGEST_MS,
                    step=_STEP_MS,
                    stop_event=self._end,
                    rust_timeout=_POLL_MS,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    recursive=False,
                    ignore_permission_denied=True,
                )
            ):
                if changes or not number:
                    self._changes.put({(int(change), path) for change, path in changes})
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            self._changes.put(error)
        else:
            self._changes.put(None)

    def wait(self, timeout: float | None = None) -> set[tuple[int, str]]:
        """The next changes; none where the time is over."""
        seen, self._seen = self._seen, set()
        return seen or self._next(timeout)

    def _next(self, timeout: float | None) -> set[tuple[int, str]]:
        try:
            changes = self._changes.get(timeout=timeout)
        except queue.Empty:
            return set()
        if isinstance(changes, BaseException):
            raise changes if isinstance(changes, OSError) else OSError(str(changes))
        return changes or set()

    def close(self) -> None:
        """Watch no more."""
        self._end.set()
        self._thread.join(2 * _POLL_MS / 1000)


def wait_for_change(watcher: Watcher, watched: Watched, busy: Callable[[], bool]) -> list[str]:
    """Wait for changes that count; their paths, sorted.

    As long as `busy` says that a program still changes many files, as git does when it switches branches, they are one.
    """
    changed: set[str] = set()
    while not changed:
        changed |= _counting(watched, watcher.wait(_POLL_MS / 1000))
    limit = time.monotonic() + _BUSY_S
    while True:
        working = busy() and time.monotonic() < limit
        more = watcher.wait(_STEP_MS / 1000)
        changed |= _counting(watched, more)
        if not working and not more:
            return sorted(changed)


def pending_changes(watcher: Watcher, watched: Watched) -> list[str]:
    """The changes that count of those that were seen by now, sorted; does not wait."""
    changed: set[str] = set()
    while more := watcher.wait(_STEP_MS / 1000):
        changed |= _counting(watched, more)
    return sorted(changed)


def _counting(watched: Watched, changes: Iterable[tuple[int, str]]) -> set[str]:
    return {path for change, path in changes if watched.is_input(change, path)}
