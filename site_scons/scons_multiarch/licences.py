"""The licences of the modules in Go programs: read when a program is compiled, as their sources are there then.

What was read is kept beside the program's facts. Of modules that are no copies in Go's cache (its own, folders that
replace others, `vendor`) it is read anew each time an SBOM is decided, as their files may change without the program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from multiarch_oci.document import readable, remembered_as
from multiarch_oci.errors import MultiarchError
from scons_multiarch.step import write
from scons_multiarch.targets import ProgramTarget, target_of
from scons_multiarch.tracking.held import held_file

if TYPE_CHECKING:
    from multiarch_oci.golang.recipe import GoBuild
    from scons_multiarch.session import Run

_FORMAT = 1


class _Module(msgspec.Struct, frozen=True):
    """A module as an SBOM names it: its licence, or the folder whose files say it, which may be edited."""

    path: str
    version: str
    licence: str = ""
    folder: str | None = None


class _Kept(msgspec.Struct, frozen=True):
    """What was read for a program, of this sha256."""

    format: int
    program: str
    modules: tuple[_Module, ...]


def keep(run: Run, program: Any) -> None:
    """Read the licences of what is linked into a Go program that was just compiled, and keep them.

    Nothing is wrong where that cannot be done: they are not known then.
    """
    with suppress(OSError, MultiarchError):
        _kept(run, program)


def licences_of(run: Run, program: Any) -> dict[tuple[str, str], str]:
    """The licence of each module of a Go program of this build, by path and version, as its files say it now."""
    from multiarch_oci.attest.licences import of_folder

    licences = {}
    for module in _of(run, program):
        licence = module.licence if module.folder is None else of_folder(run.tree.root / module.folder)
        if licence:
            licences[module.path, module.version] = licence
    return licences


def state(run: Run, program: Any) -> str:
    """What tells what is kept of a program from what was kept before; "" for nothing."""
    try:
        status = os.stat(_file(run, program))  # noqa: PTH116  # as text: of each
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size}"


def facts(run: Run, program: Any) -> tuple[str, Mapping[str, str]]:
    """What an SBOM gets of a program's licences: those that were kept, and the files of others by digest."""
    return run.build.once(("licences in", program), partial(_facts, run, program))


def _facts(run: Run, program: Any) -> tuple[str, Mapping[str, str]]:
    modules = _of(run, program)
    files: dict[str, str] = {}
    for folder in {module.folder for module in modules if module.folder is not None}:
        files |= run.build.once(("licences", folder), partial(_files, run, folder))
    kept = [[module.path, module.version, module.licence] for module in modules if module.folder is None]
    return json.dumps(kept) if kept else "", files


def _files(run: Run, folder: str) -> dict[str, str]:
    from multiarch_oci.attest.licences import files_in

    paths = files_in(run.tree.root / folder)
    return {_from_top(run, path).as_posix(): run.tree.stat.digest(path) for path in paths}


def _of(run: Run, program: Any) -> tuple[_Module, ...]:
    """What is kept of a program; read now where it is not: it came out of a cache, or is of an earlier version."""
    if not isinstance(target_of(program), ProgramTarget):
        return ()
    kept = remembered_as(_file(run, program), _Kept)
    if kept is not None and kept.format == _FORMAT and kept.program == program.get_csig():
        return kept.modules
    try:
        return _kept(run, program)
    except (OSError, MultiarchError):
        return ()


def _kept(run: Run, program: Any) -> tuple[_Module, ...]:
    with _opened(run, program) as stream:
        modules = tuple(_read(run, stream, target_of(program).build))
    kept = _Kept(_FORMAT, program_digest(run, program), modules)
    if run.settings.keeps:
        write(_file(run, program), readable(msgspec.to_builtins(kept)))
    return modules


def program_digest(run: Run, program: Any) -> str:
    """The sha256 of a program that was just made, or that a shared cache holds. OSError where it is not there."""
    held = held_file(program)
    return run.tree.stat.digest(program.get_abspath()) if held is None else held.digest


def _opened(run: Run, program: Any) -> BinaryIO:
    """A program's bytes; those of one that a shared cache holds, in a file that goes with the stream."""
    held = held_file(program)
    if held is None:
        return Path(program.get_abspath()).open("rb")
    import shutil
    import tempfile

    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.digest import Digest
    from multiarch_oci.mediatype import OCTETS
    from scons_multiarch.shared.origins import open_origin

    content = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  # the caller closes it
    with open_origin(run, held.origin).open(Descriptor(OCTETS, Digest("sha256", held.digest), held.size)) as stream:
        shutil.copyfileobj(stream, content)
    return content


def _file(run: Run, program: Any) -> Path:
    return run.tree.records.beside(str(program), "licences")


def _from_top(run: Run, path: Path) -> Path:
    return path.relative_to(run.tree.root) if path.is_relative_to(run.tree.root) else path


def _read(run: Run, program: BinaryIO, build: GoBuild) -> Iterator[_Module]:
    """Every module of a program, its own first."""
    from multiarch_oci.attest.gobuild import read_build_info
    from multiarch_oci.attest.licences import of_folder
    from multiarch_oci.attest.readers import named
    from multiarch_oci.golang.modulefolders import ModuleFolders
    from multiarch_oci.golang.recipe import flag_value, flags_of, goenv

    info = read_build_info(program)
    if info is None:
        return
    environment = run.build.lister().environment(build)
    environment = {**goenv(environment, run.build.toolchain()), **environment}
    folders = ModuleFolders(build.directory, environment, flag_value(flags_of(build, environment), "modfile"))
    modules = [*(() if info.main is None else (info.main,)), *info.modules]
    for module in modules:
        actual, name = module.replace or module, named(module)
        where = folders.folder(actual.path, actual.version, module.path if module.replace is not None else "")
        if where is None or folders.is_cached(where):
            yield _Module(name.path, name.version, "" if where is None else of_folder(where))
        else:
            yield _Module(name.path, name.version, "", _from_top(run, where).as_posix())
