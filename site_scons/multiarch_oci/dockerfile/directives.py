"""The directives at the head of a Dockerfile: `# syntax=`, `# escape=`, `# check=`."""

from __future__ import annotations

import json
import re

from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.dockerfile.gotext import SPACE, lower, runes

BOM = b"\xef\xbb\xbf"
MAX_LINE = 64 * 1024
"""Longest line, with its line end, that Go's `bufio.Scanner` reads; a last line without one must be shorter."""

_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z")
_KNOWN = frozenset({"syntax", "escape", "check"})


class Head:
    """The head of a file, read line by line: directives come first, each at most once."""

    def __init__(self, comment: str = "#") -> None:
        self.comment = comment
        self.seen: dict[str, str] = {}
        self.done = False

    def read(self, line: str) -> str | None:
        """Give the directive that `line` is, a key of `seen`; any other ends the head. Raises InvalidDockerfile."""
        match = None
        if not self.done and line.startswith(self.comment):
            match = _DIRECTIVE.match(line[len(self.comment) :].lstrip(SPACE))
        name = lower(match[1]) if match else ""
        if not match or name not in _KNOWN:
            self.done = True
            return None
        if name in self.seen:
            raise InvalidDockerfile(f"only one {name} parser directive can be used")
        self.seen[name] = match[2]
        return name


def directive(name: str, text: str) -> str | None:
    """Find a directive as callers of the parser do, also behind a `#!` line; None if there is none.

    `syntax` may also stand behind `//` or in a JSON object. `text` is without a byte order mark.
    """
    lines = text.split("\n")
    if lines[0].startswith("#!"):
        del lines[0]
    value = _in_head(name, lines, "#")
    if name != "syntax" or value is not None:
        return value
    value = _in_head(name, lines, "//")
    return _in_json(name, "\n".join(lines)) if value is None else value


def _in_head(name: str, lines: list[str], comment: str) -> str | None:
    head = Head(comment)
    for line in lines:
        try:
            head.read(line.removesuffix("\r"))
        except InvalidDockerfile:
            break
        if head.done:
            break
    return head.seen.get(name)


def _in_json(name: str, text: str) -> str | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    value = document.get(name) if isinstance(document, dict) else None
    return runes(value) if isinstance(value, str) else None
