"""The one base of every error that is meant for the person at the terminal.

Its leaves (`InvalidPlatform`, `WrongMachine`, `Unauthorized`, …) stand beside the code that raises them.
"Not found" is an answer (None), never an error.
"""

from __future__ import annotations

import re

_USERINFO = (  # one slash is left of two where it was taken for a path
    r"([A-Za-z][A-Za-z0-9+.-]*://?)"
    r"(?:[^\s/@'\"]*:[^\s/'\"]*|(?<=https://)[^\s/@'\"]+|(?<=http://)[^\s/@'\"]+|(?<=https:/)[^\s/@'\"]+|(?<=http:/)[^\s/@'\"]+)@"
)
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_DIGEST = r"[A-Za-z0-9_+.-]*sha[0-9]+:[^/@]*"
_LONG = 300
_UNSEEN = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_COMMAND = r"(?m)^\s*(?=::[A-Za-z])|#(?=#\w*\[)"


def public(text: str) -> str:
    """A text without the passwords of URLs in it (`https://user:password@host`): they are shown as `***`."""
    return re.sub(_USERINFO, r"\1***@", text) if "@" in text else text


def quoted(text: str, longest: int = _LONG) -> str:
    """A reference, address or word of a user for a message: in quotes, cut when it is long, no login in it.

    All before an `@` is taken for a login, unless a digest follows.
    """
    shown = without_login(text)
    return repr(shown if len(shown) <= longest else f"{shown[: longest - 1]}…")


def visible(text: str) -> str:
    """A text of others as it may be printed, lines and all: what a terminal or a CI would obey is shown, not sent.

    Control characters, and those that turn the direction of writing, are shown as escapes. What GitHub, Azure and
    TeamCity take for commands (`::name::` at the head of a line, `##[name]`, `##vso[`, `##teamcity[`) is broken by a
    backslash.
    """
    shown = text
    if not text.isprintable():  # else a run with nothing to do compiles the pattern for its one line
        shown = re.sub(_UNSEEN, lambda match: repr(match[0])[1:-1], text.replace("\r\n", "\n"))
    if "::" not in shown and "##" not in shown:
        return shown
    return re.sub(_COMMAND, r"\g<0>\\", shown)


def holds_login(text: str) -> bool:
    """Whether a reference or address has a user's name before its host, and so perhaps a password."""
    return without_login(text) != text


def without_login(text: str) -> str:
    """A reference or address with `***` in the place of what stands before its last `@`, unless a digest follows."""
    last = max(text.rfind("@"), text.lower().rfind("%40"))  # in a URL the one may be written as the other
    if last < 0:
        return text
    at = "@" if text[last] == "@" else text[last : last + 3]
    before, after = text[:last], text[last + len(at) :]
    if re.fullmatch(_DIGEST, after):
        return f"{without_login(before)}{at}{after}"
    scheme = re.match(_SCHEME, before)
    if scheme is not None and scheme[0].lower() == "ssh://" and ":" not in before[scheme.end() :]:
        return text  # a user's name; ssh takes no password there
    return f"{scheme[0] if scheme else ''}***{at}{after}"


class MultiarchError(Exception):
    """Something the user can act on: what is wrong, where, and what to do next.

    `str()` is `where: what` (or `what` alone), then, on a second line, two blanks and `hint: …`. None of the three ever
    holds a secret. Every other exception that leaves this library is a bug.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(self.what, self.where, self.hint)

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute; a text without the passwords of URLs, also where it is said anew of what was raised."""
        super().__setattr__(name, public(value) if isinstance(value, str) else value)

    def __str__(self) -> str:
        first = self.what if self.where is None else f"{self.where}: {self.what}"
        return first if self.hint is None else f"{first}\n  hint: {self.hint}"


def one_line(error: BaseException) -> str:
    """The first line of an error: where and what, without the hint."""
    return str(error).partition("\n")[0]


class BadPattern(ValueError):
    """A path pattern that is malformed; who read it from a file says where."""
