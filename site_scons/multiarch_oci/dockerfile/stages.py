"""From instructions as written to stages of typed instructions, as BuildKit's `instructions.Parse` does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypedDict

from msgspec.structs import replace

from multiarch_oci.config import HealthCheck
from multiarch_oci.dockerfile import InvalidDockerfile, mounts
from multiarch_oci.dockerfile.forms import Flags, flags, nearest
from multiarch_oci.dockerfile.gotext import SPACE, duration, encode, lower, quoted
from multiarch_oci.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    InlineFile,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from multiarch_oci.dockerfile.parser import Dockerfile, Heredoc, Instruction, heredoc

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_ONBUILD = re.compile(r"^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", re.IGNORECASE | re.ASCII)
_RETRIES = re.compile(r"([+-]?)0*([0-9]{1,10})")
_MILLISECOND = 1_000_000


def stages(dockerfile: Dockerfile) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
    """Give the ARGs before the first FROM, and the stages (at least one).

    Raises InvalidDockerfile: unknown instruction or flag, wrong arguments, an instruction before FROM, no FROM.
    """
    before: list[Arg] = []
    begun: list[tuple[Stage, list[Command]]] = []
    for instruction in dockerfile.instructions:
        where = f"{dockerfile.name}:{instruction.line}"
        try:
            typed = _typed(instruction)
        except InvalidDockerfile as error:
            raise error.at(where) from None
        if isinstance(typed, Stage):
            begun.append((typed, []))
        elif begun:
            begun[-1][1].append(typed)
        elif isinstance(typed, Arg):
            before.append(typed)
        else:
            raise InvalidDockerfile("no build stage in current context", where=where, hint="begin with FROM")
    if not begun:
        raise InvalidDockerfile("dockerfile contains no stages to build", where=dockerfile.name, hint="begin with FROM")
    return tuple(before), tuple(replace(stage, instructions=tuple(commands)) for stage, commands in begun)


class _Position(TypedDict):
    original: str
    line: int
    end_line: int


def _position(given: Instruction) -> _Position:
    return _Position(original=given.original.strip(SPACE), line=given.line, end_line=given.end_line)


def _typed(given: Instruction) -> Command | Stage:
    reader = _READERS.get(lower(given.keyword))
    if reader is None:
        hint = nearest(given.keyword, map(str.upper, _READERS))
        raise InvalidDockerfile(f"unknown instruction: {given.keyword}", hint=hint)
    return reader(given)


def _some(given: Instruction, keyword: str) -> None:
    if not given.arguments:
        raise InvalidDockerfile(f"{keyword} requires at least one argument")


def _single_argument(given: Instruction, keyword: str) -> str:
    if len(given.arguments) != 1:
        raise InvalidDockerfile(f"{keyword} requires exactly one argument")
    return given.arguments[0]


def _pairs(given: Instruction, keyword: str) -> tuple[Pair, ...]:
    flags(given.flags)
    _some(given, keyword)
    if not all(given.arguments[::3]):
        raise InvalidDockerfile(f"{keyword} names can not be blank")
    names, values, delimiters = (given.arguments[at::3] for at in range(3))
    return tuple(
        Pair(name, value, not delimiter) for name, value, delimiter in zip(names, values, delimiters, strict=True)
    )


def _env(given: Instruction) -> Env:
    return Env(pairs=_pairs(given, "ENV"), **_position(given))


def _label(given: Instruction) -> Label:
    return Label(pairs=_pairs(given, "LABEL"), **_position(given))


class _CopyingFields(_Position):
    sources: tuple[str, ...]
    contents: tuple[InlineFile, ...]
    destination: str
    chown: str
    chmod: str
    link: bool
    exclude: tuple[str, ...]


def _copied(given: Instruction, keyword: str, read: Flags) -> _CopyingFields:
    """What COPY and ADD have in common: paths, here-documents and destination, and flags."""
    *sources, destination = given.arguments
    if _heredoc(destination):
        raise InvalidDockerfile(f"{keyword} cannot accept a heredoc as a destination")
    contents = {heredoc.name: heredoc.content for heredoc in given.heredocs}
    paths: list[str] = []
    files: list[InlineFile] = []
    for source in sources:
        heredoc = _heredoc(source)
        if not heredoc:
            paths.append(source)
            continue
        content = contents.get(heredoc.name, "")
        files.append(
            InlineFile(heredoc.name, _LEADING_TABS.sub("", content) if heredoc.chomp else content, heredoc.expand)
        )
    return _CopyingFields(
        sources=tuple(paths),
        contents=tuple(files),
        destination=destination,
        chown=read.text("chown"),
        chmod=read.text("chmod"),
        link=read.on("link"),
        exclude=read.all("exclude"),
        **_position(given),
    )


def _heredoc(word: str) -> Heredoc | None:
    try:
        return heredoc(word)
    except InvalidDockerfile:
        return None


def _two(given: Instruction, keyword: str) -> None:
    if len(given.arguments) < 2:  # noqa: PLR2004 - a source and a destination
        raise InvalidDockerfile(
            f"{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        )


def _copy(given: Instruction) -> Copy:
    _two(given, "COPY")
    read = flags(given.flags, strings=("chown", "from", "chmod"), switches=("link", "parents"), lists=("exclude",))
    return Copy(from_=read.text("from"), parents=read.on("parents"), **_copied(given, "COPY", read))


def _add(given: Instruction) -> Add:
    _two(given, "ADD")
    read = flags(
        given.flags,
        strings=("chown", "chmod", "checksum"),
        switches=("link", "keep-git-dir", "unpack"),
        lists=("exclude",),
    )
    return Add(
        keep_git_dir=read.switches.get("keep-git-dir"),
        checksum=read.text("checksum"),
        unpack=read.switches.get("unpack"),
        **_copied(given, "ADD", read),
    )


def _from(given: Instruction) -> Stage:
    name = ""
    arguments = given.arguments
    if len(arguments) == 3 and arguments[1].casefold() == "as":  # noqa: PLR2004 - FROM base AS name
        name = lower(arguments[2])
        if not _STAGE_NAME.fullmatch(name):
            raise InvalidDockerfile(
                f"invalid name for build stage: {quoted(arguments[2])},"
                " name can't start with a number or contain symbols"
            )
    elif len(arguments) != 1:
        raise InvalidDockerfile(
            "FROM requires either one or three arguments", hint="FROM [--platform=…] image [AS name]"
        )
    read = flags(given.flags, strings=("platform",))
    return Stage(name=name, base=arguments[0], platform=read.text("platform"), **_position(given))


def _onbuild(given: Instruction) -> Onbuild:
    _some(given, "ONBUILD")
    flags(given.flags)
    trigger = given.arguments[0].strip(SPACE).upper()
    if trigger == "ONBUILD":
        raise InvalidDockerfile("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in {"MAINTAINER", "FROM"}:
        raise InvalidDockerfile(f"{trigger} isn't allowed as an ONBUILD trigger")
    text = _ONBUILD.sub("", given.original)
    return Onbuild(
        expression=text + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in given.heredocs),
        **_position(given),
    )


def _command_line(given: Instruction) -> tuple[str, ...]:
    return given.arguments if given.json or not given.arguments else (" ".join(given.arguments),)


def _run(given: Instruction) -> Run:
    read = flags(given.flags, strings=("network", "security"), lists=("mount", "device"))
    for device in read.all("device"):
        mounts.check_device(device)
    for mount in read.all("mount"):
        mounts.check_mount(mount)
    network, security = read.strings.get("network", "default"), read.strings.get("security", "sandbox")
    if network not in {"default", "none", "host"}:
        raise InvalidDockerfile(f"invalid network mode {quoted(network)}", hint="default, none or host")
    if security not in {"insecure", "sandbox"}:
        raise InvalidDockerfile(f"security {quoted(security)} is not valid", hint="insecure or sandbox")
    return Run(
        arguments=_command_line(given),
        shell_form=not given.json,
        files=given.heredocs,
        mounts=read.all("mount"),
        devices=read.all("device"),
        network=network,
        security=security,
        **_position(given),
    )


def _cmd(given: Instruction) -> Cmd:
    flags(given.flags)
    return Cmd(arguments=_command_line(given), shell_form=not given.json, **_position(given))


def _entrypoint(given: Instruction) -> Entrypoint:
    flags(given.flags)
    return Entrypoint(arguments=_command_line(given), shell_form=not given.json, **_position(given))


def _shell(given: Instruction) -> Shell:
    flags(given.flags)
    _some(given, "SHELL")
    if not given.json:
        raise InvalidDockerfile(
            "SHELL requires the arguments to be in JSON form", hint=r'SHELL ["program", "argument"], each \ doubled'
        )
    return Shell(arguments=given.arguments, **_position(given))


def _healthcheck(given: Instruction) -> Healthcheck:
    _some(given, "HEALTHCHECK")
    kind, command = given.arguments[0].upper(), given.arguments[1:]
    if kind == "NONE":
        if command:
            raise InvalidDockerfile("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(check=HealthCheck(("NONE",)), **_position(given))
    read = flags(given.flags, strings=("interval", "timeout", "start-period", "start-interval", "retries"))
    if kind != "CMD":
        raise InvalidDockerfile(f"Unknown type {quoted(kind)} in HEALTHCHECK (try CMD)")
    if not command:
        raise InvalidDockerfile("Missing command after HEALTHCHECK CMD")
    check = HealthCheck(
        test=("CMD", *command) if given.json else ("CMD-SHELL", " ".join(command)),
        interval=_interval("interval", read.text("interval")),
        timeout=_interval("timeout", read.text("timeout")),
        start_period=_interval("start-period", read.text("start-period")),
        start_interval=_interval("start-interval", read.text("start-interval")),
        retries=_retries(read.text("retries")),
    )
    return Healthcheck(check=check, **_position(given))


def _interval(flag: str, text: str) -> int:
    length = duration(text) if text else 0
    if length and length < _MILLISECOND:
        raise InvalidDockerfile(f"Interval {quoted(flag)} cannot be less than 1ms")
    return length


def _retries(text: str) -> int:
    match = _RETRIES.fullmatch(text or "0")
    count = int(match[1] + match[2]) if match else 1 << 31
    if not -(1 << 31) <= count < 1 << 31:
        raise InvalidDockerfile(f"--retries is no number of 32 bits: {quoted(text)}")
    if count < 0:
        raise InvalidDockerfile(f"--retries cannot be negative ({count})")
    return count


def _expose(given: Instruction) -> Expose:
    _some(given, "EXPOSE")
    flags(given.flags)
    return Expose(ports=tuple(sorted(given.arguments, key=encode)), **_position(given))


def _volume(given: Instruction) -> Volume:
    _some(given, "VOLUME")
    flags(given.flags)
    volumes = tuple(volume.strip(SPACE) for volume in given.arguments)
    if not all(volumes):
        raise InvalidDockerfile("VOLUME specified can not be an empty string")
    return Volume(volumes=volumes, **_position(given))


def _arg(given: Instruction) -> Arg:
    # BuildKit does not look at the flags of ARG and STOPSIGNAL at all.
    _some(given, "ARG")
    arguments = tuple(Argument(*word.split("=", 1)) for word in given.arguments)
    if not all(argument.name for argument in arguments):
        raise InvalidDockerfile("ARG names can not be blank")
    return Arg(arguments=arguments, **_position(given))


def _stop_signal(given: Instruction) -> StopSignal:
    return StopSignal(signal=_single_argument(given, "STOPSIGNAL"), **_position(given))


def _workdir(given: Instruction) -> Workdir:
    path = _single_argument(given, "WORKDIR")
    flags(given.flags)
    return Workdir(path=path, **_position(given))


def _user(given: Instruction) -> User:
    user = _single_argument(given, "USER")
    flags(given.flags)
    return User(user=user, **_position(given))


def _maintainer(given: Instruction) -> Maintainer:
    maintainer = _single_argument(given, "MAINTAINER")
    flags(given.flags)
    return Maintainer(maintainer=maintainer, **_position(given))


_READERS: Mapping[str, Callable[[Instruction], Command | Stage]] = MappingProxyType(
    {
        "add": _add,
        "arg": _arg,
        "cmd": _cmd,
        "copy": _copy,
        "entrypoint": _entrypoint,
        "env": _env,
        "expose": _expose,
        "from": _from,
        "healthcheck": _healthcheck,
        "label": _label,
        "maintainer": _maintainer,
        "onbuild": _onbuild,
        "run": _run,
        "shell": _shell,
        "stopsignal": _stop_signal,
        "user": _user,
        "volume": _volume,
        "workdir": _workdir,
    }
)
