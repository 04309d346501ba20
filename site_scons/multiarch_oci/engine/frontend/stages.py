"""The stages of a Dockerfile: what they read from, and so which of them a target needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from multiarch_oci.dockerfile import InvalidDockerfile, mounts
from multiarch_oci.dockerfile.instructions import Command, Copy, Run, Stage
from multiarch_oci.engine import NamedContext
from multiarch_oci.engine.frontend.named import find
from multiarch_oci.platform import Platform

SCRATCH = "scratch"
Contexts = tuple[NamedContext, ...]
Origin: TypeAlias = "int | str | NamedContext"
"""What is read from: the number of a stage, an image, or a context that is a folder."""


class PlannedStage(msgspec.Struct, frozen=True):
    """One FROM with its arguments expanded. `below` is the stage that it stands on, None over anything else.

    `context` is the named context that it stands on, whose image is then the base. One of the stage's own name has
    `replaced` it: the stage has no instructions any more, and is what the context is.
    """

    stage: Stage
    base: str
    platform: Platform
    below: int | None
    context: NamedContext | None = None
    replaced: bool = False

    @property
    def folder(self) -> NamedContext | None:
        """The named context that it stands on, where that is files."""
        return self.context if self.context is not None and self.context.has_files else None

    @property
    def on_image(self) -> bool:
        """Whether it stands on an image of a registry."""
        return self.below is None and self.base != SCRATCH and self.folder is None


def origins(
    command: Command, planned: tuple[PlannedStage, ...], where: str, contexts: Contexts = ()
) -> tuple[tuple[str, Origin], ...]:
    """What an instruction reads from, beside the name that stands there: `COPY --from=`, `RUN --mount=from=`."""
    if isinstance(command, Copy) and command.from_:
        return ((command.from_, named_origin(command.from_, "COPY --from=", planned, where, contexts)),)
    if isinstance(command, Run):
        named = filter(None, map(mounts.origin, command.mounts))
        return tuple((name, named_origin(name, "RUN --mount=from=", planned, where, contexts)) for name in named)
    return ()


def named_origin(
    text: str, flag: str, planned: tuple[PlannedStage, ...], where: str, contexts: Contexts = ()
) -> Origin:
    """The stage that `text` names, by number or name, or else the context or the image; raises InvalidDockerfile."""
    if "$" in text:
        raise InvalidDockerfile(
            f"{flag}{text}: variables are not expanded there",
            where=where,
            hint="write FROM with the variable and AS name, then --from=name",
        )
    if text.lstrip("+-").isdigit() and flag.startswith("COPY"):  # a mount's number is the name of an image
        if not 0 <= int(text) < len(planned):
            raise InvalidDockerfile(f"{flag}{text}: there is no stage {text}", where=where)
        return int(text)
    numbers = [number for number, planned_stage in enumerate(planned) if planned_stage.stage.name == text.lower()]
    if numbers:
        return numbers[-1]
    context = find(contexts, text)
    return text if context is None else context if context.has_files else context.image


def check_given(planned: tuple[PlannedStage, ...], contexts: Contexts, name: str) -> None:
    """Raise InvalidDockerfile for given files whose name or number is that of no stage, and stands nowhere else."""
    for context in contexts:
        if context.files is None or any(stage.context is not None and _is(stage.context, context) for stage in planned):
            continue
        reading = (
            origin
            for stage in planned
            for command in stage.stage.instructions
            for _, origin in origins(command, planned, f"{name}:{command.line}", contexts)
        )
        twice = [number for number, stage in enumerate(planned) if stage.replaced and stage.stage.name == context.name]
        if twice:
            raise InvalidDockerfile(
                f"stages= gives stage {twice[0]} twice, also as '{context.name}'",
                where=name,
                hint="call it by its name or by its number",
            )
        if context not in reading:
            names = ", ".join(
                f"{number} ({stage.stage.name})" if stage.stage.name else str(number)
                for number, stage in enumerate(planned)
            )
            stage_name = context.name if context.stage is None else str(context.stage)
            raise InvalidDockerfile(
                f"there is no stage '{stage_name}', and no --from= of that name",
                where=name,
                hint=f"what stages= gives has the name or number of a stage: {names}",
            )


def check_target(stage: PlannedStage, number: int, name: str) -> None:
    """Raise InvalidDockerfile where given files replace the stage that is the image: nothing says then what it is."""
    if stage.replaced and stage.context is not None and stage.context.files is not None:
        raise InvalidDockerfile(
            f"stages= replaces stage '{stage.stage.name or number}', which is the image itself",
            where=f"{name}:{stage.stage.line}",
            hint="give the stage that the image copies from; one program needs no Dockerfile (dockerfile=None)",
        )


def _is(context: NamedContext, given: NamedContext) -> bool:
    return context == given or (given.stage is not None and context.stage == given.stage)


def check_order(planned: tuple[PlannedStage, ...], name: str) -> None:
    """Raise InvalidDockerfile, needed or not, for a flag that names no stage, and for stages that read in a circle."""
    after: dict[int, dict[int, Command]] = {}
    for number, stage in enumerate(planned):
        after[number] = {
            other: command
            for command in stage.stage.instructions
            for _, other in origins(command, planned, f"{name}:{command.line}")
            if isinstance(other, int)
        }
    for number in after:
        seen, pending = set[int](), [number]
        while pending:
            for other, command in after[pending.pop()].items():
                if other == number:
                    raise InvalidDockerfile(
                        f"{_flag(command)}: the stages read from each other in a circle",
                        where=f"{name}:{command.line}",
                        hint="a stage can copy from the stages above it",
                    )
                if other not in seen:
                    seen.add(other)
                    pending.append(other)


def needed_stages(
    planned: tuple[PlannedStage, ...], triggers: Mapping[int, tuple[Command, ...]], target: int, name: str
) -> tuple[int, ...]:
    """The numbers of the stages that the target needs, in order; raises InvalidDockerfile."""
    needed: set[int] = set()
    pending = [target]
    while pending:
        number = pending.pop()
        if number in needed:
            continue
        needed.add(number)
        stage = planned[number]
        if stage.below is not None:
            pending.append(stage.below)
        for command in (*triggers.get(number, ()), *stage.stage.instructions):
            where = f"{name}:{command.line}"
            for _, other in origins(command, planned, where):
                if isinstance(other, int):
                    if other >= number:
                        raise InvalidDockerfile(
                            f"{_flag(command)}: that stage comes later",
                            where=where,
                            hint="a stage can copy from the stages above it",
                        )
                    pending.append(other)
    return tuple(sorted(needed))


def _flag(command: Command) -> str:
    return f"COPY --from={command.from_}" if isinstance(command, Copy) else "RUN --mount with from="
