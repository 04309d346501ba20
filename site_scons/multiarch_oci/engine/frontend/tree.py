"""File trees: what a COPY reads from and writes to. Paths are relative, with `/`, without `.` and `..`; "" is the root.

A tree is asked name by name and never listed as a whole, so that a context folder is walked only where a Dockerfile
reaches into it, and a base's layers are read only when an answer depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.layer import OPAQUE, WHITEOUT, Entry, Kind

_LINKS = 255  # as many as BuildKit follows (containerd/continuity, fs.RootPath)


class LinkLoop(MultiarchError):
    """Symbolic links that lead nowhere."""


class CannotCopy(MultiarchError):
    """A COPY or ADD that cannot be done: no such source, a folder in the place of a file, a wrong flag."""


class Content(msgspec.Struct, frozen=True):
    """The bytes of a file: how many, how to open them (anew at each call), a key equal for equal bytes, where from."""

    size: int
    open: Callable[[], BinaryIO]
    key: Callable[[], str]
    origin: str = ""


class Node(msgspec.Struct, frozen=True):
    """What stands under a name: a file (with content), a folder, a symbolic link (with target), a device or a pipe.

    `records` are the PAX records that an archive or base layer had for it (extended attributes). `device` are the
    major and minor number of a device.
    """

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    target: str = ""
    content: Content | None = None
    records: tuple[tuple[str, bytes], ...] = ()
    device: tuple[int, int] = (0, 0)

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder."""
        return self.kind is Kind.DIRECTORY

    def entry(self, path: str) -> Entry:
        """The same as an entry of a layer."""
        content = self.content
        size, opener, origin = (0, None, "") if content is None else (content.size, content.open, content.origin)
        return Entry(
            path, self.kind, self.mode, self.uid, self.gid, size, self.target, opener, self.records, origin, self.device
        )  # fmt: skip


ROOT = Node(Kind.DIRECTORY, 0o755)


class Tree(Protocol):
    """Something that has files."""

    def lookup(self, path: str) -> Node | None:
        """What stands at this very path, links not followed; None = nothing. The root is always there."""
        ...

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a folder, sorted; () for everything else."""
        ...


def joined(*parts: str) -> str:
    """The parts as one path."""
    return "/".join(part for part in parts if part)


def parent(path: str) -> str:
    """The folder that a path lies in."""
    return path.rpartition("/")[0]


def is_absolute(path: str, system: str) -> bool:
    """Whether a path of the image starts at its root."""
    if system == "windows":
        return path.replace("\\", "/").startswith("/") or path[1:3].replace("\\", "/") == ":/"
    return path.startswith("/")


def resolve(tree: Tree, path: str) -> str:
    """Follow every link of a path, the last one too, without ever leaving the tree; what is missing is kept as it is.

    As containerd/continuity's `fs.RootPath`. Raises LinkLoop.
    """
    pending = path.split("/")[::-1]
    done: list[str] = []  # the path so far, at each of its parts
    links = 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            del done[-1:]
            continue
        done.append(joined(done[-1], name) if done else name)
        node = tree.lookup(done[-1])
        if node is None or node.kind is not Kind.SYMLINK:
            continue
        links += 1
        if links > _LINKS:
            raise LinkLoop(f"'{path}' leads through more than {_LINKS} symbolic links")
        del done[0 if node.target.startswith("/") else -1 :]
        pending.extend(node.target.split("/")[::-1])
    return done[-1] if done else ""


class Overlay:
    """A tree that can be written to, over one that is only read; what is written is the difference of a layer."""

    def __init__(self, lower: Tree | None = None) -> None:
        self._lower = lower
        self._own: dict[str, Node] = {}
        self._names: dict[str, set[str]] = {}
        self._hidden: set[str] = set()
        self._emptied: set[str] = set()

    @property
    def lower(self) -> Tree | None:
        """The tree below."""
        return self._lower

    @property
    def changes(self) -> Mapping[str, Node]:
        """What was written, by path."""
        return self._own

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        if not path:
            return ROOT
        node = self._own.get(path)
        if node is None and self._lower is not None and not self._is_hidden(path):
            node = self._lower.lookup(path)
        return node

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        own = self._names.get(path, set())
        seen = self._lower is not None and path not in self._emptied and not self._is_hidden(path)
        below = self._lower.names(path) if self._lower is not None and seen else ()
        return tuple(sorted({*own, *(name for name in below if joined(path, name) not in self._hidden)}))

    def put(self, path: str, node: Node) -> None:
        """Write a name, whose folder is there; what was there before and is no folder kept as one is gone."""
        if not path:
            return
        old = self.lookup(path)
        if old is not None and old.is_directory and not node.is_directory:
            self._drop(path)
        self._own[path] = node
        self._names.setdefault(parent(path), set()).add(path.rpartition("/")[2])

    def layer(self) -> tuple[tuple[str, Node], ...]:
        """The names of the layer: what was written and the folders it lies in, these as they are found below."""
        paths = dict(self._own)
        for path in self._own:
            above = parent(path)
            while above and above not in paths:
                paths[above] = self.lookup(above) or ROOT
                above = parent(above)
        return tuple(sorted(paths.items()))

    def over(self, lower: Tree) -> Overlay:
        """The same names, written over `lower` as one layer is laid over others: a name replaces what is not alike."""
        whole = Overlay(lower)
        for path, node in sorted(self._own.items()):
            whole.put(path, node)
        return whole

    def upon(self, lower: Tree) -> Overlay:
        """The same names, and the same removals, over the tree that the layers written here lie on."""
        whole = Overlay(lower)
        whole._own, whole._names, whole._emptied = self._own, self._names, self._emptied
        whole._hidden = self._hidden | {path for path, node in self._own.items() if not node.is_directory}
        return whole

    def make_directories(self, path: str, *, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
        """Make a folder and those above it that are not there; raises CannotCopy where something else stands."""
        here = ""
        for name in filter(None, path.split("/")):
            here = joined(here, name)
            node = self.lookup(here)
            if node is None:
                self.put(here, Node(Kind.DIRECTORY, mode, *owner))
            elif not node.is_directory:
                raise CannotCopy(f"'/{here}' in the image is a {node.kind.value}, not a folder")

    def remove(self, path: str) -> None:
        """Take a name away, and all that is below it."""
        self._drop(path)
        self._own.pop(path, None)
        self._names.get(parent(path), set()).discard(path.rpartition("/")[2])

    def whiteout(self, path: str) -> bool:
        """Take away what the member of a layer at `path` says is gone; False when it is no whiteout (layer.md)."""
        folder, name = parent(path), path.rpartition("/")[2]
        if name == OPAQUE:
            for gone in self.names(folder):
                self.remove(joined(folder, gone))
            self._emptied.add(folder)
        elif name.startswith(WHITEOUT):
            self.remove(joined(folder, name.removeprefix(WHITEOUT)))
        else:
            return False
        return True

    def _drop(self, path: str) -> None:
        self._hidden.add(path)  # what lies below may be known later (`upon`)
        pending = [path]
        while pending:
            folder = pending.pop()
            for name in self._names.pop(folder, ()):
                below = joined(folder, name)
                self._own.pop(below, None)
                pending.append(below)

    def _is_hidden(self, path: str) -> bool:
        if not self._hidden and not self._emptied:
            return False
        while path and path not in self._hidden:
            path = parent(path)
            if path in self._emptied:
                return True
        return path in self._hidden
