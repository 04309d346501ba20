"""Exactly what a Dockerfile takes of its context, as a folder for a command line, or as a tar for an API.

Modes are normalised as everywhere (behaviour, section 5). In the folder a file's time stands for its content: an engine
that sends only what changed goes by size and time, and times are cut to the image's one time stamp afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from multiarch_oci.digest import BLOCK
from multiarch_oci.engine import BuildPlan
from multiarch_oci.engine.external.marks import Marks
from multiarch_oci.engine.external.pinning import INSIDE, pinned, reference_of, replacing_stages
from multiarch_oci.engine.frontend import ContextInputs
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.fingerprint import apart_from
from multiarch_oci.engine.frontend.inputs import matching
from multiarch_oci.engine.frontend.reader import Reader, Settled
from multiarch_oci.engine.frontend.stages import SCRATCH
from multiarch_oci.engine.frontend.tree import ROOT, CannotCopy, Node, Tree, joined, resolve
from multiarch_oci.layer import Kind
from multiarch_oci.tarheader import DIRECTORY, END, FILE, SYMLINK, Header, padding

_TIMES = 1 << 28  # seconds after the time stamp, some eight years: what a file's time is taken from
DOCKERFILE = "Dockerfile.multiarch"
IGNORE = ".dockerignore"


class Staged(msgspec.Struct, frozen=True):
    """A folder of its own with the context in it, and the pinned Dockerfile beside it; `scratch` is for outputs.

    `made_from` is a digest over all that the image is made from but its base, taken before anything was copied. `named`
    are the folders of named contexts, by name.
    """

    context: Path
    dockerfile: Path
    scratch: Path
    made_from: str
    named: Mapping[str, Path]

    @property
    def ignore(self) -> Path:
        """An ignore file that leaves nothing out, where BuildKit looks before it takes the context's own."""
        return self.dockerfile.with_name(f"{self.dockerfile.name}{IGNORE}")


def nodes(settled: Settled, reader: Reader) -> Mapping[str, Node]:
    """Everything that the Dockerfile takes, by path, folders before what is in them; CannotCopy for what is missing."""
    return _nodes(settled, reader.context(settled.plan), reader.inputs(settled.plan), "the context")


def _nodes(settled: Settled, context: Context, reached: ContextInputs, context_name: str) -> Mapping[str, Node]:
    noted = _Noted(context)
    if reached.missing:
        path = reached.missing[0]
        hint = context.absence(path) or "is it built?"
        raise CannotCopy(f"'{path}' is not in {context_name}", where=settled.recipe.name, hint=hint)
    for pattern in reached.patterns:
        for path in matching(noted, pattern):
            _walk(noted, resolve(noted, path))
    return dict(sorted(noted.nodes.items()))


@contextmanager
def staged(settled: Settled, reader: Reader, marks: Marks | None = None, *, inside: bool = False) -> Iterator[Staged]:
    """Context and Dockerfile on disk, `marks` in it, gone at the end. Raises CannotCopy, ContentChanged, OSError.

    With `inside` what stands in the place of stages lies in the folder INSIDE of the context.
    """
    first, plan = settled.recipe.base_stage, settled.plan
    reached = reader.inputs(plan)
    made_from = apart_from(plan, reached, first.base, first.platform)
    files = nodes(settled, reader)
    used = {context.name: context for context in reached.contexts}
    named = {
        context.name: _nodes(
            settled, reader.context(plan, used[context.name]), context.inputs, f"context '{context.name}'"
        )
        for context in reached.named
        if not inside or context.context not in replacing_stages(settled.recipe)
    }
    with tempfile.TemporaryDirectory(prefix="multiarch-", ignore_cleanup_errors=True) as folder:
        folders = {name: Path(folder, f"context-{number}") for number, name in enumerate(named, 1)}
        there = Staged(Path(folder, "context"), Path(folder, DOCKERFILE), Path(folder, "scratch"), made_from, folders)
        there.scratch.mkdir()
        there.dockerfile.write_bytes(pinned(plan.read(), settled, marks, inside=inside))
        there.ignore.write_text("# nothing: what is left out is not here\n", encoding="utf-8")
        _fill(there.context, {**files, **(dict(_inside(settled, reader)) if inside else {})}, plan)
        for name, target in folders.items():
            _fill(target, named[name], plan)
        yield there


def _fill(target: Path, nodes: Mapping[str, Node], plan: BuildPlan) -> None:
    target.mkdir()
    for path, node in nodes.items():
        _write(target / path, node, plan)
    for path, node in reversed(list(nodes.items())):
        if node.is_directory:
            os.utime(target / path, (plan.epoch, plan.epoch))


def context_flags(settled: Settled, there: Staged) -> list[str]:
    """The flags for named contexts: folders as they are staged, images that no text of ours can name by digest."""
    flags = locked_flags(settled)
    for name, folder in there.named.items():
        flags += ["--build-context", f"{name}={folder}"]
    return flags


def locked_flags(settled: Settled) -> list[str]:
    """The flags with which `ONBUILD COPY --from=image` of a base takes the digest of `images.lock`, not the tag."""
    recipe = settled.recipe
    names = {
        name: origin
        for number in recipe.needed
        for command in recipe.triggers.get(number, ())
        for name, origin in recipe.origins(command)
        if isinstance(origin, str) and origin != SCRATCH
    }
    flags = []
    for name, origin in names.items():
        flags += ["--build-context", f"{name}=docker-image://{reference_of(origin, settled)}"]
    return flags


def write_context(settled: Settled, reader: Reader, sink: BinaryIO, marks: Marks | None = None) -> None:
    """The context as a tar, equal for equal files, the pinned Dockerfile in it as DOCKERFILE.

    A .dockerignore beside it names both, so that a COPY of everything takes neither. What stands in the place of stages
    lies in the folder INSIDE.
    """
    content = pinned(settled.plan.read(), settled, marks, inside=True)
    epoch = settled.plan.epoch
    files = nodes(settled, reader)
    for name, text in ((DOCKERFILE, content), (IGNORE, f"{DOCKERFILE}\n{IGNORE}\n".encode())):
        sink.write(Header(name, FILE, 0o644, 0, 0, len(text), epoch).to_bytes())
        sink.write(text + padding(len(text)))
    for path, node in files.items():
        if path not in (DOCKERFILE, IGNORE):
            _member(path, node, sink, epoch)
    for path, node in _inside(settled, reader):
        _member(path, node, sink, epoch)
    sink.write(END)


def _inside(settled: Settled, reader: Reader) -> Iterator[tuple[str, Node]]:
    """What stands in the place of stages, each below a folder of its number."""
    recipe, plan = settled.recipe, settled.plan
    taken = {named.context: named.inputs for named in reader.inputs(plan).named}
    for number in recipe.needed:
        context = recipe.stages[number].folder
        if context is None or context.files is None or not recipe.stages[number].replaced:
            continue
        top = f"{INSIDE}/{number}"
        yield top, ROOT
        if context in taken:
            given = _nodes(settled, reader.context(plan, context), taken[context], f"stage '{context.name}'")
            yield from ((f"{top}/{path}", node) for path, node in given.items())


def _member(path: str, node: Node, sink: BinaryIO, epoch: int) -> None:
    if node.is_directory:
        sink.write(Header(f"{path}/", DIRECTORY, node.mode, 0, 0, 0, epoch).to_bytes())
    elif node.kind is Kind.SYMLINK:
        sink.write(Header(path, SYMLINK, node.mode, 0, 0, 0, epoch, node.target).to_bytes())
    elif node.content is not None:
        sink.write(Header(path, FILE, node.mode, 0, 0, node.content.size, epoch).to_bytes())
        with node.content.open() as stream:
            shutil.copyfileobj(stream, sink, BLOCK)
        sink.write(padding(node.content.size))


def _write(target: Path, node: Node, plan: BuildPlan) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if node.is_directory:
        target.mkdir(exist_ok=True)
        target.chmod(node.mode)
    elif node.kind is Kind.SYMLINK:
        target.symlink_to(node.target)
    elif node.content is not None:
        with node.content.open() as stream, target.open("wb") as sink:
            shutil.copyfileobj(stream, sink, BLOCK)
        target.chmod(node.mode)
        time = plan.epoch + 1 + int(node.content.key()[:16], 16) % _TIMES
        os.utime(target, (time, time))


class _Noted:
    """A Tree that remembers what it was asked for, and had."""

    def __init__(self, below: Tree) -> None:
        self._below = below
        self.nodes: dict[str, Node] = {}

    def lookup(self, path: str) -> Node | None:
        """As Tree says."""
        node = self._below.lookup(path)
        if node is not None and path:
            self.nodes[path] = node
        return node

    def names(self, path: str) -> tuple[str, ...]:
        """As Tree says."""
        return self._below.names(path)


def _walk(tree: Tree, top: str) -> None:
    pending = [top]
    while pending:
        here = pending.pop()
        node = tree.lookup(here)
        if node is not None and node.is_directory:
            pending.extend(joined(here, name) for name in tree.names(here))
