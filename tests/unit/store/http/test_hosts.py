"""Which hosts may be insecure, which are behind a proxy, whose certificates count.

RFC 4632 (CIDR ranges); Docker's certs.d.
URLs as what requests are made from.
RFC 3986 §2.1 (escapes), §3.2.2 (hosts); RFC 6874 (zones).
Which URLs are a registry's own, and what its paths and addresses mean.
RFC 6454 §4 (origins), RFC 3986 §5.2 (references).
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import pytest

from multiarch_oci.store.http.hosts import (
    LOOPBACK,
    Endpoint,
    InvalidCertificates,
    Origin,
    UnusableUrl,
    is_listed,
    origin_of,
    proxy_for,
    same_origin,
    split_host,
    split_url,
    tls_context,
)


@pytest.mark.parametrize(
    ("netloc", "entries", "listed"),
    [
        ("localhost:5000", LOOPBACK, True),
        ("127.0.0.1", LOOPBACK, True),
        ("127.9.9.9:1", LOOPBACK, True),
        ("[::1]:5000", LOOPBACK, True),
        ("128.0.0.1", LOOPBACK, False),
        ("localhost.example", LOOPBACK, False),
        ("127.0.0.1.example", LOOPBACK, False),
        ("docker.io", LOOPBACK, False),
        ("Registry.Example:5000", ("registry.example",), True),
        ("registry.example:5000", ("registry.example:5000",), True),
        ("registry.example:5001", ("registry.example:5000",), False),
        ("registry.example", ("registry.example:5000",), False),
        ("10.1.2.3:5000", ("10.0.0.0/8",), True),
        ("11.1.2.3:5000", ("10.0.0.0/8",), False),
        ("registry.example", ("10.0.0.0/8", "not/a/range"), False),
        ("[fd00::1]:5000", ("fd00::/8",), True),
        ("registry.example", ("", " registry.example "), True),
        ("registry.example", (), False),
    ],
)
def test_insecure_hosts_are_named_by_host_port_or_range(netloc: str, entries: tuple[str, ...], listed: bool) -> None:
    assert is_listed(netloc, entries) is listed


def test_hosts_are_split_from_ports() -> None:
    assert split_host("Registry.example") == ("registry.example", None)
    assert split_host("registry.example:5000") == ("registry.example", 5000)
    assert split_host("[::1]:5000") == ("::1", 5000)


PROXIES = {
    "HTTPS_PROXY": "http://proxy.example:3128",
    "NO_PROXY": "internal.example,.corp.example, 10.0.0.0/8,r.example:444",
}


@pytest.mark.parametrize(
    ("scheme", "netloc", "environment", "proxy"),
    [
        ("https", "docker.io", PROXIES, "http://proxy.example:3128"),
        ("http", "docker.io", PROXIES, None),
        ("https", "docker.io", {}, None),
        ("https", "docker.io", {"https_proxy": "low:1", "HTTPS_PROXY": "high:1"}, "http://low:1"),
        ("https", "internal.example", PROXIES, None),
        ("https", "a.internal.example:5000", PROXIES, None),
        ("https", "notinternal.example", PROXIES, "http://proxy.example:3128"),
        ("https", "a.corp.example", PROXIES, None),
        ("https", "10.2.3.4", PROXIES, None),
        ("https", "r.example:444", PROXIES, None),
        ("https", "r.example", PROXIES, "http://proxy.example:3128"),
        ("https", "docker.io", {**PROXIES, "NO_PROXY": "*"}, None),
        ("https", "localhost:5000", PROXIES, None),
        ("https", "127.0.0.1:5000", PROXIES, None),
    ],
)
def test_proxies_are_chosen_by_the_environment(
    scheme: str, netloc: str, environment: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(scheme, netloc, environment) == proxy


def test_an_insecure_host_needs_no_certificate_and_others_do() -> None:
    assert tls_context("localhost", insecure=True, ca_file=None, certs_dirs=()).verify_mode == ssl.CERT_NONE
    strict = tls_context("docker.io", insecure=False, ca_file=None, certs_dirs=())
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_of_an_insecure_host_no_authority_is_read(tmp_path: Path) -> None:
    (tmp_path / "localhost").mkdir()
    (tmp_path / "localhost/ca.crt").write_text("nothing", encoding="ascii")
    context = tls_context("localhost", insecure=True, ca_file=tmp_path / "no.pem", certs_dirs=(tmp_path,))
    assert context.cert_store_stats()["x509"] == 0


def test_a_bad_certificate_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "registry.example:5000"
    folder.mkdir()
    (folder / "ca.crt").write_text("nothing", encoding="ascii")
    with pytest.raises(InvalidCertificates) as raised:
        tls_context("registry.example:5000", insecure=False, ca_file=None, certs_dirs=(tmp_path,))
    assert str(raised.value).startswith(f"{folder / 'ca.crt'}: cannot be used as certificate authorities: ")
    (folder / "ca.crt").unlink()
    (folder / "client.cert").write_text("nothing", encoding="ascii")
    with pytest.raises(
        InvalidCertificates, match=r"client.cert: cannot be used as client certificate with client.key: "
    ):
        tls_context("registry.example:5000", insecure=False, ca_file=None, certs_dirs=(tmp_path,))


def test_a_missing_authorities_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCertificates) as raised:
        tls_context("registry.example", insecure=False, ca_file=tmp_path / "no.pem", certs_dirs=())
    assert (
        str(raised.value)
        == f"{tmp_path / 'no.pem'}: cannot be used as certificate authorities: No such file or directory"
    )


TARGETS = {
    "": "/",
    "/": "/",
    "?a": "/?a",
    "/v2/a/b/manifests/v1": "/v2/a/b/manifests/v1",
    "/v2/a/tags/list?n=1000&last=b": "/v2/a/tags/list?n=1000&last=b",
    "/v2/#fragment": "/v2/",
    "/a?": "/a?",
    "/a b\t\r\nc": "/a%20b%09%0D%0Ac",
    "/ü?ü=ü": "/%C3%BC?%C3%BC=%C3%BC",
    "/%2f%C3%bc": "/%2f%C3%bc",
    "/100%": "/100%",
    "/.well-known/a.b": "/.well-known/a.b",
    "/a?b=../c/./d": "/a?b=../c/./d",
    "//a//b": "//a//b",
    '/"<>[]\\^`{|}': "/%22%3C%3E%5B%5D%5C%5E%60%7B%7C%7D",
    "/!$&'()*+,;=:@-._~?/": "/!$&'()*+,;=:@-._~?/",
}


@pytest.mark.parametrize(("rest", "target"), TARGETS.items())
def test_what_is_asked_for_is_written_as_it_has_to_be(rest: str, target: str) -> None:
    assert split_url(f"HTTPS://r.example:5000{rest}") == ("https", "r.example:5000", target)


@pytest.mark.parametrize(
    "url",
    ["", "/v2/", "//r.example/", "r.example", "ftp://r.example/", "http:/r.example", " http://r.example", "ht\ttp://r"],
)
def test_what_is_no_url_of_http_is_an_error(url: str) -> None:
    with pytest.raises(UnusableUrl) as raised:
        split_url(url)
    assert str(raised.value) == "no request can be sent to what is no URL of http or https"


ORIGINS = {
    "Registry.Example": ("registry.example", 443, "registry.example", "registry.example"),
    "r.example:": ("r.example", 443, "r.example", "r.example"),
    "r.example:443": ("r.example", 443, "r.example", "r.example"),
    "r.example:00080": ("r.example", 80, "r.example:80", "r.example"),
    "r.example.:5000": ("r.example.", 5000, "r.example:5000", "r.example"),
    "team_1.r.example": ("team_1.r.example", 443, "team_1.r.example", "team_1.r.example"),
    "127.0.0.1:5000": ("127.0.0.1", 5000, "127.0.0.1:5000", "127.0.0.1"),
    "[::1]": ("::1", 443, "[::1]", "::1"),
    "[2001:DB8::1]:5000": ("2001:db8::1", 5000, "[2001:db8::1]:5000", "2001:db8::1"),
    "[FE80::1%25eth0]:5000": ("fe80::1%eth0", 5000, "[fe80::1]:5000", "fe80::1"),
    "[fe80::1%eth0]": ("fe80::1%eth0", 443, "[fe80::1]", "fe80::1"),
    "xn--bcher-kva.example": ("xn--bcher-kva.example", 443, "xn--bcher-kva.example", "xn--bcher-kva.example"),
}


@pytest.mark.parametrize(("netloc", "made"), ORIGINS.items())
def test_a_host_is_looked_up_called_and_proven_by_its_name(netloc: str, made: tuple[str, int, str, str]) -> None:
    origin = origin_of("https", netloc)
    assert (origin.host, origin.port, origin.field, origin.name) == made


def test_the_port_of_plain_http_is_80() -> None:
    assert origin_of("http", "r.example") == Origin("http", "r.example", 80)
    assert (origin_of("http", "r.example:80").field, origin_of("http", "r.example:443").field) == (
        "r.example",
        "r.example:443",
    )
    assert origin_of("http", "[::1]").authority == "[::1]:80"


@pytest.mark.parametrize(
    ("netloc", "shown"),
    [
        ("", ""),
        (":5000", ":5000"),
        ("user:secret@r.example", "r.example"),
        ("r.example:0", "r.example:0"),
        ("r.example:65536", "r.example:65536"),
        ("r.example:-1", "r.example:-1"),
        ("r.example:5000:5000", "r.example:5000:5000"),
        ("r.example\r\nX", "r.example??X"),
        ("r\\.example", "r\\.example"),
        ("r.example%0a", "r.example%0a"),
        ("bücher.example", "bücher.example"),
        ("::1", "::1"),
        ("[::g]", "[::g]"),
        ("[::1", "[::1"),
        ("[::1]x", "[::1]x"),
        ("[fe80::1%a b]", "[fe80::1%a b]"),
        ("[127.0.0.1]", "[127.0.0.1]"),
        ("\u2603\u200b.example", "\u2603?.example"),
    ],
)
def test_what_is_no_host_is_an_error_without_a_secret(netloc: str, shown: str) -> None:
    with pytest.raises(UnusableUrl) as raised:
        origin_of("https", netloc)
    text = "no request can be sent there: that is no host"
    assert str(raised.value) == (f"{shown}: {text}" if shown else text)


def endpoint(scheme: str | None = "https", netloc: str = "r.example:5000") -> Endpoint:
    return Endpoint(netloc, insecure=False, uploads=threading.BoundedSemaphore(), scheme=scheme)


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("/v2/a/manifests/b", "https://r.example:5000/v2/a/manifests/b"),
        ("v2/", "https://r.example:5000/v2/"),
        ("//other.example/v2/", "https://other.example/v2/"),
        ("https://other.example/v2/", "https://other.example/v2/"),
        ("http://other.example/v2/", "http://other.example/v2/"),
        ("http://r.example:5000/v2/", "https://r.example:5000/v2/"),
        ("http://r.example:5000.evil.example/", "http://r.example:5000.evil.example/"),
    ],
)
def test_a_url_is_made_absolute_and_the_registrys_own_keeps_its_scheme(url: str, absolute: str) -> None:
    assert endpoint().absolute(url) == absolute


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://r.example:5000/v2/", True),
        ("HTTPS://R.EXAMPLE:5000/v2/", True),
        ("https://r.example:05000", True),
        ("http://r.example:5000/v2/", False),
        ("https://r.example/v2/", False),
        ("https://r.example:50000/v2/", False),
        ("https://r.example:5000@evil.example/v2/", False),
        ("https://r.example:5000.evil.example/v2/", False),
        ("https://r.example:5000\\@evil.example/", False),
        ("https://sub.r.example:5000/", False),
    ],
)
def test_only_the_registrys_own_origin_is_its_own(url: str, *, own: bool) -> None:
    assert endpoint().owns(url) is own


def test_a_host_whose_scheme_is_not_known_is_taken_for_a_secure_one() -> None:
    assert [endpoint(scheme).root for scheme in (None, "http")] == ["https://r.example:5000/", "http://r.example:5000/"]


def test_what_is_no_url_has_no_origin() -> None:
    assert same_origin("https://r.example:443/a", "https://r.example/b")
    assert not same_origin("nonsense", "nonsense")
