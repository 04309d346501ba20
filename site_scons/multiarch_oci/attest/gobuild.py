"""What a Go program says of itself: the build information inside it (Go's debug/buildinfo, runtime/debug.BuildInfo).

Written by the linker into ELF, PE and Mach-O alike; read in the form that Go has had since 1.18, where the texts stand
in the file itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from multiarch_oci.attest.sections import Section, read_section, sections

_MAGIC = b"\xff Go buildinf:"
_HEADER, _ALIGNED = 32, 16
_INLINE = 2  # of the flags: the texts follow, each behind its length
_SENTINEL = 16
_NAMES = (".go.buildinfo", "__go_buildinfo")
_DATA = (".data", "__data", ".noptrdata", ".rodata")
_VARINT = 10


class Module(msgspec.Struct, frozen=True):
    """A module: its path, its version ("(devel)" for the main one), the `h1:` sum of go.sum, what stands in for it.

    The sum is Go's own (golang.org/x/mod/sumdb/dirhash): the SHA-256 of a list of sums, and of no file.
    """

    path: str
    version: str = ""
    sum: str = ""
    replace: Module | None = None


class BuildInfo(msgspec.Struct, frozen=True):
    """What `go version -m` prints: Go's version, the package, the main module, the modules that it needs, settings."""

    go: str
    path: str = ""
    main: Module | None = None
    modules: tuple[Module, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


def read_build_info(stream: BinaryIO) -> BuildInfo | None:
    """The build information of a program (seekable); None for what is no Go program, was stripped of it, or is older.

    Whatever the bytes are, nothing is raised but what the stream raises, and memory stays bounded.
    """
    for section in _candidates(sections(stream)):
        info = _within(read_section(stream, section))
        if info is not None:
            return info
    return None


def _candidates(known: tuple[Section, ...]) -> Iterator[Section]:
    """The section that is made for it; where there is none the beginnings of those with data (buildinfo.go)."""
    own = [section for section in known if section.name in _NAMES]
    yield from own or [section for section in known if section.name in _DATA or section.is_data]


def _within(data: bytes) -> BuildInfo | None:
    at = data.find(_MAGIC)
    while at >= 0:
        if at % _ALIGNED == 0 and at + _HEADER <= len(data):
            return _read(data, at)
        at = data.find(_MAGIC, at + 1)
    return None


def _read(data: bytes, at: int) -> BuildInfo | None:
    if not data[at + len(_MAGIC) + 1] & _INLINE:
        return None  # pointers into the program: Go before 1.18
    go, end = _text(data, at + _HEADER)
    modules, _ = _text(data, end)
    if not go:
        return None
    if len(modules) > 2 * _SENTINEL and modules[-_SENTINEL - 1 : -_SENTINEL] == b"\n":
        modules = modules[_SENTINEL:-_SENTINEL]
    else:
        modules = b""
    return parse(go.decode("utf-8", "replace"), modules.decode("utf-8", "replace"))


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    """A text behind its length, a varint as Go's encoding/binary; empty when it leads out of the section."""
    length = shift = 0
    for index in range(at, min(at + _VARINT, len(data))):
        length |= (data[index] & 0x7F) << shift
        shift += 7
        if not data[index] & 0x80:
            start = index + 1
            return (data[start : start + length], start + length) if start + length <= len(data) else (b"", at)
    return b"", at


def parse(go: str, text: str) -> BuildInfo:
    """The text as runtime/debug.ParseBuildInfo reads it; lines that it does not know are passed over."""
    path, main = "", None
    modules: list[Module] = []
    settings: list[tuple[str, str]] = []
    for line in text.splitlines():
        kind, _, rest = line.partition("\t")
        words = rest.split("\t")
        if kind == "path":
            path = rest
        elif kind == "mod":
            main = _module(words)
        elif kind == "dep":
            modules.append(_module(words))
        elif kind == "=>" and modules:
            modules[-1] = msgspec.structs.replace(modules[-1], replace=_module(words))
        elif kind == "build":
            name, _, value = rest.partition("=")
            settings.append((_unquoted(name), _unquoted(value)))
    return BuildInfo(go, path, main, tuple(modules), tuple(settings))


def _module(words: list[str]) -> Module:
    path, version, total = (*words, "", "", "")[:3]
    return Module(path, version, total if re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", total) else "")


def _unquoted(text: str) -> str:
    """A text that Go quoted (strconv.Quote), as those with blanks are; any other as it is."""
    if len(text) > 1 and text[0] == text[-1] == "`":
        return text[1:-1]
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':  # noqa: PLR2004  # two quotes
        return text
    try:
        return str(json.loads(re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", text)))
    except ValueError:
        return text
