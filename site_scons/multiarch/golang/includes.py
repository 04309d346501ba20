"""Headers and libraries that C and assembly name outside their own package.

`go list` does not know them, and neither does Go's build cache: an edit of such a header leaves `go build` stale.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from multiarch.golang.listing import Package

Includes = tuple[tuple[bool, str], ...]
"""The `#include`s of a file as (quoted, name)."""

_INCLUDE = re.compile(rb'^[ \t]*(?:/[/*][ \t]*)?#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
_INCLUDING = (
    *(".s", ".S", ".sx", ".c", ".cc", ".cpp", ".cxx", ".m", ".h", ".hh", ".hpp", ".hxx", ".swig", ".swigcxx"),
    *(".f", ".F", ".for", ".f90"),
)
_LIBRARIES = ("lib{}.a", "lib{}.so", "lib{}.dylib", "{}.lib", "lib{}.dll.a")


def includes(content: bytes) -> Includes:
    """Every `#include` of a C or assembly file, and of a cgo preamble, whatever `#if` surrounds it."""
    return tuple(
        (bool(quoted), (quoted or pointed).decode("utf-8", "surrogateescape"))
        for quoted, pointed in _INCLUDE.findall(content)
    )


def outside_headers(package: Package, read: Callable[[Path], Includes]) -> tuple[Path, ...]:
    """The existing files outside the package's folder that its C and assembly include, sorted, directly or not.

    `read` answers with a file's includes. System folders are not searched: a compiler's own headers count as the
    compiler. Only packages with C or assembly are looked at.
    """
    names = [name for name in package.files if name.endswith(_INCLUDING)]
    if "C" in package.imports:
        names += [name for name in package.files if name.endswith(".go")]
    if package.fixed or not names:
        return ()
    folder = Path(package.folder)
    searched = tuple(_search_path(package))
    pending = [folder / name for name in names]
    seen = set(pending)
    found = set()
    while pending:
        path = pending.pop()
        for quoted, name in read(path):
            header = _resolve(name, (path.parent, folder, *searched) if quoted else searched)
            if header is None or header in seen:
                continue
            seen.add(header)
            pending.append(header)
            if header.parent != folder:
                found.add(header)
    return tuple(sorted(found))


def libraries(package: Package) -> tuple[Path, ...]:
    """The existing library files that a package's `#cgo LDFLAGS` name, by path or as `-Lfolder -lname`, sorted."""
    base = Path(package.folder)
    folders = [base / flag[2:] for flag in package.ld_flags if flag.startswith("-L")]
    named = [base / flag for flag in package.ld_flags if not flag.startswith("-")]
    for flag in package.ld_flags:
        if flag.startswith("-l"):
            named += [folder / form.format(flag[2:]) for folder in folders for form in _LIBRARIES]
    return tuple(sorted({path for path in named if path.is_file()}))


def _search_path(package: Package) -> Iterator[Path]:
    flags = iter(package.c_flags)
    for flag in flags:
        for option in ("-iquote", "-isystem", "-I"):
            if flag.startswith(option):
                yield Path(package.folder) / (flag[len(option) :] or next(flags, ""))
                break


def _resolve(name: str, folders: tuple[Path, ...]) -> Path | None:
    for folder in folders:
        path = Path(os.path.normpath(folder / name))
        if path.is_file():
            return path
    return None
