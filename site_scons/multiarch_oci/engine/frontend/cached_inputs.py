"""What Dockerfiles took the last time, so that asking again parses none and walks nothing.

A Dockerfile that copies plain files by name, as most do, takes the same files as long as itself, the ignore files and
the arguments are the same bytes; only the files need a look. Everything else (folders, wildcards, links, missing
files, hosts without an executable bit) is asked for in full each time: a glance is never a guess.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.document import keyed, remembered
from multiarch_oci.engine import BuildPlan, NamedContext
from multiarch_oci.errors import holds_login
from multiarch_oci.platform import Platform

_FORMAT = "glances 1"
_LIMIT = 4096
FILE = "FILE"


class Taken(Protocol):
    """One name of the context that a COPY or ADD takes; `what` is its kind in capitals, `target` a link's text."""

    @property
    def path(self) -> str: ...  # noqa: D102  # the class says it
    @property
    def what(self) -> str: ...  # noqa: D102
    @property
    def executable(self) -> bool: ...  # noqa: D102
    @property
    def target(self) -> str: ...  # noqa: D102


class Wanted(Protocol):
    """An image that a Dockerfile names, for which platform, and in which line."""

    @property
    def name(self) -> str: ...  # noqa: D102  # the class says it
    @property
    def platform(self) -> Platform: ...  # noqa: D102
    @property
    def line(self) -> int: ...  # noqa: D102


class TakenOf(Protocol):
    """What a Dockerfile takes of a named context (`inputs.NamedInputs`)."""

    @property
    def name(self) -> str: ...  # noqa: D102  # the class says it
    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def inputs(self) -> Reached: ...  # noqa: D102


class Reached(Protocol):
    """What a Dockerfile takes of its context, and the bases that its target needs (`inputs.ContextInputs`)."""

    @property
    def files(self) -> Sequence[Taken]: ...  # noqa: D102  # the class says it
    @property
    def wanted(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def missing(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def bases(self) -> Sequence[Wanted]: ...  # noqa: D102
    @property
    def contexts(self) -> tuple[NamedContext, ...]: ...  # noqa: D102
    @property
    def named(self) -> Sequence[TakenOf]: ...  # noqa: D102

    def reaches(self, path: str) -> bool:
        """Whether a COPY or ADD would take a file of this path."""
        ...

    def enters(self, folder: str) -> bool:
        """Whether a COPY or ADD may take something that is in this folder, or the folder."""
        ...


class Seen(msgspec.Struct, frozen=True):
    """A plain file that is there."""

    path: str
    executable: bool
    what: str = FILE
    target: str = ""


class Named(msgspec.Struct, frozen=True):
    """A base as it was remembered."""

    name: str
    platform: Platform
    line: int


class Glance(msgspec.Struct, frozen=True):
    """The inputs of a Dockerfile that takes plain files only, all of them there.

    `read` are the digests of the Dockerfile and its ignore files as they were read for it.
    """

    files: tuple[Seen, ...]
    bases: tuple[Named, ...]
    read: tuple[str, ...]
    missing: tuple[str, ...] = ()
    contexts: tuple[NamedContext, ...] = ()
    named: tuple[TakenOf, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The sources: the files themselves."""
        return tuple(file.path for file in self.files)

    def reaches(self, path: str) -> bool:
        """Whether this is one of the files."""
        return path in self.wanted

    def enters(self, folder: str) -> bool:
        """Whether one of the files lies in this folder."""
        return any(file.path.startswith(f"{folder}/") for file in self.files)


class Glances:
    """What was seen in earlier runs, kept in the file `path`; hold one for a run. A damaged file is an empty one.

    Nothing of the tree is kept between two questions: any step in between may make a Dockerfile, or a folder of files.
    """

    def __init__(self, path: Path, *, has_modes: bool = os.name != "nt") -> None:
        self._path = path
        self._has_modes = has_modes
        self._known: dict[str, object] | None = None
        self._dirty = False

    def inputs(self, plan: BuildPlan, ask: Callable[[BuildPlan], Reached], *, before: Reached | None = None) -> Reached:
        """What `ask` would answer, without asking where nothing that decides it has changed; raises what it raises.

        `before`: the answer of a moment ago for the same plan with other bases; its files are not looked at again.
        """
        seen = before if isinstance(before, Glance) else None
        read = (_read(plan) if seen is None else seen.read) if self._has_modes else None
        if read is None:
            return ask(plan)
        key = _key(plan, read)
        found = self._look(plan, self._load().get(key), read, () if seen is None else seen.files)
        if found is not None:
            return found
        full = ask(plan)
        plain = not full.missing and [file.path for file in full.files] == sorted(full.wanted) and _plain(full)
        plain = plain and not any(holds_login(base.name) for base in full.bases)  # a password is not kept
        if plain and _read(plan) == read:  # else it was edited since: what was found is not what that Dockerfile takes
            self._load()[key] = [
                [file.path for file in full.files],
                [[base.name, str(base.platform), base.line] for base in full.bases],
            ]
            self._dirty = True
        return full

    def save(self) -> None:
        """Keep what is new, the newest `_LIMIT` entries; nothing is written when nothing is."""
        if not self._dirty:
            return
        from multiarch_oci.statcache import replace_text

        kept = dict(list(self._load().items())[-_LIMIT:])
        replace_text(self._path, json.dumps({"format": _FORMAT, "glances": kept}))
        self._dirty = False

    def _load(self) -> dict[str, object]:
        if self._known is None:
            document = remembered(self._path)
            known = document.get("glances") if isinstance(document, dict) and document.get("format") == _FORMAT else {}
            self._known = known if isinstance(known, dict) else {}
        return self._known

    def _look(
        self, plan: BuildPlan, remembered: object, read: tuple[str, ...], seen: tuple[Seen, ...]
    ) -> Glance | None:
        """The glance, when every file is a plain file now, too, and reached through no link."""
        if not isinstance(remembered, list):
            return None
        try:
            paths, bases = remembered
            root = os.fspath(plan.context)
            if [file.path for file in seen] != paths:
                seen = tuple(self._file(root, path) for path in paths)
            return Glance(seen, tuple(Named(name, Platform.parse(text), line) for name, text, line in bases), read)
        except (TypeError, ValueError, OSError, AttributeError):
            return None

    @staticmethod
    def _file(root: str, path: str) -> Seen:
        above, _, _ = path.rpartition("/")
        while above:
            if not stat.S_ISDIR(os.lstat(f"{root}/{above}").st_mode):
                raise NotADirectoryError(above)
            above, _, _ = above.rpartition("/")
        status = os.lstat(f"{root}/{path}")
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(path)
        return Seen(path, bool(status.st_mode & stat.S_IXUSR))


def _plain(reached: Reached) -> bool:
    return all(file.what == FILE and not file.target for file in reached.files)


def _read(plan: BuildPlan) -> tuple[str, ...] | None:
    """The digests of the Dockerfile and its ignore files; None for what is asked in full.

    That is what cannot be read, and a Dockerfile with named contexts.
    """
    if plan.contexts:
        return None
    ignores = (f"{plan.dockerfile}.dockerignore", f"{plan.context}{os.sep}.dockerignore")
    try:
        found = [plan.file_digest(plan.dockerfile)]
        return (*found, *(plan.file_digest(Path(path)) if os.path.lexists(path) else "" for path in ignores))
    except OSError:
        return None


def _key(plan: BuildPlan, read: tuple[str, ...]) -> str:
    """Everything that decides what a Dockerfile takes, but for the files themselves."""
    told = [
        str(plan.dockerfile),
        str(plan.context),
        str(plan.platform),
        plan.target,
        plan.build_args,
        plan.hidden,
        str(plan.build_platform),
    ]
    based = [[base.name, str(base.platform), base.env, base.on_build] for base in plan.bases]
    return Digest.of(keyed([*read, *told, based])).hex
