"""A connection to an origin: TCP, the way through a proxy, TLS.

Loaded at the first request of a run, as `http.client` and `ssl` are.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Callable

from multiarch.record import dataclass
from multiarch.store.http.address import Origin, UnusableUrl, origin_of
from multiarch.store.http.causes import interrupted, no_connection, no_proxy
from multiarch.store.http.live import Live

_AGENT = "multiarch/1"
_FINE = range(200, 300)  # RFC 9110 §9.3.6: any success to CONNECT is a tunnel


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy on the way: how it is reached, and the value of Proxy-Authorization if it wants one."""

    origin: Origin
    context: ssl.SSLContext | None
    authorization: str | None


@dataclass(frozen=True, slots=True)
class Way:
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
        found = {"Host": self.origin.field, "User-Agent": _AGENT, "Accept-Encoding": "identity"}
        if self.prefix and self.proxy is not None and self.proxy.authorization is not None:
            found["Proxy-Authorization"] = self.proxy.authorization
        return found


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
    authorization = f"Basic {base64.b64encode(pair.encode()).decode()}" if user else None
    return Proxy(origin, context(where) if parts.scheme == "https" else None, authorization)


def dial(way: Way, seconds: float, live: Live) -> socket.socket:
    """A connection over which the origin can be asked, watched by `live`; each step may take so many seconds.

    Raises Unreachable, Interrupted and UntrustedHost, or Cancelled.
    """
    first = way.origin if way.proxy is None else way.proxy.origin
    try:
        sock = _connected(first, seconds, live)
    except OSError as error:
        live.check()
        raise (no_connection(error, way.netloc, seconds) if way.proxy is None else no_proxy(way.netloc)) from None
    try:
        if way.proxy is not None and way.proxy.context is not None:
            sock = _to_proxy(sock, way.proxy.context, way, way.proxy, live)
        if way.context is not None:
            if way.proxy is not None:
                _tunnel(sock, way, way.proxy)
            sock = _secured(sock, way.context, way.origin, live)
    except (OSError, http.client.HTTPException) as error:
        sock.close()
        live.check()
        raise interrupted(error, way.netloc, seconds) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _connected(origin: Origin, seconds: float, live: Live) -> socket.socket:
    """TCP to the first of the host's addresses that takes it; OSError of the first when none does."""
    failures: list[OSError] = []
    # Bytes: of a str, Python would find out first how it is written in ASCII, and load a codec for it.
    found = socket.getaddrinfo(origin.host.encode(), origin.port, 0, socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # IPv6, where the system has none
            failures.append(error)
            continue
        try:
            sock.settimeout(seconds)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            live.add(sock)
            sock.connect(address)
        except OSError as error:
            sock.close()
            live.check()
            failures.append(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failures[0] if failures else OSError


def _to_proxy(sock: socket.socket, context: ssl.SSLContext, way: Way, proxy: Proxy, live: Live) -> socket.socket:
    try:
        return _secured(sock, context, proxy.origin, live)
    except OSError:
        live.check()
        raise no_proxy(way.netloc) from None


def _tunnel(sock: socket.socket, way: Way, proxy: Proxy) -> None:
    """Have the proxy connect us with the origin (RFC 9110 §9.3.6)."""
    lines = [f"CONNECT {way.origin.authority} HTTP/1.1", f"Host: {way.origin.authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    response = http.client.HTTPResponse(sock, method="CONNECT")
    try:
        response.begin()
    finally:
        response.close()
    if response.status not in _FINE:
        raise no_proxy(way.netloc)


def _secured(sock: socket.socket, context: ssl.SSLContext, origin: Origin, live: Live) -> socket.socket:
    """TLS over a connection; with what it is made from, it is closed by the caller when that fails."""
    if isinstance(sock, ssl.SSLSocket):  # which can hold no further one: to a proxy, and through it
        from urllib3.util.ssltransport import SSLTransport  # comes with docker

        return SSLTransport(sock, context, server_hostname=origin.name)  # type: ignore[return-value]  # enough of one
    # Bytes, as with getaddrinfo.
    secured = context.wrap_socket(sock, server_hostname=origin.name.encode(), do_handshake_on_connect=False)
    try:
        live.add(secured)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured
