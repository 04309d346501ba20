"""`env.Cached`: what commands of other builders make (Rust, C, Node) is kept in the shared cache, too.

The key of such a step is what SCons signs it by: its command, and the names and contents of everything that it depends
on. What a command reads beside that SCons does not know of, and the cache no more: name it as a source, or by Depends.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Action
import SCons.Node.FS

from multiarch_oci.actioncache import Entry, Key, NoEntry
from multiarch_oci.document import key_of
from multiarch_oci.errors import one_line
from scons_multiarch import paths
from scons_multiarch.paths import shown
from scons_multiarch.process import say
from scons_multiarch.shared.fetching import fetch
from scons_multiarch.shared.keeping import output_of
from scons_multiarch.shared.lookups import lookups
from scons_multiarch.shared.origins import origin_of
from scons_multiarch.targets import WrongSource
from scons_multiarch.tracking.held import look_anew, note_taken
from scons_multiarch.tracking.nodes import track
from scons_multiarch.tracking.state import is_ours

if TYPE_CHECKING:
    from multiarch_oci.actioncache.cache import Contents
    from scons_multiarch.session import Run

KIND = "command"
FROM_CACHE = "from cache"


def cached(env: Any, *given: Any) -> Any:
    """Have what these nodes are kept in the shared cache: targets of Command, Program and the like, all of a step.

    Returns the nodes. Harmless without CACHE, and for targets of ours, which are kept anyway. Raises WrongSource for
    what nothing makes, and for folders.
    """
    nodes = paths.nodes(env, "Cached", given)
    for node in nodes:
        if not node.has_builder():
            raise WrongSource("is made by nothing", where=shown(node), hint="env.Cached(env.Command(…))")
        if isinstance(node, SCons.Node.FS.Dir):
            hint = "have the command pack it into one file, and name that"
            raise WrongSource("is a folder; the shared cache keeps files", where=shown(node), hint=hint)
        if is_ours(node):
            continue
        together = node.get_executor().get_all_targets()
        track(env, together)
        track(env, [source for source in node.sources if isinstance(source, SCons.Node.FS.File)])
        for target in together:
            target.attributes.cached_with = together
    return nodes


def is_cached(node: Any) -> bool:
    """Whether `env.Cached` was told of a target."""
    return node.check_attributes("cached_with") is not None


def _key(node: Any, run: Run) -> Key:
    """The command of a step, its targets' names, what it depends on by name and content, and the kind of machine."""
    targets: Sequence[Any] = node.attributes.cached_with
    executor = node.get_executor()
    facts = [
        [sys.platform, platform.machine().lower()],
        executor.get_contents().decode("utf-8", "surrogateescape"),
        [shown(target) for target in targets],
        [[_name(child), _content(child, run)] for child in node.children()],
    ]
    assert run.settings.cache is not None  # noqa: S101  # who asks has looked
    return Key(KIND, key_of(facts), run.settings.cache.scope)


def _name(child: Any) -> str:
    """The path of a dependency from the top: a command may read the whole folder; outside the tree the last part."""
    if not isinstance(child, SCons.Node.FS.Base):
        return ""
    path = shown(child)
    return child.name if Path(path).is_absolute() else path


def _content(child: Any, run: Run) -> str:
    """The content of a dependency; where SCons itself would take md5, sha256 stands for files."""
    if isinstance(child, SCons.Node.FS.File):
        try:
            return run.tree.digest(Path(child.rfile().get_abspath()))
        except OSError:
            pass
    return str(child.get_csig())


def take(node: Any) -> bool:
    """Take the files of a command out of the shared cache, all or none; False where it has to run. Any thread."""
    run: Run = node.attributes.run
    settings, targets = run.settings.cache, node.attributes.cached_with
    if settings is None:
        return False
    if node is not targets[0]:
        return bool(targets[0].check_attributes("taken"))
    key, origin = _key(node, run), origin_of(run, node)
    node.attributes.key, node.attributes.taken = key, False
    entry = lookups(run).find(key, origin) if settings.reads else None
    if entry is None:
        return False
    try:
        _put(targets, entry, run, origin)
    except Exception as error:  # noqa: BLE001  # what somebody else wrote there fails no build
        say(f"  {shown(node)}: the cache does not give it ({one_line(error)}); it is made here")
        return False
    node.attributes.taken = True
    for target in targets:
        note_taken(target)
    say(f"{', '.join(map(shown, targets))}: {FROM_CACHE}")
    return True


def _put(targets: Sequence[Any], entry: Entry, run: Run, origin: str) -> None:
    """Write the files of an entry under the names of a command's targets. NoEntry for other files than these."""
    if [output.name for output in entry.outputs] != [target.name for target in targets]:
        raise NoEntry("has other files than this command makes", where=entry.key.tag)
    if not SCons.Action.execute_actions:
        return
    for target, output in zip(targets, entry.outputs, strict=True):
        fetch(run, origin, output.descriptor, Path(target.get_abspath()), executable=output.executable)
        if target is not targets[0]:
            look_anew(target)


def keep(node: Any) -> None:
    """Put the files that a command has just made into the shared cache; never raises."""
    run: Run = node.attributes.run
    settings, targets = run.settings.cache, node.attributes.cached_with
    if not SCons.Action.execute_actions or node is not targets[-1]:
        return
    if settings is None or not settings.writes:
        return
    asking, origin = lookups(run), origin_of(run, node)
    files = [Path(target.get_abspath()) for target in targets]
    if all(file.is_file() for file in files):
        asking.keep(origin, lambda: _entry(run, targets[0], files), subject=shown(node))


def _entry(run: Run, target: Any, files: list[Path]) -> tuple[Entry, Contents] | None:
    """The entry of a command; None where something was edited while it ran."""
    key = _key(target, run)
    if key != target.check_attributes("key"):
        return None
    outputs = tuple(output_of(run, file) for file in files)
    contents = {output.descriptor.digest: _opener(file) for output, file in zip(outputs, files, strict=True)}
    return Entry(key, outputs, names=("command", "sources")), contents


def _opener(file: Path) -> Any:
    return lambda: file.open("rb")
