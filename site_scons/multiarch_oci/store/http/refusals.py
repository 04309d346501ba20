"""What an answer that is no success means: the error, and what to do about it in a hint.

Distribution spec 1.1, "Error Codes"; RFC 9110 §15.5 and §15.6.
"""

from __future__ import annotations

import datetime as dt
import urllib.parse

from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.auth import Authorizations, parse_challenges
from multiarch_oci.store.http.errors import (
    Forbidden,
    RegistryFailed,
    RegistryRefused,
    TooManyRequests,
    Transient,
    Unauthorized,
)
from multiarch_oci.store.http.exchange import Answer, Request
from multiarch_oci.store.http.hosts import split_url

_UNAUTHORIZED, _FORBIDDEN, _TIMEOUT, _TOO_MANY = 401, 403, 408, 429
FAILED = (_TIMEOUT, _TOO_MANY, 500, 502, 503, 504)
"""What may be better in a moment."""
_PROOF = 8  # characters
_DATE = 64


class Refusals:
    """The errors for answers, in the words of who gave them, without secrets."""

    def __init__(self, authorizations: Authorizations) -> None:
        self._authorizations = authorizations

    def check(self, request: Request, answer: Answer, *, own: bool) -> None:
        """Raise Transient for what may be better in a moment, Unauthorized for 401 and 403 of the registry's `own`."""
        if answer.status in FAILED:
            raise self.transient(answer, "the registry" if own else _sent_to(answer), request.name)
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN) and own:
            kind = Forbidden if answer.status == _FORBIDDEN else Unauthorized
            realm, source, trouble = self._authorizations.origin(request)
            area, complaint = _area(answer), self._complaint(answer)
            raise unauthorized(request, complaint, kind, realm=realm, source=source, trouble=trouble, area=area)

    def refused(self, request: Request, answer: Answer, *, own: bool) -> MultiarchError:
        """The error for any other answer that is no success: of the registry's `own`, or of where it sent us."""
        message = self._complaint(answer)
        if not own:
            hint = "if the registry itself has moved there, name that host" if answer.status == _UNAUTHORIZED else None
            return RegistryRefused(f"{_sent_to(answer)} answered {message}", where=request.name, hint=hint)
        hint = hint_for(answer.status, message, request.action)
        return RegistryRefused(f"the registry refused to {request.action}: {message}", where=request.name, hint=hint)

    def transient(self, answer: Answer, who: str, where: str) -> Transient:
        """The error for an answer of FAILED, said by `who`."""
        pause = retry_after(answer.headers.get("Retry-After"))
        if answer.status == _TOO_MANY:
            wait = f" and to wait {pause:.0f} s" if pause else ""
            hint = f"wait, or log in: docker login {where.partition('/')[0]}"
            message = self._complaint(answer).removeprefix(str(_TOO_MANY)).strip()
            what = f"{who} says there are too many requests (429){wait}{message and f': {message}'}"
            return TooManyRequests(what, where=where, hint=hint, pause=pause)
        return RegistryFailed(f"{who} failed: {self._complaint(answer)}", where=where, pause=pause)

    def _complaint(self, answer: Answer) -> str:
        """What an error answer says, made fit to be shown: without secrets, and what the query of a URL proves."""
        return self._authorizations.complaint(answer.status, answer.content, _signed(answer.url))


def _sent_to(answer: Answer) -> str:
    """The host of an answer to a request that was redirected, as errors call it."""
    return f"{split_url(answer.url)[1]}, where the registry sent us,"


def _signed(url: str) -> list[str]:
    """The values in a URL's query that may prove something, as signatures do: its long ones, but for digests."""
    pairs = (pair.partition("=") for pair in url.partition("?")[2].split("&"))
    values = {value for _, _, raw in pairs for value in (raw, urllib.parse.unquote_plus(raw))}
    return [value for value in values if len(value) >= _PROOF and not value.startswith("sha")]


def _area(answer: Answer) -> str:
    """The realm of a Basic challenge (RFC 7617 §2), which is a name and no address; empty without one."""
    basic = (challenge for challenge in parse_challenges(answer.challenges) if challenge.scheme == "basic")
    return next((challenge.parameter("realm") for challenge in basic), "")


def unauthorized(
    request: Request,
    complaint: str,
    kind: type[Unauthorized],
    *,
    realm: str | None,
    source: str | None,
    trouble: str | None,
    area: str = "",
) -> Unauthorized:
    """The error for a 401 or, when that is its `kind`, a 403: who may not do what, who said so, as whom we asked.

    `realm` is where a registry's tokens come from; `area` is the name that one with Basic gives itself.
    """
    registry, action = request.registry, request.action
    service = f"; its tokens come from {realm}" if realm else f"; its realm is '{area}'" if area else ""
    login = f"docker login {registry}"
    hint = f"log in with: {login}"
    if source is not None:
        who = f"the credentials are those of {source}"
        absent = ", or the repository (or its project) has to be made there first"
        absent = absent if kind is Forbidden and action == "push" else ""
        hint = f"they may be wrong, expired or not allowed to {action}{absent}; log in anew with: {login}"
    elif trouble is not None:
        who = f"no credentials, as {trouble}"
        hint = f"mend or remove that helper, or {hint}"
    else:
        who = f"no credentials for {registry} were found"
    hint = hint_for(0, complaint, "") or hint
    return kind(f"not allowed to {action} ({complaint}{service}); {who}", where=request.name, hint=hint)


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
