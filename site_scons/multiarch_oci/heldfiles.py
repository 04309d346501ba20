"""Files that a build knows by digest although they are not on this machine: a shared cache holds them.

What reads the tree asks here for a file that the disk has not, so that facts and layers are those of the file itself.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.statcache import replace_text

_FORMAT = "held 1"


class HeldFile(msgspec.Struct, frozen=True):
    """A file by its sha256 (in hexadecimal) and size in bytes; `origin` names the repository or folder that has it."""

    digest: str
    size: int
    origin: str
    executable: bool = True


class _Kept(msgspec.Struct):
    """The file of the records; each name is a path from the root, with `/`."""

    format: str
    files: dict[str, HeldFile]


class HeldFiles:
    """Records by path below `root`, remembered in the file `path`; any number of threads.

    Loaded at the first question; a missing, damaged or foreign file is no record. A record counts only while no file
    lies under its name. Nothing is written before `save`. Paths are absolute, as the disk is asked.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self._root = os.fspath(root)
        self._path = path
        self._lock = threading.Lock()
        self._loaded: dict[str, HeldFile] | None = None
        self._unkept: set[str] = set()
        self._dirty = False
        self._folders: tuple[object, dict[str, set[str]]] = (None, {})  # of which records, and the names in each folder

    def get(self, path: str | os.PathLike[str]) -> HeldFile | None:
        """The record of a file that is not there; None for one that is, and for what nobody holds."""
        files = self._files()
        if not files:
            return None
        held = files.get(self._name(path))
        return None if held is None or os.path.lexists(path) else held

    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._files()

    def names(self, folder: str | os.PathLike[str]) -> set[str]:
        """The names in a folder under which a held file or the folder of one would lie; empty for most folders."""
        files = self._files()
        if not files:
            return set()
        mapped, folders = self._folders
        if mapped is not files:
            folders = _folders_of(files)
            self._folders = files, folders
        return folders.get(self._name(folder), set())

    def is_folder(self, path: str | os.PathLike[str]) -> bool:
        """Whether held files would lie below this path."""
        return bool(self.names(path))

    def put(self, path: str | os.PathLike[str], held: HeldFile, *, keep: bool = True) -> None:
        """Note that a file is held; without `keep` for this process alone."""
        files, name = self._files(), self._name(path)
        with self._lock:
            (self._unkept.discard if keep else self._unkept.add)(name)
            self._dirty = self._dirty or (keep and files.get(name) != held)
            before, self._loaded = self._loaded, {**(self._loaded or {}), name: held}
            mapped, folders = self._folders
            if mapped is before:  # else each of many would have all folders looked through again
                folders = {folder: set(names) for folder, names in folders.items()}
                _add(folders, name)
                self._folders = self._loaded, folders

    def drop(self, path: str | os.PathLike[str]) -> None:
        """Forget a record: the file is there again, or is to be made."""
        files, name = self._files(), self._name(path)
        if name in files:
            with self._lock:
                self._loaded = {known: held for known, held in (self._loaded or {}).items() if known != name}
                self._dirty = True

    def clear(self) -> None:
        """Forget all records."""
        if self._files():
            with self._lock:
                self._loaded, self._dirty = {}, True

    def refresh(self) -> None:
        """Read the records again at the next question: another run may have written them. `save` comes first."""
        with self._lock:
            self._loaded, self._dirty = None, False
            self._unkept.clear()

    def save(self) -> None:
        """Write the records, at once, if any changed since they were loaded. OSError is the caller's."""
        with self._lock:
            if not self._dirty or self._loaded is None:
                return
            kept = {name: held for name, held in sorted(self._loaded.items()) if name not in self._unkept}
            document = msgspec.to_builtins(_Kept(_FORMAT, kept))
            replace_text(self._path, json.dumps(document, separators=(",", ":")))
            self._dirty = False

    def __iter__(self) -> Iterator[tuple[str, HeldFile]]:
        """All records, by path from the root."""
        return iter(self._files().items())

    def _files(self) -> dict[str, HeldFile]:
        files = self._loaded
        if files is None:
            with self._lock:
                kept = remembered_as(self._path, _Kept) if self._loaded is None else None
                if self._loaded is None:
                    self._loaded = kept.files if kept is not None and kept.format == _FORMAT else {}
                files = self._loaded
        return files

    def _name(self, path: str | os.PathLike[str]) -> str:
        text = os.fspath(path)
        below = text.startswith(f"{self._root}{os.sep}")
        try:
            relative = text[len(self._root) + 1 :] if below else os.path.relpath(text, self._root)
        except ValueError:  # another drive
            relative = text
        return relative.replace(os.sep, "/") or "."


def _folders_of(files: Iterable[str]) -> dict[str, set[str]]:
    """The names in each folder that leads to one of these paths, of those below the root, which is `.`."""
    folders: dict[str, set[str]] = {}
    for file in files:
        _add(folders, file)
    return folders


def _add(folders: dict[str, set[str]], file: str) -> None:
    """Add a path to what `_folders_of` answers."""
    path = "." if file.startswith("../") or os.path.isabs(file) else file  # noqa: PTH117  # of each, often
    while path != ".":
        above, _, name = path.rpartition("/")
        folders.setdefault(above or ".", set()).add(name)
        path = above or "."
