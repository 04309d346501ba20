"""Text of others as data, for a terminal and in HTML, Markdown, mermaid, DOT: names of files, labels, servers' answers.

Whoever writes text into one of these formats calls the function of its name; nothing in the result is markup, a command
to a CI system or to a terminal, whatever the text was.
Sizes, times and numbers of things are put in words here, too.
"""

from __future__ import annotations

import json
import re
import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of Unicode that are not seen as they are, or change what is seen: controls, marks of direction, halves."""
_COMMAND = re.compile(r"##(?=\[|vso\[|teamcity\[)", re.IGNORECASE)  # Azure and GitHub look for them anywhere in a line
_WORKFLOW = re.compile(r"^(\s*):(?=:)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9 ,./:@=+%()\-]*\Z")
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#!|~&$^\"']|(?<![A-Za-z0-9])[-+.@]|:(?=//)|(?<=[wW]{3})\.")
_MERMAID = re.compile(r"[^\w ,./:@=+→…·-]")


def visible(text: str, *, lines: bool = False) -> str:
    r"""A text whose control characters are shown, as `\x1b`, not sent; with `lines`, line ends and tabs are kept.

    What a CI system takes for a command in a log (`::error`, `##[`, `##vso[`, `##teamcity[`) is broken by a blank.
    """
    if not text.isascii() or not text.isprintable():
        text = "".join(character if _is_seen(character, lines=lines) else _escaped(character) for character in text)
    return unlike_commands(text)


def unlike_commands(text: str) -> str:
    """A text with a blank in what a CI system takes for a command."""
    if "##" in text:
        text = _COMMAND.sub("# #", text)
    return _WORKFLOW.sub(r"\1: ", text) if "::" in text else text


def html(text: str) -> str:
    """As text or an attribute's value, in quotes, of HTML and SVG."""
    shown = visible(text, lines=True)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        shown = shown.replace(character, entity)
    return shown


def json_in_html(value: object) -> str:
    r"""JSON as the content of a script element: `<`, `>` and `&` as `\u003c` …, so that nothing ends the element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&#":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def json_in_log(document: bytes) -> bytes:
    """A JSON document, which may be printed, without what a CI system takes for a command; the same value."""
    return document.replace(b"##", b"\\u0023#")


def markdown(text: str) -> str:
    """As text in a line or a cell of a table; what might be markup, of HTML too, is a character reference."""
    shown = _MARKDOWN.sub(lambda match: f"&#{ord(match[0])};", visible(text))
    return re.sub(r"^(\s*\d+)\.", r"\1&#46;", shown)


def markdown_code(text: str) -> str:
    """As code in a line or a cell of a table."""
    shown = visible(text)
    return f"`{shown}`" if shown.strip() and _PLAIN.match(shown) else f"<code>{markdown(text)}</code>"


def mermaid(text: str) -> str:
    """As the label of a node, in quotes: what is no plain character is an entity of mermaid's (`#35;`)."""
    return _MERMAID.sub(lambda match: f"#{ord(match[0])};", visible(text))


def dot(text: str) -> str:
    """As a quoted string of DOT, quotes among it; a backslash is one, and no escape of a label."""
    shown = visible(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'


def size_in_words(count: int) -> str:
    """A number of bytes to be read: `4.6 MB`."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if abs(count) >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count} B"


def readable_size(count: int) -> str:
    """The same in a sentence, where fewer are `512 bytes`."""
    return f"{count} bytes" if count < 1000 else size_in_words(count)  # noqa: PLR2004  # a kB


def counted(number: int, thing: str) -> str:
    """A number of things: `1 tag`, `2 tags`, `3 entries`."""
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number} {thing if number == 1 else plural}"


def seconds_in_words(seconds: float) -> str:
    """A time to be read: `0.03 s`, `12.4 s`, `3 min 05 s`."""
    if seconds >= 60:  # noqa: PLR2004  # a minute
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"  # noqa: PLR2004  # what is worth to be read


def elapsed(seconds: float) -> str:
    """A time on a terminal, where tenths are enough: `5.2 s`, `2 min 5 s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _is_seen(character: str, *, lines: bool) -> bool:
    if lines and character in "\n\t":
        return True
    return character.isprintable() or unicodedata.category(character) not in _UNSEEN


def _escaped(character: str) -> str:
    code = ord(character)
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if named is not None:
        return named
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
