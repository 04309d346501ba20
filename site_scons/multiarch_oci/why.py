"""Why a target is made again: the facts of its last making against the facts of now (a pure function)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from multiarch_oci.document import Document, key_of, readable
from multiarch_oci.errors import public

FEW = 3
"""How many changes are told one by one; the rest is a number."""
_SHORT = 80
_LARGEST = 1 << 30
_MISSING = "missing"
"""The value that names the sources of an image that are not there."""
_ERROR = "error"
"""The value that holds what `go list` found wrong."""
_RECIPE = r"(?:[^ ]*/)?(?:[^ /]*\.)?Dockerfile(?:\.[^ /]*)?(?: |\Z)"


class Facts(msgspec.Struct, frozen=True, eq=False):
    """All that decides the bytes of one target: named values (flags, versions) and files with their digests.

    `values` are told with their contents when they change, `files` by name alone.
    """

    values: Mapping[str, str]
    files: Mapping[str, str]
    known: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facts) and (self.values, self.files) == (other.values, other.files)

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """One digest over everything, in hexadecimal: equal facts, equal digest, in whatever order they were given.

        `known` is that digest where who gave the facts has taken it already.
        """
        if self.known:
            return self.known
        return key_of([sorted(self.values.items()), sorted(self.files.items())])

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Facts:
        """Read what `to_json` wrote; InvalidDocument for anything else."""
        document = Document.parse(content, where=where, limit=_LARGEST)
        return cls(dict(document.pairs("values")), dict(document.pairs("files")))

    def to_json(self) -> bytes:
        """The facts as a readable file, sorted; passwords in URLs (a proxy as a build argument) are left out."""
        values = {name: public(value) for name, value in sorted(self.values.items())}
        return readable({"values": values, "files": dict(sorted(self.files.items()))})


def changes(before: Facts, after: Facts) -> tuple[str, ...]:
    """Every difference in words, files first: `main.go changed`, `x.go added`, `GOFLAGS: '' → '-tags=x'`.

    A Dockerfile goes before what follows from it. Many files that come or go are one reason, with their number and the
    folders that they are in.
    """
    before, after = _comparable(before, after), _comparable(after, before)
    sentences = [f"{name} changed" for name in _differing(before.files, after.files) if _both(name, before, after)]
    missing, returned = _missing(before.values.get(_MISSING), after.values.get(_MISSING))
    sentences += [f"{name} is missing" for name in missing] + [f"{name} is there now" for name in returned]
    sentences += _many([name for name in after.files if name not in {*before.files, *returned}], "added")
    sentences += _many([name for name in before.files if name not in {*after.files, *missing}], "removed")
    names = [name for name in _differing(before.values, after.values) if name != _MISSING]
    sentences += [words for name in names if (words := _value(name, before.values, after.values))]
    return tuple(sorted(sentences, key=lambda words: not re.match(_RECIPE, words)))


def _comparable(facts: Facts, other: Facts) -> Facts:
    """What of these facts is to be compared with others: a `go list` that fails names a part of them alone."""
    if _ERROR not in other.values:
        return facts
    values = {name: value for name, value in facts.values.items() if name == _ERROR or name in other.values}
    return Facts(values, {name: digest for name, digest in facts.files.items() if name in other.files})


def brief(sentences: Iterable[str]) -> str | None:
    """One line: the first FEW reasons, each once, and how many more there are; None for none."""
    reasons = list(dict.fromkeys(sentences))
    more = [f"and {len(reasons) - FEW} more"] if len(reasons) > FEW else []
    return ", ".join([*reasons[:FEW], *more]) or None


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _both(name: str, before: Facts, after: Facts) -> bool:
    return name in before.files and name in after.files


def _many(names: list[str], verb: str) -> list[str]:
    """`name verb` for a few files; of more, Dockerfiles by name, the others by number and topmost folders."""
    if len(names) <= FEW:
        return [f"{name} {verb}" for name in sorted(names)]
    recipes = sorted(name for name in names if re.match(_RECIPE, name))
    others = [name for name in names if name not in recipes and name != "."]
    tops = sorted({name.partition("/")[0] for name in others})
    shown = ", ".join(tops[:FEW]) + (", …" if len(tops) > FEW else "")
    words = f"{len(others)} files {'no longer used' if verb == 'removed' else verb} ({shown})"
    return [*(f"{name} {verb}" for name in recipes), words]


def _missing(before: str | None, after: str | None) -> tuple[list[str], list[str]]:
    """What a Dockerfile asks for that is not there, and what was not, and is now."""
    old, new = (set(filter(None, (text or "").split(", "))) for text in (before, after))
    return sorted(new - old), sorted(old - new)


def _value(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """The change of a value in words; None for one that is not to be seen, as of a password."""
    old, new = (None if facts.get(name) is None else public(facts[name]) for facts in (before, after))
    if old == new:
        return None
    if name == _ERROR:
        return f"go list fails: {new.splitlines()[0]}" if new else "go list no longer fails"
    if not old and new:
        return f"{name}: {_short(new)} is new"
    if old is not None and not new:
        return f"{name}: {_short(old)} is gone"
    return f"{name}: {_short(_plain(old))} → {_short(_plain(new))}" if _plain(old) != _plain(new) else f"{name} changed"


def _plain(value: str | None) -> str:
    """A value without the sum that go.sum has for a module."""
    return (value or "").partition(" h1:")[0]


def _short(value: str) -> str:
    return f"'{value}'" if len(value) <= _SHORT else f"'{value[: _SHORT - 1]}…'"
