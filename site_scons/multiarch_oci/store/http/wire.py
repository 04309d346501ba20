"""One exchange with one host, over kept connections: bodies in blocks, stoppable, errors in our words.

What it is made with (`pool`, `dial`, and with them `http.client` and `ssl`) is imported at the first exchange.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from multiarch_oci.document import LIMIT
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.errors import AnswerTooLarge, Interrupted, Unreachable, UntrustedHost
from multiarch_oci.store.http.exchange import Answer, Headers, Settings, decoded
from multiarch_oci.store.http.hosts import origin_of, proxy_for, split_url, tls_context
from multiarch_oci.store.http.watchdog import Watchdog

if TYPE_CHECKING:
    import ssl

    from multiarch_oci.store.http.pool import Exchange, Pool

_ERROR_BYTES = 1 << 16
_WITH_BODY = ("PATCH", "POST", "PUT")


class UnreadableContent(MultiarchError):
    """Local content that could not be read while it was sent, or that is shorter than it was said to be."""


class Outgoing:
    """A request's body of exactly `length` bytes, stopped between blocks by `check`."""

    def __init__(self, content: Callable[[], BinaryIO], length: int, check: Callable[[], None]) -> None:
        self._content = content
        self._check = check
        self._left = length
        self._stream: BinaryIO | None = None

    def open(self) -> None:
        """Open the content before the request begins; UnreadableContent.

        It may come from the very registry it goes to; some are locked from the first byte of an upload to the last.
        """
        try:
            if self._stream is None:
                self._stream = self._content()
        except OSError as error:
            raise UnreadableContent(f"cannot be read: {error.strerror or error}", where=error.filename) from None

    def read(self, size: int = -1) -> bytes:
        """The next block; UnreadableContent when the content fails or ends too early."""
        self._check()
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        try:
            if self._stream is None:
                self._stream = self._content()
            block = self._stream.read(wanted)
        except OSError as error:
            # Not handed on as it is: it would be taken for a failure of the connection.
            raise UnreadableContent(f"cannot be read: {error.strerror or error}", where=error.filename) from None
        if not block:
            raise UnreadableContent(f"the content ended {self._left} bytes too early")
        self._left -= len(block)
        return block

    def close(self) -> None:
        """Close the content, if it was opened."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Wire:
    """The connections of a run, a pool for each host and scheme; thread-safe. `cancelled` ends what is under way."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self._settings = settings
        self._watchdog = Watchdog(cancelled)
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], Pool] = {}

    def send(
        self,
        method: str,
        url: str,
        headers: tuple[tuple[str, str], ...],
        body: Outgoing | bytes | None = None,
        *,
        stream: bool = False,
        read_timeout: float | None = None,
    ) -> Answer:
        """One request, one answer of any status; nothing is followed, repeated or decoded.

        A successful answer is read whole up to the size of a manifest (AnswerTooLarge), or handed on as `stream`; of
        others the first 64 KiB. Raises Unreachable and UntrustedHost for failures of the connection, UnusableUrl.
        """
        self._watchdog.check()
        scheme, netloc, target = split_url(url)
        pool = self._pool(scheme, netloc)
        fields = dict(headers)
        if isinstance(body, Outgoing):
            content: Outgoing | io.BytesIO = body
        else:
            content = io.BytesIO(body or b"")
            if body is not None or method in _WITH_BODY:
                fields["Content-Length"] = str(len(body or b""))
        limits = (self._settings.connect_timeout, read_timeout or self._settings.read_timeout)
        return _receive(pool.ask(method, target, fields, content, limits), url, netloc, limits[1], stream=stream)

    def speaks_tls(self, netloc: str) -> bool:
        """Whether TLS is spoken at `host[:port]`, as far as a proxy lets us see; the connection is kept.

        Unreachable when nobody is there.
        """
        self._watchdog.check()
        pool = self._pool("https", netloc)
        try:
            pool.connect(self._settings.connect_timeout)
        except (UntrustedHost, Interrupted):
            return False
        except Unreachable:
            if pool.way.proxy is None:
                raise
            return False  # many proxies make no tunnels, or to port 443 only
        return True

    def _pool(self, scheme: str, netloc: str) -> Pool:
        with self._lock:
            pool = self._pools.get((scheme, netloc))
            if pool is None:
                pool = self._pools[scheme, netloc] = self._make_pool(scheme, netloc)
            return pool

    def _make_pool(self, scheme: str, netloc: str) -> Pool:
        from multiarch_oci.store.http.connection import Way, proxy_at
        from multiarch_oci.store.http.pool import Pool

        settings = self._settings
        origin = origin_of(scheme, netloc)
        named = proxy_for(scheme, netloc, settings.environment)
        context = self._context(netloc) if scheme == "https" else None
        proxy = None if named is None else proxy_at(named, netloc, self._context)
        size = 4 * (settings.heads + settings.uploads)  # kept, not opened: beyond, connections are made and thrown away
        low_speed = (settings.low_speed_limit, settings.low_speed_time)
        return Pool(Way(netloc, origin, context, proxy), size, low_speed, self._watchdog)

    def _context(self, netloc: str) -> ssl.SSLContext:
        settings = self._settings
        insecure = settings.may_be_plain(netloc)
        return tls_context(netloc, insecure=insecure, ca_file=settings.authorities(), certs_dirs=settings.certs_dirs)


def _receive(body: Exchange, url: str, netloc: str, seconds: float, *, stream: bool) -> Answer:
    fine = 200 <= body.status < 300  # noqa: PLR2004  # RFC 9110 §15.3
    challenges = tuple(value for name, value in body.headers if name.lower() == "www-authenticate")
    headers = Headers(body.headers)
    if stream and fine:
        return Answer(body.status, headers, b"", url, challenges, body)  # type: ignore[arg-type]  # a RawIOBase
    bound = LIMIT if fine else _ERROR_BYTES
    content = b""
    body.within(seconds)
    with body:
        # Until nothing comes: only then is a body that was cut told from one that ended.
        while len(content) <= bound and (block := body.read(bound + 1 - len(content))):
            content += block
    content = decoded(headers, content, bound)
    if fine and len(content) > bound:
        raise AnswerTooLarge(f"answered with more than {bound} bytes where a manifest was asked for", where=netloc)
    return Answer(body.status, headers, content[:bound], url, challenges)
