"""Tool: the targets of the command line by name, checked before anything is built (behaviour, section 2)."""

from __future__ import annotations

from typing import Any

from scons_multiarch import paths
from scons_multiarch.cli import TARGETS, finish_reading, help_text, is_alias
from scons_multiarch.settings import prepare
from scons_multiarch.step import add_method
from scons_multiarch.tracking.phases import after_reading, has_default
from scons_multiarch.variables import UnknownWord, nearest


def targets(env: Any, **nodes: Any) -> None:
    """Name the targets; several calls, of any SConscript, add up. Words are checked when all SConscripts were read."""
    known = {name.replace("-", "_"): (name, *others) for name, others, _ in TARGETS}
    for name, given in nodes.items():
        if name not in known:
            raise UnknownWord(f"there is no target {name}", where="Targets", hint=nearest(name, list(known)))
        if given is None:
            continue
        members = paths.nodes(env, f"Targets: {name}", given)
        for alias in known[name]:
            if members or not is_alias(alias):
                env.Alias(alias, members)
        if name == "bin":
            env["MULTIARCH_RUN"].declarations.to_start.extend(members)
    own = has_default()
    after_reading(lambda here: finish_reading(env, here, own=own), name="targets")


def generate(env: Any) -> None:
    """Add `env.Targets` and the text of `scons -h`."""
    prepare(env, versioned=True)
    add_method(env, targets, "Targets")
    env.Help(help_text(env["VARIABLE_TEXTS"]))


def exists(_env: Any) -> bool:
    """Always: nothing beside SCons is needed."""
    return True
