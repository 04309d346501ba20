"""What decides an image and is in no cache key of the engine that makes it, put where that key sees it.

BuildKit goes by contents. Buildah goes by the text of the Dockerfile, the layers below and what COPY and ADD take: not
by what a RUN mounts, nor by the base's config. The legacy builder goes by the image below and what COPY and ADD take.
None goes by the arguments for proxies, nor by which secrets there are.

For Buildah and the legacy builder a LABEL with a digest of these facts stands before the instruction: an instruction
like any other, which RUN does not see, and which is taken out of config and history again (`export`). Triggers of
ONBUILD come before anything that could stand there: for them the cache is not used. For BuildKit it is a name in the
`/etc/hosts` of every RUN, which no image holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from multiarch_oci.dockerfile.instructions import Command, Run
from multiarch_oci.document import key_of
from multiarch_oci.engine import BuildPlan
from multiarch_oci.engine.frontend.fingerprint import MARK, file_state
from multiarch_oci.engine.frontend.inputs import Taking
from multiarch_oci.engine.frontend.reader import Reader, Settled
from multiarch_oci.engine.frontend.stages import SCRATCH
from multiarch_oci.platform import Platform

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


class Marks(msgspec.Struct, frozen=True):
    """`before` says which digest is to stand before which line; `cached` is whether the engine's cache may be used."""

    before: Mapping[int, str]
    cached: bool = True

    def put(self, lines: list[str]) -> None:
        """Put them into the lines of a Dockerfile, each as a line of its own in front of another one's text."""
        for number, digest in self.before.items():
            text = f"LABEL {MARK}={digest}\n"
            if number <= len(lines):
                lines[number - 1] = text + lines[number - 1]
            else:
                lines[-1] = lines[-1].removesuffix("\n") + "\n"
                lines.append(text)


def for_buildah(settled: Settled, reader: Reader) -> Marks:
    """A mark behind each FROM, and one before each RUN that mounts something."""
    recipe = settled.recipe
    before: dict[int, str] = {}
    keys = _Keys(settled)
    for number in recipe.needed:
        planned = recipe.stages[number]
        if planned.below is None and not planned.replaced and planned.stage.instructions:
            before[planned.stage.end_line + 1] = _digest(keys.base(number), unnamed(settled.plan), settled.plan.network)
    for taking in reader.instructions(settled.plan):
        keys.add(taking)
        command = taking.command
        if isinstance(command, Run) and (command.mounts or command.files) and not taking.trigger:
            before[command.line] = _digest(before.get(command.line, ""), keys.mounts(taking))
    triggers = any(recipe.triggers.get(number) for number in recipe.needed)
    return Marks(before, cached=not triggers)


def for_legacy(settled: Settled) -> Marks:
    """A mark before the first RUN of each stage, where there is something to be marked."""
    recipe, facts = settled.recipe, unnamed(settled.plan)
    if not facts:
        return Marks({})
    before: dict[int, str] = {}
    for number in recipe.needed:
        run = next(
            (instruction for instruction in recipe.stages[number].stage.instructions if isinstance(instruction, Run)),
            None,
        )
        if run is not None:
            before[run.line] = facts
    triggered = any(
        isinstance(instruction, Run) for number in recipe.needed for instruction in recipe.triggers.get(number, ())
    )
    return Marks(before, cached=not triggered)


def for_buildkit(plan: BuildPlan) -> list[str]:
    """The flags that make RUN another one for BuildKit."""
    facts = unnamed(plan)
    return ["--add-host", f"{facts[:32]}.multiarch.invalid:127.0.0.1"] if facts else []


def unnamed(plan: BuildPlan) -> str:
    """A digest of what every RUN sees and no Dockerfile names; "" when there is nothing.

    Of secrets and agents only which there are: where they lie, and what they are, is remembered nowhere.
    """
    facts = [
        f"{name}={value}" for name, value in plan.build_args if name.lower() in _PROXIES or name.startswith("BUILDKIT_")
    ]
    facts += [f"secret {field}" for text in plan.secrets for field in text.split(",") if field.startswith("id=")]
    facts += [f"ssh {text.partition('=')[0]}" for text in plan.ssh]
    return _digest(*sorted(facts)) if facts else ""


class _Keys:
    """A digest for each stage, of everything that it is made from, as its instructions are read."""

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        self._stages: dict[int, str] = {}

    def base(self, number: int) -> str:
        """What a stage stands on."""
        planned = self._settled.recipe.stages[number]
        if planned.below is not None:
            return self.stage(planned.below)
        image = self._image(planned.base, planned.platform) if planned.on_image else planned.base
        return _digest(image, str(planned.platform))

    def stage(self, number: int) -> str:
        """What a stage is so far; one without instructions is what it stands on."""
        return self._stages.get(number) or self.base(number)

    def add(self, taking: Taking) -> None:
        """Take an instruction into the digest of its stage."""
        variables = [f"{name}={value}" for name, value in sorted(taking.variables.items())]
        parts = (self.stage(taking.stage), taking.command.original, *variables, *self._contents(taking.command))
        self._stages[taking.stage] = _digest(*parts, self.mounts(taking))

    def mounts(self, taking: Taking) -> str:
        """What an instruction reads of contexts, stages and images."""
        recipe, plan = self._settled.recipe, self._settled.plan
        facts = list(self._contents(taking.command))
        for context, files in taking.files:
            name = context.name if context is not None and context.has_files else ""
            facts += [f"{name}//{file.path} {file_state(plan, context, file)}" for file in files]
        for name, origin in recipe.origins(taking.command):
            if isinstance(origin, int):
                facts.append(f"{name} {self.stage(origin)}")
            elif isinstance(origin, str):
                facts.append(f"{name} {self._image(origin, recipe.platform)}")
        return _digest(*facts)

    def _image(self, name: str, platform: Platform) -> str:
        return name if name == SCRATCH else str(self._settled.images[name, platform].reference.digest)

    @staticmethod
    def _contents(command: Command) -> Iterator[str]:
        if isinstance(command, Run):
            yield from (file.content for file in command.files)


def _digest(*parts: str) -> str:
    return key_of(list(parts))
