"""Everything that can change a program, in one digest and by name, so that a rebuild can be explained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import msgspec

_FORMAT = "go inputs 1"


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
    `no_index`: in a package the mtime of some file was set back, by which Go's package index is keyed, or there are
    such files and not all packages are known. `embeds`: the folders and patterns of packages that embed files.
    """

    headers: tuple[tuple[str, str], ...] = ()
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


def _sum(document: object) -> str:
    return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode("ascii")).hexdigest()
