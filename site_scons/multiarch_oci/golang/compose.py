"""How a listing, the contents of files and what is declared become the inputs of a program."""

from __future__ import annotations

import hashlib
import itertools
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang import recipe
from multiarch_oci.golang.contents import ABSENT, Contents, libraries, outside_headers
from multiarch_oci.golang.inputs import Package, Part
from multiarch_oci.golang.modules import Project, overlaid
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.golang.words import fields

_PACKAGES = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "Lib/site-packages")
_STEERING = " steering"
_NO_STEERING = Part.of(_STEERING, {})  # that of most programs
_COMPILERS = {"CC": ("gcc", "clang", "cc"), "CXX": ("g++", "clang++", "c++")}


def package_part(package: Package, root: Path, contents: Contents, environment: Mapping[str, str]) -> tuple[Part, str]:
    """The files of a package, and the digest of the headers that Go does not know ("" without any).

    Below the module's root files are named from there, others after their package, so that no name depends on where
    the tree lies. A package of the module cache has no files here: its version stands for them.
    """
    if package.fixed:
        return Part.of(package.path, {}), ""
    shown = _shown(package.folder, root, package.path)
    files = {f"{shown}{name}": contents.digest(f"{package.folder}{os.sep}{name}") for name in package.files}
    headers = outside_headers(package, contents.includes, environment)
    listed = {_named(path, root): contents.digest(str(path)) for path in headers}
    files |= listed | {_named(path, root): contents.digest(str(path)) for path in libraries(package, environment)}
    return Part.of(package.path, files), _sum(listed) if listed else ""


def steering_part(
    build: GoBuild, environment: Mapping[str, str], project: Project, main: Package | None, contents: Contents
) -> Part:
    """The files that steer a build from beside: a profile, an overlay, what wraps tools, vendor/modules.txt."""
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
    for program in _wrappers(build, environment):
        files[f"toolexec {os.path.basename(program)}"] = contents.digest(program)  # noqa: PTH119  # as text
    return Part.of(_STEERING, files) if files else _NO_STEERING


def overlay(build: GoBuild, environment: Mapping[str, str], contents: Contents) -> dict[str, str]:
    """The digests of an `-overlay` file and of the files that it puts in the place of others."""
    named = recipe.flag_value(recipe.flags_of(build, environment), "overlay")
    if not named:
        return {}
    path = build.directory / named
    targets = [target for target in overlaid(path).values() if target]
    digests = {target: contents.digest(str(build.directory / target)) for target in targets}
    return {named: contents.digest(str(path)), **digests}


def beside(build: GoBuild, environment: Mapping[str, str], contents: Contents) -> set[str]:
    """The paths of what flags and variables name: an overlay and what it takes, a profile, programs; there or not."""
    profile = recipe.flag_value(recipe.flags_of(build, environment), "pgo")
    names = [*overlay(build, environment, contents), *([] if profile in ("", "auto", "off") else [profile])]
    programs = [name for _, name, _ in _compilers(environment)]
    return {os.path.normpath(build.directory / name) for name in (*names, *programs, *_wrappers(build, environment))}


def _wrappers(build: GoBuild, environment: Mapping[str, str]) -> Iterator[str]:
    """The program of `-toolexec`, which Go calls with each of its tools."""
    for name in fields(recipe.flag_value(recipe.flags_of(build, environment), "toolexec"))[:1]:
        yield shutil.which(name, path=environment.get("PATH", "")) or name


def declared_facts(build: GoBuild, affecting: Mapping[str, str], toolchain: Toolchain) -> dict[str, str]:
    """What the declaration, the environment and the toolchain contribute, but for flags that change no byte."""
    settings = _without_quiet_flags(affecting)
    try:
        line = recipe.command(build, Path("output"), toolchain, affecting)
    except MultiarchError as error:  # nothing that decides may fail: the build says it
        return {**settings, "go": toolchain.version, "flags": shlex.join(build.flags), "error": str(error)}
    flags = [flag for flag in line[2:-3] if not flag.startswith(("-ldflags=", "-tags="))]
    ldflags = [flag.partition("=")[2] for flag in line[2:-3] if flag.startswith("-ldflags=")]
    if recipe.flags_of(build, affecting):  # ours all count
        flags = list(recipe.counting_flags(tuple(flags), "mod"))
    facts = {**settings, "go": toolchain.version, "flags": shlex.join(flags), "ldflags": " ".join(ldflags)}
    tags = recipe.tags(build, affecting)
    if tags:
        facts["tags"] = ",".join(tags)
    if not recipe.trims_paths(build, affecting):
        facts |= {"directory": str(build.directory), "GOROOT": str(toolchain.goroot)}
    return facts


def _without_quiet_flags(affecting: Mapping[str, str]) -> dict[str, str]:
    """The variables, GOFLAGS without flags that change no byte: what `-mod` decides stands in the packages."""
    given = recipe.goflags(affecting)
    counting = recipe.not_given_anyway(recipe.counting_flags(given, "mod"))
    if counting == given:
        return dict(affecting)
    rest = {name: value for name, value in affecting.items() if name != "GOFLAGS"}
    return {**rest, "GOFLAGS": shlex.join(counting)} if counting else rest


def compiler_facts(environment: Mapping[str, str], contents: Contents) -> dict[str, str]:
    """The programs behind CC and CXX by content, if any package may be compiled by them."""
    facts = {}
    for variable, program, words in _compilers(environment):
        path = shutil.which(program, path=environment.get("PATH", ""))
        if path is not None:
            facts[f"{variable} program"] = contents.digest(path)
            facts |= _python_package(variable, Path(path), words, contents)
    return facts


def _compilers(environment: Mapping[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    """CC and CXX where any package may be compiled by them: the program's path, if it is there, and further words."""
    for variable, defaults in _COMPILERS.items() if environment.get("CGO_ENABLED") == "1" else ():
        named = fields(environment.get(variable, ""))
        search = environment.get("PATH", "")
        installed = filter(None, (shutil.which(name, path=search) for name in named[:1] or defaults))
        for program in itertools.islice((*installed, *named[:1]), 1):
            yield variable, program, list(named[1:])


def _python_package(variable: str, program: Path, words: Sequence[str], contents: Contents) -> dict[str, str]:
    """The package behind `python -m NAME` by version and contents: the interpreter says nothing about it."""
    facts = {}
    if "-m" in words[:-1]:
        import glob  # start-up

        name = words[words.index("-m") + 1].partition(".")[0]
        for folder in _PACKAGES:
            for record in sorted(program.parent.parent.glob(f"{folder}/{glob.escape(name)}-*.dist-info/RECORD")):
                version = record.parent.name.removesuffix(".dist-info")
                facts[f"{variable} package"] = f"{version} {contents.digest(str(record))}"
    return facts


def package_facts(packages: Sequence[Package], project: Project) -> dict[str, str]:
    """The versions of the modules that take part, the lines of go.mod and go.work, and what is wrong."""
    taking_part = {package.module for package in packages}
    facts = {key: value for key, value in project.facts.items() if _counts(key, taking_part)}
    sums = project.sums
    for package in packages:
        if package.module:
            version = package.version.rpartition(" => ")[2]
            name = package.module if "=>" not in package.version else version.rpartition(" ")[0]
            checksum = sums.get(f"{name} {version.rpartition(' ')[2]}", "")
            words = (package.version, checksum, f"(language {package.language})" if package.language else "")
            facts[f"module {package.module}"] = " ".join(word for word in words if word)
    if packages:
        facts["package"] = packages[0].path
    errors = list(dict.fromkeys(package.error for package in packages if package.error))
    if errors:
        facts["error"] = "\n".join(errors)
    return facts


def _counts(line: str, modules: AbstractSet[str]) -> bool:
    """Whether a line of go.mod or go.work can change a program: of other modules' none can, but by a version chosen."""
    _, verb, *arguments = line.split(" ")
    return verb not in ("require", "replace") or not arguments or arguments[0] in modules


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
