"""Files that are there whole or not at all, and a lock that dies with its process."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_MARK = ".part-"


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A new binary file, readable and writable, that becomes `path` at once when the block ends.

    It lies beside `path` (whose folder is made) with the modes that the umask gives; on any exception it is removed and
    `path` stays as it was. `durable`: the content is on the disk before the name is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:100]}{_MARK}{secrets.token_hex(8)}")
    try:
        with beside.open("x+b") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        _replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is one that `replacing` did not finish, or has not yet."""
    return name.startswith(".") and _MARK in name


def clear_unfinished(path: Path) -> None:
    """Remove what a killed process left of making `path`; the caller knows that nobody makes it now."""
    with suppress(OSError):
        for entry in path.parent.iterdir():
            if entry.name.startswith(f".{path.name[:100]}{_MARK}"):
                entry.unlink(missing_ok=True)


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

    def _replace(new: Path, path: Path) -> None:
        new.replace(path)

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)
