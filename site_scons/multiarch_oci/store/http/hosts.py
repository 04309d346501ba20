"""Hosts and URLs: where a request goes (RFC 3986, RFC 6874, RFC 9110 §4), and what the settings say of that host.

Who may be insecure, who is behind a proxy, whose certificates count.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.errors import MultiarchError

if TYPE_CHECKING:
    import ssl

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_NETLOC = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:@]*)(?::([0-9]{0,9}))?")
_NAME = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+")
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_SETTLED = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/?-]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_PATH, _QUERY = "!$&'()*+,;=:@/", "!$&'()*+,;=:@/?"

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
    """Scheme, `host[:port]` as it is written, and the target: path and query with all escaped that has to be.

    Dots are resolved (RFC 3986 §5.2.4), escapes stay and are upper case, a stray `%` makes every one of them a
    character. The fragment is left out. UnusableUrl for what is neither http nor https.
    """
    match = _URL.match(url)
    if match is None:
        raise UnusableUrl("no request can be sent to what is no URL of http or https")
    scheme, netloc, rest = match.groups()
    return scheme.lower(), netloc, rest if _SETTLED.fullmatch(rest) and "/." not in rest else _settled(rest)


def origin_of(scheme: str, netloc: str) -> Origin:
    """The origin that `host[:port]` names for this scheme; UnusableUrl when it names none."""
    match = _NETLOC.fullmatch(netloc)
    port = int(match[2] or _PORTS[scheme]) if match else 0
    host = _host(match[1]) if match else None
    if host is None or not 0 < port < 1 << 16:
        shown = "".join(character if character.isprintable() else "?" for character in netloc.rpartition("@")[2])
        raise UnusableUrl("no request can be sent there: that is no host", where=shown[:200] or None)
    return Origin(scheme, host, port)


def _host(text: str) -> str | None:
    if text.startswith("["):
        address, percent, zone = text[1:-1].partition("%")
        zone = zone.removeprefix("25")  # RFC 6874 escapes the percent sign itself
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            return None
        if percent:
            return f"{address.lower()}%{zone}" if _ZONE.fullmatch(zone) else None
        return address.lower()
    name = urllib.parse.unquote(text)
    if not name.isascii():
        name = _in_ascii(name)
    name = name.lower()
    return name if _NAME.fullmatch(name) else None


def _in_ascii(name: str) -> str:
    """An international name as it is looked up (RFC 5891); empty when it is none."""
    import idna  # comes with requests, which comes with docker

    try:
        labels = [
            idna.encode(label.lower(), strict=True, std3_rules=True).decode() if label else ""
            for label in name.split(".")
        ]
    except idna.IDNAError:
        return ""
    return ".".join(labels)


def _settled(rest: str) -> str:
    path, mark, query = rest.partition("?")
    path = _escaped(_without_dots(path), _PATH)
    return ("" if path.startswith("/") else "/") + path + mark + _escaped(query, _QUERY)


def _escaped(text: str, allowed: str) -> str:
    text, escapes = _ESCAPE.subn(lambda match: match[0].upper(), text)
    kept = allowed + "%" if escapes == text.count("%") else allowed
    return urllib.parse.quote(text, safe=kept, errors="surrogatepass")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if path.startswith("/") and (not kept or kept[0]):
        kept.insert(0, "")
    return "/".join([*kept, ""] if path.endswith(("/.", "/..")) else kept)


def split_host(netloc: str) -> tuple[str, int | None]:
    """Host (IPv6 without brackets, lower case) and port of `host[:port]`; None when no port is given."""
    if netloc.startswith("["):
        host, _, rest = netloc[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = netloc.partition(":")
    return host.lower(), int(port) if port.isdecimal() else None


def is_listed(netloc: str, entries: tuple[str, ...]) -> bool:
    """Whether `host[:port]` is named by an entry: a host (any port), `host:port`, an address, or a CIDR range."""
    return any(_names(entry.strip(), netloc) for entry in entries)


def _names(entry: str, netloc: str) -> bool:
    host, _ = split_host(netloc)
    if "/" in entry:
        address, network = _address(host), _network(entry)
        return address is not None and network is not None and address in network
    if _address(entry) is not None:  # an IPv6 address is full of colons that are no port
        return _address(entry) == _address(host)
    wanted, wanted_port = split_host(entry)
    return wanted == host and (wanted_port is None or wanted_port == split_host(netloc)[1])


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
    if ca_file is not None and not insecure:
        _load(context, ca_file)
    # Docker on Windows leaves the colon out, which no folder there can hold.
    folders = [parent / name for parent in certs_dirs for name in dict.fromkeys((netloc, netloc.replace(":", "")))]
    for folder in folders:
        for file in () if insecure else sorted(folder.glob("*.crt")):
            _load(context, file)
        for file in sorted(folder.glob("*.cert")):
            _load_client(context, file)
    return context


def _load(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(cafile=str(file))
    except OSError as error:  # ssl.SSLError is one
        raise InvalidCertificates(
            f"cannot be used as certificate authorities: {_text(error)}", where=str(file)
        ) from None


def _load_client(context: ssl.SSLContext, file: Path) -> None:
    key = file.with_suffix(".key")
    try:
        context.load_cert_chain(str(file), str(key))
    except OSError as error:
        what = f"cannot be used as client certificate with {key.name}: {_text(error)}"
        raise InvalidCertificates(what, where=str(file)) from None


def _text(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or "unreadable"


def _variable(name: str, environment: Mapping[str, str]) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
