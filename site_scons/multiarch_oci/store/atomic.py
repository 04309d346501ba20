"""Files that are there whole or not at all, and a lock that dies with its process."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_MARK = ".part-"
_COMPILED = r"\.[0-9]+\.part\Z"
"""The end of what `golang.compiler` calls a program until it is whole."""
_ABANDONED_S = 3600.0


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A new binary file, readable and writable, that becomes `path` at once when the block ends.

    It lies beside `path` (whose folder is made) with the modes that the umask gives; on any exception it is removed and
    `path` stays as it was. `durable`: the content is on the disk before the name is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside, stream = _begun(path)
    try:
        with stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
            if sys.platform != "win32":  # while it is held: nobody takes it for a killed process's
                beside.replace(path)
        if sys.platform == "win32":
            _replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _begun(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, held for as long as it is open."""
    while True:
        beside = path.with_name(f".{path.name[:100]}{_MARK}{os.urandom(8).hex()}")
        stream = beside.open("x+b")
        if _hold(stream, beside):
            return beside, stream
        stream.close()  # somebody cleared it before it was held
        beside.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is one that `replacing`, or the compiler of Go, did not finish, or has not yet."""
    return name.startswith(".") and (_MARK in name or re.search(_COMPILED, name) is not None)


def clear_unfinished(path: Path) -> None:
    """Remove what a killed process left of making `path`; the caller knows that nobody makes it now."""
    start = f".{path.name[:100]}{_MARK}"
    with suppress(OSError):
        for name in os.listdir(path.parent):  # noqa: PTH208  # a folder of hundreds, for each of hundreds of targets
            if name.startswith(start):
                path.with_name(name).unlink(missing_ok=True)


def clear_abandoned(folder: Path) -> None:
    """Remove every file in a folder that `replacing` will not finish, as its process is gone; what is being made stays.

    On Windows, where a file that is open cannot be removed anyway, one that is an hour old is gone from.
    """
    with suppress(OSError):
        for entry in folder.iterdir():
            if is_unfinished(entry.name):
                _clear_abandoned(entry)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of this file, which is made and stays; waits for other threads and processes.

    The operating system takes it from a process that dies, so it is never stale.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        _lock(stream.fileno())
        try:
            yield
        finally:
            _unlock(stream.fileno())


if sys.platform == "win32":

    def _replace(new: Path, path: Path) -> None:
        # Windows refuses while somebody reads the old file; our readers are done in a moment.
        for _ in range(100):
            with suppress(PermissionError):
                new.replace(path)
                return
            time.sleep(0.02)
        new.replace(path)

    def _hold(stream: BinaryIO, path: Path) -> bool:  # noqa: ARG001  # Windows does it
        return True

    def _clear_abandoned(path: Path) -> None:
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _ABANDONED_S:
                path.unlink()

    def _lock(handle: int) -> None:
        import msvcrt

        while True:
            os.lseek(handle, 0, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.02)
            else:
                return

    def _unlock(handle: int) -> None:
        import msvcrt

        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:

    def _hold(stream: BinaryIO, path: Path) -> bool:
        """Lock a new file of ours, which the system frees when the process dies; False when it was cleared before."""
        import fcntl

        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks: there nothing is cleared, either
        try:
            return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
        except FileNotFoundError:
            return False

    def _clear_abandoned(path: Path) -> None:
        import fcntl

        with suppress(OSError), path.open("r+b") as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)
