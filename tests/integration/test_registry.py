"""store/registry against real registries: what is put is there, what is read is verified, nothing is sent twice."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from conftest import CACHE
from faults import FaultProxy
from machines.project import ROOT
from machines.referring import plain, referring
from machines.registry import PASSWORD, USER
from machines.registry import Registry as Machine
from machines.tokens import REFRESH_TOKEN, TokenRegistry
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, LAYER_GZIP
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing, copy
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.errors import RegistryFailed, Unauthorized
from multiarch_oci.store.http.exchange import Settings, UnreadableContent
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.memory import Memory
from multiarch_oci.store.referrers import listing
from multiarch_oci.store.registry import Mounts, Registry
from multiarch_oci.store.tags import resolve_all

QUICK = Settings(backoff=0.01, longest_pause=1.0, chunk=1 << 20)


@pytest.fixture(scope="module", params=["debian", "v3"])
def running(request: pytest.FixtureRequest, make_registry: Callable[..., Machine]) -> Machine:
    return make_registry(request.param)


@pytest.fixture
def registry(running: Machine) -> Machine:
    """Return each of the registries that people run, empty."""
    running.start()
    running.empty()
    running.requests()
    return running


def transport(
    settings: Settings = QUICK, environment: dict[str, str] | None = None, home: Path = Path("/nowhere")
) -> Transport:
    return Transport(settings, Credentials(environment or {}, home))


def repository(host: str, name: str = "team/demo", made: Transport | None = None) -> Registry:
    return Registry(made or transport(), Reference(host, name))


def blob(size: int, seed: int = 1, media_type: str = LAYER_GZIP) -> tuple[Descriptor, Callable[[], io.BytesIO]]:
    content = random.Random(seed).randbytes(size)  # noqa: S311  # the same content in every run
    return Descriptor.of(media_type, content), lambda: io.BytesIO(content)


def image(store: Registry | Memory, seed: int = 1) -> Descriptor:
    """Put a whole small image; return its manifest's descriptor."""
    layer, layer_content = blob(3000, seed)
    config, config_content = blob(100, seed + 1000, CONFIG)
    store.put(layer, layer_content)
    store.put(config, config_content)
    manifest = Manifest(config, (layer,))
    store.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
    return manifest.descriptor()


def test_a_small_blob_goes_up_in_one_put_and_comes_back_verified(registry: Machine) -> None:
    # distribution spec 1.1, "POST then PUT"; "Pulling blobs"
    store = repository(registry.host)
    descriptor, content = blob(5000)
    assert not store.has(descriptor)
    store.put(descriptor, content)
    assert store.has(descriptor)
    assert store.open(descriptor).read() == content().read()
    assert [request.method for request in registry.requests()] == ["HEAD", "POST", "PUT", "HEAD", "GET"]


def test_a_large_blob_goes_up_in_chunks(registry: Machine) -> None:
    # distribution spec 1.1, "Pushing a blob in chunks"
    store = repository(registry.host)
    descriptor, content = blob((5 << 20) + 17)
    store.put(descriptor, content)
    assert registry.blob(str(descriptor.digest)).read_bytes() == content().read()


def test_a_manifest_keeps_its_bytes_and_gets_tags(registry: Machine) -> None:
    # distribution spec 1.1, "Pushing Manifests", "Pulling manifests"
    store = repository(registry.host)
    descriptor = image(store)
    store.tag("v1", descriptor)
    assert store.resolve("v1") == descriptor
    assert store.resolve(str(descriptor.digest)) == descriptor
    assert store.resolve("v2") is None
    assert repository(registry.host).open(descriptor).read() == registry.manifest("team/demo", "v1")[0]
    other = repository(registry.host)
    other.tag("v2", descriptor)
    assert store.tags() == ("v1", "v2")


def test_an_unknown_repository_holds_nothing(registry: Machine) -> None:
    # distribution spec 1.1, "Checking if content exists in the registry"
    store = repository(registry.host, "nobody/knows")
    descriptor, _ = blob(10)
    assert store.resolve("v1") is None
    assert store.tags() == ()
    assert not store.has(descriptor)
    with pytest.raises(BlobMissing):
        store.open(descriptor)


def test_all_tags_are_resolved_with_one_request_each(registry: Machine) -> None:
    # distribution spec 1.1, "Checking if content exists in the registry"
    made = transport()
    store = repository(registry.host, made=made)
    descriptor = image(store)
    for number in range(12):
        store.tag(f"v{number}", descriptor)
    registry.requests()
    wanted = [Reference(registry.host, "team/demo", f"v{number}") for number in range(12)]
    absent = Reference(registry.host, "team/demo", "absent")
    assert resolve_all(transport(), [*wanted, absent]) == dict.fromkeys(wanted, descriptor) | {absent: None}
    assert [request.method for request in registry.requests()] == ["HEAD"] * 13


def test_a_whole_index_is_copied_into_a_registry_and_back(registry: Machine) -> None:
    # image spec 1.1, image-index.md; distribution spec 1.1, "Push"
    memory = Memory()
    children = tuple(image(memory, seed) for seed in (1, 2))
    index = Index(children)
    memory.put(index.descriptor(), lambda: io.BytesIO(index.to_json()))
    store = repository(registry.host)
    first = copy(memory, store, index.descriptor(), tags=("v1", "latest"))
    assert len(first.sent) == 7
    assert copy(memory, store, index.descriptor()).sent == ()
    back = Memory()
    copy(store, back, index.descriptor())
    assert back.open(index.descriptor()).read() == index.to_json() == registry.manifest("team/demo", "latest")[0]


def test_a_blob_is_mounted_from_another_repository(registry: Machine) -> None:
    # distribution spec 1.1, "Mounting a blob from another repository"
    made = transport()
    descriptor, content = blob(5000)
    repository(registry.host, "team/base", made).put(descriptor, content)
    registry.requests()
    store = repository(registry.host, "team/demo", made)
    assert store.mount(descriptor, Reference(registry.host, "team/base"))
    assert store.has(descriptor)
    assert [request.method for request in registry.requests()] == ["POST", "HEAD"]
    assert not store.mount(descriptor, Reference("registry.example", "team/base"))


def test_what_a_run_mounted_or_put_is_not_mounted_again(registry: Machine) -> None:
    made, there = transport(), set[tuple[str, Digest]]()
    blobs = [blob(size) for size in (5000, 6000)]
    for descriptor, content in blobs:
        repository(registry.host, "team/base", made).put(descriptor, content)
    registry.requests()
    name, base = Reference(registry.host, "team/demo"), Reference(registry.host, "team/base")
    stores = [Registry(made, name, action="push", there=there) for _ in range(2)]
    stores[0].put(*blobs[0])
    assert all(store.mount(descriptor, base) for store in stores for descriptor, _ in blobs)
    assert [request.method for request in registry.requests()] == ["POST", "PUT", "POST"]


def test_what_a_run_saw_in_a_repository_that_it_sends_to_is_not_asked_for_again(registry: Machine) -> None:
    made, there = transport(), set[tuple[str, Digest]]()
    (seen, content), (absent, later) = blob(5000), blob(6000)
    repository(registry.host, "team/demo", made).put(seen, content)
    registry.requests()
    stores = [Registry(made, Reference(registry.host, "team/demo"), action="push", there=there) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda store: store.has(seen), stores))
    assert not any(store.has(absent) for store in stores[:2])
    assert [request.method for request in registry.requests()] == ["HEAD", "HEAD", "HEAD"]
    stores[0].put(absent, later)
    assert stores[1].has(absent)
    assert [request.method for request in registry.requests()] == ["POST", "PUT"]


def test_a_mount_that_is_not_possible_leaves_its_session_to_the_put(registry: Machine) -> None:
    # distribution spec 1.1, "Mounting a blob from another repository": 202
    store = repository(registry.host)
    descriptor, content = blob(5000)
    assert not store.mount(descriptor, Reference(registry.host, "team/base"))
    store.put(descriptor, content)
    assert store.has(descriptor)
    assert [request.method for request in registry.requests()] == ["POST", "PUT", "HEAD"]


def sessions(registry: Machine, name: str) -> list[Path]:
    """Return the uploads that a repository has under way."""
    return list((registry.repository(name) / "_uploads").glob("*/startedat"))


def test_mounts_that_are_refused_are_not_tried_for_what_is_there(registry: Machine) -> None:
    """Docker Registry HTTP API V2, "Canceling an Upload"."""
    made, known = transport(), dict[tuple[str, str], Mounts]()
    blobs = [blob(size) for size in (5000, 6000, 7000)]
    name, base = Reference(registry.host, "team/demo"), Reference(registry.host, "team/base")
    for descriptor, content in blobs[:2]:
        repository(registry.host, "team/demo", made).put(descriptor, content)
    registry.requests()
    for descriptor, content in blobs:
        store = Registry(made, name, action="push", mounts=known)
        if not (store.mount(descriptor, base, unasked=True) or store.has(descriptor)):
            assert not store.mount(descriptor, base)
            store.put(descriptor, content)
    first, rest = ["POST", "HEAD", "DELETE"], ["HEAD", "HEAD", "POST", "PUT"]
    assert [request.method for request in registry.requests()] == first + rest
    assert sessions(registry, "team/demo") == []
    repository(registry.host, "team/base", made).put(*blobs[2])  # it may be only some that are not there
    store = Registry(made, Reference(registry.host, "team/other"), action="push", mounts=known)
    assert [store.mount(descriptor, base) for descriptor, _ in blobs] == [False, False, True]
    again = blob(9000)
    repository(registry.host, "team/base", made).put(*again)
    assert store.mount(again[0], base, unasked=True)


@pytest.mark.parametrize(("status", "tried"), [(404, 2), (405, 1), (403, 1), (500, 2)])
def test_a_registry_without_mounts_is_not_asked_for_each_blob(registry: Machine, status: int, tried: int) -> None:
    with FaultProxy(registry.host) as proxy:
        proxy.order("mount", status=status, times=99)
        made, known = transport(), dict[tuple[str, str], Mounts]()
        base = Reference(proxy.host, "team/base")
        for size in range(5000, 5006):
            store = Registry(made, Reference(proxy.host, "team/demo"), action="push", mounts=known)
            descriptor, content = blob(size)
            assert not store.mount(descriptor, base, unasked=size < 5003)
            store.put(descriptor, content)
        assert proxy.kinds()["mount"] == tried


def test_what_is_not_what_it_is_called_is_never_put(registry: Machine) -> None:
    # image spec 1.1, descriptor.md, "Verification"
    store = repository(registry.host)
    for size in (5000, 3 << 20):
        descriptor, content = blob(size)
        wrong = content().read()[:-1] + b"?"
        with pytest.raises(DigestMismatch, match=r"^the content to be sent: wanted sha256:"):
            store.put(descriptor, lambda wrong=wrong: io.BytesIO(wrong))
        assert not store.has(descriptor)
    manifest = Manifest(*(blob(10, 1, CONFIG)[0], ()))
    with pytest.raises(DigestMismatch, match=r"^the manifest to be sent: "):
        store.put(manifest.descriptor(), lambda: io.BytesIO(b"x" * manifest.descriptor().size))
    assert not store.has(manifest.descriptor())


def test_content_that_cannot_be_read_is_named(registry: Machine, tmp_path: Path) -> None:
    descriptor, _ = blob(5000)
    with pytest.raises(UnreadableContent) as raised:
        repository(registry.host).put(descriptor, lambda: (tmp_path / "gone").open("rb"))
    assert str(raised.value) == f"{tmp_path / 'gone'}: cannot be read: No such file or directory"


def test_damaged_and_lost_blobs_are_noticed(registry: Machine) -> None:
    # image spec 1.1, descriptor.md, "Verification"
    store = repository(registry.host)
    descriptor, content = blob(5000)
    store.put(descriptor, content)
    file = registry.blob(str(descriptor.digest))
    file.write_bytes(content().read()[:-1] + b"?")
    with pytest.raises(DigestMismatch):
        store.open(descriptor).read()
    file.write_bytes(b"short")
    assert not store.has(descriptor)


def test_tags_are_listed_over_pages(registry: Machine) -> None:
    # distribution spec 1.1, "Listing Tags"; RFC 8288
    def page(*tags: str) -> bytes:
        return json.dumps({"name": "team/demo", "tags": list(tags)}).encode()

    with FaultProxy(registry.host) as proxy:  # 2.8 lists all tags at once, so the pages are the proxy's
        proxy.order(
            "other", status=200, body=page("b", "c"), headers=(("Link", "</v2/team/demo/tags/list?last=c>; rel=next"),)
        )
        absolute = (
            f'<http://{proxy.host}/x>; rel="prev", <http://{proxy.host}/v2/team/demo/tags/list?last=e>; rel="next"'
        )
        proxy.order("other", status=200, body=page("d", "e"), headers=(("Link", absolute),))
        proxy.order("other", status=200, body=page("a"))
        assert repository(proxy.host).tags() == ("a", "b", "c", "d", "e")
        assert [seen.path.partition("?")[2] for seen in proxy.seen] == ["n=1000", "last=c", "last=e"]


@pytest.fixture(params=["debian", "v3", "go-containerregistry"])
def host(request: pytest.FixtureRequest, make_registry: Callable[..., Machine]) -> Iterator[str]:
    """Return an empty registry that deletes a manifest with its tags, or, the last one, leaves them."""
    if request.param == "go-containerregistry":
        with referring(CACHE) as served:
            yield served
    else:
        yield make_registry(request.param).host


def test_a_manifest_is_deleted_with_its_tags_but_not_one_that_was_moved_meanwhile(host: str) -> None:
    store = repository(host)
    one, two, three = (image(store, seed) for seed in (1, 2, 3))
    store.tag("moved", one)
    store.tag("moved", two)  # as another machine does once the tags were read
    store.tag("own", three)
    for deleter in (store, repository(host)):
        assert deleter.delete(one.digest, "moved")
        assert deleter.delete(three.digest, "own")
        assert repository(host).resolve("moved") == two
        assert repository(host).resolve("own") is None


@pytest.mark.parametrize("status", [401, 403, 405])
def test_a_manifest_is_deleted_also_where_the_deletion_of_a_tag_is_refused(status: int) -> None:
    with referring(CACHE) as served, FaultProxy(served) as proxy:
        store = repository(proxy.host)
        one, two = image(store, 1), image(store, 2)
        store.tag("one", one)
        store.tag("two", two)
        proxy.order("DELETE manifest", status=status, path="/one", times=9)
        assert store.delete(one.digest, "one")
        assert store.delete(two.digest, "two")
        assert repository(served).resolve("two") is None
        assert repository(served).resolve(str(one.digest)) is None


def test_referrers_are_found_by_the_fallback_tag(registry: Machine) -> None:
    # distribution spec 1.1, "Listing Referrers", "Unavailable Referrers API"
    store = repository(registry.host)
    descriptor = image(store)
    assert listing(store, descriptor.digest).referrers == ()
    signature = image(store, 7)
    index = Index((signature,))
    store.put(index.descriptor(), lambda: io.BytesIO(index.to_json()))
    store.tag(f"sha256-{descriptor.digest.hex}", index.descriptor())
    assert listing(store, descriptor.digest).referrers == (signature,)


def test_one_blob_wanted_by_many_goes_up_once(registry: Machine) -> None:
    store = repository(registry.host)
    descriptor, content = blob(3 << 20)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: store.put(descriptor, content), range(6)))
    assert [request.method for request in registry.requests()].count("PUT") == 1


def test_a_registry_with_a_password_is_pushed_to(basic_registry: Machine) -> None:
    login = {"auths": {basic_registry.host: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}}
    store = repository(basic_registry.host, made=transport(environment={"DOCKER_AUTH_CONFIG": json.dumps(login)}))
    descriptor = image(store)
    store.tag("v1", descriptor)
    assert store.resolve("v1") == descriptor
    statuses = [request.status for request in basic_registry.requests()]
    assert statuses.count(401) == 2  # one is the machine's own question whether it runs
    with pytest.raises(Unauthorized, match="no credentials for"):
        repository(basic_registry.host).resolve("v1")


def test_an_identity_token_is_exchanged_by_post(token_registry: TokenRegistry) -> None:
    login = {"auths": {token_registry.host: {"identitytoken": REFRESH_TOKEN}}}
    store = repository(token_registry.host, made=transport(environment={"DOCKER_AUTH_CONFIG": json.dumps(login)}))
    descriptor = image(store)
    assert store.has(descriptor)
    assert token_registry.service.issued == {"POST": 1}  # a put asks for pull and push, and that serves the rest


def test_anybody_may_pull_where_that_is_allowed(token_registry: TokenRegistry) -> None:
    token_registry.service.anonymous_pull = True
    assert repository(token_registry.host).resolve("v1") is None
    with pytest.raises(Unauthorized) as raised:
        image(repository(token_registry.host))
    assert "not allowed to push (401 UNAUTHORIZED: authentication required; its tokens" in str(raised.value)


PUSHER = """
import io, sys
from pathlib import Path
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
host, sessions, chunk, file = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
made = Transport(Settings(chunk=chunk, sessions=sessions, backoff=0.01), Credentials({}, Path("/nowhere")))
descriptor = Descriptor(LAYER_GZIP, Digest.of_file(file), file.stat().st_size)
Registry(made, Reference(host, "team/demo")).put(descriptor, lambda: file.open("rb"))
status = Path("/proc/self/status")
print(status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else 0)
"""


def push(host: str, sessions: Path, chunk: int, file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PUSHER, host, str(sessions), str(chunk), str(file)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "site_scons")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_an_upload_is_taken_up_again_after_kill(registry: Machine, tmp_path: Path) -> None:
    # distribution spec 1.1, "Pushing a blob in chunks": the Range of a session
    chunk, file, sessions = 1 << 20, tmp_path / "layer", tmp_path / "sessions"
    file.write_bytes(blob(8 * chunk)[1]().read())
    with FaultProxy(registry.host) as proxy:
        proxy.order("PATCH", after=5, stall=60.0, cut_request=0)
        process = push(proxy.host, sessions, chunk, file)
        while proxy.kinds()["PATCH"] < 6:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert proxy.uploaded() == 5 * chunk
        assert [oct(kept.stat().st_mode & 0o777) for kept in sessions.iterdir()] == ["0o600"]
        proxy.forget()
        assert push(proxy.host, sessions, chunk, file).wait() == 0
        assert proxy.uploaded() == 3 * chunk
        assert list(sessions.iterdir()) == []
    assert registry.blob(str(Digest.of_file(file))).read_bytes() == file.read_bytes()


def test_a_session_that_the_registry_forgot_costs_the_blob_and_no_error(registry: Machine, tmp_path: Path) -> None:
    settings = replace(QUICK, sessions=tmp_path)
    descriptor, content = blob(3 << 20)
    with FaultProxy(registry.host) as proxy:
        proxy.order("PATCH", after=2, status=503, times=1000)
        with pytest.raises(RegistryFailed):
            repository(proxy.host, made=transport(settings)).put(descriptor, content)
        assert len(list(tmp_path.iterdir())) == 1
        proxy.forget()
        shutil.rmtree(registry.repository("team/demo") / "_uploads")
        repository(proxy.host, made=transport(settings)).put(descriptor, content)
        assert proxy.uploaded() == 3 << 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_large_layer_costs_no_memory(registry: Machine, tmp_path: Path) -> None:
    file = tmp_path / "layer"
    with file.open("wb") as stream:
        stream.truncate(150 << 20)
    process = push(registry.host, tmp_path / "sessions", 16 << 20, file)
    assert int(process.communicate()[0]) < 64 << 10  # KiB at the peak; Python with TLS is 25 of them
    assert process.returncode == 0


def test_the_registry_of_go_containerregistry_is_served_as_well() -> None:
    with plain(CACHE) as host:
        store = repository(host)
        assert store.resolve("v1") is None
        large, content = blob((3 << 20) + 5)
        store.put(large, content)
        assert store.open(large).read() == content().read()
        descriptor = image(store)
        store.tag("v1", descriptor)
        assert (store.resolve("v1"), store.tags()) == (descriptor, ("v1",))
        assert listing(store, descriptor.digest).referrers == ()
        beside = repository(host, "team/beside")
        if not beside.mount(large, Reference(host, "team/demo")):
            beside.put(large, content)
        assert beside.has(large)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"location": 1}', '{"location": "http://["}', '{"location": "http://h:0/"}']
)
def test_a_damaged_session_file_is_no_session(registry: Machine, tmp_path: Path, content: str) -> None:
    descriptor, opened = blob(3 << 20)
    made = transport(replace(QUICK, sessions=tmp_path))
    name = hashlib.sha256(f"{registry.host}/team/demo@{descriptor.digest}".encode()).hexdigest()
    (tmp_path / f"{name}.json").write_text(content, encoding="ascii")
    store = repository(registry.host, made=made)
    store.put(descriptor, opened)
    assert store.has(descriptor)
    assert list(tmp_path.iterdir()) == []
