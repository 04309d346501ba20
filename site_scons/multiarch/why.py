"""Why a target is made again: the facts of its last making against the facts of now (a pure function)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multiarch.digest import Digest
from multiarch.document import Document, keyed, readable
from multiarch.errors import MultiarchError
from multiarch.record import dataclass, field

FEW = 3
"""How many changes are told one by one; the rest is a number."""
_SHORT = 80


class InvalidFacts(MultiarchError, ValueError):
    """A record of facts that cannot be read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides the bytes of one target: named values (flags, versions) and files with their digests.

    `values` are told with their contents when they change, `files` by name alone.
    """

    values: Mapping[str, str]
    files: Mapping[str, str]
    known: str = field(default="", compare=False)

    def digest(self) -> str:
        """One digest over everything, in hexadecimal: equal facts, equal digest, in whatever order they were given.

        `known` is that digest where who gave the facts has taken it already.
        """
        if self.known:
            return self.known
        return Digest.of(keyed([sorted(self.values.items()), sorted(self.files.items())])).hex

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Facts:
        """Read what `to_json` wrote; InvalidDocument for anything else."""
        document = Document.parse(content, where=where)
        return cls(dict(document.pairs("values")), dict(document.pairs("files")))

    def to_json(self) -> bytes:
        """The facts as a readable file, sorted."""
        return readable({"values": dict(sorted(self.values.items())), "files": dict(sorted(self.files.items()))})


def changes(before: Facts, after: Facts) -> tuple[str, ...]:
    """Every difference in words, files first: `main.go changed`, `x.go added`, `GOFLAGS: '' → '-tags=x'`."""
    told = [_file(name, before.files, after.files) for name in _differing(before.files, after.files)]
    told += [_value(name, before.values, after.values) for name in _differing(before.values, after.values)]
    return tuple(told)


def brief(told: Iterable[str]) -> str | None:
    """One line: the first FEW reasons, each once, and how many more there are; None for none."""
    reasons = list(dict.fromkeys(told))
    more = [f"and {len(reasons) - FEW} more"] if len(reasons) > FEW else []
    return ", ".join([*reasons[:FEW], *more]) or None


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _file(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    if name not in before:
        return f"{name} added"
    return f"{name} changed" if name in after else f"{name} removed"


def _value(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    old, new = before.get(name), after.get(name)
    if old is None:
        return f"{name}: {_short(new or '')} is new"
    return f"{name}: {_short(old)} is gone" if new is None else f"{name}: {_short(old)} → {_short(new)}"


def _short(value: str) -> str:
    return f"'{value}'" if len(value) <= _SHORT else f"'{value[: _SHORT - 1]}…'"
