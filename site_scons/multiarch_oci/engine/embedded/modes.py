"""The modes of `--chmod`: octal, or symbolic as chmod(1) and BuildKit write them (`u=rwX,go=rX`)."""

from __future__ import annotations

import re

import msgspec

from multiarch_oci.engine.frontend.tree import CannotCopy

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_ALL = 0o7777


class Chmod(msgspec.Struct, frozen=True):
    """What `--chmod` says: `octal` for a number; the clauses of a symbolic one."""

    octal: int | None
    clauses: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Chmod:
        """Read the value of `--chmod`; CannotCopy for what BuildKit refuses."""
        if text.isascii() and text.isdigit():
            if re.fullmatch("0*[0-7]{1,4}", text) is None:
                raise CannotCopy(
                    f"invalid --chmod '{text}'",
                    hint="an octal number from 0 to 07777, or a symbolic mode like u=rwX,go=rX",
                )
            return cls(int(text, 8))
        clauses = []
        for clause in text.split(","):
            match = _CLAUSE.match(clause)
            if match is None:
                raise CannotCopy(
                    f"invalid --chmod '{text}'",
                    hint="an octal number from 0 to 07777, or a symbolic mode like u=rwX,go=rX",
                )
            clauses += [(match[1], operator, letters) for operator, letters in _ACTION.findall(match[2])]
        return cls(None, tuple(clauses))

    @property
    def for_parents(self) -> int:
        """The mode of folders that are made on the way: only a number reaches them (fsutil, `Copy`)."""
        return 0o755 if self.octal is None else self.octal & 0o777

    def apply(self, mode: int, *, directory: bool) -> int:
        """The new mode of something that has `mode`."""
        if self.octal is not None:
            return self.octal
        was_executable = bool(mode & 0o111) or directory
        for who, operator, letters in self.clauses:
            mode = _applied(mode, (who, operator, letters), executable=was_executable)
        return mode


def _applied(mode: int, clause: tuple[str, str, str], *, executable: bool) -> int:
    who, operator, letters = clause
    classes = "ugo" if not who or "a" in who else who
    reach = 0
    for name in classes:
        reach |= 0o7 << _SHIFT[name]
        reach |= {"u": 0o4000, "g": 0o2000, "o": 0}[name]
    bits = 0
    for letter in letters:
        if letter in _SHIFT:
            copied = mode >> _SHIFT[letter] & 0o7
            bits |= sum(copied << _SHIFT[name] for name in "ugo")
        elif letter == "X":
            bits |= 0o111 if executable or operator == "-" else 0
        elif letter == "t":
            bits |= 0o1000
            reach |= 0 if classes == "o" else 0o1000
        else:
            bits |= {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000}[letter]
    bits &= reach
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    return mode & ~reach | bits
