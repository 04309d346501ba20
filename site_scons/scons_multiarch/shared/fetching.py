"""Bytes that are in the cache alone, and become files before anything reads them that is not ours, or a step does."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node.FS

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import BLOCK, Digest
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.mediatype import OCTETS
from multiarch_oci.store.http.errors import Transient
from scons_multiarch.graph import children_of, requested
from scons_multiarch.paths import shown
from scons_multiarch.process import say
from scons_multiarch.receipts import root_of
from scons_multiarch.shared.lookups import lookups
from scons_multiarch.shared.origins import open_origin
from scons_multiarch.step import step_of
from scons_multiarch.targets import is_image
from scons_multiarch.tracking.folders import entries_in
from scons_multiarch.tracking.held import follow, look_anew, record_key
from scons_multiarch.tracking.nodes import Tracked
from scons_multiarch.tracking.state import is_ours, state_of

if TYPE_CHECKING:
    from multiarch_oci.heldfiles import HeldFile
    from scons_multiarch.session import Run

_AGAIN = "made again"


class CacheLost(MultiarchError):
    """A blob that the cache had, and has no more, or does not give; `node` is what is to be made again."""

    def __init__(self, what: str, node: Any) -> None:
        super().__init__(what, where=shown(node), hint="run the same command again: it is made anew")
        self.node = node


def is_wanted(node: Any) -> bool:
    """Whether somebody needs the bytes of a target, not its digest alone."""
    run: Run = node.attributes.run
    return node in run.build.once("wanted", lambda: _needed([*requested(), *run.declarations.postponed]))


def _needed(roots: list[Any]) -> frozenset[Any]:
    """The targets that are asked for by name, through aliases or folders, or are read by another's builder.

    What only steps of ours read is not among them: they fetch it when they are performed.
    """
    pending, needed, seen = roots, set(roots), set()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        children = children_of(node)
        if isinstance(node, SCons.Node.FS.Dir):
            children += entries_in(node)
        if isinstance(node, SCons.Node.FS.File) and not node.has_builder() and node.srcnode() is not node:
            children.append(node.srcnode())  # a variant folder gets a copy
        if not is_ours(node):
            needed.update(children)
        pending += children
    return frozenset(needed)


def fetch(run: Run, origin: str, descriptor: Descriptor, path: Path, *, executable: bool) -> None:
    """Write a blob of a place to a file, verified, at once or not at all. Raises what the place raises, and OSError."""
    from multiarch_oci.store.atomic import replacing

    try:
        with open_origin(run, origin).open(descriptor) as stream, replacing(path) as sink:
            shutil.copyfileobj(stream, sink, BLOCK)
    except Transient as error:
        lookups(run).troubles.failed(origin, error)
        raise
    if executable:
        mode = path.stat().st_mode
        path.chmod(mode | (mode & 0o444) >> 2)
    run.tree.held.drop(path)


def fetch_held(node: Any, held: HeldFile) -> None:
    """Make a target that a cache holds a file. Raises CacheLost where the cache does not give it."""
    run: Run = node.attributes.run
    descriptor = Descriptor(OCTETS, Digest("sha256", held.digest), held.size)
    try:
        fetch(run, held.origin, descriptor, Path(node.get_abspath()), executable=held.executable)
    except (MultiarchError, OSError) as error:
        raise CacheLost(f"{held.origin} does not give it: {one_line(error)}", node) from error
    look_anew(node)


def bring(target: Any) -> None:
    """Make what a step is about to read files: fetched, or made here where the cache lost them.

    Facts that were found of a file which is made anew with other bytes are found again.
    """
    run: Run = target.attributes.run
    changed = False
    for child in target.children():
        if isinstance(child, Tracked) and run.tree.held.get(child.get_abspath()) is not None:
            changed = run.build.once(("bring", child), partial(_bring, child)) or changed
    state = state_of(target)
    if changed and state is not None:
        state.find_again()


def _bring(child: Any) -> bool:
    """Make one held target a file; whether its bytes are others than those that were known."""
    run: Run = child.attributes.run
    held = run.tree.held.get(child.get_abspath())
    if held is None:
        return False
    try:
        fetch_held(child, held)
    except CacheLost as lost:
        say(f"  {lost.where}: {lost.what}; it is made here")
    else:
        say(f"  {shown(child)}: fetched from the cache")
        return False
    remake(child)
    return bool(run.tree.stat.digest(child.get_abspath()) != held.digest)


def remake(node: Any) -> None:
    """Perform the step of a target of ours that is done already, as what it left is not to be had any more.

    Where the cache is written, what it lost is there again for others.
    """
    from scons_multiarch.shared.keeping import leave

    run: Run = node.attributes.run

    def make() -> bool:
        run.tree.held.drop(node.get_abspath())
        run.build.by_key.pop(node, None)
        bring(node)
        step_of(node).perform([node], list(node.sources), node.get_build_env())
        look_anew(node)
        record_key(node)
        leave(node)
        return True

    run.build.once((_AGAIN, node), make)


def remake_lost(target: Any) -> bool:
    """Make the images here that a step reads and whose layers only a cache had; whether it can read them now.

    Another step may have missed them before, and have made them while this one still waited for the cache.
    """
    from multiarch_oci.store.archive import read_image

    run: Run = target.attributes.run

    def is_lent(node: Any) -> bool:
        try:
            return bool(read_image(Path(node.get_abspath())).shared)
        except (MultiarchError, OSError):
            return False  # its reader says what is wrong with it

    is_made = False
    for node in filter(is_image, target.children()):
        if is_lent(node):
            say(f"  {shown(node)}: the cache has its layers no more; it is made here")
            image, signature = root_of(node), node.get_csig()
            remake(node)
            if root_of(node) == image:
                follow(node, signature)
        is_made = is_made or run.build.has_made((_AGAIN, node))
    return is_made
