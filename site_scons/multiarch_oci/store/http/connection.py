"""A connection to an origin (TCP, the way through a proxy, TLS), and what goes and comes over it, within limits.

Loaded at the first request of a run, as `ssl` is.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import msgspec

from multiarch_oci.store.http.errors import (
    BrokenAnswer,
    CutShort,
    LowSpeed,
    interrupted,
    no_connection,
    no_proxy,
)
from multiarch_oci.store.http.exchange import SUCCESS
from multiarch_oci.store.http.hosts import Origin, UnusableUrl, origin_of
from multiarch_oci.store.http.reading import read_head
from multiarch_oci.store.http.watchdog import Watchdog

_RECORDS = 32 << 10  # what TLS is given at once: it says nothing before all of it is sent
_AGENT = "multiarch/1"
_LEAST_S = 2.0
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*")


class Channel(io.RawIOBase):
    """What is sent and received over one connection, with `low_speed_limit` bytes a second in `low_speed_time` seconds.

    `begin` opens a phase: no wait in it is longer than `silence` seconds, and it ends at `end` (time.monotonic), both
    with TimeoutError. When it is `paced`, and from its first byte on when not, LowSpeed is raised where less than the
    lowest speed was reached for so long. Only time spent waiting for the other side counts, so that who takes its time
    with what came is no slow connection. Closing it leaves the connection open: `sock` is its owner's.
    """

    def __init__(self, sock: socket.socket, low_speed: tuple[int, float]) -> None:
        super().__init__()
        self.sock = sock
        self.ended = False
        self._piece = 1 << 30 if type(sock) is socket.socket else _RECORDS
        self._limit, self._window = low_speed
        self._peeking = False
        self.begin(0.0)

    def begin(self, silence: float, *, end: float = math.inf, paced: bool = True) -> None:
        """Open the next phase."""
        self._silence, self._end, self._paced = silence, end, paced
        self._waited, self._moved = 0.0, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # typeshed's is not public
        """As io.RawIOBase says; nobody waits within `is_quiet`. Raises TimeoutError, LowSpeed and OSError."""
        if self._peeking:
            try:
                count = self.sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
        else:
            count = self._wait(lambda: self.sock.recv_into(buffer))
        self.ended = not count
        return count

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises TimeoutError, LowSpeed and OSError."""
        rest = memoryview(data).cast("B")
        while rest:
            piece = rest[: self._piece]
            rest = rest[self._wait(lambda: self.sock.send(piece)) :]  # noqa: B023  # called at once

    def is_quiet(self, stream: io.BufferedReader[Channel]) -> bool:
        """Whether an idle connection is still there, and nothing waits that nobody asked for; `stream` reads from this.

        The tickets that TLS 1.3 sends after its handshake are not for us, and are taken in here.
        """
        self._peeking = True
        try:
            self.sock.settimeout(0)
            return not stream.peek(1) and not self.ended
        except OSError:
            return False
        finally:
            self._peeking = False

    def _wait(self, move: Callable[[], int]) -> int:
        """How many bytes moved, once some did or the connection ended."""
        now = time.monotonic()
        end = min(now + self._silence, self._end)
        while True:
            self._check_speed()
            if now >= end:
                raise TimeoutError
            self.sock.settimeout(min(end - now, self._window - self._waited) if self._paced else end - now)
            count, begun = None, now
            with contextlib.suppress(TimeoutError):
                count = move()
            now = time.monotonic()
            self._waited += now - begun
            if count is None:
                continue
            if not self._paced:  # the first byte starts the clock
                self._paced, self._waited = True, 0.0
            self._moved += count
            return count

    def _check_speed(self) -> None:
        if self._paced and self._waited >= self._window:
            if self._moved < self._limit * self._window:
                raise LowSpeed(f"less than {self._limit / 1024:g} KiB/s for {self._window:g} s")
            self._waited, self._moved = 0.0, 0


class Proxy(msgspec.Struct, frozen=True):
    """A proxy on the way: how it is reached, and the headers that are for it alone."""

    origin: Origin
    context: ssl.SSLContext | None
    fields: dict[str, str]


class Way(msgspec.Struct, frozen=True):
    """How an origin is reached; errors call it `netloc`, as the user does. With a context TLS is spoken to it."""

    netloc: str
    origin: Origin
    context: ssl.SSLContext | None = None
    proxy: Proxy | None = None

    @property
    def prefix(self) -> str:
        """What stands before the target of a request: the origin, where a proxy is sent it (RFC 9112 §3.2.2)."""
        return f"{self.origin.scheme}://{self.origin.field}" if self.proxy is not None and self.context is None else ""

    @property
    def fields(self) -> dict[str, str]:
        """The headers that every request has."""
        fields = {"Host": self.origin.field, "User-Agent": _AGENT, "Accept-Encoding": "identity"}
        return fields | self.proxy.fields if self.prefix and self.proxy is not None else fields


def proxy_at(url: str, netloc: str, context: Callable[[str], ssl.SSLContext]) -> Proxy:
    """The proxy that a URL names, with `user:password@` if it holds them; Unreachable(`netloc`) when it names none.

    `context` makes the TLS settings for a `host[:port]`, which one of https:// gets.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        login, _, where = parts.netloc.rpartition("@")
        origin = origin_of(parts.scheme, where)
    except (ValueError, UnusableUrl):
        raise no_proxy(netloc) from None
    user, _, password = login.partition(":")
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
    basic = base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode()
    fields = {"Proxy-Authorization": f"Basic {basic}"} if user else {}
    return Proxy(origin, context(where) if parts.scheme == "https" else None, fields)


def dial(way: Way, seconds: float, watchdog: Watchdog) -> socket.socket:
    """A connection over which the origin can be asked, watched by `watchdog`.

    Looking up the name, connecting, a proxy's answer and TLS may take so many seconds each. Raises Unreachable,
    Interrupted and UntrustedHost, or Cancelled.
    """
    proxy = way.proxy
    first = way.origin if proxy is None else proxy.origin
    reached = proxy is None or proxy.context is None  # the origin, or a proxy that speaks as we wish
    try:
        sock = _connected(watchdog.addresses(first.host, first.port, seconds), seconds, watchdog)
    except OSError as error:  # socket.gaierror is one
        watchdog.check()
        raise (no_connection(error, way.netloc, seconds) if proxy is None else no_proxy(way.netloc)) from None
    try:
        if proxy is not None and proxy.context is not None:
            sock = _secured(sock, proxy.context, proxy.origin, watchdog)
            reached = True
        if way.context is not None:
            if proxy is not None:
                _tunnel(sock, way, proxy, seconds)
            sock.settimeout(seconds)  # the tunnel may have shortened it
            sock = _secured(sock, way.context, way.origin, watchdog)
    except (OSError, CutShort) as error:
        sock.close()
        watchdog.check()
        raise (interrupted(error, way.netloc, seconds) if reached else no_proxy(way.netloc)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _connected(addresses: list[Any], seconds: float, watchdog: Watchdog) -> socket.socket:
    """TCP to the first of the addresses that takes it, within so many seconds; OSError of the first when none does."""
    failures: list[OSError] = []
    end = time.monotonic() + seconds
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        remaining = end - time.monotonic()
        if remaining <= 0:
            break
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)  # OSError: of IPv6, where the system has none
            # What remains is shared by the addresses that remain, as Go's net does it.
            sock.settimeout(min(remaining, max(_LEAST_S, remaining / (len(addresses) - number))))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            watchdog.add(sock)
            sock.connect(address)
        except BaseException as error:
            if sock is not None:
                sock.close()
            watchdog.check()
            if not isinstance(error, OSError):
                raise
            failures.append(error)
        else:
            sock.settimeout(seconds)
            return sock
    raise failures[0] if failures else TimeoutError


def request_head(method: str, target: str, fields: dict[str, str]) -> bytes:
    """The head of a request (RFC 9112 §3, §5); ValueError for a field that would bring another."""
    lines = [f"{name}: {value}" for name, value in fields.items()]
    if not all(map(_FIELD.fullmatch, lines)):
        raise ValueError("Invalid header")
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def _tunnel(sock: socket.socket, way: Way, proxy: Proxy, seconds: float) -> None:
    """Have the proxy connect us with the origin (RFC 9110 §9.3.6)."""
    channel = Channel(sock, (1, seconds))
    channel.begin(seconds, end=time.monotonic() + seconds)
    channel.sendall(request_head("CONNECT", way.origin.authority, {"Host": way.origin.authority} | proxy.fields))
    try:
        status = read_head("CONNECT", io.BufferedReader(channel)).status
    except BrokenAnswer:
        raise no_proxy(way.netloc) from None
    if status not in SUCCESS:  # any is a tunnel
        raise no_proxy(way.netloc)


def _secured(sock: socket.socket, context: ssl.SSLContext, origin: Origin, watchdog: Watchdog) -> socket.socket:
    """TLS over a connection; with what it is made from, it is closed by the caller when that fails."""
    if isinstance(sock, ssl.SSLSocket):  # which can hold no further one: to a proxy, and through it
        from urllib3.util.ssltransport import SSLTransport  # comes with docker

        return SSLTransport(sock, context, server_hostname=origin.name)  # type: ignore[return-value]  # enough of one
    # Bytes, as with getaddrinfo.
    secured = context.wrap_socket(sock, server_hostname=origin.name.encode(), do_handshake_on_connect=False)
    try:
        watchdog.add(secured)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured
