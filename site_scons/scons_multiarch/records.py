"""What each target was made from the last time, so that the next making can be explained. Not a Tool."""

from __future__ import annotations

from pathlib import Path

from multiarch_oci.document import InvalidDocument
from multiarch_oci.why import Facts

_AS_IT_IS = "surrogateescape"  # a reason may name a file whose name is no UTF-8


class Records:
    """The facts and the reason of each target's last making, as readable files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _facts_file(self, target: str) -> Path:
        # A target outside the tree has an absolute name; that of a drive (`C:/`) would lead out of the folder.
        return self._folder / f"{Path(target).as_posix().lstrip('/').replace(':', '_')}.json"

    def beside(self, target: str, name: str) -> Path:
        """A file beside the facts of a target, for what else is to be remembered of its making."""
        return self._facts_file(target).with_suffix(f".{name}.json")

    def remember(self, target: str, facts: Facts, because: str | None) -> None:
        """Keep the facts of a target that has just been made, and why it was."""
        from scons_multiarch.step import write

        write(self._facts_file(target), facts.to_json())
        reason = f"{because or 'not built before'}\n".encode("utf-8", _AS_IT_IS)
        write(self._facts_file(target).with_suffix(".why"), reason)

    def forget(self, target: str) -> None:
        """Keep no facts of a target any more: it is about to be made."""
        self._facts_file(target).unlink(missing_ok=True)

    def last_reason(self, target: str) -> str | None:
        """Why a target was made when it was made last; None when that is not known."""
        try:
            return self._facts_file(target).with_suffix(".why").read_text("utf-8", _AS_IT_IS).strip()
        except OSError:
            return None

    def recall(self, target: str) -> Facts | None:
        """The facts of a target's last making; None when there was none."""
        path = self._facts_file(target)
        try:
            return Facts.from_json(path.read_bytes(), where=str(path))
        except (OSError, InvalidDocument):
            return None
