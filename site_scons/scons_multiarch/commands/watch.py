"""The command `watch`: builds, and builds again whenever an input of the targets changes (behaviour, section 10).

SCons and the library stay loaded, so a round costs what the steps cost. While it waits it holds no lock. Where what was
read is not what is there (an SConstruct, custom.py, this library, the records of another build), the rounds go on in a
new process, which reads everything anew; this one then only starts the next when that one ends for such a reason.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import SCons.Node.Alias
import SCons.Script
import SCons.Script.Main

from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.git import Repository
from multiarch_oci.watching import Watched, Watcher, moment, pending_changes, signature, wait_for_change
from multiarch_oci.why import FEW
from scons_multiarch.installation import command
from scons_multiarch.process import say
from scons_multiarch.session import Run
from scons_multiarch.tracking.interactive import Outdated, build_again_by
from scons_multiarch.watched import library_files, watched

_AGAIN = 75
"""The exit status of a process that asks for another one (EX_TEMPFAIL of sysexits.h)."""
_BY_SIGNAL = 128
_INTERRUPTED = 130
_OF_ANOTHER = "MULTIARCH_WATCHED"
"""Set in the environment of a process that another one starts anew when it asks for that."""
_STOP_S = 5.0
_TRIES = 5


class CannotWatch(MultiarchError):
    """A watch that makes no sense, or that this system does not let us do."""


def run(env: Any, targets: list[Any]) -> None:
    """`watch [T]`: have SCons build T, by default what it builds without a word, again and again, until Ctrl-C."""
    options = {"-c": "clean", "-n": "no_exec", "-q": "question", "--interactive": "interactive"}
    for name, option in options.items():
        if SCons.Script.GetOption(option):
            raise CannotWatch(f"watch builds, and {name} does not", where="watch", hint=f"leave {name} out")
    if any(str(target) == "clean" for target in targets):
        raise CannotWatch(
            "watch builds, and clean removes", where="watch", hint=f"{command()} clean, and then the watch"
        )
    run_: Run = env["MULTIARCH_RUN"]
    roots = targets or list(SCons.Script.DEFAULT_TARGETS)
    programs = [node for root in roots if _is_run(root) for node in _to_start(env, root)]
    SCons.Script.BUILD_TARGETS[:] = [node for root in roots for node in (root.sources if _is_run(root) else [root])]
    build_again_by(_Watch(run_, list(SCons.Script.BUILD_TARGETS), programs).loop)


def _is_run(node: Any) -> bool:
    """Whether a target of the command line is `run`, or `run` of one image."""
    return isinstance(node, SCons.Node.Alias.Alias) and str(node).rpartition(":")[2] == "run"


def _to_start(env: Any, alias: Any) -> list[Any]:
    """The programs that `run` starts. Raises CannotWatch where there is none."""
    if not alias.sources:
        host = env["PLATFORM_TO_RUN"]
        raise CannotWatch(f"nothing is built for {host}", where="PLATFORM", hint="add it to PLATFORMS")
    return list(alias.sources)


class _Watch:
    """The rounds of one process. `roots` are what is built, `programs` what is started after a build."""

    def __init__(self, run: Run, roots: list[Any], programs: list[Any]) -> None:
        self._run = run
        self._roots = roots
        self._programs = [_Program(Path(node.get_abspath())) for node in programs]
        self._library = library_files(run.tree.root)
        self._repository = Repository.around(run.tree.root)
        self._is_supervised = os.environ.pop(_OF_ANOTHER, "") != ""
        self._watcher: Watcher | None = None

    def loop(self, build: Callable[[], None]) -> int:
        """Build, and wait, until Ctrl-C; the exit status."""
        for name in ("SIGTERM", "SIGHUP"):  # what runs beside ends, too
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _end_by)
        try:
            while True:
                self._round(build)
        except Outdated as error:
            if self._is_supervised:
                return _AGAIN
            self._end()
            return _start_anew(self._run, self._library, error)
        except KeyboardInterrupt:
            return _INTERRUPTED
        finally:
            self._end()

    def _round(self, build: Callable[[], None]) -> None:
        """Build once, and wait for a change. Raises Outdated where a new process has to go on."""
        self._check_library()
        run, began = self._run, time.monotonic()
        run.tree.private.mkdir(exist_ok=True)
        since = moment(run.tree.private / "watch")
        run.tree.stat.consulted = set()
        try:
            build()
        except MultiarchError as error:
            if isinstance(error, Outdated):
                raise
            say(f"scons: *** {error}")
        if run.interrupts.cancelled.is_set():
            raise KeyboardInterrupt
        failed = bool(SCons.Script.Main.this_build_status)
        for program in self._programs if not failed else ():
            program.start_anew()
        seconds = f"{time.monotonic() - began:.1f} s"
        inputs, changed = self._look(since)
        if not changed:
            say(f"watch: {'failed' if failed else 'done'} after {seconds}; waiting for a change (Ctrl-C ends)")
            changed = wait_for_change(self._watcher_of(inputs), inputs, self._is_busy)
        self._say_changed(changed)

    def _say_changed(self, paths: list[str]) -> None:
        root = f"{self._run.tree.root}{os.sep}"
        names = [quoted(path.removeprefix(root))[1:-1].replace(os.sep, "/") for path in paths]
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        say(f"watch: {', '.join(names[:FEW])}{more} changed")

    def _look(self, since: int) -> tuple[Watched, list[str]]:
        """What counts from now on, and what changed while the build ran, after the moment `since`."""
        for _ in range(_TRIES):
            inputs = watched(self._run, self._roots)
            inputs = Watched(inputs.files | self._library.keys(), inputs.made, inputs.folders, inputs.counts)
            folders = inputs.watched_folders()
            before = self._watcher
            changed = [] if before is None else pending_changes(before, inputs)
            if before is not None and before.folders == folders:
                return inputs, changed
            try:
                self._watcher = Watcher(folders)
            except OSError:  # a folder is gone by now, or there are too many
                continue
            new = folders if before is None else folders - before.folders
            if before is not None:
                changed += pending_changes(before, inputs)
                before.close()
            return inputs, [*changed, *inputs.changed_since(since, frozenset(new))]
        hint = "raise the limit (on Linux: sysctl fs.inotify.max_user_watches), or set WATCHFILES_FORCE_POLLING=true"
        raise CannotWatch("this system does not let us watch the folders of the inputs", where="watch", hint=hint)

    def _watcher_of(self, inputs: Watched) -> Watcher:
        if self._watcher is None:
            self._watcher = Watcher(inputs.watched_folders())
        return self._watcher

    def _is_busy(self) -> bool:
        """Whether git works on the files of the tree."""
        return self._repository is not None and (self._repository.git_dir / "index.lock").exists()

    def _check_library(self) -> None:
        for path, known in self._library.items():
            if signature(path) != known:
                raise Outdated("changed since this watch began", where=path)

    def _end(self) -> None:
        for program in self._programs:
            program.stop()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None


class _Program:
    """A program that runs while the watch waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._started = ""

    def start_anew(self) -> None:
        """Start the program, where it is another than the one that runs, which is ended first, or none runs."""
        now = signature(str(self._path))
        if self._process is not None and self._process.poll() is None and now == self._started:
            return
        self.stop()
        try:
            self._process = subprocess.Popen([self._path], stdin=subprocess.DEVNULL)
        except OSError as error:
            say(f"watch: {self._path.name} cannot be started: {error.strerror}")
            return
        self._started = now
        threading.Thread(target=self._wait, args=[self._process], daemon=True, name="program").start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        if process is self._process:  # it ended by itself
            how = f"exit status {status}" if status >= 0 else f"by signal {-status}"
            say(f"watch: {self._path.name} ended, {how}; it is started again with the next change")

    def stop(self) -> None:
        """End the program, by force where it does not end itself in time."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start_anew(run: Run, library: dict[str, str], error: Outdated) -> int:
    """Go on in new processes, one after the other; the exit status of the last.

    One that cannot read the SConstruct ends: it is started again when a file changes that may have been the reason.
    """
    os.chdir(SCons.Script.GetLaunchDir())
    environment = {**run.settings.environment, **run.settings.passwords, _OF_ANOTHER: "yes"}
    files = {*map(str, run.declarations.contents_read), *library}
    say(f"watch: {error.where} {error.what}; everything is read anew")
    while True:
        before = {path: signature(path) for path in files}
        status = _wait_for(subprocess.Popen(sys.orig_argv, env=environment, stdout=run.settings.digests_to))
        if status < 0 or status > _BY_SIGNAL:
            return status
        if status == _AGAIN:
            continue
        say("watch: waiting for a change of what was read (Ctrl-C ends)")
        inputs = Watched(frozenset(files), {}, frozenset())
        watcher = Watcher(inputs.watched_folders())
        try:
            if all(signature(path) == known for path, known in before.items()):
                wait_for_change(watcher, inputs, bool)
        except KeyboardInterrupt:
            return _INTERRUPTED
        finally:
            watcher.close()


def _end_by(number: int, _frame: object) -> None:
    """End the process by a signal, as SCons' own handlers do: what is open is closed."""
    raise SystemExit(_BY_SIGNAL + number)


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a process that hears Ctrl-C itself; it is ended with this one."""
    interrupted = False
    try:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:  # noqa: PERF203  # it ends in a moment
                interrupted = True
    finally:
        with suppress(OSError):
            process.terminate()
    return _INTERRUPTED if interrupted else process.returncode
