"""What the instructions of a Dockerfile say, one type an instruction, as BuildKit's `instructions` package gives them.

Nothing is expanded yet: `$NAME` stands as written, quotes and escapes too (`ENV a="b c"` has the value `"b c"`).
`expanded` gives an instruction with every field expanded that BuildKit expands, `shell` expands the words.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from multiarch_oci.config import HealthCheck
from multiarch_oci.dockerfile.parser import Heredoc


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What every instruction knows about its place.

    `original` is the source text, lines joined, without here-documents; `line` and `end_line` count from 1.
    """

    original: str
    line: int
    end_line: int


class Pair(msgspec.Struct, frozen=True):
    """One `name=value` of ENV or LABEL; `legacy` is the old form `ENV name value`, as BuildKit says it."""

    name: str
    value: str
    legacy: bool = False


class Argument(msgspec.Struct, frozen=True):
    """One `name[=value]` of ARG; no default is None, an empty default is ``""``."""

    name: str
    value: str | None = None


class InlineFile(msgspec.Struct, frozen=True):
    """A here-document as a source of COPY or ADD: the file `path` in the destination; `<<-` has cut its leading tabs.

    `expand`: the delimiter was not quoted, so that variables in the content are expanded (`shell.expand_heredoc`).
    """

    path: str
    content: str
    expand: bool


class Copying(Statement, frozen=True, kw_only=True):
    """What COPY and ADD have in common; an empty string is a flag not given."""

    sources: tuple[str, ...]
    contents: tuple[InlineFile, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


class Copy(Copying, frozen=True, kw_only=True):
    """COPY; `from_` is a stage's name or index, an image, or a named context."""

    from_: str = ""
    parents: bool = False


class Add(Copying, frozen=True, kw_only=True):
    """ADD: as COPY, and URLs, Git repositories and archives. `keep_git_dir` and `unpack` are None when not given."""

    keep_git_dir: bool | None = None
    checksum: str = ""
    unpack: bool | None = None


class Env(Statement, frozen=True, kw_only=True):
    """ENV: at least one pair, in order."""

    pairs: tuple[Pair, ...]


class Label(Statement, frozen=True, kw_only=True):
    """LABEL: at least one pair, in order."""

    pairs: tuple[Pair, ...]


class Arg(Statement, frozen=True, kw_only=True):
    """ARG: at least one argument, in order."""

    arguments: tuple[Argument, ...]


class Cmd(Statement, frozen=True, kw_only=True):
    """CMD. `shell_form`: `arguments` is at most one string that the stage's shell is to run; else the exec form."""

    arguments: tuple[str, ...]
    shell_form: bool


class Entrypoint(Statement, frozen=True, kw_only=True):
    """ENTRYPOINT. `shell_form`: `arguments` is at most one string for the stage's shell; else the exec form."""

    arguments: tuple[str, ...]
    shell_form: bool


class Run(Statement, frozen=True, kw_only=True):
    """RUN. `mounts` are the texts of `--mount`; `mounts.parse_mount` reads them, before and after expansion."""

    arguments: tuple[str, ...]
    shell_form: bool
    files: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


class Shell(Statement, frozen=True, kw_only=True):
    """SHELL: the exec form, at least one word."""

    arguments: tuple[str, ...]


class Workdir(Statement, frozen=True, kw_only=True):
    """WORKDIR."""

    path: str


class User(Statement, frozen=True, kw_only=True):
    """USER."""

    user: str


class Expose(Statement, frozen=True, kw_only=True):
    """EXPOSE: the ports as written (`80`, `80/udp`, `8000-8010`, `$PORT`), sorted as BuildKit sorts them."""

    ports: tuple[str, ...]


class Volume(Statement, frozen=True, kw_only=True):
    """VOLUME: at least one path."""

    volumes: tuple[str, ...]


class StopSignal(Statement, frozen=True, kw_only=True):
    """STOPSIGNAL."""

    signal: str


class Healthcheck(Statement, frozen=True, kw_only=True):
    """HEALTHCHECK, as the image config wants it: its `test` is `NONE`, `CMD` + words, or `CMD-SHELL` + one string."""

    check: HealthCheck


class Onbuild(Statement, frozen=True, kw_only=True):
    """ONBUILD: the instruction as text, with its here-documents; it goes into the image config as it is."""

    expression: str


class Maintainer(Statement, frozen=True, kw_only=True):
    """MAINTAINER (deprecated): the author in the image config."""

    maintainer: str


Command = (
    Add | Arg | Cmd | Copy | Entrypoint | Env | Expose | Healthcheck | Label | Maintainer | Onbuild | Run | Shell
    | StopSignal | User | Volume | Workdir
)  # fmt: skip


class Stage(Statement, frozen=True, kw_only=True):
    """FROM and what follows it. `name` is lower case or empty; `base` and `platform` may hold `$NAME` of a meta ARG."""

    name: str
    base: str
    platform: str = ""
    instructions: tuple[Command, ...] = ()


def expanded(command: Command, expand: Callable[[str], str]) -> Command:
    """Give `command` with every field expanded that BuildKit expands as a single word.

    ENV, LABEL, ARG (names and values), COPY/ADD (sources, destination, chown, chmod, checksum; neither `from_` nor
    `exclude`), WORKDIR, USER, VOLUME, STOPSIGNAL. The others are returned as they are: EXPOSE is for
    `shell.expand_words`, port by port, the mounts of RUN for `mounts.parse_mount`, the content of here-documents for
    `shell.expand_heredoc`. Raises what `expand` raises.
    """
    match command:
        case Env() | Label():
            pairs = tuple(replace(pair, name=expand(pair.name), value=expand(pair.value)) for pair in command.pairs)
            return replace(command, pairs=pairs)
        case Arg():
            return replace(command, arguments=tuple(_argument(argument, expand) for argument in command.arguments))
        case Copy() | Add():
            return _copied(command, expand)
        case Workdir():
            return replace(command, path=expand(command.path))
        case User():
            return replace(command, user=expand(command.user))
        case Volume():
            return replace(command, volumes=tuple(map(expand, command.volumes)))
        case StopSignal():
            return replace(command, signal=expand(command.signal))
        case _:
            return command


def _argument(argument: Argument, expand: Callable[[str], str]) -> Argument:
    name = expand(argument.name)
    return Argument(name, None if argument.value is None else expand(argument.value))


def _copied(command: Copy | Add, expand: Callable[[str], str]) -> Copy | Add:
    changed = replace(
        command,
        chown=expand(command.chown),
        chmod=expand(command.chmod),
        sources=tuple(map(expand, command.sources)),
        destination=expand(command.destination),
    )
    return replace(changed, checksum=expand(changed.checksum)) if isinstance(changed, Add) else changed
