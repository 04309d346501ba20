"""Stages of a Dockerfile that this build replaces: what `stages=` of `env.Image` says, and whether anything is taken.

A stage is called by its name or number. What stands in its place are files at paths of the stage, each a node: what
makes them is made first.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node.FS

from multiarch_oci.engine import BuildPlan, GivenFile, NamedContext
from multiarch_oci.errors import MultiarchError
from scons_multiarch import Provided, paths

if TYPE_CHECKING:
    from multiarch_oci.engine.frontend import ContextInputs
    from multiarch_oci.platform import Platform
    from scons_multiarch.session import Run

_WHERE = "Image: stages"
_EXAMPLE = 'for example stages={"build": "/app"}, or stages={"build": {"/app": node}}'


class InvalidStages(MultiarchError, ValueError):
    """What `stages=` is given and does not take."""


class Stages:
    """What stands in the place of the stages of one image's Dockerfile; `nodes` and `remarks` are what it is made of.

    `contents` are the image's; the only one is its program.
    """

    def __init__(self, env: Any, contents: Sequence[Any], platform: Platform) -> None:
        self.nodes: list[Any] = []
        self.remarks: dict[str, str] = {}
        self._env = env
        self._contents = contents
        self._platform = platform

    def contexts(self, given: Any) -> tuple[NamedContext, ...]:
        """The stages as contexts of files. Raises InvalidStages, NotAPath."""
        stages = paths.for_platform(_WHERE, given, self._platform)
        if not stages:
            return ()
        if not isinstance(stages, Mapping):
            raise InvalidStages(f"{stages!r} is no mapping from stages to files", where=_WHERE, hint=_EXAMPLE)
        return tuple(self._context(stage, value) for stage, value in stages.items())

    def _context(self, stage: Any, value: Any) -> NamedContext:
        from multiarch_oci.engine.frontend.named import canonical

        where = f"{_WHERE}[{stage!r}]"
        files: dict[str, GivenFile] = {}
        for file in self._files(where, paths.for_platform(where, value, self._platform)):
            if file.path in files:
                raise InvalidStages(f"/{file.path} is given twice", where=where, hint="each path stands for one file")
            files[file.path] = file
        name = str(stage)
        if isinstance(stage, int) or name.isdecimal():
            return NamedContext(f"stage-{int(stage)}", files=tuple(files.values()), stage=int(stage))
        try:
            return NamedContext(canonical(name.lower()), files=tuple(files.values()))
        except MultiarchError:
            hint = "say the stage's number instead of its name"
            raise InvalidStages(f"'{name}' cannot name a context", where=where, hint=hint) from None

    def _files(self, where: str, value: Any) -> Iterator[GivenFile]:
        for item in paths.flat(value):
            if isinstance(item, Mapping):
                for path, nodes in item.items():
                    yield from self._at(where, path, list(paths.flat(nodes)))
            elif isinstance(item, str):
                yield from self._at(where, item, [Provided.PROGRAM])
            elif isinstance(item, SCons.Node.FS.Dir):
                yield from self._at(where, "/", [item])
            else:
                raise InvalidStages(f"takes paths of the stage, not {item!r}", where=where, hint=_EXAMPLE)

    def _at(self, where: str, path: Any, nodes: list[Any]) -> Iterator[GivenFile]:
        if not isinstance(path, str):
            raise InvalidStages(f"{path!r} is no path", where=where, hint=_EXAMPLE)
        text = paths.text(self._env, where, path)
        into = text.endswith(("/", "\\"))
        if not nodes or (len(nodes) > 1 and not into):
            what = f"{len(nodes)} files" if nodes else "nothing"
            hint = "a path with / at its end is a folder, and takes several" if nodes else _EXAMPLE
            raise InvalidStages(f"'{text}' is one path, and was given {what}", where=where, hint=hint)
        for item in nodes:  # a lone folder is the path itself, with or without / at its end
            is_folder = item is Provided.ZONEINFO or isinstance(item, SCons.Node.FS.Dir)
            within = into and not (is_folder and len(nodes) == 1)
            yield from self._given(where, self._cleaned(text), item, into=within)

    def _cleaned(self, path: str) -> str:
        if self._platform.os == "windows":
            from multiarch_oci.engine.frontend.sources import windows_slashed

            path = windows_slashed(path)
        return posixpath.normpath(f"/{path}").strip("/")

    def _given(self, where: str, path: str, item: Any, *, into: bool) -> Iterator[GivenFile]:
        """What is given at a path of the stage, or in that folder."""
        if item is Provided.PROGRAM:
            item = self._program(where)
        if not isinstance(item, Provided):
            node = self._node(where, item)
            origin = Path(node.get_abspath())
            yield GivenFile(f"{path}/{origin.name}".lstrip("/") if into else path, origin)
            return
        from multiarch_oci.programimage import WrongPlace, certificates, certificates_at, zone_files_at, zones

        try:
            if item is Provided.CA_CERTIFICATES:
                authorities = certificates()
                self.remarks["certifi"] = authorities.version
                yield GivenFile(certificates_at(path, into=into), authorities.path)
            else:
                times = zones()
                self.remarks["tzdata"] = times.version
                yield from zone_files_at(times, path, into=into)
        except WrongPlace as error:
            raise InvalidStages(error.what, where=where, hint=error.hint) from None

    def _node(self, where: str, item: Any) -> Any:
        """The node of a file or folder; what the project has without making it is taken from where it was written."""
        node = paths.source(self._env, where, item)
        if not node.has_builder() and node.srcnode().rexists():
            node = node.srcnode().rfile()
        if node.has_builder() or isinstance(node, SCons.Node.FS.File):
            self.nodes.append(node)
        return node

    def _program(self, where: str) -> Any:
        files = [node for node in self._contents if isinstance(node, SCons.Node.FS.Base)]
        if len(files) == 1 and len(self._contents) == 1:
            return files[0]
        names = ", ".join(map(paths.shown, self._contents)) or "nothing"
        raise InvalidStages(
            f"the contents of the image are to be one program, and are {names}",
            where=where,
            hint='say which file is where: {"/app": node, "/lib/": [node, node]}',
        )


def unused(run: Run, node: Any, plan: BuildPlan, inputs: ContextInputs) -> str:
    """What to say of a Dockerfile that takes nothing of what this build made for its image; "" when it takes some."""
    contents = [source for source in node.sources if source.has_builder() and isinstance(source, SCons.Node.FS.Base)]
    made = [source for source in contents if Path(source.get_abspath()) != plan.dockerfile]
    others = [child for child in node.children() if child.has_builder() and child not in contents]
    if plan.text or not made or others:
        return ""
    taken = {plan.context / file.path for file in inputs.files}
    for named in inputs.named:
        folder = named.context.folder
        taken |= {file.origin for file in named.context.files or () if file.origin is not None}
        taken |= {folder / file.path for file in named.inputs.files} if folder is not None else set()
    for source in made:
        path = Path(source.get_abspath())
        if path in taken or any(file.is_relative_to(path) for file in taken):
            return ""
    names = ", ".join(map(paths.shown, made))
    ways = f"COPY it from there, or say which file of which stage it is: stages={_likely(run, plan)}"
    return f"{plan.name} takes nothing of what this build made for it ({names}); {ways}"


def _likely(run: Run, plan: BuildPlan) -> str:
    """The argument that replaces the stage from which the Dockerfile copies first."""
    from multiarch_oci.dockerfile.instructions import Copy
    from scons_multiarch.engines import reader

    recipe = reader(run).recipe(plan)
    for command in recipe.commands(recipe.target):
        if isinstance(command, Copy) and command.from_ and command.sources:
            stage = command.from_ if not command.from_.isdecimal() else int(command.from_)
            return str({stage: command.sources[0]}).replace("'", '"')
    return '{"build": "/app"}'
