"""Paths in instructions: which of a tree a source means (fsutil, `ResolveWildcards`), and what they are on Windows."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from multiarch_oci.engine.frontend.tree import Tree, joined, resolve
from multiarch_oci.wildcard import has_wildcards, match_glob
from multiarch_oci.windows import InvalidWindowsPath

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
    """The paths that match, name by name, in the order of the tree; folders may be thousands deep."""
    pending = [(folder, 0)]
    while pending:
        path, depth = pending.pop()
        if depth == len(patterns):
            yield path
            continue
        node = tree.lookup(path) if depth else None
        if depth and (node is None or not node.is_directory):
            continue
        names = [name for name in tree.names(path) if match_glob(patterns[depth], name)]
        pending.extend((joined(path, name), depth + 1) for name in reversed(names))


def windows_slashed(path: str) -> str:
    r"""A path of an instruction for Windows with `/` and without `C:`, as BuildKit reads it (`util/system`).

    Both slashes separate. `C:\app` is absolute; `C:app`, all that the lexer leaves of `C:\app` where `\` escapes, is
    not. InvalidWindowsPath for another drive, another machine, a drive alone.
    """
    text = path.replace("\\", "/")
    if text.startswith("//"):
        raise InvalidWindowsPath(
            f"'{path}' is on another machine", hint=r"a path in a Windows image begins with C:\ or /"
        )
    drive, colon, rest = text.partition(":")
    if not colon:
        return text
    if drive not in {"c", "C"}:
        raise InvalidWindowsPath(f"'{path}' is not on drive C:, the only one of an image")
    if not rest:
        raise InvalidWindowsPath(f"'{path}' names no path", hint=r"write C:/, or `# escape=`` above and C:\ here")
    return rest


def windows_below(folder: str, path: str) -> str:
    """A path seen from `folder` of a Windows image: absolute, with `/`, cleaned; raises as `windows_slashed`."""
    return posixpath.normpath(posixpath.join("/", windows_slashed(folder) if folder else "/", windows_slashed(path)))
