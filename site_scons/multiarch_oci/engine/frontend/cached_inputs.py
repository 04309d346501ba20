"""What Dockerfiles took in earlier runs, so that asking again parses none and walks nothing.

A Dockerfile that copies plain files by name, as most do, takes the same files as long as itself, the ignore files and
the arguments are the same bytes; only the files need a look. Everything else (folders, wildcards, links, missing
files, hosts without an executable bit) is asked for in full each time: an answer of the cache is never a guess.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from multiarch_oci.document import key_of, remembered
from multiarch_oci.engine import OURS, BuildPlan
from multiarch_oci.engine.frontend import FILE, BaseWanted, ContextFile, ContextInputs, covering, may_be_pattern
from multiarch_oci.errors import holds_login
from multiarch_oci.platform import Platform

if TYPE_CHECKING:
    from multiarch_oci.heldfiles import HeldFiles

_FORMAT = "inputs 2"
_LIMIT = 4096
Ask = Callable[[BuildPlan, "ContextInputs | None"], ContextInputs]
"""Gives the inputs of a plan; the second is its answer of a moment ago for the same plan with other bases, if any."""


class ReadInputs(ContextInputs, frozen=True):
    """The inputs of a Dockerfile, and the digests of it and its ignore files as they were read for them."""

    read: tuple[str, ...] = ()


class CachedInputs(ReadInputs, frozen=True):
    """The inputs of a Dockerfile that takes plain files only, all of them there."""


class InputCache:
    """What was found in earlier runs, kept in the file `path`; hold one for a run. A damaged file is an empty one.

    Nothing of the tree is kept between two questions: any step in between may make a Dockerfile, or a folder of files.
    """

    def __init__(self, path: Path, *, has_modes: bool = os.name != "nt") -> None:
        self._path = path
        self._has_modes = has_modes
        self._entries: dict[str, object] | None = None
        self._dirty = False

    def inputs(self, plan: BuildPlan, ask: Ask, *, before: ContextInputs | None = None) -> ContextInputs:
        """What `ask` would answer, without asking where nothing that decides it has changed; raises what it raises.

        `before`: the answer of a moment ago for the same plan with other bases; its files are not looked at again.
        """
        last = before if isinstance(before, CachedInputs) else None
        read = (_read(plan) if last is None else last.read) if self._has_modes else None
        if read is None:
            return ask(plan, None)
        key = _key(plan, read)
        cached = _checked(plan, self._load().get(key), read, () if last is None else last.files)
        if cached is not None:
            return cached
        known = before if isinstance(before, ReadInputs) and before.read == read else None
        full = ask(plan, known)
        if _read(plan) != read:
            return full  # it was edited since: that is not what this Dockerfile takes
        if _is_plain(full, plan):
            given = [file for file in full.files if _is_given(plan, file.path)]
            self._load()[key] = [
                [file.path for file in full.files if file not in given],
                [[base.name, str(base.platform), base.line] for base in full.bases],
                [[file.path, file.kind, file.executable] for file in given],
                full.patterns,
            ]
            self._dirty = True
        return ReadInputs(**{name: getattr(full, name) for name in ContextInputs.__struct_fields__}, read=read)

    def save(self) -> None:
        """Keep what is new, the newest `_LIMIT` entries; nothing is written when nothing is."""
        if not self._dirty:
            return
        from multiarch_oci.statcache import replace_text

        kept = dict(list(self._load().items())[-_LIMIT:])
        replace_text(self._path, json.dumps({"format": _FORMAT, "inputs": kept}))
        self._dirty = False

    def _load(self) -> dict[str, object]:
        if self._entries is None:
            document = remembered(self._path)
            entries = document.get("inputs") if isinstance(document, dict) and document.get("format") == _FORMAT else {}
            self._entries = entries if isinstance(entries, dict) else {}
        return self._entries


def _checked(
    plan: BuildPlan, entry: object, read: tuple[str, ...], files: tuple[ContextFile, ...]
) -> CachedInputs | None:
    """What an entry of the cache says, when every file is a plain file now, too, and reached through no link.

    `files` are those that were looked at a moment ago, if any.
    """
    if not isinstance(entry, list):
        return None
    try:
        paths, bases, given, patterns = entry
        root = os.fspath(plan.context)
        if [file.path for file in files] != sorted([*paths, *(path for path, _, _ in given)]):
            known = [ContextFile(path, kind, executable) for path, kind, executable in given]
            plain = (_plain_file(root, path, plan.held) for path in paths)
            files = tuple(sorted([*known, *plain], key=lambda file: file.path))
        named = tuple(BaseWanted(name, Platform.parse(text), line) for name, text, line in bases)
        return CachedInputs(files, tuple(patterns), (), named, read=read)
    except (TypeError, ValueError, OSError, AttributeError):
        return None


def _plain_file(root: str, path: str, held: HeldFiles | None) -> ContextFile:
    """A file of the context as it is now, or is `held`; OSError when it is none, or a link leads to it."""
    known = None if held is None else held.get(f"{root}{os.sep}{path}")
    if known is not None:
        return ContextFile(path, FILE, known.executable)
    above, _, _ = path.rpartition("/")
    while above:
        if not stat.S_ISDIR(os.lstat(f"{root}/{above}").st_mode):
            raise NotADirectoryError(above)
        above, _, _ = above.rpartition("/")
    status = os.lstat(f"{root}/{path}")
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(path)
    return ContextFile(path, FILE, bool(status.st_mode & stat.S_IXUSR))


def _is_plain(inputs: ContextInputs, plan: BuildPlan) -> bool:
    """Whether a Dockerfile takes plain files by their names alone, and no base's name holds a password.

    Files that are given lie where they lie as long as the plan is the same, and are not looked at; folders are.
    """
    if any(file.origin is not None and file.origin.is_dir() for file in plan.files):
        return False
    files = [file for file in inputs.files if not _is_given(plan, file.path)]
    patterns = [path for path in inputs.patterns if not _is_given(plan, path)]
    if inputs.missing or [file.path for file in files] != sorted(patterns):
        return False
    plain = all(file.kind == FILE and not file.target and not may_be_pattern(file.path) for file in files)
    return plain and not any(holds_login(base.name) for base in inputs.bases)


def _is_given(plan: BuildPlan, path: str) -> bool:
    """Whether a path is that of a given file, or of a folder that holds nothing else."""
    return bool(plan.files) and (f"{path}/".startswith(f"{OURS}/") or covering(plan.files, path) is not None)


def _read(plan: BuildPlan) -> tuple[str, ...] | None:
    """The digests of the Dockerfile and its ignore files; None for what is asked in full.

    That is what cannot be read, a Dockerfile with named contexts, and a context of several folders.
    """
    if plan.contexts or plan.overlays:
        return None
    if plan.text:
        return (plan.digest(),)
    ignores = (f"{plan.dockerfile}.dockerignore", f"{plan.context}{os.sep}.dockerignore")
    try:
        own = plan.digest()
        return (own, *(plan.file_digest(path) if os.path.lexists(path) else "" for path in ignores))
    except OSError:
        return None


def _key(plan: BuildPlan, read: tuple[str, ...]) -> str:
    """Everything that decides what a Dockerfile takes, but for the files themselves."""
    plain = [
        str(plan.dockerfile),
        str(plan.context),
        str(plan.platform),
        plan.target,
        plan.build_args,
        plan.hidden,
        str(plan.build_platform),
        *([file.path, str(file.origin), file.content.hex()] for file in plan.files),
    ]
    based = [[base.name, str(base.platform), base.env, base.on_build] for base in plan.bases]
    return key_of([*read, *plain, based])
