"""How a text becomes words: as Go reads its variables, and as a person writes flags in a SConstruct."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Iterable

_BLANKS = " \t\n\r"


@functools.lru_cache(64)  # asked for every program of a build
def fields(text: str) -> tuple[str, ...]:
    """GOFLAGS, CC, CGO_CFLAGS as Go splits them (cmd/internal/quoted): quotes around a whole word, no escapes.

    So a backslash is a backslash on every system. A quote that is not closed is an error in Go, which `go` reports;
    here it is a letter.
    """
    words = []
    rest = text.lstrip(_BLANKS)
    while rest:
        end = rest.find(rest[0], 1) if rest[0] in "'\"" else -1
        if end > 0:
            words.append(rest[1:end])
            rest = rest[end + 1 :].lstrip(_BLANKS)
        else:
            word = rest.split(None, 1)
            words.append(word[0])
            rest = word[1] if len(word) > 1 else ""
    return tuple(words)


def split(text: str, *, windows: bool = os.name == "nt") -> tuple[str, ...]:
    """The words of a command as a shell of the system reads them: quotes group, wherever they stand.

    On Windows a backslash separates folders and escapes nothing. ValueError for a quote that is not closed.
    """
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split = True
    reader.commenters = ""
    if windows:
        reader.escape = ""
    return tuple(reader)


def quoted(words: Iterable[str]) -> str:
    """A list of words as a text that Go splits into the same words.

    One with a blank or a quote in it is quoted, but for one that is quoted already, or that is a flag with more behind
    it (`-X main.version=v1`), which Go is to split. ValueError for a word with both kinds of quotes.
    """
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    first, blank, _ = word.partition(" ")
    if word and not set(word) & set(_BLANKS + "'\""):
        return word
    if (blank and first.startswith("-") and "=" not in first) or fields(word) == (word[1:-1],):
        return word
    for quote in "'\"":
        if quote not in word:
            return f"{quote}{word}{quote}"
    raise ValueError(word)
