"""Answers that no server should give, over real sockets: each ends in bounded time, in one error, with no wrong body.

RFC 9112 (§2.2 lines, §4 status line, §5 fields, §6 message body, §7 chunks); RFC 9110 §15.2 (interim answers).
"""

from __future__ import annotations

import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from msgspec.structs import replace

from certificates import certify
from faults import read_head
from machines.listening import Listener
from machines.odd import Call, OddRegistry, Reply
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import LAYER_GZIP, MANIFEST
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry

BODY = b'{"schemaVersion": 2}'
TYPE = b"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + TYPE
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
WHOLE = OK + LENGTH + b"\r\n" + BODY
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SETTINGS = Settings(connect_timeout=2, read_timeout=0.8, low_speed_time=0.4, attempts=2, backoff=0.01)
PATIENT = replace(SETTINGS, read_timeout=3)  # for what ends well, on machines that are busy
Parts = Iterable["bytes | float"]
"""Bytes to be sent, and seconds of silence."""


@dataclass
class Server(Listener):
    """Answers every request by `answer`, made anew for each, and ends the connection after it unless it is `kept`.

    With `tls` it speaks nothing else; without, TLS is refused, as by a server that knows nothing of it. It takes so
    many bytes of a body a second, when `takes` says how many.
    """

    answer: Callable[[], Parts]
    kept: bool = False
    tls: ssl.SSLContext | None = None
    takes: int | None = None
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        super().__exit__()

    def serve(self, connection: socket.socket) -> None:
        try:
            hello = connection.recv(1, socket.MSG_PEEK) == b"\x16"
            if hello and self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            elif hello or self.tls is not None:
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            with connection.makefile("rb") as stream:
                while self._one(connection, stream):
                    pass
        finally:
            connection.close()

    def _one(self, connection: socket.socket, stream: BinaryIO) -> bool:
        head = read_head(stream)
        if head is None:
            return False
        self.asked.append(head.first)
        length = int(head.get("Content-Length") or 0)
        if self.takes is None or not length:
            stream.read(length)
        else:
            for _ in range(length // max(1, self.takes // 20)):
                connection.recv(self.takes // 20) if self.takes else None
                if self.over.wait(0.05):
                    return False
        for part in self.answer():
            if isinstance(part, bytes):
                connection.sendall(part)
            elif self.over.wait(part):
                return False
        return self.kept


def slowly(content: bytes, seconds: float = 0.05) -> Iterator[bytes | float]:
    for byte in content:
        yield bytes([byte])
        yield seconds


def endless(before: bytes, part: bytes, seconds: float = 0.0) -> Callable[[], Parts]:
    def parts() -> Iterator[bytes | float]:
        yield before
        while True:
            yield part
            if seconds:
                yield seconds

    return parts


def whole(*content: bytes) -> Callable[[], Parts]:
    return lambda: list(content)


def chunk(size: bytes, after: bytes = b"\r\n0\r\n\r\n") -> Callable[[], Parts]:
    return whole(CHUNKED + size + b"\r\n" + BODY + after)


SIZE = b"%x" % len(BODY)
HEADS = {
    "nothing": whole(b""),
    "no HTTP": whole(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "a banner of FTP": whole(b"220 ready\r\n"),
    "HTTP/0.9": whole(b"<html>fine</html>\r\n"),
    "HTTP/0.9 said": whole(WHOLE.replace(b"HTTP/1.1", b"HTTP/0.9")),
    "HTTP/2 said": whole(WHOLE.replace(b"HTTP/1.1", b"HTTP/2")),
    "HTTP/2.0 said": whole(WHOLE.replace(b"HTTP/1.1", b"HTTP/2.0")),
    "the preface of HTTP/2": whole(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "frames of HTTP/2": whole(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64" + bytes(20)),
    "ICY": whole(WHOLE.replace(b"HTTP/1.1", b"ICY")),
    "http": whole(WHOLE.replace(b"HTTP/1.1", b"http/1.1")),
    "HTTP/1": whole(WHOLE.replace(b"HTTP/1.1", b"HTTP/1")),
    "HTTP/1.1x": whole(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.1x")),
    "HTTP/1.10": whole(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.10")),
    "a blank before": whole(b" " + WHOLE),
    "an empty line before": whole(b"\r\n" + WHOLE),
    "no status": whole(b"HTTP/1.1 fine\r\n\r\n"),
    "only a version": whole(b"HTTP/1.1\r\n\r\n"),
    **{
        f"the status {status.decode()!r}": whole(WHOLE.replace(b" 200 ", b" " + status + b" "))
        for status in (b"+200", b"-200", b"2_0_0", b"0200", b"20", b"2000", b"0", b"99", b"600", b"999", b"2e2", b" 200")
    },
    "a tab before the status": whole(WHOLE.replace(b" 200 ", b"\t200 ")),
    "two blanks before the status": whole(WHOLE.replace(b" 200 ", b"  200 ")),
    "NUL in the reason": whole(WHOLE.replace(b"OK", b"O\0K")),
    "CR in the reason": whole(WHOLE.replace(b"OK", b"O\rK")),
    "101": whole(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", WHOLE),
    "101 alone": whole(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "102 alone": whole(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 alone": whole(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n"),
    "100 without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 without end": endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 without end": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"),
    "199 without end": endless(b"", b"HTTP/1.1 199 Well\r\n\r\n"),
    "100 without end, slowly": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
    "headers without end": endless(OK, b"X-More: and more\r\n"),
    "headers without end, slowly": endless(OK, b"X-More: and more\r\n", 0.05),
    "a header without end": endless(OK + b"X: ", b"x" * 1000),
    "a header without end, slowly": endless(OK + b"X: ", b"x", 0.05),
    "a folded header without end": endless(OK + b"X: y\r\n", b" and more\r\n"),
    "a status line without end": endless(b"HTTP/1.1 200 ", b"x" * 1000),
    "a huge header": whole(OK + b"X: " + b"x" * 70000 + b"\r\n\r\n"),
    "huge headers": whole(OK + (b"X: " + b"x" * 60000 + b"\r\n") * 50 + b"\r\n"),
    "many headers": whole(OK + b"X: y\r\n" * 101 + b"\r\n"),
    "one byte at a time": lambda: slowly(WHOLE),
    "one byte at a time from the second on": lambda: [b"HTTP", *slowly(WHOLE[4:])],
    "silence": lambda: [5.0],
    "silence in the status": lambda: [b"HTTP/1.1 2", 5.0],
    "silence in the head": lambda: [OK, 5.0],
    "silence after 100": lambda: [b"HTTP/1.1 100 Continue\r\n\r\n", 5.0],
    "no colon": whole(OK + b"Oh dear\r\n" + LENGTH + b"\r\n" + BODY),
    "no name": whole(OK + b": x\r\n" + LENGTH + b"\r\n" + BODY),
    "a blank before the colon": whole(OK + LENGTH.replace(b":", b" :") + b"\r\n" + BODY),
    "a blank in a name": whole(OK + b"Content Length: 3\r\n" + LENGTH + b"\r\n" + BODY),
    "a folded line first": whole(b"HTTP/1.1 200 OK\r\n X: y\r\n" + TYPE + LENGTH + b"\r\n" + BODY),
    "NUL in a name": whole(OK + b"X\0Y: z\r\n" + LENGTH + b"\r\n" + BODY),
    "NUL in a value": whole(OK + b"X: y\0z\r\n" + LENGTH + b"\r\n" + BODY),
    "CR in a value": whole(OK + b"X: y\rContent-Length: 3\r\n" + LENGTH + b"\r\n" + BODY),
    "two Content-Lengths": whole(OK + LENGTH + b"Content-Length: 5\r\n\r\n" + BODY),
    "two Content-Lengths in one": whole(OK + b"Content-Length: %d, 5\r\n\r\n" % len(BODY) + BODY),
    "two Content-Lengths, one folded": whole(OK + b"Content-Length: %d,\r\n 5\r\n\r\n" % len(BODY) + BODY),
    **{
        f"Content-Length {length.decode('latin-1')!r}": whole(OK + b"Content-Length: " + length + b"\r\n\r\n" + BODY)
        for length in (
            b"-5", b"+20", b"0x14", b"2_0", b"20.0", b"2e1", b"", b",", b"20,", b"twenty", b"1 0", b"\xb2\xb0", b"9" * 30, b"9" * 5000
        )
    },
    "Content-Length and Transfer-Encoding": whole(
        OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
    ),
    **{
        f"Transfer-Encoding {coding.decode('latin-1')!r}": whole(
            OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
        )
        for coding in (b"", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b"chunked;q=1", b"\x0bchunked")
    },
    "two Transfer-Encodings": whole(
        CHUNKED.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
    ),
    "chunked in HTTP/1.0": whole(
        CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
    ),
}  # fmt: skip
BODIES = {
    **{
        f"a chunk of the size {size.decode('latin-1')!r}": chunk(size)
        for size in (
            b"-5", b"-14", b"+14", b"0x14", b"1_4", b" 14", b"\t14", b"", b";x", b"x", b"14h", b"14 14", b"\xb9\xb4", b"14\0",
            b"14\r", b"f" * 16, b"F" * 5000, b"14;" + b"x" * 5000, b"14;\0",
        )
    },
    "a chunk that is longer than its size": chunk(b"%x" % (len(BODY) - 1)),
    "a chunk that is shorter than its size": chunk(b"%x" % (len(BODY) + 1)),
    "a chunk with another end": chunk(SIZE, b"XX0\r\n\r\n"),
    "a chunk with no end": chunk(SIZE, b"0\r\n\r\n"),
    "chunks without end": endless(CHUNKED, b"1\r\n{\r\n"),
    "chunks with much about them": endless(CHUNKED, b"1;" + b"x" * 4000 + b"\r\n{\r\n"),
    "a chunk size without end": endless(CHUNKED, b"0" * 1000),
    "trailers without end": endless(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n0\r\n", b"X: y\r\n"),
    "trailers without end, slowly": endless(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n0\r\n", b"X: y\r\n", 0.05),
    "a trailer without end": endless(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n0\r\nX: ", b"y" * 1000),
    "a trailer that is none": whole(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n0\r\nX\r\n\r\n"),
    "trailers cut": whole(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n0\r\nX: y\r\n"),
    "no trailers": whole(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n0\r\n"),
    "chunks cut": whole(CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n"),
    "a length cut": whole(OK + LENGTH + b"\r\n" + BODY[:-1]),
    "no length, another end": whole(OK + b"\r\n" + BODY[:-1]),
    "no length, more": whole(OK + b"\r\n" + BODY + b" "),
    "a body at one byte at a time": lambda: [OK + LENGTH + b"\r\n", *slowly(BODY)],
    "chunks at one byte at a time": lambda: [CHUNKED, *slowly(SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n")],
    "a body without length at one byte at a time": endless(OK + b"\r\n", b" ", 0.05),
    "a body without end": endless(OK + b"\r\n", b" " * 10000),
    "silence in the body": lambda: [OK + LENGTH + b"\r\n" + BODY[:5], 5.0],
    "silence in a chunk": lambda: [CHUNKED + SIZE + b"\r\n" + BODY[:5], 5.0],
    "silence before the end": lambda: [CHUNKED + SIZE + b"\r\n" + BODY + b"\r\n", 5.0],
}  # fmt: skip


def manifest(asked: Registry) -> object:
    return asked.open(Descriptor.of(MANIFEST, BODY)).read()


def blob(asked: Registry) -> object:
    return asked.open(Descriptor.of(LAYER_GZIP, BODY)).read()


def tag(asked: Registry) -> object:
    return asked.resolve("v1")


def put(asked: Registry) -> object:
    return asked.put(Descriptor.of(LAYER_GZIP, BODY), lambda: io.BytesIO(BODY))


def store(server: Server, settings: Settings = PATIENT) -> Registry:
    transport = Transport(settings, Credentials({}, Path("/nowhere")))
    return Registry(transport, Reference(server.host, "team/demo"))


def failure(server: Server, ask: Callable[[Registry], object], settings: Settings = SETTINGS) -> str:
    """The one error in which asking ends, in bounded time."""
    begun = time.monotonic()
    with pytest.raises(MultiarchError) as raised:
        ask(store(server, settings))
    assert time.monotonic() - begun < 8
    return str(raised.value).replace(server.host, "HOST")


@pytest.mark.parametrize("ask", [tag, blob, put], ids=["tag", "blob", "put"])
@pytest.mark.parametrize("answer", HEADS.values(), ids=HEADS)
def test_a_head_that_is_none_is_asked_for_again_and_then_one_error(
    answer: Callable[[], Parts], ask: Callable[[Registry], object]
) -> None:
    with Server(answer) as server:
        text = failure(server, ask)
        assert text.startswith("HOST: ")
        assert "tried 2 times" in text
        assert len(server.asked) >= 2


@pytest.mark.parametrize("ask", [manifest, blob], ids=["manifest", "blob"])
@pytest.mark.parametrize("answer", BODIES.values(), ids=BODIES)
def test_a_body_that_is_none_is_one_error(answer: Callable[[], Parts], ask: Callable[[Registry], object]) -> None:
    with Server(answer) as server:
        assert failure(server, ask).startswith("HOST")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    certificate = certify(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


OVER_TLS = ("nothing", "no HTTP", "one byte at a time", "silence", "silence in the head", "100 without end", "headers without end")  # fmt: skip


@pytest.mark.parametrize("answer", [HEADS[name] for name in OVER_TLS], ids=OVER_TLS)
def test_a_head_that_is_none_over_tls_is_one_error(answer: Callable[[], Parts], tls: ssl.SSLContext) -> None:
    with Server(answer, tls=tls) as server:
        assert "tried 2 times" in failure(server, manifest)


IN_TLS = ("a chunk of the size '-5'", "a body at one byte at a time", "silence in the body", "a length cut")


@pytest.mark.parametrize("answer", [BODIES[name] for name in IN_TLS], ids=IN_TLS)
def test_a_body_that_is_none_over_tls_is_one_error(answer: Callable[[], Parts], tls: ssl.SSLContext) -> None:
    with Server(answer, tls=tls) as server:
        assert failure(server, blob).startswith("HOST")


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("takes", [0, 400], ids=["nothing", "a few bytes a second"])
def test_a_server_that_takes_an_upload_too_slowly_is_one_error(
    takes: int, tls: ssl.SSLContext, *, secure: bool
) -> None:
    """So little that it shows behind what the systems at both ends hold for it."""
    content = bytes(32 << 20)
    begun = b"HTTP/1.1 202 Accepted\r\nLocation: /v2/upload\r\nContent-Length: 0\r\n\r\n"
    absent = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    with Server(
        lambda: [begun if server.asked[-1].startswith("POST") else absent], tls=tls if secure else None, takes=takes
    ) as server:
        settings = replace(SETTINGS, read_timeout=5, chunk=64 << 20)
        text = failure(
            server, lambda asked: asked.put(Descriptor.of(LAYER_GZIP, content), lambda: io.BytesIO(content)), settings
        )
        slow = "HOST: the transfer was too slow: less than 1 KiB/s for 0.4 s (tried 2 times)"
        assert text in (slow, "HOST: the connection was cut (tried 2 times)")  # the server's end may be seen first


@pytest.mark.parametrize("part", [b"", b"\x16", b"\x16\x03\x03\x40\x00"], ids=["nothing", "a byte", "a record"])
@pytest.mark.parametrize("insecure", [("127.0.0.1",), ()], ids=["insecure", "strict"])
def test_tls_that_begins_and_never_ends_is_one_error(part: bytes, insecure: tuple[str, ...]) -> None:
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            for byte in iter(lambda: part[:1], None):
                connection.sendall(part + byte)
                if over.wait(0.05):
                    return

    def accept() -> None:
        while not over.is_set():
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        settings = replace(SETTINGS, connect_timeout=0.5, insecure=insecure)
        begun = time.monotonic()
        with pytest.raises(MultiarchError):
            Registry(
                Transport(settings, Credentials({}, Path("/nowhere"))),
                Reference(f"127.0.0.1:{listener.getsockname()[1]}", "team/demo"),
            ).resolve("v1")
        assert time.monotonic() - begun < 6
        over.set()


@pytest.mark.parametrize("answer", [chunk(b"+14"), HEADS["two Content-Lengths"], lambda: [OK, 5.0]])
def test_a_broken_answer_is_forgotten_when_the_next_is_whole(answer: Callable[[], Parts]) -> None:
    answers = [answer(), [WHOLE], [WHOLE]]
    with Server(lambda: answers.pop(0)) as server:
        assert manifest(store(server)) == BODY


def test_what_is_broken_is_said() -> None:
    for answer, text in (
        (HEADS["two Content-Lengths"], "HOST: a broken answer: two different Content-Lengths (tried 2 times)"),
        (HEADS["no HTTP"], "HOST: a broken answer: no status line of HTTP/1.1 (tried 2 times)"),
        (HEADS["one byte at a time"], "HOST: the transfer was too slow: less than 1 KiB/s for 0.4 s (tried 2 times)"),
        (HEADS["silence"], "HOST: no answer within 0.8 s (tried 2 times)"),
    ):
        with Server(answer) as server:
            assert failure(server, manifest) == text


def test_what_takes_all_the_time_it_may_take_is_tried_three_times_at_most() -> None:
    drops = (HEADS["100 without end, slowly"], BODIES["trailers without end, slowly"], HEADS["two Content-Lengths"])
    for answer in (HEADS["one byte at a time"], HEADS["silence"], BODIES["silence in the body"], *drops):
        with Server(answer) as server:
            assert "(tried 3 times)" in failure(server, manifest, replace(SETTINGS, attempts=9))


def test_a_slow_reader_is_no_slow_connection() -> None:
    content = b"x" * (1 << 20)
    with Server(whole(OK + b"Content-Length: %d\r\n\r\n" % len(content), content)) as server:
        with store(server).open(Descriptor.of(LAYER_GZIP, content)) as stream:
            read = stream.read(10)
            time.sleep(1)
            while block := stream.read(1 << 16):
                read += block
        assert read == content
        assert len(server.asked) == 1


@pytest.mark.parametrize("few", [1, 700])
def test_a_blob_that_comes_in_a_few_bytes_a_connection_is_given_up(few: int) -> None:
    content = bytes(range(256)) * 4096

    def answer() -> Parts:
        first = server.asked and len(server.asked) - 1
        return [
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-\r\nContent-Length: 99999\r\n\r\n"
            % (first * few),
            content[first * few : (first + 1) * few],
        ]

    with Server(answer) as server:
        settings = replace(SETTINGS, attempts=4)
        text = failure(server, lambda asked: asked.open(Descriptor.of(LAYER_GZIP, content)).read(), settings)
        assert text == "HOST: the connection was cut"
        assert len(server.asked) < 10


def test_an_upload_that_is_forgotten_again_and_again_goes_up_in_one_piece() -> None:
    content = bytes(range(256)) * 256
    with OddRegistry() as registry:

        def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
            if call.kind == "PATCH" and call.number % 2:  # a server that ends, and had it in its memory alone
                registry.state.sessions[call.path.rpartition("/")[2]].clear()
                return Reply(cut=True)
            return usual()

        registry.bend = bend
        transport = Transport(replace(PATIENT, attempts=4, chunk=1 << 14), Credentials({}, Path("/nowhere")))
        descriptor = Descriptor.of(LAYER_GZIP, content)
        Registry(transport, Reference(registry.host, "team/demo")).put(descriptor, lambda: io.BytesIO(content))
        assert registry.state.blobs == {str(descriptor.digest): content}
        assert len(registry.of("PATCH")) < 12


def test_a_blob_that_is_cut_behind_its_last_byte_is_asked_for_whole_again() -> None:
    """There is no part of it left to ask for (RFC 9110 §15.5.17), and a body without its end is none."""
    with OddRegistry() as registry:
        descriptor = Descriptor.of(LAYER_GZIP, BODY)
        registry.state.blobs[str(descriptor.digest)] = BODY

        def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
            if call.kind != "GET blob" or call.number:
                return Reply(416) if call.headers.get("range") == f"bytes={len(BODY)}-" else usual()
            cut = {"Transfer-Encoding": "chunked", "Connection": "close", "Content-Length": ""}
            return Reply(200, cut, SIZE + b"\r\n" + BODY + b"\r\n")

        registry.bend = bend
        transport = Transport(PATIENT, Credentials({}, Path("/nowhere")))
        assert blob(Registry(transport, Reference(registry.host, "team/demo"))) == BODY


def test_another_part_of_a_blob_than_was_asked_for_is_not_taken() -> None:
    with Server(
        whole(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-26/99\r\n" + LENGTH + b"\r\n" + BODY)
    ) as server:
        assert "the registry sent another part of a blob than was asked for" in failure(server, blob)


UNASKED = {
    "an answer": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    "a success": WHOLE.replace(b"2}", b"3}"),
    "a byte": b"\n",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("late", [0.0, 0.05], ids=["at once", "later"])
@pytest.mark.parametrize("more", UNASKED.values(), ids=UNASKED)
def test_what_was_said_unasked_is_not_the_answer_to_the_next_request(more: bytes, late: float) -> None:
    with Server(lambda: [WHOLE, late, more] if late else [WHOLE + more], kept=True) as server:
        transport = Transport(PATIENT, Credentials({}, Path("/nowhere")))
        for _ in range(3):
            assert manifest(Registry(transport, Reference(server.host, "team/demo"))) == BODY
            time.sleep(0.15)
        assert len(server.asked) == 3


TAKEN = {
    "a number": 300,
    "a text": "300",
    "none": None,
    "a fraction": 299.5,
    "nothing left": 0,
    "negative": -5,
}
NOT_TAKEN = {
    "400 digits": "9" * 400,
    "5000 digits": "9" * 5000,
    "a text of 400 digits": json.dumps("9" * 400),
    "a large number": "1e300",
    "negative and large": "-1e300",
    "not a number": "NaN",
    "infinite": "Infinity",
    "infinite, negative": "-Infinity",
    "a word": '"soon"',
    "a text with a sign": '"-5"',
    "a text with a blank": '" 300"',
    "digits of another script": '"\\u0663\\u0660\\u0660"',
    "an empty text": '""',
    "true": "true",
    "a list": "[300]",
    "an object": '{"seconds": 300}',
}


@contextmanager
def service(expires: str) -> Iterator[Server]:
    """A registry that wants a token, and is the service that gives them: each lives as long as is said."""

    def answer() -> Parts:
        if "/token" in server.asked[-1]:
            token = b'{"token": "t", "expires_in": ' + expires.encode() + b"}"
            return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(token) + token]
        if any("/token" in asked for asked in server.asked):
            return [WHOLE]
        realm = f'Bearer realm="http://{server.host}/token",service="s"'.encode()
        return [b"HTTP/1.1 401 No\r\nWWW-Authenticate: " + realm + b"\r\nContent-Length: 0\r\n\r\n"]

    with Server(answer, kept=True) as server:
        yield server


@pytest.mark.parametrize("expires", TAKEN.values(), ids=TAKEN)
def test_a_token_lives_as_long_as_is_said(expires: object) -> None:
    with service(json.dumps(expires)) as server:
        assert manifest(store(server)) == BODY


@pytest.mark.parametrize("expires", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_a_token_that_lives_for_no_time_that_could_be_meant_is_one_error(expires: str) -> None:
    with service(expires) as server:
        assert failure(server, manifest).startswith("http://HOST/token: ")
