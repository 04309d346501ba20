"""One build: the stages of a recipe executed in order, up to the config and tree of the target. Nothing is written."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
from msgspec.structs import replace

from multiarch_oci import windows
from multiarch_oci.config import ImageConfig
from multiarch_oci.dockerfile.instructions import Add, Cmd, Command, Copy, Run, Workdir
from multiarch_oci.engine import NamedContext, UnsupportedInstruction
from multiarch_oci.engine.embedded import ownership
from multiarch_oci.engine.embedded.configuring import begun, executed, is_root, recorded
from multiarch_oci.engine.embedded.copying import CopyOptions, InlineTree, copy
from multiarch_oci.engine.embedded.layertree import BaseTree
from multiarch_oci.engine.embedded.ownership import Chmod
from multiarch_oci.engine.embedded.unpacking import unpack
from multiarch_oci.engine.frontend import sources
from multiarch_oci.engine.frontend.bases import BaseImage, check_platform
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.given import GivenContext
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.engine.frontend.recipe import Scope, environment
from multiarch_oci.engine.frontend.stages import SCRATCH, PlannedStage
from multiarch_oci.engine.frontend.tree import CannotCopy, LayerNames, Node, Overlay, Tree, joined, resolve
from multiarch_oci.errors import MultiarchError
from multiarch_oci.ignorefile import IgnoreFile
from multiarch_oci.platform import Platform
from multiarch_oci.wildcard import has_wildcards

OpenContext = Callable[["NamedContext | None"], Context]
OTHERS = "ENGINE=buildx, podman or docker (engine= of env.Image)"


class Stage(msgspec.Struct):
    """A stage while it is executed, and after: `layers` are its own, each its paths and what is there."""

    config: ImageConfig
    tree: Overlay
    scope: Scope
    base: BaseImage | None
    layers: tuple[LayerNames, ...] = ()
    cmd_is_set: bool = False

    def own(self) -> Mapping[str, Node]:
        """What the stage's own layers leave, by path: a name of an earlier one may be gone in a later one."""
        merged = Overlay()
        for layer in self.layers:
            for path, node in layer:
                merged.put(path, node)
        return merged.changes

    def whole(self) -> Tree:
        """All files of the stage, those of its base too, whose layers are read now; raises what that raises."""
        _settle(self.tree)
        return self.tree


def unsupported(command: Command, where: str) -> UnsupportedInstruction | None:
    """Why the engine cannot execute an instruction (variables replaced); None = it can."""
    if isinstance(command, Run):
        return UnsupportedInstruction(
            "the embedded engine cannot execute RUN",
            where=where,
            hint=f"use {OTHERS}; or make the file with env.Command and COPY it",
        )
    if isinstance(command, Add) and any(sources.is_remote(source) for source in command.sources):
        source = next(source for source in command.sources if sources.is_remote(source))
        return UnsupportedInstruction(
            f"the embedded engine cannot fetch '{source}'",
            where=where,
            hint=f"use {OTHERS}; or fetch it with env.Command and COPY it",
        )
    return None


class Builder:
    """Executes the stages that the target of a recipe needs."""

    def __init__(self, settled: Settled, context: OpenContext, warn: Callable[[str], None]) -> None:
        self._plan = settled.plan
        self._warn = warn
        self._recipe = settled.recipe
        self._open = context
        self._context = context(None)
        self._folders: dict[str, Context] = {}
        self._images = settled.images
        self._stages: dict[int, Stage] = {}
        self._trees: dict[tuple[str, Platform], BaseTree] = {}

    def target(self) -> Stage:
        """Execute; raises MultiarchError with the line at fault."""
        for number in self._recipe.whole:
            self._stages[number] = self._executed(number)
        return self._stages[self._recipe.target]

    def _executed(self, number: int) -> Stage:
        planned = self._recipe.stages[number]
        stage = self._begun(planned)
        for command in self._recipe.commands(number):
            where = self._recipe.where(command.line)
            taken = stage.scope.take(command)
            reason = unsupported(taken, where)
            if reason is not None:
                raise reason
            with _placed(where, type(command).__name__.upper()):
                self._execute(stage, taken)
        return stage

    def _begun(self, planned: PlannedStage) -> Stage:
        if planned.below is not None:
            below = self._stages[planned.below]
            stage = Stage(replace(below.config, on_build=()), below.tree, below.scope, below.base, below.layers)
        elif planned.on_image:
            stage = self._on_image(planned)
        elif planned.folder is not None:
            stage = self._on_folder(planned.folder, planned)
        else:
            config = ImageConfig(self._plan.platform, working_dir="/")
            stage = Stage(config, Overlay(), Scope(self._recipe, {}, config.platform.os), None)
        config = stage.config if planned.replaced else begun(stage.config)  # as BuildKit: it is what the context is
        scope = Scope(self._recipe, stage.scope.variables | environment(config.env), config.platform.os)
        return replace(stage, config=config, scope=scope)

    def _on_image(self, planned: PlannedStage) -> Stage:
        image = self._images[planned.base, planned.platform]
        where = self._recipe.where(planned.stage.line)
        check_platform(planned.base, image.config.platform, planned.platform, where=where)
        config = replace(image.config, on_build=())
        system = config.platform.os
        return Stage(
            config, Overlay(self._files(planned.base, planned.platform)), Scope(self._recipe, {}, system), image
        )

    def _on_folder(self, context: NamedContext, planned: PlannedStage) -> Stage:
        """The files of a folder as one layer, over nothing."""
        layer = Overlay()
        with _placed(self._recipe.where(planned.stage.line), "FROM"):
            copy(self._folder(context), "", layer, "/", CopyOptions())
        config = recorded(
            ImageConfig(planned.platform, working_dir="/"), f"FROM {context.name}", self._plan.epoch, layer=True
        )
        stage = Stage(config, Overlay(), Scope(self._recipe, {}, config.platform.os), None)
        _keep(stage, layer)
        return stage

    def _folder(self, context: NamedContext) -> Context:
        if context.name not in self._folders:
            self._folders[context.name] = self._open(context)
        return self._folders[context.name]

    def _execute(self, stage: Stage, command: Command) -> None:
        if isinstance(command, Copy | Add):
            self._copy(stage, command)
            return
        stage.config, line = executed(command, stage.config, cmd_is_set=stage.cmd_is_set)
        written = isinstance(command, Workdir) and self._make_workdir(stage)
        stage.cmd_is_set = stage.cmd_is_set or isinstance(command, Cmd)
        if line is not None:
            stage.config = recorded(stage.config, line, self._plan.epoch, layer=written)

    def _make_workdir(self, stage: Stage) -> bool:
        """Make the working directory where it is not there, for the present user; whether that is a layer."""
        config = stage.config
        if is_root(config):
            return False
        path = windows.normalise(config.working_dir) if _on_windows(config) else config.working_dir
        layer = Overlay(stage.tree)
        target = resolve(layer, path)
        there = layer.lookup(target)
        if there is None:
            layer.make_directories(target, owner=self._user(stage))
        elif not there.is_directory:
            raise CannotCopy(f"'/{target}' in the image is a {there.kind.value}, not a folder")
        _keep(stage, layer)
        return True

    def _user(self, stage: Stage) -> tuple[int, int]:
        if not stage.config.user or _on_windows(stage.config):
            return 0, 0
        try:
            return ownership.owner(stage.config.user, stage.tree)
        except CannotCopy:  # as BuildKit: the folder is root's when nobody knows the user
            return 0, 0

    def _copy(self, stage: Stage, command: Copy | Add) -> None:
        _check(command)
        options = self._options(stage, command)
        destination = destination_of(stage.config, command.destination)
        # As BuildKit: a linked layer is made without knowing what is below, then laid over it; with --chmod it is not.
        linked = command.link and not command.chmod
        layer = Overlay(None if linked else stage.tree)
        if command.sources:
            tree, origin_name = self._origin(command)
            for source in stage.scope.paths(command):
                self._copy_source(command, (tree, origin_name, source), layer, destination, options)
        for file in command.contents:
            copy(InlineTree(file.path, file.content), file.path, layer, destination, options)
        _keep(stage, layer.over(stage.tree) if linked else layer)
        stage.config = recorded(stage.config, line_of(command), self._plan.epoch, layer=True)

    def _copy_source(
        self, command: Copy | Add, origin: tuple[Tree, str, str], layer: Overlay, destination: str, options: CopyOptions
    ) -> None:
        tree, origin_name, source = origin
        if isinstance(command, Copy) and command.parents:
            root, options = self._with_parents(tree, origin_name, source, options)
            for path in self._matches(tree, origin_name, root):
                copy(tree, path, layer, destination, options)
            return
        for path in self._matches(tree, origin_name, source):
            node = tree.lookup(resolve(tree, path))
            if node is None:
                raise _missing(tree, origin_name, source, path)
            unpacks = isinstance(command, Add) and command.unpack is not False
            if not unpacks or not unpack(node, layer, destination, options, self._warn_of(command)):
                copy(tree, path, layer, destination, options)

    def _warn_of(self, command: Command) -> Callable[[str], None]:
        where = self._recipe.where(command.line)
        return lambda words: self._warn(f"{where}: {words}")

    def _matches(self, tree: Tree, origin_name: str, source: str) -> tuple[str, ...]:
        """The paths that a source means; what stands in front of its wildcards must be there."""
        fixed, pattern = sources.split(sources.cleaned(source))
        if pattern and tree.lookup(resolve(tree, fixed)) is None:
            raise _missing(tree, origin_name, source, fixed)
        try:
            return sources.matches(tree, source)
        except ValueError:
            raise CannotCopy(f"'{source}' is not a valid pattern") from None

    def _with_parents(self, tree: Tree, origin_name: str, source: str, options: CopyOptions) -> tuple[str, CopyOptions]:
        """The folder below which the path of a source is kept (`COPY --parents`), and what is taken of it."""
        root, pivot, pattern = source.partition("/./")
        if not pivot:
            root, pattern = "", source
        root, pattern = sources.cleaned(root), sources.cleaned(pattern)
        if not pattern:  # BuildKit does not find it in the context, and takes nothing of a stage or image
            raise CannotCopy(
                f"'{source}' names nothing whose path could be kept", hint="write *, or leave out --parents"
            )
        # Links are followed in front of the pivot alone.
        if not has_wildcards(root):
            folder = resolve(tree, root)
            named = not has_wildcards(pattern)
            if tree.lookup(folder) is None or (named and tree.lookup(joined(folder, pattern)) is None):
                raise _missing(tree, origin_name, source, joined(root, pattern))
        return root, replace(options, include=IgnoreFile.of((pattern,), name="--parents"))

    def _origin(self, command: Copy | Add) -> tuple[Tree, str]:
        """The tree that a COPY reads from, and what to call it."""
        if isinstance(command, Add) or not command.from_:
            return self._context, "the context"
        origin = self._recipe.origin(command.from_, command)
        if isinstance(origin, NamedContext):
            return self._folder(origin), f"{'context' if origin.files is None else 'stage'} '{origin.name}'"
        if isinstance(origin, int):
            tree = self._stages[origin].tree
            _settle(tree)
            return tree, f"stage '{command.from_}'"
        if origin == SCRATCH:
            return Overlay(), SCRATCH
        platform = self._recipe.platform
        image = self._images[origin, platform]
        check_platform(origin, image.config.platform, platform, where=self._recipe.where(command.line))
        whole = self._files(origin, platform)
        whole.settle()
        return whole, f"image {origin}"

    def _files(self, name: str, platform: Platform) -> BaseTree:
        """The files of a base: one tree an image, so that its layers are read once."""
        return self._trees.setdefault((name, platform), BaseTree(self._images[name, platform]))

    def _options(self, stage: Stage, command: Copy | Add) -> CopyOptions:
        owner = None
        if command.link and ownership.by_name(command.chown):
            raise CannotCopy(f"--chown={command.chown} with --link needs numbers", hint="write uid:gid")
        if command.chown and not _on_windows(stage.config):
            owner = ownership.owner(command.chown, stage.tree)
        chmod = Chmod.parse(command.chmod) if command.chmod else None
        exclude = IgnoreFile.of(command.exclude, name="--exclude") if command.exclude else None
        return CopyOptions(owner, chmod, None, exclude)


def _missing(tree: Tree, origin_name: str, source: str, path: str) -> CannotCopy:
    hint = "is it built? paths are relative to the project" if origin_name == "the context" else None
    if isinstance(tree, GivenContext):
        hint = "is it built?"
    elif isinstance(tree, Context):
        hint = tree.absence(path) or hint or f"paths are relative to '{tree.folder}'"
    return CannotCopy(f"'{source}' is not in {origin_name}", hint=hint)


def _check(command: Copy | Add) -> None:
    """Raise CannotCopy for what BuildKit refuses of what is fetched: COPY does not, and only that has a checksum."""
    if isinstance(command, Add):
        if command.checksum:
            raise CannotCopy("--checksum is for what is fetched", hint="leave it out: this source is a local file")
        return
    for source in command.sources:
        if sources.is_remote(source):
            raise CannotCopy(f"'{source}' is not a path", hint="ADD fetches, COPY does not")


def _keep(stage: Stage, layer: Overlay) -> None:
    """Make what was written a layer of the stage; as with BuildKit also when that is nothing."""
    stage.layers = (*stage.layers, layer.layer())
    stage.tree = layer


def _settle(tree: Tree | None) -> None:
    """Let everything below answer exactly: what is copied from must be known as a whole."""
    while isinstance(tree, Overlay):
        tree = tree.lower
    if isinstance(tree, BaseTree):
        tree.settle()


def _on_windows(config: ImageConfig) -> bool:
    return config.platform.os == "windows"


def destination_of(config: ImageConfig, text: str) -> str:
    """A destination as a path below the image's root, the `/` (or `/.`) at its end kept, as it says: a folder."""
    plain = text
    if _on_windows(config):
        plain = text.replace("\\", "/")
        inside = windows.normalise(sources.windows_below(config.working_dir, text))
    else:
        inside = posixpath.normpath(f"/{posixpath.join(config.working_dir or '/', text)}").strip("/")
    return f"{inside}/" if plain.endswith(("/", "/.")) or plain in ("", ".") else inside


def line_of(command: Copy | Add) -> str:
    """The line of history that BuildKit writes."""
    words = [type(command).__name__.upper()]
    words += ["--parents"] if isinstance(command, Copy) and command.parents else []
    words += [f"--{name}={value}" for name, value in (("chown", command.chown), ("chmod", command.chmod)) if value]
    words += command.sources
    words += [f"<<{file.path}" for file in command.contents]
    return " ".join((*words, command.destination)) + " # buildkit"


@contextmanager
def _placed(where: str, instruction: str) -> Iterator[None]:
    """Say of an error that knows no place, in which line and instruction it happened."""
    try:
        yield
    except MultiarchError as error:
        if error.where is None:
            error.where = where
            if not error.what.startswith(instruction):
                error.what = f"{instruction}: {error.what}"
        raise
