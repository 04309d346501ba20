"""What may lie in the place of files that runs left below `.multiarch`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from .project import Project

DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda _: None,
    "empty": lambda _: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "a list": lambda _: b"[]",
    "an object": lambda _: b"{}",
    "other types": lambda content: _of_other_types(content),  # noqa: PLW0108  # it stands below
    "not readable": lambda content: content,
    "a folder": lambda content: content,
}
RECORDS = "sconsign.dblite"


def _of_other_types(content: bytes) -> bytes:
    """JSON with the same members, each of another type."""

    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {name: turned(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return {str(number): inner for number, inner in enumerate(value)}
        return [value] if isinstance(value, str) else "text"

    try:
        return json.dumps(turned(json.loads(content))).encode()
    except ValueError:
        return b"7"


def spoil(tree: Project, damage: str, *, records: bool) -> None:
    """Damage SCons' own records, or all other files that runs left but the lock."""
    if damage == "not readable" and (os.name == "nt" or os.geteuid() == 0):
        pytest.skip("root and Windows read everything")
    files = [path for path in (tree.path / ".multiarch").rglob("*") if path.is_file() and "pycache" not in path.parts]
    for path in files:
        if path.name == "lock" or (path.name == RECORDS) != records:
            continue
        content = DAMAGE[damage](path.read_bytes())
        path.unlink()
        if damage == "a folder":
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)
        if damage == "not readable":
            path.chmod(0)
