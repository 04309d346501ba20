"""Which generated files a Dockerfile copies. Not a Tool."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node.FS

from multiarch.record import replace

if TYPE_CHECKING:
    from multiarch.engine import BuildPlan


def generated(env: Any, reached: Any, target: Any) -> list[Any]:
    """The nodes of generated files that a COPY or ADD takes, by path; `reached` is the Dockerfile's inputs."""
    run = env["MULTIARCH_RUN"]
    found = _taken(run.once("generated", lambda: _all(env.Dir("#"), run.hidden)), reached, target)
    for named in reached.named:
        there = run.once(("generated", named.folder), partial(_named, env, named.folder, target.attributes.target.plan))
        found += [node for node in _taken(there, named.inputs, target) if node not in found]
    return found


def _named(env: Any, folder: Path, plan: BuildPlan) -> tuple[list[str], dict[str, Any]]:
    from multiarch.engine.reading.named import hidden_in

    return _all(env.fs.Dir(str(folder)), hidden_in(folder, replace(plan, hidden=env["MULTIARCH_RUN"].hidden)))


def _taken(there: tuple[list[str], dict[str, Any]], reached: Any, target: Any) -> list[Any]:
    paths, nodes = there
    found = {}
    for pattern in reached.wanted:
        prefix = _fixed(pattern)
        place = bisect.bisect_left(paths, prefix)
        while place < len(paths) and paths[place].startswith(prefix):
            path = paths[place]
            if path not in found and nodes[path] is not target and reached.reaches(path):
                found[path] = nodes[path]
            place += 1
    return [found[path] for path in sorted(found)]


def _fixed(pattern: str) -> str:
    """What stands before the first wildcard of a pattern."""
    return next((pattern[:i] for i, letter in enumerate(pattern) if letter in "*?[\\"), pattern)


def _all(folder: Any, hidden: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Every file below a folder that has a builder, by its path; taken once, when the SConstruct has been read."""
    nodes = dict(_below(folder, "", hidden))
    return sorted(nodes), nodes


def _below(folder: Any, path: str, hidden: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, node in list(folder.entries.items()):
        if name in (".", ".."):
            continue
        here = f"{path}{name}"
        if isinstance(node, SCons.Node.FS.Dir):
            if here not in hidden:
                yield from _below(node, f"{here}/", hidden)
        elif node.has_builder() and here not in hidden:
            yield here, node
