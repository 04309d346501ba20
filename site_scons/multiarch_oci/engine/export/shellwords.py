r"""Lines that a shell is given, where they are ONE command that can be read without running it; else nothing is known.

POSIX shells (XCU 2.2, 2.9.1), `cmd /c` (as `cmd /?` says) and PowerShell's `-Command`. What follows the program may
hold variables; what would start a second command, or name the program by something to be expanded, may not. Where input
comes from and output goes to (`>/dev/null 2>&1`) does not change what starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_BLANKS = " \t"
_WORD_ENDS = f"{_BLANKS}<>"
_OPERATORS = frozenset("|&;<>()\n`")
_EXPANDED = frozenset("$*?[]{}~!")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_REDIRECTION = re.compile(r"[0-9]*(?:<>|<&|<(?!<)|>>|>&|>\||>)[ \t]*")
_CMD_REDIRECTIONS = re.compile(r"""(?:\s*(?:(?<!\S)[0-9])?(?:>>?|<)\s*(?:&[0-9]|"[^"]*"|[^\s&|<>()^!"]+))+\s*\Z""")
_ALL = ("$@", "$*", "${@}", "${*}")
_POWERSHELL_SETTING = re.compile(r"""\s*\$[\w:]+\s*=\s*(?:'[^']*'|"[^"$`]*"|\$?\w+)\s*;""")
_POWERSHELL_WORD = re.compile(r"""\s*(&\s*)?(?:'([^']+)'|"([^"$`]+)"|([^\s'"$`(){}@,;|&<>#]+))(?=\s|\Z)""")
_POWERSHELL_QUOTED = re.compile(r"""'[^']*'|"[^"$`]*\"""")
_POWERSHELL_OPERATORS = frozenset(";|&<>(){}`@\n")


class Simple(msgspec.Struct, frozen=True):
    """One command: its words, and the PATH that is set before it; "" names a word, or a PATH, that is not known."""

    words: tuple[str, ...]
    path: str | None = None


class _Unknown(ValueError):
    """More than one command, or one that has to be run to be known."""


def posix(line: str, arguments: Sequence[str] = ()) -> Simple | None:
    """The command of a line of `sh -c`; its `arguments` are `$0` and those of `"$@"`. None when it is not known."""
    try:
        words = _posix_words(line.replace("\\\n", "").strip().removesuffix(";"))
    except _Unknown:
        return None
    path = None
    while words and (assigned := _ASSIGNMENT.fullmatch(words[0][0] if words[0][1] else words[0][2])) is not None:
        if assigned[1] == "PATH":
            path = assigned[2] if words[0][1] else ""
        words.pop(0)
    known_words: list[str] = []
    for text, known, raw in words:
        bare = raw.strip('"')
        if bare in _ALL:
            known_words += arguments[1:]
        elif bare in ("$0", "${0}"):
            known_words += arguments[:1]
        else:
            known_words.append(text if known else "")
    return Simple(tuple(known_words), path) if known_words and known_words[0] else None


def _posix_words(line: str) -> list[tuple[str, bool, str]]:
    """Each word without quotes, whether it is known, and as it stands; raises _Unknown."""
    words, at = list[tuple[str, bool, str]](), 0
    while at < len(line):
        if line[at] in _BLANKS:
            at += 1
            continue
        if line[at] == "#":  # a comment, which ends with the line, and there is but one
            if "\n" in line[at:]:
                raise _Unknown
            break
        redirection = _REDIRECTION.match(line, at)
        start = at if redirection is None else redirection.end()
        text, known, at = _posix_word(line, start)
        if at == start:
            raise _Unknown
        if redirection is None:
            words.append((text, known, line[start:at]))
    return words


def _posix_word(line: str, at: int) -> tuple[str, bool, int]:
    text, known = "", True
    while at < len(line) and line[at] not in _WORD_ENDS:
        letter = line[at]
        if letter in _OPERATORS:
            raise _Unknown
        if letter == "'":
            end = _closing(line, "'", at)
            text, at = text + line[at + 1 : end], end + 1
        elif letter == '"':
            part, plain, at = _double_quoted(line, at + 1)
            text, known = text + part, known and plain
        elif letter == "\\":
            if at + 1 == len(line):
                raise _Unknown
            text, at = text + line[at + 1], at + 2
        else:
            if letter == "$" and line[at + 1 : at + 2] in ("'", '"', "("):
                raise _Unknown
            if letter == "$" and line[at + 1 : at + 2] == "{":
                end = _closing(line, "}", at)
                text, known, at = text + line[at : end + 1], False, end + 1
                if _OPERATORS & set(line[at:end]):
                    raise _Unknown
                continue
            known = known and letter not in _EXPANDED
            text, at = text + letter, at + 1
    return text, known, at


def _closing(line: str, quote: str, at: int) -> int:
    end = line.find(quote, at + 1)
    if end < 0:
        raise _Unknown
    return end


def _double_quoted(line: str, at: int) -> tuple[str, bool, int]:
    text, known = "", True
    while at < len(line):
        letter = line[at]
        if letter == '"':
            return text, known, at + 1
        if letter == "`" or line.startswith("$(", at):
            raise _Unknown
        if letter == "\\" and line[at + 1 : at + 2] in ("$", "`", '"', "\\"):
            text, at = text + line[at + 1], at + 2
            continue
        known = known and letter != "$"
        text, at = text + letter, at + 1
    raise _Unknown


def cmd(line: str, *, strip: bool) -> Simple | None:
    """The command of a line of `cmd /c`; with `strip` (`/S`) its first and last quote go, as they do else with most."""
    line = line.strip()
    if line.startswith('"') and (strip or line.count('"') != 2):  # noqa: PLR2004  # cmd /?: exactly two are kept
        line = line[1:]
        line = "".join(line.rsplit('"', 1))
    line, quoted = _CMD_REDIRECTIONS.sub("", line), False
    for letter in line:
        quoted ^= letter == '"'
        if letter == "\n" or (letter in "&|<>()^!" and not quoted):
            return None
    words = windows_words(line.lstrip("@ \t,;="))
    return Simple(words) if words and words[0] and "%" not in words[0] else None


def windows_words(line: str) -> tuple[str, ...]:
    """The words of a command line, as CommandLineToArgvW has them but for backslashes at quotes."""
    words = re.findall(r'((?:"[^"]*"?|[^\s"])+)', line)
    return tuple(word.replace('"', "") for word in words)


def powershell(line: str) -> Simple | None:
    """The command of `-Command`; settings in front (`$ErrorActionPreference = 'Stop';`) are passed over."""
    while (setting := _POWERSHELL_SETTING.match(line)) is not None:
        line = line[setting.end() :]
    line = line.strip().removesuffix(";")
    word = _POWERSHELL_WORD.match(line)
    if word is None:
        return None
    behind = line[word.end() :]
    if _POWERSHELL_OPERATORS & set(_POWERSHELL_QUOTED.sub("", behind)):
        return None
    if not word[1] and not word[4]:  # a text in quotes is printed, not started
        return None
    return Simple((word[2] or word[3] or word[4], *windows_words(behind)))
