"""How hosts are reached: TLS first, plain HTTP for insecure hosts only, custom authorities, client certificates, proxies.

RFC 9110 §7.3.2 (proxies), RFC 8446 §4.6.1 (tickets); OCI distribution spec 1.1, "Checking if content exists in the registry".
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from certificates import Certificate
from faults import FaultProxy
from machines.registry import Registry as Machine
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.client import Client
from multiarch_oci.store.http.errors import Unreachable, UntrustedHost
from multiarch_oci.store.http.exchange import Request, Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.tags import resolve_all

QUICK = Settings(backoff=0.01, attempts=3, connect_timeout=3, read_timeout=5)
STRICT = replace(QUICK, insecure=())


def resolve(host: str, settings: Settings) -> object:
    return Registry(Transport(settings, Credentials({}, Path("/nowhere"))), Reference(host, "team/demo")).resolve("v1")


def failure(host: str, settings: Settings) -> str:
    with pytest.raises(MultiarchError) as raised:
        resolve(host, settings)
    return str(raised.value).replace(host, "HOST")


@pytest.fixture
def secure(registry: Machine, context: ssl.SSLContext) -> Iterator[FaultProxy]:
    """A registry behind TLS, with a certificate that nobody knows."""
    with FaultProxy(registry.host, tls=context) as made:
        yield made


def test_an_insecure_host_with_tls_is_spoken_to_by_tls_only(secure: FaultProxy) -> None:
    assert resolve(secure.host, QUICK) is None
    assert [seen.kind for seen in secure.seen] == ["HEAD manifest"]  # nothing arrived but through TLS
    assert secure.connections == secure.tls_attempts == 1  # the connection that showed it is used


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_no_credential_goes_to_an_insecure_host_before_it_refused_tls(registry: Machine, method: str) -> None:
    """With or without TLS, whatever is asked first, and by however many threads."""
    with FaultProxy(registry.host) as plain:
        auth = json.dumps({"auths": {plain.host: {"auth": "dXNlcjpzZWNyZXQ="}}})
        transport = Transport(QUICK, Credentials({"DOCKER_AUTH_CONFIG": auth}, Path("/nowhere")))
        path = "blobs/uploads/" if method == "POST" else "manifests/v1"
        for _ in range(3):
            transport.ask(Request(method, f"/v2/team/demo/{path}", plain.host, "team/demo"))
        assert plain.tls_attempts == 1
        assert plain.connections == 1 + 1
        assert [seen.method for seen in plain.seen] == 3 * [method]


def test_many_threads_find_out_together_that_there_is_no_tls(registry: Machine) -> None:
    with FaultProxy(registry.host) as plain:
        transport = Transport(QUICK, Credentials({}, Path("/nowhere")))
        tags = [Reference(plain.host, "team/demo", f"v{number}") for number in range(12)]
        assert set(resolve_all(transport, tags).values()) == {None}
        assert plain.tls_attempts == 1
        assert plain.kinds() == {"HEAD manifest": 12}


def test_an_unknown_certificate_is_an_error_elsewhere(secure: FaultProxy) -> None:
    assert failure(secure.host, STRICT) == (
        "HOST: its certificate is not trusted: self-signed certificate\n"
        "  hint: put its authority into /etc/docker/certs.d/HOST/ca.crt, or name it by MULTIARCH_CA; or trust it: INSECURE=HOST"
    )
    assert secure.seen == []


@pytest.mark.parametrize("way", ["ca_file", "MULTIARCH_CA", "SSL_CERT_FILE", "certs.d"])
def test_an_authority_can_be_made_known(secure: FaultProxy, certificate: Certificate, tmp_path: Path, way: str) -> None:
    if way == "ca_file":
        settings = replace(STRICT, ca_file=certificate.certificate)
    elif way == "certs.d":
        (tmp_path / secure.host).mkdir()
        (tmp_path / secure.host / "ca.crt").write_bytes(certificate.certificate.read_bytes())
        settings = replace(STRICT, certs_dirs=(tmp_path,))
    else:
        settings = replace(STRICT, environment={way: str(certificate.certificate)})
    assert resolve(secure.host, settings) is None
    assert [seen.kind for seen in secure.seen] == ["HEAD manifest"]


def test_a_client_certificate_is_shown_to_a_host_that_wants_one(
    secure: FaultProxy, context: ssl.SSLContext, certificate: Certificate, tmp_path: Path
) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate.certificate)
    folder = tmp_path / secure.host
    folder.mkdir()
    (folder / "ca.crt").write_bytes(certificate.certificate.read_bytes())
    settings = replace(STRICT, certs_dirs=(tmp_path,))
    with pytest.raises(MultiarchError):
        resolve(secure.host, settings)
    (folder / "client.cert").write_bytes(certificate.certificate.read_bytes())
    (folder / "client.key").write_bytes(certificate.key.read_bytes())
    assert resolve(secure.host, settings) is None


def test_plain_http_is_an_error_for_a_host_that_is_not_insecure(registry: Machine) -> None:
    registry.requests()
    with pytest.raises(UntrustedHost) as raised:
        resolve(registry.host, STRICT)
    assert str(raised.value).replace(registry.host, "HOST") == (
        "HOST: speaks no TLS; plain HTTP is for hosts in INSECURE only\n  hint: if that is meant: INSECURE=HOST"
    )
    assert registry.requests() == []


def test_a_refused_connection_is_met_once_and_not_twice(registry: Machine) -> None:
    with FaultProxy(registry.host) as gone:
        pass
    before = time.monotonic()
    with pytest.raises(Unreachable) as raised:
        resolve(gone.host, replace(QUICK, attempts=1))
    assert time.monotonic() - before < 1
    assert str(raised.value).replace(gone.host, "HOST") == (
        "HOST: no connection: Connection refused\n  hint: does the registry run there?"
    )


def test_a_host_that_does_not_exist_is_an_error_that_names_it() -> None:
    assert failure("no-such-host.invalid", replace(QUICK, attempts=1)) == (
        "HOST: no address is known for this name\n  hint: see REGISTRY, and the network"
    )


def test_a_proxy_is_used_and_its_password_is_not_told(registry: Machine) -> None:
    with FaultProxy(registry.host) as proxy:
        url = f"http://someone:hunter2@{proxy.host}"
        settings = replace(QUICK, insecure=("registry.invalid",), environment={"HTTP_PROXY": url, "HTTPS_PROXY": url})
        assert resolve("registry.invalid:5000", settings) is None
        assert {"HEAD manifest"} <= set(proxy.kinds())
        assert any(seen.path.startswith("http://registry.invalid:5000/v2/team/demo/") for seen in proxy.seen)
    text = failure("registry.invalid:5000", settings)
    assert (
        text
        == "HOST: the proxy for it cannot be reached (tried 3 times)\n  hint: see HTTPS_PROXY, ALL_PROXY and NO_PROXY"
    )


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy"])
def test_a_proxy_for_everything_is_used_where_no_other_is_named(registry: Machine, name: str) -> None:
    with FaultProxy(registry.host) as proxy, FaultProxy(registry.host) as other:
        everywhere = {name: f"http://{proxy.host}"}
        settings = replace(QUICK, insecure=(*QUICK.insecure, "registry.invalid"), environment=everywhere)
        assert resolve("registry.invalid:5000", settings) is None
        assert "HEAD manifest" in proxy.kinds()
        proxy.forget()
        both = {**everywhere, "http_proxy": f"http://{other.host}", "HTTPS_PROXY": f"http://{other.host}"}
        assert resolve("registry.invalid:5000", replace(settings, environment=both)) is None
        assert (proxy.connections, "HEAD manifest" in other.kinds()) == (0, True)
        assert resolve(registry.host, settings) is None  # this machine itself is behind no proxy
        assert proxy.connections == 0


@pytest.mark.parametrize("insecure", [(), ("registry.invalid",)], ids=["HTTPS", "either"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
def test_a_proxy_that_speaks_socks_is_one_error_and_is_not_passed_by(name: str, insecure: tuple[str, ...]) -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        named = {name: f"socks5h://someone:hunter2@{proxy.host}/"}
        settings = replace(STRICT, insecure=insecure, environment={**named, "ALL_PROXY": named[name]})
        assert failure("registry.invalid:5000", settings).replace(proxy.host, "PROXY") == (
            "HOST: the proxy for it, socks5h://PROXY, does not speak HTTP, and nothing else is spoken here\n"
            "  hint: name one that does in HTTPS_PROXY, or this host in NO_PROXY"
        )
        assert (
            resolve_directly(settings)
            == "HOST: no address is known for this name\n  hint: see REGISTRY, and the network"
        )
        assert proxy.connections == 0


def resolve_directly(settings: Settings) -> str:
    """Return the failure of a host that NO_PROXY names."""
    environment = {**settings.environment, "no_proxy": "registry.invalid"}
    return failure("registry.invalid:5000", replace(settings, attempts=1, environment=environment))


def test_a_connection_with_the_tickets_of_tls_1_3_in_it_is_used_again(secure: FaultProxy) -> None:
    wire = Client(QUICK, threading.Event())
    for _ in range(2):
        assert wire.send("HEAD", f"https://{secure.host}/v2/", ()).status == 200
        time.sleep(0.3)  # until they are there
    assert secure.connections == 1


def test_a_host_that_was_given_up_is_not_tried_again_at_once(registry: Machine) -> None:
    with FaultProxy(registry.host) as proxy:
        made = Transport(QUICK, Credentials({}, Path("/nowhere")))
        told = []
        for change in (proxy.refuse, proxy.listen):
            change()
            with pytest.raises(Unreachable) as raised:
                Registry(made, Reference(proxy.host, "team/demo")).resolve("v1")
            told.append(str(raised.value).replace(proxy.host, "HOST"))
        assert (
            told
            == ["HOST: no connection: Connection refused (tried 3 times)\n  hint: does the registry run there?"] * 2
        )
        assert proxy.connections == 0
        assert resolve(proxy.host, QUICK) is None


def test_a_port_where_nobody_listens_is_tried_four_times_at_most(registry: Machine) -> None:
    with FaultProxy(registry.host) as gone:
        pass
    assert "(tried 4 times)" in failure(gone.host, replace(QUICK, attempts=9))


@pytest.mark.parametrize(
    ("number", "tried"), [(socket.EAI_NONAME, ""), (socket.EAI_AGAIN, " (tried 3 times)")], ids=["unknown", "not told"]
)
def test_a_name_that_does_not_exist_is_looked_up_once(number: int, tried: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "as a name server says it")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert failure("registry.invalid", replace(QUICK, attempts=9)) == (
        f"HOST: no address is known for this name{tried}\n  hint: see REGISTRY, and the network"
    )


def test_a_registry_that_comes_back_is_waited_for(registry: Machine) -> None:
    with FaultProxy(registry.host) as proxy:
        assert resolve(proxy.host, QUICK) is None
        proxy.refuse(0.2)
        assert resolve(proxy.host, replace(QUICK, backoff=0.1, attempts=5)) is None
