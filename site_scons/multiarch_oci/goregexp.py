"""Go's regular expressions (regexp/syntax), as far as a pattern of `.dockerignore` can become one, in Python's syntax.

What Go refuses is refused: stacked repetitions, repetitions of nothing, counts above 1000, expressions too large.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from itertools import groupby

import msgspec

from multiarch_oci.errors import BadPattern

_END = r"\Z"
_PERL = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}
_NOT_PERL = {
    "D": r"\x00-/:-\U0010ffff",
    "W": r"\x00-/:-@\[-\^`{-\U0010ffff",
    "S": "\\x00-\\x08\\x0b\\x0e-\\x1f!-\\U0010ffff",
}
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_NOT_POSIX = {
    "alnum": r"\x00-/:-@\[-`{-\U0010ffff",
    "alpha": r"\x00-@\[-`{-\U0010ffff",
    "ascii": r"\x80-\U0010ffff",
    "blank": r"\x00-\x08\n-\x1f!-\U0010ffff",
    "cntrl": r" -~\x80-\U0010ffff",
    "digit": r"\x00-/:-\U0010ffff",
    "graph": r"\x00- \x7f-\U0010ffff",
    "lower": r"\x00-`{-\U0010ffff",
    "print": r"\x00-\x1f\x7f-\U0010ffff",
    "punct": r"\x00- 0-9A-Za-z\x7f-\U0010ffff",
    "space": r"\x00-\x08\x0e-\x1f!-\U0010ffff",
    "upper": r"\x00-@\[-\U0010ffff",
    "word": r"\x00-/:-@\[-\^`{-\U0010ffff",
    "xdigit": r"\x00-/:-@G-`g-\U0010ffff",
}

_MAX_COUNT = 1000
_MAX_SIZE = (128 << 20) // 40
"""Of a compiled expression, in Go's instructions."""
_TOO_BIG = 10**8  # from there on Go reads a count as -1
_OCTAL = re.compile("0[0-7]{0,2}|[1-7][0-7]{1,2}")
_HEXADECIMAL = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})")
_COUNT = re.compile(r"\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\}", re.ASCII)


_CATEGORY = re.compile(r"[pP](?:\{(\^?)([^}]*)\}|([^{]))")
_KINDS = ("Cc Cf Cn Co Cs", "Ll Lm Lo Lt Lu", "Mc Me Mn", "Nd Nl No", "Pc Pd Pe Pf Pi Po Ps", "Sc Sk Sm So", "Zl Zp Zs")
_CATEGORIES = frozenset(kind for kinds in _KINDS for kind in (*kinds.split(), kinds[0]))
_NOTHING = r"\ud800"  # no rune of a text that is read


class UnicodeClass(BadPattern):
    r"""`\p{Greek}`: Go's tables of scripts are not here."""


@functools.cache
def _category(name: str, *, negated: bool) -> str:
    """The characters of a general category (`L`, `Lu`) as members of a class, by this Python's version of Unicode.

    What Unicode does not assign is in `C`, as since Go 1.25.
    """

    def is_inside(code: int) -> bool:
        return unicodedata.category(chr(code)).startswith(name) is not negated

    runs = groupby(range(sys.maxunicode + 1), is_inside)
    ranges = [list(codes) for inside, codes in runs if inside]
    return "".join(f"\\U{codes[0]:08x}-\\U{codes[-1]:08x}" for codes in ranges)


def python_expression(text: str) -> str:
    """The same expression in Python's syntax, to be searched for; `^` and `$` are the ends of the text.

    Raises BadPattern where Go has an error, and UnicodeClass.
    """
    return _Reader(text).expression()


class _Part(msgspec.Struct, frozen=True):
    """A part of an expression: in Python, its size in Go's instructions, the product of the counts in it.

    `loop` says that repeating it changes nothing: it is `x*` already.
    """

    text: str
    size: int = 1
    counts: int = 1
    loop: bool = False


def _repeated(part: _Part, least: int, most: int | None) -> _Part:
    """The part that often; None is without end. Raises BadPattern for what Go finds too much."""
    count = least if most is None else most
    counts = count * part.counts
    if count > 1 and counts > _MAX_COUNT:
        raise BadPattern("invalid repeat count")
    if most is None:
        size = 1 + least * part.size if least else 2 + part.size
    else:
        size = max(1, most * part.size + most - least)
    if size > _MAX_SIZE:
        raise BadPattern("expression too large")
    if most == 0:
        return _Part("", size, counts)
    if (least, most) == (1, 1) or part.loop:
        return _Part(part.text, size, counts, part.loop)
    text = f"(?:{part.text}){{{least},{'' if most is None else most}}}"
    return _Part(text, size, counts, loop=(least, most) == (0, None))


def _joined(branches: list[list[_Part]]) -> _Part:
    """Alternatives, each a sequence, as one part."""
    size = sum(part.size for branch in branches for part in branch) + len(branches) - 1
    if size > _MAX_SIZE:
        raise BadPattern("expression too large")
    counts = max((part.counts for branch in branches for part in branch), default=1)
    return _Part("|".join("".join(part.text for part in branch) for branch in branches), max(1, size), counts)


def _character(digits: str) -> str:
    value = digits.lstrip("0") or "0"
    if len(value) > len("10ffff") or int(value, 16) > sys.maxunicode:
        raise BadPattern(digits)
    return chr(int(value, 16))


def _range(low: str, high: str) -> str:
    return re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}"


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.open: list[list[list[_Part]]] = [[[]]]
        self.stacked = False

    @property
    def branch(self) -> list[_Part]:
        return self.open[-1][-1]

    def take(self, text: str) -> bool:
        stands_here = self.text.startswith(text, self.at)
        self.at += len(text) * stands_here
        return stands_here

    def next(self) -> str:
        rune = self.text[self.at : self.at + 1]
        self.at += 1
        return rune

    def expression(self) -> str:
        while self.at < len(self.text):
            if not self.repetition():
                self.stacked = False
                self.part()
        if len(self.open) > 1:
            raise BadPattern("missing closing )")
        return _joined(self.open[0]).text

    def repetition(self) -> bool:
        """Read `*`, `?` or a count, and repeat what is before it; a brace that is no count is a letter."""
        rune = self.text[self.at]
        most: int | None = None
        if rune in "*?":
            least, most = 0, 1 if rune == "?" else None
            self.at += 1
        else:
            count = _COUNT.match(self.text, self.at)
            if count is None:
                return False
            least = int(count[1]) if len(count[1]) < len(str(_TOO_BIG)) else _TOO_BIG
            if count[2] is None:
                most = least
            elif count[3] is not None:
                most = int(count[3]) if len(count[3]) < len(str(_TOO_BIG)) else _TOO_BIG
            if least > _MAX_COUNT or (most is not None and not least <= most <= _MAX_COUNT):
                raise BadPattern("invalid repeat count")
            self.at = count.end()
        self.take("?")  # not greedy, which is the same for a search that says only whether
        if self.stacked:
            raise BadPattern("invalid nested repetition operator")
        if not self.branch:
            raise BadPattern("missing argument to repetition operator")
        self.branch.append(_repeated(self.branch.pop(), least, most))
        self.stacked = True
        return True

    def part(self) -> None:
        rune = self.next()
        if rune == "(":
            self.open.append([[]])
        elif rune == "|":
            self.open[-1].append([])
        elif rune == ")":
            if len(self.open) == 1:
                raise BadPattern("unexpected )")
            inner = _joined(self.open.pop())
            self.branch.append(_Part(f"(?:{inner.text})", inner.size + 2, inner.counts))
        elif rune == "[":
            self.branch.append(_Part(self.bracket()))
        elif rune == "\\":
            self.branch.extend(map(_Part, self.escape()))
        else:
            self.branch.append(_Part({"$": _END, "^": "^", ".": "."}.get(rune) or re.escape(rune)))

    def escape(self) -> list[str]:
        """What follows a backslash, as parts: a quotation has as many as it has letters."""
        rune = self.next()
        if rune == "A":
            return ["^"]
        if rune == "z":
            return [_END]
        if rune in {"b", "B"}:
            return [rf"(?a:\{rune})"]
        if rune == "Q":
            literal, _, _ = self.text[self.at :].partition(r"\E")
            self.at += len(literal)
            self.take(r"\E")
            return list(map(re.escape, literal))
        if rune in _PERL or rune in _NOT_PERL:
            return [f"[{_PERL.get(rune) or _NOT_PERL[rune]}]"]
        self.at -= 1
        if rune in {"p", "P"}:
            return [f"[{self.category()}]"]
        return [re.escape(self.escaped())]

    def category(self) -> str:
        r"""Read what follows the backslash of `\pL`, `\PL`, `\p{^Lu}`, `\p{Any}`, as members of a class."""
        match = _CATEGORY.match(self.text, self.at)
        if match is None:
            raise BadPattern(self.text)
        name, negated = match[2] or match[3], (match[0][0] == "P") is not bool(match[1])
        self.at = match.end()
        if name == "Any":
            return _NOTHING if negated else r"\x00-\U0010ffff"
        if name not in _CATEGORIES:
            raise UnicodeClass(self.text)
        return _category(name, negated=negated)

    def escaped(self) -> str:
        """Read what follows a backslash when it stands for one character."""
        rune = self.next()
        if rune in _CONTROLS:
            return _CONTROLS[rune]
        octal = _OCTAL.match(self.text, self.at - 1)
        if octal:
            self.at = octal.end()
            return chr(int(octal.group(), 8))
        hexadecimal = _HEXADECIMAL.match(self.text, self.at - 1)
        if hexadecimal:
            self.at = hexadecimal.end()
            return _character(hexadecimal[1] or hexadecimal[2])
        if not rune or not rune.isascii() or rune.isalnum():
            raise BadPattern(self.text)
        return rune

    def bracket(self) -> str:
        negated = self.take("^")
        members: list[str] = []
        while not (members and self.take("]")):
            if self.text.startswith("[:", self.at) and ":]" in self.text[self.at + 2 :]:
                members.append(self.named())
            elif self.text[self.at : self.at + 2] in {"\\p", "\\P"}:
                self.at += 1
                members.append(self.category())
            elif self.text[self.at : self.at + 2] in {"\\" + rune for rune in (*_PERL, *_NOT_PERL)}:
                rune = self.text[self.at + 1]
                members.append(_PERL.get(rune) or _NOT_PERL[rune])
                self.at += 2
            else:
                members.append(self.member())
        return f"[{'^' * negated}{''.join(members)}]"

    def named(self) -> str:
        self.at += 2
        name, _, _ = self.text[self.at :].partition(":]")
        self.at += len(name) + 2
        classes = _NOT_POSIX if name.startswith("^") else _POSIX
        if name.removeprefix("^") not in classes:
            raise BadPattern(self.text)
        return classes[name.removeprefix("^")]

    def member(self) -> str:
        low = self.character()
        high = low
        if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in {"", "]"}:
            self.at += 1
            high = self.character()
        if high < low:
            raise BadPattern(self.text)
        return _range(low, high)

    def character(self) -> str:
        if self.at >= len(self.text):
            raise BadPattern(self.text)
        return self.escaped() if self.take("\\") else self.next()
