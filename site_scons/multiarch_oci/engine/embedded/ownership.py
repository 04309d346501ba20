"""Whose a copied file is, and with what mode: `--chown=user[:group]`, USER, `--chmod`.

Users and groups by number, or by the image's /etc/passwd and /etc/group; modes octal, or symbolic as chmod(1) and
BuildKit write them (`u=rwX,go=rX`).
"""

from __future__ import annotations

import re

import msgspec

from multiarch_oci.engine.frontend.tree import CannotCopy, Tree, resolve
from multiarch_oci.layer import Kind

_LIMIT = 10 << 20  # bytes of /etc/passwd that BuildKit reads
_ID = re.compile(r"[0-9]{1,10}\Z")
_LARGEST_ID = 0x7FFFFFFF
_ROOT = "root"  # 0 whatever the image's files say, as BuildKit has it


def owner(text: str, image: Tree) -> tuple[int, int]:
    """The uid and gid of `user[:group]`; a lone number is its own group, a lone name has the group of /etc/passwd.

    Raises CannotCopy for a name that the image does not have (BuildKit silently takes 0: a service that runs as root).
    """
    user, _, group = text.partition(":")
    uid, gid = _account(user, image) if user else (0, 0)
    return uid, gid if not group else _group(group, image)


def by_name(text: str) -> bool:
    """Whether a name stands in it that has to be looked up."""
    return any(part not in ("", _ROOT) and _ID.match(part) is None for part in text.split(":", 1))


def _account(user: str, image: Tree) -> tuple[int, int]:
    if user == _ROOT:
        return 0, 0
    if _ID.match(user):
        return (_number(user), _number(user))
    for fields in _lines(image, "etc/passwd"):
        if fields[0] == user and len(fields) > 3 and _ID.match(fields[2]) and _ID.match(fields[3]):  # noqa: PLR2004  # passwd(5)
            return _number(fields[2]), _number(fields[3])
    raise _unknown("user", user, "/etc/passwd")


def _group(group: str, image: Tree) -> int:
    if group == _ROOT:
        return 0
    if _ID.match(group):
        return _number(group)
    for fields in _lines(image, "etc/group"):
        if fields[0] == group and len(fields) > 2 and _ID.match(fields[2]):  # noqa: PLR2004  # group(5)
            return _number(fields[2])
    raise _unknown("group", group, "/etc/group")


def _number(text: str) -> int:
    value = int(text)
    if value > _LARGEST_ID:
        raise CannotCopy(f"{text} is larger than any user or group id")
    return value


def _lines(image: Tree, path: str) -> list[list[str]]:
    node = image.lookup(resolve(image, path))
    if node is None or node.kind is not Kind.FILE or node.content is None:
        return []
    with node.content.open() as stream:
        text = stream.read(_LIMIT).decode("utf-8", "replace")
    return [line.strip().split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _unknown(what: str, name: str, file: str) -> CannotCopy:
    return CannotCopy(f"the image's {file} has no {what} '{name}'", hint="use a number, or a base that has the name")


_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}


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
