"""Instructions that change the image's config and no file; the result and the history are those of BuildKit."""

from __future__ import annotations

import posixpath
from functools import singledispatch

from msgspec.structs import replace

from multiarch_oci import windows
from multiarch_oci.config import HealthCheck, History, ImageConfig, instant
from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from multiarch_oci.engine.embedded import ports, wording
from multiarch_oci.engine.frontend.recipe import PATH
from multiarch_oci.engine.frontend.sources import windows_below

_SHELL: dict[str, tuple[str, ...]] = {"windows": ("cmd", "/S", "/C")}
_UNIX_SHELL = ("/bin/sh", "-c")
_PLAIN_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM",
    "TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX",
)
_SIGNALS = frozenset(
    [*" ".join(_PLAIN_SIGNALS).split(), *(f"RTMIN+{n}" for n in range(1, 16)), *(f"RTMAX-{n}" for n in range(1, 15))],
)


def recorded(config: ImageConfig, created_by: str, epoch: int, *, layer: bool = False) -> ImageConfig:
    """The config with one more line of history."""
    line = History(instant(epoch), created_by, wording.COMMENT, empty_layer=not layer)
    return replace(config, history=(*config.history, line))


def with_shell(config: ImageConfig, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The words that start a command in shell form."""
    shell: tuple[str, ...] = config.shell or _SHELL.get(config.platform.os, _UNIX_SHELL)
    return (*shell, " ".join(arguments))


def workdir(config: ImageConfig, path: str) -> str:
    r"""The working directory after `WORKDIR path`: an absolute one as written, a relative one joined and cleaned.

    On Windows it is without drive, with `\`, and always cleaned.
    """
    if config.platform.os == "windows":
        return "\\" + windows.normalise(windows_below(config.working_dir, path)).replace("/", "\\")
    here = config.working_dir or "/"
    if path.startswith("/"):
        return path
    return "/" + posixpath.normpath(posixpath.join(here, path)).strip("/")


def begun(config: ImageConfig) -> ImageConfig:
    """The config with which a stage over `config` begins: a clean working directory, and a PATH (not on Windows)."""
    if config.working_dir:
        config = replace(config, working_dir=workdir(config, config.working_dir))
    if config.platform.os != "windows" and config.variable("PATH") is None:
        config = config.with_variable("PATH", PATH)
    return config


def is_root(config: ImageConfig) -> bool:
    """Whether the working directory is the root of the image, which is never made."""
    return config.working_dir in ("/", "\\")


def executed(command: object, config: ImageConfig, *, cmd_is_set: bool) -> tuple[ImageConfig, str | None]:
    """As `configured`; an ENTRYPOINT forgets the CMD of what is below, unless its stage has set one."""
    config, line = configured(command, config)
    if isinstance(command, Entrypoint) and not cmd_is_set:
        config = replace(config, cmd=None)
    return config, line


@singledispatch
def configured(command: object, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    """The config after an instruction (variables replaced) and its line of history; None = it leaves none.

    Raises InvalidDockerfile without place. What ENTRYPOINT does to CMD is for `executed`.
    """
    raise TypeError(f"{command!r} is no change of {config!r}")


@configured.register
def _env(command: Env, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    text = "ENV"
    for pair in command.pairs:
        config = config.with_variable(pair.name, pair.value)
        text += f" {pair.name}={pair.value}"
    return config, text


@configured.register
def _label(command: Label, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    labels = dict(config.labels) | {pair.name: pair.value for pair in command.pairs}
    text = "".join(f" {pair.name}={pair.value}" for pair in command.pairs)
    return replace(config, labels=tuple(labels.items())), f"LABEL{text}"


@configured.register
def _arg(command: Arg, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    words = [
        argument.name if argument.value is None else f"{argument.name}={argument.value}"
        for argument in command.arguments
    ]
    return config, f"ARG {' '.join(words)}"


@configured.register
def _cmd(command: Cmd, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    words = with_shell(config, command.arguments) if command.shell_form else command.arguments
    return replace(config, cmd=words or None, args_escaped=True), f"CMD {wording.quoted(words)}"


@configured.register
def _entrypoint(command: Entrypoint, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    words = with_shell(config, command.arguments) if command.shell_form else command.arguments
    return replace(config, entrypoint=words or None), f"ENTRYPOINT {wording.quoted(words)}"


@configured.register
def _healthcheck(command: Healthcheck, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    check = HealthCheck(
        command.test,
        command.interval,
        command.timeout,
        command.start_period,
        command.start_interval,
        command.retries,
    )
    return replace(config, healthcheck=check), f"HEALTHCHECK {wording.healthcheck(check)}"


@configured.register
def _expose(command: Expose, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    exposed = [port for text in command.ports for port in ports.exposed(text)]
    both = dict.fromkeys((*config.exposed_ports, *exposed))
    return replace(config, exposed_ports=tuple(both)), f"EXPOSE {wording.listed(exposed)}"


@configured.register
def _user(command: User, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, user=command.user), f"USER {command.user}"


@configured.register
def _volume(command: Volume, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    if "" in command.volumes:
        raise InvalidDockerfile("VOLUME names an empty path")
    both = dict.fromkeys((*config.volumes, *command.volumes))
    return replace(config, volumes=tuple(both)), f"VOLUME {wording.listed(command.volumes)}"


@configured.register
def _stop_signal(command: StopSignal, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    check_signal(command.signal)
    return replace(config, stop_signal=command.signal), f"STOPSIGNAL {command.signal}"


@configured.register
def _shell(command: Shell, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, shell=command.arguments), f"SHELL {wording.listed(command.arguments)}"


@configured.register
def _maintainer(command: Maintainer, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, author=command.maintainer), f"MAINTAINER {command.maintainer}"


@configured.register
def _onbuild(command: Onbuild, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, on_build=(*config.on_build, command.expression)), None


@configured.register
def _workdir(command: Workdir, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    path = workdir(config, command.path)
    shown = path.replace("\\", "/") if config.platform.os == "windows" else path
    return replace(config, working_dir=path), f"WORKDIR {shown}"


def check_signal(signal: str) -> None:
    """Raise InvalidDockerfile unless STOPSIGNAL is a number, or a Linux name with or without SIG (moby/sys/signal)."""
    is_number = signal.isascii() and signal.isdigit()
    if int(signal) == 0 if is_number else signal.upper().removeprefix("SIG") not in _SIGNALS:
        raise InvalidDockerfile(f"STOPSIGNAL {signal}: there is no such signal", hint="e.g. SIGTERM, SIGQUIT or 15")
