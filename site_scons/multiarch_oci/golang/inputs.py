"""What a program is made of: the packages as `go list` names them, their files, facts, and one digest of it all.

`go list` is the authority on which files belong to a program. Every file has a name, so that a rebuild can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from multiarch_oci.document import key_of

Run = Callable[[Sequence[str], Path, Mapping[str, str]], "tuple[int, str, str]"]
"""Runs a command in a folder with an environment: its status, what it wrote, and what it complained about."""


class Package(msgspec.Struct, frozen=True):
    """One package that is not of the standard library.

    `module` names its module, version and language version. `fixed`: it lies in the module cache, where a version
    never changes, so its files are not looked at.
    """

    path: str
    name: str
    folder: str
    files: tuple[str, ...]
    imports: tuple[str, ...]
    module: str
    version: str
    language: str
    fixed: bool
    c_flags: tuple[str, ...]
    ld_flags: tuple[str, ...]
    embeds: tuple[str, ...]
    error: str


class Listing(msgspec.Struct, frozen=True, dict=True):
    """The packages behind some patterns: for each pattern the places of its packages, the program's own first."""

    packages: tuple[Package, ...]
    closures: Mapping[str, tuple[int, ...]]
    error: str = ""

    @cached_property
    def _memo(self) -> dict[str, tuple[Package, ...]]:
        return {}

    def behind(self, pattern: str) -> tuple[Package, ...]:
        """The program's package and all that it imports, directly or not."""
        if pattern not in self._memo:
            self._memo[pattern] = tuple(self.packages[number] for number in self.closures.get(pattern, ()))
        return self._memo[pattern]

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong: only then the answer depends on the files alone, and not on a network."""
        return not self.error and not any(package.error for package in self.packages)


def without_index(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Go reads every source file instead of its package index."""
    debug = environment.get("GODEBUG", "")
    return {**environment, "GODEBUG": f"{debug},goindex=0" if debug else "goindex=0"}


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
        return cls(name, listed, key_of([name, listed]))


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
        digest = key_of([_FORMAT, sorted(facts.items()), [part.digest for part in ordered]])
        return cls(digest, dict(facts), ordered, hints or Hints())

    @property
    def files(self) -> dict[str, str]:
        """Every file by the name that is shown to people, and its sha256 in hexadecimal."""
        return {name: digest for part in self.parts for name, digest in part.files}

    @property
    def error(self) -> str | None:
        """What `go list` found wrong, if anything: the build will fail and say so."""
        return self.facts.get("error")
