"""The words of a Dockerfile: quotes, escapes and variables, as BuildKit's `shell.Lex` expands them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expansion:
    """An expanded word, the same split at blanks, and the names of the variables that were found and not found."""

    text: str
    words: tuple[str, ...]
    matched: frozenset[str]
    unmatched: frozenset[str]


def expand(word: str, variables: Mapping[str, str], *, escape: str = "\\", where: str | None = None) -> str:
    """Expand one word: quotes are removed, escapes resolved, variables replaced; unset ones become empty.

    `escape` is the Dockerfile's escape token (`Dockerfile.escape`). Raises InvalidDockerfile, at `where`.
    """
    raise NotImplementedError


def expand_words(
    word: str, variables: Mapping[str, str], *, escape: str = "\\", where: str | None = None
) -> tuple[str, ...]:
    """Expand as `expand` does, then split at blanks that are not quoted (EXPOSE; nothing expanded gives no word)."""
    raise NotImplementedError


def expand_names(word: str, variables: Mapping[str, str], *, escape: str = "\\", where: str | None = None) -> Expansion:
    """Expand, and say which variables were used."""
    raise NotImplementedError


def expand_heredoc(content: str, variables: Mapping[str, str], *, where: str | None = None) -> str:
    """Expand the variables in a here-document's content, whose quotes and other escapes stay as they are."""
    raise NotImplementedError
