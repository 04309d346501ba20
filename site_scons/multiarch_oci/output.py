"""Where a user wants a report or plan: a file, a device, a pipe, or standard output; never in the place of his own.

A device, a pipe and a descriptor (`-`, `/dev/stdout`, `/dev/fd/3`) are written to as they are. A file is replaced at
once, and only one that is empty or was written by this tool; a link is never followed nor replaced.
"""

from __future__ import annotations

import errno
import json
import os
import posixpath
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from multiarch_oci.document import readable
from multiarch_oci.errors import MultiarchError
from multiarch_oci.quoting import json_in_log

STDOUT = "-"
FORMAT = "format"
"""The first key of every JSON file that is written where a user asked; its value begins with `_OURS`."""
_OURS = "multiarch "
_MARKED = (b"<!doctype html><!-- multiarch ", b"<!-- multiarch ", b"%% multiarch ", b"// multiarch ")
"""How a page, a summary and a graph of ours begin."""
_OLDER = ({"steps", "unchanged"}, {"images", "pins", "tags", "upload"})
"""The keys of reports and plans that did not say yet what they are."""
_LIMIT = 64 << 20
_READER_S = 30.0
_POLL_S = 0.05
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")
_FIRST_OWN, _LAST_OF_SHELLS = 3, 9  # the descriptors that every shell can redirect, but for the standard ones
_SYSTEM = re.compile(r"/(?:dev(?!/shm/)|proc|sys)/")
_FOLDER = re.compile(r"(?:^|[/\\])\.{0,2}\Z" if os.name == "nt" else r"(?:^|/)\.{0,2}\Z")
_STREAMS = {STDOUT: 1, "/dev/stdout": 1, "/dev/stderr": 2}
_NAMED = re.compile(
    r"SConstruct|SConscript|custom\.py|VERSION|images\.lock|go\.(?:mod|sum|work|work\.sum)|.*\.go"
    r"|\.dockerignore|(?:.*\.)?Dockerfile(?:\..*)?|sconsw(?:\.bat)?|requirements.*\.(?:in|lock)",
    re.IGNORECASE,
)
"""Files that the build reads where they are, also those that are not there yet."""
_FOLDERS = (".multiarch", "site_scons", ".git")


class Refused(MultiarchError, ValueError):
    """A place that is not written to."""


class Output(msgspec.Struct, frozen=True):
    """One place to write to; `name` is the variable that named it, `text` what it said, `path` the file."""

    name: str
    text: str
    path: Path
    root: Path

    @classmethod
    def of(cls, name: str, text: str, root: Path) -> Output:
        """Read a variable; a path is relative to the tree's root."""
        return cls(name, text, root / text, root)

    @property
    def descriptor(self) -> int | None:
        """The open descriptor of this process that is meant; None for a name in the file system."""
        match = _DESCRIPTOR.fullmatch(self.text)
        return int(match[1]) if match else _STREAMS.get(self.text)

    @property
    def is_stdout(self) -> bool:
        """Whether it is standard output, on which nothing else should stand."""
        return self.descriptor == 1

    @property
    def below(self) -> str | None:
        """The file as a path below the root; None when it is none, or lies elsewhere."""
        if self.descriptor is not None or self._is_stream():
            return None
        path = Path(os.path.abspath(self.path))  # noqa: PTH100  # links are no matter here
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def is_same(self, other: Output) -> bool:
        """Whether both are one file; a device, pipe or descriptor takes one after the other."""
        if any(output.descriptor is not None or output._is_stream() for output in (self, other)):  # noqa: SLF001  # its own kind
            return False
        try:
            return self.path.samefile(other.path)
        except OSError:
            return os.path.abspath(self.path) == os.path.abspath(other.path)  # noqa: PTH100  # links are no matter here

    def check(self, is_taken: Callable[[Path], str | None] = lambda _: None) -> None:
        """Raise Refused where nothing may be written; nothing is written.

        `is_taken` says for a file that might be replaced, or made, why it is somebody else's; None when it is not.
        """
        if self.descriptor is not None:
            self._check_descriptor(self.descriptor)
        elif self._is_stream():
            self._check_stream()
        else:
            self._check_file(is_taken)

    def write(self, content: bytes) -> None:
        """Write all of it; a file is replaced at once or not at all. Raises Refused, OSError.

        A named pipe is waited for until somebody reads it, at most half a minute.
        """
        if self.descriptor is not None:
            _write(self.descriptor, content)
        elif self._is_stream():
            stream = self._opened()
            try:
                _write(stream, content)
            finally:
                os.close(stream)
        else:
            from multiarch_oci.store.atomic import replacing

            self._check_file(lambda _: None)
            with replacing(self.path) as file:
                file.write(content)

    def _refused(self, what: str, hint: str) -> Refused:
        return Refused(f"{self.text} {what}", where=self.name, hint=hint)

    def _is_stream(self) -> bool:
        """Whether there is a device or a pipe, also behind a link."""
        try:
            mode = self.path.stat().st_mode
        except (OSError, ValueError):
            return False
        return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)

    def _check_stream(self) -> None:
        """Raise Refused for a device that cannot be written to; a pipe waits for its reader when it is written to."""
        if self.path.is_fifo():
            return
        try:
            os.close(_opened_at_once(self.path))
        except OSError as error:
            raise self._refused(f"cannot be written to: {error.strerror}", "name a file, or - for stdout") from None

    def _check_descriptor(self, number: int) -> None:
        try:
            inherited = number in (1, 2) or os.get_inheritable(number)  # others are this process's own
            if inherited:
                os.write(number, b"")
        except (OSError, OverflowError):
            inherited = False
        if not inherited:
            opening = f"open it in the shell: {number}>FILE, or " if _FIRST_OWN <= number <= _LAST_OF_SHELLS else ""
            raise self._refused("is not open for writing", f"{opening}name a file, or - for stdout")

    def _check_file(self, is_taken: Callable[[Path], str | None]) -> None:
        another = "name another file"
        if "\0" in self.text:
            raise Refused(f"{self.text!r} is no file's name", where=self.name, hint=another)
        if _FOLDER.search(self.text):
            example = posixpath.join(self.text.replace("\\", "/"), f"{self.name.lower()}.json")
            raise self._refused("is the name of a folder", f"name a file in it: {posixpath.normpath(example)}")
        if _SYSTEM.match(os.path.abspath(self.path)):  # noqa: PTH100  # links are no matter here
            raise self._refused("is no device, pipe or open file", "name a file, or - for stdout")
        below = self.below
        if below is not None and (_NAMED.fullmatch(self.path.name) or below.split("/")[0].lower() in _FOLDERS):
            raise self._refused("is a file of the build's own", another)
        try:
            status = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status is not None:
            self._check_there(status, another)
        why = is_taken(self.path)
        if why is not None:
            raise self._refused(why, another)

    def _check_there(self, status: os.stat_result, another: str) -> None:
        if stat.S_ISLNK(status.st_mode):
            raise self._refused("is a link, which is not replaced", "name the file that it leads to, or remove it")
        if stat.S_ISDIR(status.st_mode):
            raise Refused(f"{self.path} is a folder", where=self.name, hint="name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise self._refused("is no file, device or pipe", another)
        if status.st_size and not _is_ours(self.path, status.st_size):
            raise self._refused("was not written by this tool, and is not replaced", another)

    def _opened(self) -> int:
        """A device or pipe, open for writing; a pipe nobody reads is waited for."""
        deadline = time.monotonic() + _READER_S
        while (stream := _tried(self.path)) is None:
            if time.monotonic() > deadline:
                raise self._refused("has no reader", "start one that reads it, or name a file")
            time.sleep(_POLL_S)
        return stream


def _opened_at_once(path: Path) -> int:
    return os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _tried(path: Path) -> int | None:
    """A device or pipe, open for writing; None for a pipe that nobody reads."""
    try:
        stream = _opened_at_once(path)
    except OSError as error:
        if error.errno == errno.ENXIO and path.is_fifo():
            return None
        raise
    if os.name != "nt":
        os.set_blocking(stream, True)
    return stream


def document(kind: str, members: dict[str, object]) -> bytes:
    """A JSON file of ours of this kind (`report 1`), which a later run may replace."""
    return json_in_log(readable({FORMAT: f"{_OURS}{kind}"} | members))


def _is_ours(path: Path, size: int) -> bool:
    """Whether a file is a report or plan of this tool, of this version or an earlier one."""
    if size > _LIMIT:
        return False
    try:
        content = path.read_bytes()
        if content.lower().startswith(_MARKED):
            return True
        document = json.loads(content)
    except (OSError, ValueError, RecursionError, MemoryError):
        return False
    if not isinstance(document, dict):
        return False
    version = document.get(FORMAT)
    return (isinstance(version, str) and version.startswith(_OURS)) or set(document) in _OLDER


def _write(stream: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(stream, rest) :]
