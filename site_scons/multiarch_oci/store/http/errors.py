"""What can go wrong between us and a registry, in words for whoever waits for the build.

What a server says in the body of a refusal (distribution spec 1.1, "Error Codes", and the other forms that registries,
token services, storages and proxies use) becomes one line. What sockets and TLS say is explained without loading
either: most runs meet no failure.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from multiarch_oci.errors import MultiarchError

if TYPE_CHECKING:
    import ssl

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
_REFUSED_TRIES = 4
"""How often at most a host is tried where nobody listens: one that starts anew is there within seconds, or not."""
_SILENT_TRIES = 2
_SLOW_TRIES = 3
"""How often at most what took all the time it may take is tried, so that a minute's limit does not become many.

A broken answer may have taken as long: interim answers, headers and trailers that come drop by drop.
"""


class CutShort(Exception):
    """The connection ended before the answer did; never leaves `store.http`."""


class BrokenAnswer(Exception):
    """What came is no answer by RFC 9112; the text says in what. Never leaves `store.http`."""


class NoName(TimeoutError):
    """A name server that said nothing in its time."""


class LowSpeed(OSError):
    """A transfer below the lowest speed, at which it would take for ever; the text says which."""


class Cancelled(MultiarchError):
    """The run was told to stop; nothing is wrong."""

    def __init__(self) -> None:
        super().__init__("stopped")


class Transient(MultiarchError):
    """A failure that may be gone in a moment.

    `pause` is how many seconds the server asks us to wait, if it does; `tries` how often it makes sense to try such a
    thing in all, where that is less than the settings allow.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        pause: float | None = None,
        tries: int | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.pause = pause
        self.tries = tries

    def tried(self, count: int) -> Transient:
        """The same failure, saying how often it was met; what is tried but once says it already, or need not."""
        if count == 1 or self.tries == 1:
            return self
        what = f"{self.what} (tried {count} times)"
        return type(self)(what, where=self.where, hint=self.hint, pause=self.pause)


class Unreachable(Transient):
    """No connection."""


class Interrupted(Unreachable):
    """A connection that was there and was cut, or fell silent."""


class NoAnswer(Interrupted):
    """A connection that was there, over which nothing came in time, or next to nothing."""


class TooManyRequests(Transient):
    """429: we, or others from here, ask too often."""


class RegistryFailed(Transient):
    """A 5xx or 408 answer."""


class UntrustedHost(MultiarchError):
    """A host that does not prove who it is: a certificate nobody vouches for, or no TLS at all."""


class Unauthorized(MultiarchError):
    """401 or 403: nobody knows us there, or we may not do this."""


class Forbidden(Unauthorized):
    """403: a HEAD is answered so by some for what a GET is not, or for what is not there."""


class RegistryRefused(MultiarchError):
    """Another 4xx answer: the registry does not want what it was asked for."""


class AnswerTooLarge(MultiarchError):
    """An answer above the bound for its kind; it was not read to its end."""


def is_unanswered(error: Exception) -> bool:
    """Whether a host said nothing at all: it cannot be reached, or is silent."""
    return type(error) is Unreachable or isinstance(error, NoAnswer)


def no_connection(error: OSError, netloc: str, seconds: float) -> Unreachable:
    """What it means that no connection to `netloc` came about within so many seconds."""
    import socket

    if isinstance(error, NoName):
        what = f"no name server said within {seconds:g} s which address this name has"
        return Unreachable(what, where=netloc, hint="see the network", tries=_SILENT_TRIES)
    if isinstance(error, socket.gaierror):
        # Once, for a name that does not exist; some times, when the name server did not say.
        unknown = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        tries = 1 if error.errno in unknown else _REFUSED_TRIES - 1
        hint = "see REGISTRY, and the network"
        return Unreachable("no address is known for this name", where=netloc, hint=hint, tries=tries)
    if isinstance(error, TimeoutError):
        return Unreachable(f"no connection within {seconds:g} s", where=netloc, tries=_SILENT_TRIES)
    why = error.strerror or "not possible"
    return Unreachable(f"no connection: {why}", where=netloc, hint="does the registry run there?", tries=_REFUSED_TRIES)


def explain_host(error: Unreachable | UntrustedHost, why: str) -> None:
    """Give the error for a host that only a registry named a hint that says `why`: nothing the user wrote is wrong."""
    words = f"{why}, so that host has to be reached from here, too"
    if isinstance(error, UntrustedHost) and error.hint is not None:
        words = error.hint if words in error.hint else f"{error.hint}; {words}"
    error.hint = words


def no_proxy(netloc: str) -> Unreachable:
    """What it means that the proxy for `netloc` is not there, or does not let us through."""
    hint = "see HTTPS_PROXY, ALL_PROXY and NO_PROXY"
    return Unreachable("the proxy for it cannot be reached", where=netloc, hint=hint)


def interrupted(error: Exception, netloc: str, seconds: float) -> MultiarchError:
    """What a failure means once there is a connection to `netloc`; never holds a URL. It waited so long at most."""
    import ssl

    if isinstance(error, ssl.SSLError):
        return _untrusted(error, netloc)
    if isinstance(error, TimeoutError):
        return NoAnswer(f"no answer within {seconds:g} s", where=netloc, tries=_SLOW_TRIES)
    if isinstance(error, LowSpeed):
        return NoAnswer(f"the transfer was too slow: {error}", where=netloc, tries=_SLOW_TRIES)
    if isinstance(error, BrokenAnswer):
        return Interrupted(f"a broken answer: {error}", where=netloc, tries=_SLOW_TRIES)
    return Interrupted("the connection was cut", where=netloc)


def _untrusted(error: ssl.SSLError, netloc: str) -> MultiarchError:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        folder = f"/etc/docker/certs.d/{netloc}"
        hint = f"put its authority into {folder}/ca.crt, or name it by MULTIARCH_CA; or trust it: INSECURE={netloc}"
        return UntrustedHost(f"its certificate is not trusted: {error.verify_message}", where=netloc, hint=hint)
    reason = getattr(error, "reason", None) or ""  # absent from some that Python itself raises
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        hint = f"if that is meant: INSECURE={netloc}"
        return UntrustedHost("speaks no TLS; plain HTTP is for hosts in INSECURE only", where=netloc, hint=hint)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Interrupted("the connection was cut while TLS began", where=netloc)
    return UntrustedHost(f"TLS failed: {reason or 'no common way to speak'}", where=netloc)


def complaint(status: int, content: bytes) -> str:
    """Status, code, message and detail; of what is no JSON, plain text or a page, its first readable line."""
    message = _message(content).removeprefix(str(status)).strip()
    return f"{status} {message}" if message else str(status)


def as_text(content: bytes) -> str:
    """Bytes as the text that they most likely are; what is none becomes U+FFFD."""
    return content.decode("utf-16" if content[:2] in _UTF_16 else "utf-8", "replace")


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
    line = _first_line(as_text(content))
    strange = line.count("\ufffd")
    return "" if strange * _FEW > len(line) else line.replace("\ufffd", "?")


def _is_page(text: str) -> bool:
    """Whether a text is markup: HTML or XML."""
    start = text[:1024].lstrip("\ufeff \t\r\n").lower()
    return start.startswith("<") or "<html" in start or "<!doctype" in start


def _first_line(text: str) -> str:
    """The first line that says something: of markup its title, else its first text; of others as it stands.

    Tags are left out, control characters become blanks, at most _SHOWN characters are shown; empty when there is none.
    """
    text = text[:_LOOKED_AT]
    lines = _lines_of_page(text) if _is_page(text) else map(_cleaned, text.splitlines())
    return next(filter(None, lines), "")[:_SHOWN].rstrip()


def _lines_of_page(text: str) -> list[str]:
    """What a page says, what says most first."""
    named = [_cleaned(words) for pattern in (_CODE, _MESSAGE) for words in re.findall(pattern, text)[:1]]
    if any(named):  # S3, Azure, Google storage
        return [": ".join(filter(None, named))]
    text = re.sub(_HIDDEN, " ", text)
    body = re.sub(_TAG, "\n", re.sub(_INLINE, "", re.sub(_TITLE, "\n", text)))
    lines = map(_cleaned, (*re.findall(_TITLE, text)[:1], *body.splitlines()))
    return sorted((line for line in lines if line and not re.match(_NO_WORDS, line)), key=_is_status)


def _is_status(line: str) -> bool:
    """Whether a line is a status and its usual name (`403 Forbidden`), which says nothing that is not known."""
    from http import HTTPStatus

    number, _, name = line.partition(" ")
    return number.isdecimal() and any(
        number == str(status.value) and name.lower() == status.phrase.lower() for status in HTTPStatus
    )


def _cleaned(text: str) -> str:
    """Text without tags, entities resolved, every run of blanks and of what cannot be printed as one blank."""
    if "<" in text:
        text = re.sub(_TAG, "", text)
    if "&" in text:
        import html

        text = html.unescape(text)
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
