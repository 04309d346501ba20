"""What a failure of a connection means, from what urllib3 says of it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from multiarch.errors import MultiarchError
from multiarch.store.http.failures import Interrupted, Unreachable, UntrustedHost

if TYPE_CHECKING:
    import urllib3.exceptions

_REFUSED_TRIES = 4
"""How often at most a host is tried where nobody listens: one that starts anew is there within seconds, or not."""
_SILENT_TRIES = 2
_UNKNOWN_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def explain(error: urllib3.exceptions.HTTPError, netloc: str, connect: float, read: float) -> MultiarchError:
    """What a failure of the connection to `netloc` means; never holds a URL. The limits are seconds."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.ProxyError):
        return Unreachable(
            "the proxy for it cannot be reached", where=netloc, hint="see HTTPS_PROXY, ALL_PROXY and NO_PROXY"
        )
    if isinstance(error, exceptions.SSLError):
        return _untrusted(error, netloc)
    if isinstance(error, exceptions.NameResolutionError):
        hint = "see REGISTRY, and the network"
        return Unreachable("no address is known for this name", where=netloc, hint=hint, tries=_name_tries(error))
    if isinstance(error, exceptions.NewConnectionError):
        cause = error.__cause__ or error.__context__
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else "not possible"
        hint = "does the registry run there?"
        return Unreachable(f"no connection: {why}", where=netloc, hint=hint, tries=_REFUSED_TRIES)
    if isinstance(error, exceptions.ConnectTimeoutError):
        return Unreachable(f"no connection within {connect:g} s", where=netloc, tries=_SILENT_TRIES)
    if isinstance(error, exceptions.TimeoutError):
        return Interrupted(f"no answer within {read:g} s", where=netloc)
    return Interrupted("the connection was cut", where=netloc)


def _name_tries(error: urllib3.exceptions.NameResolutionError) -> int:
    """Once, for a name that does not exist; some times, when the name server did not say."""
    cause = error.__cause__
    return 1 if isinstance(cause, socket.gaierror) and cause.errno in _UNKNOWN_NAME else _REFUSED_TRIES - 1


def _untrusted(error: urllib3.exceptions.SSLError, netloc: str) -> MultiarchError:
    import ssl

    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        folder = f"/etc/docker/certs.d/{netloc}"
        hint = f"put its authority into {folder}/ca.crt, or name it by MULTIARCH_CA; or trust it: INSECURE={netloc}"
        return UntrustedHost(f"its certificate is not trusted: {cause.verify_message}", where=netloc, hint=hint)
    reason = getattr(cause, "reason", None) or ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        hint = f"if that is meant: INSECURE={netloc}"
        return UntrustedHost("speaks no TLS; plain HTTP is for hosts in INSECURE only", where=netloc, hint=hint)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Interrupted("the connection was cut while TLS began", where=netloc)
    return UntrustedHost(f"TLS failed: {reason or 'no common way to speak'}", where=netloc)
