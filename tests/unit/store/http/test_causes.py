"""What failures of connections are called, and how often they are tried."""

from __future__ import annotations

import http.client
import socket
import ssl

import pytest

from multiarch_oci.store.http.causes import interrupted, no_connection, no_proxy
from multiarch_oci.store.http.failures import Interrupted, Unreachable, UntrustedHost

NAME = "HOST: no address is known for this name\n  hint: see REGISTRY, and the network"
HINT = "\n  hint: does the registry run there?"


@pytest.mark.parametrize(
    ("error", "text", "tries"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NAME, 1),
        (socket.gaierror(socket.EAI_AGAIN, "later"), NAME, 3),
        (TimeoutError("timed out"), "HOST: no connection within 2.5 s", 2),
        (ConnectionRefusedError(111, "Connection refused"), f"HOST: no connection: Connection refused{HINT}", 4),
        (OSError(101, "Network is unreachable"), f"HOST: no connection: Network is unreachable{HINT}", 4),
        (OSError(), f"HOST: no connection: not possible{HINT}", 4),
    ],
)
def test_no_connection_is_told_by_its_cause(error: OSError, text: str, tries: int) -> None:
    made = no_connection(error, "HOST", 2.5)
    assert (type(made), str(made), made.tries) == (Unreachable, text, tries)


def certificate() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


UNTRUSTED = (
    "HOST: its certificate is not trusted: certificate has expired\n  hint: put its authority into "
    "/etc/docker/certs.d/HOST/ca.crt, or name it by MULTIARCH_CA; or trust it: INSECURE=HOST"
)
NO_TLS = "HOST: speaks no TLS; plain HTTP is for hosts in INSECURE only\n  hint: if that is meant: INSECURE=HOST"


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TimeoutError("timed out"), Interrupted, "HOST: no answer within 60 s"),
        (ConnectionResetError(104, "reset"), Interrupted, "HOST: the connection was cut"),
        (http.client.RemoteDisconnected(), Interrupted, "HOST: the connection was cut"),
        (http.client.BadStatusLine("http://user:secret@r"), Interrupted, "HOST: the connection was cut"),
        (http.client.IncompleteRead(b"secret"), Interrupted, "HOST: the connection was cut"),
        (certificate(), UntrustedHost, UNTRUSTED),
        (tls("WRONG_VERSION_NUMBER"), UntrustedHost, NO_TLS),
        (tls("RECORD_LAYER_FAILURE"), UntrustedHost, NO_TLS),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), UntrustedHost, "HOST: TLS failed: TLSV1_ALERT_UNKNOWN_CA"),
        (ssl.SSLError(), UntrustedHost, "HOST: TLS failed: no common way to speak"),
        (ssl.SSLEOFError(8, "EOF"), Interrupted, "HOST: the connection was cut while TLS began"),
        (ssl.SSLZeroReturnError(6, "closed"), Interrupted, "HOST: the connection was cut while TLS began"),
    ],
)
def test_a_connection_that_broke_is_told_by_its_cause(error: Exception, kind: type, text: str) -> None:
    made = interrupted(error, "HOST", 60)
    assert (type(made), str(made)) == (kind, text)


def test_a_proxy_is_told_by_the_variables_that_name_it() -> None:
    assert str(no_proxy("HOST")) == (
        "HOST: the proxy for it cannot be reached\n  hint: see HTTPS_PROXY, ALL_PROXY and NO_PROXY"
    )
