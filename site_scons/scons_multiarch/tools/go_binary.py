"""Tool: `env.GoBinary`, a Go program for one platform, made again when anything that can change it changes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import SCons.Node.FS

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.modfile import is_local
from multiarch_oci.golang.recipe import GoBuild, check_flags
from multiarch_oci.golang.words import quoted, split
from multiarch_oci.platform import Platform
from multiarch_oci.why import Facts
from scons_multiarch import paths
from scons_multiarch.session import Run
from scons_multiarch.step import Step, add_method
from scons_multiarch.targets import ProgramTarget, declared_before
from scons_multiarch.tracking import State, declare, track


class NoPackage(MultiarchError, ValueError):
    """A package that is looked for in another folder than its author meant."""


class OpenQuote(MultiarchError, ValueError):
    """Flags that cannot be split into words."""


def declared(env: Any, package: Any, platform: Platform, sources: Any) -> GoBuild:
    """What is declared about one program; `$GOFLAGS` and the like come from the environment, as with `Program`."""
    directory = godir(env)

    def words(name: str) -> tuple[str, ...]:
        value = flags_of(env, name)
        try:
            return split(env.subst(value)) if isinstance(value, str) else tuple(map(env.subst, value))
        except ValueError:
            raise OpenQuote(f"a quote is not closed in {value}", where=name) from None

    def handed_on(name: str) -> str:
        value = flags_of(env, name)
        try:
            return str(env.subst(f"${name}")) if isinstance(value, str) else quoted(map(env.subst, value))
        except ValueError as error:
            raise OpenQuote(f"Go has no way to quote {error}, with both kinds of quotes", where=name) from None

    build = GoBuild(
        platform=Platform(platform.os, platform.architecture, platform.variant),
        package=package_in(env, directory, package),
        directory=directory,
        flags=words("GOFLAGS"),
        ldflags=handed_on("GOLDFLAGS"),
        tags=words("GOTAGS"),
        env=tuple(sorted(paths.named(env, "GoBinary: GOENV", env.get("GOENV", {})).items())),
        cgo=bool(env.get("cgo", False)),
        cc=str(env.subst("$CC")) or None if env.get("cgo") else None,
        cxx=str(env.subst("$CXX")) or None if env.get("cgo") else None,
        race=bool(env.get("race", False)),
        debug=bool(env.get("debug", False)),
        sources=tuple(Path(node.get_abspath()) for node in sources if isinstance(node, SCons.Node.FS.Base)),
    )
    check_flags(build)
    return build


def flags_of(env: Any, name: str) -> str | tuple[str, ...]:
    """Flags as they are given: one text to be split, or words in lists of any depth; a node is its path."""
    value = env.get(name, ())
    return value if isinstance(value, str) else paths.texts(env, f"GoBinary: {name}", value)


def godir(env: Any) -> Path:
    """Where Go runs: GODIR, seen from the SConscript that declares the program; by default that SConscript's folder.

    Go sources are not copied to variant folders, so it is the folder of the sources.
    """
    node = paths.folder(env, "GoBinary: GODIR", env.get("GODIR") or ".")
    return Path(node.srcnode().get_abspath())


def package_in(env: Any, directory: Path, package: Any) -> str:
    """A package as Go is told it in `directory`: an import path as it is; a folder or a .go file by its way from there.

    Raises NoPackage for a folder that lies where versions looked that took every package from the top.
    """
    given = list(paths.flat(package))
    if len(given) == 1 and isinstance(given[0], str) and given[0] and not given[0].startswith("#"):
        name = str(env.subst(given[0]))
        lost = is_local(name) and not env.get("GODIR") and not os.path.lexists(directory / name)
        if lost and Path(env["MULTIARCH_RUN"].root, name).is_dir():
            here = paths.shown(env.fs.getcwd())
            raise NoPackage(f"there is no package {name} in {here}", hint='from the top it is GODIR="#"')
        return name
    node = paths.source(env, "GoBinary: package", given).srcnode()
    path = os.path.relpath(node.get_abspath(), directory).replace(os.sep, "/")
    return path if path.startswith((".", "/")) else f"./{path}"


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Run `go build`; the program replaces the old one at once or not at all."""
    from multiarch_oci.golang.compiler import build

    run: Run = env["MULTIARCH_RUN"]
    wanted = target[0].attributes.target.build
    lister = run.lister()
    output = Path(target[0].get_abspath())
    if not os.access(output.parent, os.W_OK):  # before a minute of compiling, and in words
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(output.parent))
    build(
        wanted,
        output,
        run.toolchain(),
        lister.environment(wanted),
        hints=lister.inputs(wanted).hints,
        again=is_known(run, target[0]),
    )


def is_known(run: Run, target: Any) -> bool:
    """Whether the program was built before by the same Go with the same flags: its packages are in Go's cache then."""
    before, now = run.records.recall(str(target)), target.attributes.state.facts
    return before is not None and all(before.values.get(name) == now.values.get(name) for name in ("go", "flags"))


def facts(run: Run, env: Any, wanted: GoBuild) -> Facts:
    """Everything that can change the program: files by name, flags and versions by value."""
    run.leave_out_cache(env)
    found = run.lister().inputs(wanted)
    return Facts(dict(found.facts), dict(found.files), found.digest)


def not_executable(node: Any) -> str | None:
    """Why a program with the right bytes is not right: archives of CI systems lose modes, and an image would too."""
    return None if os.access(node.get_abspath(), os.X_OK) else "it is not executable"


def make_executable(node: Any) -> None:
    """Give a program that came out of a cache, which may keep no modes, the right to be run where it may be read."""
    path = Path(node.get_abspath())
    mode = path.stat().st_mode
    path.chmod(mode | (mode & 0o444) >> 2)


STEP = Step("Compile", perform)


def go_binary(env: Any, target: Any, package: Any = ".", *, platform: Any, sources: Any = (), **overrides: Any) -> Any:
    """Declare a Go program; `sources` are generated files, built first. `.exe` is added for Windows.

    `GOFLAGS`, `GOLDFLAGS`, `GOTAGS`, `GOENV`, `CC`, `CXX`, `GODIR`, `cgo`, `race` and `debug` may be given as keywords.
    The same program declared twice (for two versions of Windows) is one target.
    """
    wanted = paths.platform_of("GoBinary: platform", platform)
    wanted.check_known(str(platform))
    own = env.Override(overrides) if overrides else env
    generated = track(env, paths.nodes(own, "GoBinary: sources", sources))
    node = paths.file(own, "GoBinary: target", target)
    if wanted.os == "windows" and not node.name.endswith(".exe"):
        node = node.dir.File(f"{node.name}.exe")
    build_record = declared(own, package, wanted, generated)
    record = ProgramTarget(build_record, wanted)
    if declared_before([node], record, generated):
        return [node]
    nodes = own.OciGo([node], generated)
    run: Run = env["MULTIARCH_RUN"]
    run.programs.append(build_record)  # one `go list` will serve all programs of a platform
    state = State(
        paths.shown(node),
        lambda: facts(run, own, build_record),
        lambda: not_executable(node),
        taken=lambda: make_executable(node),
    )
    declare(env, nodes, record, state)
    return nodes


def generate(env: Any) -> None:
    """Add `env.GoBinary`."""
    env["BUILDERS"]["OciGo"] = STEP.builder()
    add_method(env, go_binary, "GoBinary")


def exists(_env: Any) -> bool:
    """Always: Go is looked for when a program is built."""
    return True
