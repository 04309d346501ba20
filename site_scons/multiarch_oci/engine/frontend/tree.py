"""File trees: what a COPY reads from and writes to. Paths are relative, with `/`, without `.` and `..`; "" is the root.

A tree is asked name by name and never listed as a whole, so that a context folder is walked only where a Dockerfile
reaches into it, and a base's layers are read only when an answer depends on them.
"""

from __future__ import annotations

import heapq
import io
import marshal
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Protocol, cast

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.layer import OPAQUE, WHITEOUT, Entry, Kind
from multiarch_oci.pathtable import PathTable, folder_order

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


class StoredContent(msgspec.Struct, frozen=True):
    """The same of a member of an archive: `stored` bytes of it from `offset`, fewer than `size` with `regions`."""

    archive: Archive
    offset: int
    stored: int
    size: int
    regions: tuple[tuple[int, int], ...] | None
    origin: str

    def open(self) -> BinaryIO:
        """The content from its beginning."""
        return self.archive.open_stored(self)

    def key(self) -> str:
        """Equal for equal bytes."""
        return f"{self.archive.key()} {self.offset}"


class Head(msgspec.Struct, frozen=True):
    """The same of a file of which no more than its first bytes are known."""

    head: bytes
    origin: str = ""

    @property
    def size(self) -> int:
        """The bytes that are known."""
        return len(self.head)

    def open(self) -> BinaryIO:
        """The content from its beginning."""
        return cast("BinaryIO", io.BytesIO(self.head))

    def key(self) -> str:
        """None: such a content is in no layer of ours."""
        return ""


class Archive(Protocol):
    """An archive whose members are read where they stand in it."""

    def open_stored(self, content: StoredContent) -> BinaryIO:
        """The content of a member."""
        ...

    def key(self) -> str:
        """What names the archive's bytes."""
        ...


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
    content: Content | StoredContent | Head | None = None
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


_KINDS = tuple(Kind)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


class _Codec:
    """Nodes as bytes. Archives, and contents that only a function opens, stay in memory and are numbered."""

    def __init__(self) -> None:
        self._kept: list[object] = []
        self._numbers: dict[int, int] = {}

    def encode(self, node: Node) -> bytes:
        content = node.content
        packed: Any = None
        if isinstance(content, StoredContent):
            number = self._keep(content.archive)
            packed = (number, content.offset, content.stored, content.size, content.regions, content.origin)
        elif isinstance(content, Head):
            packed = (content.head, content.origin)
        elif content is not None:
            packed = self._keep(content)
        kind = _NUMBERS[node.kind]
        return marshal.dumps((kind, node.mode, node.uid, node.gid, node.target, packed, node.records, node.device))

    def decode(self, stored: bytes) -> Node:
        kind, mode, uid, gid, target, packed, *rest = marshal.loads(stored)  # noqa: S302  # written by this process
        content: Content | StoredContent | Head | None = None
        if isinstance(packed, int):
            content = cast("Content", self._kept[packed])
        elif packed is not None and isinstance(packed[0], bytes):
            content = Head(*packed)
        elif packed is not None:
            content = StoredContent(cast("Archive", self._kept[packed[0]]), *packed[1:])
        return Node(_KINDS[kind], mode, uid, gid, target, content, *rest)

    def _keep(self, kept: object) -> int:
        number = self._numbers.setdefault(id(kept), len(self._kept))
        if number == len(self._kept):
            self._kept.append(kept)
        return number


def node_table() -> PathTable[Node]:
    """An empty table of nodes by path."""
    codec = _Codec()
    return PathTable(codec.encode, codec.decode)


class LayerNames:
    """The names of a layer with what stands there: what was written, and the folders it lies in.

    Neither of the two changes any more.
    """

    def __init__(self, written: PathTable[Node], folders: Mapping[str, Node]) -> None:
        self._written = written
        self._folders = folders

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        """Sorted by path."""
        return heapq.merge(self._written.by_path(), sorted(self._folders.items()), key=_path)

    def by_folder(self) -> Iterator[tuple[str, Node]]:
        """In the order of an archive (`layer.write`): what lies in a folder follows it at once."""
        folders = sorted(self._folders.items(), key=_folder_order)
        return heapq.merge(self._written.by_folder(), folders, key=_folder_order)


def _path(pair: tuple[str, Node]) -> str:
    return pair[0]


def _folder_order(pair: tuple[str, Node]) -> str:
    return folder_order(pair[0])


class Overlay:
    """A tree that can be written to, over one that is only read; what is written is the difference of a layer."""

    def __init__(self, lower: Tree | None = None) -> None:
        self._lower = lower
        self._own = node_table()
        self._hidden: set[str] = set()
        self._emptied: set[str] = set()

    @property
    def lower(self) -> Tree | None:
        """The tree below."""
        return self._lower

    @property
    def changes(self) -> PathTable[Node]:
        """What was written, by path."""
        return self._own

    @property
    def gone(self) -> frozenset[str]:
        """What was taken away of the tree below, each with all that is in it; some of it may be written again."""
        return frozenset(self._hidden)

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        if not path:
            return ROOT
        node = self._own.find(path)
        if node is None and self._lower is not None and not self._is_hidden(path):
            node = self._lower.lookup(path)
        return node

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        own = self._own.names(path)
        seen = self._lower is not None and path not in self._emptied and not self._is_hidden(path)
        below = self._lower.names(path) if self._lower is not None and seen else ()
        if not below:
            return tuple(own)
        return tuple(sorted({*own, *(name for name in below if joined(path, name) not in self._hidden)}))

    def put(self, path: str, node: Node) -> None:
        """Write a name, whose folder is there; what was there before and is no folder kept as one is gone."""
        if not path:
            return
        if not node.is_directory:
            old = self.lookup(path)
            if old is not None and old.is_directory:
                self._drop(path)
        self._own.put(path, node)

    def layer(self) -> LayerNames:
        """The names of the layer: what was written and the folders it lies in, these as they are found below."""
        folders: dict[str, Node] = {}
        seen: set[str] = set()  # the folders of the last path, in the order of which a folder is left for good
        last = ""
        for path, _ in self._own.by_folder():
            above = parent(path)
            if above == last:
                continue
            last, chain = above, set()
            while above:
                chain.add(above)
                if above not in seen and above not in self._own:
                    folders[above] = self.lookup(above) or ROOT
                above = parent(above)
            seen = chain
        return LayerNames(self._own, folders)

    def over(self, lower: Tree) -> Overlay:
        """The same names, written over `lower` as one layer is laid over others: a name replaces what is not alike."""
        whole = Overlay(lower)
        for path, node in self._own.by_path():
            whole.put(path, node)
        return whole

    def upon(self, lower: Tree) -> Overlay:
        """The same names, and the same removals, over the tree that the layers written here lie on."""
        whole = Overlay(lower)
        whole._own, whole._emptied = self._own, self._emptied
        whole._hidden = self._hidden | {path for path, node in self._own.pairs() if not node.is_directory}
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
        self._own.pop(path)

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
        self._own.pop_below(path)

    def _is_hidden(self, path: str) -> bool:
        if not self._hidden and not self._emptied:
            return False
        while path and path not in self._hidden:
            path = parent(path)
            if path in self._emptied:
                return True
        return path in self._hidden
