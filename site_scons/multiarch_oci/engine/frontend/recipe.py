"""A Dockerfile for one plan: its stages, what each stands on, which of them the target needs, and how variables go.

As BuildKit's `dockerfile2llb`: ARGs before FROM are seen by FROM alone (and by an ARG without default); a stage on a
stage inherits its variables; `--from` takes a stage by name or number, anything else is an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Command,
    Copy,
    Env,
    Expose,
    Onbuild,
    Run,
    Stage,
    expanded,
)
from multiarch_oci.dockerfile.mounts import Mount, parse_mount
from multiarch_oci.dockerfile.parser import Dockerfile, parse
from multiarch_oci.dockerfile.shell import expand, expand_heredoc, expand_words
from multiarch_oci.dockerfile.stages import stages
from multiarch_oci.engine import Base, BuildPlan, NamedContext
from multiarch_oci.engine.frontend import BaseWanted
from multiarch_oci.engine.frontend.named import find, replacing
from multiarch_oci.engine.frontend.sources import is_remote, windows_slashed
from multiarch_oci.engine.frontend.stages import (
    SCRATCH,
    Origin,
    PlannedStage,
    check_given,
    check_order,
    check_target,
    named_origin,
    needed_stages,
    origins,
)
from multiarch_oci.platform import Platform

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH that BuildKit gives to an image without one (not on Windows)."""
_NOT_VARIABLES = frozenset(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"])


class Parsed(msgspec.Struct, frozen=True):
    """A Dockerfile as parsed, once for all plans that use it."""

    dockerfile: Dockerfile
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, content: bytes, *, name: str) -> Parsed:
        """Parse; InvalidDockerfile with file and line."""
        dockerfile = parse(content, name=name)
        return cls(dockerfile, *stages(dockerfile))


class Recipe(msgspec.Struct, frozen=True):
    """The stages of a Dockerfile for one plan. `needed` are the numbers of those that the target needs, in order.

    `platform` is the plan's: that of scratch and of the images of `--from=`, whatever a FROM has in `--platform`.
    """

    name: str
    escape: str
    platform: Platform
    variables: Mapping[str, str]
    build_args: Mapping[str, str]
    stages: tuple[PlannedStage, ...]
    target: int
    needed: tuple[int, ...]
    triggers: Mapping[int, tuple[Command, ...]]
    contexts: tuple[NamedContext, ...] = ()

    def where(self, line: int) -> str:
        """File and line, for messages."""
        return f"{self.name}:{line}"

    def commands(self, number: int) -> tuple[Command, ...]:
        """What is to be done in a stage: the ONBUILD triggers of what it stands on, then its instructions."""
        return (*self.triggers.get(number, ()), *self.stages[number].stage.instructions)

    def origin(self, name: str, command: Command) -> Origin:
        """What a `from=` of an instruction names; a stage that a folder replaced is the folder. InvalidDockerfile."""
        flag = "COPY --from=" if isinstance(command, Copy) else "RUN --mount=from="
        origin = named_origin(name, flag, self.stages, self.where(command.line), self.contexts)
        return self.folder(origin) or origin

    def origins(self, command: Command) -> tuple[tuple[str, Origin], ...]:
        """What an instruction reads from, beside the name that stands there: `COPY --from=`, `RUN --mount=from=`."""
        named = origins(command, self.stages, self.where(command.line), self.contexts)
        return tuple((name, self.folder(origin) or origin) for name, origin in named)

    def folder(self, origin: Origin) -> NamedContext | None:
        """The folder that an origin is: a context, or a stage that was replaced by one."""
        if isinstance(origin, int):
            return self.stages[origin].folder if self.stages[origin].replaced else None
        return origin if isinstance(origin, NamedContext) else None

    @property
    def whole(self) -> tuple[int, ...]:
        """The numbers of the needed stages that are not merely folders to copy from."""
        below = {self.stages[number].below for number in self.needed} | {self.target}
        return tuple(number for number in self.needed if number in below or self.folder(number) is None)

    @property
    def used(self) -> tuple[NamedContext, ...]:
        """The named contexts that the target needs, sorted."""
        contexts = {context for number in self.needed if (context := self.stages[number].context) is not None}
        for number in self.needed:
            for command in self.commands(number):
                names = (name for name, origin in self.origins(command) if not isinstance(origin, int))
                contexts |= {context for name in names if (context := find(self.contexts, name)) is not None}
        return tuple(sorted(contexts, key=lambda context: context.name))

    @property
    def runs(self) -> bool:
        """Whether the target needs a RUN."""
        return any(isinstance(command, Run) for number in self.needed for command in self.commands(number))

    @property
    def base_stage(self) -> PlannedStage:
        """The stage that the target stands on in the end: one over an image, or over scratch."""
        first = self.stages[self.target]
        while first.below is not None:
            first = self.stages[first.below]
        return first

    def bases(self) -> tuple[BaseWanted, ...]:
        """The images that the target needs, each once, in the order in which they stand there."""
        images: dict[tuple[str, Platform], BaseWanted] = {}
        for number in self.needed:
            planned = self.stages[number]
            if planned.on_image:
                images.setdefault(
                    (planned.base, planned.platform), BaseWanted(planned.base, planned.platform, planned.stage.line)
                )
            for command in self.commands(number):
                for _, origin in self.origins(command):
                    if isinstance(origin, str) and origin != SCRATCH:
                        image = BaseWanted(origin, self.platform, command.line)
                        images.setdefault((origin, self.platform), image)
        return tuple(images.values())


def recipe(parsed: Parsed, plan: BuildPlan) -> Recipe:
    """Expand the FROMs for this plan and see what its target needs; raises InvalidDockerfile, InvalidPlatform.

    BUILDPLATFORM is the plan's where something runs. What runs nothing is built alike everywhere: "on" the platform
    that it is built for.
    """
    for_target = _recipe(parsed, plan, plan.platform)
    if plan.build_platform is None or not for_target.runs:
        return for_target
    return _recipe(parsed, plan, plan.build_platform)


def _recipe(parsed: Parsed, plan: BuildPlan, here: Platform) -> Recipe:
    name, escape = parsed.dockerfile.name, parsed.dockerfile.escape
    build_args = dict(plan.build_args)
    variables = _predefined(plan, here, parsed.stages[-1].name)
    variables = {key: build_args.get(key, value) for key, value in variables.items()}
    for arg in parsed.arguments:
        for argument in arg.arguments:
            value = build_args.get(argument.name)
            if value is None and argument.value is not None:
                value = expand(argument.value, variables, escape=escape, where=f"{name}:{arg.line}")
            if value is not None:
                variables[argument.name] = value
    planned = _planned(parsed, plan, variables)
    check_given(planned, plan.contexts, name)
    target = _target(planned, plan.target, name)
    check_target(planned[target], target, name)
    triggers = _triggers(planned, plan.bases, name)
    needed = needed_stages(planned, triggers, target, name)
    check_order(planned, name)
    return Recipe(name, escape, plan.platform, variables, build_args, planned, target, needed, triggers, plan.contexts)


class Scope:
    """The variables of one stage, while its instructions are taken in order; `system` is what it is built for."""

    def __init__(self, recipe: Recipe, variables: Mapping[str, str], system: str) -> None:
        self.variables = dict(variables)
        self._system = system
        self._recipe = recipe

    def take(self, command: Command) -> Command:
        """The instruction with its variables replaced; what ENV and ARG set is seen by the next one."""
        where = self._recipe.where(command.line)
        if isinstance(command, Arg):
            return self._arg(command, where)
        variables, escape = self.variables, self._recipe.escape
        if isinstance(command, Expose):
            words = (expand_words(port, variables, escape=escape, where=where) for port in command.ports)
            return replace(command, ports=tuple(word for split in words for word in split))
        taken = expanded(command, lambda word: _expand(word, variables, escape, where))
        if isinstance(taken, Env):
            for pair in taken.pairs:
                self.variables[pair.name] = pair.value
        elif isinstance(taken, Copy | Add) and taken.contents:
            files = tuple(
                replace(file, content=expand_heredoc(file.content, variables, where=where)) if file.expand else file
                for file in taken.contents
            )
            taken = replace(taken, contents=files)
        return taken

    def paths(self, command: Copy | Add) -> tuple[str, ...]:
        """The sources of a taken instruction as paths with `/`; raises InvalidWindowsPath."""
        if self._system != "windows":
            return command.sources
        return tuple(source if is_remote(source) else windows_slashed(source) for source in command.sources)

    def mounts(self, command: Run) -> tuple[Mount, ...]:
        """The mounts of a RUN, as the variables are now; raises InvalidDockerfile."""
        where = self._recipe.where(command.line)
        variables, escape = self.variables, self._recipe.escape
        return tuple(parse_mount(text, lambda word: _expand(word, variables, escape, where)) for text in command.mounts)

    def _arg(self, command: Arg, where: str) -> Arg:
        done = []
        for argument in command.arguments:
            value = self._recipe.build_args.get(argument.name)
            if value is None and argument.value is None:
                value = self._recipe.variables.get(argument.name)
            elif value is None and argument.value is not None:
                value = _expand(argument.value, self.variables, self._recipe.escape, where)
            if value is not None and argument.name not in _NOT_VARIABLES:
                self.variables[argument.name] = value
            done.append(Argument(argument.name, value))
        return replace(command, arguments=tuple(done))


def _expand(word: str, variables: Mapping[str, str], escape: str, where: str) -> str:
    """Expand a word; most hold nothing to expand, and there are many."""
    if "$" in word or escape in word or "'" in word or '"' in word:
        return expand(word, variables, escape=escape, where=where)
    return word


def environment(lines: Iterable[str]) -> dict[str, str]:
    """The variables of a config's `Env`."""
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _predefined(plan: BuildPlan, here: Platform, last: str) -> dict[str, str]:
    """BuildKit's automatic arguments; `here` is the platform that is built on."""
    platform = plan.platform
    plain = replace(here, os_version="", os_features=())
    return {
        "BUILDPLATFORM": str(plain),
        "BUILDOS": here.os,
        "BUILDOSVERSION": here.os_version,
        "BUILDARCH": here.architecture,
        "BUILDVARIANT": here.variant,
        "TARGETPLATFORM": str(platform),
        "TARGETOS": platform.os,
        "TARGETOSVERSION": platform.os_version,
        "TARGETARCH": platform.architecture,
        "TARGETVARIANT": platform.variant,
        "TARGETSTAGE": plan.target or last or "default",
    }


def _planned(parsed: Parsed, plan: BuildPlan, variables: Mapping[str, str]) -> tuple[PlannedStage, ...]:
    done: list[PlannedStage] = []
    named: dict[str, int] = {}
    for number, stage in enumerate(parsed.stages):
        own = replacing(plan.contexts, stage.name, number)
        if own is not None and own.files is not None:  # of what stood there nothing is looked at
            executed = replace(stage, instructions=(), platform="")
            done.append(PlannedStage(executed, stage.base, plan.platform, None, own, replaced=True))
        else:
            done.append(_planned_stage(parsed, plan, variables, stage, (own, done, named)))
        if stage.name:
            named[stage.name.lower()] = number
    return tuple(done)


def _planned_stage(
    parsed: Parsed,
    plan: BuildPlan,
    variables: Mapping[str, str],
    stage: Stage,
    above: tuple[NamedContext | None, list[PlannedStage], Mapping[str, int]],
) -> PlannedStage:
    """A stage with its FROM expanded, given the context of its own name, and the stages above it, also by name."""
    own, done, named = above
    where = f"{parsed.dockerfile.name}:{stage.line}"
    base = expand(stage.base, variables, escape=parsed.dockerfile.escape, where=where)
    if not base:
        raise InvalidDockerfile(
            f"FROM {stage.base} names nothing", where=where, hint="give the ARG a default, or pass it in BUILD_ARGS"
        )
    platform = plan.platform
    if stage.platform:
        text = expand(stage.platform, variables, escape=parsed.dockerfile.escape, where=where)
        if not text:
            raise InvalidDockerfile(f"--platform={stage.platform} is empty", where=where)
        platform = Platform.parse(text)
    below = named.get(base) if own is None else None
    context = own or (find(plan.contexts, base) if below is None else None)
    if context is not None and context.image:
        base = context.image
    if below is not None:
        platform = done[below].platform
    elif base == SCRATCH:
        platform = plan.platform
    executed = stage if own is None else replace(stage, instructions=())
    return PlannedStage(executed, base, platform, below, context, replaced=own is not None)


def _target(planned: tuple[PlannedStage, ...], stage_name: str, name: str) -> int:
    if not stage_name:
        return len(planned) - 1
    numbers = {stage.stage.name: number for number, stage in enumerate(planned) if stage.stage.name}
    if stage_name.lower() not in numbers:
        there = ", ".join(numbers) or "none has a name"
        raise InvalidDockerfile(f"there is no stage '{stage_name}'", where=name, hint=f"the stages are: {there}")
    return numbers[stage_name.lower()]


def _triggers(planned: tuple[PlannedStage, ...], bases: tuple[Base, ...], name: str) -> dict[int, tuple[Command, ...]]:
    """The ONBUILD instructions that each stage sets off: of the image it stands on, of the stage it stands on."""
    resolved = {(base.name, base.platform): base for base in bases}
    triggers: dict[int, tuple[Command, ...]] = {}
    for number, stage in enumerate(planned):
        texts: tuple[str, ...] = ()
        if stage.below is not None:
            below = planned[stage.below].stage.instructions
            texts = tuple(command.expression for command in below if isinstance(command, Onbuild))
        elif stage.on_image and not stage.replaced and (stage.base, stage.platform) in resolved:
            texts = resolved[stage.base, stage.platform].on_build
        if texts:
            triggers[number] = tuple(trigger(text, f"{name}:{stage.stage.line}", stage.stage.line) for text in texts)
    return triggers


def trigger(text: str, where: str, line: int) -> Command:
    """The instruction of an ONBUILD, placed where the FROM stands that sets it off; raises InvalidDockerfile."""
    try:
        _, parsed = stages(parse(f"FROM {SCRATCH}\n{text}\n".encode("utf-8", "surrogateescape"), name=where))
    except InvalidDockerfile as error:
        raise InvalidDockerfile(f"ONBUILD {text}: {error.what}", where=where) from None
    if len(parsed) != 1 or len(parsed[0].instructions) != 1:
        raise InvalidDockerfile(f"ONBUILD {text}: is not one instruction", where=where)
    command: Command = replace(parsed[0].instructions[0], line=line, end_line=line)
    return command
