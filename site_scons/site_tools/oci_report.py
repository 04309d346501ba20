"""REPORT: what a run built and pushed, and what it found unchanged, with digests. Not a Tool."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import SCons.Node

from multiarch.digest import Digest
from multiarch.document import readable
from multiarch.errors import MultiarchError
from oci_kinds import ImageTarget, IndexTarget, LoadTarget, PinTarget, PushTarget, target_of


class Report:
    """The steps of a run, in the order in which they ended."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Any]] = []

    def add(self, verb: str, target: Any) -> None:
        """Note a step that was performed; any thread may."""
        self._steps.append((verb, target))

    def to_json(self, declared: Iterable[Any]) -> bytes:
        """`steps` that ran, and `unchanged`: what was asked for and was up to date."""
        steps = [{"step": verb} | _line(target) for verb, target in self._steps]
        same = [_line(target) for target in declared if target.get_state() == SCons.Node.up_to_date]
        return readable({"steps": steps, "unchanged": same})


def _line(target: Any) -> dict[str, str]:
    line = {"subject": str(target.attributes.state.subject), "target": Path(str(target)).as_posix()}
    digest = target.attributes.state.digest or _digest(target)
    return line | ({"digest": str(digest)} if digest else {})


def _digest(target: Any) -> str | None:
    """What a target of an earlier run is, by tarball, index or receipt; None for programs and archives."""
    path, record = Path(target.get_abspath()), target_of(target)
    try:
        if isinstance(record, ImageTarget):
            from multiarch.store.archive import read_image

            return str(read_image(path).descriptor.digest)
        if isinstance(record, (PushTarget, PinTarget, LoadTarget)):
            from multiarch.receipt import Receipt

            return str(Receipt.from_json(path.read_bytes(), where=str(path)).descriptor.digest)
        return str(Digest.of(path.read_bytes())) if isinstance(record, IndexTarget) else None
    except (OSError, MultiarchError):
        return None
