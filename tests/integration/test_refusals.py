"""Refusals in other words than the specification's: by pages, and only of what does not come alone.

OCI distribution spec 1.1, "Error Codes"; RFC 9110 §15.5.4.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from machines.odd import Call, OddRegistry, Reply
from machines.registry import hold_port
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import LAYER_GZIP, MANIFEST
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.errors import Forbidden
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.hosts import LOOPBACK
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.tags import resolve_all

PAGE = b"<html><head><title>Request blocked &amp; logged</title></head><body><h1>no</h1></body></html>"


def transport() -> Transport:
    return Transport(Settings(backoff=0.01, attempts=2), Credentials({}, Path("/nowhere")))


def blob(text: bytes = b"blob") -> tuple[Descriptor, Callable[[], io.BytesIO]]:
    return Descriptor.of(LAYER_GZIP, text), lambda: io.BytesIO(text)


def put_blob(store: Registry) -> None:
    store.put(*blob())


def put_manifest(store: Registry) -> None:
    store.put(Descriptor.of(MANIFEST, b"{}"), lambda: io.BytesIO(b"{}"))


def look(store: Registry) -> None:
    store.resolve("v1")


def look_by_digest(store: Registry) -> None:
    store.resolve(str(Descriptor.of(MANIFEST, b"{}").digest))


def has_blob(store: Registry) -> None:
    store.has(blob()[0])


def pull(store: Registry) -> None:
    store.open(blob()[0]).read()


@pytest.mark.parametrize("status", [400, 403, 405, 413, 418, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (put_blob, "POST"),
        (put_blob, "PUT blob"),
        (put_manifest, "PUT manifest"),
        (look, "manifest"),
        (pull, "GET blob"),
    ],
    ids=["POST", "PUT of a blob", "PUT of a manifest", "a tag", "GET of a blob"],
)
def test_a_page_is_told_by_its_title(act: Callable[[Registry], None], kind: str, status: int) -> None:
    with OddRegistry() as registry:
        registry.bend = lambda call, usual: (
            Reply(status, {"Content-Type": "text/html"}, PAGE) if kind in call.kind else usual()
        )
        with pytest.raises(MultiarchError) as raised:
            act(Registry(transport(), Reference(registry.host, "team/demo")))
    assert f"{status} Request blocked & logged" in raised.value.what
    assert "<" not in str(raised.value)


@pytest.mark.parametrize("status", [400, 403, 405, 408, 500, 501, 503])
@pytest.mark.parametrize("act", [look, look_by_digest, has_blob], ids=["a tag", "a digest", "a blob"])
def test_why_a_head_is_refused_stands_in_the_answer_to_a_get(act: Callable[[Registry], None], status: int) -> None:
    with OddRegistry() as registry:
        registry.bend = lambda _, __: Reply(status, {"Content-Type": "text/html"}, PAGE)
        with pytest.raises(MultiarchError) as raised:
            act(Registry(transport(), Reference(registry.host, "team/demo")))
        assert f"{status} Request blocked & logged" in raised.value.what
        assert [call.method for call in registry.calls] == ["HEAD", "GET"]


@pytest.mark.parametrize("status", [400, 403, 405, 500, 501, 503])
def test_what_knows_no_head_is_asked_by_get(status: int) -> None:
    with OddRegistry() as registry:
        registry.bend = lambda call, usual: Reply(status) if call.method == "HEAD" else usual()
        store = Registry(transport(), Reference(registry.host, "team/demo"))
        store.put(*blob())
        assert store.has(blob()[0])
        assert not store.has(blob(b"other")[0])
        assert store.resolve("v1") is None
        store.tag("v1", Descriptor.of(MANIFEST, b"{}"), lambda: io.BytesIO(b"{}"))
        assert store.resolve("v1") == Descriptor.of(MANIFEST, b"{}")


S3 = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Request has expired</Message><AWSAccessKeyId>AKIA0123</AWSAccessKeyId></Error>"""
HTML = b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body><p>No access from your country</p></body></html>"
ECHO = b"the URL https://storage/x?sig=ab%2Fcdefghij was not signed by us: ab/cdefghij\n"


@pytest.mark.parametrize("status", [403, 400, 404, 416, 500, 503])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (S3, "AccessDenied: Request has expired"),
        (HTML, "No access from your country"),
        (ECHO, "the URL https://storage/x?sig=*** was not signed by us: ***"),
        (b'{"error": {"code": 7, "message": "bucket gone"}}', "bucket gone"),
        (b"", ""),
    ],
    ids=["S3", "a page", "an echo", "Google", "nothing"],
)
@pytest.mark.parametrize(
    ("act", "kinds"),
    [
        (put_blob, ("POST",)),
        (put_blob, ("PUT blob",)),
        (put_manifest, ("PUT manifest",)),
        (pull, ("GET blob",)),
        (has_blob, ("HEAD blob", "GET blob")),
    ],
    ids=["POST", "PUT of a blob", "PUT of a manifest", "GET of a blob", "HEAD of a blob"],
)
def test_a_storage_that_refuses_says_why_and_its_signature_is_not_shown(
    act: Callable[[Registry], None], kinds: tuple[str, ...], content: bytes, words: str, status: int
) -> None:
    if status == 404 and act in (pull, has_blob, put_blob):
        pytest.skip("absent, or a session that is gone")
    if status == 416 and kinds == ("PUT blob",):
        pytest.skip("a session that is gone")
    with OddRegistry() as registry, OddRegistry() as storage:
        target = {"Location": f"http://{storage.host}/bucket/blob?sig=ab%2Fcdefghij&X-Amz-Expires=300"}
        registry.bend = lambda call, usual: Reply(307, target) if call.kind in kinds else usual()
        storage.bend = lambda _, __: Reply(status, {"Content-Type": "text/plain"}, content)
        with pytest.raises(MultiarchError) as raised:
            act(Registry(transport(), Reference(registry.host, "team/demo")))
        text = str(raised.value)
        assert f"{storage.host}, where the registry sent us, " in text
        assert f"{status} {words}".strip() in text
        assert "cdefghij" not in text
        assert "AKIA" not in text


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("http://storage.invalid:9000/x", "storage.invalid:9000: no address is known for this name"),
        ("http://127.0.0.1:{port}/x", "127.0.0.1:{port}: no connection: Connection refused (tried 2 times)"),
        ("https://storage.invalid:9000/x", "storage.invalid:9000: no address is known for this name"),
    ],
    ids=["a name of its own network", "a port where nobody listens", "by TLS"],
)
@pytest.mark.parametrize(
    ("act", "kinds"),
    [(put_blob, ("PUT blob",)), (pull, ("GET blob",)), (has_blob, ("HEAD blob", "GET blob"))],
    ids=["PUT of a blob", "GET of a blob", "HEAD of a blob"],
)
def test_a_storage_that_cannot_be_reached_is_said_to_be_the_registrys(
    act: Callable[[Registry], None], kinds: tuple[str, ...], target: str, what: str
) -> None:
    insecure = (*LOOPBACK, "storage.invalid")
    with OddRegistry() as registry, hold_port() as closed:
        port = str(closed.getsockname()[1])
        location = {"Location": target.replace("{port}", port)}
        registry.bend = lambda call, usual: Reply(307, location) if call.kind in kinds else usual()
        made = Transport(Settings(backoff=0.01, attempts=2, insecure=insecure), Credentials({}, Path("/nowhere")))
        with pytest.raises(MultiarchError) as raised:
            act(Registry(made, Reference(registry.host, "team/demo")))
        hint = f"{registry.host}/team/demo keeps its content there, so that host has to be reached from here, too"
        assert str(raised.value) == f"{what.replace('{port}', port)}\n  hint: {hint}"


@pytest.mark.parametrize("login", [True, False], ids=["with a login", "without"])
def test_a_token_service_that_cannot_be_reached_is_said_to_be_the_registrys(login: bool) -> None:
    with OddRegistry() as registry:
        registry.challenges = ('Bearer realm="https://tokens.invalid/auth",service="x"',)
        auths = {"auths": {registry.host: {"auth": base64.b64encode(b"me:secret").decode()}}} if login else {}
        credentials = Credentials({"DOCKER_AUTH_CONFIG": json.dumps(auths)}, Path("/nowhere"))
        with pytest.raises(MultiarchError) as raised:
            look(Registry(Transport(Settings(backoff=0.01, attempts=2), credentials), Reference(registry.host, "a/b")))
        hint = f"{registry.host} takes its tokens from there, so that host has to be reached from here, too"
        assert str(raised.value) == f"tokens.invalid: no address is known for this name\n  hint: {hint}"


class Crowded:
    """Refuses by 403 what comes while another request is under way, `alone` or not."""

    def __init__(self, *, alone: bool = False, kinds: tuple[str, ...] = ("HEAD manifest", "GET manifest")) -> None:
        self.under_way, self.refused, self.most = 0, 0, 0
        self._alone, self._kinds = alone, kinds
        self._lock = threading.Lock()

    def __call__(self, call: Call, usual: Callable[[], Reply]) -> Reply:
        if call.kind not in self._kinds:
            return usual()
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(0.05)
        with self._lock:
            crowded = self.most > 1
            self.under_way -= 1
            self.most = self.most if self.under_way else 0
            self.refused += crowded or self._alone
        return Reply(403, {"Content-Type": "text/html"}, PAGE) if crowded or self._alone else usual()


def test_what_is_refused_beside_others_alone_is_asked_for_alone() -> None:
    with OddRegistry() as registry:
        registry.bend = crowd = Crowded()
        references = [Reference(registry.host, "team/demo", f"v{number}") for number in range(8)]
        found = resolve_all(transport(), references)
    assert set(found.values()) == {None}
    assert crowd.refused > 0


def test_blobs_that_are_refused_beside_others_are_sent_alone() -> None:
    with OddRegistry() as registry:
        registry.bend = crowd = Crowded(kinds=("PUT blob", "POST"))
        store = Registry(transport(), Reference(registry.host, "team/demo"))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: store.put(*blob(b"%d" % number)), range(6)))
        assert len(registry.state.blobs) == 6
    assert crowd.refused > 0


def test_what_is_refused_alone_too_says_so_and_is_not_tried_for_each() -> None:
    with OddRegistry() as registry:
        registry.bend = crowd = Crowded(alone=True)
        references = [Reference(registry.host, "team/demo", f"v{number}") for number in range(8)]
        found = resolve_all(transport(), references)
        errors = [error for error in found.values() if isinstance(error, Forbidden)]
        assert len(errors) == 8
        hints = {error.hint for error in errors}
        assert (
            f"log in with: docker login {registry.host}; it was asked once more with nothing else under way, "
            "and refused again"
        ) in hints
        assert len(registry.calls) <= 8 * 2 + 2  # HEAD and GET of each, and each once more
    assert crowd.refused == len(registry.calls)


def test_what_is_refused_and_was_alone_is_not_asked_again() -> None:
    with OddRegistry() as registry:
        registry.bend = Crowded(alone=True)
        with pytest.raises(Forbidden) as raised:
            Registry(transport(), Reference(registry.host, "team/demo")).resolve("v1")
        assert raised.value.hint == f"log in with: docker login {registry.host}"
        assert [call.kind for call in registry.calls] == ["HEAD manifest", "GET manifest"]


def test_a_cancelled_run_does_not_wait_for_its_turn() -> None:
    cancelled = threading.Event()
    made = Transport(Settings(backoff=0.01), Credentials({}, Path("/nowhere")), cancelled)
    with OddRegistry() as registry:

        def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
            if call.path.endswith("/slow"):
                time.sleep(3)
                return usual()
            time.sleep(0.1)
            return Reply(403, {}, b"")

        registry.bend = bend
        store = Registry(made, Reference(registry.host, "team/demo"))
        threading.Timer(0.5, cancelled.set).start()
        begin = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(store.resolve, name) for name in ("slow", "quick")]
            assert all(isinstance(each.exception(), MultiarchError) for each in both)
        assert time.monotonic() - begin < 2.5
