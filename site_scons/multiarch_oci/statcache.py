"""The digest of a file without reading it again: a cache keyed by what `stat` says.

A digest is taken from the cache when size, mtime, ctime, inode and device are what they were when the file was read,
and the file had been still for two seconds by then. The second condition is git's "racily clean" rule: a file that
was edited, read and edited again within one tick of the file system's clock has the `stat` of the first edit and the
bytes of the second. Only what a step of ours has just made, which nobody edits in that tick, is trusted at once, where
the clock is fine. ctime catches who sets an old mtime back (`touch -d`, `cp -p`, `rsync -t`, tar).

On Windows `st_ctime` is the time of creation, so an edit that keeps the size and sets mtime back leaves no trace in
`stat`. There files of up to 64 KiB, which is what people edit, are read every time; larger ones are trusted by size,
mtime and file index.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TypeAlias

import msgspec

from multiarch_oci.document import remembered_as

FilePath: TypeAlias = "str | os.PathLike[str]"

_FORMAT = "statcache 1"
_STILL_NS = 2_000_000_000  # the coarsest file system clock in use (FAT)
_DAY_S = 86_400
_KEEP_DAYS = 60
_REFRESH_DAYS = 7
_SMALL = 64 * 1024
_LIMIT = 200_000
_BLOCK = 1 << 18

# An entry is one string, `<hex digest><+ or -><day last seen, 6 digits><signature>`: JSON reads a mapping of strings
# three times as fast as one of lists. `+`: trusted while the signature is equal; `-`: read again (racily clean).
_HEX = 64
_DAY = slice(_HEX + 1, _HEX + 7)
_SIGNATURE = _HEX + 7


class _Kept(msgspec.Struct):
    """The file of the cache."""

    format: str
    entries: dict[str, str]


class StatCache:
    """Digests of files, remembered in `path` (None: in memory only).

    Loaded at the first question; a missing, damaged or foreign file is an empty cache. Safe to use from many threads.
    Nothing is written before `save`. `trust_ctime` says whether `st_ctime` is the time of the last change of the inode;
    by default what is true of this host. Where `consulted` is a set, the paths that are asked for are put into it.
    """

    def __init__(self, path: Path | None, *, trust_ctime: bool = os.name != "nt") -> None:
        self._path = path
        self._trust_ctime = trust_ctime
        self._lock = threading.Lock()
        self._loaded: dict[str, str] | None = None
        self._dirty = False
        self._today = int(time.time() // _DAY_S)
        self._read = 0
        self.consulted: set[str] | None = None

    @property
    def read(self) -> int:
        """How many files were read, as the cache did not know them."""
        return self._read

    def digest(self, path: FilePath) -> str:
        """The sha256 of a file's bytes, in hexadecimal; links are followed. OSError is the caller's."""
        entries = self._loaded if self._loaded is not None else self._load()
        key = _key(path)
        if self.consulted is not None:
            self.consulted.add(key)
        entry = entries.get(key)
        if entry is not None:
            status = os.stat(key)  # noqa: PTH116  # pathlib triples the cost of the hot path
            if entry[_SIGNATURE:] == _signature(status) and entry[_HEX] == "+" and self._trusts(status):
                if int(entry[_DAY]) < self._today - _REFRESH_DAYS:
                    self._put(key, entry[:_HEX], status, trusted=True)
                return entry[:_HEX]
        return self._hash(key)

    def finished(self, path: FilePath) -> str:
        """As `digest`, for a file that a step of this run has just made: it is read once, and then known.

        The caller promises that nobody else is writing the file at this moment. On a file system whose clock is
        coarse (whole seconds) the file is nevertheless read once more by the next run.
        """
        return self._hash(_key(path), made=True)

    def forget(self, path: FilePath) -> None:
        """Read this file again at the next question."""
        entries = self._loaded if self._loaded is not None else self._load()
        if entries.pop(_key(path), None) is not None:
            self._dirty = True

    def refresh(self) -> None:
        """Read the cache's file again at the next question: another run may have written to it. `save` comes first."""
        with self._lock:
            self._today = int(time.time() // _DAY_S)
            if self._path is not None:
                self._loaded, self._dirty = None, False

    def save(self) -> None:
        """Write the cache, atomically, if anything was learnt since it was loaded; entries unused for long go."""
        with self._lock:
            if self._path is None or self._loaded is None or not self._dirty:
                return
            oldest = f"{self._today - _KEEP_DAYS:06d}"
            kept = {path: entry for path, entry in list(self._loaded.items()) if entry[_DAY] >= oldest}
            if len(kept) > _LIMIT:
                newest = sorted(kept.items(), key=lambda item: item[1][_DAY], reverse=True)
                kept = dict(newest[:_LIMIT])
            replace_text(self._path, json.dumps({"format": _FORMAT, "entries": kept}, separators=(",", ":")))
            self._dirty = False

    def _load(self) -> dict[str, str]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _read_entries(self._path) if self._path is not None else {}
            return self._loaded

    def _trusts(self, status: os.stat_result) -> bool:
        return self._trust_ctime or status.st_size > _SMALL

    def _hash(self, key: str, *, made: bool = False) -> str:
        """Read the file; remembered only if it did not change meanwhile."""
        now = time.time_ns()
        running = hashlib.sha256()
        with open(key, "rb", buffering=0) as stream:  # noqa: PTH123  # as in digest
            before = os.fstat(stream.fileno())
            while block := stream.read(_BLOCK):
                running.update(block)
            after = os.fstat(stream.fileno())
        digest = running.hexdigest()
        self._read += 1
        if _signature(before) == _signature(after):
            fine = made and self._trust_ctime and after.st_ctime_ns % 1_000_000_000 != 0
            self._put(key, digest, after, trusted=fine or _still(after, now))
        else:
            self.forget(key)
        return digest

    def _put(self, key: str, digest: str, status: os.stat_result, *, trusted: bool) -> None:
        entry = f"{digest}{'+' if trusted else '-'}{self._today:06d}{_signature(status)}"
        entries = self._loaded if self._loaded is not None else self._load()
        if entries.get(key) != entry:
            entries[key] = entry
            self._dirty = True


def replace_text(path: Path, text: str) -> None:
    """Write a file of ASCII text so that a reader sees the old one or the new one, never a part; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        beside.write_text(text, encoding="ascii")
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _key(path: FilePath) -> str:
    text = path if type(path) is str else os.fspath(path)
    return text if os.path.isabs(text) else os.path.abspath(text)  # noqa: PTH100,PTH117  # as in digest


def _signature(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_dev}"


def _still(status: os.stat_result, now: int) -> bool:
    """Whether the file had not been touched for two seconds at `now`; a time in the future is not still."""
    return max(status.st_mtime_ns, status.st_ctime_ns) + _STILL_NS < now


def _read_entries(path: Path) -> dict[str, str]:
    kept = remembered_as(path, _Kept)
    if kept is None or kept.format != _FORMAT:
        return {}
    sound = all(len(entry) > _SIGNATURE and entry[_DAY].isdecimal() for entry in kept.entries.values())
    return kept.entries if sound else {}
