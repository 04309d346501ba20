"""Folders that builders make: inputs like files.

SCons makes a folder once: it is a target whose sources are not compared with those of its last making. A *made* folder
is decided and recorded as a file is, and made again when something that was made in it is gone or not as it was made;
what came into it later does not count. So is what was declared as a file and turns out to be a folder. What of it gets
into an image or a program its own facts say, file by file.
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

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_IN_IT = "holds"
_AS_MADE = "as made"
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
        # What SCons memoizes of a folder goes when it is scanned as a source.
        return self.attributes.run.build.once(("stored", self), self._stored_info)

    def _stored_info(self) -> Any:
        try:
            return self.dir.sconsign().get_entry(self.name)
        except (KeyError, OSError):
            entry = SCons.SConsign.SConsignEntry()
            entry.binfo, entry.ninfo = self.new_binfo(), self.new_ninfo()
            return entry

    def get_csig(self) -> str:
        """The sha256 of what was made in it; what is made of it is compared by that."""
        return _signed(self, lambda: _signature(self))

    def is_up_to_date(self) -> bool:
        """Whether it is there, whole, and made from what its sources are now."""
        changed = self.changed()  # always asked, as of a file: it finds the signatures that are recorded
        return bool(self.exists() and not changed and _is_whole(self))

    def prepare(self) -> None:
        """Before it is made: what is recorded of it counts no more, should its making fail half-way."""
        if self.get_state() == SCons.Node.executing and SCons.Node.do_store_info:
            self.attributes.run.tree.records.forget(shown(self))
            # As of a file. SCons would run the builder of a folder that this one lies in.
            Path(self.dir.get_abspath()).mkdir(parents=True, exist_ok=True)

    def visited(self) -> None:
        """Record what it was made from, and what is in it."""
        if self.get_state() == SCons.Node.executed:
            _look_again(self)
            self.get_binfo()
            _remember(self)
            super().visited()


class Plain(SCons.Node.FS.File):
    """What another builder makes: a file, or a folder that was not declared as one.

    Only what is on the disk says which of them it is.
    """

    __slots__ = SAME_LAYOUT

    def get_csig(self) -> str:
        """The signature of a file, or of a folder what was made in it."""
        return _signed(self, lambda: _signature(self) if is_folder(self) else super(Plain, self).get_csig())

    def is_up_to_date(self) -> bool:
        """Whether it is made from what its sources are now; a folder also whether it is whole."""
        current = bool(super().is_up_to_date())
        return current and (not is_folder(self) or _is_whole(self))

    def prepare(self) -> None:
        """Before it is made: as of a folder that is declared as one."""
        if is_folder(self):
            self.set_precious()  # SCons would unlink it
            if self.get_state() == SCons.Node.executing and SCons.Node.do_store_info:
                self.attributes.run.tree.records.forget(shown(self))
        super().prepare()

    def remove(self) -> bool:
        """Remove the file, for `-c`; a folder stays, as SCons leaves those that are declared as one."""
        return not is_folder(self) and bool(super().remove())

    def visited(self) -> None:
        """Record what it was made from, and what is in a folder."""
        if self.get_state() == SCons.Node.executed and is_folder(self):
            self.Decider(_is_changed)
            _remember(self)
        super().visited()


def _is_changed(folder: Any, _target: Any, before: Any, _repository: Any = None) -> bool:
    """Whether what is made of a folder is out of date: the folder was made in this run, or since, to other contents.

    A later step may have written to files of the folder, which are lost when that is made again.
    """
    signature = folder.get_csig()  # always asked: what is compared is recorded, too
    return bool(folder.get_state() == SCons.Node.executed or signature != getattr(before, "csig", None))


def _signed(node: Any, find: Callable[[], str]) -> str:
    info = node.get_ninfo()
    if not hasattr(info, "csig"):
        info.csig = find()
    return str(info.csig)


def _signature(folder: Any) -> str:
    """The sha256 of what was made in a folder; of what is in it, while that is not recorded."""
    known = folder.attributes.run.tree.records.recall(shown(folder))
    recorded = None if known is None else known.values.get(_AS_MADE)
    return recorded or _contents(folder, _names(folder))


def _is_whole(folder: Any) -> bool:
    """Whether all that was made in a folder is there, and as it was made."""
    known = folder.attributes.run.tree.records.recall(shown(folder))
    if known is None:  # its last making did not end
        return False
    path = folder.get_abspath()
    names = known.values.get(_IN_IT, "").split("\0")
    if not all(os.path.lexists(f"{path}/{name}") for name in names):
        return False
    return known.values.get(_AS_MADE, "") in ("", _contents(folder, names))  # earlier versions did not record it


def _remember(folder: Any) -> None:
    """Record what has just been made in a folder."""
    if SCons.Node.do_store_info and os.path.isdir(folder.get_abspath()):  # noqa: PTH112  # not what SCons saw before
        names = _names(folder)
        values = {_IN_IT: "\0".join(names), _AS_MADE: _contents(folder, names)}
        folder.attributes.run.tree.records.remember(shown(folder), Facts(values, {}), None)


def _names(folder: Any) -> list[str]:
    """The paths of all that is in a folder, sorted, without what has a builder of its own."""
    of_others = frozenset(_made_in(folder))
    return sorted(name for name, _ in _entries(Path(folder.get_abspath()), of_others))


def _made_in(folder: Any) -> Iterator[str]:
    if isinstance(folder, SCons.Node.FS.Dir):
        for node in entries_in(folder):
            if is_made(node) or (not isinstance(node, SCons.Node.FS.Dir) and node.has_builder()):
                yield str(node.get_abspath())
            yield from _made_in(node)


def _contents(folder: Any, names: list[str]) -> str:
    """One sha256 over names, kinds, modes, link texts and contents, in hexadecimal."""
    run, path = folder.attributes.run, folder.get_abspath()
    running = hashlib.sha256()
    for name in names:
        running.update(f"{name}\0{_state(f'{path}{os.sep}{name}', run)}\0".encode("utf-8", "surrogateescape"))
    return running.hexdigest()


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


def entries_in(folder: Any) -> list[Any]:
    """The files and folders in a folder that SCons knows of; another thread may learn of more meanwhile."""
    return [node for name, node in list(folder.entries.items()) if name not in (".", "..")]


def all_folders() -> Iterator[Any]:
    """Every folder that SCons knows of."""
    pending = list({*SCons.Node.FS.get_default_fs().Root.values()})  # one root has several names
    while pending:
        folder = pending.pop()
        pending += [node for node in entries_in(folder) if isinstance(node, SCons.Node.FS.Dir)]
        yield folder


def all_nodes() -> Iterator[Any]:
    """Every file and folder that SCons knows of."""
    for folder in all_folders():
        yield folder
        yield from (node for node in entries_in(folder) if not isinstance(node, SCons.Node.FS.Dir))


def as_file(node: Any, kind: type[Plain], run: Run) -> None:
    """Decide a target that is not declared as a folder as the file that SCons took it for at first, by its new class.

    With the folder on disk SCons would take it for one from then on, and never make it again.
    """
    if type(node) is SCons.Node.FS.Entry:
        folder = node.isdir()
        node.__class__ = SCons.Node.FS.File
        node._morph()  # noqa: SLF001  # as Entry.disambiguate does
        node.clear()
        if folder:
            node.Decider(_is_changed)
    if type(node) is SCons.Node.FS.File:
        node.__class__ = kind
    node.attributes.run = run


def as_made(node: Any, run: Run) -> None:
    """Decide a folder as files are, when a builder makes it."""
    if type(node) is SCons.Node.FS.Dir and is_made(node):
        node.__class__ = Made
        node.Decider(_is_changed)
        node.attributes.run = run
        _not_copied(node)
        node.store_info = 1
        node.ninfo = node.new_ninfo()


def _not_copied(folder: Any) -> None:
    """Let SCons remove nothing from a folder that is made in a variant folder: its files are not copies of sources."""
    folder.duplicate = False
    for node in entries_in(folder):
        node.duplicate = False
        if isinstance(node, SCons.Node.FS.Dir):
            _not_copied(node)


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
    """Whether a node is a folder, also when its declaration does not say so; targets of ours are files."""
    if isinstance(node, SCons.Node.FS.File):
        if "state" in node.attributes.__dict__ or not node.has_builder():
            return False
        return os.path.isdir(node.get_abspath())  # noqa: PTH112  # asked of every file
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
    hidden = frozenset(str(run.tree.root / path) for path in run.declarations.hidden)
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
        return f"{'x' if os.access(path, os.X_OK) else '-'} {run.tree.stat.digest(Path(path))}"
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
