"""One exchange, byte by byte: what is sent, what is made of what comes back, which connection is used again.

RFC 9112 (HTTP/1.1), RFC 9110 §9.3.6 (CONNECT), §10.1.2, §15.
"""

from __future__ import annotations

import io
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from faults import Head, read_head
from machines.listening import Listener
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.http.client import Client
from multiarch_oci.store.http.errors import AnswerTooLarge, Cancelled, Interrupted, Unreachable
from multiarch_oci.store.http.exchange import Outgoing, Settings, UnreadableContent
from multiarch_oci.store.http.hosts import UnusableUrl

SETTINGS = Settings(connect_timeout=3, read_timeout=5)
CUT = "HOST: the connection was cut"
NOTHING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Asked:
    """A request as it arrived: on which connection, its head and its body."""

    connection: int
    head: Head
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.head.headers if key.lower() == name.lower()]


@dataclass
class Scripted(Listener):
    """A server that answers by the bytes it was given, in turn; b"" and the last of all end the connection.

    With `early` it reads no body. Each connection is kept as long as the answers allow.
    """

    answers: list[bytes]
    early: bool = False
    end: bool = True
    asked: list[Asked] = field(default_factory=list)

    def __exit__(self, *how: object) -> None:
        super().__exit__()
        for connection in self.connections:
            connection.close()

    @property
    def url(self) -> str:
        return f"http://{self.host}/v2/"

    def serve(self, connection: socket.socket) -> None:
        number = self.connections.index(connection) + 1
        with connection.makefile("rb") as stream:
            while self.answers and (head := read_head(stream)) is not None:
                body = b"" if self.early else stream.read(int(head.get("Content-Length") or 0))
                self.asked.append(Asked(number, head, body))
                answer = self.answers.pop(0)
                connection.sendall(answer)
                if not answer or b"close" in answer:
                    break
        if self.end:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def wire(settings: Settings = SETTINGS, cancelled: threading.Event | None = None) -> Client:
    return Client(settings, threading.Event() if cancelled is None else cancelled)


def failure(ask: Callable[[], object], server: Scripted) -> MultiarchError:
    with pytest.raises(MultiarchError) as raised:
        ask()
    raised.value.args = (str(raised.value).replace(server.host, "HOST"),)
    return raised.value


def told(ask: Callable[[], object], server: Scripted) -> str:
    return str(failure(ask, server).args[0])


def content(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


KEPT = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", b""),
    "no content": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
    "empty": ("GET", NOTHING, b""),
    "a length": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunks": (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n",
        b"hello",
    ),
    "an error": ("GET", b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "length twice": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 05\r\n\r\nhello", b"hello"),
    "line feeds alone": ("GET", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", b"hello"),
    "no reason": ("GET", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "after 102 and 103": (
        "GET",
        (
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\nContent-Length: 9\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        ),
        b"hello",
    ),
    "after 100": ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "HTTP/1.0, kept": ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
}


@pytest.mark.parametrize(("method", "answer", "body"), KEPT.values(), ids=KEPT)
def test_a_connection_whose_answer_was_read_to_its_end_is_used_again(method: str, answer: bytes, body: bytes) -> None:
    with Scripted([answer, answer, NOTHING]) as server:
        used = wire()
        assert [used.send(method, server.url, ()).content for _ in range(2)] == [body, body]
        used.send("GET", server.url, ())
        assert [asked.connection for asked in server.asked] == [1, 1, 1]


ENDED = {
    "Connection: close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nX: close\r\n\r\nhello",
    "no length": b"HTTP/1.1 200 OK\r\nX: close\r\n\r\nhello",
    "HTTP/1.0, no length": b"HTTP/1.0 200 OK\r\nX: close\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", ENDED.values(), ids=ENDED)
def test_a_connection_that_ends_with_its_answer_is_not_used_again(answer: bytes) -> None:
    with Scripted([answer, NOTHING]) as server:
        used = wire()
        assert used.send("GET", server.url, ()).content == b"hello"
        assert used.send("GET", server.url, ()).status == 200
        assert [asked.connection for asked in server.asked] == [1, 2]


@pytest.mark.parametrize(
    "left", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"], ids=["ended", "said"]
)
def test_an_idle_connection_that_the_server_is_done_with_is_not_used(left: bytes) -> None:
    with Scripted([NOTHING, NOTHING], end=False) as server:
        used = wire()
        used.send("GET", server.url, ())
        if left:
            server.connections[0].sendall(left)
        else:
            server.connections[0].shutdown(socket.SHUT_WR)
        time.sleep(0.1)  # until it has arrived
        assert used.send("PUT", server.url, (), b"once").status == 200
        assert [(asked.connection, asked.body) for asked in server.asked] == [(1, b""), (2, b"once")]


def test_a_connection_whose_answer_was_not_read_is_not_used_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000
    with Scripted([answer, NOTHING]) as server:
        used = wire()
        stream = used.send("GET", server.url, (), stream=True).stream
        assert stream is not None
        assert stream.read(10) == b"x" * 10
        stream.close()
        assert used.send("GET", server.url, ()).content == b""
        assert [asked.connection for asked in server.asked] == [1, 2]


def test_a_connection_whose_answer_did_not_come_whole_is_not_used_again() -> None:
    with Scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", NOTHING], end=False) as server:
        used = wire()
        stream = used.send("GET", server.url, (), stream=True).stream
        assert stream is not None
        assert stream.read(5) == b"hello"
        stream.close()
        assert used.send("GET", server.url, ()).status == 200
        assert [asked.connection for asked in server.asked] == [1, 2]


def test_a_stream_that_was_read_to_its_end_leaves_its_connection() -> None:
    with Scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", NOTHING]) as server:
        used = wire()
        stream = used.send("GET", server.url, (), stream=True).stream
        assert stream is not None
        assert [stream.read(3), stream.read(3), stream.read(3)] == [b"hel", b"lo", b""]
        stream.close()
        used.send("GET", server.url, ())
        assert [asked.connection for asked in server.asked] == [1, 1]


SHORT = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: close\r\n\r\nhello",
    "before the body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: close\r\n\r\n",
    "before a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n9\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n9\r\nhello",
    "after a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n5\r\nhello\r\n",
    "in the trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
    "nothing": b"",
    "in the status": b"HTTP/1.1 200 close",
    "in the head": b"HTTP/1.1 200 OK\r\nX: close\r\n",
    "after an interim head": b"HTTP/1.1 103 Early Hints\r\nX: close\r\n\r\n",
}


@pytest.mark.parametrize("answer", SHORT.values(), ids=SHORT)
def test_an_answer_that_is_cut_is_an_interruption(answer: bytes) -> None:
    with Scripted([answer]) as server:
        error = failure(lambda: wire().send("GET", server.url, ()), server)
        assert (type(error), error.args) == (Interrupted, (CUT,))


@pytest.mark.parametrize("size", [100, 5])  # of five bytes that came
def test_what_came_of_a_stream_is_given_before_it_is_told_that_it_was_cut(size: int) -> None:
    with Scripted([SHORT["a length"]]) as server:
        stream = wire().send("GET", server.url, (), stream=True).stream
        assert stream is not None
        assert stream.read(size) == b"hello"
        assert told(lambda: stream.read(size), server) == CUT
        stream.close()


def test_a_manifest_without_end_is_not_read_to_it() -> None:
    with Scripted([b"HTTP/1.1 200 OK\r\nX: close\r\n\r\n" + b"x" * (5 << 20)]) as server:
        assert isinstance(failure(lambda: wire().send("GET", server.url, ()), server), AnswerTooLarge)


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("status", [401, 403, 413])
def test_an_answer_before_the_body_was_sent_is_an_answer(status: int, *, abrupt: bool) -> None:
    answer = b"HTTP/1.1 %d No\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge" % status
    with Scripted([answer], early=True, end=False) as server:
        sent = []

        def read() -> None:
            while not server.asked:
                time.sleep(0.01)
            time.sleep(0.1)
            if abrupt:
                server.connections[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
            server.connections[0].close()

        threading.Thread(target=read, daemon=True).start()
        body = Outgoing(content(b"x" * (32 << 20)), 32 << 20, lambda: sent.append(1))
        got = wire().send("PUT", server.url, (("Content-Length", str(32 << 20)),), body)
        assert (got.status, got.content) == (status, b"large")
        assert len(sent) < 128  # blocks of 256 KiB


def test_a_body_goes_out_in_blocks_and_is_never_more_than_was_said() -> None:
    with Scripted([NOTHING]) as server:
        sizes: list[int] = []

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                sizes.append(size or 0)
                return super().read(size)

        body = Outgoing(lambda: Counted(b"x" * 700000), 600000, lambda: None)
        wire().send("PATCH", server.url, (("Content-Length", "600000"),), body)
        assert server.asked[0].body == b"x" * 600000
        assert sizes == [1 << 18, 1 << 18, 600000 - (2 << 18)]
        assert (server.asked[0].all("Content-Length"), server.asked[0].all("Transfer-Encoding")) == (["600000"], [])


def test_content_that_cannot_be_read_ends_the_request_and_its_connection() -> None:
    with Scripted([NOTHING, NOTHING]) as server:
        used = wire()
        body = Outgoing(content(b"short"), 9, lambda: None)
        error = failure(lambda: used.send("PUT", server.url, (("Content-Length", "9"),), body), server)
        assert (type(error), error.args) == (UnreadableContent, ("the content ended 4 bytes too early",))
        assert used.send("GET", server.url, ()).status == 200
        assert [asked.connection for asked in server.asked if asked.head.first.startswith("GET")] == [2]


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("HEAD", None, []),
        ("GET", None, []),
        ("DELETE", None, []),
        ("POST", None, ["0"]),
        ("PUT", b"", ["0"]),
        ("POST", b"a=b", ["3"]),
    ],
)
def test_each_request_says_once_what_it_is(method: str, body: bytes | None, length: list[str]) -> None:
    with Scripted([NOTHING]) as server:
        wire().send(method, server.url, (("Accept", "a, b"),), body)
        asked = server.asked[0]
        assert asked.head.first == f"{method} /v2/ HTTP/1.1"
        assert asked.body == (body or b"")
        assert {name: asked.all(name) for name, _ in asked.head.headers} == {
            "Host": [server.host],
            "User-Agent": ["multiarch/1"],
            "Accept-Encoding": ["identity"],
            "Accept": ["a, b"],
        } | ({"Content-Length": length} if length else {})


def test_a_url_is_sent_as_one_line_whatever_it_holds() -> None:
    with Scripted([NOTHING]) as server:
        wire().send("GET", f"http://{server.host}/a b/ü\r\nX: y/%2f?q=%zz\n#f", ())
        assert server.asked[0].head.first == "GET /a%20b/%C3%BC%0D%0AX:%20y/%2f?q=%zz%0A HTTP/1.1"


@pytest.mark.parametrize("header", [("X", "a\r\nY: b"), ("X", "a\nY: b"), ("X: a\r\nY", "b")])
def test_a_header_cannot_bring_another(header: tuple[str, str]) -> None:
    with Scripted([NOTHING]) as server:
        used = wire()
        with pytest.raises(ValueError, match="Invalid header"):
            used.send("GET", server.url, (header,))
        used.send("GET", server.url, ())
        assert [asked.head.get("Y") for asked in server.asked] == [None]


@pytest.mark.parametrize(
    "url", ["ftp://r.example/", "http:///x", "http://a b/", "http://u:p@r.example/", "http://r.example:0/"]
)
def test_what_is_no_url_is_an_error_and_no_traceback(url: str) -> None:
    with pytest.raises(UnusableUrl) as raised:
        wire().send("GET", url, ())
    assert "u:p" not in str(raised.value)


def test_headers_are_found_in_any_case_unfolded_and_joined() -> None:
    answer = (
        b'HTTP/1.1 401 No\r\nlink: <a>\r\n  ; rel="next"\r\nLINK: <b>\r\n'
        b'WWW-Authenticate: Basic realm="a"\r\nwww-authenticate: Bearer realm="b"\r\nContent-Length: 0\r\n\r\n'
    )
    with Scripted([answer]) as server:
        got = wire().send("GET", server.url, ())
        assert got.headers.get("Link") == '<a> ; rel="next", <b>'
        assert got.challenges == ('Basic realm="a"', 'Bearer realm="b"')
        assert ("content-length" in got.headers, got.headers.get("Location")) == (True, None)


def test_a_server_that_says_nothing_is_waited_for_as_long_as_is_said() -> None:
    with Scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"], end=False) as server:
        used = wire(Settings(connect_timeout=3, read_timeout=0.2))
        assert told(lambda: used.send("GET", server.url, ()), server) == "HOST: no answer within 0.2 s"
        assert (
            told(lambda: used.send("GET", server.url, (), read_timeout=0.1), server) == "HOST: no answer within 0.1 s"
        )


def test_a_server_that_says_nothing_while_tls_begins_is_waited_for_as_for_a_connection() -> None:
    with Scripted([], end=False) as server:
        used = wire(Settings(connect_timeout=0.2, read_timeout=60))
        assert told(lambda: used.send("GET", f"https://{server.host}/", ()), server) == "HOST: no answer within 0.2 s"


def test_a_reset_is_an_interruption() -> None:
    with Scripted([], end=False) as server:

        def reset() -> None:
            while not server.connections:
                time.sleep(0.01)
            time.sleep(0.05)
            server.connections[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.connections[0].close()

        threading.Thread(target=reset, daemon=True).start()
        assert told(lambda: wire().send("GET", server.url, ()), server) == CUT


@pytest.fixture
def cancelled() -> Iterator[threading.Event]:
    event = threading.Event()
    threading.Timer(0.3, event.set).start()
    yield event
    event.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_waits_is_free_when_the_run_is_cancelled(scheme: str, cancelled: threading.Event) -> None:
    with Scripted([], end=False) as server:
        begun = time.monotonic()
        with pytest.raises(Cancelled):
            wire(Settings(connect_timeout=60, read_timeout=60), cancelled).send("GET", f"{scheme}://{server.host}/", ())
        assert time.monotonic() - begun < 10


def test_a_body_that_nobody_takes_ends_when_the_run_is_cancelled(cancelled: threading.Event) -> None:
    with Scripted([b"HTTP/1.1 200 OK\r\n"], early=True, end=False) as server:
        body = Outgoing(content(b"x" * (64 << 20)), 64 << 20, lambda: None)
        with pytest.raises(Cancelled):
            wire(Settings(read_timeout=60), cancelled).send(
                "PUT", server.url, (("Content-Length", str(64 << 20)),), body
            )


def test_nothing_is_asked_once_the_run_is_cancelled() -> None:
    event = threading.Event()
    event.set()
    with Scripted([NOTHING]) as server:
        with pytest.raises(Cancelled):
            wire(SETTINGS, event).send("GET", server.url, ())
        assert server.connections == []


def test_the_first_address_that_takes_a_connection_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted([NOTHING]) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = int(server.host.rpartition(":")[2])
        tried = [("127.0.0.1", closed.getsockname()[1]), ("127.0.0.1", port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in tried]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        assert wire().send("GET", "http://r.example/", ()).status == 200
        assert server.asked[0].head.get("Host") == "r.example"
        found[1] = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 1))  # no way there
        with pytest.raises(Unreachable) as raised:
            wire().send("GET", "http://r.example/", ())
        assert str(raised.value).startswith("r.example: no connection: Connection refused")


def test_an_exchange_warns_of_nothing_and_loads_nothing_that_it_does_not_need() -> None:
    program = """\
import sys, threading
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.client import Client
print(Client(Settings(), threading.Event()).send("GET", sys.argv[1], ()).content)
print([name for name in ("http", "email", "urllib3", "encodings.idna", "requests") if name in sys.modules])
"""
    root = Path(__file__).resolve().parents[2] / "site_scons"
    with Scripted([KEPT["a length"][1]]) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        command = [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "always",
            "-c",
            f"import sys; sys.path.insert(0, {str(root)!r})\n{program}",
            url,
        ]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("b'hello'\n[]\n", "")
