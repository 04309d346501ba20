"""The Dockerfiles of a repository: which are there, which of their stages compiles, and what the image takes of it."""

from __future__ import annotations

import posixpath
import re

import msgspec

from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.dockerfile.instructions import Add, Copy, Run, Stage
from multiarch_oci.dockerfile.parser import parse
from multiarch_oci.dockerfile.stages import stages
from multiarch_oci.scaffold.files import Files

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


_CERTIFICATES = re.compile(
    r"/etc/ssl/certs?(?:/(?:ca-certificates\.crt)?)?|/etc/ssl/?|/etc/ssl/cert\.pem|/etc/ca-certificates/?"
)
_ZONES = re.compile(r"/usr/share/zoneinfo/?|/usr/local/go/lib/time/zoneinfo\.zip")
PROGRAM, CERTIFICATES, ZONES = "scons_multiarch.PROGRAM", "scons_multiarch.CA_CERTIFICATES", "scons_multiarch.ZONEINFO"


class Recipe(msgspec.Struct, frozen=True):
    """One Dockerfile. `compiles` in some stage; `copied` are the sources of COPY and ADD that are of the context.

    `stages` is what a Go program of this build can stand for: of each stage the paths that the image takes, and the
    Python expression of what they are. It is empty where a stage gives what nobody but an engine knows.
    """

    path: str
    compiles: bool
    stages: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    copied: tuple[str, ...] = ()
    asks_git: bool = False


def recipe(files: Files, program: str = "", folder: str = ".") -> Recipe | None:
    """The Dockerfile for a program of this name, whose package lies in `folder`; None when there is none."""
    inside = "" if folder == "." else f"{folder}/"
    named = [f"Dockerfile.{program}", f"{program}.Dockerfile", f"docker/Dockerfile.{program}"] if program else []
    names = [*named, *(f"{inside}{name}" for name in OWN), *OWN, "Containerfile"]
    names += [f"{location}/Dockerfile" for location in _FOLDERS]
    path = files.first(*dict.fromkeys(names))
    return _read(files, path) if path and files.text(path) else None


def is_own(path: str, folder: str = ".") -> bool:
    """Whether an image finds this Dockerfile by itself: by its name, beside the SConstruct or the package."""
    location, name = posixpath.split(path)
    return name in OWN and location in ("", "" if folder == "." else folder)


def _read(files: Files, path: str) -> Recipe:
    text = files.text(path)
    try:
        parts = stages(parse(text.encode(), name=path))[1]
    except InvalidDockerfile as error:
        files.unread[path] = f"it is no Dockerfile: {error.what}"
        return Recipe(path, compiles=False)
    commands = [command for stage in parts for command in stage.instructions]
    runs = [_words(command) for command in commands if isinstance(command, Run)]
    copied = [
        source
        for command in commands
        if isinstance(command, Add) or (isinstance(command, Copy) and not command.from_)
        for source in command.sources
    ]
    asks_git = any(re.search(r"\bgit\b", text) for text in runs)
    return Recipe(path, any(map(_COMPILES.search, runs)), _stages(parts), tuple(copied), asks_git)


def _stages(parts: tuple[Stage, ...]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The stages that the last one copies of and that run something, when it is known what each path is."""
    running: dict[str, bool] = {}
    for number, stage in enumerate(parts[:-1]):
        commands = [_words(command) for command in stage.instructions if isinstance(command, Run)]
        if commands:
            running |= dict.fromkeys((stage.name, str(number)), any(map(_GO.search, commands)))
    stages: dict[str, dict[str, str]] = {}
    for command in parts[-1].instructions:
        name = command.from_.lower() if isinstance(command, Copy) else ""
        for source in command.sources if isinstance(command, Copy) and name in running else ():
            stages.setdefault(name, {})[source] = _meaning(source, compiles=running[name])
    meanings = [meaning for taken in stages.values() for meaning in taken.values()]
    known = (
        all(meanings) and meanings.count(PROGRAM) == 1 and not any(isinstance(c, Run) for c in parts[-1].instructions)
    )
    return tuple((name, tuple(taken.items())) for name, taken in stages.items()) if known else ()


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
