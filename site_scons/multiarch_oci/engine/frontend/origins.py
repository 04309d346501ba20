"""Which stages and images a Dockerfile reads from, and so which of its stages a target needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from multiarch_oci.dockerfile import mounts
from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.dockerfile.instructions import Command, Copy, Run
from multiarch_oci.engine import NamedContext
from multiarch_oci.engine.frontend.named import find
from multiarch_oci.engine.frontend.planned import PlannedStage

Contexts = tuple[NamedContext, ...]
Origin: TypeAlias = "int | str | NamedContext"
"""What is read from: the number of a stage, an image, or a context that is a folder."""


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
    found = [number for number, each in enumerate(planned) if each.stage.name == text.lower()]
    if found:
        return found[-1]
    context = find(contexts, text)
    return text if context is None else context if context.folder else context.image


def check_order(planned: tuple[PlannedStage, ...], name: str) -> None:
    """Raise InvalidDockerfile, needed or not, for a flag that names no stage, and for stages that read in a circle."""
    after: dict[int, dict[int, Command]] = {}
    for number, each in enumerate(planned):
        after[number] = {
            found: command
            for command in each.stage.instructions
            for _, found in origins(command, planned, f"{name}:{command.line}")
            if isinstance(found, int)
        }
    for number in after:
        seen, pending = set[int](), [number]
        while pending:
            for found, command in after[pending.pop()].items():
                if found == number:
                    raise InvalidDockerfile(
                        f"{_said(command)}: the stages read from each other in a circle",
                        where=f"{name}:{command.line}",
                        hint="a stage can copy from the stages above it",
                    )
                if found not in seen:
                    seen.add(found)
                    pending.append(found)


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
        each = planned[number]
        if each.below is not None:
            pending.append(each.below)
        for command in (*triggers.get(number, ()), *each.stage.instructions):
            where = f"{name}:{command.line}"
            for _, found in origins(command, planned, where):
                if isinstance(found, int):
                    if found >= number:
                        raise InvalidDockerfile(
                            f"{_said(command)}: that stage comes later",
                            where=where,
                            hint="a stage can copy from the stages above it",
                        )
                    pending.append(found)
    return tuple(sorted(needed))


def _said(command: Command) -> str:
    return f"COPY --from={command.from_}" if isinstance(command, Copy) else "RUN --mount with from="
