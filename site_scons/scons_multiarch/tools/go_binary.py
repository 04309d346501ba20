"""Tool: `env.GoBinary`, a Go program for one platform, made again when anything that can change it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import SCons.Node.FS

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.recipe import GoBuild, check_flags
from multiarch_oci.golang.words import quoted, split
from multiarch_oci.platform import Platform
from scons_multiarch import paths
from scons_multiarch.programs import check_keywords, facts, godir, make_executable, not_executable, package_in, perform
from scons_multiarch.session import Run
from scons_multiarch.settings import prepare
from scons_multiarch.step import Step, add_method
from scons_multiarch.targets import ProgramTarget, check_apart, declared_before
from scons_multiarch.tracking.nodes import declare, track
from scons_multiarch.tracking.phases import override
from scons_multiarch.tracking.state import State
from scons_multiarch.versions import with_release


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

    def command(name: str) -> str | None:
        return " ".join(paths.texts(env, f"GoBinary: {name}", env.get(name))) or None

    cgo = switch(env, "cgo")
    build = GoBuild(
        platform=Platform(platform.os, platform.architecture, platform.variant),
        package=package_in(env, directory, package),
        directory=directory,
        flags=words("GOFLAGS"),
        ldflags=handed_on("GOLDFLAGS"),
        tags=words("GOTAGS"),
        env=tuple(sorted(paths.named(env, "GoBinary: GOENV", env.get("GOENV", {})).items())),
        cgo=cgo,
        cc=command("CC") if cgo else None,
        cxx=command("CXX") if cgo else None,
        race=switch(env, "race"),
        debug=switch(env, "debug"),
        sources=tuple(Path(node.get_abspath()) for node in sources if isinstance(node, SCons.Node.FS.Base)),
    )
    check_flags(build)
    return build


def flags_of(env: Any, name: str) -> str | tuple[str, ...]:
    """Flags as they are given: one text to be split, or words in lists of any depth; a node is its path."""
    value = env.get(name, ())
    return value if isinstance(value, str) else paths.texts(env, f"GoBinary: {name}", value)


def switch(env: Any, name: str) -> bool:
    """Whether a switch is on; it is off where it is not set."""
    value = env.get(name)
    return value is not None and paths.truth(env, f"GoBinary: {name}", value)


STEP = Step("Compile", perform)


def go_binary(env: Any, target: Any, package: Any = ".", *, platform: Any, sources: Any = (), **overrides: Any) -> Any:
    """Declare a Go program; `sources` are generated files, built first. `.exe` is added for Windows.

    `GOFLAGS`, `GOLDFLAGS`, `GOTAGS`, `GOENV`, `CC`, `CXX`, `GODIR`, `cgo`, `race` and `debug` may be given as keywords.
    The same program declared twice (for two versions of Windows) is one target.
    """
    target_platform = paths.platform_of("GoBinary: platform", platform)
    target_platform.check_known(str(platform))
    check_keywords(env, overrides)
    own = override(env, overrides)
    generated = track(env, paths.nodes(own, "GoBinary: sources", sources))
    node = paths.file(own, "GoBinary: target", target)
    if target_platform.os == "windows" and not node.name.endswith(".exe"):
        node = node.dir.File(f"{node.name}.exe")
    check_apart(node, generated)
    build_record = declared(with_release(own), package, target_platform, generated)
    record = ProgramTarget(build_record, target_platform)
    if declared_before([node], record, generated):
        return [node]
    nodes = own.OciGo([node], generated)
    run: Run = env["MULTIARCH_RUN"]
    run.declarations.programs.append(build_record)  # one `go list` will serve all programs of a platform
    state = State(
        paths.shown(node),
        lambda: facts(run, own, build_record, node),
        lambda: not_executable(node),
        taken=lambda: make_executable(node),
        kind="program",
    )
    declare(env, [node], record, state)
    return nodes


def generate(env: Any) -> None:
    """Add `env.GoBinary`."""
    prepare(env)
    env["BUILDERS"]["OciGo"] = STEP.builder()
    add_method(env, go_binary, "GoBinary")


def exists(_env: Any) -> bool:
    """Always: Go is looked for when a program is built."""
    return True
