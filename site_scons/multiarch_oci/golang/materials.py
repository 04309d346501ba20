"""What a Go program is made of, for who wants to find it again: files by their paths in the tree, modules by checksum.

The names of `Inputs` are for people who look at one module; a tree may hold several, and other things than Go.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from multiarch_oci.golang.contents import ABSENT, Contents
from multiarch_oci.golang.inputs import Package, Part
from multiarch_oci.golang.modules import Project

_BESIDE = ("overlay ", "profile ", "toolexec ")
"""How the names of files begin that are named by flags."""


class Module(msgspec.Struct, frozen=True, order=True):
    """A module of the module cache that takes part; `replaces` is the one that go.mod has in its place, or "".

    `checksum` is the directory hash that go.sum says as `h1:…`, in hexadecimal ("" where it says none).
    """

    path: str
    version: str
    checksum: str = ""
    replaces: str = ""


class Shared(NamedTuple):
    """What programs have in common: digests of contents, which go.mod counts in a folder, and named files.

    The latter by the top, the root of the module, the folder of the package and the digest of its part.
    """

    contents: Contents
    module_files: dict[str, str]
    named: dict[tuple[Path, Path, str, str], dict[str, str]]


class Materials(msgspec.Struct, frozen=True):
    """The files of a program with their sha256 in hexadecimal, sorted by name, and its modules.

    A file below the top is called by its path from there. Another is called as Go calls it: its package and name.
    """

    files: tuple[tuple[str, str], ...]
    modules: tuple[Module, ...]

    @classmethod
    def of(
        cls,
        project: Project,
        packages: Iterable[tuple[Package, Part]],
        steering: Part,
        top: Path,
        shared: Shared,
    ) -> Materials:
        """Of packages with their files, and the files that steer the build; go.mod and go.work are among them.

        What is found out is left in `shared`, for other programs.
        """
        files: dict[str, str] = {}
        modules = set()
        steered_by = dict.fromkeys(map(str, project.files))
        for package, part in packages:
            if package.fixed:
                modules.add(_module(package, project.sums))
                continue
            if module_file := _module_file(package.folder, shared.module_files):
                steered_by[module_file] = None
            key = top, project.root, package.folder, part.digest
            if key not in shared.named:
                shared.named[key] = {_name(name, package, project.root, top): digest for name, digest in part.files}
            files |= shared.named[key]
        files |= {_name(name, None, project.root, top): digest for name, digest in steering.files}
        for path in steered_by:
            digest = shared.contents.digest(path)
            if digest != ABSENT:
                files[below(path, top) or os.path.basename(path)] = digest  # noqa: PTH119  # as text, as above
        return cls(tuple(sorted(files.items())), tuple(sorted(modules)))


def _module(package: Package, sums: Mapping[str, str]) -> Module:
    version, arrow, replacement = package.version.partition(" => ")
    path, replaces = package.module, ""
    if arrow:
        path, _, version = replacement.rpartition(" ")
        replaces = package.module
    return Module(path, version, _hexadecimal(sums.get(f"{path} {version}", "")), replaces)


def _hexadecimal(checksum: str) -> str:
    """The directory hash of a line of go.sum in hexadecimal; "" for what is none."""
    kind, _, encoded = checksum.partition(":")
    try:
        return base64.b64decode(encoded, validate=True).hex() if kind == "h1" else ""
    except binascii.Error:
        return ""


def _module_file(folder: str, known: dict[str, str]) -> str:
    """The go.mod of the module that a folder lies in: that of a workspace, or in the place of a required one; or "".

    It is noted in `known` for the folder, and for those above it.
    """
    if folder not in known:
        path, above = os.path.join(folder, "go.mod"), os.path.dirname(folder)  # noqa: PTH118,PTH120  # of many folders
        is_there = os.path.isfile(path)  # noqa: PTH113  # as above
        known[folder] = path if is_there else "" if above == folder else _module_file(above, known)
    return known[folder]


def _name(name: str, package: Package | None, root: Path, top: Path) -> str:
    """A file's name from the top, of its name in `Inputs`; what lies elsewhere keeps that."""
    if name.startswith(_BESIDE):
        return name
    folder, inside = str(root), name
    if package is not None and package.folder and name.startswith(f"{package.path}/"):
        beside = f"{package.folder}{os.sep}{name[len(package.path) + 1 :]}"
        if os.path.lexists(beside):
            folder, inside = package.folder, name[len(package.path) + 1 :]
    path = below(os.path.normpath(f"{folder}{os.sep}{inside}"), top)
    return path or (name.rpartition("/")[2] if name.startswith(("../", "/")) else name)  # no path of this machine


def below(path: str, top: Path | str) -> str:
    """The path from the top, with `/`; "" for what does not lie below it."""
    start = f"{top}".rstrip(os.sep) + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else ""
