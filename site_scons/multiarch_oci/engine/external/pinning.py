"""A Dockerfile with every image by digest, so that an engine cannot follow a tag that moved. Line numbers stay."""

from __future__ import annotations

import re

from multiarch_oci.dockerfile.instructions import Command, Copy, Run
from multiarch_oci.dockerfile.parser import directive
from multiarch_oci.engine import NamedContext
from multiarch_oci.engine.external.marks import Marks
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.engine.frontend.recipe import Recipe
from multiarch_oci.engine.frontend.stages import SCRATCH, Origin, PlannedStage

_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # str.splitlines knows more ends of lines than Dockerfiles do


INSIDE = ".multiarch-stages"
"""The folder, in a context, of what stands in the place of stages, for engines that know no named contexts."""


def pinned(content: bytes, settled: Settled, marks: Marks | None = None, *, inside: bool = False) -> bytes:
    """The Dockerfile with `FROM name@digest`, and so `COPY --from=` and `RUN --mount=from=` of images.

    Stages that the target does not need are emptied, for some engines build them all the same; names and numbers of
    stages, and so `--from=`, are as before. So are those that a named context replaces; what is copied from a folder is
    called by its context's name. `marks` are lines more. With `inside` given files are copied from INSIDE of the
    context into the stage whose place they take.
    """
    text = content.decode("utf-8", "surrogateescape")
    frontend = settled.plan.frontend
    if frontend:  # its name stands in the head, before all else that could hold it
        text = text.replace(
            (directive("syntax", text.removeprefix("\ufeff")) or frontend).partition(" ")[0], frontend, 1
        )
    lines = _LINE.findall(text)
    ends = [*(planned.stage.line for planned in settled.recipe.stages[1:]), len(lines) + 1]
    for number, planned in enumerate(settled.recipe.stages):
        if number not in settled.recipe.needed:
            _replace(lines, (planned.stage.line, ends[number] - 1), _empty(planned))
            continue
        if planned.replaced:
            text = _from(planned, settled) if planned.on_image else _empty(planned)
            if inside and planned.context is not None and planned.context.files is not None:
                text += f"\nCOPY {INSIDE}/{number}/ /"
            _replace(lines, (planned.stage.line, ends[number] - 1), text)
            continue
        if planned.on_image or (planned.context is not None and planned.folder is None):
            text = _from(planned, settled) if planned.on_image else _empty(planned)
            _replace(lines, (planned.stage.line, planned.stage.end_line), text)
        for command in planned.stage.instructions:
            _pin(lines, command, settled, inside=inside)
    if marks is not None:
        marks.put(lines)
    return "".join(lines).encode("utf-8", "surrogateescape")


def replacing_stages(recipe: Recipe) -> frozenset[NamedContext]:
    """The given files that take the place of a stage."""
    contexts = (stage.context for stage in recipe.stages if stage.replaced)
    return frozenset(context for context in contexts if context is not None and context.files is not None)


def _empty(planned: PlannedStage) -> str:
    return f"FROM {SCRATCH}" + _name(planned)


def _from(planned: PlannedStage, settled: Settled) -> str:
    flag = f"--platform={planned.platform} " if planned.stage.platform else ""
    return f"FROM {flag}{reference_of(planned.base, settled, planned)}" + _name(planned)


def _name(planned: PlannedStage) -> str:
    return f" AS {planned.stage.name}" if planned.stage.name else ""


def reference_of(name: str, settled: Settled, planned: PlannedStage | None = None) -> str:
    """An image that a Dockerfile names, by its digest; one of `--from=` where no stage is given."""
    platform = settled.recipe.platform if planned is None else planned.platform
    reference = settled.images[name, platform].reference
    # Not every engine takes a tag beside a digest.
    return str(reference.bare.with_digest(reference.digest)) if reference.digest is not None else str(reference)


def _named(origin: Origin, settled: Settled) -> str:
    """What an origin is to be called; "" for a stage."""
    if isinstance(origin, NamedContext):
        return origin.name
    if isinstance(origin, str):
        return origin if origin == SCRATCH else reference_of(origin, settled)
    return ""


def _replace(lines: list[str], span: tuple[int, int], text: str) -> None:
    """Put one line in the place of several, the rest of them empty; lines are counted from 1."""
    first, last = span
    last = min(last, len(lines))
    lines[first - 1 : last] = [f"{text}\n", *["\n"] * (last - first)]


def _pin(lines: list[str], command: Command, settled: Settled, *, inside: bool) -> None:
    if not isinstance(command, Copy | Run):
        return
    before = r"--from=" if isinstance(command, Copy) else r"\bfrom="
    for name, origin in settled.recipe.origins(command):
        pinned_name = _named(origin, settled)
        is_stage = inside and origin in replacing_stages(settled.recipe)
        if is_stage or pinned_name in ("", name):
            continue
        occurrence = re.compile(f'({before}){re.escape(name)}(?=[\\s,"\\\\`]|$)', re.IGNORECASE)
        for index in range(command.line - 1, min(command.end_line, len(lines))):
            lines[index], count = occurrence.subn(rf"\g<1>{pinned_name}", lines[index], count=1)
            if count:
                break
