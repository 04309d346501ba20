"""What a server says in the body of a refusal, in one line; what it leaves out, in a hint.

Distribution spec 1.1, "Error Codes"; and the other forms that registries, their token services and proxies use.
"""

from __future__ import annotations

import json

_FEW = 4
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def complaint(status: int, content: bytes) -> str:
    """Status, code, message and detail; of what is no JSON, plain text or a page, its first readable line."""
    said = _said(content).removeprefix(str(status)).strip()
    return f"{status} {said}" if said else str(status)


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


def _said(content: bytes) -> str:
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return _plain(content)
    if isinstance(value, dict) and value.get("errors"):
        value = value["errors"]
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
    from multiarch_oci.store.http.page import first_line  # start-up; most answers are no pages

    line = first_line(as_text(content))
    strange = line.count("\ufffd")
    return "" if strange * _FEW > len(line) else line.replace("\ufffd", "?")
