"""A URL as what a request is made from: where it goes, and what it asks for there (RFC 3986, RFC 6874, RFC 9110 §4)."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

import msgspec

from multiarch_oci.errors import MultiarchError

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_NETLOC = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:@]*)(?::([0-9]{0,9}))?")
_NAME = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+")
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_SETTLED = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/?-]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_PATH, _QUERY = "!$&'()*+,;=:@/", "!$&'()*+,;=:@/?"


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
            idna.encode(each.lower(), strict=True, std3_rules=True).decode() if each else "" for each in name.split(".")
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
