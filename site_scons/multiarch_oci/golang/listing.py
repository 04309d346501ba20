"""What `go list` says about packages: the authority on which files belong to a program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from multiarch_oci.golang.toolchain import Toolchain

_FILES = (
    *("GoFiles", "CgoFiles", "CFiles", "CXXFiles", "MFiles", "HFiles", "FFiles", "SFiles"),
    *("SwigFiles", "SwigCXXFiles", "SysoFiles", "EmbedFiles"),
)
_FIELDS = (
    *("ImportPath", "Name", "Dir", "Standard", "Match", "Imports", "ImportMap", "Module", "Error"),
    *("CgoCFLAGS", "CgoCPPFLAGS", "CgoCXXFLAGS", "CgoLDFLAGS", "EmbedPatterns"),
    *_FILES,
)

Run = Callable[[Sequence[str], Path, Mapping[str, str]], "tuple[int, str, str]"]
"""Runs a command in a folder with an environment: its status, what it wrote, and what it complained about."""


class Package(msgspec.Struct, frozen=True):
    """One package that is not of the standard library.

    `module` names its module, version and language version. `fixed`: it lies in the module cache, where a version
    never changes, so its files are not looked at.
    """

    path: str
    name: str
    folder: str
    files: tuple[str, ...]
    imports: tuple[str, ...]
    module: str
    version: str
    language: str
    fixed: bool
    c_flags: tuple[str, ...]
    ld_flags: tuple[str, ...]
    embeds: tuple[str, ...]
    error: str

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Package:
        """The reverse of `to_json`; TypeError for anything else."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Its fields by name."""
        return {name: getattr(self, name) for name in Package.__struct_fields__}


class Listing(msgspec.Struct, frozen=True, eq=False):
    """The packages behind some patterns: for each pattern the places of its packages, the program's own first."""

    packages: tuple[Package, ...]
    closures: Mapping[str, tuple[int, ...]]
    error: str = ""
    _memo: dict[str, tuple[Package, ...]] = msgspec.field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listing) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self.packages)

    def _compared(self) -> tuple[object, ...]:
        return self.packages, self.closures, self.error

    def behind(self, pattern: str) -> tuple[Package, ...]:
        """The program's package and all that it imports, directly or not."""
        if pattern not in self._memo:
            self._memo[pattern] = tuple(self.packages[number] for number in self.closures.get(pattern, ()))
        return self._memo[pattern]

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong: only then the answer depends on the files alone, and not on a network."""
        return not self.error and not any(package.error for package in self.packages)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and mappings."""
        return {"packages": [package.to_json() for package in self.packages], "closures": dict(self.closures)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Listing:
        """The reverse of `to_json`; KeyError, TypeError or AttributeError for anything else."""
        packages = tuple(Package.from_json(fields) for fields in document["packages"])
        return cls(packages, {pattern: tuple(places) for pattern, places in document["closures"].items()})


def list_packages(  # each is one fact about the question
    patterns: Sequence[str],
    *,
    toolchain: Toolchain,
    directory: Path,
    environment: Mapping[str, str],
    flags: Sequence[str],
    no_index: bool,
    run: Run,
) -> Listing:
    """Ask `go list` once for all patterns; what is wrong with a package is part of the answer.

    `no_index` is for trees in which an mtime was set back: Go then reads every file (100 ms more).
    """
    # -pgo=off: else each program has its own copy of every package; profiles are looked for by the caller.
    line = [str(toolchain.go), "list", "-e", "-deps", "-pgo=off", f"-json={','.join(_FIELDS)}", *flags, "--", *patterns]
    status, output, complaint = run(line, directory, without_index(environment) if no_index else environment)
    found: list[Mapping[str, Any]] = []
    error = ""
    try:
        found = [entry for entry in _documents(output) if entry.get("Error") or not entry.get("Standard")]
    except ValueError:
        error = "go list wrote something that is not JSON"
    if status != 0:
        error = complaint.strip() or f"go list failed with status {status}"
    packages = tuple(_package(entry) for entry in found)
    return Listing(packages, _closures(patterns, found, packages), error)


def without_index(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Go reads every source file instead of its package index."""
    debug = environment.get("GODEBUG", "")
    return {**environment, "GODEBUG": f"{debug},goindex=0" if debug else "goindex=0"}


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        document, position = decoder.raw_decode(text, position)
        yield document


def _package(entry: Mapping[str, Any]) -> Package:
    module = entry.get("Module") or {}
    replacement = module.get("Replace") or {}
    source = replacement or module
    version, folder = source.get("Version", ""), module.get("Dir", "")
    names = {name for kind in _FILES for name in entry.get(kind) or ()}
    renamed = entry.get("ImportMap") or {}
    errors = [entry["Error"]] if entry.get("Error") else []
    shown = module.get("Version", "")
    if replacement:
        shown += f" => {replacement['Path']} {version}".rstrip() if version else " => local"
    return Package(
        path=entry["ImportPath"],
        name=entry.get("Name", ""),
        folder=entry.get("Dir", ""),
        files=tuple(sorted(names)),
        imports=tuple(renamed.get(path, path) for path in entry.get("Imports") or ()),
        module=module.get("Path", ""),
        version=shown.strip(),
        language=module.get("GoVersion", ""),
        fixed=bool(version and folder.endswith(f"@{_escaped(version)}") and entry.get("Dir", "").startswith(folder)),
        c_flags=tuple(flag for kind in ("CgoCPPFLAGS", "CgoCFLAGS", "CgoCXXFLAGS") for flag in entry.get(kind) or ()),
        ld_flags=tuple(entry.get("CgoLDFLAGS") or ()),
        embeds=tuple(entry.get("EmbedPatterns") or ()),
        error="\n".join(_message(error) for error in errors),
    )


def _escaped(version: str) -> str:
    """A version as the module cache spells it: capitals as `!` and the small letter (module.EscapeVersion)."""
    return re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", version)


def _message(error: Mapping[str, Any]) -> str:
    position = error.get("Pos") or ""
    return f"{position}: {error.get('Err', '')}" if position else str(error.get("Err", ""))


def _closures(
    patterns: Sequence[str], found: Sequence[Mapping[str, Any]], packages: Sequence[Package]
) -> dict[str, tuple[int, ...]]:
    places = {package.path: number for number, package in enumerate(packages)}
    closures = {}
    for pattern in patterns:
        first = [number for number, entry in enumerate(found) if pattern in (entry.get("Match") or ())]
        seen = dict.fromkeys(first)
        pending = list(first)
        while pending:
            for path in packages[pending.pop()].imports:
                number = places.get(path)
                if number is not None and number not in seen:
                    seen[number] = None
                    pending.append(number)
        closures[pattern] = tuple(seen)
    return closures
