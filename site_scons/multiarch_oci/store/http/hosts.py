"""Hosts and URLs: where a request goes (RFC 3986, RFC 6874, RFC 9110 §4), and what is known of that host.

What the settings say: who may be insecure, who is behind a proxy, whose certificates count. What a run has learnt of a
registry: its scheme, which URLs are its own, how many requests are under way.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.errors import MultiarchError

if TYPE_CHECKING:
    import ssl

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._~-]+)?\]|[^\[\]:@]*)(?::([0-9]{0,9}))?")
_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=-]+")
_ESCAPED = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/?%-]+")
_POLL_S = 0.2
_LONGEST_S = 10.0
"""How long a request that is to go alone waits for the others; an upload may take longer, and goes on beside it."""

LOOPBACK = ("127.0.0.0/8", "::1", "localhost")
"""Hosts that may speak plain HTTP or show an unknown certificate when nothing else is said, as with Docker."""


class InvalidCertificates(MultiarchError):
    """A certificate file of the settings that cannot be used."""


class UnusableProxy(MultiarchError):
    """A proxy that speaks something else than HTTP, as SOCKS."""


class UnusableUrl(MultiarchError):
    """A URL that no request can be sent to."""


class Origin(msgspec.Struct, frozen=True):
    """Where requests go. `host` is in ASCII and lower case, an IPv6 address without brackets, with its zone if any."""

    scheme: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """The host as a certificate names it: without the dot that ends a full name, and without a zone."""
        return self.host.partition("%")[0].rstrip(".")

    @property
    def authority(self) -> str:
        """`host:port`, as a proxy is told where to connect to."""
        return f"{self._bracketed}:{self.port}"

    @property
    def field(self) -> str:
        """The value of the header Host: the port is left out where the scheme says it."""
        return self._bracketed if self.port == _PORTS[self.scheme] else self.authority

    @property
    def _bracketed(self) -> str:
        return f"[{self.name}]" if ":" in self.name else self.name


def split_url(url: str) -> tuple[str, str, str]:
    """Scheme, `host[:port]` as it is written, and the target: path and query, with all escaped that has to be.

    The fragment is left out. UnusableUrl for what is neither http nor https.
    """
    match = _URL.match(url)
    if match is None:
        raise UnusableUrl("no request can be sent to what is no URL of http or https")
    scheme, netloc, rest = match.groups()
    target = _ESCAPED.sub(lambda text: urllib.parse.quote(text[0], errors="surrogatepass"), rest)
    return scheme.lower(), netloc, target if target.startswith("/") else f"/{target}"


def public_url(url: str) -> str:
    """A URL as it may be shown: without user, password, query and fragment."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "?"
    return _shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path)


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:200])


def origin_at(url: str) -> tuple[Origin, str]:
    """The origin of a URL, and its `host[:port]` as it is written; UnusableUrl when no request can be sent there."""
    scheme, netloc, _ = split_url(url)
    return origin_of(scheme, netloc), netloc


def origin_of(scheme: str, netloc: str) -> Origin:
    """The origin that `host[:port]` names for this scheme; UnusableUrl when it names none."""
    match = _NETLOC.fullmatch(netloc)
    port = int(match[2] or _PORTS[scheme]) if match else 0
    host = _host(match[1]) if match else None
    if host is None or not 0 < port < 1 << 16:
        where = _shown(netloc.rpartition("@")[2])
        raise UnusableUrl("no request can be sent there: that is no host", where=where or None)
    return Origin(scheme, host, port)


def _host(text: str) -> str | None:
    if not text.startswith("["):
        return text.lower() if _NAME.fullmatch(text) else None
    address, percent, zone = text[1:-1].partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return None
    return f"{address.lower()}{percent}{zone.removeprefix('25')}"  # RFC 6874 escapes the percent sign itself


def split_host(netloc: str) -> tuple[str, int | None]:
    """Host (IPv6 without brackets, lower case) and port of `host[:port]`; None when no port is given."""
    match = _NETLOC.fullmatch(netloc)
    host, port = match.groups() if match else (netloc, None)
    return host.strip("[]").lower(), int(port) if port else None


def is_listed(netloc: str, entries: tuple[str, ...]) -> bool:
    """Whether `host[:port]` is named by an entry: a host (any port), `host:port`, an address, or a CIDR range."""
    return any(_names(entry.strip(), netloc) for entry in entries)


def _names(entry: str, netloc: str) -> bool:
    host, port = split_host(netloc)
    with contextlib.suppress(ValueError):  # of an entry or a host that is no address
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    entry_host, entry_port = split_host(entry)
    return entry_host == host and entry_port in (None, port)


def proxy_for(scheme: str, netloc: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL by HTTP(S)_PROXY, else ALL_PROXY, and NO_PROXY; None: go there directly. Never for loopback.

    Lower case wins. Raises UnusableProxy for one that does not speak HTTP, which nobody would want to be passed by.
    """
    host, _ = split_host(netloc)
    proxy = _variable(f"{scheme}_proxy", environment) or _variable("all_proxy", environment)
    if not proxy or is_listed(netloc, LOOPBACK):
        return None
    for entry in (entry.strip() for entry in _variable("no_proxy", environment).split(",")):
        if not entry:
            continue
        if entry == "*" or _names(entry, netloc) or host.endswith("." + split_host(entry)[0].lstrip("*.")):
            return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    spoken, _, rest = url.partition("://")
    if spoken.lower() not in ("http", "https"):
        address = rest.partition("/")[0].rpartition("@")[2]
        raise UnusableProxy(
            f"the proxy for it, {spoken}://{address}, does not speak HTTP, and nothing else is spoken here",
            where=netloc,
            hint="name one that does in HTTPS_PROXY, or this host in NO_PROXY",
        )
    return url


def tls_context(netloc: str, *, insecure: bool, ca_file: Path | None, certs_dirs: tuple[Path, ...]) -> ssl.SSLContext:
    """The TLS settings for one host: the system's authorities, `ca_file`, and the host's folder in `certs_dirs`.

    A folder is read as Docker reads `/etc/docker/certs.d/<host[:port]>`: `*.crt` are authorities, `X.cert` with `X.key`
    is a client certificate. An insecure host's own certificate is not checked, so no authority is read: that would cost
    more than a local registry's answer. InvalidCertificates names a bad file.
    """
    import ssl

    if insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    # Docker on Windows leaves the colon out, which no folder there can hold.
    folders = [parent / name for parent in certs_dirs for name in dict.fromkeys((netloc, netloc.replace(":", "")))]
    if not insecure:
        authorities = [] if ca_file is None else [ca_file]
        for file in (*authorities, *(file for folder in folders for file in sorted(folder.glob("*.crt")))):
            with _usable(file, "certificate authorities"):
                context.load_verify_locations(cafile=str(file))
    for file in (file for folder in folders for file in sorted(folder.glob("*.cert"))):
        key = file.with_suffix(".key")
        with _usable(file, f"client certificate with {key.name}"):
            context.load_cert_chain(str(file), str(key))
    return context


@contextlib.contextmanager
def _usable(file: Path, use: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or "unreadable"
        raise InvalidCertificates(f"cannot be used as {use}: {reason}", where=str(file)) from None


def _variable(name: str, environment: Mapping[str, str]) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


class Crowd:
    """The requests to one host; any number of threads. `check` raises when the run is to end.

    Some hosts (their firewalls, mostly) refuse by 403 what comes with several others at once, and take it alone.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._begun = 0
        self._exclusive = False
        self._in_vain: set[Hashable] = set()

    @contextlib.contextmanager
    def among(self, check: Callable[[], object]) -> Iterator[Callable[[], bool]]:
        """Count one request; yields whether others have been under way since it began."""
        with self._changed:
            self._wait(lambda: not self._exclusive, check)
            accompanied = self._under_way > 0
            self._under_way += 1
            self._begun += 1
            number = self._begun
        try:
            yield lambda: accompanied or self._begun > number
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self, kind: Hashable, check: Callable[[], object]) -> Iterator[bool]:
        """Wait for a turn alone; yields False where a request of this `kind` was refused alone, too: it is in vain."""
        with self._changed:
            self._wait(lambda: not self._exclusive, check)
            self._exclusive = True
        try:
            with self._changed:
                self._wait(lambda: not self._under_way or kind in self._in_vain, check, _LONGEST_S)
            yield kind not in self._in_vain
        finally:
            with self._changed:
                self._exclusive = False
                self._changed.notify_all()

    def refused(self, kind: Hashable) -> None:
        """Remember that a request of this kind was refused alone, too."""
        self._in_vain.add(kind)

    def _wait(self, until: Callable[[], bool], check: Callable[[], object], seconds: float = math.inf) -> None:
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            self._changed.wait(_POLL_S)
            check()


class Endpoint(msgspec.Struct):
    """A registry at `host[:port]`; `scheme` is None until it is known whether an insecure one speaks TLS.

    The first request has `probed` it; `known` is set once its answer showed how the others have to ask.
    """

    netloc: str
    insecure: bool
    uploads: threading.BoundedSemaphore
    scheme: str | None
    probed: bool = False
    known: threading.Event = msgspec.field(default_factory=threading.Event)
    crowd: Crowd = msgspec.field(default_factory=Crowd)

    @property
    def root(self) -> str:
        """The URL of the host, with a slash at its end."""
        return f"{self.scheme or 'https'}://{self.netloc}/"

    def absolute(self, url: str) -> str:
        """What a path, or a URL from an answer, means here."""
        if url.startswith("/") and not url.startswith("//"):
            return self.root + url[1:]
        # A registry behind a proxy that ends TLS often calls its own uploads by http.
        own = f"http://{self.netloc}/"
        return self.root + url.removeprefix(own) if url.startswith(own) else urllib.parse.urljoin(self.root, url)

    def owns(self, url: str) -> bool:
        """Whether a URL has the registry's own origin (RFC 6454 §4); most have, and are seen to at a glance."""
        return url.startswith(self.root) or same_origin(url, self.root)


def same_origin(url: str, base: str) -> bool:
    """Whether two URLs have the same origin; one that no request can be sent to has none."""
    try:
        return origin_at(url)[0] == origin_at(base)[0]
    except UnusableUrl:
        return False
