"""What a Windows engine demands of a layer, as an independent reader: it knows nothing of our writer.

The rules of hcsshim (`pkg/ociwclayer/import.go`, `internal/wclayer/legacy.go`) and go-winio (`backuptar/tar.go`), read
there and written down here once more; the reader of archives is Python's. `broken_rules` returns sentences, none = fine.
"""

from __future__ import annotations

import base64
import posixpath
import struct
import tarfile
from typing import BinaryIO

TOP = ("Files", "Hives")
DIRECTORY, REPARSE = 0x10, 0x400
DEVICES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}


def broken_rules(archive: BinaryIO) -> list[str]:
    """Return what hcsshim would refuse, or what would not run afterwards, for an unpacked layer archive."""
    found: list[str] = []
    seen: dict[str, str] = {}
    with tarfile.open(fileobj=archive, mode="r:") as members:
        for member in members:
            name = posixpath.normpath(member.name)
            found += _path(member.name)
            found += _order(name, seen)
            last = posixpath.basename(name)
            if last.startswith(".wh."):
                found += _whiteout(name, last, member)
                continue
            seen[name.lower()] = "directory" if member.isdir() else "file" if member.isreg() else "other"
            if member.islnk():
                found += _link(name, posixpath.normpath(member.linkname), seen)
            elif member.isdir() or member.isreg() or member.issym():
                found += _described(name, member)
            else:
                found.append(f"{name}: type {member.type!r} means nothing to Windows")
    found += [f"{top}/ is missing" for top in TOP if seen.get(top.lower()) != "directory"]
    return found


def _path(name: str) -> list[str]:
    parts = name.rstrip("/").split("/")
    found = []
    if "\\" in name or name.startswith("/") or ".." in parts or "." in parts or "" in parts:
        found.append(f"{name}: is no relative path with slashes")
    if parts[0] not in TOP:
        found.append(f"{name}: is neither below Files nor below Hives")
    for part in parts:
        if part.split(".")[0].rstrip().lower() in DEVICES or part[-1:] in (".", " "):
            found.append(f"{name}: {part!r} is no name on Windows")
        if any(letter in '<>:"|?*' or ord(letter) < 32 for letter in part):
            found.append(f"{name}: {part!r} holds a letter that no name may hold")
    return found


def _order(name: str, seen: dict[str, str]) -> list[str]:
    found = []
    if name.lower() in seen:
        found.append(f"{name}: comes twice (FILE_CREATE fails)")
    parent = posixpath.dirname(name)
    if parent and seen.get(parent.lower()) != "directory":
        found.append(f"{name}: its parent is no entry before it")
    return found


def _whiteout(name: str, last: str, member: tarfile.TarInfo) -> list[str]:
    found = []
    if not name.startswith("Files/"):
        found.append(f"{name}: invalid tombstone, it is not below Files")
    if last.startswith(".wh..wh."):
        found.append(f"{name}: opaque whiteouts are not known, it would remove a file of that name")
    if member.size or not member.isreg():
        found.append(f"{name}: a whiteout is an empty file")
    return found


def _link(name: str, target: str, seen: dict[str, str]) -> list[str]:
    if not (name.startswith("Files/") and target.startswith("Files/")):
        return [f"{name}: invalid hard link in layer, to {target}"]
    return [] if seen.get(target.lower()) == "file" else [f"{name}: failed to find link target {target}"]


def _described(name: str, member: tarfile.TarInfo) -> list[str]:
    found = []
    attributes = int(member.pax_headers.get("MSWINDOWS.fileattr", DIRECTORY if member.isdir() else 0))
    if bool(attributes & REPARSE) != member.issym():
        found.append(f"{name}: attributes {attributes:#x} and tar type disagree about a reparse point")
    if not member.issym() and bool(attributes & DIRECTORY) != member.isdir():
        found.append(f"{name}: attributes {attributes:#x} and tar type disagree about a folder")
    if name in TOP:
        return found
    if "MSWINDOWS.sd" in member.pax_headers:
        found.append(f"{name}: SDDL text is out of use")
    if "MSWINDOWS.rawsd" not in member.pax_headers:
        return [*found, f"{name}: no security descriptor, nobody may run it"]
    return found + [f"{name}: {why}" for why in _descriptor(base64.b64decode(member.pax_headers["MSWINDOWS.rawsd"]))]


def _descriptor(raw: bytes) -> list[str]:
    """Walk a self-relative SECURITY_DESCRIPTOR ([MS-DTYP] 2.4.6): users must be able to read and to execute."""
    revision, _, control, owner, group, _, dacl = struct.unpack_from("<BBHIIII", raw)
    if revision != 1 or not control & 0x8000:
        return ["not a self-relative security descriptor"]
    if _sid(raw, owner) != "S-1-5-32-544" or _sid(raw, group) != "S-1-5-18":
        return ["neither owned by the administrators nor of the system's group"]
    if not control & 0x4 or not dacl:
        return ["no access list: everybody may change it"]
    _, _, size, count, _ = struct.unpack_from("<BBHHH", raw, dacl)
    at, granted = dacl + 8, 0
    for _ in range(count):
        kind, flags, length, mask = struct.unpack_from("<BBHI", raw, at)
        if kind == 0 and not flags & 0x8 and _sid(raw, at + 8) == "S-1-5-32-545":
            granted |= mask
        at += length
    found = [] if at == dacl + size <= len(raw) else ["the access list does not end where it says"]
    return found if granted & 0x1200A9 == 0x1200A9 else [*found, "users may not read and execute it"]


def _sid(raw: bytes, at: int) -> str:
    revision, count = raw[at], raw[at + 1]
    authority = int.from_bytes(raw[at + 2 : at + 8], "big")
    return "-".join(["S", str(revision), str(authority), *map(str, struct.unpack_from(f"<{count}I", raw, at + 8))])
