"""By which CACHE_KEY what came out of a shared cache counted: with another one it is asked for again, or made.

A target that was taken lies in the tree as one that was made here, and nothing would look at its entry again. So its
name is kept with the key that signed it, or with none; as is that of a program that was compiled with packages out of
the cache. Where CACHE_KEY is given and is another, such a target is out of date.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from multiarch_oci.document import remembered_as
from multiarch_oci.statcache import replace_text
from scons_multiarch.paths import shown
from scons_multiarch.tracking.held import TAKEN

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_FORMAT = "taken 1"
WHY = "it came from the cache without a signature of this CACHE_KEY"


class _Kept(msgspec.Struct):
    """The file: the name of a key by target, empty for none."""

    format: str
    keys: dict[str, str]


class SignedBy:
    """Which targets of a tree came out of a cache, signed by which key; any number of threads. One a build."""

    def __init__(self, run: Run) -> None:
        self._path = run.tree.private / TAKEN
        self._own = ""
        if run.settings.cache is not None and run.settings.cache.key:
            from scons_multiarch.shared.sealing import key_name

            self._own = key_name(run)
        self._lock = threading.Lock()
        self._compiled: set[str] = set()
        kept = remembered_as(self._path, _Kept)
        self._keys = kept.keys if kept is not None and kept.format == _FORMAT else {}
        self._dirty = False

    def is_outdated(self, node: Any) -> bool:
        """Whether a target was taken when CACHE_KEY was another than it is; without one none is outdated."""
        return bool(self._own) and self._keys.get(shown(node), self._own) != self._own

    def took(self, node: Any) -> None:
        """Note that a target was taken out of the cache, by the key of this run."""
        self._put(shown(node), self._own)

    def compiled_with_packages(self, node: Any) -> None:
        """Note that a program is about to be compiled with packages out of the cache."""
        with self._lock:
            self._compiled.add(shown(node))

    def made(self, node: Any) -> None:
        """Note that a target was made here."""
        name = shown(node)
        self._put(name, self._own if name in self._compiled else None)

    def _put(self, name: str, key: str | None) -> None:
        with self._lock:
            if self._keys.get(name) == key:
                return
            self._dirty = True
            if key is None:
                del self._keys[name]
            else:
                self._keys[name] = key

    def save(self) -> None:
        """Keep it, at once, where anything changed. OSError is the caller's."""
        with self._lock:
            if self._dirty:
                kept = {"format": _FORMAT, "keys": dict(sorted(self._keys.items()))}
                replace_text(self._path, json.dumps(kept, separators=(",", ":")))
                self._dirty = False


def signed_by(run: Run) -> SignedBy:
    """That of the present build."""
    return run.build.once("signed by", lambda: SignedBy(run))
