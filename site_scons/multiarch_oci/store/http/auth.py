"""Who we are to each registry: remembers how a host wants to be asked, and exchanges credentials for tokens.

Token specification of the distribution project (docs/spec/auth/token.md, oauth.md); RFC 6750, RFC 7617.
"""

from __future__ import annotations

import copy
import re
import threading
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

import msgspec

from multiarch_oci.document import Document, InvalidDocument
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.auth import Credential, Credentials
from multiarch_oci.store.http.errors import Unreachable, UntrustedHost, as_text, complaint, explain_host
from multiarch_oci.store.http.exchange import Request, join_scopes
from multiarch_oci.store.http.hosts import UnusableUrl, origin_at, public_url

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # RFC 9110 §5.6.2 calls a word a token
_SCHEME = rf"[\s,]*({_TOKEN})(?:\s+|\s*(?=,|\Z))"
_PARAMETER = rf"(?s)[\s,]*({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}))\s*(?=,|\Z)"
_ESCAPED = r"(?s)\\(.)"
_TOKEN68 = r"[A-Za-z0-9._~+/-]+=*\s*(?=,|\Z)"

Fetch = Callable[[str, str, tuple[tuple[str, str], ...], bytes], tuple[int, bytes]]
"""Method, URL, headers, body to status and bounded content; raises what the transport raises."""

_LIFETIME_S = 60.0  # of a token that does not say (token.md, "expires_in")
_LONGEST_S = 1e10
_MARGIN_S = 10.0
_REFUSED = 400
_SHOWN = 400
_SAFE = r"[\x21-\x7e]+"


class Challenge(msgspec.Struct, frozen=True):
    """One scheme, in lower case, with its parameters, names in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """The value of a parameter; empty when absent."""
        return dict(self.parameters).get(name, "")


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of the WWW-Authenticate headers, in order; what is not in the grammar ends the header it is in."""
    return tuple(challenge for header in headers for challenge in _parse(header[:8192]))


def _parse(header: str) -> list[Challenge]:
    scheme, parameter_of, token68 = re.compile(_SCHEME), re.compile(_PARAMETER), re.compile(_TOKEN68)
    challenges: list[Challenge] = []
    position = 0
    while match := scheme.match(header, position):
        position = match.end()
        parameters: list[tuple[str, str]] = []
        while parameter := parameter_of.match(header, position):
            name, quoted, plain = parameter.groups()
            parameters.append((name.lower(), plain if quoted is None else re.sub(_ESCAPED, r"\1", quoted)))
            position = parameter.end()
        if not parameters and (credentials := token68.match(header, position)):
            position = credentials.end()  # Negotiate and its kin
        challenges.append(Challenge(match[1].lower(), tuple(parameters)))
    return challenges


def covers(held: tuple[str, ...], required: tuple[str, ...]) -> bool:
    """Whether the scopes of a token allow everything required."""
    return join_scopes((*held, *required)) == join_scopes(held)


class UnusableRealm(MultiarchError):
    """A registry that sends us for a token to a place where no credential may go."""


class _Token(msgspec.Struct, frozen=True):
    scopes: tuple[str, ...]
    authorization: str
    made: float
    good_until: float


class Authorizations:
    """The Authorization headers of a run: one challenge a host, one exchange a scope; thread-safe."""

    def __init__(self, credentials: Credentials, fetch: Fetch, may_be_plain: Callable[[str], bool]) -> None:
        self._credentials = credentials
        self._fetch = fetch
        self._may_be_plain = may_be_plain
        self._lock = threading.Lock()
        self._exchanges: dict[tuple[str, tuple[str, ...], bool], Future[str | None]] = {}
        self._challenges: dict[str, Challenge] = {}
        self._tokens: defaultdict[str, list[_Token]] = defaultdict(list)
        self._secrets: set[str] = set()
        self._refusals: dict[str, str] = {}

    def fetching(self, fetch: Fetch) -> Authorizations:
        """The same challenges and tokens; new ones are asked for by another `fetch`."""
        other = copy.copy(self)
        other._fetch = fetch  # noqa: SLF001  # one of ours
        return other

    def held(self, request: Request) -> str | None:
        """The header to send with the first try; None while the host has not said that it wants one."""
        challenge = self._challenges.get(request.registry)
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return self._basic(request)
        return self._token(request, challenge, request.required, refused=None)

    def answer(
        self, request: Request, challenges: Sequence[Challenge], refused: str | None, *, sent: float | None = None
    ) -> str | None:
        """The header that answers these challenges, never again the one just refused; None: there is none.

        `sent` is when (time.monotonic) the request went out that was answered by 401: whatever had its token revoked
        or expired, every token held then that would have done for it is void, too. Some refuse a token and leave the
        challenge out: then the one of before counts.
        """
        challenge = _best(challenges)
        if challenge is None and refused is not None:
            challenge = self._challenges.get(request.registry)
        if challenge is None:
            return None
        with self._lock:
            self._challenges[request.registry] = challenge
        if challenge.scheme == "basic":
            header = self._basic(request)
            return None if header == refused else header
        if refused is not None:
            self._drop(request, refused, sent)
        required = join_scopes((*request.required, *challenge.parameter("scope").split()))
        return self._token(request, challenge, required, refused=refused)

    def is_wider(self, request: Request, authorization: str) -> bool:
        """Whether this is a token that was asked for with more scopes than the request requires.

        Some services grant only one of several scopes: such a token, refused, says nothing of a narrower one.
        """
        required = request.required
        with self._lock:
            held = self._tokens[request.registry]
            return any(token.authorization == authorization and token.scopes != required for token in held)

    def expects_login(self, registry: str) -> bool:
        """Whether this host is likely to want a login, so that one request should find out before many are sent."""
        return self._credentials.mentions(registry)

    def origin(self, request: Request) -> tuple[str | None, str | None, str | None]:
        """For error texts: the realm, where the credential came from, why a helper failed; each None when not so."""
        challenge = self._challenges.get(request.registry)
        realm = None if challenge is None or challenge.scheme == "basic" else public_url(challenge.parameter("realm"))
        refusal = self._refusals.get(request.registry)
        if realm and refusal:
            realm += f", which says {refusal}"
        credential = self._credentials.find(request.registry, request.repository)
        return realm, None if credential is None else credential.source, self._credentials.trouble(request.registry)

    def conceal(self, text: str, more: Iterable[str] = ()) -> str:
        """The text without the secrets that this run has used, and `more`: servers sometimes repeat what they got."""
        with self._lock:
            secrets = sorted((*self._secrets, *more), key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    def complaint(self, status: int, content: bytes, secrets: Sequence[str] = ()) -> str:
        """What a refusal says, without secrets (all that are known, and these), fit to be shown."""
        # Secrets go first: one that is cut in two would not be found.
        raw = self.conceal(as_text(content), secrets)
        text = self.conceal(complaint(status, raw.encode()), secrets)[:_SHOWN]  # again, as JSON may have escaped one
        return "".join(character if character.isprintable() else " " for character in text).strip()

    def _find(self, request: Request) -> Credential | None:
        credential = self._credentials.find(request.registry, request.repository)
        if credential is not None:
            with self._lock:
                self._secrets.update(credential.secrets())
        return credential

    def _basic(self, request: Request) -> str | None:
        credential = self._find(request)
        return credential.basic() if credential is not None and credential.password else None

    def _drop(self, request: Request, refused: str, sent: float | None) -> None:
        """Forget the token that was refused and, when the request was `sent` then, all that could have gone with it."""
        required = request.required
        with self._lock:
            self._tokens[request.registry] = [
                token
                for token in self._tokens[request.registry]
                if token.authorization != refused
                and (sent is None or token.made > sent or not covers(token.scopes, required))
            ]

    def _token(
        self, request: Request, challenge: Challenge, required: tuple[str, ...], *, refused: str | None
    ) -> str | None:
        """A token that is held, else by one exchange for the many requests that want the same at once.

        Who waits for another's exchange has its outcome, and does not go on to fail by itself. Exchanges for other
        repositories run beside it.
        """
        key = (request.registry, required, refused is not None)
        with self._lock:
            held = self._usable(request.registry, required)
            if held is not None:
                return held
            under_way = self._exchanges.get(key)
            exchange = under_way or self._exchanges.setdefault(key, Future())
        if under_way is not None:
            return under_way.result()
        try:
            exchange.set_result(self._exchange(request, challenge, required, narrow=refused is not None))
        except BaseException as error:  # noqa: BLE001  # raised below, and by whoever waits
            if isinstance(error, (Unreachable, UntrustedHost)) and error.where != request.registry:
                explain_host(error, f"{request.registry} takes its tokens from there")
            exchange.set_exception(error)
        with self._lock:
            del self._exchanges[key]
        header = exchange.result()
        return None if header == refused else header

    def _usable(self, registry: str, required: tuple[str, ...]) -> str | None:
        now = time.monotonic()
        kept = [token for token in self._tokens[registry] if token.good_until > now]
        self._tokens[registry] = kept
        return next((token.authorization for token in kept if covers(token.scopes, required)), None)

    def _exchange(
        self, request: Request, challenge: Challenge, required: tuple[str, ...], *, narrow: bool
    ) -> str | None:
        credential = self._find(request)
        if credential is not None and credential.registry_token and re.fullmatch(_SAFE, credential.registry_token):
            return f"Bearer {credential.registry_token}"
        scopes = required if narrow else join_scopes((*required, *request.optional))
        self._refusals.pop(request.registry, None)
        token = self._fetch_token(request, challenge, scopes, credential)
        if token is None and scopes != required:  # some services refuse everything for one scope that they refuse
            scopes = required
            token = self._fetch_token(request, challenge, scopes, credential)
        if token is None:
            return None
        text, lifetime = token
        margin = min(_MARGIN_S, lifetime / 5)
        now = time.monotonic()
        made = _Token(scopes, f"Bearer {text}", now, now + lifetime - margin)
        with self._lock:
            self._secrets.add(text)
            self._tokens[request.registry].append(made)
        return made.authorization

    def _fetch_token(
        self, request: Request, challenge: Challenge, scopes: tuple[str, ...], credential: Credential | None
    ) -> tuple[str, float] | None:
        """Token and lifetime in seconds; None when the service refuses."""
        realm = self._realm(challenge)
        pairs = [("service", challenge.parameter("service"))] if challenge.parameter("service") else []
        if credential is not None and credential.identity_token:
            form = [("grant_type", "refresh_token"), ("client_id", "multiarch"), *pairs]
            form += [("scope", " ".join(scopes)), ("refresh_token", credential.identity_token)]
            typed = (("Content-Type", "application/x-www-form-urlencoded"),)
            status, content = self._fetch("POST", realm, typed, urllib.parse.urlencode(form).encode())
        else:
            query = urllib.parse.urlencode([*pairs, *(("scope", scope) for scope in scopes)])
            headers: tuple[tuple[str, str], ...] = (
                () if credential is None else (("Authorization", credential.basic()),)
            )
            glue = "&" if "?" in realm else "?"
            status, content = self._fetch("GET", f"{realm}{glue}{query}", headers, b"")
        if status >= _REFUSED:
            refusal = self.complaint(status, content)
            if refusal != str(status):
                self._refusals[request.registry] = refusal
            return None
        where = public_url(realm)
        document = Document.parse(content, where=where)
        text = document.text("token") or document.required("access_token")
        if not re.fullmatch(_SAFE, text):
            raise InvalidDocument("the token holds characters that no header may hold", where=where)
        return text, _lifetime(document)

    def _realm(self, challenge: Challenge) -> str:
        realm = challenge.parameter("realm")
        try:
            origin, netloc = origin_at(realm)
        except UnusableUrl:
            netloc = ""
        if not netloc or not re.fullmatch(_SAFE, realm):
            raise UnusableRealm(f"the registry's token realm {public_url(realm)!r} is not a URL that can be asked")
        if origin.scheme == "http" and not self._may_be_plain(netloc):
            raise UnusableRealm(
                f"the registry wants tokens from {public_url(realm)}: no credential goes over plain HTTP",
                hint=f"if that is meant: INSECURE={netloc}",
            )
        return realm


def _lifetime(document: Document) -> float:
    """Seconds, which some services write as a text; InvalidDocument for what is no time that could be meant."""
    value = document.members.get("expires_in")
    if value is None:
        return _LIFETIME_S
    if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LONGEST_S:
        return float(value)
    raise InvalidDocument("'expires_in' is no number of seconds", where=document.where)


def _best(challenges: Sequence[Challenge]) -> Challenge | None:
    known = [challenge for challenge in challenges if challenge.scheme in ("bearer", "basic")]
    return min(known, key=lambda challenge: challenge.scheme != "bearer", default=None)
