"""A table from paths to values that stays small: thousands in memory, more in a temporary file without a name.

The names of an image's files may be hundreds of thousands (each at about 1.5 kB as objects), of which a Dockerfile asks
for a few. Paths are relative, with `/`, without a NUL.
"""

from __future__ import annotations

import errno
import itertools
import marshal
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import sqlite3

IN_MEMORY = 10_000
"""As many paths are kept in memory: about 15 MB. Most bases of Linux have fewer."""
_CACHED = 1024
_PAGES = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000; PRAGMA temp_store = FILE;
    CREATE TABLE paths (key BLOB PRIMARY KEY, path BLOB, value BLOB, number INTEGER) WITHOUT ROWID;
    BEGIN
"""
V = TypeVar("V")


class PathTable(Mapping[str, V], Generic[V]):
    """A mapping that keeps the order in which its paths came, as a dict does; for one thread at a time.

    `encode` and `decode` make bytes of a value and an equal value of these. While it is iterated over it is not to be
    changed. OSError when the temporary file cannot be written.
    """

    def __init__(self, encode: Callable[[V], bytes], decode: Callable[[bytes], V], in_memory: int = IN_MEMORY) -> None:
        self._encode = encode
        self._decode = decode
        self._most = in_memory
        self._values: dict[str, V] = {}
        self._below: dict[str, set[str]] = {}  # the names in each folder, also of folders that are no path here
        self._file: _File | None = None
        self._cached: dict[str, V | None] = {}

    def __getitem__(self, path: str) -> V:
        value = self.find(path)
        if value is None:
            raise KeyError(path)
        return value

    def find(self, path: str) -> V | None:
        """The value of a path; None = it has none."""
        if self._file is None:
            return self._values.get(path)
        if path in self._cached:
            return self._cached[path]
        stored = self._file.get(path)
        return self._cache(path, None if stored is None else self._decode(stored))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.find(path) is not None

    def __len__(self) -> int:
        return len(self._values) if self._file is None else self._file.count()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values) if self._file is None else (path for path, _ in self._file.rows("number"))

    def pairs(self) -> Iterator[tuple[str, V]]:
        """Paths and values in the order in which they came; one is in memory at a time."""
        return self._pairs("number") if self._file is not None else iter(self._values.items())

    def by_path(self) -> Iterator[tuple[str, V]]:
        """Paths and values in the order of the paths as texts."""
        return self._pairs("path") if self._file is not None else iter(sorted(self._values.items(), key=_first))

    def by_folder(self) -> Iterator[tuple[str, V]]:
        """Paths and values folder by folder: what lies in a folder follows it at once."""
        if self._file is not None:
            return self._pairs("key")
        return iter(sorted(self._values.items(), key=lambda pair: folder_order(pair[0])))

    def put(self, path: str, value: V) -> None:
        """Give a path a value; one that is there keeps its place in the order."""
        if self._file is not None:
            self._file.put(path, self._encode(value))
            self._cache(path, value)
            return
        self._values[path] = value
        folder, _, name = path.rpartition("/")
        while name not in (names := self._below.setdefault(folder, set())):
            names.add(name)
            if not folder:
                break
            folder, _, name = folder.rpartition("/")
        if len(self._values) > self._most:
            self._to_file()

    def pop(self, path: str) -> None:
        """Forget a path, if it is there."""
        self._values.pop(path, None)
        if self._file is not None:
            self._file.remove(path)
            self._cached[path] = None

    def pop_below(self, folder: str) -> None:
        """Forget every path below a folder, not the folder's own."""
        if self._file is not None:
            self._file.remove_below(folder)
            self._cached.clear()
            return
        pending = [folder]
        while pending:
            above = pending.pop()
            for name in self._below.pop(above, ()):
                path = f"{above}/{name}" if above else name
                self._values.pop(path, None)
                pending.append(path)

    def names(self, folder: str) -> list[str]:
        """The names of the paths that lie in this very folder, sorted."""
        if self._file is not None:
            return list(self._file.names(folder))
        start = f"{folder}/" if folder else ""
        return sorted(name for name in self._below.get(folder, ()) if start + name in self._values)

    def _pairs(self, order: str) -> Iterator[tuple[str, V]]:
        rows = () if self._file is None else self._file.rows(order)
        return ((path, self._decode(value)) for path, value in rows)

    def _cache(self, path: str, value: V | None) -> V | None:
        if len(self._cached) >= _CACHED:
            self._cached.clear()
        self._cached[path] = value
        return value

    def _to_file(self) -> None:
        try:
            self._file = _File()
        except ImportError:  # a Python that was built without it
            self._most *= 1000
            return
        for path, value in self._values.items():
            self._file.put(path, self._encode(value))
        self._values, self._below = {}, {}


class PairList:
    """Pairs of texts in their order, kept as a PathTable keeps its values."""

    def __init__(self) -> None:
        self._pairs: PathTable[tuple[str, str]] = PathTable(marshal.dumps, marshal.loads)
        self._numbers = itertools.count()

    def append(self, first: str, second: str) -> None:
        """Add a pair at the end."""
        self._pairs.put(str(next(self._numbers)), (first, second))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (pair for _, pair in self._pairs.pairs())


def folder_order(path: str) -> str:
    """By what paths are sorted so that those in a folder follow it at once."""
    return path.replace("/", "\0")


def _first(pair: tuple[str, V]) -> str:
    return pair[0]


def _key(path: str) -> bytes:
    """The path as bytes, which sort as `folder_order` does."""
    return _bytes(path).replace(b"/", b"\0")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")  # in this encoding bytes sort as texts do


class _File:
    """The rows of a table in a temporary database, which goes when this does."""

    def __init__(self) -> None:
        import sqlite3  # few builds have so many paths

        self._error = sqlite3.Error
        # Its destructor may run in any thread; "" is a temporary file.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._base.executescript(_PAGES)
        self._numbers = itertools.count()

    def get(self, path: str) -> bytes | None:
        row = self._run("SELECT value FROM paths WHERE key = ?", _key(path)).fetchone()
        return None if row is None else row[0]

    def put(self, path: str, value: bytes) -> None:
        self._run(
            "INSERT INTO paths VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            _key(path), _bytes(path), value, next(self._numbers),
        )  # fmt: skip

    def remove(self, path: str) -> None:
        self._run("DELETE FROM paths WHERE key = ?", _key(path))

    def remove_below(self, folder: str) -> None:
        self._run("DELETE FROM paths WHERE key >= ? AND key < ?", *_range(folder))

    def count(self) -> int:
        return int(self._run("SELECT count(*) FROM paths").fetchone()[0])

    def rows(self, order: str) -> Iterator[tuple[str, bytes]]:
        """Path and value of each row, by the column `order`."""
        for path, value in self._run(f"SELECT path, value FROM paths ORDER BY {order}"):  # noqa: S608  # our own column
            yield path.decode("utf-8", "surrogatepass"), value

    def names(self, folder: str) -> Iterator[str]:
        start, end = _range(folder)
        at: bytes | None = start
        prefix = len(start)
        while at is not None:
            rows = self._run("SELECT key FROM paths WHERE key >= ? AND key < ? ORDER BY key", at, end)
            at = None
            for (key,) in rows:
                name, below, _ = key[prefix:].partition(b"\0")
                if below:  # what is deeper is passed over
                    at = key[:prefix] + name + b"\1"
                    break
                yield name.decode("utf-8", "surrogatepass")

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._base.execute(statement, values)
        except self._error as error:
            raise OSError(errno.EIO, f"the temporary file for the names of an archive: {error}") from error


def _range(folder: str) -> tuple[bytes, bytes]:
    """The first key below a folder, and the first behind all of them."""
    return (_key(folder) + b"\0", _key(folder) + b"\1") if folder else (b"", b"\xff")
