"""Every fault at every kind of request: it succeeds after a retry, or ends in one clear error and a clean resume.

The registry is a real one that wants tokens; the proxy before it is `faults.py`.

OCI distribution spec 1.1: "Pulling blobs", "Pulling manifests", "Pushing blobs", "Pushing Manifests", "Mounting a blob from another
repository", "Error Codes"; RFC 9110 §10.2.3 (Retry-After), §15.4 (redirects), §14 (ranges); RFC 6750 (Bearer).
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from faults import WRONG_DIGEST, FaultProxy
from machines.registry import PASSWORD, USER, registry_program
from machines.required import cache_folder
from machines.tokens import TokenRegistry
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import DigestMismatch
from multiarch_oci.errors import MultiarchError
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, LAYER_GZIP
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.errors import (
    Cancelled,
    RegistryFailed,
    RegistryRefused,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.tags import resolve_all

CACHE = cache_folder()
CHUNK = 64 << 10
SIZE = 3 * CHUNK - 7
QUICK = Settings(backoff=0.02, longest_pause=2.0, chunk=CHUNK, attempts=5, connect_timeout=3, read_timeout=5)
NAMES = itertools.count()
SECRET = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    made = TokenRegistry(registry_program(CACHE, "debian"), tmp_path_factory.mktemp("faults") / "run")
    yield made
    made.stop()


@pytest.fixture
def proxy(tokens: TokenRegistry) -> Iterator[FaultProxy]:
    service = tokens.service.realm.removeprefix("http://").removesuffix("/token")
    with FaultProxy(tokens.host, service) as made:
        yield made


@pytest.fixture
def storage() -> Iterator[FaultProxy]:
    """Another host, which a registry redirects to; it answers as it is told to."""
    with FaultProxy("127.0.0.1:1") as made:
        yield made


def transport(proxy: FaultProxy, settings: Settings = QUICK, cancelled: threading.Event | None = None) -> Transport:
    login = json.dumps({"auths": {proxy.host: {"auth": SECRET}}})
    return Transport(settings, Credentials({"DOCKER_AUTH_CONFIG": login}, Path("/nowhere")), cancelled)


def blob(size: int, seed: int, media_type: str = LAYER_GZIP) -> tuple[Descriptor, bytes]:
    content = random.Random(seed).randbytes(size)  # noqa: S311  # the same content in every run
    return Descriptor.of(media_type, content), content


@dataclass
class Case:
    """A repository with a blob, a config and a manifest in it, and what is to be done there."""

    name: Reference
    held: tuple[Descriptor, bytes]
    manifest: Manifest
    fresh: tuple[Descriptor, bytes]

    def store(self, made: Transport) -> Registry:
        return Registry(made, self.name)

    def beside(self, made: Transport) -> Registry:
        return Registry(made, Reference(self.name.registry, f"team/{self.fresh[0].digest.hex[:20]}"))


@pytest.fixture(scope="module")
def held(tokens: TokenRegistry) -> tuple[tuple[Descriptor, bytes], Manifest]:
    """Put an image into the registry, past every proxy, once for all rows: what they write is new in each."""
    layer, config = blob(5000, 1), blob(300, 2, CONFIG)
    manifest = Manifest(config[0], (layer[0],))
    login = json.dumps({"auths": {tokens.host: {"auth": SECRET}}})
    made = Transport(QUICK, Credentials({"DOCKER_AUTH_CONFIG": login}, Path("/nowhere")))
    store = Registry(made, Reference(tokens.host, "team/demo"))
    store.put(layer[0], lambda: io.BytesIO(layer[1]))
    store.put(config[0], lambda: io.BytesIO(config[1]))
    store.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
    store.tag("v1", manifest.descriptor())
    return layer, manifest


@pytest.fixture
def case(proxy: FaultProxy, held: tuple[tuple[Descriptor, bytes], Manifest]) -> Case:
    return Case(Reference(proxy.host, "team/demo"), *held, blob(SIZE, 100 + next(NAMES)))


def put_fresh(case: Case, made: Transport) -> None:
    store = case.store(made)
    store.put(case.fresh[0], lambda: io.BytesIO(case.fresh[1]))
    assert store.open(case.fresh[0]).read() == case.fresh[1]


def put_small(case: Case, made: Transport) -> None:
    descriptor, content = case.fresh[0], case.fresh[1]
    small = Descriptor.of(LAYER_GZIP, content[:1000])
    store = case.store(made)
    store.put(small, lambda: io.BytesIO(content[:1000]))
    assert store.open(small).read() == content[:1000]
    assert not store.has(descriptor)


def head_blob(case: Case, made: Transport) -> None:
    assert case.store(made).has(case.held[0])


def get_blob(case: Case, made: Transport) -> None:
    assert case.store(made).open(case.held[0]).read() == case.held[1]


def mount(case: Case, made: Transport) -> None:
    beside = case.beside(made)
    assert beside.mount(case.held[0], case.name)
    assert beside.has(case.held[0])


def head_manifest(case: Case, made: Transport) -> None:
    digest = str(case.manifest.descriptor().digest)
    assert case.store(made).resolve(digest) == case.manifest.descriptor()
    assert case.store(made).resolve("v1") == case.manifest.descriptor()


def get_manifest(case: Case, made: Transport) -> None:
    assert case.store(made).open(case.manifest.descriptor()).read() == case.manifest.to_json()


def put_manifest(case: Case, made: Transport) -> None:
    store = case.store(made)
    store.put(case.manifest.descriptor(), lambda: io.BytesIO(case.manifest.to_json()))
    store.tag("v2", case.manifest.descriptor())
    assert store.resolve("v2") == case.manifest.descriptor()


OPERATIONS: dict[str, tuple[str, Callable[[Case, Transport], None]]] = {
    "HEAD blob": ("HEAD blob", head_blob),
    "GET blob": ("GET blob", get_blob),
    "POST": ("POST", put_small),
    "POST of chunks": ("POST", put_fresh),
    "PATCH": ("PATCH", put_fresh),
    "PUT blob": ("PUT blob", put_small),
    "PUT of chunks": ("PUT blob", put_fresh),
    "mount": ("mount", mount),
    "HEAD manifest": ("HEAD manifest", head_manifest),
    "GET manifest": ("GET manifest", get_manifest),
    "PUT manifest": ("PUT manifest", put_manifest),
    "token": ("token", head_manifest),
}
FAULTS: dict[str, dict[str, Any]] = {
    "silence": {"stall": 0.1},
    "cut before the body": {"cut_request": 0},
    "cut in the body": {"cut_request": 500},
    "done, but the answer lost": {"cut_answer": -1},
    "answer truncated": {"cut_answer": 20},
    "refused for a moment": {"refuse": 0.05},
    "408": {"status": 408},
    "429": {"status": 429, "headers": (("Retry-After", "0"),)},
    "429 for hours": {"status": 429, "headers": (("Retry-After", "7200"),)},
    "500": {"status": 500},
    "502 twice": {"status": 502, "times": 2},
    "503 with nonsense": {"status": 503, "body": b"<html>" * 50_000},
    "503 always": {"status": 503, "times": 1000},
    "cut always": {"cut_request": 0, "times": 1000},
    "another digest": {"digest": WRONG_DIGEST, "times": 1000},
    "other bytes": {"corrupt": True, "times": 1000},
    "token expired": {"expired": True},
    "token never good": {"expired": True, "times": 1000},
    "403": {"status": 403, "body": b'{"errors":[{"code":"DENIED","message":"not yours"}]}', "times": 1000},
    "400": {"status": 400, "body": b'{"errors":[{"code":"NAME_INVALID","message":"no"}]}', "times": 1000},
    "302 from a write": {"status": 302, "headers": (("Location", "/elsewhere"),), "times": 1000},
}
BODIES = ("GET blob", "GET manifest")
READS = ("HEAD blob", "GET blob", "HEAD manifest", "GET manifest")
UPLOADS = ("PATCH", "PUT blob", "PUT manifest")
NAMED = ("HEAD blob", "HEAD manifest", "GET manifest", "PUT manifest", "PUT blob", "PUT of chunks", "mount")


def expected(operation: str, fault: str) -> type[Exception] | None:
    """The outcome of a row: None, it succeeds; else the one error."""
    if fault == "token never good" and operation == "mount":
        return AssertionError  # `mount` answers False: it may be the origin that is closed, and a put will tell
    if fault in ("502 twice", "503 always", "cut always") and operation == "mount":
        return AssertionError  # the blob can be put all the same
    if fault in ("400", "403", "503 always") and operation in ("HEAD blob", "HEAD manifest"):
        return None  # a HEAD has no body to say why: GET is asked, and works here
    if fault == "403":
        return {"mount": AssertionError}.get(operation, Unauthorized)
    if fault == "400":
        return {"mount": AssertionError, "token": Unauthorized, "PATCH": None}.get(operation, RegistryRefused)
    if fault == "302 from a write":
        return {"mount": AssertionError, "PATCH": None}.get(operation, RegistryRefused)
    # A refused PATCH is no error: the blob goes up in one piece.
    errors: dict[str, type[Exception]] = {
        "429 for hours": TooManyRequests,
        "503 always": RegistryFailed,
        "cut always": Unreachable,
        "another digest": DigestMismatch,
        "other bytes": DigestMismatch,
        "token never good": Unauthorized,
    }
    return errors.get(fault)


def applies(operation: str, fault: str) -> bool:
    """Whether there is anything to spoil: a row that cannot differ from an undisturbed one is no row."""
    if fault == "cut in the body":
        return operation in UPLOADS and operation != "PUT manifest"
    if fault == "answer truncated":
        return operation in (*BODIES, "token")
    if fault == "other bytes":
        return operation in BODIES
    if fault == "another digest":
        return operation in NAMED
    if fault == "302 from a write":
        return operation not in (*READS, "token")
    return not (operation == "token" and fault in ("token expired", "token never good"))


ROWS = [(operation, fault) for operation in OPERATIONS for fault in FAULTS if applies(operation, fault)]


@pytest.mark.parametrize(("operation", "fault"), ROWS, ids=[f"{operation}: {fault}" for operation, fault in ROWS])
def test_fault(proxy: FaultProxy, case: Case, operation: str, fault: str) -> None:
    kind, act = OPERATIONS[operation]
    made = transport(proxy)
    if kind != "token":
        assert case.store(made).resolve("warm") is None
    proxy.order(kind, **FAULTS[fault])
    proxy.seen.clear()
    error = expected(operation, fault)
    if error is None:
        act(case, made)
        assert proxy.kinds()[kind] >= 1
    else:
        with pytest.raises(error) as raised:
            act(case, made)
        assert proxy.kinds()[kind] <= 3 * QUICK.attempts
        check_text(str(raised.value))
    proxy.take_back()
    act(case, transport(proxy))


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"cut_request": 0}, {"cut_answer": -1}])
def test_what_a_failing_registry_does_not_mount_is_put(proxy: FaultProxy, case: Case, fault: dict[str, Any]) -> None:
    """It is tried twice: a layer may be large, and a failure short."""
    beside = case.beside(transport(proxy, replace(QUICK, attempts=9)))
    proxy.order("mount", times=1000, **fault)
    assert not beside.mount(case.held[0], case.name)
    beside.put(case.held[0], lambda: io.BytesIO(case.held[1]))
    assert beside.open(case.held[0]).read() == case.held[1]
    assert proxy.kinds()["mount"] == 2


def test_too_many_requests_for_a_mount_are_too_many_for_a_put(proxy: FaultProxy, case: Case) -> None:
    proxy.order("mount", status=429, headers=(("Retry-After", "0"),), times=2)
    assert case.beside(transport(proxy)).mount(case.held[0], case.name)
    proxy.order("mount", status=429, times=1000)
    with pytest.raises(TooManyRequests):
        case.beside(transport(proxy)).mount(case.held[0], case.name)


def check_text(text: str) -> None:
    assert SECRET not in text
    assert PASSWORD not in text
    assert "_state" not in text
    assert "Bearer" not in text


def test_retry_after_is_waited_for(proxy: FaultProxy, case: Case) -> None:
    made = transport(proxy)
    case.store(made).resolve("warm")
    proxy.order("HEAD blob", status=429, headers=(("Retry-After", "1"),))
    before = time.monotonic()
    head_blob(case, made)
    assert 1.0 <= time.monotonic() - before < 3.0


def test_the_errors_read_as_they_are_meant(proxy: FaultProxy, case: Case) -> None:
    def failing(kind: str, **fault: Any) -> str:
        act = {"HEAD blob": head_blob, "PUT manifest": put_manifest, "PUT blob": put_small}[kind]
        for asked in (kind, kind.replace("HEAD", "GET")):
            proxy.order(asked, times=1000, **fault)
        with pytest.raises(MultiarchError) as raised:
            act(case, transport(proxy))
        proxy.take_back()
        return str(raised.value).replace(proxy.host, "HOST")

    assert failing("HEAD blob", status=503) == "HOST/team/demo: the registry failed: 503 (tried 5 times)"
    assert failing("HEAD blob", cut_request=0) == "HOST: the connection was cut (tried 5 times)"
    assert failing("HEAD blob", status=429, headers=(("Retry-After", "7200"),)) == (
        "HOST/team/demo: the registry says there are too many requests (429) and to wait 7200 s\n"
        "  hint: wait, or log in: docker login HOST"
    )
    body = b'{"errors":[{"code":"TAG_INVALID","message":"tags are immutable"}]}'
    assert failing("PUT manifest", status=400, body=body) == (
        "HOST/team/demo: the registry refused to push: 400 TAG_INVALID: tags are immutable\n"
        "  hint: a tag that is there cannot be moved in this repository: give another VERSION, or delete the tag there"
    )
    assert failing("PUT manifest", expired=True) == (
        "HOST/team/demo: not allowed to push (401; its realm is 'faults'); the credentials are those of auths 'HOST' in DOCKER_AUTH_CONFIG\n"
        "  hint: they may be wrong, expired or not allowed to push; log in anew with: docker login HOST"
    )
    assert failing("HEAD blob", digest=WRONG_DIGEST) == (
        f"HOST/team/demo@{case.held[0].digest}: the registry calls it {WRONG_DIGEST}, but it is {case.held[0].digest}"
    )


def test_no_login_is_an_error_that_says_how_to_get_one(proxy: FaultProxy, case: Case) -> None:
    nobody = Transport(QUICK, Credentials({}, Path("/nowhere")))
    with pytest.raises(Unauthorized) as raised:
        case.store(nobody).has(case.held[0])
    assert str(raised.value).replace(proxy.host, "HOST") == (
        "HOST/team/demo: not allowed to pull (401; its tokens come from http://HOST/token, which says 401 UNAUTHORIZED: no account given); no credentials for HOST were found\n"
        "  hint: log in with: docker login HOST"
    )


def test_a_server_that_repeats_our_secrets_is_not_repeated(proxy: FaultProxy, case: Case) -> None:
    made = transport(proxy)
    case.store(made).resolve("warm")
    token = next(seen.authorization for seen in proxy.seen if seen.authorization and seen.kind != "token")
    told = json.dumps({"errors": [{"code": "DENIED", "message": f"{PASSWORD} {token.removeprefix('Bearer ')}"}]})
    proxy.order("GET blob", status=400, body=told.encode())
    with pytest.raises(RegistryRefused) as raised:
        case.store(made).open(case.held[0])
    assert str(raised.value).endswith("the registry refused to pull: 400 DENIED: *** ***")


@pytest.mark.parametrize("kind", ["GET blob", "HEAD blob", "GET manifest", "HEAD manifest"])
def test_a_redirect_is_followed_without_the_login(
    proxy: FaultProxy, case: Case, storage: FaultProxy, kind: str
) -> None:
    content = case.held[1] if "blob" in kind else case.manifest.to_json()
    made = transport(proxy)
    case.store(made).resolve("warm")
    typed = (("Content-Type", case.manifest.media_type),)
    storage.order(kind.split(maxsplit=1)[0] + " blob", status=200, body=content, headers=typed, times=9)
    target = (("Location", f"http://{storage.host}/v2/x/blobs/y?X-Amz-Signature=0123456789abcdef"),)
    proxy.order(kind, status=307, headers=target, times=9)
    OPERATIONS[kind][1](case, made)
    assert storage.seen
    assert {seen.authorization for seen in storage.seen} == {None}
    assert [seen.authorization for seen in proxy.seen][-1] is not None


def test_a_storage_that_refuses_is_named_without_its_signature(
    proxy: FaultProxy, case: Case, storage: FaultProxy
) -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>0123456789abcdef is not it</Message></Error>"
    storage.order("GET blob", status=403, body=body, times=9)
    target = (("Location", f"http://{storage.host}/v2/x/blobs/y?X-Amz-Signature=0123456789abcdef"),)
    proxy.order("GET blob", status=307, headers=target, times=9)
    with pytest.raises(RegistryRefused) as raised:
        case.store(transport(proxy)).open(case.held[0])
    text = str(raised.value).replace(proxy.host, "HOST").replace(storage.host, "STORAGE")
    assert (
        text == "HOST/team/demo: STORAGE, where the registry sent us, answered 403 SignatureDoesNotMatch: *** is not it"
    )


def test_a_redirect_to_plain_http_outside_insecure_is_refused(proxy: FaultProxy, case: Case) -> None:
    target = (("Location", "http://user:pw@storage.example/blob?X-Amz-Signature=0123456789abcdef"),)
    proxy.order("GET blob", status=307, headers=target)
    with pytest.raises(RegistryRefused, match=r"the registry sends us to no usable URL: http://storage.example/blob$"):
        case.store(transport(proxy)).open(case.held[0])
    proxy.order("GET blob", status=307, headers=(("Location", "http://storage.example/blob?sig=1"),))
    with pytest.raises(RegistryRefused) as raised:
        case.store(transport(proxy)).open(case.held[0])
    assert str(raised.value).replace(proxy.host, "HOST") == (
        "HOST/team/demo: the registry sends us over plain HTTP: http://storage.example/blob\n"
        "  hint: if that is meant: INSECURE=storage.example"
    )


def test_a_download_that_is_cut_again_and_again_goes_on_where_it_ended(proxy: FaultProxy, case: Case) -> None:
    put_fresh(case, transport(proxy))
    for _ in range(3):
        proxy.order("GET blob", cut_answer=SIZE // 5)
    proxy.seen.clear()
    assert case.store(transport(proxy)).open(case.fresh[0]).read() == case.fresh[1]
    assert proxy.kinds()["GET blob"] == 4  # the first brought the challenge, two were cut
    assert [seen.range for seen in proxy.seen if seen.kind == "GET blob"] == [
        None,
        None,
        f"bytes={SIZE // 5}-",
        f"bytes={SIZE // 5 * 2}-",
    ]


def test_a_token_that_expires_in_the_middle_of_a_push_is_renewed_once(
    proxy: FaultProxy, tokens: TokenRegistry, case: Case
) -> None:
    made = transport(proxy)
    case.store(made).resolve("warm")
    proxy.order("PATCH", expired=True, after=1)
    proxy.seen.clear()
    issued = sum(tokens.service.issued.values())
    put_fresh(case, made)
    assert sum(tokens.service.issued.values()) - issued == 2  # one to push at all, one in place of the expired one


@pytest.mark.parametrize("tokens_held", [1, 2, 3])
def test_one_exchange_takes_the_place_of_all_tokens_that_became_void(
    proxy: FaultProxy, case: Case, tokens_held: int
) -> None:
    made = transport(proxy)
    pull, push = case.store(made), Registry(made, case.name, action="push")
    pull.resolve("v1")
    if tokens_held > 1:
        push.resolve("v1")
    if tokens_held > 2:  # one that a further repository's blobs are mounted with
        push.mount(case.fresh[0], Reference(proxy.host, "team/other"))
    assert proxy.revoke() == tokens_held
    proxy.seen.clear()
    assert pull.resolve("v1") is not None
    assert [seen.kind for seen in proxy.seen] == ["HEAD manifest", "token", "HEAD manifest"]
    assert push.resolve("v1") is not None


def test_tokens_that_are_void_as_soon_as_they_are_made_end_in_one_error(proxy: FaultProxy, case: Case) -> None:
    made = transport(proxy)
    case.store(made).resolve("v1")
    Registry(made, case.name, action="push").resolve("v1")
    proxy.forget()
    proxy.order("HEAD manifest", expired=True, times=1000)
    with pytest.raises(Unauthorized):
        case.store(made).resolve("v1")
    assert [seen.kind for seen in proxy.seen] == ["HEAD manifest", "token", "HEAD manifest"]


def test_the_last_put_of_a_small_blob_is_waited_for_no_longer_than_any_answer(proxy: FaultProxy, case: Case) -> None:
    proxy.order("PUT blob", stall=20.0)
    before = time.monotonic()
    put_small(case, transport(proxy, replace(QUICK, read_timeout=0.5)))
    assert time.monotonic() - before < 5
    assert proxy.kinds()["PUT blob"] == 2


def test_the_last_put_of_a_large_blob_may_take_longer(proxy: FaultProxy, case: Case) -> None:
    descriptor = Descriptor.of(LAYER_GZIP, bytes(4 << 20))
    proxy.order("PUT blob", hold=1.5)
    settings = replace(QUICK, read_timeout=0.5, chunk=1 << 20)
    case.store(transport(proxy, settings)).put(descriptor, lambda: io.BytesIO(bytes(4 << 20)))
    assert proxy.kinds()["PUT blob"] == 1


def test_a_chunk_that_arrived_is_not_sent_again(proxy: FaultProxy, case: Case) -> None:
    made = transport(proxy)
    case.store(made).resolve("warm")
    proxy.order("PATCH", status=503, after=1, times=2)
    proxy.seen.clear()
    put_fresh(case, made)
    patches = [seen for seen in proxy.seen if seen.kind == "PATCH"]
    assert [seen.body for seen in patches] == [CHUNK, CHUNK, CHUNK, CHUNK, SIZE - 2 * CHUNK]
    assert proxy.kinds()["POST"] == 1


def test_a_stalled_upload_stops_within_a_second_when_cancelled(proxy: FaultProxy, case: Case) -> None:
    cancelled = threading.Event()
    made = transport(proxy, cancelled=cancelled)
    case.store(made).resolve("warm")
    proxy.order("PATCH", stall=4.0)
    threading.Timer(0.3, cancelled.set).start()
    before = time.monotonic()
    with pytest.raises(Cancelled, match=r"^stopped$"):
        put_fresh(case, made)
    assert time.monotonic() - before < 1.3


def test_a_pause_between_tries_stops_when_cancelled(proxy: FaultProxy, case: Case) -> None:
    cancelled = threading.Event()
    made = transport(proxy, cancelled=cancelled)
    proxy.order("HEAD blob", status=429, headers=(("Retry-After", "2"),))
    threading.Timer(0.2, cancelled.set).start()
    before = time.monotonic()
    with pytest.raises(Cancelled):
        head_blob(case, made)
    assert time.monotonic() - before < 1.2


def test_twelve_tags_cost_four_and_a_half_round_trips(registry: Any) -> None:
    """Two to find out that there is no TLS (docs/decisions.md, 2026-11-30), one to connect, one to ask."""
    store = Registry(Transport(QUICK, Credentials({}, Path("/nowhere"))), Reference(registry.host, "team/demo"))
    config = blob(300, 5, CONFIG)
    store.put(config[0], lambda: io.BytesIO(config[1]))
    manifest = Manifest(config[0], ())
    store.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
    for number in range(12):
        store.tag(f"v{number}", manifest.descriptor())
    with FaultProxy(registry.host, latency=0.5) as slow:  # a long one, so that it is not the machine that is measured
        wanted = [Reference(slow.host, "team/demo", f"v{number}") for number in range(12)]
        before = time.monotonic()
        answers = resolve_all(Transport(QUICK, Credentials({}, Path("/nowhere"))), wanted)
        took = time.monotonic() - before
        assert slow.kinds() == {"HEAD manifest": 12}
    assert set(answers.values()) == {manifest.descriptor()}
    assert took <= 4.5 * 0.5


def test_a_login_costs_one_challenge_and_one_token_for_many_repositories(proxy: FaultProxy, case: Case) -> None:
    wanted = [Reference(proxy.host, f"team/{name}", "v1") for name in ("demo", "a", "b", "c")]
    wanted += [Reference(proxy.host, "team/demo", f"v{number}") for number in range(2, 12)]
    proxy.seen.clear()
    answers = resolve_all(transport(proxy), wanted)
    assert answers[wanted[0]] == case.manifest.descriptor()
    assert set(map(answers.__getitem__, wanted[4:])) <= {None, case.manifest.descriptor()}
    assert proxy.kinds() == {"HEAD manifest": len(wanted) + 1, "token": 1}


def test_a_host_that_is_silent_costs_no_more_than_the_limit(proxy: FaultProxy, case: Case) -> None:
    proxy.latency = 1.0
    before = time.monotonic()
    answers = resolve_all(transport(proxy), [case.name, Reference("127.0.0.1:1", "nobody", "v1")], limit=0.5)
    assert time.monotonic() - before < 0.9
    assert [type(answer) for answer in answers.values()] == [Unreachable, Unreachable]


def test_many_questions_to_a_registry_far_away_are_answered_though_all_take_longer_than_the_limit(
    proxy: FaultProxy, case: Case
) -> None:
    proxy.latency = 0.3
    wanted = [Reference(proxy.host, "team/demo", f"n{number}") for number in range(12)]
    first = Reference(proxy.host, "team/demo", "v1")
    answers = resolve_all(transport(proxy, replace(QUICK, heads=1)), [first, *wanted], limit=3)
    assert answers == {first: case.manifest.descriptor(), **dict.fromkeys(wanted)}


def test_answers_that_trickle_end_at_ten_limits(proxy: FaultProxy) -> None:
    proxy.latency = 0.1
    wanted = [Reference(proxy.host, "team/demo", f"n{number}") for number in range(200)]
    answers = resolve_all(transport(proxy, replace(QUICK, heads=1)), wanted, limit=1)
    assert {type(answer) for answer in answers.values()} == {type(None), Unreachable}


def test_a_registry_that_takes_no_chunks_gets_the_blob_in_one_piece(proxy: FaultProxy, case: Case) -> None:
    proxy.order("PATCH", status=405, times=1000)
    proxy.seen.clear()
    put_fresh(case, transport(proxy))
    assert proxy.kinds()["PATCH"] == 1
    assert [seen.body for seen in proxy.seen if seen.kind == "PUT blob"] == [SIZE]


@pytest.mark.parametrize("act", [put_small, put_fresh])
def test_a_blob_whose_last_answer_was_lost_is_not_sent_again(
    proxy: FaultProxy, case: Case, act: Callable[[Case, Transport], None]
) -> None:
    proxy.order("PUT blob", cut_answer=-1)
    proxy.seen.clear()
    act(case, transport(proxy))
    assert proxy.uploaded() == (1000 if act is put_small else SIZE)


def test_a_proxy_that_limits_requests_is_named_as_the_likely_cause(proxy: FaultProxy, case: Case) -> None:
    proxy.order("PUT blob", status=413, times=1000)
    with pytest.raises(RegistryRefused) as raised:
        put_small(case, transport(proxy))
    assert str(raised.value).replace(proxy.host, "HOST") == (
        "HOST/team/demo: the registry refused to push: 413\n"
        "  hint: a proxy before it limits what it takes (nginx: client_max_body_size)"
    )


def test_a_registry_that_knows_no_ranges_sends_the_blob_again(proxy: FaultProxy, case: Case) -> None:
    made = transport(proxy)
    case.store(made).resolve("warm")
    proxy.order("GET blob", cut_answer=1000)
    proxy.order("GET blob", status=200, body=case.held[1])
    assert case.store(made).open(case.held[0]).read() == case.held[1]


@pytest.mark.parametrize("target", ["http://[", "http://h:99999999/", "ftp://h/", "http://u:p@h/", "//"])
def test_a_redirect_to_nonsense_is_an_error_and_no_traceback(proxy: FaultProxy, case: Case, target: str) -> None:
    proxy.order("GET blob", status=307, headers=(("Location", target),), times=9)
    with pytest.raises(RegistryRefused, match=r"the registry sends us to no usable URL|redirects more than 5 times"):
        case.store(transport(proxy)).open(case.held[0])


@pytest.mark.parametrize("kind", ["POST", "mount"])
def test_an_upload_that_begins_nowhere_is_an_error_and_no_traceback(proxy: FaultProxy, case: Case, kind: str) -> None:
    for location in ((), (("Location", "http://["),)):
        proxy.order(kind, status=202, headers=location)
        if kind == "mount":
            assert not case.beside(transport(proxy)).mount(case.held[0], case.name)
        else:
            with pytest.raises(RegistryRefused, match="began an upload without saying where"):
                put_small(case, transport(proxy))
