"""Which generated files a Dockerfile copies. Not a Tool."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

import SCons.Node.FS


def generated(env: Any, reached: Any, target: Any) -> list[Any]:
    """The nodes of generated files that a COPY or ADD takes, sorted by path; `reached` is the Dockerfile's inputs."""
    paths, nodes = env["MULTIARCH_RUN"].once("generated", lambda: _all(env))
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


def _all(env: Any) -> tuple[list[str], dict[str, Any]]:
    """Every file of the tree that has a builder, by its path; taken once, when the whole SConstruct has been read."""
    nodes = dict(_below(env.Dir("#"), "", env["MULTIARCH_RUN"].hidden))
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
