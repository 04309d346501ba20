"""The phases of a run of SCons: it opens its records, reads all SConscripts, builds, and writes its records.

SCons has no event "all SConscripts have been read". Words are checked, questions answered and the default set then,
since what a later SConscript declares counts as much as what an earlier one does.

What this leans on: `SCons.Script.Main._main` reads every SConscript, and then, before it prints the text of `-h` and
before it builds, calls its global `progress_display` with the line "done reading", also where nothing is printed (`-Q`,
`-s`). By then `SCons.Script.sconscript_reading` is 0; it is more while any SConscript is read. `_main`'s local
`target_top` is the folder that SCons was started in, from the top, with `-u`, `-U` and `-D`, else None: no other place
knows it. All other lines of `progress_display` ("Reading SConscript files ...", "done building targets.") tell nobody
anything, and are not printed; what configures a build prints by another one. `SCons.Script.Main.display` prints, of
what is seen here, that a target is up to date, as "scons: `T' is up to date.".
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import SCons.dblite
import SCons.Environment
import SCons.Errors
import SCons.Node.FS
import SCons.Script
import SCons.Script.Main

from multiarch_oci.errors import visible
from multiarch_oci.treelock import NoFileOfOurs
from scons_multiarch.installation import command
from scons_multiarch.tracking.state import state_of


class _Phases:
    """In the place of `progress_display`: prints nothing, and acts when all SConscripts have been read."""

    def __init__(self) -> None:
        self.acts: dict[object, Callable[[Any], None]] = {}
        self._is_read = False

    def __call__(self, text: str, _append_newline: int = 1) -> None:
        """Act, at the first line after the last SConscript."""
        if not self._is_read and SCons.Script.sconscript_reading == 0 and text.startswith("scons: done reading"):
            self._is_read = True
            started_in = sys._getframe(1).f_locals["target_top"]  # noqa: SLF001  # see above
            fs = SCons.Node.FS.get_default_fs()
            fs.chdir(fs.Top, change_os_dir=True)  # SCons does so a moment later
            for act in self.acts.values():
                act(fs.Dir(started_in) if started_in else fs.Top)
            if SCons.Script.GetOption("help") and SCons.Script.help_text is not None:
                _print_help()

    def set_mode(self, mode: object) -> None:
        """Nothing is printed in any mode."""


class _Answers:
    """In the place of `display`, which prints what SCons has to say of targets: without a prefix that says nothing."""

    def __init__(self) -> None:
        self._display = SCons.Script.Main.display

    def __call__(self, text: str, append_newline: int = 1) -> None:
        """Print a line."""
        text = text.removeprefix("scons: ") if text.endswith(" is up to date.") else text
        self._display(visible(text), append_newline)

    def set_mode(self, mode: object) -> None:
        """Whether lines are printed at all."""
        self._display.set_mode(mode)


def _print_help() -> None:
    """Print the text of `-h` and end; SCons itself would say after it that SCons was started by `scons`."""
    own = f"Use {command()} -H for help about SCons' own options."
    sys.stdout.write(f"{SCons.Script.help_text}\n{own}\n")
    SCons.Script.Exit(0)


class StepFailed(SCons.Errors.BuildError):
    """The failure of a step of ours, which says itself what is printed of it, given the names of its targets."""

    def __init__(self, node: Any, words: str, tell: Callable[[str], None]) -> None:
        super().__init__(node=node, errstr=words, status=2, exitstatus=2)
        self.tell = tell


def print_less() -> None:
    """Let SCons print nothing but what it has to say of targets; what was printed before this call was."""
    if isinstance(SCons.Script.Main.progress_display, _Phases):
        return
    SCons.Script.Main.progress_display = _Phases()
    SCons.Script.Main.display = _Answers()
    others = SCons.Script.Main.BuildTask.failed

    def failed(task: Any) -> None:
        error = task.exc_info()[1]
        if not isinstance(error, StepFailed):
            others(task)
            return
        nodes = error.node if isinstance(error.node, list) else [error.node]
        error.tell(", ".join(map(str, nodes)))
        task.do_failed(error.exitstatus)
        task.exc_clear()

    SCons.Script.Main.BuildTask.failed = failed


def around_commands(around: Callable[[Any], AbstractContextManager[None]]) -> None:
    """Have `around` entered while a file is made, or taken from a CacheDir, that another builder than ours makes.

    It is given the first node of what is made, by the thread that makes it. To be called once.
    """
    perform = SCons.Script.Main.BuildTask.execute

    def execute(task: Any) -> None:
        node = task.targets[0]
        if isinstance(node, SCons.Node.FS.Base) and node.has_builder() and state_of(node) is None:
            with around(node):
                perform(task)
        else:
            perform(task)

    SCons.Script.Main.BuildTask.execute = execute


def has_succeeded(*, interactive: bool) -> bool:
    """Whether what was built up to now was built without an error; in a session that of the last build."""
    main = SCons.Script.Main
    return not main.this_build_status and (interactive or not main.exit_status)


def after_reading(act: Callable[[Any], None], *, name: str | None = None) -> None:
    """Have `act` called once, before anything is built or helped with, with the folder that words are seen from.

    That is the top, or with `-u`, `-U` and `-D` the folder that SCons was started in. What is given first is called
    first; what it raises ends the run. Of those with the same `name` only the first one is called.
    """
    print_less()
    SCons.Script.Main.progress_display.acts.setdefault(name or act, act)


def build_first(targets: Sequence[Any], then: Callable[[], list[Any] | None]) -> None:
    """Have SCons build these nodes first, and then, where nothing failed, those that `then` answers; None: no more.

    Both are one build: what the first part made is done for the second. To be called before SCons builds.
    """
    main = SCons.Script.Main
    build_targets = main._build_targets  # noqa: SLF001  # which _main calls once

    def build(fs: Any, options: Any, given: Any, _target_top: Any) -> list[Any]:
        def build_nodes(nodes: list[Any]) -> list[Any]:
            SCons.Script.BUILD_TARGETS = nodes
            return build_targets(fs, options, nodes, None) if nodes else []

        built = build_nodes(list(targets))
        more = then() if not (targets and main.this_build_status) else None
        nodes = built if more is None else [*built, *build_nodes(more)]
        return nodes or list(given)  # for nothing _main says "Found nothing to build", and fails

    main._build_targets = build  # noqa: SLF001  # see above


def go_on_after(is_alone: Callable[[Any], bool]) -> None:
    """Let SCons build what does not depend on a target that failed and for which `is_alone` is true.

    That is what `-k` does after any failure. The exit status is the same. A second call changes nothing.
    """
    failed = SCons.Script.Main.BuildTask.do_failed
    if hasattr(failed, "is_alone"):
        return

    def do_failed(task: Any, status: int = 2) -> None:
        if not task.options.ignore_errors and any(map(is_alone, task.targets)):
            task.options = SimpleNamespace(ignore_errors=False, keep_going=True)  # of this task, not of all
        failed(task, status)

    do_failed.is_alone = is_alone  # type: ignore[attr-defined]
    SCons.Script.Main.BuildTask.do_failed = do_failed


def has_default() -> bool:
    """Whether the user said Default() by now; SCons notes it in which of two functions stands in this name."""
    return SCons.Script._Get_Default_Targets is SCons.Script._Set_Default_Targets_Has_Been_Called  # noqa: SLF001


def default_lists() -> tuple[list[Any], ...]:
    """The lists of nodes that hold the default targets, to be changed in place; SCons copied one to the others."""
    return SCons.Script.DEFAULT_TARGETS, SCons.Script.BUILD_TARGETS, SCons.Script._build_plus_default  # noqa: SLF001


class Own(SCons.Environment.OverrideEnvironment):
    """An environment with some values of its own, and builders of its own.

    SCons binds the builders of the environment below to the one that overrides it: what is declared by the former
    afterwards would get the values of the latter.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep an attribute here; SCons sets it below."""
        self.__dict__[name] = value


def override(env: Any, values: Mapping[str, Any]) -> Any:
    """An environment in which these variables are otherwise; `env` itself for none."""
    own = env.Override(values)
    if own is not env:
        object.__setattr__(own, "__class__", Own)
    return own


def rename(file: Any, name: str) -> bool:
    """Give a file another name in its folder, while SConscripts are read; False where that is known already.

    SCons finds a node by its path in the dictionary of its root, and by its name in that of its folder.
    """
    normal, root, folder = SCons.Node.FS._my_normcase, file.dir.root, file.dir  # noqa: SLF001
    known = root._lookupDict  # noqa: SLF001
    path = normal(f"{folder.get_labspath()}/{name}")
    if path in known:
        return False
    known[path] = known.pop(normal(file.get_labspath()))
    folder.entries[normal(name)] = folder.entries.pop(normal(file.name))
    file.name = name
    file.clear_memoized_values()
    return True


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

    def __setitem__(self, key: str, value: bytes) -> None:
        """Put in what is another than before: of what other builders make SCons records everything in each run."""
        if self._dict.get(key) != value:
            super().__setitem__(key, value)

    def sync(self) -> None:
        """Write the file, when anything was put in."""
        if self._needs_sync:
            super().sync()


class ReadSignatures(Signatures):
    """What SCons knows of each target, for a run that holds no lock and decides alone (`-q`): never written."""

    def sync(self) -> None:
        """Write nothing."""
