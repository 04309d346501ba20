"""What a walk of the source folders saw, and what `go list` reads of the files in them: asked once for all programs.

Two walks with the same digest saw the same names, kinds and link targets, and of the files that Go reads the same
sizes, times of change and inodes, so `go list` would answer the same. Of all other files the answer knows names only
(embed patterns): an edited Dockerfile beside the sources asks nothing. Two cases are not settled by that, and named:
files that were written a moment before the walk (an edit in the same tick of the clock leaves no trace), and files
whose mtime was set back (Go itself is fooled: its package index is keyed by name, size and mtime).

An edit below the head of a source file starts no `go list`. The head of a Go file is everything before the first
declaration (cmd/go, internal/modindex, `readGoInfo`): the package clause, imports, cgo's preambles, build constraints
and directives. Where `embed` is imported, Go reads on; where a block comment or a raw string stands before what looks
like the first declaration, that may lie within it. Then the whole file counts, as with all that is not Go.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.statcache import replace_text

_STILL_NS = 2_000_000_000
_BACK_DATED_NS = 2_000_000_000  # Go indexes no file that is younger than this (cmd/go modindex, modTimeCutoff)
NOT_EMBEDDABLE = frozenset((".git", ".hg", ".svn", ".bzr"))  # cmd/go load.isBadEmbedName
_READ_BY_GO = (
    *(
        ".go",
        ".mod",
        ".work",
        ".c",
        ".cc",
        ".cpp",
        ".cxx",
        ".m",
        ".h",
        ".hh",
        ".hpp",
        ".hxx",
        ".f",
        ".F",
        ".for",
        ".f90",
    ),
    *(".s", ".S", ".sx", ".swig", ".swigcxx", ".syso", "modules.txt"),
)


class Tree(msgspec.Struct, frozen=True):
    """The state of some folders and all below them.

    `moving` are the files that `go list` reads and that were written less than two seconds before the walk;
    `back_dated` are the folders in which the mtime of such a file is older than its last change. `files` are all that
    it reads, each with the line that says its state, and `links` those to folders or to nothing, each with where it
    leads; without an `outline` nothing is known but the digest.
    """

    digest: str
    folders: frozenset[str]
    moving: tuple[str, ...]
    back_dated: frozenset[str]
    outline: str = ""
    files: Mapping[str, str] = msgspec.field(default_factory=dict)
    links: Mapping[str, str] = msgspec.field(default_factory=dict)


def may_be_source(name: str) -> bool:
    """Whether `go list` may read a file of this name: tests, too, as it fails where one has no package clause."""
    return name.endswith(_READ_BY_GO) and not name.startswith(("_", "."))


def walk(roots: Iterable[str], skip: frozenset[str] = frozenset(), *, trust_ctime: bool = os.name != "nt") -> Tree:
    """Look at all folders below `roots` (absolute), but for those in `skip` and version control's own.

    Links to folders are not followed, as Go does not follow them in patterns; links to files are. A root that is
    missing is part of the answer. Where `st_ctime` is no time of change, every file that Go reads counts as moving and
    as back-dated.
    """
    limit = time.time_ns() - _STILL_NS if trust_ctime else 0
    running, outline = hashlib.sha256(), hashlib.sha256()
    folders, back_dated = set[str](), set[str]()
    files, links = dict[str, str](), dict[str, str]()
    moving: list[str] = []
    pending = sorted(set(roots), reverse=True)
    while pending:
        if (folder := pending.pop()) in folders:
            continue
        folders.add(folder)
        lines, below = [], []
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in NOT_EMBEDDABLE and entry.path not in skip:
                    below.append(entry.path)
                    lines.append(f"{entry.name}\0/")
                continue
            line, status = _seen(entry)
            lines.append(line)
            if status is None:
                links[entry.path] = line
            elif entry.name.endswith(_READ_BY_GO):
                files[entry.path] = line
                if max(status.st_mtime_ns, status.st_ctime_ns) >= limit:
                    moving.append(entry.path)
                if not trust_ctime or status.st_ctime_ns > status.st_mtime_ns + _BACK_DATED_NS:
                    back_dated.add(folder)
        lines.sort()
        running.update(_bytes_of(folder, lines))
        outline.update(_bytes_of(folder, map(outlined, lines)))
        pending.extend(sorted(below, reverse=True))
    times = tuple(sorted(moving)), frozenset(back_dated)
    return Tree(running.hexdigest(), frozenset(folders), *times, outline.hexdigest(), files, links)


def _bytes_of(folder: str, lines: Iterable[str]) -> bytes:
    return "\0".join((folder, *lines, "\0")).encode("utf-8", "surrogateescape")


def look(path: str) -> str:
    """The same line for one path, "" when there is nothing: for files that lie outside every walk.

    Of a folder it is one line over everything in it.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  # called for every declared source
    except OSError:
        return ""
    if not stat.S_ISDIR(status.st_mode):
        return _line(path, status)
    lines = [path]
    for here, folders, files in os.walk(path):
        folders.sort()
        lines += [here, *(look(f"{here}{os.sep}{name}") for name in sorted(files))]
    return hashlib.sha256("\0".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _seen(entry: os.DirEntry[str]) -> tuple[str, os.stat_result | None]:
    try:
        if entry.is_symlink():
            target = os.readlink(entry.path)  # noqa: PTH115  # as text, and fast
            try:
                status = entry.stat()
            except OSError:
                return f"{entry.name}\0-> {target}", None
            if stat.S_ISDIR(status.st_mode):
                return f"{entry.name}\0-> {target}/", None
            return f"{_state(entry.name, status)} -> {target}", status
        status = entry.stat()
    except OSError:
        return f"{entry.name}\0?", None
    return _state(entry.name, status), status


def _state(name: str, status: os.stat_result) -> str:
    """What of a file's state can change the answer: its contents only where Go reads them."""
    return _line(name, status) if name.endswith(_READ_BY_GO) else f"{name}\0{stat.S_IFMT(status.st_mode)}"


def outlined(line: str) -> str:
    """A line without what changes when a file that Go reads is edited."""
    name, _, state = line.partition("\0")
    if not name.endswith(_READ_BY_GO):
        return line
    return f"{name}\0{state.partition(' ')[0]}{''.join(state.partition(' -> ')[1:])}"


def _line(name: str, status: os.stat_result) -> str:
    kind = stat.S_IFMT(status.st_mode)
    return f"{name}\0{kind} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


_HEADS_FORMAT = "go heads 2"
_AT_ONCE = 4000
"""Files that are read at most for one question: a tree with more that are new is not worth it."""
EMBEDS = "e"
"""What stands behind the digest of the head of a file that may embed others."""
_DECLARATION = rb"(?m)^(?:const|func|type|var)[ \t(]"
_UNSURE = (b"/*", b"`", b"embed", b"\0")


def head(name: str, content: bytes) -> bytes:
    """The part of a file that can change the answer of `go list`; equal parts, equal answers."""
    match = re.search(_DECLARATION, content) if name.endswith(".go") else None
    if match is None:
        return content
    before = content[: match.start()]
    return content if any(sign in before for sign in _UNSURE) else before


class _KeptHeads(msgspec.Struct):
    """What is kept: of each file its state (a line of the walk) and the digest of its head."""

    format: str
    heads: dict[str, tuple[str, str]]


class Heads:
    """The heads of files, each read again when its state is another; `cache` is the folder of what is kept.

    A file that was written a moment before the walk is read at every question: its state may not tell the next edit.
    """

    def __init__(self, cache: Path | None) -> None:
        self._path = None if cache is None else cache / "heads.json"
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, str]] | None = None
        self._used: dict[str, tuple[str, str]] = {}
        self._dirty = False

    def digest(self, tree: Tree) -> str:
        """One digest over the heads of all files of a walk, as they are now; empty when too many are not known."""
        heads = self.of(tree, at_once=_AT_ONCE)
        if heads is None:
            return ""
        running = hashlib.sha256()
        for path in sorted(heads):
            running.update(f"{path}\0{heads[path]}\0".encode("utf-8", "surrogateescape"))
        return running.hexdigest()

    def of(self, tree: Tree, *, at_once: int) -> dict[str, str] | None:
        """The digest of the head of each file of a walk, as it is now ("": it cannot be read).

        None when more than `at_once` are not known.
        """
        with self._lock:
            known = self._load()
            unsure = set(tree.moving)
            new = [path for path, line in tree.files.items() if path in unsure or known.get(path, _NOTHING)[0] != line]
            if len(new) > at_once:
                return None
            fresh = {path: ("" if path in unsure else tree.files[path], _digest_of_head(path)) for path in new}
            self._dirty = self._dirty or any(known.get(path) != entry for path, entry in fresh.items())
            known.update(fresh)
            self._used |= {path: known[path] for path in tree.files}
            return {path: known[path][1] for path in tree.files}

    def save(self) -> None:
        """Write what was learnt; files that were not asked about go."""
        with self._lock:
            if self._path is not None and self._dirty:
                document = {"format": _HEADS_FORMAT, "heads": self._used}
                replace_text(self._path, json.dumps(document, separators=(",", ":")))
                self._dirty = False

    def _load(self) -> dict[str, tuple[str, str]]:
        if self._known is None:
            self._known = {} if self._path is None else _kept_heads(self._path)
        return self._known


_NOTHING = ("", "")


def _digest_of_head(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return ""
    digest = hashlib.sha256(head(path, content)).hexdigest()[:32]
    return f"{digest}{EMBEDS}" if path.endswith(".go") and b"go:embed" in content else digest


def _kept_heads(path: Path) -> dict[str, tuple[str, str]]:
    kept = remembered_as(path, _KeptHeads)
    return kept.heads if kept is not None and kept.format == _HEADS_FORMAT else {}
