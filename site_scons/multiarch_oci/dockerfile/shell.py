"""The words of a Dockerfile: quotes, escapes and variables, as BuildKit's `shell.Lex` expands them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile

import msgspec

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.gotext import SPACE, quoted, runes

_SPECIAL = "@*#?-$!0"  # POSIX XCU 2.5.2: parameters with names of one character


class Expansion(msgspec.Struct, frozen=True):
    """An expanded word, the same split at blanks, and the names of the variables that were found and not found."""

    text: str
    words: tuple[str, ...]
    matched: frozenset[str]
    unmatched: frozenset[str]


class Lexing(msgspec.Struct, frozen=True, kw_only=True):
    """How words are read: the escape token, and what is kept as it stands instead of being resolved."""

    escape: str = "\\"
    keep_quotes: bool = False
    keep_escapes: bool = False
    ignore_quotes: bool = False
    keep_unset: bool = False


def expand(word: str, variables: Mapping[str, str], *, escape: str = "\\", where: str | None = None) -> str:
    """Expand one word: quotes are removed, escapes resolved, variables replaced; unset ones become empty.

    `escape` is the Dockerfile's escape token (`Dockerfile.escape`). Raises InvalidDockerfile, at `where`.
    """
    return expand_names(word, variables, escape=escape, where=where).text


def expand_words(
    word: str, variables: Mapping[str, str], *, escape: str = "\\", where: str | None = None
) -> tuple[str, ...]:
    """Expand as `expand` does, then split at blanks that are not quoted (EXPOSE; nothing expanded gives no word)."""
    return expand_names(word, variables, escape=escape, where=where).words


def expand_names(word: str, variables: Mapping[str, str], *, escape: str = "\\", where: str | None = None) -> Expansion:
    """Expand, and say which variables were used. Raises InvalidDockerfile, at `where`."""
    return lex(word, variables, Lexing(escape=escape), where=where)


def expand_heredoc(content: str, variables: Mapping[str, str], *, where: str | None = None) -> str:
    """Expand the variables in a here-document's content; quotes stay, and the escape token is always a backslash."""
    return lex(content, variables, Lexing(ignore_quotes=True), where=where).text


def lex(word: str, variables: Mapping[str, str], lexing: Lexing, *, where: str | None = None) -> Expansion:
    """Expand with all the settings of BuildKit's lexer. Raises InvalidDockerfile, at `where`."""
    reader = _Reader(word, variables, lexing)
    try:
        text, words = reader.until(None, keep_escapes=lexing.keep_escapes, pattern=False)
    except InvalidDockerfile as error:
        raise InvalidDockerfile(f"failed to process {quoted(word)}: {error.what}", where=where) from None
    return Expansion(text, words, frozenset(reader.matched), frozenset(reader.unmatched))


class _Words:
    """The words of a text while it is written, one character or one expansion at a time."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.word = ""

    def add(self, text: str) -> None:
        """Add text whose blanks end a word."""
        for rune in text:
            if rune not in SPACE:
                self.word += rune
            elif self.word:
                self.done.append(self.word)
                self.word = ""

    def add_raw(self, text: str) -> None:
        """Add text whose blanks belong to the word."""
        self.word += text

    def finish(self) -> tuple[str, ...]:
        return (*self.done, self.word) if self.word else tuple(self.done)


class _Reader:
    """A position in a word. The end of the word reads as the empty string."""

    def __init__(self, word: str, variables: Mapping[str, str], lexing: Lexing) -> None:
        self.text = runes(word).removeprefix("\ufeff")  # Go's text/scanner drops a byte order mark
        self.position = 0
        self.variables = variables
        self.lexing = lexing
        self.keep_escapes = lexing.keep_escapes
        self.words: _Words | None = None
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def next(self) -> str:
        rune = self.peek()
        self.position += len(rune)
        return rune

    def value(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def new_words(self) -> _Words:
        """Start words. BuildKit's nested words share one buffer: `a${b:-c}d` loses its `a` when it is split."""
        if self.words:
            self.words.word = ""
        return _Words()

    def until(self, stop: str | None, *, keep_escapes: bool, pattern: bool) -> tuple[str, tuple[str, ...]]:
        """Expand up to `stop`, which is consumed, or to the end. `pattern`: quoted escape tokens are doubled."""
        before = self.keep_escapes, self.words
        self.keep_escapes, self.words = keep_escapes, self.new_words()
        try:
            return self._until(self.words, stop, pattern=pattern)
        finally:
            self.keep_escapes, self.words = before

    def _until(self, words: _Words, stop: str | None, *, pattern: bool) -> tuple[str, tuple[str, ...]]:
        result = ""
        while rune := self.peek():
            if rune == stop:
                self.next()
                return result, words.finish()
            if rune == "$":
                text = self.dollar()
                words.add(text)
            elif rune == "<":
                text = self.heredoc()
                words.add_raw(text)
            elif rune in "'\"" and not self.lexing.ignore_quotes:
                text = self.single_quoted(pattern=pattern) if rune == "'" else self.double_quoted(pattern=pattern)
                words.add_raw(text)
            elif self.next() == self.lexing.escape:
                text = (rune if self.keep_escapes else "") + self.next()
                words.add_raw(text)
            else:
                text = rune
                words.add(text)
            result += text
        if stop is not None:
            raise InvalidDockerfile(f"unexpected end of statement while looking for matching {stop}")
        return result, words.finish()

    def single_quoted(self, *, pattern: bool) -> str:
        quote = self.next()
        result = quote if self.lexing.keep_quotes else ""
        while rune := self.next():
            if rune == "'":
                return result + quote if self.lexing.keep_quotes else result
            result += rune * 2 if pattern and rune == self.lexing.escape else rune
        raise InvalidDockerfile("unexpected end of statement while looking for matching single-quote")

    def double_quoted(self, *, pattern: bool) -> str:
        quote = self.next()
        result = quote if self.lexing.keep_quotes else ""
        while rune := self.peek():
            if rune == "$":
                result += self.dollar()
                continue
            self.next()
            if rune == '"':
                return result + quote if self.lexing.keep_quotes else result
            if rune == self.lexing.escape:
                rune = self.escaped_in_quotes(rune, pattern=pattern)
            result += rune
        raise InvalidDockerfile("unexpected end of statement while looking for matching double-quote")

    def escaped_in_quotes(self, escape: str, *, pattern: bool) -> str:
        following = self.peek()
        if not following:
            return ""
        if following in {'"', "$", escape}:
            self.next()
            return escape + following if self.keep_escapes else following
        doubled = self.keep_escapes and (not self.lexing.keep_quotes or pattern)
        return escape * 2 if doubled else escape

    def heredoc(self) -> str:
        """Read `<<` and the blanks behind it, which belong to the word; a single `<` is itself."""
        self.next()
        if self.peek() != "<":
            return "<"
        start = self.position
        self.next()
        while self.peek() and self.peek() in "\t\r ":
            self.next()
        return "<" + self.text[start : self.position]

    def name(self) -> str:
        start = self.position
        if self.peek().isdecimal():
            while self.peek().isdecimal():
                self.next()
        elif self.peek() and self.peek() in _SPECIAL:
            self.next()
        else:
            while (rune := self.peek()) and (rune.isalpha() or rune.isdecimal() or rune == "_"):
                self.next()
        return self.text[start : self.position]

    def dollar(self) -> str:
        self.next()
        if self.peek() == "{":
            self.next()
            return self.braces()
        name = self.name()
        if not name:
            return "$"
        value = self.value(name)
        return "$" + name if value is None and self.lexing.keep_unset else value or ""

    def braces(self) -> str:
        if not self.peek():
            raise InvalidDockerfile("syntax error: missing '}'")
        if self.peek() in "{}:":
            raise InvalidDockerfile("syntax error: bad substitution")
        name = self.name()
        modifier = self.next()
        if modifier == "}":
            value = self.value(name)
            return f"${{{name}}}" if value is None and self.lexing.keep_unset else value or ""
        if modifier == "/":
            return self.substitution(name)
        if modifier == ":":
            modifier += self.next()
            if modifier in {":#", ":%"}:
                raise InvalidDockerfile(f"unsupported modifier ({modifier}) in substitution")
            return self.modified(name, modifier)
        if modifier and modifier in "+-?#%":
            return self.modified(name, modifier)
        raise InvalidDockerfile(f"unsupported modifier ({modifier}) in substitution")

    def operand(self, stop: str, missing: str, *, keep_escapes: bool, pattern: bool) -> str:
        try:
            return self.until(stop, keep_escapes=keep_escapes, pattern=pattern)[0]
        except InvalidDockerfile:
            if not self.peek():
                raise InvalidDockerfile(f"syntax error: missing {missing}") from None
            raise

    def modified(self, name: str, modifier: str) -> str:
        trims = modifier in "#%"
        word = self.operand("}", "'}'", keep_escapes=trims, pattern=trims)
        value = self.value(name)
        if value is None and self.lexing.keep_unset:
            return f"${{{name}{modifier}{word}}}"
        absent = value is None or (not value and modifier.startswith(":"))
        match modifier[-1]:
            case "-":
                return word if absent else value or ""
            case "+":
                return "" if absent else word
            case "?" if absent:
                state = "unset" if value is None else "empty"
                raise InvalidDockerfile(f"{name}: {word or f'is not allowed to be {state}'}")
            case "?":
                return value or ""
            case "#" | "%":
                greedy = word.startswith(modifier)
                trim = without_prefix if modifier == "#" else without_suffix
                return trim(word[1:] if greedy else word, value or "", greedy=greedy)
            case _:
                raise InvalidDockerfile(f"unsupported modifier ({modifier}) in substitution")

    def substitution(self, name: str) -> str:
        every = self.peek() == "/"
        if every:
            self.next()
        pattern = self.operand("/", "'/' in ${}", keep_escapes=True, pattern=True)
        replacement = self.operand("}", "'}'", keep_escapes=True, pattern=False)
        value = self.value(name)
        if value is None and self.lexing.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return replaced(pattern, replacement, value or "", every=every)


def without_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """Cut the shortest, or with `greedy` the longest, prefix that matches. Raises InvalidDockerfile."""
    match = _compiled(pattern, greedy=greedy).match(runes(value))
    return value[match.end() :] if match else value


def without_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """Cut the shortest, or with `greedy` the longest, suffix that matches. Raises InvalidDockerfile."""
    # A search from the left finds the shortest suffix in the reversed text only.
    return without_prefix(_reversed(pattern), runes(value)[::-1], greedy=greedy)[::-1]


def replaced(pattern: str, replacement: str, value: str, *, every: bool) -> str:
    """Replace the first match, or every one, of the longest form of `pattern`. Raises InvalidDockerfile.

    With `every`, Go reads `$0`, `${0}` and `$$` in the replacement, and any other `$name` as empty.
    """
    compiled = _compiled(pattern, greedy=True)
    text = runes(value)
    if not every:
        match = compiled.search(text)
        return value[: match.start()] + replacement + value[match.end() :] if match else value
    result, last, position = "", 0, 0
    while position <= len(text) and (match := compiled.search(text, position)):
        result += value[last : match.start()]
        if match.end() > last or match.start() == 0:  # no empty match right behind another match
            result += _filled(replacement, value[match.start() : match.end()])
        last = match.end()
        position = max(position + 1, last)
    return result + value[last:]


def _filled(template: str, whole: str) -> str:
    """Expand a template as Go's `Regexp.Expand` does for an expression without groups."""
    result = ""
    while "$" in template:
        before, _, template = template.partition("$")
        result += before
        if template.startswith("$"):
            result, template = result + "$", template[1:]
            continue
        braced = template.startswith("{")
        name = "".join(takewhile(_in_name, template[braced:]))
        end = braced + len(name)
        if not name or (braced and not template.startswith("}", end)):
            result += "$"
            continue
        template = template[end + braced :]
        result += whole if name == "0" else ""
    return result + template


def _in_name(rune: str) -> bool:
    return rune == "_" or rune.isalpha() or rune.isdecimal()


def _reversed(pattern: str) -> str:
    """Reverse a pattern, leaving each escape before what it escapes."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(reversed(parts))


def _compiled(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    star = ".*" if greedy else ".*?"
    following = iter(pattern.removeprefix("\ufeff"))  # Go's text/scanner drops a byte order mark
    expression: list[str] = []
    for rune in following:
        if rune == "*":
            if expression[-1:] != [star]:  # a second star changes nothing but the time it takes
                expression.append(star)
        elif rune == "?":
            expression.append(".")
        elif rune == "\\":
            escaped = next(following, "")
            if not escaped or escaped not in "*?\\}/":
                raise InvalidDockerfile(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
            expression.append(re.escape(escaped))
        else:
            expression.append(re.escape(rune))
    return re.compile("".join(expression))
