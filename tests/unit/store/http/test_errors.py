"""What is said when something goes wrong, word for word.

OCI distribution spec 1.1: "Error Codes"; RFC 9110 §10.2.3 (Retry-After).
What failures of connections are called, and how often they are tried.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import socket
import ssl
import time

import pytest

from multiarch_oci.store.http.errors import (
    BrokenAnswer,
    Cancelled,
    CutShort,
    Interrupted,
    NoAnswer,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    UntrustedHost,
    interrupted,
    no_connection,
    no_proxy,
)
from multiarch_oci.store.http.exchange import Request
from multiarch_oci.store.http.refusals import retry_after, unauthorized


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("0", 0.0), (" 12 ", 12.0), ("-1", None), ("soon", None), ("1.5", None), ("٣", None)],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_retry_after_as_a_date() -> None:
    later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=90)
    assert 85 < (retry_after(email.utils.format_datetime(later, usegmt=True)) or 0) <= 90
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


NO_DATES = (
    "", " ", ",", ", , ,", ":", "::", "Mon", "31 Dec 9999 23:59:59 -2359", "1 Jan 0001 00:00:00 +2359", "32 Dec 2026 00:00:00 GMT",
    "1 Jan 99999 00:00:00 GMT", "1 Jan -5 00:00:00 GMT", "1 Jan 2026 99:99:99 GMT", "1 Jan 2026 00:00:00 +999999999", "1 Jan 2026 1e9",
    "NaN", "inf", "+5", "0x5", "5;q=1", "(" * 60000, "\0", "1 " * 30000, "Jan " * 100, "1-1-1 :", "²",
)  # fmt: skip


@pytest.mark.parametrize("header", NO_DATES)
def test_retry_after_that_is_neither_is_no_trouble(header: str) -> None:
    begun = time.monotonic()
    assert retry_after(header) in (None, 0.0) or header.startswith("31 Dec 9999")
    assert time.monotonic() - begun < 1


def test_a_failure_says_how_often_it_was_met_and_stays_what_it_is() -> None:
    failure = TooManyRequests("too many", where="r", hint="wait", pause=3)
    assert failure.tried(1) is failure
    again = failure.tried(4)
    assert (type(again), str(again), again.pause) == (TooManyRequests, "r: too many (tried 4 times)\n  hint: wait", 3)
    assert str(Unreachable("no connection", where="r").tried(2)) == "r: no connection (tried 2 times)"
    assert str(Cancelled()) == "stopped"


PUSH = Request("PUT", "v2/a/manifests/v1", "r.example", "a", "push")


def said(realm: str | None = None, source: str | None = None, trouble: str | None = None) -> str:
    return str(unauthorized(PUSH, "403 DENIED", Unauthorized, realm=realm, source=source, trouble=trouble))


def test_unauthorized_says_as_whom_we_asked() -> None:
    assert said(realm="https://auth.example/token", source="credHelpers 'ecr-login' in ~/.docker/config.json") == (
        "r.example/a: not allowed to push (403 DENIED; its tokens come from https://auth.example/token); "
        "the credentials are those of credHelpers 'ecr-login' in ~/.docker/config.json\n"
        "  hint: they may be wrong, expired or not allowed to push; log in anew with: docker login r.example"
    )
    assert said() == (
        "r.example/a: not allowed to push (403 DENIED); no credentials for r.example were found\n"
        "  hint: log in with: docker login r.example"
    )
    assert said(trouble="docker-credential-x, named in ~/.docker/config.json, is not installed") == (
        "r.example/a: not allowed to push (403 DENIED); "
        "no credentials, as docker-credential-x, named in ~/.docker/config.json, is not installed\n"
        "  hint: mend or remove that helper, or log in with: docker login r.example"
    )


def test_a_registry_with_basic_authentication_is_named_by_its_realm():
    error = unauthorized(PUSH, "401", Unauthorized, realm=None, source="x", trouble=None, area="team")
    assert error.what == "not allowed to push (401; its realm is 'team'); the credentials are those of x"


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
        (TimeoutError("timed out"), NoAnswer, "HOST: no answer within 60 s"),
        (ConnectionResetError(104, "reset"), Interrupted, "HOST: the connection was cut"),
        (CutShort(), Interrupted, "HOST: the connection was cut"),
        (OSError(5, "secret"), Interrupted, "HOST: the connection was cut"),
        (BrokenAnswer("a header that is none"), Interrupted, "HOST: a broken answer: a header that is none"),
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
