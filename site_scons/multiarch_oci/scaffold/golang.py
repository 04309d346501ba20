"""The Go programs of a repository: its modules, and the packages that hold a `main`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Iterable
from itertools import count

import msgspec

from multiarch_oci.golang.modules import module_path
from multiarch_oci.scaffold.files import Files

_MAIN = re.compile(r"^package\s+main\b", re.MULTILINE)
_FUNCTION = re.compile(r"^func\s+main\s*\(\s*\)", re.MULTILINE)
_LEFT_OUT = re.compile(r"^//\s*(?:go:build|\+build)\s+(?:ignore|tools?|never|none|generate)\s*$", re.MULTILINE)
_MAJOR = re.compile(r"v[0-9]+")
_BESIDE = frozenset(
    {
        *(
            "example",
            "examples",
            "_examples",
            "demo",
            "demos",
            "sample",
            "samples",
            "hack",
            "script",
            "scripts",
            "tool",
        ),
        *(
            "tools",
            "test",
            "tests",
            "e2e",
            "integration",
            "internal",
            "docs",
            "doc",
            "contrib",
            "benchmark",
            "bench",
            "ci",
        ),
    }
)
"""Folders whose programs are for those who work on the repository, unless there are no others."""


class GoProgram(msgspec.Struct, frozen=True, order=True):
    """A `main` package: the folder of its module ("." for the top), its path from there (`./cmd/api`), its name."""

    module: str
    package: str
    name: str

    @property
    def folder(self) -> str:
        """The package's folder from the top of the repository; "." for the top."""
        return posixpath.normpath(posixpath.join(self.module, self.package))


def programs(files: Files) -> list[GoProgram]:
    """All main packages, those of the top first; each name once, a second one is `folder-name`."""
    modules = {posixpath.dirname(path) or ".": _module_name(files, path) for path in files.below("go.mod")}
    folders: dict[str, bool] = {}
    for path in files.below(".go"):
        folder = posixpath.dirname(path) or "."
        if path.endswith("_test.go") or folders.get(folder):
            continue
        text = files.text(path)
        if _MAIN.search(text) and _FUNCTION.search(text) and not _LEFT_OUT.search(text.partition("\npackage")[0]):
            folders[folder] = True
    known: dict[str, GoProgram] = {}
    for folder in sorted(folders, key=lambda folder: (folder.count("/") if folder != "." else -1, folder)):
        module = _module_of(folder, modules)
        if module is None:
            continue
        inside = posixpath.relpath(folder, module)
        package = "." if inside == "." else f"./{inside}"
        name = posixpath.basename(folder) if inside != "." else modules[module] or posixpath.basename(folder)
        if name in known:
            name = free_name(folder.replace("/", "-"), known)
        known[name] = GoProgram(module, package, name)
    return list(known.values())


def chosen(every: Iterable[GoProgram]) -> tuple[list[GoProgram], list[GoProgram]]:
    """The programs that a repository is about, and those beside: of examples, tools and tests."""
    everything = list(every)
    beside = [program for program in everything if _BESIDE & set(program.folder.split("/"))]
    main = [program for program in everything if program not in beside]
    return (main, beside) if main else (everything, [])


def program_at(every: Iterable[GoProgram], folder: str, package: str) -> GoProgram | None:
    """The program that `folder` and `package` of another tool's file mean (`.`, `./cmd/api`, `main.go`)."""
    path = posixpath.normpath(posixpath.join(folder or ".", package or "."))
    if path.endswith(".go"):
        path = posixpath.dirname(path) or "."
    return next((program for program in every if program.folder == path), None)


def free_name(name: str, known: Container[str]) -> str:
    """The name, or the first of `name-2`, `name-3` … that is not known."""
    numbered = (f"{name}-{number}" for number in count(2))
    return name if name not in known else next(word for word in numbered if word not in known)


def _module_name(files: Files, path: str) -> str:
    parts = [part for part in module_path(files.text(path)).split("/") if part]
    if len(parts) > 1 and _MAJOR.fullmatch(parts[-1]):
        parts.pop()
    return parts[-1] if parts else ""


def _module_of(folder: str, modules: Iterable[str]) -> str | None:
    """The nearest folder with a go.mod, at or above a folder."""
    around = [module for module in modules if module in (".", folder) or folder.startswith(f"{module}/")]
    return max(around, key=lambda module: 0 if module == "." else len(module), default=None)
