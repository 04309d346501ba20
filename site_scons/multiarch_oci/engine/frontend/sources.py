"""The sources of a COPY: which paths of a tree a name or pattern means (fsutil, `ResolveWildcards`)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from multiarch_oci.engine.frontend.tree import Tree, joined, resolve
from multiarch_oci.wildcard import has_wildcards, match_glob

_REMOTE = re.compile(r"(?:https?|git|ssh)://|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:")


def is_remote(source: str) -> bool:
    """Whether a source of ADD is fetched, not taken from the context."""
    return _REMOTE.match(source) is not None


def cleaned(source: str) -> str:
    """A source as a path below the tree's root: `./a/../b/` is `b`, and nothing leads out."""
    return posixpath.normpath(f"/{source}").strip("/")


def split(source: str) -> tuple[str, str]:
    """The part of a cleaned source before its first component with a wildcard, and the rest ("" without one)."""
    parts = source.split("/")
    first = next((index for index, part in enumerate(parts) if has_wildcards(part)), len(parts))
    return "/".join(parts[:first]), "/".join(parts[first:])


def matches(tree: Tree, source: str) -> tuple[str, ...]:
    """The paths that a source means, links in front of the wildcards followed; a lone name is returned unasked.

    A folder that matches stands for all that is in it. ValueError for a malformed pattern.
    """
    fixed, pattern = split(cleaned(source))
    if not pattern:
        return (fixed,)
    return tuple(_below(tree, resolve(tree, fixed), pattern.split("/")))


def _below(tree: Tree, folder: str, patterns: list[str]) -> Iterator[str]:
    for name in tree.names(folder):
        if not match_glob(patterns[0], name):
            continue
        path = joined(folder, name)
        if len(patterns) == 1:
            yield path
        else:
            node = tree.lookup(path)
            if node is not None and node.is_directory:
                yield from _below(tree, path, patterns[1:])
