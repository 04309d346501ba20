"""One lock a tree: two builds at once would write each other's records; the second says who holds it, and waits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_POLL_S = 0.1


class TreeLock:
    """A lock of the operating system on one file, so a killed holder releases it. Not shared by threads.

    The file stays where it is and holds the process id of its last holder, for the message.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, say: Callable[[str], None]) -> None:
        """Take the lock; while another build holds it, `say` once who that is, and wait. Idempotent."""
        if self._file is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        said = False
        try:
            while not _try(file):
                if not said:
                    say(f"another build (process {self._holder()}) works in this tree; waiting for it to end")
                    said = True
                time.sleep(_POLL_S)
        except BaseException:
            os.close(file)
            raise
        os.ftruncate(file, 1)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f" {os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _holder(self) -> str:
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(1)  # Windows lets nobody read the byte that is locked
                return file.read(32).decode("ascii", "replace").strip() or "unknown"
        except OSError:
            return "unknown"


def _try(file: int) -> bool:
    """Lock the first byte without waiting; False when another process has it."""
    if os.name == "nt":
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
