"""What a server says in the body of a refusal, in one line; what it leaves out, in a hint.

Distribution spec 1.1, "Error Codes"; and the other forms that registries, their token services and proxies use.
"""

from __future__ import annotations

import json
import re

_FEW = 4
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SHOWN = 200
"""How many characters of a line are shown at most."""
_LOOKED_AT = 64 << 10
# Texts, which `re` makes into patterns when a page is met: most runs meet none.
_HIDDEN = r"(?is)<!--.*?(?:-->|\Z)|<(script|style|template|svg)\b.*?(?:</\1\s*>|\Z)"
_TITLE = r"(?is)<title\b[^>]*>(.*?)(?:</title|\Z)"
_CODE, _MESSAGE = "<Code>([^<]*)</Code>", "<Message>([^<]*)</Message>"
_INLINE = r"(?i)</?(?:a|abbr|b|bdi|code|em|font|i|kbd|mark|s|small|span|strong|sub|sup|tt|u|wbr)\b[^<>]*>"
_TAG = r"<[^<>]*>?"
_NO_WORDS = (
    r"(?i)(?:[\W\d_]*|error(?: page)?|(?:nginx|openresty|apache|caddy|cloudflare|iis|haproxy|envoy)[\w./ ()-]*)\Z"
)
"""A number alone, and who the server is: these say nothing of the refusal."""


def complaint(status: int, content: bytes) -> str:
    """Status, code, message and detail; of what is no JSON, plain text or a page, its first readable line."""
    message = _message(content).removeprefix(str(status)).strip()
    return f"{status} {message}" if message else str(status)


def as_text(content: bytes) -> str:
    """Bytes as the text that they most likely are; what is none becomes U+FFFD."""
    return content.decode("utf-16" if content[:2] in _UTF_16 else "utf-8", "replace")


def hint_for(status: int, complaint: str, action: str) -> str | None:
    """What to do about such a refusal, where the registry does not say it so that everybody understands."""
    lower = complaint.lower()
    if status == 413:  # noqa: PLR2004  # RFC 9110 §15.5.14
        return "a proxy before it limits what it takes (nginx: client_max_body_size)"
    if "immutable" in lower or "already exist" in lower:
        return "a tag that is there cannot be moved in this repository: give another VERSION, or delete the tag there"
    absent = status == 404 and not any(word in complaint for word in ("BLOB", "MANIFEST"))  # noqa: PLR2004  # RFC 9110 §15.5.5
    if action == "push" and ("NAME_UNKNOWN" in complaint or absent):
        return "make the repository (or its project) there first: this registry does not do it at a push"
    if status == 415 or "MANIFEST_INVALID" in complaint or "media type" in lower:  # noqa: PLR2004  # RFC 9110 §15.5.16
        return "it may be too old for OCI images or indexes, or set up not to take them"
    return None


def _message(content: bytes) -> str:
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return _plain(content)
    if isinstance(value, dict):
        inner = value.get("errors") or value.get("error")  # the latter: Google, Azure
        value = inner if isinstance(inner, (dict, list)) else value
    if isinstance(value, list):
        value = value[0] if value else None
    return _of(value)


def _of(error: object) -> str:
    """One error: an object, or the text itself."""
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return ""
    code = _text(error, "code", "error")
    message = _text(error, "message", "error_description", "details")
    text = ": ".join(part for part in (code, message) if part)
    detail = error.get("detail")
    more = _text(detail, "message", "reason", "error") if isinstance(detail, dict) else detail
    return f"{text} ({more})" if isinstance(more, str) and more and more not in text else text


def _text(error: dict[str, object], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := error.get(key), str) and value), "")


def _plain(content: bytes) -> str:
    """The first readable line; none of bytes that are no text: a few characters may be of another encoding."""
    line = first_line(as_text(content))
    strange = line.count("\ufffd")
    return "" if strange * _FEW > len(line) else line.replace("\ufffd", "?")


def is_page(text: str) -> bool:
    """Whether a text is markup: HTML or XML."""
    start = text[:1024].lstrip("\ufeff \t\r\n").lower()
    return start.startswith("<") or "<html" in start or "<!doctype" in start


def first_line(text: str) -> str:
    """The first line that says something: of markup its title, else its first text; of others as it stands.

    Tags are left out, control characters become blanks, at most _SHOWN characters are shown; empty when there is none.
    """
    text = text[:_LOOKED_AT]
    if not is_page(text):
        return _bounded(next((line for line in map(_cleaned, text.splitlines()) if line), ""))
    code, message = (
        _cleaned_of(re.search(pattern, text)) for pattern in (_CODE, _MESSAGE)
    )  # S3, Azure, Google storage
    if code or message:
        return _bounded(": ".join(part for part in (code, message) if part))
    text = re.sub(_HIDDEN, " ", text)
    body = re.sub(_TAG, "\n", re.sub(_INLINE, "", re.sub(_TITLE, "\n", text)))
    lines = [_cleaned_of(re.search(_TITLE, text)), *map(_cleaned, body.splitlines())]
    lines = [line for line in lines if line and not re.match(_NO_WORDS, line)]
    return _bounded(next((line for line in lines if not _is_status(line)), lines[0] if lines else ""))


def _is_status(line: str) -> bool:
    """Whether a line is a status and its usual name (`403 Forbidden`), which says nothing that is not known."""
    from http import HTTPStatus

    number, _, name = line.partition(" ")
    return any(number == str(status.value) and name.lower() == status.phrase.lower() for status in HTTPStatus)


def _cleaned_of(match: re.Match[str] | None) -> str:
    return "" if match is None else _cleaned(match[1])


def _cleaned(text: str) -> str:
    """Text without tags, entities resolved, every run of blanks and of what cannot be printed as one blank."""
    if "<" in text:
        text = re.sub(_TAG, "", text)
    if "&" in text:
        import html

        text = html.unescape(text)
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _bounded(line: str) -> str:
    return line[:_SHOWN].rstrip()
