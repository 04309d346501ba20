"""Which package a Go program is, how it is built, and what decides its bytes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.modules import is_compiled, is_local
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.context import made_in_tree
from scons_multiarch.graph import nodes_below
from scons_multiarch.process import doing
from scons_multiarch.session import Run
from scons_multiarch.step import WrongCall
from scons_multiarch.tracking.state import is_ours

if TYPE_CHECKING:
    from multiarch_oci.golang.inputs import Inputs
    from multiarch_oci.golang.lister import Lister

KEYWORDS = ("GOFLAGS", "GOLDFLAGS", "GOTAGS", "GOENV", "CC", "CXX", "GODIR", "cgo", "race", "debug")
"""What of the environment `env.GoBinary` reads, and takes as keywords."""
_MEANT = {"GOOS": "platform", "GOARCH": "platform", "GOARM": "platform", "CGO_ENABLED": "cgo", "ENV": "GOENV"}


_MODULE = ("go.mod", "go.work")


class NoPackage(MultiarchError, ValueError):
    """A package that is looked for in another folder than its author meant."""


class NotNamed(MultiarchError, ValueError):
    """A file that another step makes and a program reads, whose step the program does not wait for."""

    @classmethod
    def of(cls, names: Sequence[str]) -> NotNamed:
        """Of all such files, by their paths from the top."""
        are, them = ("is", "it") if len(names) == 1 else ("are", "them")
        return cls(f"{', '.join(names)} {are} made by another step, which nothing waits for", hint=_naming(names, them))


def _naming(names: Sequence[str], them: str) -> str:
    sources = ["#" + name.replace("$", "$$") for name in names]  # as SCons reads it
    return f"name {them} where the program is declared: sources={sources}"


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Run `go build`; the program replaces the old one at once or not at all."""
    from multiarch_oci.golang.compiler import build
    from scons_multiarch.licences import keep

    run: Run = env["MULTIARCH_RUN"]
    record = target[0].attributes.target.build
    lister = run.build.lister()
    output = Path(target[0].get_abspath())
    if not os.access(output.parent, os.W_OK):  # before a minute of compiling, and in words
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(output.parent))
    go, environment, again = run.build.need_go(), lister.environment(record), is_known(run, target[0])
    if run.settings.cache is not None:
        from scons_multiarch.shared.packages import packages_of

        environment = packages_of(run).bring(target[0], record, environment, again=again)
    doing("the compiler runs")
    inputs = lister.inputs(record)
    try:
        build(record, output, go, environment, hints=inputs.hints, again=again)
    except MultiarchError as error:
        lacking = [name for name in not_named(run, target[0], record, inputs) if not (run.tree.root / name).exists()]
        if not lacking:
            raise
        raise type(error)(error.what, where=error.where, hint=_naming(lacking, "what another step makes")) from None
    keep(run, target[0])


def is_known(run: Run, target: Any) -> bool:
    """Whether the program was built before by the same Go with the same flags: its packages are in Go's cache then."""
    before, now = run.tree.records.recall(str(target)), target.attributes.state.facts
    return before is not None and all(before.values.get(name) == now.values.get(name) for name in ("go", "flags"))


def facts(run: Run, env: Any, record: GoBuild, node: Any) -> Facts:
    """Everything that can change the program: files by name, flags and versions by value.

    Raises NotNamed: what a step makes that nothing waits for would be taken as it lies there, however old.
    """
    run.declarations.hide_cache(env)
    inputs = run.build.lister().inputs(record)
    unsure = [name for name in not_named(run, node, record, inputs) if (run.tree.root / name).exists()]
    if unsure:
        raise NotNamed.of(unsure)
    return Facts(dict(inputs.facts), dict(inputs.files), inputs.digest)


def not_named(run: Run, node: Any, record: GoBuild, inputs: Inputs) -> list[str]:
    """What other steps make that the program is made of, or may be once it is there, and that it does not wait for.

    The paths are from the top; files that a made folder holds are that folder. What is made of the program itself is
    none of it: nobody can wait for that.
    """
    lister, top, made = run.build.lister(), run.tree.root, run.build.once("made for Go", lambda: _Made.of(run))
    if not made.nodes:
        return []
    where, is_lacking = lister.locations(record), inputs.error is not None
    names = made.called([*inputs.files, *where.beside])
    if not names:
        return []
    read = _read(lister, record, top, where.beside)

    def may_be_read(name: str) -> bool:
        path = top / name
        if path.exists():
            return False
        imported = str(path.parent) in where.packages or (is_lacking and not path.parent.exists())
        steering, embedded = str(path) in where.files, any(path.is_relative_to(root) for root in where.embeds)
        return steering or embedded or (imported and is_compiled(path.name, record.platform))

    counting = [name for name in names if name in read or may_be_read(name)]
    if not counting:
        return []
    behind = set(nodes_below([node]))
    behind |= {other for below in behind for other in getattr(below, "target_peers", ())}
    behind |= {other for below in behind for other in below.side_effects}
    unsure = [name for name in counting if made.nodes[name] not in behind]
    return [name for name in unsure if node not in nodes_below([made.nodes[name]])]


def _read(lister: Lister, record: GoBuild, top: Path, beside: Iterable[str]) -> set[str]:
    """The files below the top that the program is made of or by, and the folders that they lie in."""
    root = Path(top.anchor)  # each file by its whole path: what lies elsewhere may be called as a file here is
    files = (*(root / name for name, _ in lister.materials(record, root).files), *map(Path, beside))
    inside = [PurePosixPath(file.relative_to(top).as_posix()) for file in files if file.is_relative_to(top)]
    return {str(path) for file in inside for path in (file, *file.parents)}


class _Made(msgspec.Struct, frozen=True):
    """What steps make, by its path from the top, but for what ours make in folders that Go passes over.

    Of `files` the names say whether a program reads them: by the last part of a path, its paths. `others` are folders,
    what is not there yet, and what may be a go.mod.
    """

    nodes: dict[str, Any]
    files: dict[str, list[str]]
    others: list[str]

    @classmethod
    def of(cls, run: Run) -> _Made:
        """As it is when the first program is decided."""
        made = {name: node for name, node in made_in_tree(run).nodes.items() if not is_ours(node)}
        for first in run.declarations.targets:  # what the build makes of images is in no image, but may be in a program
            if "/_" not in f"/{first.get_internal_path()}".replace(os.sep, "/") and first.is_under(first.fs.Top):
                made |= {paths.shown(node): node for node in first.attributes.state.targets}
        files: dict[str, list[str]] = {}
        others = []
        for name in made:
            if (run.tree.root / name).is_file() and not name.endswith((".mod", ".work")):
                files.setdefault(name.rpartition("/")[2], []).append(name)
            else:
                others.append(name)
        return cls(made, files, others)

    def called(self, read: Iterable[str]) -> list[str]:
        """The paths of those that have a name of these files, wherever they are, and of the others; sorted."""
        names = {name.replace(os.sep, "/").rpartition("/")[2] for name in read}
        return sorted([*self.others, *(path for name in names for path in self.files.get(name, ()))])


def not_executable(node: Any) -> str | None:
    """Why a program with the right bytes is not right: archives of CI systems lose modes, and an image would too."""
    return None if os.access(node.get_abspath(), os.X_OK) else "it is not executable"


def make_executable(node: Any) -> None:
    """Give a program that came out of a cache, which may keep no modes, the right to be run where it may be read."""
    path = Path(node.get_abspath())
    mode = path.stat().st_mode
    path.chmod(mode | (mode & 0o444) >> 2)


def godir(env: Any) -> Path:
    """Where Go runs: GODIR, seen from the SConscript that declares the program; by default that SConscript's folder.

    Go sources are not copied to variant folders, so it is the folder of the sources. Go reads one tree: where none of
    the module's files is here, it is the folder of a Repository() that has them. Raises NoPackage for Go files that
    are here all the same: they would count for nothing.
    """
    folders = _folders(env)
    folder = next(filter(_is_in_module, folders), folders[0]) if len(folders) > 1 else folders[0]
    stray = next(_go_files(folders[0]), None) if folder != folders[0] else None
    if stray is not None:
        raise NoPackage(
            f"{stray.relative_to(folders[0]).as_posix()} lies here, and its module in {folder}",
            hint="Go reads one tree: go.mod and all packages of the module here, or none of them",
        )
    return folder


def _go_files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_")) and name != "testdata"]
        yield from (Path(here, name) for name in files if name.endswith(".go"))


def _folders(env: Any) -> list[Path]:
    """GODIR, and where it is in each Repository()."""
    node = paths.folder(env, "GoBinary: GODIR", env.get("GODIR") or ".").srcnode()
    return [Path(path) for path in dict.fromkeys(folder.get_abspath() for folder in (node, *node.get_all_rdirs()))]


def _is_in_module(folder: Path) -> bool:
    return folder.is_dir() and any((above / name).is_file() for above in (folder, *folder.parents) for name in _MODULE)


def _check_is_here(env: Any, directory: Path, name: str) -> None:
    """Raise NoPackage for a folder or file that another tree has than the one that Go reads."""
    if os.path.lexists(directory / name):
        return
    for folder in _folders(env):
        if os.path.lexists(folder / name):
            raise NoPackage(
                f"package {name} lies in {folder}, and its module in {directory}",
                hint=f"Go reads one tree: GODIR={str(folder)!r}, or the module's files beside the package",
            )


def package_in(env: Any, directory: Path, package: Any) -> str:
    """A package as Go takes it in `directory`: an import path as it is; a folder or a .go file by its way from there.

    Raises NoPackage for a folder that lies where versions looked that took every package from the top.
    """
    given = list(paths.flat(package))
    if len(given) == 1 and isinstance(given[0], str) and given[0] and not given[0].startswith("#"):
        name = str(env.subst(given[0]))
        if is_local(name) and not os.path.lexists(directory / name):
            if not env.get("GODIR") and Path(env["MULTIARCH_RUN"].tree.root, name).is_dir():
                here = paths.shown(env.fs.getcwd())
                raise NoPackage(f"there is no package {name} in {here}", hint='from the top it is GODIR="#"')
            _check_is_here(env, directory, name)
        return name
    node = paths.source(env, "GoBinary: package", given).srcnode()
    path = os.path.relpath(node.get_abspath(), _folders(env)[0]).replace(os.sep, "/")
    if not os.path.lexists(directory / path) and node.has_builder():  # made here, and not there
        path = os.path.relpath(node.get_abspath(), directory).replace(os.sep, "/")
    _check_is_here(env, directory, path)
    return path if path.startswith((".", "/")) else f"./{path}"


def check_keywords(env: Any, overrides: Mapping[str, Any]) -> None:
    """Raise WrongCall for a keyword that nothing reads; a variable of the environment's, or of its own, is one.

    Names in small letters are ours, and so are those of Go: `ldflags` or `GOOS` would be passed over without a word.
    """
    for name in overrides:
        ours = name == name.lower() or name.startswith(("GO", "CGO"))
        if name in KEYWORDS or name in env or not ours or _is_read(name, [env.get(key) for key in KEYWORDS], overrides):
            continue
        known = ["target", "package", "platform", "sources", *KEYWORDS]
        near = _MEANT.get(name.upper()) or next((word for word in known if word.upper().endswith(name.upper())), "")
        raise WrongCall.unknown("GoBinary", name, known, near)


def _is_read(name: str, *given: object) -> bool:
    """Whether the texts in these name a variable."""
    return re.search(rf"\$\{{?{re.escape(name)}\b", repr(given)) is not None
