"""`.dockerignore`: which files of the context a build sees, judged as BuildKit judges them while it walks the tree.

Patterns are those of moby/patternmatcher on Linux, on every host: `/` separates, a backslash escapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.wildcard import BadPattern, Wildcard, match_glob

__all__ = ["IgnoreFile", "InvalidIgnoreFile", "Pattern", "State", "match_glob"]


class InvalidIgnoreFile(MultiarchError, ValueError):
    """A pattern that BuildKit would refuse too; `where` is `<name>:<line>`."""


_BOM = b"\xef\xbb\xbf"
_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_MAX_LINE = 64 * 1024  # of Go's bufio.Scanner
_SPECIAL = frozenset("*[]?^\\")
_OPERATORS = frozenset("{|")

State = tuple[bool, ...]
"""Which patterns matched a directory or its parents; `()` is the root of the walk."""


class Pattern(msgspec.Struct, frozen=True):
    """One line: what it matches, whether it brings back (`!`), and where it stands."""

    text: str
    exception: bool
    where: str
    wildcard: Wildcard

    def matches(self, path: str) -> bool:
        """Match one path, without its parents. Raises InvalidIgnoreFile for a pattern that only a match finds wrong."""
        try:
            return self.wildcard.matches(path)
        except BadPattern as error:
            raise _invalid(self.text, self.where, error) from error

    def below(self, directory: str) -> bool:
        """Tell whether this exception, with no wildcard but a last `/*` or `/**`, names something in a directory."""
        return f"{_without_glob(self.text)}/".startswith(f"{directory}/")


class IgnoreFile(msgspec.Struct, frozen=True):
    """The patterns of a .dockerignore, in order.

    Paths are relative to the context, with `/`, on every host. Ask from the top down, handing each directory's state to
    its children; a path that is asked with the state `()` has its parents checked on the spot, which BuildKit does not
    do in a walk, and which differs where a `!` follows.
    """

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, content: bytes, *, name: str) -> IgnoreFile:
        """Read a file; `name` stands in errors. Raises InvalidIgnoreFile."""
        patterns = (_pattern(line, f"{name}:{number}") for number, line in enumerate(_lines(content, name), 1))
        return cls(tuple(pattern for pattern in patterns if pattern))

    @classmethod
    def of(cls, patterns: tuple[str, ...], *, name: str) -> IgnoreFile:
        """Take patterns that stand in no file, as those of `COPY --exclude`. Raises InvalidIgnoreFile at `name`."""
        compiled = (_compiled(pattern, name) for pattern in patterns)
        return cls(tuple(pattern for pattern in compiled if pattern))

    def excludes(self, path: str, parent: State = ()) -> tuple[bool, State]:
        """Tell whether `path` is left out, and the state for its children. Raises InvalidIgnoreFile."""
        excluded, state = False, []
        for at, pattern in enumerate(self.patterns):
            match = bool(parent) and parent[at]
            if not match and pattern.exception is excluded:
                match = pattern.matches(path) or (not parent and any(map(pattern.matches, _parents(path))))
            state.append(match)
            if match:
                excluded = not pattern.exception
        return excluded, tuple(state)

    def prunable(self, directory: str) -> bool:
        """Tell whether an excluded directory may be skipped: no `!` pattern can bring anything below it back."""
        exceptions = [pattern for pattern in self.patterns if pattern.exception]
        if any(_SPECIAL.intersection(_without_glob(pattern.text)) for pattern in exceptions):
            return False
        return not any(pattern.below(directory) for pattern in exceptions)

    def walk(self, root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Walk what a build sees: relative path and entry, each directory before its content, sorted by name.

        An excluded directory appears if something in it was brought back; links are not followed. Raises
        InvalidIgnoreFile, and OSError of what cannot be read.
        """
        yield from self._walk(root, "", (), [])

    def _walk(
        self, folder: Path, prefix: str, state: State, pending: list[tuple[str, os.DirEntry[str]]]
    ) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Walk a folder; `pending` are its excluded parents, which appear before the first entry that is kept."""
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        for entry in ordered:
            path = prefix + entry.name
            excluded, below = self.excludes(path, state)
            folder_itself = entry.is_dir(follow_symlinks=False)
            if excluded and (not folder_itself or self.prunable(path)):
                continue
            if not excluded:
                yield from pending
                pending.clear()
                yield path, entry
            if folder_itself:
                waiting = [*pending, (path, entry)] if excluded else []
                yield from self._walk(folder / entry.name, f"{path}/", below, waiting)
                if excluded and not waiting:
                    pending.clear()


def _lines(content: bytes, name: str) -> list[bytes]:
    lines = content.removeprefix(_BOM).split(b"\n")
    for number, line in enumerate(lines, 1):
        bom = len(_BOM) if number == 1 and content.startswith(_BOM) else 0
        if len(line) + bom >= _MAX_LINE:
            raise InvalidIgnoreFile("line too long", where=f"{name}:{number}")
    return lines


def _pattern(line: bytes, where: str) -> Pattern | None:
    """Read a line as `ignorefile.ReadAll` does."""
    text = line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
    if text.startswith("#"):
        return None
    text = text.strip(_SPACE)
    exception = text.startswith("!")
    if exception:
        text = text[1:].strip(_SPACE)
    if text:
        text = _clean(text)
        text = text[1:] if len(text) > 1 and text.startswith("/") else text
    return _compiled("!" + text if exception else text, where)


def _compiled(text: str, where: str) -> Pattern | None:
    """Read a pattern as `patternmatcher.New` does."""
    text = text.strip(_SPACE)
    if not text:
        return None
    cleaned = _clean(text)
    exception = cleaned.startswith("!")
    if cleaned == "!":
        raise InvalidIgnoreFile(
            f'illegal exclusion pattern: "{_shown(text)}"', where=where, hint="name what is brought back: !path"
        )
    cleaned = cleaned[1:] if exception else cleaned
    try:
        match_glob(cleaned, ".")
    except BadPattern as error:
        raise _invalid(cleaned, where, error) from error
    return Pattern(cleaned, exception, where, Wildcard(cleaned))


def _invalid(text: str, where: str, error: BadPattern) -> InvalidIgnoreFile:
    from multiarch_oci.goregexp import UnicodeClass  # start-up

    shown = _shown(text)
    if isinstance(error, UnicodeClass):
        hint = "write the letters themselves, as in [a-z]; a backslash in front of p is no separator of folders"
        return InvalidIgnoreFile(f'a Unicode class in pattern "{shown}" is not read here', where=where, hint=hint)
    hint = "close each [ with ], write a bracket itself as \\["
    if _OPERATORS.intersection(text):
        hint = (
            "beside * ? [ ] or \\ a { repeats and a | is 'or', as BuildKit has it; write the characters as \\{ and \\|"
        )
    return InvalidIgnoreFile(f'syntax error in pattern "{shown}"', where=where, hint=hint)


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _clean(path: str) -> str:
    """Shorten a path as Go's `filepath.Clean` does on Unix."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in {"", "."} and not (part == ".." and rooted):
            parts.append(part)
    return "/" * rooted + "/".join(parts) or "."


def _without_glob(text: str) -> str:
    return text.removesuffix("/**").removesuffix("/*")


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))
