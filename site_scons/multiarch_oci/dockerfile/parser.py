"""A Dockerfile as a list of instructions, byte for byte as BuildKit's `parser` package reads it.

Bytes that are not UTF-8 are kept as Python's `surrogateescape` keeps them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from multiarch_oci.dockerfile import InvalidDockerfile, forms
from multiarch_oci.dockerfile.gotext import SPACE, decode, lower, runes
from multiarch_oci.dockerfile.shell import Lexing, lex

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


_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_CONTINUED = {
    "\\": re.compile(r"([^\\])\\[ \t]*\Z|^\\[ \t]*\Z"),
    "`": re.compile(r"([^`])`[ \t]*\Z|^`[ \t]*\Z"),
}
_WITH_HEREDOCS = frozenset({"add", "copy", "run"})
_JSON_OR_STRING = frozenset({"cmd", "entrypoint", "run", "shell"})
_JSON_OR_LIST = frozenset({"add", "copy", "volume"})
_LISTS = frozenset({"expose", "from"})
_STRINGS = frozenset({"maintainer", "stopsignal", "user", "workdir"})


class Heredoc(msgspec.Struct, frozen=True):
    """A here-document: its name without quotes, its content as it stands in the file (line ends and leading tabs too).

    `expand`: the name was not quoted; `chomp`: `<<-`; `descriptor`: the number before `<<`, else 0.
    """

    name: str
    content: str
    expand: bool
    chomp: bool
    descriptor: int = 0


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction as it is written; whether its keyword exists is for `stages` to say.

    `keyword` is as written, `arguments` what follows keyword and flags: one string for the shell form, words for lists
    and for the JSON form (`json`), triples name, value, `=` for ENV and LABEL. `original` is the line, continuations
    joined. `line` and `end_line` count from 1 and include here-documents. `trigger` is the instruction inside ONBUILD.
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


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    r"""A parsed Dockerfile: its name in errors, its instructions, its directives.

    `escape` is `\` or a backtick; `syntax` is the frontend image of `# syntax=` (None without one), `check` the value
    of `# check=`.
    """

    name: str
    instructions: tuple[Instruction, ...]
    escape: str = "\\"
    syntax: str | None = None
    check: str | None = None


def parse(content: bytes, *, name: str) -> Dockerfile:
    """Parse a Dockerfile; raises InvalidDockerfile with `where=<name>:<line>`."""
    text = decode(content.removeprefix(BOM))
    reader = _Reader(content, name)
    instructions = tuple(reader.instructions())
    if not instructions:
        raise InvalidDockerfile("file with no instructions", where=f"{name}:{max(len(reader.lines), 1)}")
    syntax = directive("syntax", text)
    return Dockerfile(
        name=name,
        instructions=instructions,
        escape=reader.escape,
        syntax=syntax and syntax.partition(" ")[0],
        check=directive("check", text),
    )


def heredoc(word: str) -> Heredoc | None:
    """Read `<<NAME` without its content; None if `word` is none. Raises InvalidDockerfile."""
    match = _HEREDOC.match(word)
    if not match or not match[3]:
        return None
    kept = lex(match[3], {}, Lexing(keep_unset=True)).words
    if len(kept) != 1:
        return None
    raw = lex(match[3], {}, Lexing(keep_unset=True, keep_quotes=True)).words
    if len(raw) != 1:
        raise InvalidDockerfile(f"internal lexing of heredoc produced inconsistent results: {match[3]}")
    digits = match[1].lstrip("0")[:21]  # what is longer overflows as well
    descriptor = min(int(digits or "0"), 2**64 - 1)
    return Heredoc(kept[0], "", _quotes(kept[0]) == _quotes(raw[0]), match[2] == "-", descriptor)


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')


class _Reader:
    """The lines of a file, its escape token and the head it is read by."""

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        self.lines = [decode(line) for line in _lines(content, name)]
        self.position = 0
        self.escape = "\\"
        self.head = Head()

    def where(self, line: int) -> str:
        return f"{self.name}:{line}"

    def instructions(self) -> Iterator[Instruction]:
        while self.position < len(self.lines):
            start = self.position + 1
            try:
                line = self.logical_line()
                if line is None:
                    continue
                instruction = _instruction(line, self.escape)
                heredocs = tuple(self.body(announced) for announced in _heredocs(instruction))
            except InvalidDockerfile as error:
                raise error.at(self.where(start)) from None
            yield _placed(replace(instruction, heredocs=heredocs), start, self.position)

    def physical_line(self, *, strip: bool) -> str:
        """Read one line without its end; a comment reads as empty, a directive takes effect."""
        line = self.lines[self.position].rstrip("\r\n")
        self.position += 1
        if strip:
            line = line.lstrip(SPACE)
        if self.head.read(line) == "escape":
            self.escape = self.head.seen["escape"]
            if self.escape not in _CONTINUED:
                raise InvalidDockerfile(f"invalid escape token '{self.escape}' does not match ` or \\")
        return "" if _is_comment(line) else line

    def logical_line(self) -> str | None:
        """Read lines up to one that is not continued; None for a blank line or a comment."""
        line, continued = self.continued(self.physical_line(strip=True))
        if not continued and not line:
            return None
        while continued and self.position < len(self.lines):
            more = self.physical_line(strip=False)
            if more.lstrip(SPACE):
                more, continued = self.continued(more)
                line += more
        return line

    def continued(self, line: str) -> tuple[str, bool]:
        match = _CONTINUED[self.escape].search(line)
        return (line[: match.start()] + (match[1] or ""), True) if match else (line, False)

    def body(self, announced: Heredoc) -> Heredoc:
        """Read the content of a here-document."""
        start = self.position
        for at in range(start, len(self.lines)):
            line = self.lines[at].rstrip("\r\n")
            if (line.lstrip("\t") if announced.chomp else line) == announced.name:
                self.position = at + 1
                return replace(announced, content="".join(self.lines[start:at]))
        raise InvalidDockerfile(
            "unterminated heredoc", hint=f"a line that holds {runes(announced.name)} and nothing else ends it"
        )


def _lines(content: bytes, name: str) -> list[bytes]:
    lines = content.removeprefix(BOM).split(b"\n")
    lines = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    for number, line in enumerate(lines, 1):
        length = len(line) + (len(BOM) if number == 1 and content.startswith(BOM) else 0)
        if length > MAX_LINE - (not line.endswith(b"\n")):
            raise InvalidDockerfile(
                f"dockerfile line greater than max allowed size of {MAX_LINE - 1}", where=f"{name}:{number}"
            )
    return lines


def _is_comment(line: str) -> bool:
    return line.lstrip(SPACE).startswith("#")


def _instruction(line: str, escape: str) -> Instruction:
    keyword, flags, rest = forms.split_command(line, escape)
    kind, trigger, json = lower(keyword), None, False
    if kind == "onbuild" and rest:
        trigger = _instruction(rest, escape)
        arguments: tuple[str, ...] = (trigger.keyword, *trigger.arguments)
    else:
        arguments, json = _arguments(kind, rest, escape)
    return Instruction(
        keyword=keyword,
        arguments=arguments,
        flags=flags,
        heredocs=(),
        json=json,
        original=line,
        line=0,
        end_line=0,
        trigger=trigger,
    )


def _arguments(kind: str, rest: str, escape: str) -> tuple[tuple[str, ...], bool]:
    if kind in {"env", "label"}:
        return forms.name_values(rest, kind.upper(), escape), False
    if kind == "arg":
        return forms.words(rest, escape), False
    if kind == "healthcheck":
        return forms.health(rest)
    if kind in _LISTS:
        return forms.listed(rest), False
    if kind in _STRINGS:
        return forms.whole(rest), False
    if kind in _JSON_OR_LIST or kind in _JSON_OR_STRING:
        array = forms.json_array(rest)
        if array is not None:
            return array, True
        return (forms.listed if kind in _JSON_OR_LIST else forms.whole)(rest), False
    return (() if kind == "onbuild" else ("",)), False  # an unknown keyword has one empty argument


def _heredocs(instruction: Instruction) -> tuple[Heredoc, ...]:
    """Give the here-documents that a line announces, without content."""
    carrier = instruction.trigger or instruction
    if lower(carrier.keyword) not in _WITH_HEREDOCS or carrier.json or "<<" not in instruction.original:
        return ()
    try:
        words = lex(instruction.original, {}, Lexing(keep_quotes=True, keep_escapes=True, keep_unset=True)).words
    except InvalidDockerfile:
        return ()
    return tuple(announced for announced in map(heredoc, words) if announced)


def _placed(instruction: Instruction, line: int, end_line: int) -> Instruction:
    trigger = instruction.trigger and _placed(instruction.trigger, line, end_line)
    return replace(instruction, line=line, end_line=end_line, trigger=trigger)
