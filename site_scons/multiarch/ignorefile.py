"""`.dockerignore`: which files of the context a build sees, judged as BuildKit judges them while it walks the tree."""

from __future__ import annotations

from dataclasses import dataclass

from multiarch.errors import MultiarchError


class InvalidIgnoreFile(MultiarchError, ValueError):
    """A pattern that BuildKit would refuse too; `where` is `<name>:<line>`."""


State = tuple[bool, ...]
"""Which patterns matched a directory or its parents; `()` is the root of the walk."""


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """The patterns of a .dockerignore, in order.

    Paths are relative to the context, with `/`, on every host. Ask from the top down, handing each directory's state to its
    children; a file outside a walk is asked with the state `()` and then checks its parents itself.
    """

    @classmethod
    def parse(cls, content: bytes, *, name: str) -> IgnoreFile:
        """Read a file; `name` stands in errors. Raises InvalidIgnoreFile."""
        raise NotImplementedError

    def excludes(self, path: str, parent: State = ()) -> tuple[bool, State]:
        """Tell whether `path` is left out, and the state for its children. Raises InvalidIgnoreFile."""
        raise NotImplementedError

    def prunable(self, directory: str) -> bool:
        """Tell whether an excluded directory may be skipped: no `!` pattern can bring anything below it back."""
        raise NotImplementedError


def match_glob(pattern: str, name: str) -> bool:
    """Match as Go's `filepath.Match` on Unix, which BuildKit uses for COPY sources; ValueError if malformed."""
    raise NotImplementedError
