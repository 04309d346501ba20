"""Which generated files a Dockerfile copies. Not a Tool."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

import SCons.Node.FS

OWN = ("_output/images/", "_output/release/", "_output/receipts/", "_output/manifest/")
"""Outputs that stand below images in the graph: an image that copies everything does not copy itself."""


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
    nodes = dict(_below(env.Dir("#"), ""))
    return sorted(nodes), nodes


def _below(folder: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, node in list(folder.entries.items()):
        if name in (".", ".."):
            continue
        here = f"{path}{name}"
        if isinstance(node, SCons.Node.FS.Dir):
            yield from _below(node, f"{here}/")
        elif node.has_builder() and not here.startswith(OWN):
            yield here, node
