"""How a text becomes words: as Go reads its variables, and as a person writes flags in a SConstruct."""

from __future__ import annotations

import os
import shlex

_BLANKS = " \t\n\r"


def fields(text: str) -> tuple[str, ...]:
    """GOFLAGS, CC, CGO_CFLAGS as Go splits them (cmd/internal/quoted): quotes around a whole word, no escapes.

    So a backslash is a backslash on every system. A quote that is not closed is an error in Go, which `go` reports;
    here it is a letter.
    """
    found = []
    rest = text.lstrip(_BLANKS)
    while rest:
        end = rest.find(rest[0], 1) if rest[0] in "'\"" else -1
        if end > 0:
            found.append(rest[1:end])
            rest = rest[end + 1 :].lstrip(_BLANKS)
        else:
            word = rest.split(None, 1)
            found.append(word[0])
            rest = word[1] if len(word) > 1 else ""
    return tuple(found)


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
