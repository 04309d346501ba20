"""REPORT: what a run built and pushed, and what it found unchanged, with digests. Not a Tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import SCons.Node

from multiarch.document import readable
from multiarch.errors import MultiarchError


class Report:
    """The steps of a run, in the order in which they ended."""

    def __init__(self) -> None:
        self._targets: list[Any] = []
        self._steps: list[tuple[str, Any]] = []

    def declare(self, target: Any) -> None:
        """Know a target of this build."""
        self._targets.append(target)

    def add(self, verb: str, target: Any) -> None:
        """Note a step that was performed; any thread may."""
        self._steps.append((verb, target))

    def to_json(self) -> bytes:
        """`steps` that ran, and `unchanged`: what was asked for and was up to date."""
        steps = [{"step": verb} | _line(target) for verb, target in self._steps]
        same = [_line(target) for target in self._targets if target.get_state() == SCons.Node.up_to_date]
        return readable({"steps": steps, "unchanged": same})


def _line(target: Any) -> dict[str, str]:
    line = {"subject": str(target.attributes.subject), "target": Path(str(target)).as_posix()}
    digest = getattr(target.attributes, "digest", None) or _digest(target)
    return line | ({"digest": str(digest)} if digest else {})


def _digest(target: Any) -> str | None:
    """What a target of an earlier run is, by tarball, `.digest` or receipt; None for programs and archives."""
    path = Path(target.get_abspath())
    try:
        if hasattr(target.attributes, "plan"):
            from multiarch.store.archive import read_image

            return str(read_image(path).descriptor.digest)
        if hasattr(target.attributes, "remote"):
            from multiarch.receipt import Receipt

            return str(Receipt.from_json(path.read_bytes(), where=str(path)).descriptor.digest)
        return path.with_suffix(".digest").read_text(encoding="ascii").strip()
    except (OSError, MultiarchError):
        return None
