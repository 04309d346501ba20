"""The contents of the files of one run: each digest asked for once, the includes of C files remembered by digest."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.golang.includes import Includes, includes
from multiarch_oci.statcache import StatCache, replace_text

_FORMAT = "includes 1"
ABSENT = "absent"


class _Kept(msgspec.Struct):
    """What is kept: the `#include`s of files by their digest."""

    format: str
    includes: dict[str, Includes]


class Contents:
    """What is in files, as first seen by this object; `cache` is the folder of what is kept (None: nothing is)."""

    def __init__(self, cache: Path | None, stats: StatCache) -> None:
        self._path = None if cache is None else cache / "includes.json"
        self._stats = stats
        self._digests: dict[str, str] = {}
        self._includes: dict[str, Includes] | None = None
        self._used: dict[str, Includes] = {}

    def digest(self, path: str) -> str:
        """The sha256 of a file in hexadecimal; `absent` when it cannot be read."""
        digest = self._digests.get(path)
        if digest is None:
            try:
                digest = self._stats.digest(path)
            except OSError:
                digest = ABSENT
            self._digests[path] = digest
        return digest

    def includes(self, path: Path) -> Includes:
        """The `#include`s of a file; none when it cannot be read."""
        if self._includes is None:
            self._includes = self._load()
        digest = self.digest(str(path))
        if digest not in self._used:
            known = self._includes.get(digest)
            if known is None:
                try:
                    known = includes(path.read_bytes())
                except OSError:
                    known = ()
            self._used[digest] = known
        return self._used[digest]

    def save(self) -> None:
        """Write the includes, if any was learnt; those of files that exist no longer go."""
        if self._path is not None and any(digest not in (self._includes or {}) for digest in self._used):
            document = {"format": _FORMAT, "includes": self._used}
            replace_text(self._path, json.dumps(document, separators=(",", ":")))
            self._includes = dict(self._used)

    def _load(self) -> dict[str, Includes]:
        kept = None if self._path is None else remembered_as(self._path, _Kept)
        return kept.includes if kept is not None and kept.format == _FORMAT else {}
