"""What a Dockerfile takes of its contexts, without making the image: what a build system asks before it decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from multiarch_oci.dockerfile.instructions import Add, Arg, Command, Copy, Env, Run
from multiarch_oci.engine import BuildPlan, GivenFile, NamedContext
from multiarch_oci.engine.frontend import ContextFile, ContextInputs, NamedInputs, covering, sources
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.recipe import PATH, Recipe, Scope, environment
from multiarch_oci.engine.frontend.tree import Tree, joined, resolve
from multiarch_oci.errors import MultiarchError
from multiarch_oci.ignorefile import IgnoreFile
from multiarch_oci.layer import Kind
from multiarch_oci.wildcard import has_wildcards


def taken(recipe: Recipe, plan: BuildPlan) -> Iterator[tuple[Scope, Command]]:
    """The instructions of the needed stages, with their scope as it is there; variables replaced where files are named.

    The variables of a base are known as far as the plan says them (`Base.env`). Raises InvalidDockerfile.
    """
    known = {(base.name, base.platform): base.env for base in plan.bases}
    scopes: dict[int, Scope] = {}
    for number in recipe.needed:
        planned = recipe.stages[number]
        if planned.below is not None:
            variables = scopes[planned.below].variables
        else:
            variables = {} if planned.platform.os == "windows" else {"PATH": PATH}
            variables |= environment(known.get((planned.base, planned.platform), ()))
        scopes[number] = Scope(recipe, variables, planned.platform.os)
        for command in recipe.commands(number):
            yield (
                scopes[number],
                scopes[number].take(command) if isinstance(command, Arg | Env | Copy | Add) else command,
            )


class NotGiven(MultiarchError):
    """What a Dockerfile takes of a stage that was replaced, and that is not among what stands in its place."""

    @classmethod
    def of(
        cls, lacking: Mapping[str, Iterable[str]], given: Mapping[str, tuple[GivenFile, ...]], *, where: str
    ) -> NotGiven:
        """The error for these paths, by stage, beside what there is."""
        what = "; ".join(
            f"stage '{stage}' is replaced by stages=, which does not give {', '.join(paths)}"
            for stage, paths in lacking.items()
        )
        paths = {stage: ", ".join(f"/{file.path}" for file in files) or "nothing" for stage, files in given.items()}
        hint = "; ".join(f"add the files to stages= (of '{stage}' it gives {names})" for stage, names in paths.items())
        if any(path.endswith((".crt", ".pem")) or path == _AUTHORITIES for paths in lacking.values() for path in paths):
            hint += "; CA certificates are scons_multiarch.CA_CERTIFICATES"
        if any(path.startswith("/usr/share/zoneinfo") for paths in lacking.values() for path in paths):
            hint += "; time zones are scons_multiarch.ZONEINFO"
        return cls(what, where=where, hint=hint)


_AUTHORITIES = "/etc/ssl/certs"
Opened = tuple[Context, IgnoreFile | None]


class Taking(msgspec.Struct, frozen=True):
    """An instruction of a stage that the target needs, and the files that it takes of each context (None: the plan's).

    `variables` are the stage's behind it; `trigger` says that it is one of ONBUILD.
    """

    stage: int
    command: Command
    trigger: bool
    variables: Mapping[str, str]
    files: tuple[tuple[NamedContext | None, tuple[ContextFile, ...]], ...]


def instructions(recipe: Recipe, plan: BuildPlan, opened: Callable[[NamedContext | None], Opened]) -> Iterator[Taking]:
    """All instructions that the target needs, stage by stage. Raises MultiarchError for a Dockerfile that is wrong."""
    numbers = ((number, position) for number in recipe.needed for position in range(len(recipe.commands(number))))
    for (number, position), (scope, command) in zip(numbers, taken(recipe, plan), strict=True):
        by_context: dict[NamedContext | None, dict[str, None]] = {}
        for context, pattern in _taken_by(recipe, scope, command):
            by_context.setdefault(context, {})[pattern] = None
        files = tuple((context, _inputs(patterns, *opened(context)).files) for context, patterns in by_context.items())
        trigger = position < len(recipe.triggers.get(number, ()))
        yield Taking(number, command, trigger, dict(scope.variables), files)


def context_inputs(
    recipe: Recipe,
    plan: BuildPlan,
    opened: Callable[[NamedContext | None], Opened],
    before: ContextInputs | None = None,
) -> ContextInputs:
    """What the recipe takes of its contexts, of which None is the one without a name.

    `before` was found a moment ago for the same plan with other bases: what is taken by the same patterns is not looked
    for again. Raises MultiarchError for a Dockerfile that is wrong.
    """
    by_context: dict[NamedContext | None, dict[str, None]] = {None: {}}
    for context, pattern in _patterns(recipe, plan):
        by_context.setdefault(context, {})[pattern] = None
    named = tuple(
        NamedInputs(used_context, _inputs(by_context[used_context], *opened(used_context)))
        for used_context in recipe.used
        if used_context.has_files and used_context in by_context
    )
    is_known = before is not None and tuple(by_context[None]) == before.patterns
    unnamed = before if before is not None and is_known else _inputs(by_context[None], *opened(None))
    return replace(unnamed, bases=recipe.bases(), contexts=recipe.used, named=named)


def check_answered(recipe: Recipe, plan: BuildPlan, opened: Callable[[NamedContext | None], Opened]) -> None:
    """Raise NotGiven for all that is taken of given files, in the place of stages, and that they do not have."""
    lacking: dict[str, dict[str, None]] = {}
    given: dict[str, tuple[GivenFile, ...]] = {}
    first = 0
    for scope, command in taken(recipe, plan):
        for context, pattern in _taken_by(recipe, scope, command):
            if context is None or context.files is None or _gives(opened(context)[0], context.files, pattern):
                continue
            first = first or command.line
            given[context.name] = context.files
            lacking.setdefault(context.name, {})[f"/{pattern}"] = None
    if lacking:
        raise NotGiven.of(lacking, given, where=recipe.where(first))


def _gives(tree: Tree, files: tuple[GivenFile, ...], pattern: str) -> bool:
    """Whether given files have what a pattern names, or will have it once it is made."""
    if not has_wildcards(pattern):
        below = f"{pattern}/" if pattern else ""
        return covering(files, pattern) is not None or not pattern or any(file.path.startswith(below) for file in files)
    return bool(matching(tree, pattern))


def _inputs(patterns: Iterable[str], context: Context, ignore: IgnoreFile | None) -> ContextInputs:
    files: dict[str, ContextFile] = {}
    missing = []
    for pattern in patterns:
        is_there = False
        for path in matching(context, pattern):
            is_there = _collect(context, path, files) or is_there
        if not is_there and not has_wildcards(pattern):
            missing.append(pattern)
    ordered = tuple(files[path] for path in sorted(files))
    return ContextInputs(ordered, tuple(patterns), tuple(missing), (), ignore)


def _patterns(recipe: Recipe, plan: BuildPlan) -> Iterator[tuple[NamedContext | None, str]]:
    for number in recipe.whole:
        folder = recipe.stages[number].folder
        if folder is not None:
            yield folder, ""
    for scope, command in taken(recipe, plan):
        yield from _taken_by(recipe, scope, command)


def _taken_by(recipe: Recipe, scope: Scope, command: Command) -> Iterator[tuple[NamedContext | None, str]]:
    for name, path in _sources(scope, command):
        folder = recipe.folder(recipe.origin(name, command)) if name else None
        if folder is not None or not name:
            yield folder, sources.cleaned(path)


def _sources(scope: Scope, command: Command) -> Iterator[tuple[str, str]]:
    """What an instruction takes, and from where; "" is the context."""
    if isinstance(command, Run):
        for mount in scope.mounts(command):
            if mount.from_ or mount.type == "bind":
                yield mount.from_, mount.source
    elif isinstance(command, Add):
        yield from (("", path) for path in scope.paths(command) if not sources.is_remote(path))
    elif isinstance(command, Copy):
        for path in scope.paths(command):
            yield command.from_, path.replace("/./", "/") if command.parents else path


def matching(context: Tree, pattern: str) -> tuple[str, ...]:
    """The paths that one of `ContextInputs.patterns` means; a lone name is returned unasked."""
    if "**" in pattern:  # COPY --parents alone knows it: everything below its fixed part may be meant
        return (sources.split(pattern)[0],)
    try:
        return sources.matches(context, pattern)
    except (MultiarchError, ValueError):
        return ()


def _collect(context: Context, path: str, files: dict[str, ContextFile]) -> bool:
    """Note a path and what is below it, and the link that it is; False when there is nothing."""
    try:
        followed = resolve(context, path)
    except MultiarchError:
        return _note_unusable(path, files)
    if followed != path:
        files[path] = ContextFile(path, Kind.SYMLINK.name, target=followed)
    pending = [followed]
    is_there = False
    while pending:
        here = pending.pop()
        if here in files:
            is_there = True
            continue
        try:
            node = context.lookup(here)
            names = () if node is None else context.names(here)
        except MultiarchError:
            is_there = _note_unusable(here, files)
            continue
        if node is not None:
            files[here] = ContextFile(
                here, node.kind.name, node.kind is Kind.FILE and bool(node.mode & 0o100), node.target
            )
            is_there = True
        pending.extend(joined(here, name) for name in names)
    return is_there


def _note_unusable(path: str, files: dict[str, ContextFile]) -> bool:
    """A pipe, a loop of links, an unreadable folder: the build says what is wrong, but a change of it counts."""
    files[path] = ContextFile(path, Kind.WHITEOUT.name)
    return True
