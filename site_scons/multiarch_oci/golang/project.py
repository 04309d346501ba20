"""Where the sources of a build lie: its module, its workspace, the folders that replace modules."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from multiarch_oci.golang import modfile


class Project(msgspec.Struct, frozen=True):
    """What `go` sees from a folder, the user's settings considered.

    `root` is the folder of go.mod (or the folder asked from, without one). `roots` are all folders whose contents can
    change what `go list` says; `contents` are the texts of the files that steer it, by the name shown to people.
    `facts` are the lines of go.mod and go.work that can change a program, `sums` the checksum of each `module version`.
    """

    root: Path
    roots: tuple[str, ...]
    contents: tuple[tuple[str, str], ...]
    vendored: tuple[Path, ...]
    facts: Mapping[str, str]
    sums: Mapping[str, str]


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
    if work is not None:
        text = _text(work)
        contents += [("go.work", text), ("go.work.sum", _text(work.with_suffix(".work.sum")))]
        folders = [_absolute(work.parent, folder) for folder in modfile.uses(text)]
        members += [(folder, _text(folder / "go.mod")) for folder in folders if folder != root]
        members.append((work.parent, text))
        roots += [*folders, work.parent / "vendor"]
        vendored.append(work.parent / "vendor" / "modules.txt")
    for folder, text in members:
        roots += [_absolute(folder, path) for path in modfile.local_replacements(text)]
    return Project(
        root,
        tuple(dict.fromkeys(str(path) for path in roots)),
        tuple(contents),
        tuple(path for path in dict.fromkeys(vendored) if path.is_file()),
        {
            key: value
            for name, text in contents
            if ".sum" not in name
            for key, value in modfile.facts(text, name).items()
        },
        {key: value for name, text in contents if ".sum" in name for key, value in _sums(text).items()},
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
