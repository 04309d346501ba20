"""What `go list` reads of a source file, so that an edit below it starts no `go list`.

Of a Go file that is everything before the first declaration (cmd/go, internal/modindex, `readGoInfo`): the package
clause, imports, cgo's preambles, build constraints and directives. Where `embed` is imported, Go reads on; where a
block comment or a raw string stands before what looks like the first declaration, that may lie within it. Then the
whole file counts, as with all that is not Go.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.golang.tree import Tree
from multiarch_oci.statcache import replace_text

_FORMAT = "go heads 1"
_AT_ONCE = 4000
"""Files that are read at most for one question: a tree with more that are new is not worth it."""
_DECLARATION = rb"(?m)^(?:const|func|type|var)[ \t(]"
_UNSURE = (b"/*", b"`", b"embed", b"\0")


def head(name: str, content: bytes) -> bytes:
    """The part of a file that can change the answer of `go list`; equal parts, equal answers."""
    match = re.search(_DECLARATION, content) if name.endswith(".go") else None
    if match is None:
        return content
    before = content[: match.start()]
    return content if any(sign in before for sign in _UNSURE) else before


class _Kept(msgspec.Struct):
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
        with self._lock:
            known = self._load()
            unsure = set(tree.moving)
            new = [path for path, line in tree.files.items() if path in unsure or known.get(path, _NOTHING)[0] != line]
            if len(new) > _AT_ONCE:
                return ""
            fresh = {path: ("" if path in unsure else tree.files[path], _digest(path)) for path in new}
            self._dirty = self._dirty or any(known.get(path) != entry for path, entry in fresh.items())
            known.update(fresh)
            self._used |= {path: known[path] for path in tree.files}
            running = hashlib.sha256()
            for path in sorted(tree.files):
                running.update(f"{path}\0{known[path][1]}\0".encode("utf-8", "surrogateescape"))
            return running.hexdigest()

    def save(self) -> None:
        """Write what was learnt; files that were not asked about go."""
        with self._lock:
            if self._path is not None and self._dirty:
                document = {"format": _FORMAT, "heads": self._used}
                replace_text(self._path, json.dumps(document, separators=(",", ":")))
                self._dirty = False

    def _load(self) -> dict[str, tuple[str, str]]:
        if self._known is None:
            self._known = {} if self._path is None else _read(self._path)
        return self._known


_NOTHING = ("", "")


def _digest(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(head(path, content)).hexdigest()[:32]


def _read(path: Path) -> dict[str, tuple[str, str]]:
    kept = remembered_as(path, _Kept)
    return kept.heads if kept is not None and kept.format == _FORMAT else {}
