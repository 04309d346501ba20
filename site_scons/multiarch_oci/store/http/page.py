"""The first readable line of a page that is answered where JSON belongs: by proxies, gateways and storages."""

from __future__ import annotations

import re

SHOWN = 200
"""How many characters of a line are shown at most."""
_LOOKED_AT = 64 << 10
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style|template|svg)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title\b[^>]*>(.*?)(?:</title|\Z)", re.IGNORECASE | re.DOTALL)
_CODE, _MESSAGE = (re.compile(rf"<{name}>([^<]*)</{name}>") for name in ("Code", "Message"))
_INLINE = re.compile(
    r"</?(?:a|abbr|b|bdi|code|em|font|i|kbd|mark|s|small|span|strong|sub|sup|tt|u|wbr)\b[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]*>?")
_NO_WORDS = re.compile(
    r"(?:[\W\d_]*|error(?: page)?|(?:nginx|openresty|apache|caddy|cloudflare|iis|haproxy|envoy)[\w./ ()-]*)\Z",
    re.IGNORECASE,
)
"""A number alone, and who the server is: these say nothing of the refusal."""


def is_page(text: str) -> bool:
    """Whether a text is markup: HTML or XML."""
    start = text[:1024].lstrip("\ufeff \t\r\n").lower()
    return start.startswith("<") or "<html" in start or "<!doctype" in start


def first_line(text: str) -> str:
    """The first line that says something: of markup its title, else its first text; of others as it stands.

    Tags are left out, control characters become blanks, at most SHOWN characters are shown; empty when there is none.
    """
    text = text[:_LOOKED_AT]
    if not is_page(text):
        return _bounded(next((line for line in map(_plain, text.splitlines()) if line), ""))
    code, message = (_plain_of(pattern.search(text)) for pattern in (_CODE, _MESSAGE))  # S3, Azure, Google storage
    if code or message:
        return _bounded(": ".join(part for part in (code, message) if part))
    text = _HIDDEN.sub(" ", text)
    title = _plain_of(_TITLE.search(text))
    if title and not _NO_WORDS.match(title):
        return _bounded(title)
    body = _TAG.sub("\n", _INLINE.sub("", _TITLE.sub("\n", text)))
    lines = (_plain(line) for line in body.splitlines())
    return _bounded(next((line for line in lines if line and not _NO_WORDS.match(line)), ""))


def _plain_of(match: re.Match[str] | None) -> str:
    return "" if match is None else _plain(match[1])


def _plain(text: str) -> str:
    """Text without tags, entities resolved, every run of blanks and of what cannot be printed as one blank."""
    if "<" in text:
        text = _TAG.sub("", text)
    if "&" in text:
        import html

        text = html.unescape(text)
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _bounded(line: str) -> str:
    return line[:SHOWN].rstrip()
