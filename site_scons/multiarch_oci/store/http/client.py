"""One exchange with one host, over kept connections: bodies in blocks, stoppable, errors in our words.

Loaded at the first request of a run, as `ssl` is.
"""

from __future__ import annotations

import contextlib
import errno
import io
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from multiarch_oci.digest import Readable
from multiarch_oci.document import LIMIT
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.connection import Channel, Way, dial, proxy_at, request_head
from multiarch_oci.store.http.errors import (
    AnswerTooLarge,
    BrokenAnswer,
    CutShort,
    Interrupted,
    Unreachable,
    UntrustedHost,
    interrupted,
)
from multiarch_oci.store.http.exchange import SUCCESS, Answer, Headers, Outgoing, Settings, decoded
from multiarch_oci.store.http.hosts import origin_of, proxy_for, split_url, tls_context
from multiarch_oci.store.http.reading import Body, Head, read_head
from multiarch_oci.store.http.watchdog import Watchdog

if TYPE_CHECKING:
    from multiarch_oci.store.http.recording import RequestRecord, Watch

_BLOCK = 1 << 18
_BUFFER = 16 << 10
_ERROR_BYTES = 1 << 16
_WITH_BODY = ("PATCH", "POST", "PUT")
_FAILURES = (OSError, CutShort, BrokenAnswer)
_HUNG_UP = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ssl.SSLEOFError)


class Client:
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
        silence: float | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        """One request, one answer of any status; nothing is followed, repeated or decoded.

        A successful answer is read whole up to the size of a manifest (AnswerTooLarge), or handed on as `stream`; of
        others the first 64 KiB. `silence` is the longest wait for a connection, for the answer to a request without a
        body, and between the bytes of one that is read here. Raises Unreachable and UntrustedHost for failures of the
        connection, UnusableUrl. A `watch` is told of it, and sees what becomes of it.
        """
        self._watchdog.check()
        scheme, netloc, target = split_url(url)
        fields = dict(headers)
        length = body.length if isinstance(body, Outgoing) else len(body or b"")
        if body is not None or method in _WITH_BODY:
            fields["Content-Length"] = str(length)
        patience = read_timeout or self._settings.read_timeout
        limits = Limits(
            min(self._settings.connect_timeout, silence or patience),
            patience if silence is None or body is not None else min(silence, patience),
            patience,
        )
        with _recorded(watch, method, url, length) as record:
            with body.opened(record) if isinstance(body, Outgoing) else io.BytesIO(body or b"") as content:
                answer = self._pool(scheme, netloc).ask(method, target, fields, content, limits)
            if record is not None:
                answer.record, record.status = record, answer.status
            if stream and answer.status in SUCCESS:
                opened = cast("BinaryIO", answer)
                return Answer(answer.status, Headers(answer.headers), b"", url, answer.challenges, opened)
            return _whole(answer, url, netloc, limits)

    def speaks_tls(self, netloc: str, silence: float | None = None) -> bool:
        """Whether TLS is spoken at `host[:port]`, as far as a proxy lets us see; the connection is kept.

        Unreachable when nobody is there.
        """
        self._watchdog.check()
        pool = self._pool("https", netloc)
        try:
            pool.keep(pool.dial(min(self._settings.connect_timeout, silence or self._settings.connect_timeout)))
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
                proxy_url = proxy_for(scheme, netloc, self._settings.environment)
                context = self._context(netloc) if scheme == "https" else None
                proxy = None if proxy_url is None else proxy_at(proxy_url, netloc, self._context)
                way = Way(netloc, origin_of(scheme, netloc), context, proxy)
                pool = self._pools[scheme, netloc] = Pool(way, self._settings, self._watchdog)
            return pool

    def _context(self, netloc: str) -> ssl.SSLContext:
        settings = self._settings
        insecure = settings.may_be_plain(netloc)
        return tls_context(netloc, insecure=insecure, ca_file=settings.authorities(), certs_dirs=settings.certs_dirs)


class Limits(msgspec.Struct, frozen=True):
    """How many seconds are waited: to connect, for the head of an answer, and for each silence in a long body.

    A short body takes no longer than `body` in all, and is never silent for longer than `head`.
    """

    connect: float
    head: float
    body: float


class Pool:
    """The connections to one origin, kept while they are good; thread-safe. There are as many as were used at once.

    A connection is the stream that reads, with a buffer, from the Channel to which a request is sent.
    """

    def __init__(self, way: Way, settings: Settings, watchdog: Watchdog) -> None:
        self.way = way
        self._prefix, self._fields = way.prefix, way.fields
        self._low_speed = (settings.low_speed_limit, settings.low_speed_time)
        self.watchdog = watchdog
        self._idle: deque[io.BufferedReader[Channel]] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def ask(
        self, method: str, target: str, headers: dict[str, str], body: Outgoing | io.BytesIO, limits: Limits
    ) -> Exchange:
        """Send a request and read the head of its answer, for which the time begins when the body was sent.

        An answer that comes before the body was sent whole is an answer. Raises Unreachable, Interrupted and
        UntrustedHost, Cancelled, and what reading the body raises.
        """
        connection, patience = self._take(limits.connect), limits.head
        channel = connection.raw
        try:
            channel.begin(limits.body)
            _send(channel, request_head(method, self._prefix + target, self._fields | headers), body)
            end = time.monotonic() + patience
            head = read_head(method, connection, lambda: channel.begin(patience, end=end, paced=False))
        except _FAILURES as error:
            channel.sock.close()
            raise self.explained(error, patience) from None
        except BaseException:
            channel.sock.close()
            raise
        channel.begin(limits.body)
        return Exchange(self, connection, head, limits.body)

    def dial(self, seconds: float) -> io.BufferedReader[Channel]:
        """A new connection, within so many seconds; Unreachable, Interrupted, UntrustedHost, Cancelled."""
        sock = dial(self.way, seconds, self.watchdog)
        return io.BufferedReader(Channel(sock, self._low_speed), _BUFFER)

    def keep(self, connection: io.BufferedReader[Channel]) -> None:
        """Take back a connection whose last answer was read to its end."""
        self._idle.append(connection)

    def explained(self, error: Exception, patience: float) -> MultiarchError:
        """The error for a connection that broke; Cancelled when it was we who ended it."""
        self.watchdog.check()
        return interrupted(error, self.way.netloc, patience)

    def _take(self, seconds: float) -> io.BufferedReader[Channel]:
        """The connection used last that is still good, else a new one."""
        with contextlib.suppress(IndexError):  # of `pop`: no more are idle
            while True:
                connection = self._idle.pop()
                if connection.raw.is_quiet(connection):
                    return connection
                connection.raw.sock.close()
        return self.dial(seconds)


class Exchange(Readable):
    """The answer to one request, and its body; closing it frees the connection, to be used again or for good."""

    def __init__(self, pool: Pool, connection: io.BufferedReader[Channel], head: Head, patience: float) -> None:
        super().__init__()
        self.record: RequestRecord | None = None
        self._pool = pool
        self._connection = connection
        self._body = Body(connection, head)
        self._kept = head.kept
        self._patience = patience
        self.status = head.status
        self.headers = head.headers

    @property
    def challenges(self) -> tuple[str, ...]:
        """The values of WWW-Authenticate, which cannot be told apart once they are joined."""
        return tuple(value for name, value in self.headers if name.lower() == "www-authenticate")

    def within(self, seconds: float, silence: float) -> None:
        """Give the rest of the body so many seconds in all, and each silence in it so many."""
        self._patience = silence
        self._connection.raw.begin(silence, end=time.monotonic() + seconds)

    def take(self, size: int) -> bytes:
        """As Readable says, fewer only at the end; Interrupted when it is cut short."""
        self._pool.watchdog.check()
        try:
            block = self._body.read(size)
        except _FAILURES as error:
            broken = self._pool.explained(error, self._patience)
            if self.record is not None:
                self.record.error = type(broken).__name__
            raise broken from None
        if self.record is not None:
            self.record.came(len(block))
        return block

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else end it."""
        if not self.closed:
            if self.record is not None:
                self.record.end()
            if self._kept and self._body.ended:
                self._pool.keep(self._connection)
            else:
                self._connection.raw.sock.close()
        super().close()


@contextlib.contextmanager
def _recorded(watch: Watch | None, method: str, url: str, length: int) -> Iterator[RequestRecord | None]:
    """The record of a request for who watches, None where nobody does; its failure is noted, its end by its answer."""
    if watch is None:
        yield None
        return
    from multiarch_oci.store.http.recording import RequestRecord

    record = RequestRecord.begun(method, url, length)
    watch.request(record)
    try:
        yield record
    except BaseException as error:
        record.end(type(error).__name__)
        raise


def _send(channel: Channel, head: bytes, body: Outgoing | io.BytesIO) -> None:
    """Send a request, or as much of it as the server takes: its answer may explain why that was not all."""
    try:
        channel.sendall(head)
        while block := body.read(_BLOCK):
            channel.sendall(block)
    except OSError as error:
        # macOS says EPROTOTYPE of a connection that is being closed.
        if not isinstance(error, _HUNG_UP) and error.errno != errno.EPROTOTYPE:
            raise


def _whole(answer: Exchange, url: str, netloc: str, limits: Limits) -> Answer:
    """The answer with its body, which is a short one."""
    fine = answer.status in SUCCESS
    bound = LIMIT if fine else _ERROR_BYTES
    content = b""
    answer.within(limits.body, limits.head)
    with answer:
        # Until nothing comes: only then is a body that was cut told from one that ended.
        while len(content) <= bound and (block := answer.read(bound + 1 - len(content))):
            content += block
    headers = Headers(answer.headers)
    content = decoded(headers, content, bound)
    if fine and len(content) > bound:
        raise AnswerTooLarge(f"answered with more than {bound} bytes where a manifest was asked for", where=netloc)
    return Answer(answer.status, headers, content[:bound], url, answer.challenges)


def _close_all(connections: deque[io.BufferedReader[Channel]]) -> None:
    while connections:
        connections.pop().raw.sock.close()
