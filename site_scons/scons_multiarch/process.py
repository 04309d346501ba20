"""How the process that runs SCons is set up: once, and the environment that an SConstruct builds with."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node.FS
import SCons.Script
import SCons.Tool
import SCons.Util

from scons_multiarch.installation import check_copies

if TYPE_CHECKING:
    from scons_multiarch.recorder import StepRecord

_TOOLS = str(Path(__file__).parent / "tools")

BUILDERS = (
    *("oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index"),
    *("oci_sbom", "oci_provenance", "oci_attest", "oci_targets"),
)
"""The Tools of an environment: all of them."""


def say(line: str) -> None:
    """Print a line for the user, from any thread: below the line of the step that it performs, when that has ended.

    By one write, as other steps print theirs meanwhile.
    """
    step = current_step()
    if step is None:
        say_now(line)
    else:
        step.remarks.append(line)


def doing(text: str) -> None:
    """Say what the step that this thread performs is at, in a word or two, for who watches."""
    step = current_step()
    if step is not None:
        step.doing = text


def log(line: str) -> None:
    """Keep a line that a program printed for a step: all of them are printed when it fails."""
    step = current_step()
    if step is None:
        say_now(f"  | {line}")
    else:
        step.log.append(line)


def current_step() -> StepRecord | None:
    """The step that this thread performs; None when it performs none."""
    run = SCons.Node.FS.get_default_fs().Top.check_attributes("run")
    step: StepRecord | None = None if run is None else run.build.current_step()
    return step


def say_now(line: str) -> None:
    """Print a line at once."""
    if SCons.Script.GetOption("silent"):
        return
    from multiarch_oci.errors import visible  # once it is known that the two packages belong together

    line = visible(line)
    print(f"{line}\n", end="", flush=True)  # noqa: T201


class _Output(SCons.Util.Unbuffered):  # type: ignore[misc]  # SCons has no types
    """Standard output as SCons has it, which passes over what cannot be written; here the first of that is noted."""

    failure: OSError | None = None

    def write(self, text: str) -> None:
        """Write and flush."""
        try:
            self.file.write(text)
            self.file.flush()
        except OSError as error:
            self.note(error)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write and flush."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Nothing is left to be flushed, but by who writes to the file itself."""
        try:
            self.file.flush()
        except OSError as error:
            self.note(error)

    def note(self, error: OSError) -> None:
        """Note a failure; that nobody reads any more is none (Windows says EINVAL of a pipe)."""
        if error.errno not in (errno.EPIPE, errno.EINVAL):
            self.failure = self.failure or error


class StandardOutput:
    """Standard output of this process, from the first Tool to its end."""

    def __init__(self) -> None:
        closed = open(os.devnull, "w", encoding="utf-8") if sys.__stdout__ is None else None  # noqa: PTH123, SIM115
        if sys.__stderr__ is None:
            sys.stderr = closed or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        # On a terminal SCons leaves it as it is.
        buffered = closed or (sys.stdout.file if isinstance(sys.stdout, SCons.Util.Unbuffered) else None)
        self._noting = None if buffered is None else _Output(buffered)
        if self._noting is not None:
            sys.stdout = self._noting

    def note(self, error: OSError) -> None:
        """Note what could not be written to its descriptor."""
        self._noting = self._noting or _Output(sys.stdout)
        self._noting.note(error)

    def end(self, finish: Callable[[], None]) -> None:
        """Finish what prints at the end, and end the process with status 2 where something could not be printed.

        SCons gave back Python's own stream, which raises. It has nothing more to do, and Python would exit with 0.
        """
        if self._noting is not None and sys.stdout is sys.__stdout__:
            sys.stdout = self._noting
        finish()
        failure = None if self._noting is None else self._noting.failure
        if failure is not None:
            sys.stderr.write(f"scons: *** standard output was not written: {failure.strerror}\n")
            sys.stderr.flush()
            os._exit(2)


def set_up(root: Path) -> None:
    """Prepare this process; harmless when it was done already. `root` is the tree's top.

    Where PYTHONDONTWRITEBYTECODE is set, as images of Python do, every start would compile the library and the Tools
    anew, which costs as much as all the rest of a run with nothing to do. What is compiled goes to `root`'s private
    folder.

    A graph is many small objects that all stay; looking through them for garbage again and again, each time 700 more
    have come, is a fifth of a run with nothing to do, and each time 50,000 have come still a thirtieth of a large one.
    So is the last look of all, when the interpreter ends: what is frozen by then is left to the system, which takes the
    memory back at once.

    Ctrl-C is given back to Python, and so to SCons, where `__main__` had taken it while SCons was imported.

    SCons' default environment looks for compilers when it is first used, half of SCons' start; nothing here needs it.
    """
    if _TOOLS in SCons.Tool.DefaultToolpath:
        return
    check_copies(SCons.Tool.DefaultToolpath)
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        sys.pycache_prefix = str(root / ".multiarch" / "pycache")
        sys.dont_write_bytecode = False
    if getattr(signal.getsignal(signal.SIGINT), "__name__", "") == "_interrupted":  # of __main__: SCons is there now
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(200_000, 20, 50)
    atexit.register(gc.freeze)
    SCons.Tool.DefaultToolpath.insert(0, _TOOLS)
    from scons_multiarch.tracking.phases import print_less  # after check_copies: it imports the library

    print_less()
    SCons.Script.DefaultEnvironment(tools=[])


def make_environment(variables: dict[str, Any]) -> Any:
    """What `scons_multiarch.environment` promises."""
    # Not the global Dir(): the first of those makes the default environment, with all compilers.
    set_up(Path(SCons.Node.FS.get_default_fs().Top.get_abspath()))
    from scons_multiarch.variables import VARIABLES

    known = {name for name, _, _ in VARIABLES}
    defaults = {name: value for name, value in variables.items() if name in known}
    others = {name: value for name, value in variables.items() if name not in known}
    others["DEFAULTS"] = {**others.get("DEFAULTS", {}), **defaults}
    tools = [*BUILDERS, *others.pop("tools", ())]
    return SCons.Script.Environment(tools=tools, **others)
