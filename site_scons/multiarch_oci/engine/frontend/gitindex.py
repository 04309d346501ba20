"""Git's index: which files a repository calls executable, for file systems that do not know (gitformat-index)."""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct(">4sII")
_FIXED = 62  # bytes of an entry before its name, with SHA-1
_EXTENDED = 0x4000
_EXECUTABLE = 0o100755
_VERSIONS = (2, 3, 4)


def executables(folder: Path) -> frozenset[str]:
    """The paths, relative to `folder`, that the index of its repository has as executable; none without an index."""
    for top in (folder, *folder.parents):
        if (top / ".git").is_dir():
            inside = "/".join(folder.relative_to(top).parts)
            prefix = f"{inside}/" if inside else ""
            paths = _read(top / ".git" / "index")
            return frozenset(path[len(prefix) :] for path in paths if path.startswith(prefix))
    return frozenset()


def _read(index: Path) -> list[str]:
    try:
        return _executables(index.read_bytes())
    except (OSError, struct.error, IndexError, ValueError):
        return []


def _executables(content: bytes) -> list[str]:
    signature, version, count = _HEADER.unpack_from(content)
    if signature != b"DIRC" or version not in _VERSIONS:
        return []
    names = []
    at = _HEADER.size
    name = b""
    for _ in range(count):
        start = at
        mode = struct.unpack_from(">I", content, at + 24)[0]
        flags = struct.unpack_from(">H", content, at + 60)[0]
        at += _FIXED + (2 if flags & _EXTENDED else 0)
        if version == 4:  # noqa: PLR2004  # the version with shared prefixes
            cut, at = _offset(content, at)
            name = name[: len(name) - cut]
        else:
            name = b""
        end = content.index(b"\0", at)
        name += content[at:end]
        at = end + 1 if version == 4 else start + (end - start + 8) // 8 * 8  # noqa: PLR2004  # padded but in version 4
        if mode == _EXECUTABLE:
            names.append(name.decode("utf-8", "surrogateescape"))
    return names


def _offset(content: bytes, at: int) -> tuple[int, int]:
    """The variable-width number of version 4 (gitformat-pack, "offset encoding"), and where it ends."""
    value = content[at] & 0x7F
    while content[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (content[at] & 0x7F)
    return value, at + 1
