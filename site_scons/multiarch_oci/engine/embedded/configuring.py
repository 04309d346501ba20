"""Instructions that change the image's config and no file; the result and the history are those of BuildKit."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterable
from functools import singledispatch

from msgspec.structs import replace

from multiarch_oci import windows
from multiarch_oci.config import HealthCheck, History, ImageConfig, instant
from multiarch_oci.dockerfile import InvalidDockerfile
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
    line = History(instant(epoch), created_by, COMMENT, empty_layer=not layer)
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
    return replace(config, cmd=words or None, args_escaped=True), f"CMD {quoted(words)}"


@configured.register
def _entrypoint(command: Entrypoint, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    words = with_shell(config, command.arguments) if command.shell_form else command.arguments
    return replace(config, entrypoint=words or None), f"ENTRYPOINT {quoted(words)}"


@configured.register
def _healthcheck(command: Healthcheck, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, healthcheck=command.check), f"HEALTHCHECK {healthcheck(command.check)}"


@configured.register
def _expose(command: Expose, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    exposed = [port for text in command.ports for port in exposed_ports(text)]
    both = dict.fromkeys((*config.exposed_ports, *exposed))
    return replace(config, exposed_ports=tuple(both)), f"EXPOSE {listed(exposed)}"


@configured.register
def _user(command: User, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, user=command.user), f"USER {command.user}"


@configured.register
def _volume(command: Volume, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    if "" in command.volumes:
        raise InvalidDockerfile("VOLUME names an empty path")
    both = dict.fromkeys((*config.volumes, *command.volumes))
    return replace(config, volumes=tuple(both)), f"VOLUME {listed(command.volumes)}"


@configured.register
def _stop_signal(command: StopSignal, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    check_signal(command.signal)
    return replace(config, stop_signal=command.signal), f"STOPSIGNAL {command.signal}"


@configured.register
def _shell(command: Shell, config: ImageConfig) -> tuple[ImageConfig, str | None]:
    return replace(config, shell=command.arguments), f"SHELL {listed(command.arguments)}"


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


_PROTOCOLS = ("tcp", "udp", "sctp")
_PORT_NUMBER = re.compile(r"[+]?[0-9]{1,18}\Z")
_LARGEST_PORT = 65535


def exposed_ports(text: str) -> tuple[str, ...]:
    """The `port/protocol` of one word of EXPOSE; raises InvalidDockerfile."""
    address, host, container = _parts(text)
    container, _, protocol = container.partition("/")
    if not container:
        raise InvalidDockerfile(f"EXPOSE {text}: no port specified")
    if protocol.lower() not in ("", *_PROTOCOLS):
        raise InvalidDockerfile(f"EXPOSE {text}: '{protocol}' is none of {', '.join(_PROTOCOLS)}")
    if address:
        _check_address(address, text)
    start, end = _ports(container, text)
    if host:
        first, last = _ports(host, text)
        if end - start not in (last - first, 0):
            raise InvalidDockerfile(f"EXPOSE {text}: the two ranges are not of one length")
    return tuple(f"{port}/{protocol.lower() or 'tcp'}" for port in range(start, end + 1))


def _parts(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _check_address(address: str, text: str) -> None:
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidDockerfile(f"EXPOSE {text}: '{address}' is no IP address") from None


def _ports(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _port_number(first, whole)
    end = _port_number(last, whole) if dash and first != last else start
    if end < start:
        raise InvalidDockerfile(f"EXPOSE {whole}: {text} is an empty range")
    return start, end


def _port_number(text: str, whole: str) -> int:
    if _PORT_NUMBER.match(text) is None or int(text) > _LARGEST_PORT:
        raise InvalidDockerfile(f"EXPOSE {whole}: '{text}' is no port from 0 to {_LARGEST_PORT}")
    return int(text)


COMMENT = "buildkit.dockerfile.v0"
"""The comment of every history line: what tools know a Dockerfile's history by."""
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {"\\": "\\\\", '"': '\\"'}
_UNITS = ((3_600_000_000_000, "h"), (60_000_000_000, "m"))
_SECOND = 1_000_000_000


def quoted(words: Iterable[str]) -> str:
    """`%q` of a list of strings."""
    return "[" + " ".join(f'"{"".join(map(_character, word))}"' for word in words) + "]"


def listed(words: Iterable[str]) -> str:
    """`%v` of a list of strings."""
    return "[" + " ".join(words) + "]"


def healthcheck(check: HealthCheck) -> str:
    """`%+v` of Docker's HealthcheckConfig."""
    return (
        f"{{Test:{listed(check.test)} Interval:{duration(check.interval)} Timeout:{duration(check.timeout)} "
        f"StartPeriod:{duration(check.start_period)} StartInterval:{duration(check.start_interval)} "
        f"Retries:{check.retries}}}"
    )


def duration(nanoseconds: int) -> str:
    """A Go `time.Duration` as text."""
    if 0 < nanoseconds < _SECOND:
        for size, unit in ((1_000_000, "ms"), (1_000, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return _decimal(nanoseconds, size) + unit
    text = ""
    for size, unit in _UNITS:
        if nanoseconds >= size or text:
            text += f"{nanoseconds // size}{unit}"
            nanoseconds %= size
    return f"{text}{_decimal(nanoseconds, _SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8 (surrogateescape)
        return f"\\x{ord(character) & 0xFF:02x}"
    if character.isascii():
        return f"\\x{ord(character):02x}"
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
