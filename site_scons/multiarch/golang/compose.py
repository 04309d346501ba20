"""How a listing, the contents of files and what is declared become the inputs of a program."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from multiarch.golang import recipe
from multiarch.golang.contents import ABSENT, Contents
from multiarch.golang.includes import libraries, outside_headers
from multiarch.golang.inputs import Part
from multiarch.golang.listing import Package
from multiarch.golang.project import Project, overlaid
from multiarch.golang.recipe import GoBuild
from multiarch.golang.toolchain import Toolchain

_COMPILERS = {"CC": ("gcc", "clang", "cc"), "CXX": ("g++", "clang++", "c++")}


def package_part(package: Package, root: Path, contents: Contents) -> tuple[Part, str]:
    """The files of a package, and the digest of the headers outside it ("" without any).

    Below the module's root files are named from there, others after their package, so that no name depends on where
    the tree lies. A package of the module cache has no files here: its version stands for them.
    """
    if package.fixed:
        return Part.of(package.path, {}), ""
    shown = _shown(package.folder, root, package.path)
    files = {f"{shown}{name}": contents.digest(f"{package.folder}{os.sep}{name}") for name in package.files}
    headers = outside_headers(package, contents.includes)
    listed = {_named(path, root): contents.digest(str(path)) for path in headers}
    files |= listed | {_named(path, root): contents.digest(str(path)) for path in libraries(package)}
    return Part.of(package.path, files), _sum(listed) if listed else ""


def steering_part(
    build: GoBuild, environment: Mapping[str, str], project: Project, main: Package | None, contents: Contents
) -> Part:
    """The files that steer a build from beside: a profile, an overlay, vendor/modules.txt."""
    flags = recipe.flags_of(build, environment)
    files = {_named(path, project.root): contents.digest(str(path)) for path in project.vendored}
    files |= {f"overlay {name}": digest for name, digest in overlay(build, environment, contents).items()}
    profile = recipe.flag_value(flags, "pgo")
    if profile in ("", "auto"):
        path = Path(main.folder) / "default.pgo" if main is not None and main.folder else None
        if path is not None and contents.digest(str(path)) != ABSENT:
            files[_named(path, project.root)] = contents.digest(str(path))
    elif profile != "off":
        files[f"profile {profile}"] = contents.digest(str(build.directory / profile))
    return Part.of(" steering", files)


def overlay(build: GoBuild, environment: Mapping[str, str], contents: Contents) -> dict[str, str]:
    """The digests of an `-overlay` file and of the files that it puts in the place of others."""
    named = recipe.flag_value(recipe.flags_of(build, environment), "overlay")
    if not named:
        return {}
    path = build.directory / named
    targets = [target for target in overlaid(path).values() if target]
    found = {target: contents.digest(str(build.directory / target)) for target in targets}
    return {named: contents.digest(str(path)), **found}


def declared_facts(build: GoBuild, affecting: Mapping[str, str], toolchain: Toolchain) -> dict[str, str]:
    """What the declaration, the environment and the toolchain contribute."""
    line = recipe.command(build, Path("output"), toolchain, affecting)
    flags = [flag for flag in line[2:-3] if not flag.startswith(("-ldflags=", "-tags="))]
    ldflags = [flag.partition("=")[2] for flag in line[2:-3] if flag.startswith("-ldflags=")]
    found = {**affecting, "go": toolchain.version, "flags": shlex.join(flags), "ldflags": " ".join(ldflags)}
    if build.tags:
        found["tags"] = ",".join(build.tags)
    if not recipe.trims_paths(build):
        found |= {"directory": str(build.directory), "GOROOT": str(toolchain.goroot)}
    return found


def compiler_facts(environment: Mapping[str, str], contents: Contents) -> dict[str, str]:
    """The programs behind CC and CXX by content, if any package may be compiled by them."""
    if environment.get("CGO_ENABLED") != "1":
        return {}
    found = {}
    for variable, defaults in _COMPILERS.items():
        named = shlex.split(environment.get(variable, ""), posix=os.name != "nt")[:1]
        for name in named or defaults:
            path = shutil.which(name, path=environment.get("PATH", ""))
            if path is not None:
                found[f"{variable} program"] = contents.digest(path)
                break
    return found


def package_facts(packages: Sequence[Package], project: Project, build: GoBuild) -> dict[str, str]:
    """The versions of the modules that take part, the lines of go.mod and go.work, and what is wrong."""
    found = dict(project.facts)
    sums = project.sums
    for package in packages:
        if package.module:
            version = package.version.rpartition(" => ")[2]
            name = package.module if "=>" not in package.version else version.rpartition(" ")[0]
            checksum = sums.get(f"{name} {version.rpartition(' ')[2]}", "")
            words = (package.version, checksum, f"(language {package.language})" if package.language else "")
            found[f"module {package.module}"] = " ".join(word for word in words if word)
    found["package"] = packages[0].path if packages else build.package
    errors = list(dict.fromkeys(package.error for package in packages if package.error))
    if errors:
        found["error"] = "\n".join(errors)
    return found


def _shown(folder: str, root: Path, path: str) -> str:
    base = str(root)
    if folder == base:
        return ""
    if folder.startswith(base + os.sep):
        return folder[len(base) + 1 :].replace(os.sep, "/") + "/"
    return f"{path}/"


def _named(path: Path, root: Path) -> str:
    """A file's name from the module's root, also when it lies beside it."""
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def _sum(files: Mapping[str, str]) -> str:
    return hashlib.sha256("\0".join(_flat(files)).encode("utf-8", "surrogateescape")).hexdigest()


def _flat(files: Mapping[str, str]) -> Iterator[str]:
    for name, digest in sorted(files.items()):
        yield name
        yield digest
