"""A request to a repository: which scheme, as whom, redirected where, tried how often."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.once import Once
from multiarch_oci.reference import DOCKER_HUB
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.auth import Authorizations, parse_challenges
from multiarch_oci.store.http.errors import (
    Cancelled,
    Forbidden,
    RegistryFailed,
    RegistryRefused,
    Transient,
    Unreachable,
    UntrustedHost,
    explain_host,
    is_unanswered,
)
from multiarch_oci.store.http.exchange import Answer, Outgoing, Request, Settings
from multiarch_oci.store.http.hosts import (
    Endpoint,
    UnusableUrl,
    origin_at,
    public_url,
    same_origin,
    split_host,
    split_url,
)
from multiarch_oci.store.http.refusals import FAILED, Refusals

if TYPE_CHECKING:
    from multiarch_oci.store.http.client import Client
    from multiarch_oci.store.http.recording import Watch

_T = TypeVar("_T")
_REDIRECTS = 5
_POLL_S = 0.2
_GIVEN_UP_S = 60.0
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_READS = ("GET", "HEAD")
_HUB_API = "registry-1.docker.io"


class Transport:
    """The connections, tokens and limits of one run; thread-safe. Setting `cancelled` ends all transfers: Cancelled.

    HTTPS comes first. To a host in `settings.insecure` one connection is tried with TLS, before anything is asked; only
    where that fails is it spoken to over plain HTTP, for the rest of the run.
    """

    def __init__(self, settings: Settings, credentials: Credentials, cancelled: threading.Event | None = None) -> None:
        self.settings = settings
        self._cancelled = threading.Event() if cancelled is None else cancelled
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], threading.Semaphore] = {}
        self._hosts: dict[str, Endpoint] = {}
        self._schemes: Once[str] = Once()  # of hosts in INSECURE, by host:port
        self._given_up: dict[str, tuple[Unreachable, float]] = {}  # by host:port; until when
        self._made_client: Once[Client] = Once()
        self.watch: Watch | None = None  # is told of every request
        self._authorizations = Authorizations(credentials, self._fetch, settings.may_be_plain)
        self._refusals = Refusals(self._authorizations)

    def watched(self, watch: Watch) -> Transport:
        """The same connections, tokens and limits; `watch` is told of what is asked through this one."""
        other = copy.copy(self)
        other.watch = watch
        return other

    def impatient(self, settings: Settings) -> Transport:
        """The same connections, tokens and limits for questions that nothing depends on; `settings` have a `silence`.

        Who says nothing for so long is not asked again, and by this one, and what is `watched` of it, never more: the
        same error comes at once. It means nothing to the others.
        """
        other = copy.copy(self)
        other.settings, other._given_up = settings, {}  # noqa: SLF001  # another one of these
        other._authorizations = self._authorizations.fetching(other._fetch)  # noqa: SLF001
        return other

    def ask(self, request: Request) -> Answer:
        """One try of one request, with login and redirects where they are wanted.

        Raises Transient (Unreachable, TooManyRequests, RegistryFailed) for what may be better in a moment, Unauthorized
        for 401 and 403; every other status is the caller's.
        """
        self.check()
        host = self._host(request.registry)
        first = self._is_first(host, request)
        try:
            with host.crowd.among(self.check) as accompanied:
                answer = self._authorized(host, request)
        finally:
            if first:
                host.known.set()
        if answer.status == _FORBIDDEN and accompanied() and host.owns(answer.url):
            return self._alone(host, request, answer)
        self._refusals.check(request, answer, own=host.owns(answer.url))
        return answer

    def _alone(self, host: Endpoint, request: Request, answer: Answer) -> Answer:
        """Try once more, with nothing else under way, what was refused by 403 beside other requests."""
        kind = (request.method, request.repository)
        with host.crowd.alone(kind, self.check) as worth:
            if worth:
                answer = self._authorized(host, request)
                if answer.status == _FORBIDDEN:
                    host.crowd.refused(kind)
        try:
            self._refusals.check(request, answer, own=host.owns(answer.url))
        except Forbidden as error:
            if not worth:
                raise
            hint = f"{error.hint}; it was asked once more with nothing else under way, and refused again"
            raise Forbidden(error.what, where=error.where, hint=hint) from None
        return answer

    def patiently(self, attempt: Callable[[], _T], *, limit: float | None = None) -> _T:
        """Call `attempt` until it raises no Transient, with growing pauses; the last one when tries or time run out.

        A host that could not be reached by then is not tried again for some seconds: the same error comes at once.
        """
        end = None if limit is None else time.monotonic() + limit
        for count in itertools.count(1):
            self.check()
            try:
                return attempt()
            except Transient as error:
                pause = self._pause(count, error)
                if pause is None or (end is not None and time.monotonic() + pause >= end):
                    raise self._give_up(error.tried(count)) from None
                if self.watch is not None:
                    self.watch.pause(pause, one_line(error))
                if self._cancelled.wait(pause):
                    raise Cancelled from None
        raise AssertionError  # pragma: no cover  # itertools.count does not end

    def request(self, request: Request, *, limit: float | None = None) -> Answer:
        """`ask`, patiently: for what may be sent twice."""
        return self.patiently(lambda: self.ask(request), limit=limit)

    def head(self, request: Request, *, limit: float | None = None) -> Answer:
        """The answer to a HEAD, patiently; where it is refused or fails, to a GET of the same, its body left out.

        What is wrong stands in a body, which a HEAD has not (RFC 9110 §9.3.2); some hosts do not take one at all, and a
        storage to which a registry redirects may sign for a GET only.
        """
        get = replace(request, method="GET", stream=True)
        current = request

        def attempt() -> Answer:
            nonlocal current
            try:
                answer = self.ask(current)
            except RegistryFailed:
                current = get
                raise
            except Forbidden:
                if current is get:
                    raise
            else:
                if current is get or answer.fine or answer.status == _NOT_FOUND:
                    return answer
            current = get
            return self.ask(get)

        answer = self.patiently(attempt, limit=limit)
        if answer.stream is not None:
            answer.stream.close()
        return answer

    def refused(self, request: Request, answer: Answer) -> MultiarchError:
        """The error for an answer that is no success, in the registry's own words, or in those of its storage."""
        own = same_origin(answer.url, self._host(request.registry).absolute(request.url))
        return self._refusals.refused(request, answer, own=own)

    def uploading(self, registry: str) -> AbstractContextManager[bool]:
        """Hold one of the places for blobs on their way up to this registry."""
        return self._holding(self._host(registry).uploads)

    def alone(self, key: tuple[str, str]) -> AbstractContextManager[bool]:
        """Hold what `key` names for this thread of the run; True when another one had it before."""
        with self._lock:
            lock = self._held.setdefault(key, threading.Semaphore())
        return self._holding(lock)

    @contextlib.contextmanager
    def _holding(self, lock: threading.Semaphore) -> Iterator[bool]:
        waited = not lock.acquire(blocking=False)
        while waited and not lock.acquire(timeout=_POLL_S):
            self.check()
        try:
            yield waited
        finally:
            lock.release()

    def check(self) -> None:
        """Raise Cancelled once the run was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    def _give_up(self, error: Transient) -> Transient:
        """Remember a host that was tried often enough: other requests, and the next step, need not do it again."""
        impatient = self.settings.silence is not None
        lost = is_unanswered(error) if impatient else type(error) is Unreachable
        if lost and isinstance(error, Unreachable) and error.where is not None:
            with self._lock:
                known, _ = self._given_up.get(error.where, (None, 0.0))
                if error is not known:
                    again = Unreachable(error.what, where=error.where, hint=error.hint, tries=1)
                    until = math.inf if impatient else time.monotonic() + _GIVEN_UP_S
                    self._given_up[error.where] = (again, until)
        return error

    # -- authorization ---------------------------------------------------------------------------------------------

    def _is_first(self, host: Endpoint, request: Request) -> bool:
        """Whether this request finds out for the others how the host wants to be asked; the others wait for it here.

        A host in INSECURE that we know no login for is asked by all at once: it would cost a local registry a round
        trip.
        """
        if host.known.is_set() or (host.insecure and not self._authorizations.expects_login(request.registry)):
            return False
        with self._lock:
            first, host.probed = not host.probed, True
        while not first and not host.known.wait(_POLL_S):
            self.check()
        return first

    def _authorized(self, host: Endpoint, request: Request) -> Answer:
        """The answer to a request with the token that is held, else with a new one, else with one for this alone.

        A token with more scopes than are required may be refused for them; so 403 counts as 401 there.
        """
        used = self._authorizations.held(request)
        sent = time.monotonic()
        answer = self._follow(host, request, used)
        for refusals in ((_UNAUTHORIZED,), ()):
            wider = used is not None and self._authorizations.is_wider(request, used)
            wanting = (_UNAUTHORIZED, _FORBIDDEN) if wider else refusals
            if answer.status not in wanting or not host.owns(answer.url):
                break
            void = sent if answer.status == _UNAUTHORIZED else None
            fresh = self._authorizations.answer(request, parse_challenges(answer.challenges), used, sent=void)
            if fresh is None:
                break
            sent = time.monotonic()
            host.known.set()  # whoever waits has what it needs: they all ask at once now
            used, answer = fresh, self._follow(host, request, fresh)
        return answer

    def _fetch(self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[int, bytes]:
        """One request to a token service; not retried here, as whoever wanted the token is."""
        silence = self.settings.silence
        patience = silence or self.settings.read_timeout
        answer = self._client(url).send(
            method, url, headers, body or None, read_timeout=patience, silence=silence, watch=self.watch
        )
        if answer.status in FAILED:
            raise self._refusals.transient(answer, f"the token service {public_url(url)}", _netloc(url))
        return answer.status, answer.content

    def _pause(self, count: int, error: Transient) -> float | None:
        longest = self.settings.longest_pause
        if count >= min(self.settings.attempts, error.tries or count + 1) or (error.pause or 0) > longest:
            return None
        if self.settings.silence is not None and is_unanswered(error):
            return None
        own = min(self.settings.backoff * 2.0 ** (count - 1), longest)
        # Jitter, so that many builds that failed together do not come back together.
        jittered = own * random.uniform(0.5, 1.0)  # noqa: S311  # no secret depends on it
        return max(jittered, error.pause or 0.0)

    def _client(self, url: str) -> Client:
        """What this is asked by, made at the first request: `ssl` comes with it. Unreachable for a host given up."""
        if self._given_up:
            error, until = self._given_up.get(_netloc(url), (None, 0.0))
            if error is not None and time.monotonic() < until:
                raise error
        from multiarch_oci.store.http.client import Client

        return self._made_client.get("client", lambda: Client(self.settings, self._cancelled))

    # -- the way to a host -----------------------------------------------------------------------------------------

    def _host(self, registry: str) -> Endpoint:
        with self._lock:
            host = self._hosts.get(registry)
            if host is None:
                netloc = _HUB_API if registry == DOCKER_HUB else registry
                insecure = self.settings.may_be_plain(netloc)
                slots = threading.BoundedSemaphore(self.settings.uploads)
                host = self._hosts[registry] = Endpoint(netloc, insecure, slots, None if insecure else "https")
            return host

    def _follow(self, host: Endpoint, request: Request, authorization: str | None) -> Answer:
        """Send to the registry and wherever it redirects to; the authorization goes to the registry alone."""
        if host.scheme is None:
            host.scheme = self._schemes.get(host.netloc, lambda: self._find_scheme(host))
        url = self._checked(host, request, host.absolute(request.url), shown=request.url)
        for _ in range(_REDIRECTS + 1):
            headers = request.headers
            if authorization is not None and host.owns(url):
                headers = (*headers, ("Authorization", authorization))
            body = None if request.body is None else Outgoing(request.body, request.length, self.check)
            try:
                answer = self._client(url).send(
                    request.method,
                    url,
                    headers,
                    body,
                    stream=request.stream,
                    read_timeout=request.read_timeout or self.settings.read_timeout,
                    silence=self.settings.silence,
                    watch=self.watch,
                )
            except (Unreachable, UntrustedHost) as error:
                if not host.owns(url):
                    explain_host(error, f"{request.name} keeps its content there")
                raise
            if not _redirected(request, answer):
                return answer
            target = answer.location
            absolute = target and host.absolute(target)
            url = self._checked(host, request, absolute, shown=answer.headers["Location"])
        raise RegistryRefused(f"the registry redirects more than {_REDIRECTS} times", where=request.name)

    def _find_scheme(self, host: Endpoint) -> str:
        """How a host in INSECURE is asked in this run: over TLS when it takes that, else over plain HTTP."""
        return "https" if self._client(host.root).speaks_tls(host.netloc, self.settings.silence) else "http"

    def _checked(self, host: Endpoint, request: Request, url: str | None, *, shown: str) -> str:
        """Where a registry sends us; RegistryRefused for what is no URL or plain HTTP."""
        if url is not None and url.startswith(host.root):
            return url
        try:
            origin, netloc = origin_at(url or "")
        except UnusableUrl:
            what = f"the registry sends us to no usable URL: {public_url(shown)}"
            raise RegistryRefused(what, where=request.name) from None
        if origin.scheme == "http" and not self.settings.may_be_plain(netloc):
            what = f"the registry sends us over plain HTTP: {public_url(shown)}"
            hint = f"if that is meant: INSECURE={netloc}"
            if origin.host == split_host(host.netloc)[0]:
                hint = "the proxy before it has to pass on the headers Host and X-Forwarded-Proto as it got them"
            raise RegistryRefused(what, where=request.name, hint=hint)
        return url or ""


def _redirected(request: Request, answer: Answer) -> bool:
    followed = (301, 302, 303, 307, 308) if request.method in _READS else (307, 308)
    return answer.status in followed and "Location" in answer.headers


def _netloc(url: str) -> str:
    return split_url(url)[1]
