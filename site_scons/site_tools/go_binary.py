"""Tool: `env.GoBinary`, a Go program for one platform, made again when anything that can change it changes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from multiarch.errors import MultiarchError
from multiarch.golang import GoBuild
from multiarch.golang.recipe import check_flags
from multiarch.golang.words import quoted, split
from multiarch.platform import Platform
from multiarch.why import Facts
from oci_kinds import ProgramTarget, declared_before
from oci_nodes import State, declare, track
from oci_run import Run
from oci_steps import Step, add_method


class OpenQuote(MultiarchError, ValueError):
    """Flags that cannot be split into words."""


def declared(env: Any, package: str, platform: Platform, sources: Any) -> GoBuild:
    """What is declared about one program; `$GOFLAGS` and the like come from the environment, as with `Program`."""
    run: Run = env["MULTIARCH_RUN"]

    def words(name: str) -> tuple[str, ...]:
        value = env.get(name, ())
        try:
            return split(env.subst(value)) if isinstance(value, str) else tuple(map(env.subst, value))
        except ValueError:
            raise OpenQuote(f"a quote is not closed in {value}", where=name) from None

    def handed_on(name: str) -> str:
        value = env.get(name, "")
        try:
            return env.subst(f"${name}") if isinstance(value, str) else quoted(map(env.subst, value))
        except ValueError as error:
            raise OpenQuote(f"Go has no way to quote {error}, with both kinds of quotes", where=name) from None

    build = GoBuild(
        platform=Platform(platform.os, platform.architecture, platform.variant),
        package=env.subst(package),
        directory=Path(env.Dir(env.subst(env.get("GODIR", "#"))).get_abspath()),
        flags=words("GOFLAGS"),
        ldflags=handed_on("GOLDFLAGS"),
        tags=words("GOTAGS"),
        env=tuple(sorted((name, env.subst(value)) for name, value in dict(env.get("GOENV", {})).items())),
        cgo=bool(env.get("cgo", False)),
        cc=env.subst("$CC") or None if env.get("cgo") else None,
        cxx=env.subst("$CXX") or None if env.get("cgo") else None,
        race=bool(env.get("race", False)),
        debug=bool(env.get("debug", False)),
        sources=tuple(run.root / str(node) for node in sources),
    )
    check_flags(build)
    return build


def perform(target: list[Any], _source: list[Any], env: Any) -> None:
    """Run `go build`; the program replaces the old one at once or not at all."""
    from multiarch.golang import build

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


def facts(run: Run, wanted: GoBuild) -> Facts:
    """Everything that can change the program: files by name, flags and versions by value."""
    found = run.lister().inputs(wanted)
    return Facts(dict(found.facts), dict(found.files), found.digest)


def not_executable(node: Any) -> str | None:
    """Why a program with the right bytes is not right: archives of CI systems lose modes, and an image would too."""
    return None if os.access(node.get_abspath(), os.X_OK) else "it is not executable"


STEP = Step("Compile", perform, loads_ahead=True)


def go_binary(env: Any, target: str, package: str = ".", *, platform: Any, sources: Any = (), **overrides: Any) -> Any:
    """Declare a Go program; `sources` are generated files, built first. `.exe` is added for Windows.

    `GOFLAGS`, `GOLDFLAGS`, `GOTAGS`, `GOENV`, `CC`, `CXX`, `GODIR`, `cgo`, `race` and `debug` may be given as keywords.
    The same program declared twice (for two versions of Windows) is one target.
    """
    wanted = platform if isinstance(platform, Platform) else Platform.parse(platform)
    wanted.check_known(str(platform))
    own = env.Override(overrides) if overrides else env
    generated = track(env, env.arg2nodes(env.Flatten([sources]), env.fs.File))
    name = own.subst(target) + (".exe" if wanted.os == "windows" and not target.endswith(".exe") else "")
    build_record = declared(own, package, wanted, generated)
    record = ProgramTarget(build_record, wanted)
    node = env.File(name)
    if declared_before([node], record, generated):
        return [node]
    nodes = own.OciGo(name, generated)
    run: Run = env["MULTIARCH_RUN"]
    run.programs.append(build_record)  # one `go list` will serve all programs of a platform
    declare(env, nodes, record, State(name, lambda: facts(run, build_record), lambda: not_executable(nodes[0])))
    return nodes


def generate(env: Any) -> None:
    """Add `env.GoBinary`."""
    env["BUILDERS"]["OciGo"] = STEP.builder()
    add_method(env, go_binary, "GoBinary")


def exists(_env: Any) -> bool:
    """Always: Go is looked for when a program is built."""
    return True
