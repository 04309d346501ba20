"""Which hosts may be insecure, which are behind a proxy, whose certificates count.

RFC 4632 (CIDR ranges); Docker's certs.d.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from multiarch_oci.store.http.hosts import LOOPBACK, InvalidCertificates, is_listed, proxy_for, split_host, tls_context


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
