"""The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*` and `?`, escaped by a backslash, no brackets."""

from __future__ import annotations

import re
from itertools import takewhile

from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.dockerfile.gotext import runes


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
