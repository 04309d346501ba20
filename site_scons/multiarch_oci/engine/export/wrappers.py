"""What a command line starts in the end: through shells, `env`, init programs and the like, read by their options.

Only programs whose command lines are documented stand here, known by their names as people call them; of every other
nothing but itself is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from multiarch_oci.engine.export import shellwords

_SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"])
_SHELL_TAKES = frozenset(["--rcfile", "--init-file"])
_LANGUAGES = frozenset(["python", "perl", "ruby", "node", "php", "lua", "pypy", "awk", "tclsh"])
_ENV_OPTION = re.compile(
    r"(?:-(?P<flags>[i0v]*)(?P<short>[uCSa])|--(?P<long>unset|chdir|split-string|argv0)(?==|\Z)=?)(?P<value>.+)?",
    re.DOTALL,
)
"""Options of `env` that have a value."""


class Command(msgspec.Struct, frozen=True):
    """A command line, and where it is run: PATH and folder, None for those of the image, "" for what is not known."""

    words: tuple[str, ...]
    path: str | None = None
    folder: str | None = None
    by_shell: bool = False
    """Whether a shell reads the words, so that the first may be one of its own (`exec`)."""


Reading = Callable[[Command, bool], "Command | None"]


def within(command: Command, *, windows: bool) -> Command | None:
    """What a command starts beside its own program; None when it starts nothing, or nothing that can be known."""
    name = program_name(command.words[0], windows=windows)
    reading = _READINGS.get(name)
    if reading is None and name.startswith(("ld-linux", "ld-musl-", "ld.so")):
        reading = _loader
    inner = None if reading is None else reading(command, windows)
    return inner if inner is not None and inner.words and inner.words[0] else None


def of_shell(command: Command, shell: Sequence[str], *, windows: bool) -> Command | None:
    """What a shell form starts, whose `shell` (SHELL) is of an unknown name; None when it is none, or not known."""
    words = command.words
    if not shell or words[: len(shell)] != tuple(shell) or len(words) == len(shell):
        return None
    name = program_name(shell[0], windows=windows)
    if name in _READINGS or name.rstrip("0123456789.") in _LANGUAGES:
        return None
    line, arguments = words[len(shell)], words[len(shell) + 1 :]
    simple = shellwords.cmd(line, strip=True) if windows else shellwords.posix(line, arguments)
    return None if simple is None else _at(command, simple)


def program_name(word: str, *, windows: bool) -> str:
    """The name by which a program is known: without folder, on Windows in small letters and without `.exe`."""
    if not windows:
        return word.rpartition("/")[2]
    return re.split(r"[/\\:]", word)[-1].lower().removesuffix(".exe")


def _at(command: Command, simple: shellwords.Simple) -> Command:
    path = command.path if simple.path is None else simple.path
    return replace(command, words=simple.words, path=path, by_shell=True)


def _shell(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`sh -c LINE [NAME [ARGUMENT…]]`, the `c` alone or among others (POSIX, sh; bash(1))."""
    words, reads = list(command.words[1:]), False
    while words and words[0][:1] in ("-", "+") and len(words[0]) > 1:
        option = words.pop(0)
        if option == "--":
            break
        if option.startswith("--"):
            del words[: 1 if option in _SHELL_TAKES else 0]
            continue
        reads = reads or (option[0] == "-" and "c" in option)
        del words[: 1 if option[-1] in "oO" else 0]
    if not words or not reads:
        return None
    simple = shellwords.posix(words[0], words[1:])
    return None if simple is None else _at(command, simple)


def _env(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`env [OPTION]… [NAME=VALUE]… [COMMAND [ARGUMENT]…]` (coreutils; POSIX)."""
    words, path, folder = list(command.words[1:]), command.path, command.folder
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "--":
            break
        match = _ENV_OPTION.fullmatch(option)
        if match is None:  # without PATH (-, -i) the C library's own is taken, and they differ
            path = "" if option == "-" or "i" in option[:3] else path
            continue
        path = "" if "i" in (match["flags"] or "") else path
        value = match["value"] if match["value"] is not None else "".join(words[:1])
        del words[: match["value"] is None]
        name = match["short"] or match["long"]
        if name in ("S", "split-string"):
            split = shellwords.posix("x " + value)
            words = [*(split.words[1:] if split is not None else ("",)), *words]
        elif name in ("C", "chdir"):
            folder = value
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        path = value if name == "PATH" else path
    return replace(command, words=tuple(words), path=path, folder=folder)


def _behind(*, takes: str = "", long: tuple[str, ...] = (), operands: int = 0) -> Reading:
    """Programs that take options, some of which (`takes`, `long`) have a value, `operands`, and a command."""

    def read(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
        words = list(command.words[1:])
        while words and words[0].startswith("-") and len(words[0]) > 1:
            option = words.pop(0)
            if option == "--":
                break
            letter = next((flag for flag in option[1:] if flag in takes), "") if option[1] != "-" else ""
            if option in long or (letter and option.endswith(letter)):
                del words[:1]
        return replace(command, words=tuple(words[operands:]))

    return read


def _loader(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`ld-linux.so [OPTION]… PROGRAM` (ld.so(8)); the program is a path."""
    takes = ("--library-path", "--preload", "--argv0", "--audit", "--inhibit-rpath", "--glibc-hwcaps-mask")
    loaded = _behind(long=takes)(command, False)  # noqa: FBT003  # a Reading
    if loaded is None or not loaded.words:
        return None
    return replace(
        loaded, words=(loaded.words[0] if "/" in loaded.words[0] else f"./{loaded.words[0]}", *loaded.words[1:])
    )


def _busybox(command: Command, windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`busybox APPLET [ARGUMENT]…`: the applet is no program of its own."""
    inner = replace(command, words=command.words[1:])
    return within(inner, windows=windows) if inner.words and inner.words[0] else None


def _cmd(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`cmd [/S] [/D] … /C LINE`: all that follows is the line."""
    words, strip = list(command.words[1:]), False
    while words and words[0].startswith("/"):
        option = words.pop(0)
        strip = strip or option[:2].lower() == "/s"
        if option[:2].lower() in ("/c", "/k", "/r"):
            simple = shellwords.cmd(" ".join(filter(None, (option[2:], *words))), strip=strip)
            return None if simple is None else _at(command, simple)
    return None


def _call(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`call PROGRAM` of cmd."""
    return replace(command, words=command.words[1:]) if command.by_shell else None


def _powershell(command: Command, _windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`powershell [-NoProfile] … -Command LINE`; options may be shortened, and Windows PowerShell's may be left out."""
    words = list(command.words[1:])
    is_old = not program_name(command.words[0], windows=True).startswith("pwsh")
    while words:
        option = words[0].lower()
        if not option.startswith(("-", "/")) or len(option) == 1:
            break
        words.pop(0)
        name = option[1:]
        if "command".startswith(name):
            return _in_powershell(command, words)
        if "file".startswith(name):
            return replace(command, words=tuple(words))
        if name in ("encodedcommand", "enc", "ec", "e", "encoded"):
            return None
        if not name.startswith(("no", "nop", "noni", "nol", "mta", "sta", "login", "l")):
            del words[:1]  # -ExecutionPolicy, -Version, -InputFormat, -WindowStyle …: each has a value
    return _in_powershell(command, words) if is_old else replace(command, words=tuple(words))


def _in_powershell(command: Command, words: Sequence[str]) -> Command | None:
    simple = shellwords.powershell(" ".join(words))
    return None if simple is None else _at(command, simple)


_BY_SHELL = MappingProxyType({"exec": _behind(takes="a"), "command": _behind()})


def _built_in(command: Command, windows: bool) -> Command | None:  # noqa: FBT001  # a Reading
    """`exec`, `command`: words of a shell, and no programs."""
    reading = _BY_SHELL[program_name(command.words[0], windows=windows)]
    return reading(command, windows) if command.by_shell else None


_READINGS: Mapping[str, Reading] = MappingProxyType(
    {
        **dict.fromkeys(_SHELLS, _shell),
        **dict.fromkeys(_BY_SHELL, _built_in),
        "env": _env,
        "busybox": _busybox,
        **dict.fromkeys(("tini", "tini-static", "docker-init"), _behind(takes="pe")),
        "dumb-init": _behind(takes="r", long=("--rewrite",)),
        "catatonit": _behind(),
        **dict.fromkeys(("gosu", "su-exec"), _behind(operands=1)),
        "nohup": _behind(),
        "setsid": _behind(),
        "nice": _behind(takes="n", long=("--adjustment",)),
        "stdbuf": _behind(takes="ioe", long=("--input", "--output", "--error")),
        "timeout": _behind(takes="ks", long=("--kill-after", "--signal"), operands=1),
        "cmd": _cmd,
        "call": _call,
        "powershell": _powershell,
        "pwsh": _powershell,
    }
)
"""How each program's command line is read."""
