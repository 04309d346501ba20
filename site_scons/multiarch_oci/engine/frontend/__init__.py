"""The front end: what a Dockerfile asks of its context and of its bases, read the same way for every engine.

Here are the answers, light to load, as a run with nothing to do needs no more. Room by room: `recipe` (stages, what the
target needs, variables; over `stages`), `context` (the folder as the Dockerfile sees it, over `tree`, `sources`,
`gitindex`), `given` (names that lie elsewhere), `named` (other folders and images, by name), `inputs` (finds the
answers; `cached_inputs`: those of earlier runs), `fingerprint` (what an image is made from, by name), `bases` (what a
FROM takes over), `reader` (all of it for one plan).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.engine import BuildPlan, GivenFile, NamedContext
from multiarch_oci.platform import Platform

if TYPE_CHECKING:
    from multiarch_oci.ignorefile import IgnoreFile, State

FILE = "FILE"


class ContextFile(msgspec.Struct, frozen=True):
    """One name of the context that a COPY, ADD or bind mount takes; `path` is relative, with `/`.

    `kind` is the name of a `layer.Kind`: FILE, DIRECTORY, SYMLINK; WHITEOUT for what no image can hold. `target` is a
    link's text.
    """

    path: str
    kind: str
    executable: bool = False
    target: str = ""


class BaseWanted(msgspec.Struct, frozen=True):
    """An image that a FROM or `--from=` names (arguments expanded), for which platform, and in which line."""

    name: str
    platform: Platform
    line: int


class ContextInputs(msgspec.Struct, frozen=True):
    """What of the context a Dockerfile takes, or would take if it were there, and the bases that its target needs.

    `files` are there now, each once, sorted; `patterns` are the sources as patterns (arguments expanded, cleaned, "" is
    the whole context); `missing` are those without wildcard that are not there. `contexts` are the named contexts that
    the target needs, and `named` what it takes of those that are files.
    """

    files: tuple[ContextFile, ...]
    patterns: tuple[str, ...]
    missing: tuple[str, ...]
    bases: tuple[BaseWanted, ...]
    ignore: IgnoreFile | None = None
    contexts: tuple[NamedContext, ...] = ()
    named: tuple[NamedInputs, ...] = ()

    def reaches(self, path: str) -> bool:
        """Whether a COPY, ADD or bind mount would take a file of this path (relative, with `/`), be it there or not."""
        literal = path in self.patterns and not may_be_pattern(path)
        if not literal and not any(_reaches(pattern, path) for pattern in self.patterns):
            return False
        return not self._leaves_out(path)

    def enters(self, folder: str) -> bool:
        """Whether a COPY, ADD or bind mount may take a folder (relative, with `/`), or something in it."""
        if not any(_enters(pattern, folder) for pattern in self.patterns):
            return False
        return self.ignore is None or not self._leaves_out(folder) or not self.ignore.prunable(folder)

    def _leaves_out(self, path: str) -> bool:
        if self.ignore is None:
            return False
        excluded, here = False, ""
        state: State = ()
        for name in path.split("/"):
            here = f"{here}/{name}" if here else name
            excluded, state = self.ignore.excludes(here, state)
        return excluded


class NamedInputs(msgspec.Struct, frozen=True):
    """What a Dockerfile takes of a named context."""

    context: NamedContext
    inputs: ContextInputs

    @property
    def name(self) -> str:
        """The context's name."""
        return self.context.name

    @property
    def folder(self) -> Path | None:
        """The context's folder; None for one of given files."""
        return self.context.folder


def covering(files: tuple[GivenFile, ...], path: str) -> GivenFile | None:
    """The given file or folder that a path of a context is, or lies in: the innermost; None where there is none."""
    if not files:
        return None
    above = [file for file in files if path == file.path or not file.path or path.startswith(f"{file.path}/")]
    return max(above, key=lambda file: len(file.path), default=None)


def digest_in(plan: BuildPlan, context: NamedContext | None, path: str) -> str:
    """The sha256, in hexadecimal, of a file of a context (None: the plan's own). OSError when it cannot be read."""
    files, folder = (plan.files, plan.context) if context is None else (context.files or (), context.folder)
    given = covering(files, path)
    if given is None:
        return plan.file_digest(plan.real_path(folder or plan.context, path))
    if given.origin is None:
        return hashlib.sha256(given.content).hexdigest()
    return plan.file_digest(given.origin / path[len(given.path) :].strip("/") if path != given.path else given.origin)


def _reaches(pattern: str, path: str) -> bool:
    """Whether a source pattern names a path or a folder above it."""
    names, parts = path.split("/"), _parts(pattern)
    return len(names) >= len(parts) and _agree(parts, names)


def _enters(pattern: str, folder: str) -> bool:
    """Whether a source pattern names a folder, one above it, or something that may be in it."""
    return _agree(_parts(pattern), folder.split("/"))


def _parts(pattern: str) -> list[str]:
    """The names of a pattern, up to the first that stands for any number of folders."""
    parts = pattern.split("/") if pattern else []
    return parts[: parts.index("**")] if "**" in parts else parts


def _agree(parts: list[str], names: list[str]) -> bool:
    """Whether the names of a pattern match those of a path, as far as both go."""
    return all(
        _matches(part, name) if may_be_pattern(part) else part == name for part, name in zip(parts, names, strict=False)
    )


def may_be_pattern(text: str) -> bool:
    """Whether a letter stands in a source that is a wildcard where no backslash takes it away."""
    return "*" in text or "?" in text or "[" in text


def _matches(part: str, name: str) -> bool:
    from multiarch_oci.wildcard import BadPattern, has_wildcards, match_glob  # start-up

    try:
        return match_glob(part, name) if has_wildcards(part) else part == name
    except BadPattern:
        return False
