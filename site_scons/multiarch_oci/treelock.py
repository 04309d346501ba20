"""One lock a tree: two builds at once would write each other's records; the second says who holds it, and waits."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from multiarch_oci.errors import MultiarchError

_POLL_S = 0.1


class NoFileOfOurs(MultiarchError):
    """Something in the place of a file of ours, such as the lock, that is none."""


class TreeLock:
    """A lock of the operating system on one file, so a killed holder releases it. Not shared by threads.

    The file stays where it is and holds the process id of its last holder, for the message.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, say: Callable[[str], None]) -> None:
        """Take the lock; while another build holds it, `say` once who that is, and wait. Idempotent.

        Raises NoFileOfOurs for a link or whatever else is no file: what it leads to is not written to.
        """
        if self._file is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._opened()
        waiting = False
        try:
            while not _try(file):
                if not waiting:
                    say(f"another build (process {self._holder()}) works in this tree; waiting for it to end")
                    waiting = True
                time.sleep(_POLL_S)
        except BaseException:
            os.close(file)
            raise
        os.ftruncate(file, 1)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f" {os.getpid()}\n".encode())
        self._file = file

    def _opened(self) -> int:
        wrong = NoFileOfOurs("is no file of this tool", where=str(self._path), hint="remove it, and build again")
        # Windows has no O_NOFOLLOW; a pipe is opened without waiting for its other end.
        if self._path.is_symlink():
            raise wrong
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | flags, 0o666)
        except IsADirectoryError:
            raise wrong from None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise wrong
        return file

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
