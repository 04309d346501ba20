"""Where the sources of a build lie (its module, its workspace, the folders that replace modules), and what go.mod says.

Of the lines of go.mod and go.work (Go modules reference, "go.mod files" and "Workspaces") only as much of the grammar
as is needed to say *what changed*: `go` itself is the judge of what is valid.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import msgspec

from multiarch_oci.architectures import ARCHITECTURES, SYSTEMS

if TYPE_CHECKING:
    from multiarch_oci.platform import Platform

Directive = tuple[str, ...]

_LEXEME = r'//.*|"(?:[^"\\]|\\.)*"|`[^`]*`|[()]|=>|,|[^\s"`(),]+?(?=//|=>|[\s"`(),]|$)'
_ESCAPE = r"\\(.)"
_SYSTEMS = SYSTEMS | {"wasip1"}
_KIND_OF = {"android": "linux", "illumos": "solaris", "ios": "darwin"}


def directives(text: str) -> Iterator[Directive]:
    """Each line as (verb, argument, …), blocks opened, quotes removed, comments and blank lines left out."""
    block: str | None = None
    for line in text.splitlines():
        words = list(_words(line))
        if words == [")"]:
            block = None
        elif words and block is not None:
            yield (block, *words)
        elif len(words) >= 2 and words[1] == "(":  # noqa: PLR2004  # `verb (`
            block = words[0]
        elif words:
            yield tuple(words)


def facts(text: str, name: str) -> dict[str, str]:
    """What of a go.mod or go.work can change a program: `{"go.mod go": "1.24", "go.mod require x.org/y": "v1.2.3"}`.

    Neither comments (`// indirect` among them), order, nor the grouping in blocks count; `retract`, `tool` and
    `ignore` speak to other commands than `go build`. `toolchain` is a wish that a local toolchain does not hear, and
    what `exclude` does is seen in the versions that were chosen.
    """
    values: dict[str, str] = {}
    for verb, *arguments in directives(text):
        if verb in ("exclude", "ignore", "retract", "tool", "toolchain"):
            continue
        key, value = f"{name} {verb}", " ".join(arguments)
        if verb in ("require", "use"):
            key, value = f"{key} {arguments[0] if arguments else ''}", " ".join(arguments[1:]) or "yes"
        elif verb == "replace" and "=>" in arguments:
            arrow = arguments.index("=>")
            key, value = f"{key} {' '.join(arguments[:arrow])}", " ".join(arguments[arrow + 1 :])
        elif verb == "godebug":
            setting, _, value = value.partition("=")
            key = f"{key} {setting.strip()}"
        values[key] = f"{values[key]}, {value}" if key in values else value
    return values


def go_version(text: str) -> str | None:
    """What the `go` line requires, as in `1.24`; None without one.

    The `toolchain` line is a wish for `GOTOOLCHAIN=auto`: a local toolchain that is older builds nevertheless.
    """
    for verb, *arguments in directives(text):
        if verb == "go" and arguments:
            return arguments[0]
    return None


def module_path(text: str) -> str:
    """The path of the module, as in `example.org/demo/v2`; "" without one."""
    return next((arguments[0] for verb, *arguments in directives(text) if verb == "module" and arguments), "")


def local_replacements(text: str) -> list[str]:
    """The folders that `replace … => ./folder` names, as written."""
    folders = []
    for verb, *arguments in directives(text):
        if verb == "replace" and "=>" in arguments:
            target = arguments[arguments.index("=>") + 1 :]
            if len(target) == 1 and is_local(target[0]):
                folders.append(target[0])
    return folders


def uses(text: str) -> list[str]:
    """The folders that a go.work uses, as written."""
    return [arguments[0] for verb, *arguments in directives(text) if verb == "use" and arguments]


def is_local(path: str) -> bool:
    """Whether Go reads this as a folder and not as a module path or pattern: `./x`, `../x`, `/x`, `.`, or a drive."""
    if path in (".", "..") or path.startswith(("./", "../", ".\\", "..\\")):
        return True
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def is_compiled(name: str, platform: Platform) -> bool:
    """Whether a file of this name may be a part of a package for a platform (go/build, `goodOSArchFile`)."""
    if not name.endswith(".go") or name.endswith("_test.go") or name.startswith(("_", ".")):
        return False
    words = name.partition(".")[0].split("_")[1:]
    system = words[-2] if len(words) > 1 and words[-1] in ARCHITECTURES and words[-2] in _SYSTEMS else None
    last = words[-1] if words else ""
    if last in ARCHITECTURES:
        return last == platform.architecture and system in (None, *_systems_of(platform))
    return last not in _SYSTEMS or last in _systems_of(platform)


def _systems_of(platform: Platform) -> tuple[str, ...]:
    """The operating system of a platform, and the one that it is a kind of."""
    return platform.os, _KIND_OF.get(platform.os, platform.os)


def _words(line: str) -> Iterator[str]:
    for token in re.findall(_LEXEME, line):
        if token.startswith("//"):
            return
        if token.startswith('"'):
            yield re.sub(_ESCAPE, r"\1", token[1:-1])
        elif token.startswith("`"):
            yield token[1:-1]
        else:
            yield token


class Project(msgspec.Struct, frozen=True):
    """What `go` sees from a folder, the user's settings considered.

    `root` is the folder of go.mod (or the folder asked from, without one). `roots` are all folders whose contents can
    change what `go list` says; `contents` are the texts of the files that steer it, by the name shown to people, and
    `steering` where these and the like lie, or would lie.
    `facts` are the lines of go.mod and go.work that can change a program, `sums` the checksum of each `module version`.
    `files` are go.mod and go.work themselves, there or not.
    """

    root: Path
    roots: tuple[str, ...]
    contents: tuple[tuple[str, str], ...]
    vendored: tuple[Path, ...]
    facts: Mapping[str, str]
    sums: Mapping[str, str]
    files: tuple[Path, ...] = ()
    steering: tuple[str, ...] = ()


class Modules(msgspec.Struct, frozen=True):
    """Of several projects: what names their modules (go.mod, go.sum, go.work) by digest, and folders of modules.

    `files` are by absolute path, there or not. Copies in Go's module cache are not among the folders.
    """

    files: Mapping[str, str]
    folders: frozenset[str]
    are_vendored: bool

    @classmethod
    def of(cls, projects: Iterable[Project], digest: Callable[[str], str]) -> Modules:
        """Of these projects; `digest` is that of a file, or what stands for one that is not there."""
        distinct = {id(project): project for project in projects}.values()
        folders = frozenset(root for project in distinct for root in project.roots)
        files = {path for project in distinct for path in project.steering}
        files |= {f"{folder}{os.sep}go.mod" for folder in folders}
        return cls({path: digest(path) for path in files}, folders, any(project.vendored for project in distinct))


def locate(directory: Path, settings: Mapping[str, str], mod_file: str = "") -> Project:
    """The project of a folder. `settings` holds GOWORK and GO111MODULE, `mod_file` the value of `-modfile`.

    A go.work counts that stands in the folder or in any of its parents, as for `go`. Nothing is an error here: a
    file that is missing or malformed is for `go` to complain about, and its appearance changes the project.
    """
    root = _above(directory, "go.mod") or directory
    mod = _absolute(directory, mod_file) if mod_file else root / "go.mod"
    mod_sum = mod.with_suffix(".sum")
    contents = [("go.mod", _text(mod)), ("go.sum", _text(mod_sum))]
    roots = [root]
    vendored = [root / "vendor" / "modules.txt"]
    work = _workspace(directory, settings)
    members = [(root, contents[0][1])]
    steering = [mod, mod_sum]
    if work is not None:
        text = _text(work)
        steering += [work, work.with_suffix(".work.sum")]
        contents += [("go.work", text), ("go.work.sum", _text(work.with_suffix(".work.sum")))]
        folders = [_absolute(work.parent, folder) for folder in uses(text)]
        members += [(folder, _text(folder / "go.mod")) for folder in folders if folder != root]
        members.append((work.parent, text))
        roots += [*folders, work.parent / "vendor"]
        vendored.append(work.parent / "vendor" / "modules.txt")
    steering += [*vendored, *(folder / "go.mod" for folder, _ in members)]
    for folder, text in members:
        roots += [_absolute(folder, path) for path in local_replacements(text)]
    return Project(
        root,
        tuple(dict.fromkeys(str(path) for path in roots)),
        tuple(contents),
        tuple(path for path in dict.fromkeys(vendored) if path.is_file()),
        {key: value for name, text in contents if ".sum" not in name for key, value in facts(text, name).items()},
        {key: value for name, text in contents if ".sum" in name for key, value in _sums(text).items()},
        (mod,) if work is None else (mod, work),
        tuple(dict.fromkeys(map(str, steering))),
    )


def overlaid(path: Path) -> dict[str, str]:
    """The replacements of an `-overlay` file (`go help build`); nothing when it is missing or malformed.

    As Go reads it: a target that is null or empty removes a file, and the case of `Replace` is nothing.
    """
    try:
        document: Any = json.loads(_text(path))
        maps = [replacements for name, replacements in document.items() if name.casefold() == "replace"]
        return {str(name): str(target or "") for replacements in maps for name, target in replacements.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _workspace(directory: Path, settings: Mapping[str, str]) -> Path | None:
    named = settings.get("GOWORK", "")
    if settings.get("GO111MODULE") == "off" or named == "off":
        return None
    folder = _above(directory, "go.work")
    return Path(named) if named else (None if folder is None else folder / "go.work")


def _above(directory: Path, name: str) -> Path | None:
    for folder in (directory, *directory.parents):
        if os.path.isfile(f"{folder}/{name}"):  # noqa: PTH113  # asked in every no-op, for every parent
            return folder
    return None


def _sums(text: str) -> dict[str, str]:
    lines = (line.split() for line in text.splitlines())
    return {f"{words[0]} {words[1]}": words[2] for words in lines if len(words) == 3}  # noqa: PLR2004  # module version sum


def _absolute(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""
