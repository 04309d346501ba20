"""What can go wrong between us and a registry, in words for whoever waits for the build.

What sockets and TLS say is explained without loading either: most runs meet no failure.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.complaint import hint_for

if TYPE_CHECKING:
    import ssl

_DATE = 64
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
        """The same failure, saying how often it was met."""
        if count == 1:
            return self
        what = f"{self.what} (tried {count} times)"
        return type(self)(what, where=self.where, hint=self.hint, pause=self.pause)


class Unreachable(Transient):
    """No connection."""


class GivenUp(Unreachable):
    """A host that was tried often enough a moment ago: the same error at once, and not from the first try again."""

    def tried(self, count: int) -> GivenUp:  # noqa: ARG002  # how often it was tried stands in it already
        """The same failure."""
        return self


class Interrupted(Unreachable):
    """A connection that was there and was cut, or fell silent."""


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


def unauthorized(
    name: str,
    registry: str,
    action: str,
    complaint: str,
    *,
    realm: str | None,
    source: str | None,
    trouble: str | None,
    area: str = "",
    forbidden: bool = False,
) -> Unauthorized:
    """The error for a 401 or, when `forbidden`, a 403 in words: who may not do what, who said so, as whom we asked.

    `realm` is where a registry's tokens come from; `area` is the name that one with Basic gives itself.
    """
    kind = Forbidden if forbidden else Unauthorized
    asked = f"; its tokens come from {realm}" if realm else f"; its realm is '{area}'" if area else ""
    if source is not None:
        who = f"the credentials are those of {source}"
        if forbidden and action == "push":
            absent = ", or the repository (or its project) has to be made there first"
        else:
            absent = ""
        hint = (
            f"they may be wrong, expired or not allowed to {action}{absent}; log in anew with: docker login {registry}"
        )
    elif trouble is not None:
        who = f"no credentials, as {trouble}"
        hint = f"mend or remove that helper, or log in with: docker login {registry}"
    else:
        who = f"no credentials for {registry} were found"
        hint = f"log in with: docker login {registry}"
    hint = hint_for(0, complaint, "") or hint
    return kind(f"not allowed to {action} ({complaint}{asked}); {who}", where=name, hint=hint)


def retry_after(header: str | None) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 §10.2.3): a number or a date; None when it says neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    import email.utils

    try:
        when = email.utils.parsedate_to_datetime(text[:_DATE])
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.timezone.utc)
        return max(0.0, (when - dt.datetime.now(dt.timezone.utc)).total_seconds())
    except (ArithmeticError, LookupError, TypeError, ValueError):  # by what is in it, and by Python's version
        return None


def no_connection(error: OSError, netloc: str, seconds: float) -> Unreachable:
    """What it means that no connection to `netloc` came about within so many seconds."""
    import socket

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


def no_name(netloc: str, seconds: float) -> Unreachable:
    """What it means that nobody said within so many seconds which addresses a name has."""
    what = f"no name server said within {seconds:g} s which address this name has"
    return Unreachable(what, where=netloc, hint="see the network", tries=_SILENT_TRIES)


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
        return Interrupted(f"no answer within {seconds:g} s", where=netloc, tries=_SLOW_TRIES)
    if isinstance(error, LowSpeed):
        return Interrupted(f"the transfer was too slow: {error}", where=netloc, tries=_SLOW_TRIES)
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
