"""What is in the context of images beside the files of the tree: what builders make, and what SCons sees there.

To SCons a source is in a variant folder (`SConscript(variant_dir=…)`), with `duplicate=0` and before it was copied,
too; and it is in the tree when it lies in a `Repository()` alone. A Dockerfile names such files in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import SCons.Node.FS

from multiarch_oci.engine import Overlay
from scons_multiarch.paths import shown
from scons_multiarch.tracking.folders import all_folders, is_made

if TYPE_CHECKING:
    from scons_multiarch.session import Run


class There(msgspec.Struct, frozen=True):
    """What builders make below a folder: the paths of files, sorted; the nodes by path; the paths of folders.

    A file that comes beside what a step makes (`env.SideEffect`) is among the files.
    A Command need not say that it makes a folder: then it is among the files.
    """

    paths: list[str]
    nodes: dict[str, Any]
    folders: list[str]


def made_in_tree(run: Run) -> There:
    """What builders make below the top; looked through once, when the SConstruct has been read."""
    return run.build.once("generated", lambda: made_below(SCons.Node.FS.get_default_fs().Top, run.declarations.hidden))


def made_below(folder: Any, hidden: tuple[str, ...]) -> There:
    """Everything below a folder that has a builder, by its path; taken once, when the SConstruct has been read."""
    nodes = dict(_below(folder, "", hidden))
    folders = [path for path, node in nodes.items() if isinstance(node, SCons.Node.FS.Dir)]
    return There(sorted(path for path in nodes if path not in folders), nodes, folders)


def _below(folder: Any, path: str, hidden: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, node in list(folder.entries.items()):
        if name in (".", ".."):
            continue
        here = f"{path}{name}"
        if here in hidden:
            continue
        if isinstance(node, SCons.Node.FS.Dir):
            if is_made(node):
                yield here, node
            yield from _below(node, f"{here}/", hidden)
        elif node.has_builder() or node.side_effect:
            yield here, node


def overlays(run: Run) -> tuple[Overlay, ...]:
    """The folders whose files SCons sees in variant folders and in the whole tree; looked for once."""
    return run.build.once("overlays", lambda: (*_variants(run), *_repositories()))


def _variants(run: Run) -> Iterator[Overlay]:
    """The sources of variant folders: they count before what lies there, which may be a copy of long ago.

    What is made in a variant folder lies there alone. The sources themselves are looked for in Repositories, too.
    """
    for node in all_folders():
        if node.srcdir is None or not node.is_under(node.fs.Top):
            continue
        at, listed = shown(node), bool(node.duplicate)
        made = made_in_tree(run)
        for source in dict.fromkeys((node.srcdir, *node.srcdir.get_all_rdirs())):
            folder = Path(source.get_abspath())
            without = {path for path in (*made.paths, *made.folders) if path.startswith(f"{at}/")}
            for path in (run.tree.root / at, *(run.tree.root / hidden for hidden in run.declarations.hidden)):
                if path.is_relative_to(folder):  # the folder in itself, without an end; and what no image may hold
                    without.add(f"{at}/{path.relative_to(folder).as_posix()}")
            yield Overlay(at, folder, first=True, listed=listed, without=frozenset(without))


def _repositories() -> Iterator[Overlay]:
    top = SCons.Node.FS.get_default_fs().Top
    for folder in top.get_all_rdirs():  # itself the first
        if folder is not top:
            yield Overlay("", Path(folder.get_abspath()))
