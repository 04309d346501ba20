"""What `go list` says about packages: the authority on which files belong to a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

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
