"""What every Tool needs of its environment: the run that it belongs to, and the variables of the command line."""

from __future__ import annotations

import atexit
import errno
import os
import sys
from pathlib import Path
from typing import Any

import SCons.Script

from multiarch_oci.errors import MultiarchError
from scons_multiarch.process import say
from scons_multiarch.session import Run
from scons_multiarch.signatures import take_passwords
from scons_multiarch.step import fail, message_of
from scons_multiarch.tracking.phases import ReadSignatures, Signatures, around_commands, check_signatures
from scons_multiarch.variables import WITHOUT_LOCK, literal, read
from scons_multiarch.versions import version_of


def prepare(env: Any, *, versioned: bool = False) -> None:
    """Give an environment what Tools need: `MULTIARCH_RUN`, and the variables, read and checked.

    Each Tool calls this, so that each works alone and in any order; only the first call of an environment does
    anything. A tree without a version, neither the file nor the variable, is an error where it is `versioned`; else
    `VERSION` is not set then. What is wrong ends SCons with one message, exit status 2.
    """
    try:
        if "MULTIARCH_RUN" not in env:
            _join(env, versioned=versioned)
        elif versioned and "VERSION" not in env:
            version_of(env["MULTIARCH_RUN"], "", "")
    except (MultiarchError, OSError) as error:
        fail(message_of(error))


def _join(env: Any, *, versioned: bool) -> None:
    """Begin the run of this process, or join it: a second one would wait for the lock of the first, for ever."""
    top = env.Dir("#")
    first = not top.check_attributes("run")
    if first:
        passwords = take_passwords(os.environ)
        top.attributes.run = Run(Path(top.get_abspath()), dict(os.environ), passwords)
    run: Run = top.attributes.run
    env["MULTIARCH_RUN"] = run
    _give_terminal(env, run)
    run.settings.watching = SCons.Script.COMMAND_LINE_TARGETS[:1] == ["watch"] and not SCons.Script.GetOption("help")
    run.settings.interactive = bool(SCons.Script.GetOption("interactive")) or run.settings.watching
    for stream in (sys.stdout, sys.stderr):
        # A log on Windows knows no arrow, and a file's name may be no text: what is said must not end the build.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    env.SetOption("max_drift", -1)  # timestamps are whole seconds in SCons: an edit within one would be lost
    env.SetOption("num_jobs", os.cpu_count() or 1)
    env.SetOption("diskcheck", "none")  # a folder in a file's place is the step's to tell, in words
    env.Decider("content")
    private = run.tree.private
    private.mkdir(exist_ok=True)
    check_signatures(private / "sconsign")
    env.SConsignFile(literal(str(private / "sconsign")), ReadSignatures if _is_asking() else Signatures)
    read(env, versioned=versioned)
    _begin(run, env, first=first)
    if first:
        if "REPORT" in run.settings.outputs:
            around_commands(lambda node: run.build.recorder().command(node))
        run.interrupts.watch()
        report = not run.settings.interactive  # each build of a session has one
        atexit.register(run.output.end, lambda: run.finish(report=report))


def _give_terminal(env: Any, run: Run) -> None:
    """Let the programs of other builders print as if nobody else did: what is shown of steps goes away meanwhile."""
    spawn = env.get("SPAWN")
    if spawn is None or not sys.stdout.isatty():
        return

    def alone(*arguments: Any) -> Any:
        with run.build.lines().aside():
            return spawn(*arguments)

    env["SPAWN"] = alone


def _is_asking() -> bool:
    """Whether SCons was asked for no more than what it would do."""
    return any(SCons.Script.GetOption(option) for option in ("help", "no_exec", "question"))


def _begin(run: Run, env: Any, *, first: bool) -> None:
    """Take the tree's lock, or know why none is needed."""
    settings, private = run.settings, run.tree.private
    # A question is answered in a tree that cannot be written, too; what it found is not kept there then.
    settings.keeps = SCons.Script.COMMAND_LINE_TARGETS[:1] != ["plan"] and os.access(private, os.W_OK)
    settings.asks = _is_asking() or bool(set(map(str, SCons.Script.COMMAND_LINE_TARGETS[:1])) & set(WITHOUT_LOCK))
    if settings.interactive:
        if first:
            from scons_multiarch.tracking.interactive import begin_session

            begin_session(env)  # each of its builds takes the lock
    elif settings.asks:
        settings.outputs.pop("REPORT", None)  # nothing is done that could be reported
    else:
        if "REPORT" in settings.outputs:
            run.build.recorder()  # before the first step, as it tells what is asked before that, too
        if not os.access(private, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(private))
        run.tree.lock.acquire(lambda line: say(f"scons: {line}"))
