"""The Dockerfiles of a repository: which are there, which of their stages compiles, and what the image takes of it."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator

import msgspec

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.instructions import Add, Copy, Run, Stage, Workdir
from multiarch_oci.dockerfile.parser import parse
from multiarch_oci.dockerfile.stages import stages
from multiarch_oci.scaffold.files import Files
from multiarch_oci.scaffold.golang import GoProgram

OWN = ("Dockerfile", "Dockerfile.linux", "Dockerfile.amd64", "Dockerfile.arm64")
"""Names that an image finds by itself, beside the SConstruct."""
_FOLDERS = (
    "docker",
    "build",
    "build/package",
    "deploy",
    "deployments",
    "deployment",
    ".docker",
    "package",
    "container",
)
_COMPILES = re.compile(r"\b(?:go\s+(?:build|install)|cargo\s+(?:build|install)|make|gcc|cc|cmake|xx-go|npm|yarn|pip)\b")
_GO = re.compile(r"\b(?:xx-)?go\s+(?:build|install)\b")
_INSTALLS = re.compile(r"\s*(?:apk|apt|apt-get|yum|dnf|microdnf|zypper)\s")
_MORE = re.compile(
    r"\bgo\s+(?:generate|run|get)\b|\bgo\s+(?:build|install)\b[^\n]*\S@\S|(?:^|[\s=])--?tags\b|\bgit\s+clone\b"
    r"|(?:^|[\s/])(?:make|npm|npx|yarn|pnpm|protoc|buf|templ|mage|task|just|curl|wget)(?:\s|$)|\bCGO_ENABLED=[\"']?1"
)
"""What a stage does beside `go build`: code that it makes or fetches, another program, another variant."""
_VALUED = frozenset({"-o", "-ldflags", "-gcflags", "-asmflags", "-mod", "-p", "-buildmode", "-C", "-tags", "-pkgdir"})
"""Flags of `go build` whose value is the next word."""
_CERTIFICATES = re.compile(
    r"/etc/ssl/certs/?|/etc/ssl/certs/ca-(?:certificates|bundle)\.crt|/etc/ssl/(?:cert|ca-bundle)\.pem"
    r"|/etc/pki/tls/certs/ca-bundle\.crt|/etc/pki/ca-trust/extracted/pem/tls-ca-bundle\.pem"
)
_OWN_AUTHORITY = re.compile(r"/usr/local/share/ca-certificates|/etc/pki/ca-trust/source|\bupdate-ca-trust\b")
"""What a stage names that adds a certificate of somebody's own to those that all have."""
_WRITTEN = re.compile(r"[\w.-]+(?:[/ ][\w.-]+)*", re.ASCII)
"""Paths that can be written into an SConstruct: SCons substitutes what has a `$`, also in a file's name."""
_ZONES = re.compile(r"/usr/share/zoneinfo/?|/usr/local/go/lib/time/zoneinfo\.zip")
PROGRAM, CERTIFICATES, ZONES = "scons_multiarch.PROGRAM", "scons_multiarch.CA_CERTIFICATES", "scons_multiarch.ZONEINFO"


class Recipe(msgspec.Struct, frozen=True):
    """One Dockerfile. `compiles` in some stage; `copied` are the sources of COPY and ADD that are of the context.

    `stages` is what a Go program of this build can stand for: of each stage the paths that the image takes, and the
    Python expression of what they are. It is empty where a stage gives what nobody but an engine knows.
    `linked` says that a RUN gives the linker values of variables (`-X`).
    """

    path: str
    compiles: bool
    stages: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    copied: tuple[str, ...] = ()
    asks_git: bool = False
    linked: bool = False


def recipe(files: Files, program: str = "", go: GoProgram | None = None, *, alone: bool = False) -> Recipe | None:
    """The Dockerfile for a program of this name, or this Go program; None when there is none.

    `alone` says that no other `main` is in the repository, so that what a stage compiles can be nothing else.
    """
    folder = go.folder if go else "."
    inside = "" if folder == "." else f"{folder}/"
    names = [*names_of(program), *(f"{inside}{name}" for name in OWN), *OWN, "Containerfile"]
    names += [f"{location}/Dockerfile" for location in _FOLDERS]
    path = files.first(*dict.fromkeys(name for name in names if _WRITTEN.fullmatch(name)))
    return _read(files, path, go, alone=alone) if path and files.text(path) else None


def names_of(program: str) -> list[str]:
    """The Dockerfiles that are a program's by their name."""
    if not re.fullmatch(r"[\w.-]+", program, re.ASCII):
        return []
    return [f"Dockerfile.{program}", f"{program}.Dockerfile", f"docker/Dockerfile.{program}"]


def is_own(path: str, folder: str = ".") -> bool:
    """Whether an image finds this Dockerfile by itself: by its name, beside the SConstruct or the package."""
    location, name = posixpath.split(path)
    return name in OWN and location in ("", "" if folder == "." else folder)


def _read(files: Files, path: str, go: GoProgram | None, *, alone: bool) -> Recipe:
    text = files.text(path)
    try:
        parts = stages(parse(text.encode(), name=path))[1]
    except InvalidDockerfile as error:
        files.unread[path] = f"it is no Dockerfile: {error.what}"
        return Recipe(path, compiles=False)
    runs = [_words(command) for stage in parts for command in stage.instructions if isinstance(command, Run)]
    replaced = _stages(parts, go, posixpath.dirname(path) or ".", alone=alone) if go else ()
    gone = {name for name, _ in replaced}
    copied = [
        source
        for number, stage in enumerate(parts)
        if not {stage.name, str(number)} & gone
        for command in stage.instructions
        if isinstance(command, Add) or (isinstance(command, Copy) and not command.from_)
        for source in command.sources
    ]
    asks_git = any(re.search(r"\bgit\b", text) for text in runs)
    linked = any(re.search(r"\s-X[\s=]|[\"']-X[\s=]", text) for text in runs)
    return Recipe(path, any(map(_COMPILES.search, runs)), replaced, tuple(copied), asks_git, linked)


def _stages(
    parts: tuple[Stage, ...], go: GoProgram, folder: str, *, alone: bool
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The stages that the last one copies of and that run something, when it is known what each path is."""
    running: dict[str, bool] = {}
    own: set[str] = set()
    for number, stage in enumerate(parts[:-1]):
        chain = _chain(parts, number)
        names = [name for name in (stage.name, str(number)) if name]
        if any(_OWN_AUTHORITY.search(command.original) for part in chain for command in part.instructions):
            own.update(names)
        if any(isinstance(command, Run) for part in chain for command in part.instructions):
            compiles = _compiles(parts, chain, go, folder, alone=alone)
            running |= dict.fromkeys(names, compiles)
    stages: dict[str, dict[str, str]] = {}
    for command in parts[-1].instructions:
        name = command.from_.lower() if isinstance(command, Copy) else ""
        for source in command.sources if isinstance(command, Copy) and name in running else ():
            stages.setdefault(name, {})[_key(source)] = _meaning(source, compiles=running[name])
    stages = {
        name: {key: "" if meaning == CERTIFICATES and name in own else meaning for key, meaning in taken.items()}
        for name, taken in stages.items()
    }
    meanings = [meaning for taken in stages.values() for meaning in taken.values()]
    runs = any(isinstance(command, Run) for command in parts[-1].instructions)
    known = all(meanings) and meanings.count(PROGRAM) == 1 and not runs
    return tuple((name, tuple(taken.items())) for name, taken in stages.items()) if known else ()


def _chain(parts: tuple[Stage, ...], number: int) -> list[Stage]:
    """A stage, and before it the stages that it is built on."""
    chain = [parts[number]]
    while bases := [
        part for part in parts[: parts.index(chain[0])] if part.name and part.name == chain[0].base.lower()
    ]:
        chain.insert(0, bases[-1])
    return chain


def _compiles(parts: tuple[Stage, ...], chain: list[Stage], go: GoProgram, folder: str, *, alone: bool) -> bool:
    """Whether a stage compiles this program, and does nothing else that the program could depend on."""
    commands = [command for stage in chain for command in stage.instructions]
    others = {name for number, part in enumerate(parts) for name in (part.name, str(number)) if name}
    if any(isinstance(command, Copy) and command.from_.lower() in others for command in commands):
        return False
    if any(_MORE.search(command.original) for command in commands if not isinstance(command, Run)):
        return False
    steps = [
        step
        for command in commands
        if isinstance(command, Run)
        for step in re.split(r"[;&|\n]+", _words(command))
        if not _INSTALLS.match(step)
    ]
    compiling = [step for step in steps if _GO.search(step)]
    if not compiling or any(map(_MORE.search, steps)):
        return False
    moves = any(re.match(r"\s*cd\s", step) for step in steps) or sum(isinstance(c, Workdir) for c in commands) > 1
    return alone or (not moves and all(_packages(step) <= _spellings(go, folder) for step in compiling))


def _packages(step: str) -> frozenset[str]:
    """The packages that a `go build` names, without a slash at their ends; `?` for what cannot be split."""
    try:
        words = iter(shlex.split(step[_GO.search(step).end() :]))  # type: ignore[union-attr]  # the caller looked
    except ValueError:
        return frozenset({"?"})
    return frozenset(_positional(words)) or frozenset({"."})


def _positional(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word in _VALUED:
            next(words, "")
        elif not word.startswith("-"):
            yield posixpath.normpath(posixpath.dirname(word) if word.endswith(".go") else word)


def _spellings(go: GoProgram, folder: str) -> frozenset[str]:
    """What names a program's package in a Dockerfile that lies in this folder; modules apart are known in their own."""
    if go.module not in (".", folder):
        return frozenset()
    return frozenset({posixpath.normpath(go.package), *(["."] if folder == go.folder else [])})


def _key(source: str) -> str:
    """A source as `stages=` has it: a folder has a slash at its end."""
    return "/etc/ssl/certs/" if source == "/etc/ssl/certs" else source


def _meaning(path: str, *, compiles: bool) -> str:
    """What a path of a stage is, as Python; "" where nobody knows."""
    if _CERTIFICATES.fullmatch(path):
        return CERTIFICATES
    if _ZONES.fullmatch(path):
        return ZONES if path.startswith("/usr/share") else ""
    plain = re.fullmatch(r"[\w./-]+", path, re.ASCII) and not path.endswith("/")
    return PROGRAM if compiles and plain else ""


def _words(command: Run) -> str:
    return " ".join([*command.arguments, *(document.content for document in command.files)])
