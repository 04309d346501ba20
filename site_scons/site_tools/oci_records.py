"""What each target was made from the last time, so that the next making can be explained. Not a Tool."""

from __future__ import annotations

from pathlib import Path

from multiarch.document import InvalidDocument
from multiarch.why import Facts


class Records:
    """The facts and the reason of each target's last making, as readable files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _facts_file(self, target: str) -> Path:
        return self._folder / f"{Path(target).as_posix().lstrip('/')}.json"

    def remember(self, target: str, facts: Facts, because: str | None) -> None:
        """Keep the facts of a target that has just been made, and why it was."""
        from oci_steps import write

        write(self._facts_file(target), facts.to_json())
        write(self._facts_file(target).with_suffix(".why"), f"{because or 'not built before'}\n".encode())

    def last_reason(self, target: str) -> str | None:
        """Why a target was made when it was made last; None when that is not known."""
        try:
            return self._facts_file(target).with_suffix(".why").read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def recall(self, target: str) -> Facts | None:
        """The facts of a target's last making; None when there was none."""
        path = self._facts_file(target)
        try:
            return Facts.from_json(path.read_bytes(), where=str(path))
        except (OSError, InvalidDocument):
            return None
