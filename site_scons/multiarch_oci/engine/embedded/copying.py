"""What COPY and ADD do to a tree, name by name as BuildKit's copier does it (tonistiigi/fsutil, `copy.Copy`)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from multiarch_oci.engine.embedded.ownership import Chmod
from multiarch_oci.engine.frontend.tree import ROOT, CannotCopy, Content, Node, Overlay, Tree, joined, parent, resolve
from multiarch_oci.ignorefile import IgnoreFile, State
from multiarch_oci.layer import Kind


class CopyOptions(msgspec.Struct, frozen=True):
    """How a COPY treats what it copies: the owner and mode it gives, what it takes (`--parents`) and leaves out."""

    owner: tuple[int, int] | None = None
    chmod: Chmod | None = None
    include: IgnoreFile | None = None
    exclude: IgnoreFile | None = None

    @property
    def for_parents(self) -> tuple[int, tuple[int, int]]:
        """Mode and owner of the folders that are made on the way to the destination."""
        return (0o755 if self.chmod is None else self.chmod.for_parents), self.owner or (0, 0)


class _Pending(msgspec.Struct):
    """A folder on the way to what `--parents` takes: made when something in it is."""

    source: Node
    target: str
    copied: bool


def copy(source: Tree, path: str, image: Overlay, destination: str, options: CopyOptions) -> None:
    """Copy one path of `source` (links followed) to `destination`, whose `/` at the end says that it is a folder.

    A folder's content is copied, not the folder. Raises CannotCopy, also when there is nothing at the path.
    """
    mode, owner = options.for_parents
    folder = destination if destination.endswith(("/", "/.")) else parent(destination)
    image.make_directories(resolve(image, folder), mode=mode, owner=owner)
    target = resolve(image, destination)
    followed = resolve(source, path)
    node = source.lookup(followed)
    if node is None:
        raise CannotCopy(f"'{path}' is not there")
    there = image.lookup(target)
    if not node.is_directory and there is not None and there.is_directory:
        target = joined(target, path.rpartition("/")[2])
    image.make_directories(target if node.is_directory and there is None else parent(target), mode=mode, owner=owner)
    _Copier(source, image, options).copy(_Step(followed, "", target, ((), ()), overwrite=False))


class _Step(msgspec.Struct, frozen=True):
    """A name on its way; `inside` is its path below the source, "" for the source itself, which is always taken."""

    path: str
    inside: str
    target: str
    states: tuple[State, State]
    overwrite: bool

    def below(self, name: str, states: tuple[State, State]) -> _Step:
        """A name in this folder."""
        return _Step(
            joined(self.path, name), joined(self.inside, name), joined(self.target, name), states, overwrite=True
        )


class _Copier(msgspec.Struct):
    source: Tree
    image: Overlay
    options: CopyOptions
    parents: list[_Pending] = msgspec.field(default_factory=list)

    def copy(self, step: _Step) -> None:
        """Copy what is at a step's path, and all below it, which may be any number of folders deep."""
        pending: list[Iterator[_Step]] = [iter((step,))]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                del self.parents[max(len(pending) - 1, 0) :]
                continue
            below = self._visit(following)
            if below is not None:
                pending.append(below)

    def _visit(self, step: _Step) -> Iterator[_Step] | None:
        """Copy one name; the names in it, when it is a folder that is looked into."""
        taken, excluded, states = self._judged(step.inside, step.states)
        if excluded and self.options.include is None and not self._brings_back(step.inside):
            return None
        node = self.source.lookup(step.path)
        if node is None:
            raise CannotCopy(f"'{step.path}' is not there")
        if taken:
            self._make_parents()
        if not node.is_directory:
            if taken:
                self._leaf(node, step.path, step.target)
            return None
        if taken:
            self._make(node, step.target, overwrite=step.overwrite)
        if excluded and not self._brings_back(step.inside):
            return None
        self.parents.append(_Pending(node, step.target, taken))
        return (step.below(name, states) for name in self.source.names(step.path))

    def _leaf(self, node: Node, path: str, target: str) -> None:
        there = self.image.lookup(target)
        if there is not None and there.is_directory:
            raise CannotCopy(f"'{path}' is a {node.kind.value}, but '/{target}' in the image is a folder")
        self.image.put(target, self._finished(node))

    def _make(self, node: Node, target: str, *, overwrite: bool) -> None:
        there = self.image.lookup(target)
        if there is not None and not there.is_directory:
            raise CannotCopy(f"'/{target}' in the image is a {there.kind.value}, not a folder")
        if there is None or overwrite:
            self.image.put(target, self._finished(node))

    def _make_parents(self) -> None:
        for pending in self.parents:
            if pending.copied:
                continue
            there = self.image.lookup(pending.target)
            if (
                there is not None and there.is_directory
            ):  # as BuildKit: the mode is the source's, no --chmod, the owner stays
                self.image.put(pending.target, replace(there, mode=pending.source.mode))
            else:
                self._make(pending.source, pending.target, overwrite=False)
            pending.copied = True

    def _finished(self, node: Node) -> Node:
        uid, gid = self.options.owner or (node.uid, node.gid)
        mode = node.mode
        if self.options.chmod is not None and node.kind is not Kind.SYMLINK:
            mode = self.options.chmod.apply(mode, directory=node.is_directory)
        return replace(node, mode=mode, uid=uid, gid=gid)

    def _judged(self, inside: str, states: tuple[State, State]) -> tuple[bool, bool, tuple[State, State]]:
        """Whether a name is taken, whether `--exclude` names it, and the states for what is below it."""
        if not inside:
            return True, False, ((), ())
        taken, excluded = True, False
        below: list[State] = [(), ()]
        if self.options.include is not None:
            taken, below[0] = self.options.include.excludes(inside, states[0])
        if self.options.exclude is not None:
            excluded, below[1] = self.options.exclude.excludes(inside, states[1])
        return taken and not excluded, excluded, (below[0], below[1])

    def _brings_back(self, inside: str) -> bool:
        return self.options.exclude is not None and not self.options.exclude.prunable(inside)


def inline_content(content: bytes) -> Content:
    """Bytes that stand in the Dockerfile as the content of a file."""
    return Content(len(content), lambda: io.BytesIO(content), lambda: hashlib.sha256(content).hexdigest())


class InlineTree:
    """A Tree that holds one file of mode 0644: a here-document (`COPY <<name /there`)."""

    def __init__(self, path: str, content: str) -> None:
        self._path = path.strip("/")
        content_bytes = content.encode("utf-8", "surrogateescape")
        self._node = Node(Kind.FILE, 0o644, content=inline_content(content_bytes))

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        if not path:
            return ROOT
        return self._node if path == self._path else None

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        return () if path else (self._path,)
