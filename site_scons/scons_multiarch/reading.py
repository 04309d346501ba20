"""What is to happen once, when all SConscripts have been read.

SCons has no such event. Words are checked, questions answered and the default set then, since what a later SConscript
declares counts as much as what an earlier one does.

What this leans on (SCons is pinned, and tests/e2e/test_sconscripts.py fails when it changes): `SCons.Script.Main._main`
reads every SConscript, and then, before it prints the text of `-h` and before it builds, calls its global
`progress_display` with the line "done reading", also where nothing is printed (`-Q`, `-s`). By then
`SCons.Script.sconscript_reading` is 0; it is more while any SConscript is read. `_main`'s local `target_top` is the
folder that SCons was started in, from the top, with `-u`, `-U` and `-D`, else None: no other place knows it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import SCons.Node.FS
import SCons.Script
import SCons.Script.Main


class _AfterReading:
    """In the place of `progress_display` until all SConscripts have been read; then that is itself again."""

    def __init__(self) -> None:
        self.acts: list[Callable[[Any], None]] = []
        self._display = SCons.Script.Main.progress_display

    def __call__(self, text: str, append_newline: int = 1) -> None:
        """Print a line, as SCons does; before the first one after the last SConscript, act."""
        if not SCons.Script.sconscript_reading:
            SCons.Script.Main.progress_display = self._display
            started_in = sys._getframe(1).f_locals["target_top"]  # noqa: SLF001  # see above
            fs = SCons.Node.FS.get_default_fs()
            fs.chdir(fs.Top, change_os_dir=True)  # SCons does so a moment later
            for act in self.acts:
                act(fs.Dir(started_in) if started_in else fs.Top)
        self._display(text, append_newline)

    def set_mode(self, mode: object) -> None:
        """Whether lines are printed at all."""
        self._display.set_mode(mode)


def after_reading(act: Callable[[Any], None]) -> None:
    """Have `act` called once, before anything is built or helped with, with the folder that words are seen from.

    That is the top, or with `-u`, `-U` and `-D` the folder that SCons was started in. What is given first is called
    first; what it raises ends the run.
    """
    if not isinstance(SCons.Script.Main.progress_display, _AfterReading):
        SCons.Script.Main.progress_display = _AfterReading()
    SCons.Script.Main.progress_display.acts.append(act)
