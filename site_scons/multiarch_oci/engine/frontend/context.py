"""The context folder as a Dockerfile sees it: without what .dockerignore leaves out, with normalised modes and owners.

Modes are 0755 for folders and executable files, else 0644; everything belongs to 0:0 (behaviour §5). Nothing is read
but what is asked for, and each name once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from multiarch_oci.digest import Digest, verifying
from multiarch_oci.engine.frontend.gitindex import executables
from multiarch_oci.engine.frontend.tree import ROOT, CannotCopy, Content, Node, joined, parent
from multiarch_oci.executable import HEAD, is_executable_head
from multiarch_oci.ignorefile import IgnoreFile, State
from multiarch_oci.layer import Kind
from multiarch_oci.store.atomic import is_unfinished

if TYPE_CHECKING:
    from multiarch_oci.heldfiles import HeldFiles

KEPT_OUT = "no image holds it: SIGN or CACHE_KEY names it as a key, or the build makes it of images"
"""Why what is `hidden` is not there."""

_FOLDER = ROOT
_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Context:
    """The files below `folder`; a Tree. `digest` gives the sha256 of a file's bytes, in hexadecimal.

    What is `hidden`, paths of the build's own outputs, is not there, whatever .dockerignore says. `has_modes` says
    whether the file system knows an executable bit; without one (Windows) a file is executable that git's index says
    is, or that begins as a program or with `#!`. `real_paths` says where a path may lie
    (BuildPlan.real_paths), where that is not below `folder` alone: the first that is there counts, and of folders all
    names do. `followed` are folders ("": the context) in which a link stands for what it leads to, as do the links on
    the way to them. What `held` knows counts as if the disk had it.
    """

    def __init__(
        self,
        folder: Path,
        digest: Callable[[Path], str],
        ignore: IgnoreFile | None,
        *,
        hidden: tuple[str, ...] = (),
        has_modes: bool = os.name != "nt",
        real_paths: Callable[..., list[str]] | None = None,
        followed: tuple[str, ...] = (),
        held: HeldFiles | None = None,
    ) -> None:
        self._folder = folder
        self._held = held
        self._text = os.fspath(folder)
        self._digest = digest
        self._ignore = ignore
        self._hidden = frozenset(hidden)
        self._above_hidden = frozenset(above for path in hidden for above in _parents(path))
        self._has_modes = has_modes
        self._real_paths = real_paths
        self._followed = followed
        self._tracked: frozenset[str] | None = None
        self._states: dict[str, tuple[bool, State]] = {"": (False, ())}
        self._nodes: dict[str, Node | None] = {"": _FOLDER}
        # Folders that are left out: whether something in them is not, of what is listed there, and of what is by name.
        self._holds: tuple[dict[str, bool], dict[str, bool]] = ({}, {})

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    def lookup(self, path: str) -> Node | None:
        """As Tree says; raises CannotCopy for what no layer can hold (pipes, sockets, devices, links to nothing)."""
        try:
            return self._nodes[path]
        except KeyError:
            missing = [path]
            while (path := parent(path)) not in self._nodes:
                missing.append(path)
            for name in reversed(missing):
                self._nodes[name] = self._read(name)
            return self._nodes[missing[0]]

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        node = self.lookup(path)
        if node is None or not node.is_directory:
            return ()
        return tuple(name for name in self._listed(path) if self._is_seen(joined(path, name)))

    def hides(self, path: str) -> bool:
        """Whether there is nothing at this path, though the disk has something."""
        return self.lookup(path) is None and os.path.lexists(self._real_path(path))

    def absence(self, path: str) -> str | None:
        """Why there is nothing at a path that the disk has, as a hint; None where the disk has nothing either."""
        if not self.hides(path):
            return None
        is_hidden = any(above in self._hidden for above in (path, *_parents(path)))
        return KEPT_OUT if is_hidden else ".dockerignore leaves it out"

    def _real_path(self, path: str) -> str:
        if self._real_paths is not None:
            real_paths = self._real_paths(path)
            return next(filter(self._is_known, real_paths), real_paths[0])
        return os.path.join(self._text, *path.split("/")) if path else self._text  # noqa: PTH118  # the hot path

    def _is_known(self, real_path: str) -> bool:
        if os.path.lexists(real_path):
            return True
        held = self._held
        return held is not None and (held.get(real_path) is not None or held.is_folder(real_path))

    def _listed(self, path: str, *, by_name: bool = False) -> list[str]:
        try:
            names = self._names(path) if self._real_paths is None else self._merged(path, by_name=by_name)
            # What another step is writing at this moment is in no context: it will be there under its name, or gone.
            return sorted(name for name in names if not is_unfinished(name))
        except OSError as error:
            raise _unreadable(path or ".", error) from None

    def _names(self, path: str) -> list[str] | set[str]:
        real_path = self._real_path(path)
        held = set() if self._held is None else self._held.names(real_path)
        try:
            names = os.listdir(real_path)  # noqa: PTH208  # the hot path
        except FileNotFoundError:
            if not held:
                raise
            return held
        return held.union(names) if held else names

    def _merged(self, path: str, *, by_name: bool) -> set[str]:
        """The names in all the folders that a path is; `by_name`: also those that are there by their name alone."""
        assert self._real_paths is not None  # noqa: S101  # only _listed calls this
        real_paths = map(Path, self._real_paths(path, listing=not by_name))
        folders = [
            os.fspath(real_path)
            for real_path in real_paths
            if real_path.is_dir() and (self._follows(path) or not real_path.is_symlink())
        ]
        merged = {
            name
            for folder in folders
            for name in os.listdir(folder)  # noqa: PTH208  # as in _listed
            if os.path.join(folder, name) in self._real_paths(joined(path, name))  # noqa: PTH118  # else it is without it
        }
        return merged if self._held is None else merged.union(*map(self._held.names, self._real_paths(path)))

    def _read(self, path: str) -> Node | None:
        above = self.lookup(parent(path))
        if above is None or not above.is_directory:
            return None
        real_path = self._real_path(path)
        try:
            status = os.lstat(real_path)
            if stat.S_ISLNK(status.st_mode) and self._follows(path):
                status = self._led_to(path, real_path)
        except (FileNotFoundError, NotADirectoryError):
            return self._held_node(path, real_path)
        except OSError as error:
            raise _unreadable(path, error) from None
        except ValueError:  # a NUL in the name
            return None
        if not self._is_seen(path, directory=stat.S_ISDIR(status.st_mode), by_name=self._real_paths is not None):
            return None
        return self._node(path, real_path, status)

    def _held_node(self, path: str, real_path: str) -> Node | None:
        """What is known of a path that is not on this machine."""
        held = None if self._held is None else self._held.get(real_path)
        directory = held is None and self._held is not None and self._held.is_folder(real_path)
        if (held is None and not directory) or not self._is_seen(path, directory=directory):
            return None
        if held is None:
            return _FOLDER
        content = _content(Path(real_path), held.size, self._digest)
        return Node(Kind.FILE, 0o755 if held.executable else 0o644, content=content)

    def _follows(self, path: str) -> bool:
        """Whether a link of this path stands for what it leads to."""
        return any(
            not folder or f"{path}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{path}/")
            for folder in self._followed
        )

    def _led_to(self, path: str, real_path: str) -> os.stat_result:
        """The status of what a followed link leads to; CannotCopy for one to nothing, or to a folder it is in."""
        try:
            status = os.stat(real_path)  # noqa: PTH116  # as _real_path
        except OSError:
            target = os.readlink(real_path)  # noqa: PTH115  # as _node
            hint = "a link stands for what it leads to here: make that, or remove the link"
            raise CannotCopy(f"'{path}' is a link to '{target}', which is not there", hint=hint) from None
        end = os.path.join(os.path.realpath(real_path), "")  # noqa: PTH118  # with a separator at its end
        above = path
        while above:  # by the names, as several links may lead round together
            above = parent(above)
            if f"{os.path.realpath(self._real_path(above))}{os.sep}".startswith(end):
                hint = "a link stands for what it leads to here: remove it"
                raise CannotCopy(f"'{path}' is a link to a folder that it is in", hint=hint)
        return status

    def _node(self, path: str, real_path: str, status: os.stat_result) -> Node:
        if stat.S_ISDIR(status.st_mode):
            return _FOLDER
        if stat.S_ISLNK(status.st_mode):
            return Node(Kind.SYMLINK, 0o777, target=os.readlink(real_path).replace(os.sep, "/"))  # noqa: PTH115  # the hot path
        if not stat.S_ISREG(status.st_mode):
            what = _SPECIAL.get(stat.S_IFMT(status.st_mode), "special")
            raise CannotCopy(
                f"'{path}' is {what}; only files, folders and links can be copied", hint="leave it out in .dockerignore"
            )
        mode = 0o755 if self._is_executable(path, real_path, status) else 0o644
        return Node(Kind.FILE, mode, content=_content(Path(real_path), status.st_size, self._digest))

    def _is_executable(self, path: str, real_path: str, status: os.stat_result) -> bool:
        if self._has_modes:
            return bool(status.st_mode & stat.S_IXUSR)
        if self._tracked is None:
            self._tracked = executables(self._folder)
        if path in self._tracked:
            return True
        try:
            with open(real_path, "rb") as stream:  # noqa: PTH123  # as in _real_path
                return is_executable_head(stream.read(HEAD))
        except OSError:
            return False  # who reads the content says so

    def _is_seen(self, path: str, *, directory: bool | None = None, by_name: bool = False) -> bool:
        """Whether a name that exists is in the context: not excluded, or a folder with something in it that is not."""
        seen = self._is_seen_itself(path, directory=directory)
        if seen is None:
            seen = self._holds[by_name].get(path)
        return self._look_below(path, by_name=by_name) if seen is None else seen

    def _look_below(self, path: str, *, by_name: bool) -> bool:
        """Whether something in a folder is in the context; what is found out of those below is kept."""
        holds = self._holds[by_name]
        looked = [path]
        pending = [path]
        while pending:
            folder = pending.pop()
            for name in self._listed(folder, by_name=by_name):
                below = joined(folder, name)
                seen = self._is_seen_itself(below)
                if seen is None and (seen := holds.get(below)) is None:
                    looked.append(below)
                    pending.append(below)
                elif seen:
                    while len(below) > len(path):
                        below = parent(below)
                        holds[below] = True
                    return True
        holds |= dict.fromkeys(looked, False)
        return False

    def _is_seen_itself(self, path: str, *, directory: bool | None = None) -> bool | None:
        """Whether a name that exists is in the context; None for a folder that is when something in it is."""
        if path in self._hidden:
            return False
        if path in self._above_hidden:  # a folder of nothing but outputs comes and goes with them
            return None
        if self._ignore is None:
            return True
        excluded, _ = self._judged(path)
        if not excluded:
            return True
        if directory is None:
            real_path = self._real_path(path)
            try:
                directory = stat.S_ISDIR(os.lstat(real_path).st_mode)
            except FileNotFoundError:
                if self._held is None:
                    raise
                directory = self._held.is_folder(real_path)
        return None if directory and not self._ignore.prunable(path) else False

    def _judged(self, path: str) -> tuple[bool, State]:
        judgement = self._states.get(path)
        if judgement is None:
            assert self._ignore is not None  # noqa: S101  # only _is_seen_itself calls this
            missing = [path]
            while (path := parent(path)) not in self._states:
                missing.append(path)
            for name in reversed(missing):
                judgement = self._states[name] = self._ignore.excludes(name, self._states[parent(name)][1])
        assert judgement is not None  # noqa: S101  # one of them is missing at least
        return judgement


def _parents(path: str) -> tuple[str, ...]:
    names = path.split("/")
    return tuple("/".join(names[:count]) for count in range(1, len(names)))


def _content(file: Path, size: int, digest: Callable[[Path], str]) -> Content:
    def known() -> str:
        try:
            return digest(file)
        except OSError as error:
            raise _unreadable(str(file), error) from None

    def opened() -> BinaryIO:
        expected = Digest("sha256", known())
        try:
            stream = file.open("rb")
        except OSError as error:
            raise _unreadable(str(file), error) from None
        return verifying(stream, expected, size, where=f"{file} changed while the image was built")

    return Content(size, opened, known, str(file))


def _unreadable(path: str, error: OSError) -> CannotCopy:
    return CannotCopy(f"'{path}' cannot be read: {error.strerror or error}", hint="check who may read it")
