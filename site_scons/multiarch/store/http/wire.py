"""One exchange with one host, over kept connections: bodies in blocks, stoppable, errors in our words.

The only room that knows urllib3, which is imported at the first exchange.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import urllib.parse
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from multiarch.document import LIMIT
from multiarch.errors import MultiarchError
from multiarch.store.http.causes import explain
from multiarch.store.http.exchange import Answer, Settings, decoded
from multiarch.store.http.failures import AnswerTooLarge, Cancelled, Interrupted, UntrustedHost
from multiarch.store.http.hosts import proxy_for, tls_context

if TYPE_CHECKING:
    import ssl

    import urllib3
    import urllib3.connection
    import urllib3.exceptions


_BLOCK = 1 << 18
_ERROR_BYTES = 1 << 16
_AGENT = "multiarch/1"
_POLL_S = 0.25


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
            # Not handed on as it is: urllib3 would take it for a failure of the connection.
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


class Incoming(io.RawIOBase):
    """A response's body; raises Unreachable when the connection is cut before its end. Closing frees the connection."""

    def __init__(
        self,
        response: urllib3.BaseHTTPResponse,
        check: Callable[[], None],
        explained: Callable[[urllib3.exceptions.HTTPError], MultiarchError],
    ) -> None:
        super().__init__()
        self._response = response
        self._check = check
        self._explained = explained

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all of them for -1 or None."""
        import urllib3.exceptions

        self._check()
        try:
            return self._response.read(None if size is None or size < 0 else size)
        except urllib3.exceptions.HTTPError as error:
            self._check()
            raise self._explained(error) from None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is not public
        """As io.RawIOBase says, over `read`."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else end it."""
        if not self.closed:
            if self._response.closed:
                self._response.release_conn()
            else:
                self._response.close()
        super().close()


class Live:
    """The open connections, so that `cancelled` can end them: a thread that waits for a server sees no event."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[urllib3.connection.HTTPConnection] = weakref.WeakSet()
        self._watched = False

    def pools(self) -> dict[str, type[urllib3.HTTPConnectionPool]]:
        """Pool classes whose connections are known here from the moment they stand."""
        import urllib3

        live = self

        class Plain(urllib3.connection.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                live.add(self)

        class Secure(urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                self.is_verified = True  # or the user wants it so (INSECURE): urllib3 would warn on stderr
                live.add(self)

            @property
            def is_connected(self) -> bool:
                return super().is_connected or (self.sock is not None and _only_tickets(self.sock))

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}

    def add(self, connection: urllib3.connection.HTTPConnection) -> None:
        """Watch one more connection for as long as it exists."""
        with self._lock:
            self._connections.add(connection)
            begin, self._watched = not self._watched, True
        if begin:
            threading.Thread(target=_watch, args=(weakref.ref(self), self._cancelled), daemon=True).start()

    def end(self) -> None:
        """Shut every connection; whoever waits on one meets an error."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    # The plain socket's own shutdown: that of TLS would pull the session from under its reader.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _only_tickets(sock: socket.socket) -> bool:
    """Whether what waits in an idle TLS connection is no more than the tickets that TLS 1.3 sends after its handshake.

    urllib3 takes any bytes there for the end of the connection; one that was opened ahead of its request would be lost.
    """
    import ssl

    before = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(before)
    return False


def _watch(live: weakref.ref[Live], cancelled: threading.Event) -> None:
    while not cancelled.wait(_POLL_S):
        if live() is None:
            return
    remaining = live()
    if remaining is not None:
        remaining.end()


class Wire:
    """The connection pools of a run, one a host and scheme; thread-safe. `cancelled` ends what is under way."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self._settings = settings
        self._cancelled = cancelled
        self._live = Live(cancelled)
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}

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
        others the first 64 KiB. Raises Unreachable and UntrustedHost for failures of the connection.
        """
        import urllib3.exceptions

        self._check()
        patience = read_timeout or self._settings.read_timeout
        netloc = urllib.parse.urlsplit(url).netloc

        def explained(error: urllib3.exceptions.HTTPError) -> MultiarchError:
            return explain(error, netloc, self._settings.connect_timeout, patience)

        try:
            response = self._pool(url).urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"} | dict(headers),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self._settings.connect_timeout, read=patience),
            )
        except urllib3.exceptions.HTTPError as error:
            self._check()
            raise explained(error) from None
        return _receive(response, url, Incoming(response, self._check, explained), stream=stream)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def connect(self, url: str) -> None:
        """Open one more connection to the host of `url`, which the next request that finds no other one takes.

        Nothing is done for a host behind a proxy. Raises as `send`.
        """
        import urllib3

        self._check()
        netloc = urllib.parse.urlsplit(url).netloc
        manager = self._pool(url)
        if isinstance(manager, urllib3.ProxyManager):
            return
        pool: Any = manager.connection_from_url(url)  # there is no public way to connect ahead of a request
        idle = []
        while not (connection := pool._get_conn()).is_closed:  # noqa: SLF001
            idle.append(connection)
        for each in idle:
            pool._put_conn(each)  # noqa: SLF001
        connection.timeout = self._settings.connect_timeout
        try:
            connection.connect()
        except (urllib3.exceptions.HTTPError, OSError) as error:  # what `urlopen` makes one kind of
            connection.close()
            self._check()
            known = error if isinstance(error, urllib3.exceptions.HTTPError) else urllib3.exceptions.ProtocolError()
            raise explain(known, netloc, self._settings.connect_timeout, self._settings.connect_timeout) from None
        finally:
            pool._put_conn(connection)  # noqa: SLF001

    def speaks_tls(self, netloc: str) -> bool:
        """Whether TLS is spoken at `host[:port]`; Unreachable when nobody is there. The connection is kept."""
        try:
            self.send("HEAD", f"https://{netloc}/v2/", (), read_timeout=self._settings.connect_timeout)
        except (UntrustedHost, Interrupted):
            return False
        return True

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urllib.parse.urlsplit(url)
        with self._lock:
            pool = self._pools.get((parts.scheme, parts.netloc))
            if pool is None:
                pool = self._pools[(parts.scheme, parts.netloc)] = self._connect(parts.scheme, parts.netloc)
            return pool

    def _connect(self, scheme: str, netloc: str) -> urllib3.PoolManager:
        import urllib3

        settings = self._settings
        context: ssl.SSLContext | None = None
        if scheme == "https":
            context = tls_context(
                netloc,
                insecure=settings.may_be_plain(netloc),
                ca_file=settings.authorities(),
                certs_dirs=settings.certs_dirs,
            )
        size = 4 * (settings.heads + settings.uploads)  # kept, not opened: beyond, connections are made and thrown away
        proxy = proxy_for(scheme, netloc, settings.environment)
        if proxy is None:
            manager = urllib3.PoolManager(maxsize=size, ssl_context=context, blocksize=_BLOCK)
            manager.pool_classes_by_scheme = self._live.pools()
            return manager
        parts = urllib.parse.urlsplit(proxy)
        login = urllib.parse.unquote(f"{parts.username}:{parts.password or ''}") if parts.username else None
        headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        manager = urllib3.ProxyManager(
            plain, proxy_headers=headers, maxsize=size, ssl_context=context, blocksize=_BLOCK
        )
        manager.pool_classes_by_scheme = self._live.pools()
        return manager


def _receive(response: urllib3.BaseHTTPResponse, url: str, body: Incoming, *, stream: bool) -> Answer:
    fine = 200 <= response.status < 300  # noqa: PLR2004  # RFC 9110 §15.3
    challenges = tuple(response.headers.getlist("WWW-Authenticate"))
    if stream and fine:
        return Answer(response.status, response.headers, b"", url, challenges, body)  # type: ignore[arg-type]
    bound = LIMIT if fine else _ERROR_BYTES
    content = b""
    with body:
        # Until nothing comes: only then does urllib3 tell a body that was cut from one that ended.
        while len(content) <= bound and (block := body.read(bound + 1 - len(content))):
            content += block
    content = decoded(response.headers, content, bound)
    if fine and len(content) > bound:
        where = urllib.parse.urlsplit(url).netloc
        raise AnswerTooLarge(f"answered with more than {bound} bytes where a manifest was asked for", where=where)
    return Answer(response.status, response.headers, content[:bound], url, challenges)
