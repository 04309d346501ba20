"""The engine itself: the protocol's two methods, and the questions of a build system beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from multiarch.config import ImageConfig
from multiarch.descriptor import Descriptor
from multiarch.digest import Digest
from multiarch.dockerfile import InvalidDockerfile
from multiarch.document import canonical
from multiarch.engine import Base, BuildPlan
from multiarch.engine.embedded import wording
from multiarch.engine.embedded.assembling import assemble
from multiarch.engine.embedded.bases import BaseImage, OpenSource, check_platform, load, resolved
from multiarch.engine.embedded.building import Builder, Stage, unsupported
from multiarch.engine.embedded.context import Context
from multiarch.engine.embedded.inputs import ContextInputs, context_inputs, taken
from multiarch.engine.embedded.programs import check_programs
from multiarch.engine.embedded.recipe import Parsed, Recipe, recipe
from multiarch.engine.embedded.telling import describe
from multiarch.errors import MultiarchError
from multiarch.ignorefile import IgnoreFile
from multiarch.platform import Platform

_Key = tuple[str, Platform]


class EmbeddedEngine:
    """Builds images of Dockerfiles without RUN; implements Engine.

    `open_source` gives the place to read a base from, by its reference with digest. `warn` is told, in one line, what
    is suspicious and no error. The engine keeps what it parsed, by content: hold one for a run. Any number of threads.
    """

    name = "embedded"

    def __init__(self, open_source: OpenSource, warn: Callable[[str], None]) -> None:
        self._open_source = open_source
        self._warn = warn
        self._parsed: dict[tuple[str, bytes], Parsed] = {}
        self._ignores: dict[tuple[str, bytes], IgnoreFile] = {}

    def refusal(self, plan: BuildPlan) -> str | None:
        """As Engine says. A Dockerfile that is wrong is not refused: `build` says what is wrong with it."""
        try:
            needed = self._recipe(plan)
            for _, command in taken(needed, plan):
                reason = unsupported(command, needed.where(command.line))
                if reason is not None:
                    return f"{reason.where}: {reason.what}"
        except MultiarchError:
            pass
        return None

    def inputs(self, plan: BuildPlan) -> ContextInputs:
        """What of the context the Dockerfile takes, and the bases that its target needs; `plan.bases` may be empty.

        Asks no network and reads no file of the context. Raises MultiarchError for a Dockerfile or .dockerignore that
        is absent or wrong; a missing source is none.
        """
        ignore = self._ignore(plan)
        return context_inputs(self._recipe(plan), plan, _context(plan, ignore), ignore)

    def signature(self, plan: BuildPlan) -> str:
        """One digest, in hexadecimal, over everything that the image's bytes depend on.

        Names, types, modes, link targets and contents of what is copied, empty folders too; Dockerfile, arguments,
        labels, platform, time stamp, bases, compressor, this engine's format. Never raises a MultiarchError: what is
        wrong or missing is part of the digest, and `build` says it.
        """
        try:
            told = describe(plan, self.inputs(plan))
        except MultiarchError as error:
            told = {"error": str(error)}, {}
        return Digest.of(canonical([sorted(each.items()) for each in told])).hex

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """As Engine says; beside it BlobMissing and what a registry raises for a base."""
        plan, images, needed = self._with_bases(plan)
        stage = Builder(plan, needed, _context(plan, self._ignore(plan)), images).target()
        stage.config = _finished(plan, needed, stage)
        check_programs(stage, stage.config.platform, plan.foreign, self._warn)
        return assemble(stage, output, epoch=plan.epoch)

    def _recipe(self, plan: BuildPlan) -> Recipe:
        key = (_name(plan.dockerfile, plan), _read(plan.dockerfile, plan))
        parsed = self._parsed.get(key)
        if parsed is None:
            parsed = self._parsed[key] = Parsed.of(key[1], name=key[0])
        return recipe(parsed, plan)

    def _ignore(self, plan: BuildPlan) -> IgnoreFile | None:
        """The ignore file that counts: the Dockerfile's own, else the context's."""
        own = plan.dockerfile.with_name(f"{plan.dockerfile.name}.dockerignore")
        for path in (own, plan.context / ".dockerignore"):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise InvalidDockerfile(f"cannot be read: {error.strerror}", where=_name(path, plan)) from None
            key = (_name(path, plan), content)
            found = self._ignores.get(key)
            if found is None:
                found = self._ignores[key] = IgnoreFile.parse(content, name=key[0])
            return found
        return None

    def _with_bases(self, plan: BuildPlan) -> tuple[BuildPlan, dict[_Key, BaseImage], Recipe]:
        """Read the bases, whose ONBUILD instructions may need further ones, until nothing is wanted any more."""
        images: dict[_Key, BaseImage] = {}
        while True:
            needed = self._recipe(plan)
            new = [each for each in needed.bases() if (each.name, each.platform) not in images]
            if not new:
                return plan, images, needed
            for wanted in new:
                base = resolved(wanted, plan, needed)
                image = load(base, self._open_source, where=needed.where(wanted.line))
                images[wanted.name, wanted.platform] = image
                plan = replace(plan, bases=tuple(_told(each, base, image) for each in plan.bases))


def _told(each: Base, base: Base, image: BaseImage) -> Base:
    """The plan's entry for a base, with what its config says."""
    return each if each != base else replace(each, env=image.config.env, on_build=image.config.on_build)


def _finished(plan: BuildPlan, needed: Recipe, stage: Stage) -> ImageConfig:
    """The config as it is written: with the plan's platform (and the Windows version of the base), labels and time."""
    platform = plan.platform
    if stage.base is not None:
        first = needed.stages[needed.target]
        while first.below is not None:
            first = needed.stages[first.below]
        found = stage.base.config.platform
        check_platform(first.base, found, platform, where=needed.where(first.stage.line))
        if platform.os == "windows":
            platform = replace(platform, os_version=found.os_version, os_features=found.os_features)
    labels = tuple((dict(stage.config.labels) | dict(plan.labels)).items())
    return replace(stage.config, platform=platform, created=wording.instant(plan.epoch), labels=labels)


def _context(plan: BuildPlan, ignore: IgnoreFile | None) -> Context:
    return Context(plan.context, plan.file_digest, ignore, hidden=plan.hidden)


def _name(path: Path, plan: BuildPlan) -> str:
    """What a file is called in messages: its path from the context, or its full path."""
    return path.relative_to(plan.context).as_posix() if path.is_relative_to(plan.context) else str(path)


def _read(path: Path, plan: BuildPlan) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidDockerfile(f"cannot be read: {error.strerror}", where=_name(path, plan)) from None
