"""The lines of go.mod and go.work that mean something (Go modules reference, "go.mod files" and "Workspaces").

Only as much of the grammar as is needed to say *what changed*: `go` itself is the judge of what is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

Directive = tuple[str, ...]

_TOKEN = re.compile(r'//.*|"(?:[^"\\]|\\.)*"|`[^`]*`|[()]|=>|,|[^\s"`(),]+?(?=//|=>|[\s"`(),]|$)')
_ESCAPE = r"\\(.)"


def directives(text: str) -> Iterator[Directive]:
    """Each line as (verb, argument, …), blocks opened, quotes removed, comments and blank lines left out."""
    block: str | None = None
    for line in text.splitlines():
        words = list(_words(line))
        if words == [")"]:
            block = None
        elif words and block is not None:
            yield (block, *words)
        elif len(words) >= 2 and words[1] == "(":  # noqa: PLR2004  # `verb (`
            block = words[0]
        elif words:
            yield tuple(words)


def facts(text: str, name: str) -> dict[str, str]:
    """What of a go.mod or go.work can change a program: `{"go.mod go": "1.24", "go.mod require x.org/y": "v1.2.3"}`.

    Neither comments (`// indirect` among them), order, nor the grouping in blocks count; `retract`, `tool` and
    `ignore` speak to other commands than `go build`. `toolchain` is a wish that a local toolchain does not hear, and
    what `exclude` does is seen in the versions that were chosen.
    """
    values: dict[str, str] = {}
    for verb, *arguments in directives(text):
        if verb in ("exclude", "ignore", "retract", "tool", "toolchain"):
            continue
        key, value = f"{name} {verb}", " ".join(arguments)
        if verb in ("require", "use"):
            key, value = f"{key} {arguments[0] if arguments else ''}", " ".join(arguments[1:]) or "yes"
        elif verb == "replace" and "=>" in arguments:
            arrow = arguments.index("=>")
            key, value = f"{key} {' '.join(arguments[:arrow])}", " ".join(arguments[arrow + 1 :])
        elif verb == "godebug":
            setting, _, value = value.partition("=")
            key = f"{key} {setting.strip()}"
        values[key] = f"{values[key]}, {value}" if key in values else value
    return values


def go_version(text: str) -> str | None:
    """What the `go` line requires, as in `1.24`; None without one.

    The `toolchain` line is a wish for `GOTOOLCHAIN=auto`: a local toolchain that is older builds nevertheless.
    """
    for verb, *arguments in directives(text):
        if verb == "go" and arguments:
            return arguments[0]
    return None


def local_replacements(text: str) -> list[str]:
    """The folders that `replace … => ./folder` names, as written."""
    folders = []
    for verb, *arguments in directives(text):
        if verb == "replace" and "=>" in arguments:
            target = arguments[arguments.index("=>") + 1 :]
            if len(target) == 1 and is_local(target[0]):
                folders.append(target[0])
    return folders


def uses(text: str) -> list[str]:
    """The folders that a go.work uses, as written."""
    return [arguments[0] for verb, *arguments in directives(text) if verb == "use" and arguments]


def is_local(path: str) -> bool:
    """Whether Go reads this as a folder and not as a module path or pattern: `./x`, `../x`, `/x`, `.`, or a drive."""
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute():
        return True
    return path in (".", "..") or path.startswith(("./", "../", ".\\", "..\\"))


def _words(line: str) -> Iterator[str]:
    for token in _TOKEN.findall(line):
        if token.startswith("//"):
            return
        if token.startswith('"'):
            yield re.sub(_ESCAPE, r"\1", token[1:-1])
        elif token.startswith("`"):
            yield token[1:-1]
        else:
            yield token
