"""Targets that a shared cache holds: known by digest, not on this machine, and "made" for all that.

SCons runs a builder that leaves no file again in every run, and asks the disk for existence and contents. Here a target
of ours answers from its record (`multiarch_oci.heldfiles`), for as long as nobody needs the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

import SCons.Action
import SCons.Node

from multiarch_oci.errors import one_line
from scons_multiarch.tracking.state import Nodes, reasons, state_of

if TYPE_CHECKING:
    from multiarch_oci.heldfiles import HeldFile

_SEEN = ("exists", "rexists", "stat", "get_size", "get_timestamp")
"""What SCons memoizes of a file on the disk; its records stay."""
DAMAGED = "it is not what was built"
_BY = "\nout of a shared cache, by CACHE_KEY "
"""In SCons' record of a target, behind its command. There, and in no file of ours: a record that is lost, cut short or
never written is none of a target that would count without it."""
_UNSIGNED = "it came from the cache without a signature of this CACHE_KEY"


def held_file(node: Any) -> HeldFile | None:
    """The record of a target that is not there, and that a cache holds; None for every other."""
    held: HeldFile | None = node.attributes.run.tree.held.get(node.get_abspath())
    return held


def is_kept_back(node: Any) -> bool:
    """Whether a target is held, and nobody needs its bytes."""
    if held_file(node) is None:
        return False
    from scons_multiarch.shared.fetching import is_wanted

    return not is_wanted(node)


def note_taken(node: Any) -> None:
    """Note that a target comes out of a shared cache, or is made with what does: it counts by this run's CACHE_KEY."""
    run = node.attributes.run
    run.build.by_key[node] = run.settings.cache.key_name


def recorded_key(node: Any) -> str | None:
    """By which CACHE_KEY a target counts that came out of a shared cache, empty for none; None where it was made."""
    _, mark, key = getattr(node.get_stored_info().binfo, "bact", "").rpartition(_BY)
    return key if mark else None


def mark(node: Any, binfo: Any) -> None:
    """Have what is to be recorded of a target say by which CACHE_KEY it counts: as of this build where it was made."""
    is_made = node.get_state() == SCons.Node.executed
    binfo.bact = _with_key(binfo.bact, node.attributes.run.build.by_key.get(node) if is_made else recorded_key(node))


def _with_key(command: str, key: str | None) -> str:
    return command if key is None else f"{command}{_BY}{key}"


def record_key(node: Any) -> None:
    """Record by which CACHE_KEY a target counts that was made when it was recorded already."""
    binfo, key = node.get_stored_info().binfo, node.attributes.run.build.by_key.get(node)
    if recorded_key(node) != key and SCons.Node.do_store_info:
        binfo.bact = _with_key(getattr(binfo, "bact", "").partition(_BY)[0], key)
        node.dir.sconsign().dirty = True


def by_name(made: Any, children: Nodes) -> tuple[list[Any], list[str]]:
    """What was recorded of each of a target's children, None of a new one; and the names of those that are no more.

    `made` is the build information that is stored for the target. It holds names as
    `SCons.Node.FS.FileBuildInfo.convert_to_sconsign` writes them: from the top, with `/`.
    """
    lists = (getattr(made, name, ()) for name in ("bsources", "bdepends", "bimplicit"))  # of none that was never made
    names = map(str, chain.from_iterable(lists))
    recorded = dict(zip(names, chain(made.bsourcesigs, made.bdependsigs, made.bimplicitsigs), strict=False))
    present = [str(child).replace(os.sep, "/") for child in children]
    return [recorded.get(name) for name in present], sorted(recorded.keys() - set(present))


def why_outdated(node: Any) -> str:
    """Why a target that came out of a shared cache does not count any more; empty for none, and without CACHE_KEY."""
    cache = node.attributes.run.settings.cache
    if cache is None or not cache.key or recorded_key(node) in (None, cache.key_name):
        return ""
    return _UNSIGNED


def look_anew(node: Any) -> None:
    """Let SCons see that a file is there, or that its bytes are others than before; what it recorded follows."""
    for name in _SEEN:
        node._memo.pop(name, None)  # noqa: SLF001  # SCons has no word for less than everything
    node.pseudo = False
    info, stored = node.get_ninfo(), node.get_stored_info()
    before = getattr(info, "csig", None)
    if hasattr(info, "csig"):
        del info.csig
    csig = node.get_csig()
    if before is not None and csig != before and SCons.Node.do_store_info:
        stored.ninfo.csig = csig
        folder = node.dir.sconsign()
        folder.dirty = True


def undecided(nodes: Iterable[Any]) -> None:
    """Forget what was found out about targets of ours that were not made yet: they are decided anew."""
    for node in nodes:
        state = state_of(node)
        if state is not None:
            state.renew()
        node._memo.pop("changed", None)  # noqa: SLF001  # see above


def taken(node: Any, *, is_file: bool) -> None:
    """Have SCons record a target that came out of the shared cache: it may be no file, of which it would warn."""
    node.pseudo = not is_file and bool(SCons.Action.execute_actions)


def follow(node: Any, before: str) -> None:
    """Let what was made from a file, whose content signature was `before`, count as made from what it is now.

    For an image that is the same, and whose tarball is another: a step that reads both alike is not performed again.
    """
    after = node.get_csig()
    if before == after or not SCons.Node.do_store_info:
        return
    for target in node.attributes.run.declarations.targets:
        made = target.get_stored_info().binfo
        for info in (*made.bsourcesigs, *made.bdependsigs, *made.bimplicitsigs):
            if getattr(info, "csig", None) == before:
                info.csig = after
                target.dir.sconsign().dirty = True


def differs(target: Any) -> bool:
    """Whether the target's own bytes, or the world outside, are not what the last step left."""
    try:
        return _look(target)
    except Exception as error:  # noqa: BLE001  # a decision never raises; the step will meet the same trouble
        reasons(target).append(f"its state is not known: {one_line(error) or type(error).__name__}")
        return True


def _look(target: Any) -> bool:
    made = getattr(target.get_stored_info().ninfo, "csig", None)
    held = made is not None and not target.exists() and held_file(target) is not None
    if made is None or not (held or target.exists()):
        return False  # SCons itself sees that; to ask the world outside would be a request too many
    if target.get_csig() != made:
        reasons(target).append(DAMAGED)
        return True
    if held:
        return False  # what a file system says of it is said when it is one
    drift = target.attributes.state.drifted()
    if drift:
        reasons(target).append(drift)
    return bool(drift)
