"""JSON documents as untrusted input and as exact output: the one place where JSON becomes typed values.

Reading is bounded in size and depth, and every wrong type is an error that names the key. Writing is canonical: keys in
the order given, no blanks, UTF-8, so that equal records are equal bytes (RFC 8259).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from multiarch_oci.errors import MultiarchError

_T = TypeVar("_T")

_KEYED = json.JSONEncoder(separators=(",", ":"), check_circular=False)  # `dumps` makes one for each document

LIMIT = 4 << 20
"""Bytes of the largest manifest, index or config that is read (distribution spec 1.1, "Pushing Manifests": 4 MiB)."""


class InvalidDocument(MultiarchError, ValueError):
    """Bytes that are not the JSON document they should be."""


class UnreadableFile(MultiarchError, ValueError):
    """A small file that is too large, or that is none."""


def content_of(path: Path, limit: int, *, where: str) -> bytes | None:
    """The bytes of a small regular file, a link followed; None when there is none. Never waits, as for a pipe.

    Raises UnreadableFile for a folder, pipe or device, for more than `limit` bytes, and where it may not be read.
    """
    try:
        stream = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if path.is_dir():  # Windows opens none
            raise UnreadableFile("is a folder, not a file", where=where) from None
        raise UnreadableFile(f"cannot be read: {error.strerror}", where=where) from None
    try:
        status = os.fstat(stream)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
            raise UnreadableFile(f"is {kind}, not a file", where=where)
        blocks, room = [], limit + 1
        while status.st_size <= limit and room and (block := os.read(stream, room)):
            blocks.append(block)
            room -= len(block)
    finally:
        os.close(stream)
    if status.st_size > limit or not room:
        raise UnreadableFile(f"is larger than {limit} bytes", where=where)
    return b"".join(blocks)


def remembered(path: Path, limit: int = 1 << 30) -> object:
    """The value in a JSON file that a run before wrote; None when there is none, or whatever else lies there.

    What it holds is untrusted: it may be damaged, or another version's.
    """
    try:
        content = content_of(path, limit, where=str(path))
        return None if content is None else json.loads(content)
    except (MultiarchError, OSError, ValueError, RecursionError, MemoryError):
        return None


def remembered_as(path: Path, shape: type[_T]) -> _T | None:
    """What `remembered` gives, as a record of this type; None when it is anything else. Unknown members are left out.

    Read by `json`, which takes file names that are not UTF-8, where msgspec's own reader refuses the whole file.
    """
    try:
        return msgspec.convert(remembered(path), shape)
    except (msgspec.ValidationError, RecursionError):
        return None


class Document(msgspec.Struct, frozen=True):
    """A JSON object with typed getters; each getter raises InvalidDocument for a value of another type.

    A key that is absent or null is None (or empty for the collections): the specifications treat the two alike.
    """

    members: Mapping[str, object]
    where: str

    @classmethod
    def parse(cls, content: bytes, *, where: str, limit: int = LIMIT) -> Document:
        """Read one JSON object of at most `limit` bytes; InvalidDocument for everything else."""
        if len(content) > limit:
            raise InvalidDocument(f"is {len(content)} bytes of JSON, the limit is {limit}", where=where)
        try:
            value: object = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InvalidDocument(f"is not JSON: {error}", where=where) from None
        return cls.of(value, where=where)

    @classmethod
    def of(cls, value: object, *, where: str) -> Document:
        """Take an already decoded value; InvalidDocument unless it is an object."""
        if not isinstance(value, dict):
            raise InvalidDocument(f"is {_kind(value)}, not a JSON object", where=where)
        return cls(value, where)

    def text(self, key: str) -> str | None:
        """A string, or None when absent."""
        value = self.members.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def required(self, key: str) -> str:
        """A string that must be there and not empty."""
        value = self.text(key)
        if not value:
            raise InvalidDocument(f"has no '{key}'", where=self.where)
        return value

    def integer(self, key: str) -> int | None:
        """A whole number, or None when absent."""
        value = self.members.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._wrong(key, "a whole number", value)
        return value

    def nested(self, key: str) -> Document | None:
        """A nested object, or None when absent."""
        value = self.members.get(key)
        return None if value is None else Document.of(value, where=f"{self.where}: {key}")

    def objects(self, key: str) -> tuple[Document, ...]:
        """A list of objects; empty when absent."""
        return tuple(Document.of(item, where=f"{self.where}: {key}[{i}]") for i, item in enumerate(self._list(key)))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty when absent."""
        items = self._list(key)
        for item in items:
            if not isinstance(item, str):
                raise self._wrong(key, "a list of strings", items)
        return tuple(str(item) for item in items)

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """An object whose values are all strings, in its order; empty when absent."""
        inner = self.nested(key)
        if inner is None:
            return ()
        for name, value in inner.members.items():
            if not isinstance(value, str):
                raise self._wrong(f"{key}.{name}", "a string", value)
        return tuple((name, str(value)) for name, value in inner.members.items())

    def _list(self, key: str) -> list[object]:
        value = self.members.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return value

    def _wrong(self, key: str, type_name: str, value: object) -> InvalidDocument:
        return InvalidDocument(f"'{key}' is {_kind(value)}, not {type_name}", where=self.where)


def mapping(value: object) -> Mapping[str, object]:
    """A mapping as it was read from somebody's file; {} for anything else."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def canonical(value: object) -> bytes:
    """JSON without blanks, in UTF-8, keys in the order given: what others read, and take digests of.

    Raises UnicodeEncodeError for a text that UTF-8 cannot hold.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def keyed(value: object) -> bytes:
    """JSON in ASCII for digests that nobody else takes: it holds every text, also a file's name in another encoding."""
    return _KEYED.encode(value).encode("ascii")


def key_of(value: object) -> str:
    """The sha256 of `keyed` JSON, in hexadecimal: equal values have the same, others another."""
    return hashlib.sha256(keyed(value)).hexdigest()


def readable(value: object) -> bytes:
    """JSON for files that people read: two blanks a level, keys in the order given, a line feed at the end.

    A text that UTF-8 cannot hold makes all that is not ASCII escapes.
    """
    try:
        return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(value, indent=2) + "\n").encode("ascii")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names[type(value)]
