"""Folders that builders make: inputs like files.

SCons makes a folder once: it is a target whose sources are not compared with those of its last making. A *made* folder
is decided and recorded as a file is, and made again when something in it is gone. What of it gets into an image or a
program its own facts say, file by file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node
import SCons.Node.FS
import SCons.SConsign

from multiarch_oci.why import Facts
from scons_multiarch.paths import shown
from scons_multiarch.tracking.phases import after_reading

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_IN_IT = "holds"
_WHEN_MADE = 3
"""SCons' number for: what is made of it is out of date when it was made in this run. That of folders."""
_LEFT_OUT = (".git", ".hg", ".svn")


SAME_LAYOUT: tuple[str, ...] = ()
"""The slots of a class that nodes change to: it adds none, so that Python lets them."""


class Made(SCons.Node.FS.Dir):
    """A folder that a builder makes. A Dir node changes to this class."""

    __slots__ = SAME_LAYOUT

    BuildInfo = SCons.Node.FS.FileBuildInfo  # those of folders are never written
    NodeInfo = SCons.Node.FS.FileNodeInfo

    def get_stored_info(self) -> Any:
        """What was recorded of its last making, as of a file's."""
        attributes = self.attributes.__dict__  # what SCons memoizes of a folder goes when it is scanned as a source
        if "stored" not in attributes:
            try:
                entry = self.dir.sconsign().get_entry(self.name)
            except (KeyError, OSError):
                entry = SCons.SConsign.SConsignEntry()
                entry.binfo, entry.ninfo = self.new_binfo(), self.new_ninfo()
            attributes["stored"] = entry
        return attributes["stored"]

    def is_up_to_date(self) -> bool:
        """Whether it is there, whole, and made from what its sources are now."""
        changed = self.changed()  # always asked, as of a file: it finds the signatures that are recorded
        return bool(self.exists() and not changed and self._is_whole())

    def _is_whole(self) -> bool:
        known = self.attributes.run.records.recall(shown(self))
        if known is None:  # its last making did not end
            return False
        path = self.get_abspath()
        return all(os.path.lexists(f"{path}/{name}") for name in known.values.get(_IN_IT, "").split("\0"))

    def prepare(self) -> None:
        """Before it is made: what is recorded of it counts no more, should its making fail half-way."""
        if self.get_state() == SCons.Node.executing and SCons.Node.do_store_info:
            self.attributes.run.records.forget(shown(self))

    def visited(self) -> None:
        """Record what it was made from, and what is in it."""
        if self.get_state() == SCons.Node.executed:
            _look_again(self)
            self.get_binfo()
            super().visited()
            if SCons.Node.do_store_info and self.exists():
                names = "\0".join(sorted(name for name, _ in _entries(Path(self.get_abspath()), frozenset())))
                self.attributes.run.records.remember(shown(self), Facts({_IN_IT: names}, {}), None)


def _look_again(folder: Any) -> None:
    """Forget what was seen of the files in a folder that has just been made."""
    for name, node in list(folder.entries.items()):
        if name in (".", ".."):
            continue
        if isinstance(node, SCons.Node.FS.Dir):
            _look_again(node)
        elif not node.has_builder():
            node.clear()


def is_made(node: Any) -> bool:
    """Whether a builder makes this folder; SCons gives every other one a builder, too, that makes it empty."""
    return isinstance(node, SCons.Node.FS.Dir) and bool(node.has_explicit_builder())


def find_folders(run: Run) -> None:
    """Have every folder that a builder makes decided as files are; to be called when all SConscripts were read."""
    for node in all_nodes():
        if type(node) is SCons.Node.FS.Entry and node.has_builder() and node.isdir():
            as_file(node)
        elif isinstance(node, SCons.Node.FS.Dir):
            _change(node, run)


def all_nodes() -> Iterator[Any]:
    """Every file and folder that SCons knows of."""
    for root in SCons.Node.FS.get_default_fs().Root.values():
        pending = [root]
        while pending:
            for name, node in list(pending.pop().entries.items()):
                if name not in (".", ".."):
                    yield node
                    if isinstance(node, SCons.Node.FS.Dir):
                        pending.append(node)


def as_file(node: Any) -> None:
    """Decide a target whose declaration does not say that it is a folder as the file that SCons took it for at first.

    With the folder on disk SCons would take it for one from then on, and never make it again.
    """
    node.__class__ = SCons.Node.FS.File
    node._morph()  # noqa: SLF001  # as Entry.disambiguate does
    node.clear()
    node.changed_since_last_build = _WHEN_MADE
    node.set_precious()  # SCons would unlink it before its action


def follow_folders(run: Run) -> None:
    """See to it that `find_folders` is called once the SConscripts are read; only the first call of a run does."""
    run.once("folders", lambda: after_reading(lambda _: find_folders(run)))


def _change(node: Any, run: Run) -> None:
    if type(node) is SCons.Node.FS.Dir and is_made(node):
        node.__class__ = Made
        node.attributes.run = run
        node.store_info = 1
        node.ninfo = node.new_ninfo()


def above(node: Any) -> Any:
    """The folder that a builder makes and a node without one lies in; None when there is none."""
    if not isinstance(node, SCons.Node.FS.Base) or node.has_explicit_builder():
        return None
    folder = node.dir
    while folder is not None and folder is not folder.dir:
        if is_made(folder):
            return folder
        folder = folder.dir
    return None


def is_folder(node: Any) -> bool:
    """Whether a node is a folder, also when its declaration does not say so."""
    if isinstance(node, SCons.Node.FS.File):
        return node.changed_since_last_build == _WHEN_MADE or (node.has_builder() and Path(node.get_abspath()).is_dir())
    return isinstance(node, SCons.Node.FS.Dir)


def with_folders(find: Callable[[], Facts], target: Any) -> Callable[[], Facts]:
    """Facts with those folders whole that are declared as what a target is made from, or depends on."""

    def with_digests() -> Facts:
        facts = find()
        folders = [folder for folder in (*target.sources, *target.depends) if is_folder(folder)]
        if not folders:
            return facts
        run = target.attributes.run
        files = {f"{shown(folder)}/": digest(Path(folder.get_abspath()), run) for folder in folders}
        return Facts(facts.values, {**facts.files, **files})

    return with_digests


def digest(folder: Path, run: Run) -> str:
    """One sha256 over names, kinds, modes, link texts and contents of all that is in a folder, in hexadecimal.

    What the build remembers and makes of images is left out, and what version control keeps: it changes all the time.
    """
    hidden = frozenset(str(run.root / path) for path in run.hidden)
    running = hashlib.sha256()
    for name, path in sorted(_entries(folder, hidden)):
        what = _state(path, run)
        running.update(f"{name}\0{what}\0".encode("utf-8", "surrogateescape"))
    return running.hexdigest()


def _state(path: str, run: Run) -> str:
    with suppress(OSError):
        if os.path.islink(path):  # noqa: PTH114  # as text, and fast
            return f"-> {os.readlink(path)}"  # noqa: PTH115
        if os.path.isdir(path):  # noqa: PTH112
            return "/"
        return f"{'x' if os.access(path, os.X_OK) else '-'} {run.stat.digest(Path(path))}"
    return "?"


def _entries(folder: Path, hidden: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Everything in a folder, by its path from there and its absolute one; links to folders are not followed."""
    start = len(str(folder)) + 1
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and f"{here}{os.sep}{name}" not in hidden]
        for name in (*folders, *files):
            path = f"{here}{os.sep}{name}"
            if path not in hidden:
                yield path[start:], path
