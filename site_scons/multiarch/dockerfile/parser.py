"""A Dockerfile as a list of instructions, byte for byte as BuildKit's `parser` package reads it.

Bytes that are not UTF-8 are kept as Python's `surrogateescape` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document: its name without quotes, its content as it stands in the file (line ends and leading tabs too).

    `expand`: the name was not quoted; `chomp`: `<<-`; `descriptor`: the number before `<<`, else 0.
    """

    name: str
    content: str
    expand: bool
    chomp: bool
    descriptor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction as it is written; whether its keyword exists is for `stages` to say.

    `keyword` is as written, `arguments` what follows keyword and flags: one string for the shell form, words for lists and
    for the JSON form (`json`), triples name, value, `=` for ENV and LABEL. `original` is the line, continuations joined.
    `line` and `end_line` count from 1 and include here-documents. `trigger` is the instruction inside ONBUILD.
    """

    keyword: str
    arguments: tuple[str, ...]
    flags: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    json: bool
    original: str
    line: int
    end_line: int
    trigger: Instruction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    r"""A parsed Dockerfile: its name in errors, its instructions, its directives.

    `escape` is `\` or a backtick; `syntax` is the frontend image of `# syntax=` (None without one), `check` the value of
    `# check=`.
    """

    name: str
    instructions: tuple[Instruction, ...]
    escape: str = "\\"
    syntax: str | None = None
    check: str | None = None


def parse(content: bytes, *, name: str) -> Dockerfile:
    """Parse a Dockerfile; raises InvalidDockerfile with `where=<name>:<line>`."""
    raise NotImplementedError
