"""Whether an image's own layers would be the same over another base.

A COPY asks the image for what stands at certain names: along its destination, and where it writes. What it is answered
decides the layer: links are followed, folders on the way are repeated with mode and owner, and an engine leaves out
what the base has just so. So the layers are the same when both bases answer all these questions alike. Questions that
are not known, as of a source in a stage that ran something, are all that could be asked below the destination.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from multiarch_oci.config import ImageConfig
from multiarch_oci.dockerfile.instructions import Add, Copy, Workdir
from multiarch_oci.engine.embedded import ownership
from multiarch_oci.engine.embedded.archives import TarContents
from multiarch_oci.engine.embedded.building import destination_of
from multiarch_oci.engine.frontend import sources
from multiarch_oci.engine.frontend.tree import Node, Overlay, Tree, joined, parent, resolve
from multiarch_oci.engine.rebase.basefiles import as_repeated, content_of, size_of
from multiarch_oci.errors import MultiarchError
from multiarch_oci.layer import OPAQUE, WHITEOUT, Kind
from multiarch_oci.wildcard import has_wildcards

OwnLayers = Sequence[tuple[tuple[str, Node], ...]]
_ACCOUNTS = ("etc/passwd", "etc/group")


class Dependent(MultiarchError):
    """Why an image cannot be moved to another base without its engine."""


class Write(msgspec.Struct, frozen=True):
    """An instruction that writes files, variables replaced, and the config that it found, or for WORKDIR left."""

    where: str
    command: Copy | Add | Workdir
    config: ImageConfig

    @property
    def decided(self) -> tuple[object, ...]:
        """All of it that the base's config may have decided."""
        if isinstance(self.command, Workdir):
            return self.command, self.config.working_dir, self.config.user
        return self.command, destination_of(self.config, self.command.destination)

    @property
    def verb(self) -> str:
        """The instruction's name."""
        return type(self.command).__name__.upper()


class Comparison:
    """Two bases, the image's own layers over each, and the questions that its instructions asked them.

    A layer made with `--link` asks nothing where the engine can do that; not every one can, and none says it.
    """

    def __init__(self, bases: tuple[Tree, Tree], own: OwnLayers, context: Tree, epoch: int) -> None:
        self._bases = bases
        self._context = context
        self._epoch = epoch
        self._written: dict[str, list[Node]] = {}
        for path, node in (entry for layer in own for entry in layer):
            self._written.setdefault(path, []).append(node)
        self._leaves = frozenset(
            path for path, nodes in self._written.items() if any(node.kind is not Kind.DIRECTORY for node in nodes)
        )
        self._noted: tuple[set[str], set[str]] = (set(), set())
        self._views = [
            view for base, noted in zip(bases, self._noted, strict=True) for view in _views(base, own, noted)
        ]
        self._destinations: list[str] = []

    def check(self, writes: Iterable[Write], volumes: Iterable[str]) -> None:
        """Raise Dependent, with the line, for the first question that the two bases answer differently."""
        for write in writes:
            self._placed(write)
        for volume in volumes:
            for path in {resolve(view, volume.strip("/")) for view in self._views}:
                self._alike_below(path)
        self._check_layers()
        self._check_noted()

    def _placed(self, write: Write) -> None:
        try:
            self._check(write)
        except Dependent as error:
            raise Dependent(f"{write.verb}: {error.what}", where=write.where, hint=error.hint) from None

    def _check(self, write: Write) -> None:
        command = write.command
        if isinstance(command, Workdir):
            self._resolved(write.config.working_dir.strip("/"))
            if ownership.by_name(write.config.user):
                self._accounts()
        else:
            if ownership.by_name(command.chown):
                self._accounts()
            text = destination_of(write.config, command.destination)
            for target in self._resolved(text):
                self._copied(command, target, is_folder=text.endswith("/"))
        self._check_noted()

    def _copied(self, command: Copy | Add, target: str, *, is_folder: bool) -> None:
        inside = is_folder or any(_is_folder(view.lookup(target)) for view in self._views)
        for file in command.contents:
            self._leaf(joined(target, file.path) if inside else target)
        many = len(command.sources) + len(command.contents) > 1
        for source in command.sources:
            self._destinations += [target, target] if many or has_wildcards(source) else [target]
            if isinstance(command, Copy) and (command.from_ or command.parents):
                is_file = any(_is_plain(node) for node in self._written.get(target, ()))
                if is_file and not inside and not command.parents:
                    self._leaf(target)  # only a file becomes a file
                else:
                    self._alike_below(target)
            else:
                self._taken(command, source, target, inside=inside)

    def _taken(self, command: Copy | Add, source: str, target: str, *, inside: bool) -> None:
        """What is taken of the context is known name by name."""
        for path in sources.matches(self._context, source):
            followed = resolve(self._context, path)
            node = self._context.lookup(followed)
            if node is None:
                raise Dependent(f"'{path}' is not in the context")
            if isinstance(command, Add) and command.unpack is not False and _is_archive(node):
                self._alike_below(target)
            elif node.is_directory:
                self._taken_below(followed, target)
            else:
                self._leaf(joined(target, path.rpartition("/")[2]) if inside else target)

    def _taken_below(self, folder: str, target: str) -> None:
        pending = [(folder, target)]
        while pending:
            folder, target = pending.pop()
            self._note(target)
            for name in self._context.names(folder):
                path, below = joined(folder, name), joined(target, name)
                if _is_folder(self._context.lookup(path)):
                    pending.append((path, below))
                else:
                    self._leaf(below)

    def _check_layers(self) -> None:
        """What the layers hold was asked for, too; and where one COPY wrote over another, the links of the first."""
        for path, nodes in self._written.items():
            name = path.rpartition("/")[2]
            if name == OPAQUE or name.startswith(WHITEOUT):
                raise Dependent(f"its layers take '/{path}' of the base away")
            if path in self._leaves:
                self._leaf(path)
            else:
                self._note(path)
            over = [target for target in self._destinations if not target or path.startswith(f"{target}/")]
            if len(over) > 1 and any(node.kind is Kind.SYMLINK for node in nodes):
                for followed in self._resolved(path):
                    self._alike_below(followed)

    def _accounts(self) -> None:
        for name in _ACCOUNTS:
            for path in self._resolved(name):
                if len({content_of(base.lookup(path)) for base in self._bases}) > 1:
                    raise Dependent(f"names users, and '/{path}' of the bases differs", hint="name them by number")

    def _resolved(self, path: str) -> set[str]:
        """Where a path leads, in each state of the image; all that was looked at is noted."""
        paths = {resolve(view, path) for view in self._views}
        for resolved_path in paths:
            self._note(parent(resolved_path))
        return paths

    def _note(self, path: str) -> None:
        """Note a name and the folders it lies in."""
        while path:
            for noted in self._noted:
                noted.add(path)
            path = parent(path)

    def _leaf(self, path: str) -> None:
        """A name where something else than a folder was written: what was there does not matter, but for its kind."""
        self._note(parent(path))
        old, new = (base.lookup(path) for base in self._bases)
        if old == new:
            return
        here = self._written.get(path)
        if here is None:
            raise Dependent(f"'/{path}' is in the base as it is copied, and differs")
        if any(node is not None and not _is_plain(node) for node in (old, new)):
            raise Dependent(f"'/{path}' is something else in the other base")
        if new is not None and any(_likeness(node) == _likeness(new) for node in here):
            raise Dependent(f"'/{path}' may be in the new base already")

    def _alike_below(self, path: str) -> None:
        """Everything at a name and below it has to be the same in both bases."""
        self._note(parent(path))
        old, new = self._bases
        pending = [path]
        while pending:
            here = pending.pop()
            if as_repeated(old.lookup(here), self._epoch) != as_repeated(new.lookup(here), self._epoch):
                raise Dependent(
                    f"'/{here}' of the bases differs, and may decide what is written to '/{path}'",
                    hint="name the file in the destination, or a folder that the base does not have",
                )
            pending.extend(joined(here, name) for name in {*old.names(here), *new.names(here)})

    def _check_noted(self) -> None:
        for path in sorted(self._noted[0] | self._noted[1]):
            old, new = (as_repeated(base.lookup(path), self._epoch) for base in self._bases)
            if old != new and path not in self._leaves:
                raise Dependent(f"'/{path}' of the bases differs")


class _Noting:
    """A Tree that notes what it is asked for."""

    def __init__(self, below: Tree, noted: set[str]) -> None:
        self._below = below
        self._noted = noted

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        if path:
            self._noted.add(path)
        return self._below.lookup(path)

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        return self._below.names(path)


def _views(base: Tree, own: OwnLayers, noted: set[str]) -> Iterator[Tree]:
    """The image as each of its instructions may have found it: the base, then with one layer more at a time."""
    view: Tree = _Noting(base, noted)
    yield view
    for layer in own:
        over = Overlay(view)
        for path, node in layer:
            over.put(path, node)
        view = over
        yield view
    noted.clear()  # building the views asked, too


def _is_folder(node: Node | None) -> bool:
    return node is not None and node.is_directory


def _is_plain(node: Node) -> bool:
    return node.kind is Kind.FILE


def _is_archive(node: Node) -> bool:
    content = node.content
    return content is not None and TarContents(content.open, content.key, content.origin).is_archive()


def _likeness(node: Node) -> tuple[object, ...]:
    """By what an engine may take two files for the same."""
    return node.kind, node.mode, node.uid, node.gid, size_of(node)
