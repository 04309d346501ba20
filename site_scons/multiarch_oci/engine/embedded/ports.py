"""The ports of EXPOSE, as BuildKit reads them: `[ip:][host:]port[-port][/protocol]`, of which the container's count."""

from __future__ import annotations

import ipaddress
import re

from multiarch_oci.dockerfile.errors import InvalidDockerfile

_PROTOCOLS = ("tcp", "udp", "sctp")
_NUMBER = re.compile(r"[+]?[0-9]{1,18}\Z")
_LARGEST = 65535


def exposed(text: str) -> tuple[str, ...]:
    """The `port/protocol` of one word of EXPOSE; raises InvalidDockerfile."""
    address, host, container = _parts(text)
    container, _, protocol = container.partition("/")
    if not container:
        raise InvalidDockerfile(f"EXPOSE {text}: no port specified")
    if protocol.lower() not in ("", *_PROTOCOLS):
        raise InvalidDockerfile(f"EXPOSE {text}: '{protocol}' is none of {', '.join(_PROTOCOLS)}")
    if address:
        _check_address(address, text)
    start, end = _range(container, text)
    if host:
        first, last = _range(host, text)
        if end - start not in (last - first, 0):
            raise InvalidDockerfile(f"EXPOSE {text}: the two ranges are not of one length")
    return tuple(f"{port}/{protocol.lower() or 'tcp'}" for port in range(start, end + 1))


def _parts(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _check_address(address: str, text: str) -> None:
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidDockerfile(f"EXPOSE {text}: '{address}' is no IP address") from None


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _port(first, whole)
    end = _port(last, whole) if dash and first != last else start
    if end < start:
        raise InvalidDockerfile(f"EXPOSE {whole}: {text} is an empty range")
    return start, end


def _port(text: str, whole: str) -> int:
    if _NUMBER.match(text) is None or int(text) > _LARGEST:
        raise InvalidDockerfile(f"EXPOSE {whole}: '{text}' is no port from 0 to {_LARGEST}")
    return int(text)
