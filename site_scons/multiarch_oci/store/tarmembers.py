"""The members of a tar file, found once and read in any order; the file is not trusted.

Only regular files are members: folders, links and devices are passed over, so that a link leads nowhere. Sparse files,
a name that is there twice and one that leaves the archive are errors. Every offset is checked against the file's size.
"""

from __future__ import annotations

import io
import posixpath
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from multiarch_oci.digest import BLOCK, Filter
from multiarch_oci.tarfields import InvalidArchive
from multiarch_oci.tarheader import HARDLINK, SYMLINK
from multiarch_oci.tarreader import TarReader

MOST = 100_000
"""Members that are read at most; an image has some dozens."""
_LINKS = 8


class Member(msgspec.Struct, frozen=True):
    """Where the content of a regular file lies in the archive, in bytes."""

    name: str
    offset: int
    size: int


def members(path: Path, *, saved: bool = False) -> dict[str, Member]:
    """All regular files of an archive by name; InvalidArchive says what is wrong with it.

    `saved`: it is what `docker save` wrote. There a link to a regular file of the archive is one more name of it, and
    of two members of one name the last counts.
    """
    where = str(path)
    named: dict[str, Member] = {}
    links: dict[str, str] = {}
    try:
        stream = path.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidArchive("is not there, or is no file", where=where) from None
    with stream:
        for count, member in enumerate(TarReader(stream, where)):
            if count >= MOST:
                raise InvalidArchive(f"has more than {MOST} members", where=where)
            if saved and member.typeflag in (SYMLINK, HARDLINK):
                name = _safe(member.name, where)
                folder = posixpath.dirname(name) if member.typeflag == SYMLINK else ""
                links[name] = posixpath.normpath(posixpath.join(folder, member.target))
            if not member.is_file:
                continue
            if member.regions is not None:
                raise InvalidArchive(f"member '{member.name}' is a sparse file", where=where)
            name = _safe(member.name, where)
            if name in named and not saved:
                raise InvalidArchive(f"member '{name}' is there twice", where=where)
            named[name] = Member(name, member.offset, member.size)
    if not named:
        raise InvalidArchive("is no tar archive, or an empty one", where=where)
    return named | _linked(named, links)


def _linked(named: dict[str, Member], links: dict[str, str]) -> dict[str, Member]:
    """The further names of regular files; a link of a link counts, too."""
    more: dict[str, Member] = {}
    for name, target in links.items():
        for _ in range(_LINKS):
            if target in links:
                target = links[target]  # noqa: PLW2901  # one step nearer
        if target in named:
            more[name] = named[target]
    return more


def window(path: Path, member: Member) -> BinaryIO:
    """The content of a member, through a handle of its own."""
    return cast("BinaryIO", io.BufferedReader(_Window(path.open("rb"), member), BLOCK))


class _Window(Filter):
    """The bytes of one member."""

    def __init__(self, archive: BinaryIO, member: Member) -> None:
        super().__init__(archive)
        archive.seek(member.offset)
        self._remaining = member.size

    def take(self, size: int) -> bytes:
        block = self._below.read(min(size, self._remaining))
        self._remaining -= len(block)
        return block


def _safe(name: str, where: str) -> str:
    """The name without `./` and doubled slashes; InvalidArchive when it leaves the archive."""
    plain = posixpath.normpath(name)
    if name.startswith("/") or plain == ".." or plain.startswith("../") or "\\" in name:
        raise InvalidArchive(f"member '{name}' lies outside of the archive", where=where)
    return plain
