"""What each target was made from the last time, so that the next making can be explained. Not a Tool."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import SCons.dblite

from multiarch_oci.document import InvalidDocument
from multiarch_oci.treelock import NoFileOfOurs
from multiarch_oci.why import Facts

_AS_IT_IS = "surrogateescape"  # a reason may name a file whose name is no UTF-8


def check_signatures(path: Path) -> None:
    """Raise NoFileOfOurs where SCons would read or write its records through a link, or into no file."""
    for name in (path.with_suffix(".dblite"), path.with_suffix(".tmp")):
        try:
            regular = stat.S_ISREG(name.lstat().st_mode)
        except FileNotFoundError:
            continue
        if not regular:
            raise NoFileOfOurs("is no file of this tool", where=str(name), hint="remove it, and build again")


class Signatures(SCons.dblite._Dblite):  # noqa: SLF001  # SCons offers a place for another database, and no base for one
    """What SCons knows of each target, in its own format; the file is left alone by a run that made nothing.

    SCons writes it at the end of each run, as it was loaded, also when nothing is to be recorded. This is correctness,
    not speed: a run that holds no lock (`plan`, `-n`) would put back what it read while another one was building, and
    none could be answered in a tree that cannot be written. To be given to SConsignFile() as the module that it asks
    to be `open`ed.
    """

    @classmethod
    def open(cls, path: str, mode: str) -> Signatures:
        """Load the file, if there is one."""
        return cls(path, mode)

    def opener(self, path: str, flags: int) -> int:
        """Open a file to write to; none yet in the place of the one that was not found: this run may make nothing."""
        absent = path == self._file_name
        return os.open(os.devnull, os.O_WRONLY) if absent else int(super().opener(path, flags))

    def sync(self) -> None:
        """Write the file, when anything was put in."""
        if self._needs_sync:
            super().sync()


class Records:
    """The facts and the reason of each target's last making, as readable files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _facts_file(self, target: str) -> Path:
        # A target outside the tree has an absolute name; that of a drive (`C:/`) would lead out of the folder.
        return self._folder / f"{Path(target).as_posix().lstrip('/').replace(':', '_')}.json"

    def remember(self, target: str, facts: Facts, because: str | None) -> None:
        """Keep the facts of a target that has just been made, and why it was."""
        from scons_multiarch.step import write

        write(self._facts_file(target), facts.to_json())
        reason = f"{because or 'not built before'}\n".encode("utf-8", _AS_IT_IS)
        write(self._facts_file(target).with_suffix(".why"), reason)

    def forget(self, target: str) -> None:
        """Keep no facts of a target any more: it is about to be made."""
        self._facts_file(target).unlink(missing_ok=True)

    def last_reason(self, target: str) -> str | None:
        """Why a target was made when it was made last; None when that is not known."""
        try:
            return self._facts_file(target).with_suffix(".why").read_text("utf-8", _AS_IT_IS).strip()
        except OSError:
            return None

    def recall(self, target: str) -> Facts | None:
        """The facts of a target's last making; None when there was none."""
        path = self._facts_file(target)
        try:
            return Facts.from_json(path.read_bytes(), where=str(path))
        except (OSError, InvalidDocument):
            return None
