"""The files of somebody's repository, read with limits: nothing is started, and no link leads out of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from multiarch_oci.document import mapping
from multiarch_oci.errors import quoted

LIMIT = 1 << 20
"""Bytes of a file that is read; a larger one is left out."""
_MANY = 20_000
"""Files that are looked at; a repository with more is known by its first ones, in the order of their names."""
_SKIPPED = frozenset(
    {
        "vendor",
        "testdata",
        "node_modules",
        "target",
        "dist",
        "build",
        "venv",
        "__pycache__",
        "site_scons",
        "third_party",
    }
)
"""Folders that hold what others wrote, or what a build made."""


class Files:
    """A repository's files by their paths from its top, with `/`; what could not be read stands in `unread`."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._resolved = top.resolve()
        self.unread: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def text(self, path: str) -> str:
        """The text of a file; "" for one that is absent, larger than LIMIT, no file, outside, or not UTF-8."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> str:
        file = self.top / path
        try:
            if not os.path.lexists(file):
                return ""
            real = file.resolve(strict=True)
            status = real.stat()
            if not real.is_relative_to(self._resolved):
                self.unread[path] = "it is a link out of the repository"
            elif not stat.S_ISREG(status.st_mode):
                self.unread[path] = "it is no file"
            elif status.st_size > LIMIT:
                self.unread[path] = f"it is larger than {LIMIT >> 20} MiB"
            else:
                return real.read_bytes()[:LIMIT].decode("utf-8").removeprefix("\ufeff")
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            self.unread[path] = getattr(error, "strerror", None) or "it is a link to itself"
        except UnicodeDecodeError:
            self.unread[path] = "it is not UTF-8"
        return ""

    def first(self, *paths: str) -> str:
        """The first of these paths that is there; "" when none is."""
        return next((path for path in paths if os.path.lexists(self.top / path)), "")

    def named(self, folder: str = "") -> list[str]:
        """The paths of the files in a folder, not below it, by name."""
        try:
            if not (self.top / folder).resolve(strict=True).is_relative_to(self._resolved):
                return []
            entries = sorted(os.scandir(self.top / folder), key=lambda entry: entry.name)
        except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
            return []
        prefix = f"{folder}/" if folder else ""
        return [f"{prefix}{entry.name}" for entry in entries if not entry.is_dir(follow_symlinks=False)]

    def below(self, ending: str) -> Iterator[str]:
        """The paths of all files with an ending, but for those that others wrote; no link to a folder is followed."""
        seen = 0
        for folder, folders, names in os.walk(self.top):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith((".", "_")))
            seen += len(names)
            if seen > _MANY:
                self.unread["…"] = f"there are more than {_MANY} files; later ones were not looked at"
                return
            inside = Path(folder).relative_to(self.top).as_posix()
            for name in sorted(names):
                if name.endswith(ending):
                    yield name if inside == "." else f"{inside}/{name}"

    def yaml(self, path: str) -> Mapping[str, object]:
        """The mapping that a YAML file holds, read by the safe loader; {} when it is another thing, or broken."""
        import yaml

        try:
            return mapping(yaml.safe_load(self.text(path)))
        except Exception:  # noqa: BLE001  # KeyError, IndexError, AttributeError… of what it constructs
            self.unread[path] = "it is no YAML"
            return {}

    def toml(self, path: str) -> Mapping[str, object]:
        """The table that a TOML file holds; {} when it is broken."""
        from msgspec import toml

        try:
            return mapping(toml.decode(self.text(path)))
        except (msgspec.DecodeError, RecursionError):
            self.unread[path] = "it is no TOML"
            return {}

    def json(self, path: str) -> Mapping[str, object]:
        """The object that a JSON file holds; {} when it is another thing, or broken."""
        try:
            return mapping(json.loads(self.text(path) or "{}"))
        except (ValueError, RecursionError):
            self.unread[path] = "it is no JSON"
            return {}


class Clue(msgspec.Struct, frozen=True):
    """Something that a repository says, and the file (with `:line`) that says it."""

    text: str
    where: str

    def __str__(self) -> str:
        return f"{shown(self.text)}  ({shown(self.where)})"


def shown(text: str) -> str:
    """A text for a terminal, where control characters are seen and not obeyed."""
    return text if text.isprintable() else quoted(text)[1:-1]


def listed(value: object) -> list[object]:
    """The members of a list; [] for anything else."""
    return value if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The texts of a list, or the one text that stands for such a list."""
    return [value] if isinstance(value, str) else [member for member in listed(value) if isinstance(member, str)]
