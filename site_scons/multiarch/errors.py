"""The one base of every error that is meant for the person at the terminal.

Its leaves (`InvalidPlatform`, `WrongMachine`, `Unauthorized`, …) stand beside the code that raises them.
"Not found" is an answer (None), never an error.
"""

from __future__ import annotations


class MultiarchError(Exception):
    """Something the user can act on: what is wrong, where, and what to do next.

    `str()` is `where: what` (or `what` alone), then, on a second line, two blanks and `hint: …`. None of the three ever
    holds a secret. Every other exception that leaves this library is a bug.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        first = self.what if self.where is None else f"{self.where}: {self.what}"
        return first if self.hint is None else f"{first}\n  hint: {self.hint}"


class BadPattern(ValueError):
    """A path pattern that is malformed; who read it from a file says where."""
