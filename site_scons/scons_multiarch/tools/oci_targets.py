"""Tool: the targets of the command line by name, checked before anything is built (behaviour, sections 2 and 7)."""

from __future__ import annotations

from typing import Any

from scons_multiarch import paths
from scons_multiarch.cli import TARGETS, add_targets, check_when_read, help_text
from scons_multiarch.settings import prepare
from scons_multiarch.step import add_method
from scons_multiarch.tracking.phases import has_default
from scons_multiarch.variables import UnknownWord, nearest


def targets(env: Any, **nodes: Any) -> None:
    """Name the targets of chains that are made by hand; several calls, of any SConscript, add up.

    Words are checked when all SConscripts have been read.
    """
    known = {name.replace("-", "_"): name for name, _, _ in TARGETS}
    declarations = env["MULTIARCH_RUN"].declarations
    for name, given in nodes.items():
        if name not in known:
            raise UnknownWord(f"there is no target {name}", where="Targets", hint=nearest(name, list(known)))
        if given is None:
            continue
        members = paths.nodes(env, f"Targets: {name}", given)
        add_targets(env, {known[name]: members})
        if name == "bin":
            declarations.to_start.extend(members)
    if declarations.own_default is None:
        declarations.own_default = has_default()
    check_when_read(env)


def generate(env: Any) -> None:
    """Add `env.MultiarchImage`, `env.GoImage`, `env.Targets`, and the text of `scons -h`."""
    prepare(env, versioned=True)
    add_method(env, "scons_multiarch.pipeline:multiarch_image", "MultiarchImage")
    add_method(env, "scons_multiarch.pipeline:go_image", "GoImage")
    add_method(env, targets, "Targets")
    add_method(env, "scons_multiarch.shared.others:cached", "Cached")
    add_method(env, "scons_multiarch.resolving:resolve_files", "Resolve")
    env.Help(help_text(env["VARIABLE_TEXTS"]))


def exists(_env: Any) -> bool:
    """Always: nothing beside SCons is needed."""
    return True
