"""One reader a run: Dockerfiles and ignore files parsed once, by content, and asked for one plan after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine import Base, BuildPlan, GivenFile, NamedContext
from multiarch_oci.engine.frontend import ContextInputs
from multiarch_oci.engine.frontend.bases import BaseImage, OpenSource, check_platform, load, resolved
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.given import FilledContext, GivenContext, GivenTree
from multiarch_oci.engine.frontend.inputs import Taking, check_answered, context_inputs, instructions
from multiarch_oci.engine.frontend.named import hidden_in
from multiarch_oci.engine.frontend.recipe import Parsed, Recipe, recipe
from multiarch_oci.engine.frontend.tree import CannotCopy
from multiarch_oci.ignorefile import IgnoreFile
from multiarch_oci.platform import Platform

IGNORE = ".dockerignore"


class Settled(msgspec.Struct, frozen=True):
    """A plan whose bases were read, with what their configs say (ENV, ONBUILD), and its recipe."""

    plan: BuildPlan
    recipe: Recipe
    images: dict[tuple[str, Platform], BaseImage]

    @property
    def base(self) -> BaseImage | None:
        """The image that the target stands on, through all its stages; None over `scratch`."""
        first = self.recipe.base_stage
        return self.images[first.base, first.platform] if first.on_image else None

    def platform(self) -> Platform:
        """The plan's platform; on Windows with the version that the base's config has, if it has one.

        Raises WrongMachine when the base is of another platform.
        """
        first, target, base = self.recipe.base_stage, self.plan.platform, self.base
        if base is None:
            return target
        actual = base.config.platform
        check_platform(first.base, actual, target, where=self.recipe.where(first.stage.line))
        if target.os == "windows":
            version = actual.os_version or target.os_version
            return replace(target, os_version=version, os_features=actual.os_features)
        return target


class Reader:
    """Reads what plans need; holds what it parsed. Any number of threads."""

    def __init__(self) -> None:
        self._parsed: dict[tuple[str, bytes], Parsed] = {}
        self._ignores: dict[tuple[str, bytes], IgnoreFile] = {}

    def recipe(self, plan: BuildPlan) -> Recipe:
        """The plan's Dockerfile, its FROMs expanded; InvalidDockerfile when it is absent or wrong."""
        key = (plan.name, _read(plan))
        parsed = self._parsed.get(key)
        if parsed is None:
            parsed = self._parsed[key] = Parsed.of(key[1], name=key[0])
        return recipe(parsed, plan)

    def inputs(self, plan: BuildPlan, before: ContextInputs | None = None) -> ContextInputs:
        """What of the context the Dockerfile takes, and the bases that its target needs; `plan.bases` may be empty.

        `before` is what was found a moment ago for the same plan with other bases. Asks no network and reads no file of
        the context. Raises MultiarchError for a Dockerfile or .dockerignore that is absent or wrong; a missing source
        is none.
        """
        return context_inputs(self.recipe(plan), plan, lambda named: self._opened(plan, named), before)

    def instructions(self, plan: BuildPlan) -> Iterator[Taking]:
        """What the target needs, instruction by instruction, with the files that each takes. Raises MultiarchError."""
        return instructions(self.recipe(plan), plan, lambda named: self._opened(plan, named))

    def context(self, plan: BuildPlan, named: NamedContext | None = None) -> Context:
        """The context folder, or that of a named context, as the Dockerfile sees it.

        Raises CannotCopy for a named one that is not there.
        """
        if named is not None and named.files is None and not _is_there(plan, named.folder):
            raise CannotCopy(f"context '{named.name}': there is no folder '{named.folder}'", hint="is it built?")
        return self._opened(plan, named)[0]

    def settled(self, plan: BuildPlan, open_source: OpenSource) -> Settled:
        """Read the bases, whose ONBUILD instructions may need further ones, until nothing is wanted any more.

        Raises InvalidDockerfile, BlobMissing, what a registry raises for a base, and NotGiven.
        """
        images: dict[tuple[str, Platform], BaseImage] = {}
        while True:
            needed = self.recipe(plan)
            new = [
                needed_base for needed_base in needed.bases() if (needed_base.name, needed_base.platform) not in images
            ]
            if not new:
                if any(context.files is not None for context in needed.used):
                    check_answered(needed, plan, partial(self._opened, plan))
                return Settled(plan, needed, images)
            for needed_base in new:
                base = resolved(needed_base, plan, needed)
                image = load(base, open_source, where=needed.where(needed_base.line))
                images[needed_base.name, needed_base.platform] = image
                plan = replace(plan, bases=tuple(_completed(entry, base, image) for entry in plan.bases))

    def _opened(self, plan: BuildPlan, named: NamedContext | None) -> tuple[Context, IgnoreFile | None]:
        """A context, and its ignore file that counts: the Dockerfile's own, else the context's; a named one has its.

        A generated Dockerfile names what it takes, and files that are given are meant: nothing leaves them out.
        """
        if named is not None and named.files is not None:
            return GivenContext(_given(named.files, plan), plan.file_digest), None
        if named is None or named.folder is None:
            folder, hidden, own = (
                plan.context,
                plan.hidden,
                plan.dockerfile.with_name(f"{plan.dockerfile.name}.dockerignore"),
            )
            ignore = None if plan.text else self._ignore(plan, own, Path(plan.real_path(folder, IGNORE)))
        else:
            folder, hidden = named.folder, hidden_in(named.folder, plan)
            ignore = self._ignore(plan, Path(plan.real_path(folder, IGNORE)))
        real_paths = partial(plan.real_paths, folder) if plan.overlays else None
        if plan.files and folder is plan.context:
            given = _given(plan.files, plan)
            return FilledContext(
                folder,
                plan.file_digest,
                ignore,
                hidden=hidden,
                real_paths=real_paths,
                followed=plan.followed,
                held=plan.held,
                given=given,
            ), ignore
        return Context(folder, plan.file_digest, ignore, hidden=hidden, real_paths=real_paths, held=plan.held), ignore

    def _ignore(self, plan: BuildPlan, *candidates: Path) -> IgnoreFile | None:
        """The first of these ignore files that is there."""
        for path in candidates:
            try:
                content = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise InvalidDockerfile(f"cannot be read: {error.strerror}", where=_name(path, plan)) from None
            key = (_name(path, plan), content)
            ignore = self._ignores.get(key)
            if ignore is None:
                ignore = self._ignores[key] = IgnoreFile.parse(content, name=key[0])
            return ignore
        return None


def _is_there(plan: BuildPlan, folder: Path | None) -> bool:
    if folder is None:
        return False
    real_paths = plan.real_paths(folder, "")
    return any(map(os.path.isdir, real_paths)) or (plan.held is not None and any(map(plan.held.is_folder, real_paths)))


def _given(files: tuple[GivenFile, ...], plan: BuildPlan) -> GivenTree:
    """Given files as a tree; what the build makes of images is in none of their folders.

    A file that is given by itself may lie anywhere: those of an installed package do in the environment of `sconsw`,
    which is a folder of this build.
    """
    followed = {file.origin for file in files if file.path in plan.followed}

    def opened(folder: Path, whole: bool) -> Context:  # noqa: FBT001  # as GivenTree calls it
        hidden = hidden_in(folder, plan) if whole else ()
        links = ("",) if folder in followed else ()
        return Context(folder, plan.file_digest, None, hidden=hidden, followed=links, held=plan.held)

    return GivenTree(files, opened)


def _completed(entry: Base, base: Base, image: BaseImage) -> Base:
    """The plan's entry for a base, with what its config says."""
    return entry if entry != base else replace(entry, env=image.config.env, on_build=image.config.on_build)


def _name(path: Path, plan: BuildPlan) -> str:
    """What a file is called in messages: its path from the context, or its full path."""
    return path.relative_to(plan.context).as_posix() if path.is_relative_to(plan.context) else str(path)


def _read(plan: BuildPlan) -> bytes:
    try:
        return plan.read()
    except OSError as error:
        raise InvalidDockerfile(f"cannot be read: {error.strerror}", where=plan.name) from None
