"""SCons' shared cache (`CacheDir`) and the files that this build makes.

SCons names a cached file by what it is made from: here the facts of the step, its sources' digests, its name. It does
not look whether the file is still what was put in. So beside a cached file lies an empty one of the same name and the
sha256 of its bytes; a file without the right one is not taken out but made again, and replaced. A file goes in only if
what it is made from did not change while it was made, else another tree would get it for what it is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import SCons.Action
import SCons.CacheDir
import SCons.Errors

from multiarch_oci.errors import MultiarchError
from scons_multiarch.process import say
from scons_multiarch.step import explain
from scons_multiarch.tracking.folders import is_folder
from scons_multiarch.tracking.nodes import Tracked
from scons_multiarch.tracking.state import state_of

_WHY = "taken from SCons' cache"


def prepare(node: Any) -> bool:
    """Whether SCons may look for a file in the cache: what decides it is known, and what lies there is sound.

    A damaged file is removed there, unless the cache is only read, and said. Any thread.
    """
    state = state_of(node)
    if state is not None:
        state.decide()  # with AlwaysBuild nobody did
        if state.facts is None:
            return False
    together = [node] if state is None or node is not state.targets[0] else state.targets
    sound = [_is_sound(file) for file in together]  # each is looked at: what is damaged is to be replaced
    if not all(sound):
        return False
    if state is not None and state.because is None:
        explain(state.targets[0])
    return True


def finish(node: Any) -> None:
    """What is left to do for a file that came out of the cache. Any thread."""
    if not SCons.Action.execute_actions:
        return
    cached, state = cached_file(node), state_of(node)
    if cached is not None:
        for mark in _marks(cached):
            _touch(mark)  # what removes files that were not used for long removes both
    if state is not None and state.taken is not None:
        state.taken()


def note(node: Any) -> None:
    """Keep the facts of targets that came out of the cache, and why they were asked for; main thread."""
    state = state_of(node)
    if state is None or node is not state.targets[0] or state.facts is None:
        return
    state.retrieved = True
    state.because = f"{state.because}; {_WHY}" if state.because else _WHY
    state.sentences = (*state.sentences, _WHY)
    run = node.attributes.run
    run.tree.records.remember(str(node), state.facts, state.because)
    run.build.recorder().retrieved("Retrieve", node)


def may_keep(node: Any) -> bool:
    """Whether a file that was just made is what the cache will call it: nothing that it is made from changed since."""
    state = state_of(node)
    if state is None:
        return True
    run = node.attributes.run
    run.build.look_again()
    try:
        children = [child for child in node.children() if isinstance(child, Tracked) and not is_folder(child)]
        return state.still_holds() and all(
            run.tree.digest(Path(child.get_abspath())) == child.get_csig() for child in children
        )
    except (MultiarchError, OSError):
        return False


def mark(node: Any) -> None:
    """Write beside the place of a file in the cache what its bytes are; the file itself comes next. Any thread."""
    cached = cached_file(node)
    if cached is None or SCons.CacheDir.cache_readonly:
        return
    try:
        _mark(cached, node.attributes.run.tree.stat.digest(node.get_abspath())).touch()
    except FileNotFoundError:
        cached.parent.mkdir(parents=True, exist_ok=True)
        _mark(cached, node.attributes.run.tree.stat.digest(node.get_abspath())).touch()


def keep(node: Any, push: Any) -> None:
    """Put a file into the cache by SCons' `push`; a cache that cannot be written to fails no build. Any thread."""
    if SCons.CacheDir.cache_readonly or not SCons.Action.execute_actions or not may_keep(node):
        return  # with -n it is not what will be made
    try:
        mark(node)
        push()
    except (OSError, SCons.Errors.SConsEnvironmentError) as error:
        if node.attributes.run.build.is_new("the cache cannot be written to"):
            say(f"  warning: not kept in SCons' cache: {error}")


def cached_file(node: Any) -> Path | None:
    """Where the cache holds a node, or would; None without a cache."""
    path = node.get_build_env().get_CacheDir().cachepath(node)[1]
    return None if path is None else Path(path)


def _is_sound(node: Any) -> bool:
    """Whether the cache holds a file, and as it was put in."""
    cached, stats = cached_file(node), node.attributes.run.tree.stat
    if cached is None or not cached.exists():
        return False
    try:
        if _mark(cached, stats.digest(cached)).exists():
            return True
    except OSError:
        return False  # it cannot be read
    problem = "is damaged" if any(_marks(cached)) else "is not known to be whole"
    say(f"  {node} {problem} in SCons' cache; it is made again")
    if not SCons.CacheDir.cache_readonly and SCons.Action.execute_actions:
        for path in (cached, *_marks(cached)):
            with suppress(OSError):  # of a cache that is only read: the next one sees that it is damaged, too
                path.unlink()
    return False


def _mark(cached: Path, digest: str) -> Path:
    return cached.with_name(f"{cached.name}.{digest}")


def _marks(cached: Path) -> Iterator[Path]:
    yield from list(cached.parent.glob(f"{cached.name}.*"))


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return  # of a cache that is only read
