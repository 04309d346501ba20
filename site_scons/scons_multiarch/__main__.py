"""Starts SCons: for `sconsw`, which runs this file and gives its own name first, and as the command `multiarch`.

Nothing but what every Python has loaded is imported before Ctrl-C is taken: one line is said instead of a traceback
where it comes while SCons is still being imported. `process.set_up` gives it back to Python, and so to SCons, when all
of SCons is there. Like the script `scons`, and unlike `-m SCons`, this lets no module of the current folder hide an
installed one.
"""

# Not `signal`, which imports for a millisecond, and could be interrupted.
import _signal as signal  # type: ignore[import-not-found]
import gc
import os
import sys


def main() -> None:
    """Run the SCons of this Python's environment with the command line of this process; ends it, as SCons does."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell wants it ignored
        signal.signal(signal.SIGINT, _interrupted)
    _open_streams()
    gc.set_threshold(50_000, 20, 50)  # as process.set_up explains; SCons' own import makes many objects, too
    _keep_bytecode()
    # What an SConstruct imports is what it finds: where a tree holds a copy of the tool, none of this one joins it.
    for name in ("scons_multiarch.__main__", "scons_multiarch"):
        sys.modules.pop(name, None)
    if sys.argv[1:2] == ["init"]:  # there is no SConstruct yet for SCons to read
        from scons_multiarch.init import main as init

        sys.exit(init(sys.argv[2:]))
    if __package__ and _is_outside(sys.argv[1:]):
        from scons_multiarch.init import answer_outside

        sys.exit(answer_outside(sys.argv[1:]))
    from SCons.Script import Main

    Main.progress_display.set_mode(mode=False)  # "Reading SConscript files ..." tells nobody anything
    Main.main()


def _open_streams() -> None:
    """Let closed standard streams lead nowhere, before a file that is opened gets their number, and is printed to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # noqa: PERF203  # three
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _is_outside(words: list[str]) -> bool:
    """Whether there is no SConstruct here and no option says where it is: SCons' own words help nobody there.

    Also for `--version`, which is asked of this tool, and of SCons.
    """
    if words and words[0] in ("--version", "-v"):
        return True
    if os.environ.get("SCONSFLAGS"):
        return False
    elsewhere = ("--f", "--d", "--di", "--ma", "--sc", "--se", "--u", "--up", "--rep", "--src", "--H", "--help-")
    for word in words:
        if word.startswith(elsewhere) or (word[:1] == "-" and word[1:2] != "-" and set(word) & set("fCDuUYH")):
            return False
    names = ("SConstruct", "Sconstruct", "sconstruct", "SConstruct.py", "Sconstruct.py", "sconstruct.py")
    return not any(map(os.path.lexists, names))


def _interrupted(_number: int, _frame: object) -> None:
    os.write(2, b"\nscons: Build interrupted.\n")
    os._exit(2)  # an exception in the middle of an import could be caught, or told with a traceback


def _keep_bytecode() -> None:
    """Have SCons compiled once and not at each start, where the installer did not compile it and Python may not.

    uv compiles nothing; images of Python set PYTHONDONTWRITEBYTECODE, or a user may not write where root installed. A
    run with nothing to do would cost nearly three times as much. Python has just imported this module, and where it
    kept nothing of that it will keep nothing of SCons. In place, where this file is run by its path, pip has compiled.
    """
    compiled = getattr(__spec__, "cached", None)
    if not compiled or sys.pycache_prefix is not None:
        return
    from pathlib import Path

    if not Path(compiled).exists():
        try:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        except RuntimeError:  # a user without a home
            return
        sys.pycache_prefix = str(Path(cache, "multiarch", "pycache"))
        sys.dont_write_bytecode = False


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):  # new in Python 3.11
        del sys.path[0]  # this script's folder, or for `-m` the current one
    if __package__:
        sys.argv[0] = "multiarch"
    else:
        del sys.argv[0]  # sconsw gives its own name first
    main()
