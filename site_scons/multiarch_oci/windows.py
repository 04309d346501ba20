r"""Windows layers: what a Windows engine unpacks (hcsshim `ociwclayer`, go-winio `backuptar`), from ordinary entries.

Everything of the file system stands below `Files/`, beside an empty `Hives/`; every folder is an entry of its own,
once, before what is in it; PAX records say what Windows keeps beside a file: attributes and security descriptor. The
descriptors are those that BuildKit writes: what `C:\` itself hands down, i.e. administrators and the system own and
may do all, users read and run, and may add to folders. (ko's has no access list: everybody may change the program.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from multiarch_oci.layer import Entry, InvalidEntry, Kind

FILES, HIVES = "Files", "Hives"
_ATTRIBUTES, _SECURITY = "MSWINDOWS.fileattr", "MSWINDOWS.rawsd"
_DIRECTORY, _ARCHIVE, _REPARSE = 0x10, 0x20, 0x400
_FOLDER_SECURITY = (  # O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FA;;;BA)(A;OICIIO;GA;;;CO)
    # (A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CI;DC;;;BU)
    b"AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgCoAAcAAAAAAxgA/wEfAAECAAAAAAAFIAAAACACAAAAAxQA"
    b"/wEfAAEBAAAAAAAFEgAAAAAAGAD/AR8AAQIAAAAAAAUgAAAAIAIAAAALFAAAAAAQAQEAAAAAAAMAAAAAAAMYAKkAEgABAgAAAAAABSAAAAAhAgAA"
    b"AAIYAAQAAAABAgAAAAAABSAAAAAhAgAAAAIYAAIAAAABAgAAAAAABSAAAAAhAgAA"
)
_FILE_SECURITY = (  # O:BAG:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)
    b"AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAABgA/wEfAAECAAAAAAAFIAAAACACAAAAABQA"
    b"/wEfAAEBAAAAAAAFEgAAAAAAGACpABIAAQIAAAAAAAUgAAAAIQIAAA=="
)
_DRIVE = re.compile(r"([A-Za-z]):(/|$)")
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')
# Microsoft, "Naming Files, Paths, and Namespaces": with any extension, in any letter case; the superscripts count too.
_RESERVED = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9\u00b9\u00b2\u00b3])[ ]*(?:\..*)?", re.IGNORECASE | re.DOTALL
)


class InvalidWindowsPath(InvalidEntry):
    """A path or name that no Windows file system takes."""


def normalise(path: str) -> str:
    r"""The path inside a Windows image as an entry's `path`: relative, with `/`.

    `C:\app\demo.exe`, `c:/app/demo.exe`, `\app\demo.exe`, `/app/demo.exe` and `app\demo.exe` are all `app/demo.exe`;
    the root is "". Letter case is kept. Raises InvalidWindowsPath: another drive, a UNC path, `..` above the root, a
    reserved name (`NUL`, `com1.txt`), one of `<>:"|?*` or a control character, a name that ends in a blank or a dot.
    """
    rest = path.replace("\\", "/")
    if rest.startswith("//"):
        raise InvalidWindowsPath(
            f"'{path}' is on another machine", hint=r"a path in a Windows image begins with C:\ or /"
        )
    drive = _DRIVE.match(rest)
    if drive is not None:
        if drive[1] not in "Cc":
            raise InvalidWindowsPath(f"'{path}' is on drive {drive[1].upper()}:, an image has only drive C:")
        rest = rest[drive.end(1) + 1 :]
    parts: list[str] = []
    for part in rest.split("/"):
        if part == "..":
            if not parts:
                raise InvalidWindowsPath(f"'{path}' leads out of the image")
            parts.pop()
        elif part not in ("", "."):
            check_name(part, path)
            parts.append(part)
    return "/".join(parts)


def check_name(name: str, path: str) -> None:
    """Raise InvalidWindowsPath, quoting `path`, when no file of Windows can have this name (one component)."""
    forbidden = _FORBIDDEN.search(name)
    if forbidden is not None:
        raise InvalidWindowsPath(f"'{path}' cannot be in a Windows image: a name may not hold {forbidden[0]!r}")
    if _RESERVED.fullmatch(name):
        raise InvalidWindowsPath(f"'{path}' cannot be in a Windows image: '{name}' names a device there")
    if name.endswith((".", " ")):
        raise InvalidWindowsPath(f"'{path}' cannot be in a Windows image: a name may not end in a dot or a blank")


def entries(contents: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries of a Windows layer for these of a file system (paths as `normalise` gives them, any order).

    Adds `Files`, `Hives` and every missing parent, and the PAX records. Letter case does not tell two names apart: a
    folder named a second time in another case is the first one, any other such pair raises InvalidEntry. Owners, modes
    and other records are dropped, as Windows has none. What comes out is for `layer.write`. Raises InvalidWindowsPath
    for a name that Windows has not, InvalidEntry for an opaque whiteout, which Windows layers do not know.
    """
    given = sorted(contents, key=lambda entry: (entry.path, entry.kind.value))
    tree = _Tree()
    for entry in given:
        tree.add(entry)
    top = (Entry.directory(FILES), Entry.directory(HIVES))
    described = tuple(replace(entry, records=_records(_DIRECTORY)) for entry in top)
    return described + tuple(tree.placed(entry) for entry in tree.entries.values())


class _Tree:
    """The names of one layer, as Windows compares them."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, bool], Entry] = {}

    def add(self, entry: Entry) -> None:
        for part in entry.path.split("/"):
            check_name(part, entry.path)
        if entry.kind is Kind.OPAQUE:
            raise InvalidEntry(
                f"'{entry.path}' cannot be emptied: Windows layers remove files one by one", where=entry.origin or None
            )
        if entry.kind in (Kind.CHARACTER, Kind.BLOCK, Kind.FIFO):
            raise InvalidEntry(f"'{entry.path}' is a {entry.kind.value}, which Windows does not have")
        folder = self._folder(entry.path.rpartition("/")[0])
        path = f"{folder}{entry.path.rpartition('/')[2]}"
        self._put(replace(entry, path=path))

    def _folder(self, path: str) -> str:
        """The folder at this path with every parent, as they are spelled in the layer, with a slash behind."""
        above = ""
        for name in filter(None, path.split("/")):
            above = self._put(Entry.directory(f"{above}{name}")).path + "/"
        return above

    def _put(self, entry: Entry) -> Entry:
        # upper() is nearer to NTFS' own table than casefold(): it leaves ß apart from ss.
        key = (entry.path.upper(), entry.kind is Kind.WHITEOUT)
        other = self.entries.setdefault(key, entry)
        if other is entry or entry.kind is Kind.DIRECTORY is other.kind:
            return other
        both = "the same path" if other.path == entry.path else f"one path for Windows: '{other.path}'"
        raise InvalidEntry(
            f"'{entry.path}' stands twice in a Windows layer, as {other.kind.value} and {entry.kind.value} ({both})",
            where=entry.origin or None,
        )

    def placed(self, entry: Entry) -> Entry:
        """The entry below Files/, with its records; owner and mode as every Windows layer has them."""
        path = f"{FILES}/{entry.path}"
        if entry.kind is Kind.DIRECTORY:
            return Entry(path, entry.kind, 0o755, records=_records(_DIRECTORY, _FOLDER_SECURITY), origin=entry.origin)
        if entry.kind is Kind.WHITEOUT:
            return Entry.whiteout(path)
        plain = replace(entry, path=path, mode=0o644, uid=0, gid=0, records=())
        if entry.kind is Kind.HARDLINK:
            other = self.entries.get((normalise(entry.target).upper(), False))
            return replace(plain, target=f"{FILES}/{other.path if other else normalise(entry.target)}")
        if entry.kind is Kind.SYMLINK:
            attributes = _REPARSE | (_DIRECTORY if self._leads_to_folder(entry) else _ARCHIVE)
            target = entry.target.replace("\\", "/")
            return replace(plain, mode=0o777, target=target, records=_records(attributes, _FILE_SECURITY))
        return replace(plain, records=_records(_ARCHIVE, _FILE_SECURITY))

    def _leads_to_folder(self, link: Entry) -> bool:
        # Windows wants to know what a link leads to when it is made; what is in no layer of ours counts as a file.
        target = link.target.replace("\\", "/")
        absolute = target.startswith("/") or _DRIVE.match(target)
        above = "" if absolute else f"{link.path.rpartition('/')[0]}/"
        try:
            path = normalise(f"{above}{target}".lstrip("/"))
        except InvalidWindowsPath:  # the text of a link may lead anywhere
            return False
        entry = self.entries.get((path.upper(), False))
        return not path or (entry is not None and entry.kind is Kind.DIRECTORY)


def _records(attributes: int, security: bytes = b"") -> tuple[tuple[str, bytes], ...]:
    numbered = (_ATTRIBUTES, b"%d" % attributes)
    return (numbered, (_SECURITY, security)) if security else (numbered,)
