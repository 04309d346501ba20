"""Contents of files: each digest asked for once, and the headers and libraries that C and assembly name elsewhere.

`go list` does not know those, and neither does Go's build cache: an edit of such a header leaves `go build` stale. The
`#include`s of files are remembered by digest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.golang.inputs import Package
from multiarch_oci.golang.words import fields
from multiarch_oci.statcache import StatCache, replace_text

Includes = tuple[tuple[bool, str], ...]
"""The `#include`s of a file as (quoted, name)."""

_INCLUDE = (  # compiled when the first file is read, as all patterns that a run with nothing to do has no use for
    rb"(?m)(?:^[ \t]*(?:/[/*][ \t]*)?#[ \t]*(?:include|include_next|import|embed)|__has_include[ \t]*\()[ \t]*"
    rb'(?:"([^"\n]+)"|<([^>\n]+)>)'
)
_INCLUDING = (
    *(".s", ".S", ".sx", ".c", ".cc", ".cpp", ".cxx", ".m", ".h", ".hh", ".hpp", ".hxx", ".swig", ".swigcxx"),
    *(".f", ".F", ".for", ".f90"),
)
_LIBRARIES = ("lib{}.a", "lib{}.so", "lib{}.dylib", "{}.lib", "lib{}.dll.a")


def includes(content: bytes) -> Includes:
    """Every `#include` of a C or assembly file, and of a cgo preamble, whatever `#if` surrounds it."""
    return tuple(
        (bool(quoted), (quoted or pointed).decode("utf-8", "surrogateescape"))
        for quoted, pointed in re.findall(_INCLUDE, content)
    )


def outside_headers(
    package: Package, read: Callable[[Path], Includes], environment: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """The existing files unknown to Go that a package's C and assembly include, sorted, directly or not.

    Those are the ones of other folders, and the ones of its own whose names Go does not take for sources (`table.inc`).
    `read` answers with a file's includes; of the environment the variables count that name folders of headers.
    System folders are not searched: a compiler's own headers count as the compiler. Only packages with C or assembly
    are looked at.
    """
    names = [name for name in package.files if name.endswith(_INCLUDING)]
    if "C" in package.imports:
        names += [name for name in package.files if name.endswith(".go")]
    if package.fixed or not names:
        return ()
    folder = Path(package.folder)
    flags = (*package.c_flags, *(_environment_flags(environment or {}) if "C" in package.imports else ()))
    searched = tuple(_search_path(folder, flags))
    pending = [folder / name for name in names]
    seen = set(pending)
    outside: set[Path] = set()
    for name in _options(flags, ("-include", "-imacros")):
        header = _resolve(name, (folder, *searched))
        if header is not None:
            outside.add(header)
            pending.append(header)
    while pending:
        path = pending.pop()
        for quoted, name in read(path):
            header = _resolve(name, (path.parent, folder, *searched) if quoted else searched)
            if header is None or header in seen:
                continue
            seen.add(header)
            pending.append(header)
            if header.parent != folder or header.name not in package.files:
                outside.add(header)
    return tuple(sorted(outside))


def libraries(package: Package, environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The existing library files that `#cgo LDFLAGS` and CGO_LDFLAGS name, by path or as `-Lfolder -lname`, sorted."""
    uses_cgo = "C" in package.imports and environment
    flags = (*package.ld_flags, *(fields(environment.get("CGO_LDFLAGS", "")) if uses_cgo and environment else ()))
    if not flags:
        return ()
    base = Path(package.folder)
    folders = [base / flag[2:] for flag in flags if flag.startswith("-L")]
    named = [base / flag for flag in flags if not flag.startswith("-")]
    for flag in flags:
        if flag.startswith("-l"):
            named += [folder / form.format(flag[2:]) for folder in folders for form in _LIBRARIES]
    return tuple(sorted({path for path in named if path.is_file()}))


def _environment_flags(environment: Mapping[str, str]) -> Iterator[str]:
    for variable in ("CGO_CPPFLAGS", "CGO_CFLAGS", "CGO_CXXFLAGS"):
        yield from fields(environment.get(variable, ""))
    for variable in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH"):
        yield from (f"-I{folder}" for folder in environment.get(variable, "").split(os.pathsep) if folder)


def _search_path(folder: Path, flags: tuple[str, ...]) -> Iterator[Path]:
    for name in _options(flags, ("-iquote", "-isystem", "-idirafter", "-I")):
        yield folder / name


def _options(flags: tuple[str, ...], options: tuple[str, ...]) -> Iterator[str]:
    """The values of some options of a C compiler, written as one word or as two."""
    rest = iter(flags)
    for flag in rest:
        for option in options:
            if flag.startswith(option):
                yield flag[len(option) :] or next(rest, "")
                break


def _resolve(name: str, folders: tuple[Path, ...]) -> Path | None:
    for folder in folders:
        path = Path(os.path.normpath(folder / name))
        if path.is_file():
            return path
    return None


_FORMAT = "includes 1"
ABSENT = "absent"


class _KeptIncludes(msgspec.Struct):
    """What is kept: the `#include`s of files by their digest."""

    format: str
    includes: dict[str, Includes]


class Contents:
    """What is in files, as first seen by this object; `cache` is the folder of what is kept (None: nothing is)."""

    def __init__(self, cache: Path | None, stats: StatCache) -> None:
        self._path = None if cache is None else cache / "includes.json"
        self._stats = stats
        self._digests: dict[str, str] = {}
        self._includes: dict[str, Includes] | None = None
        self._used: dict[str, Includes] = {}

    def digest(self, path: str) -> str:
        """The sha256 of a file in hexadecimal; `absent` when it cannot be read."""
        digest = self._digests.get(path)
        if digest is None:
            try:
                digest = self._stats.digest(path)
            except OSError:
                digest = ABSENT
            self._digests[path] = digest
        return digest

    def includes(self, path: Path) -> Includes:
        """The `#include`s of a file; none when it cannot be read."""
        if self._includes is None:
            self._includes = self._load()
        digest = self.digest(str(path))
        if digest not in self._used:
            known = self._includes.get(digest)
            if known is None:
                try:
                    known = includes(path.read_bytes())
                except OSError:
                    known = ()
            self._used[digest] = known
        return self._used[digest]

    def save(self) -> None:
        """Write the includes, if any was learnt; those of files that exist no longer go."""
        if self._path is not None and any(digest not in (self._includes or {}) for digest in self._used):
            document = {"format": _FORMAT, "includes": self._used}
            replace_text(self._path, json.dumps(document, separators=(",", ":")))
            self._includes = dict(self._used)

    def _load(self) -> dict[str, Includes]:
        kept = None if self._path is None else remembered_as(self._path, _KeptIncludes)
        return kept.includes if kept is not None and kept.format == _FORMAT else {}
