"""Through a proxy, over TLS or not: what the proxy is told, and what it never sees.

RFC 9112 §3.2.2 (absolute-form), RFC 9110 §9.3.6 (CONNECT), §11.7 (Proxy-Authorization).
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from certificates import Certificate
from faults import Head, read_head
from machines.listening import Listener
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.client import Client
from multiarch_oci.store.http.exchange import Settings

SETTINGS = Settings(connect_timeout=3, read_timeout=5, insecure=())
LOGIN = "Basic " + base64.b64encode(b"someone:hunter 2").decode()
NO_PROXY = "registry.invalid:5000: the proxy for it cannot be reached\n  hint: see HTTPS_PROXY, ALL_PROXY and NO_PROXY"


@dataclass
class Peer(Listener):
    """A server that answers every request; CONNECT, by passing on to `upstream` or with the status `refusal`."""

    tls: ssl.SSLContext | None = None
    upstream: str = ""
    refusal: bytes = b""
    heads: list[Head] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    protocols: list[str | None] = field(default_factory=list)

    @property
    def firsts(self) -> list[str]:
        return [head.first for head in self.heads]

    def serve(self, connection: socket.socket) -> None:
        client = connection
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if self.tls is not None:
                client = secured = stack.enter_context(self.tls.wrap_socket(client, server_side=True))
                self.protocols.append(secured.selected_alpn_protocol())
            stream = stack.enter_context(client.makefile("rb", buffering=0))
            while (head := read_head(stream)) is not None:
                self.heads.append(head)
                left = int(head.get("Content-Length") or 0)
                while left and (block := stream.read(left)):
                    left -= len(block)
                if not head.first.startswith("CONNECT"):
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                elif not self.upstream:
                    client.sendall(self.refusal)
                    return
                else:
                    self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        name, _, port = self.upstream.rpartition(":")
        with socket.create_connection((name, int(port)), timeout=20) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes."""
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)


@pytest.fixture
def registry(certificate: Certificate) -> Iterator[Peer]:
    """A server with TLS, which keeps the names it is called by."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate.certificate, certificate.key)
    own.set_alpn_protocols(["h2", "http/1.1"])
    with Peer(own) as peer:
        own.sni_callback = lambda _, name, __: peer.names.append(name or "")
        yield peer


def wire(settings: Settings, proxy: Peer, scheme: str = "http") -> Client:
    url = f"{scheme}://someone:hunter%202@{proxy.host}/"
    return Client(replace(settings, environment={"HTTP_PROXY": url, "https_proxy": url}), threading.Event())


def told(used: Client, url: str = "https://registry.invalid:5000/v2/") -> str:
    with pytest.raises(MultiarchError) as raised:
        used.send("GET", url, ())
    return str(raised.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_plain_requests_are_sent_to_the_proxy_itself(
    scheme: str, context: ssl.SSLContext, certificate: Certificate
) -> None:
    with Peer(context if scheme == "https" else None) as proxy:
        used = wire(replace(SETTINGS, ca_file=certificate.certificate), proxy, scheme)
        for url in ("http://Registry.invalid:5000/v2/?n=1#x", "http://registry.invalid/"):
            assert used.send("GET", url, ()).content == b"hello"
        assert proxy.firsts == [
            "GET http://registry.invalid:5000/v2/?n=1 HTTP/1.1",
            "GET http://registry.invalid/ HTTP/1.1",
        ]
        assert [head.get("Host") for head in proxy.heads] == ["registry.invalid:5000", "registry.invalid"]
        assert [head.get("Proxy-Authorization") for head in proxy.heads] == [LOGIN, LOGIN]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_over_tls_goes_through_the_proxy_unseen(
    scheme: str, context: ssl.SSLContext, registry: Peer, certificate: Certificate
) -> None:
    with Peer(context if scheme == "https" else None, registry.host) as proxy:
        settings = replace(SETTINGS, insecure=("registry.invalid",), ca_file=certificate.certificate)
        used = wire(settings, proxy, scheme)
        for _ in range(2):
            answer = used.send(
                "PUT", "https://registry.invalid:5000/v2/", (("Authorization", "Bearer x"),), b"a" * 99999
            )
            assert answer.content == b"hello"
        assert proxy.firsts == ["CONNECT registry.invalid:5000 HTTP/1.1"]
        assert dict(proxy.heads[0].headers) == {"Host": "registry.invalid:5000", "Proxy-Authorization": LOGIN}
        assert registry.firsts == ["PUT /v2/ HTTP/1.1"] * 2
        assert (registry.names, registry.protocols) == (["registry.invalid"], ["http/1.1"])
        assert [head.get("Proxy-Authorization") for head in registry.heads] == [None, None]


def test_a_certificate_for_another_name_is_not_trusted_through_a_proxy(
    registry: Peer, certificate: Certificate
) -> None:
    with Peer(upstream=registry.host) as proxy:
        text = told(wire(replace(SETTINGS, ca_file=certificate.certificate), proxy))
        assert "its certificate is not trusted: Hostname mismatch" in text
        assert registry.heads == []


def test_a_proxy_with_an_unknown_certificate_is_told_nothing(context: ssl.SSLContext, registry: Peer) -> None:
    with Peer(context, registry.host) as proxy:
        settings = replace(SETTINGS, insecure=("registry.invalid",))
        assert told(wire(settings, proxy, "https")) == NO_PROXY
        assert proxy.heads == []


REFUSALS = {
    "no login": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", NO_PROXY),
    "not there": (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", NO_PROXY),
    "cut": (b"", "registry.invalid:5000: the connection was cut"),
    "no HTTP": (b"SSH-2.0\r\n", NO_PROXY),
    "more than one length": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", NO_PROXY),
}


@pytest.mark.parametrize(("refusal", "text"), REFUSALS.values(), ids=REFUSALS)
def test_a_proxy_that_lets_nothing_through_is_an_error_without_its_password(refusal: bytes, text: str) -> None:
    with Peer(refusal=refusal) as proxy:
        assert told(wire(SETTINGS, proxy)) == text


@pytest.mark.parametrize("url", ["http://", "http://a b:1", "http://proxy.invalid:99999", "http://proxy.invalid"])
def test_a_proxy_that_is_no_host_or_not_there_is_an_error_that_names_the_variables(url: str) -> None:
    used = Client(replace(SETTINGS, environment={"ALL_PROXY": url}), threading.Event())
    assert told(used) == NO_PROXY


def test_an_ipv6_address_is_told_to_a_proxy_in_brackets(registry: Peer) -> None:
    with Peer(upstream=registry.host) as proxy:
        used = wire(replace(SETTINGS, insecure=("2001:db8::1",)), proxy)
        assert used.send("GET", "https://[2001:DB8::1]:5000/v2/", ()).status == 200
        assert used.send("GET", "https://[2001:db8::1]/v2/", ()).status == 200
        assert proxy.firsts == ["CONNECT [2001:db8::1]:5000 HTTP/1.1", "CONNECT [2001:db8::1]:443 HTTP/1.1"]
        assert [head.get("Host") for head in registry.heads] == ["[2001:db8::1]:5000", "[2001:db8::1]"]


def test_tls_loads_nothing_to_find_out_how_a_host_is_written(registry: Peer) -> None:
    program = """\
import sys, threading
sys.path.insert(0, sys.argv[1])
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.client import Client
print(Client(Settings(), threading.Event()).send("GET", sys.argv[2], ()).content)
print([name for name in ("urllib3", "encodings.idna") if name in sys.modules])
"""
    root = Path(__file__).resolve().parents[2] / "site_scons"
    url = f"https://{registry.host}/v2/".replace("127.0.0.1", "localhost")
    command = [sys.executable, "-X", "dev", "-W", "always", "-c", program, str(root), url]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("b'hello'\n[]\n", "")
    assert registry.names == ["localhost"]


def test_who_waits_for_a_server_behind_two_layers_of_tls_is_free_when_the_run_is_cancelled(
    context: ssl.SSLContext, certificate: Certificate
) -> None:
    cancelled = threading.Event()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with Peer(context, f"127.0.0.1:{silent.getsockname()[1]}") as proxy:
            url = f"https://{proxy.host}"
            settings = replace(
                SETTINGS, connect_timeout=60, environment={"ALL_PROXY": url}, ca_file=certificate.certificate
            )
            threading.Timer(0.5, cancelled.set).start()
            with pytest.raises(MultiarchError) as raised:
                Client(settings, cancelled).send("GET", "https://registry.invalid/", ())
            assert str(raised.value) == "stopped"
