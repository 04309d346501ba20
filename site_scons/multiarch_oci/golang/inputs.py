"""Everything that can change a program, in one digest and by name, so that a rebuild can be explained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

import msgspec

from multiarch_oci.errors import MultiarchError

_FORMAT = "go inputs 1"
_SHOWN = 3
_UNQUOTED = ("go", "go.mod", "go.work", "module")


class InvalidInputs(MultiarchError, ValueError):
    """A text that is no record of inputs."""


class Part(msgspec.Struct, frozen=True):
    """The files of one package, under the names that are shown to people, with their sha256; shared by all programs."""

    name: str
    files: tuple[tuple[str, str], ...]
    digest: str

    @classmethod
    def of(cls, name: str, files: Mapping[str, str]) -> Part:
        """A part with its digest; the names count, not only what is in the files."""
        listed = tuple(sorted(files.items()))
        return cls(name, listed, _sum([name, listed]))


class Hints(msgspec.Struct, frozen=True):
    """What `go build` must be told lest its own caches be stale; no input, as a build from clean needs none of it.

    `headers`: a package's folder and the digest of the headers outside it, which Go's build cache does not know.
    `back_dated`: the folders of packages in which some file's mtime was set back, by which Go's package index is keyed;
    `no_index`: there are such files, and not all packages are known. `embeds`: the folders and patterns of packages
    that embed files.
    """

    headers: tuple[tuple[str, str], ...] = ()
    back_dated: tuple[str, ...] = ()
    no_index: bool = False
    embeds: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Inputs(msgspec.Struct, frozen=True, eq=False):
    """What a program is made of. Two are equal when their digests are."""

    digest: str
    facts: Mapping[str, str]
    parts: tuple[Part, ...]
    hints: Hints = msgspec.field(default_factory=Hints)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inputs) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def of(cls, parts: tuple[Part, ...], facts: Mapping[str, str], hints: Hints | None = None) -> Inputs:
        """The digest over all parts, in the order of their names, and all facts."""
        ordered = tuple(sorted(parts, key=lambda part: part.name))
        digest = _sum([_FORMAT, sorted(facts.items()), [part.digest for part in ordered]])
        return cls(digest, dict(facts), ordered, hints or Hints())

    @property
    def files(self) -> dict[str, str]:
        """Every file by the name that is shown to people, and its sha256 in hexadecimal."""
        return {name: digest for part in self.parts for name, digest in part.files}

    @property
    def error(self) -> str | None:
        """What `go list` found wrong, if anything: the build will fail and say so."""
        return self.facts.get("error")

    def to_json(self) -> bytes:
        """A record that can stand on disk until the next build; equal inputs, equal bytes."""
        parts = [[part.name, part.files] for part in self.parts]
        document = {"format": _FORMAT, "digest": self.digest, "facts": self.facts, "parts": parts}
        return (json.dumps(document, indent=0, sort_keys=True) + "\n").encode("ascii")

    @classmethod
    def from_json(cls, text: bytes) -> Inputs:
        """The reverse of `to_json`; raises InvalidInputs for anything else, a record with another digest included."""
        try:
            document = json.loads(text)
            facts = {str(name): str(value) for name, value in document["facts"].items()}
            parts = tuple(Part.of(str(name), {str(n): str(d) for n, d in files}) for name, files in document["parts"])
            inputs = cls.of(parts, facts)
            recorded = document["digest"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InvalidInputs("this is no record of a program's inputs") from None
        if inputs.digest != recorded:
            raise InvalidInputs("this record of a program's inputs does not have the digest that it names")
        return inputs


def explain(before: Inputs, after: Inputs) -> str:
    """One line: which inputs changed, from what to what; at most three are named. An error of `go list` goes first."""
    if after.error and after.error != before.error:
        return f"go list fails: {after.error.splitlines()[0]}"
    changes = [*_changed_files(before.files, after.files), *_changed_facts(before.facts, after.facts)]
    if not changes:
        return "nothing changed"
    more = len(changes) - _SHOWN
    return ", ".join(changes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    removed = {digest: name for name, digest in sorted(before.items()) if name not in after}
    renamed = set()
    for name, digest in sorted(after.items()):
        if name not in before and digest in removed:
            yield f"{removed[digest]} renamed to {name}"
            renamed.add(removed.pop(digest))
        elif name not in before:
            yield f"{name} added"
        elif before[name] != digest:
            yield f"{name} changed"
    for name in sorted(before):
        if name not in after and name not in renamed:
            yield f"{name} removed"


def _changed_facts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        if old == new:
            continue
        if name == "error":
            yield "go list no longer fails"
        elif name.split(" ", 1)[0] in _UNQUOTED:
            yield _plain(name, old, new)
        else:
            yield f"{name}: '{old}' -> '{new}'"


def _plain(name: str, old: str, new: str) -> str:
    if not old or not new:
        return f"{name} {(old or new).split(' h1:', 1)[0]} {'removed' if old else 'added'}"
    short_old, short_new = old.split(" h1:", 1)[0], new.split(" h1:", 1)[0]
    if short_old == short_new:
        return f"{name} {short_new} has other contents"
    if name == "go":
        short_old, short_new = short_old.removeprefix("go"), short_new.removeprefix("go")
    return f"{name} {short_old} -> {short_new}"


def _sum(document: object) -> str:
    return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode("ascii")).hexdigest()
