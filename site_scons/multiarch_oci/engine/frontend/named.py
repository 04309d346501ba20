"""Named contexts: what `--build-context name=…` of buildx says a name in a Dockerfile means (BuildKit, `dockerui`)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from multiarch_oci.engine import BuildPlan, NamedContext
from multiarch_oci.engine.frontend.tree import CannotCopy
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import InvalidReference, Reference

_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"
_SCRATCH = "scratch"
_RESERVED = (_SCRATCH, "context")
"""Names that BuildKit never looks up."""
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|git@|(?:input|target):")


class InvalidContext(MultiarchError, ValueError):
    """A named context that is none."""


def named_contexts(given: Mapping[str, str], root: Path) -> tuple[NamedContext, ...]:
    """Read names and what they mean: a folder (from `root`), or `docker-image://ref`; sorted. Raises InvalidContext."""
    contexts: dict[str, NamedContext] = {}
    for name, text in given.items():
        try:
            key = canonical(name)
        except InvalidReference as error:
            raise InvalidContext(f"'{name}' cannot name a context: {error.what}", hint=error.hint) from None
        if key in _RESERVED:
            raise InvalidContext(f"'{name}' cannot name a context: no Dockerfile takes it for one")
        if key in contexts:
            raise InvalidContext(f"two contexts are called '{key}'")
        contexts[key] = _meant(key, text, root)
    return tuple(contexts[key] for key in sorted(contexts))


def _meant(name: str, text: str, root: Path) -> NamedContext:
    if text.startswith(_IMAGE):
        image = text.removeprefix(_IMAGE)
        try:
            return NamedContext(name, image=image if image == _SCRATCH else str(Reference.parse(image)))
        except InvalidReference as error:
            raise InvalidContext(f"context '{name}': {error.what}", hint=error.hint) from None
    if text.startswith(_LAYOUT):
        raise InvalidContext(
            f"context '{name}': an image in a folder cannot be a base: a push would not find its layers",
            hint="push it to a registry, and write docker-image://HOST/NAME:TAG",
        )
    if _ELSEWHERE.match(text):
        raise InvalidContext(
            f"context '{name}': '{text}' is no folder and no image",
            hint="a folder, or docker-image://ref; fetch anything else by a step of its own",
        )
    folder = Path(os.path.normpath(root / text)) if text else None
    if folder is None or folder.is_file():
        raise InvalidContext(f"context '{name}': '{text}' is no folder")
    return NamedContext(name, folder=folder)


def canonical(name: str) -> str:
    """The form in which names are compared: `docker.io/library/alpine:latest` is `alpine`. Raises InvalidReference."""
    return Reference.parse(name).familiar.removesuffix(":latest")


def replacing(contexts: tuple[NamedContext, ...], name: str, number: int) -> NamedContext | None:
    """The context that takes the place of a stage, by its name ("": it has none) or its number; called by its name."""
    by_number = next((context for context in contexts if context.stage == number), None)
    if by_number is not None:
        return replace(by_number, name=name) if name else by_number
    return find(contexts, name) if name else None


def find(contexts: tuple[NamedContext, ...], name: str) -> NamedContext | None:
    """The context that a FROM, a stage's name or `--from=` means; none that is for the stage of a number."""
    if not contexts or name.lower() in _RESERVED:
        return None
    try:
        key = canonical(name)
    except InvalidReference:
        return None
    return next((context for context in contexts if context.name == key and context.stage is None), None)


def hidden_in(folder: Path, plan: BuildPlan) -> tuple[str, ...]:
    """The paths below a context's folder that no image holds; CannotCopy when that is the folder itself."""
    paths = [plan.context / hidden for hidden in plan.hidden]
    for path in paths:
        if folder.is_relative_to(path):
            raise CannotCopy(f"'{folder}' holds what the build makes of images, and cannot be a context")
    return tuple(path.relative_to(folder).as_posix() for path in paths if path.is_relative_to(folder))
