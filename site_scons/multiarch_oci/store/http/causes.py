"""What a failure of a connection means, from what sockets, TLS and `http.client` say of it."""

from __future__ import annotations

import socket
import ssl

from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.channel import LowSpeed
from multiarch_oci.store.http.failures import Interrupted, Unreachable, UntrustedHost
from multiarch_oci.store.http.reading import BrokenAnswer

_REFUSED_TRIES = 4
"""How often at most a host is tried where nobody listens: one that starts anew is there within seconds, or not."""
_SILENT_TRIES = 2
_SLOW_TRIES = 3
"""How often at most what took all the time it may take is tried, so that a minute's limit does not become many."""
_UNKNOWN_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def no_connection(error: OSError, netloc: str, seconds: float) -> Unreachable:
    """What it means that no connection to `netloc` came about within so many seconds."""
    if isinstance(error, socket.gaierror):
        # Once, for a name that does not exist; some times, when the name server did not say.
        tries = 1 if error.errno in _UNKNOWN_NAME else _REFUSED_TRIES - 1
        hint = "see REGISTRY, and the network"
        return Unreachable("no address is known for this name", where=netloc, hint=hint, tries=tries)
    if isinstance(error, TimeoutError):
        return Unreachable(f"no connection within {seconds:g} s", where=netloc, tries=_SILENT_TRIES)
    why = error.strerror or "not possible"
    return Unreachable(f"no connection: {why}", where=netloc, hint="does the registry run there?", tries=_REFUSED_TRIES)


def no_name(netloc: str, seconds: float) -> Unreachable:
    """What it means that nobody said within so many seconds which addresses a name has."""
    what = f"no name server said within {seconds:g} s which address this name has"
    return Unreachable(what, where=netloc, hint="see the network", tries=_SILENT_TRIES)


def no_proxy(netloc: str) -> Unreachable:
    """What it means that the proxy for `netloc` is not there, or does not let us through."""
    hint = "see HTTPS_PROXY, ALL_PROXY and NO_PROXY"
    return Unreachable("the proxy for it cannot be reached", where=netloc, hint=hint)


def interrupted(error: Exception, netloc: str, seconds: float) -> MultiarchError:
    """What a failure means once there is a connection to `netloc`; never holds a URL. It waited so long at most."""
    if isinstance(error, ssl.SSLError):
        return _untrusted(error, netloc)
    if isinstance(error, TimeoutError):
        return Interrupted(f"no answer within {seconds:g} s", where=netloc, tries=_SLOW_TRIES)
    if isinstance(error, LowSpeed):
        return Interrupted(f"the transfer was too slow: {error}", where=netloc, tries=_SLOW_TRIES)
    if isinstance(error, BrokenAnswer):
        return Interrupted(f"a broken answer: {error}", where=netloc)
    return Interrupted("the connection was cut", where=netloc)


def _untrusted(error: ssl.SSLError, netloc: str) -> MultiarchError:
    if isinstance(error, ssl.SSLCertVerificationError):
        folder = f"/etc/docker/certs.d/{netloc}"
        hint = f"put its authority into {folder}/ca.crt, or name it by MULTIARCH_CA; or trust it: INSECURE={netloc}"
        return UntrustedHost(f"its certificate is not trusted: {error.verify_message}", where=netloc, hint=hint)
    reason = getattr(error, "reason", None) or ""  # absent from some that Python itself raises
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        hint = f"if that is meant: INSECURE={netloc}"
        return UntrustedHost("speaks no TLS; plain HTTP is for hosts in INSECURE only", where=netloc, hint=hint)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Interrupted("the connection was cut while TLS began", where=netloc)
    return UntrustedHost(f"TLS failed: {reason or 'no common way to speak'}", where=netloc)
