"""What is attached to a manifest, in every kind of registry and in a folder (OCI distribution spec 1.1, referrers)."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import CACHE
from faults import FaultProxy
from machines.referring import image, plain, put, referring
from machines.registry import Registry as Machine
from multiarch_oci.artifact import Artifact
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.index import Index
from multiarch_oci.mediatype import MANIFEST, SPDX_JSON
from multiarch_oci.reference import Reference
from multiarch_oci.store import read
from multiarch_oci.store.attaching import Attached, Attachment, attach
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.layout import Layout
from multiarch_oci.store.referrers import Listed, listing
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.repository import referrers_tag

KINDS = (
    *("docker-registry", "distribution v3", "go-containerregistry"),
    *("go-containerregistry with referrers", "folder"),
)
WITH_API = KINDS[3]

Open = Callable[[str], "Registry | Layout"]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def host(
    kind: str,
    make_registry: Callable[..., Machine],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Serve a registry of this kind; of a folder it is the path."""
    if kind == WITH_API:
        with referring(CACHE) as address:
            yield address
    elif kind == "go-containerregistry":
        with plain(CACHE) as address:
            yield address
    elif kind == "folder":
        yield str(tmp_path_factory.mktemp("layouts"))
    else:
        yield make_registry("debian" if kind == KINDS[0] else "v3").host


@pytest.fixture
def place(kind: str, host: str) -> Open:
    """Open a repository by its name, each time as another run would."""
    return lambda name: Layout(Path(host) / name) if kind == "folder" else repository(host, name)


def repository(host: str, name: str) -> Registry:
    made = Transport(Settings(backoff=0.01), Credentials({}, Path("/nowhere")))
    return Registry(made, Reference(host, name), action="push")


def attachment(subject: Descriptor, text: str, artifact_type: str = SPDX_JSON) -> Attachment:
    content = text.encode()
    return Artifact.of(artifact_type, subject, Descriptor.of(artifact_type, content), {"note": text}), content


def attached(
    store: Registry | Layout, subject: Descriptor, *texts: str, gone: frozenset[Digest] = frozenset()
) -> Attached:
    made = [attachment(subject, text) for text in texts]
    return attach(store, subject.digest, made, before=listing(store, subject.digest), gone=gone)


def notes(store: Registry | Layout, subject: Descriptor) -> list[str]:
    """Return what refers to a subject by its notes, which are read from the manifests."""
    referrers = listing(store, subject.digest).referrers
    manifests = (Artifact.from_json(read(store, referrer.bare()), where="") for referrer in referrers)
    return sorted(dict(manifest.annotations)["note"] for manifest in manifests)


def raw_list(store: Registry, subject: Descriptor) -> bytes:
    tagged = store.tagged(referrers_tag(subject.digest))
    assert tagged is not None
    return tagged.content


def test_what_is_attached_is_listed_and_attached_once(place: Open, kind: str) -> None:
    store = place("attached/once")
    root = image(store, "x")
    assert listing(store, root.digest).referrers == ()
    done = attached(store, root, "b", "a")
    assert (notes(place("attached/once"), root), len(done.sent)) == (["a", "b"], 4)
    again = attached(place("attached/once"), root, "a", "b")
    assert (again.sent, again.by) == ((), done.by)
    by = {"folder": Listed.FOLDER, WITH_API: Listed.API}.get(kind, Listed.TAG)
    assert (done.by, listing(store, root.digest).by) == (by, by)


def test_a_deleted_artifact_and_a_deleted_list_are_put_back(place: Open, kind: str, host: str) -> None:
    store = place("attached/deleted")
    root = image(store, "x")
    attached(store, root, "a", "b")
    lost = attachment(root, "a")[0].descriptor()
    if isinstance(store, Layout):
        Path(host, "attached/deleted/blobs/sha256", lost.digest.hex).unlink()
    elif not store.delete(lost.digest):
        pytest.skip("deletes nothing")
    done = attached(place("attached/deleted"), root, "a", "b")
    assert [descriptor.digest for descriptor in done.sent] == [lost.digest]
    assert notes(place("attached/deleted"), root) == ["a", "b"]
    store = place("attached/deleted")
    if kind in KINDS[:3] and isinstance(store, Registry):
        held = store.resolve(referrers_tag(root.digest))
        assert held is not None
        assert store.delete(held.digest)
        attached(place("attached/deleted"), root, "a", "b")
        assert notes(place("attached/deleted"), root) == ["a", "b"]


def test_a_deleted_list_costs_a_question_a_layer_and_a_manifest_and_the_list_alone_is_sent(
    tagging: Open, host: str
) -> None:
    store = tagging("attached/asked")
    assert isinstance(store, Registry)
    root = image(store, "x")
    attached(store, root, "a", "b")
    held = store.resolve(referrers_tag(root.digest))
    assert held is not None
    if not store.delete(held.digest) or tagging("attached/asked").resolve(referrers_tag(root.digest)) is not None:
        pytest.skip("deletes no tag")
    with FaultProxy(host) as proxy:
        done = attached(repository(proxy.host, "attached/asked"), root, "a", "b")
        assert done.sent == ()
        assert kinds(proxy) == {"HEAD blob": 2, "HEAD manifest": 2, "GET manifest": 3, "PUT manifest": 1}
    assert notes(tagging("attached/asked"), root) == ["a", "b"]


def test_what_is_there_and_listed_is_asked_for_once(tagging: Open, host: str) -> None:
    store = tagging("attached/idle")
    root = image(store, "x")
    attached(store, root, "a", "b")
    with FaultProxy(host) as proxy:
        attached(repository(proxy.host, "attached/idle"), root, "a", "b")
        assert kinds(proxy) == {"HEAD manifest": 2, "GET manifest": 1}


def test_the_empty_config_is_asked_for_once_for_all_artifacts(tagging: Open, host: str) -> None:
    root = image(tagging("attached/config"), "x")
    with FaultProxy(host) as proxy:
        attached(repository(proxy.host, "attached/config"), root, "new 1", "new 2", "new 3")
        asked = [seen.path.rpartition("/")[2] for seen in proxy.seen if seen.kind == "HEAD blob"]
    assert len(asked) == len(set(asked)) == 4  # and no manifest of them
    assert kinds(proxy)["HEAD manifest"] == 0


def test_what_is_gone_is_listed_no_more(place: Open) -> None:
    store = place("attached/gone")
    root = image(store, "x")
    attached(store, root, "old", "other")
    old = attachment(root, "old")[0].descriptor().digest
    done = attached(store, root, "new", gone=frozenset([old]))
    assert (notes(place("attached/gone"), root), done.kept) == (["new", "other"], ())


def test_the_artifacts_of_two_machines_are_equal_bytes(place: Open) -> None:
    stores = [place(f"attached/machine{number}") for number in (1, 2)]
    roots = [image(store, "x") for store in stores]
    attached(stores[0], roots[0], "a")
    attached(stores[0], roots[0], "b")
    attached(stores[1], roots[1], "b", "a")
    one, other = (listing(store, roots[0].digest) for store in stores)
    assert one.digests() == other.digests()
    if one.by is Listed.TAG:
        assert one == other
        assert raw_list(stores[0], roots[0]) == raw_list(stores[1], roots[1])  # type: ignore[arg-type]


def test_the_type_of_an_artifact_stands_in_its_manifest_and_in_the_config_of_that(place: Open) -> None:
    store = place("attached/type")
    root = image(store, "x")
    attached(store, root, "a")
    (referrer,) = listing(store, root.digest).referrers
    members = json.loads(read(store, referrer.bare()))
    assert members["artifactType"] == members["config"]["artifactType"] == SPDX_JSON
    assert members["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert members["subject"] == {"mediaType": MANIFEST, "digest": str(root.digest), "size": root.size}
    assert "org.opencontainers.image.created" not in members["annotations"]


def kinds(proxy: FaultProxy) -> Counter[str]:
    """Count what was asked for through a proxy by its kind, but for whether there is an API."""
    counted = proxy.kinds()
    del counted["other"]
    return counted


FOREIGN = (
    b'{ "schemaVersion" : 2,"mediaType":"application/vnd.oci.image.index.v1+json",'
    b'"annotations":{"theirs":"\\u0041"},"manifests":[%s ] }'
)
"""What another tool wrote: blanks and escapes that ours does not write."""


@pytest.fixture
def tagging(place: Open, kind: str) -> Open:
    """Open a repository of a registry that keeps the list under a tag."""
    if kind not in KINDS[:3]:
        pytest.skip("keeps no tag")
    return place


def test_descriptors_of_others_are_kept_byte_for_byte_and_sorted(tagging: Open) -> None:
    store = tagging("attached/theirs")
    assert isinstance(store, Registry)
    root = image(store, "x")
    theirs = attachment(root, "theirs", "application/x-theirs")
    for descriptor, content in ((theirs[0].layers[0], theirs[1]), (theirs[0].config, b"{}")):
        put(store, descriptor.media_type, content)
    manifest = put(store, MANIFEST, theirs[0].to_json())
    entry = b'{"size":%d , "digest":"%s","mediaType":"%s","further": 1.50e0, "text":"\\u00e9\\/"}' % (
        manifest.size,
        str(manifest.digest).encode(),
        MANIFEST.encode(),
    )
    content = FOREIGN % entry
    descriptor = Descriptor.of(Index(()).media_type, content)
    store.tag(referrers_tag(root.digest), descriptor, lambda: io.BytesIO(content))
    attached(tagging("attached/theirs"), root, "a", "b", "c")
    written = raw_list(store, root)
    assert entry in written
    assert b'"annotations":{"theirs":"\\u0041"}' in written
    digests = [item["digest"] for item in json.loads(written)["manifests"]]
    assert digests == sorted(digests)
    assert len(digests) == 4
    before = written
    attached(tagging("attached/theirs"), root, "c")
    assert raw_list(store, root) == before


def test_a_descriptor_of_others_whose_manifest_is_gone_is_listed_no_more(tagging: Open) -> None:
    # distribution takes no index that names what it does not hold
    store = tagging("attached/dangling")
    assert isinstance(store, Registry)
    root = image(store, "x")
    attached(store, root, "theirs")
    assert store.delete(attachment(root, "theirs")[0].descriptor().digest)
    attached(tagging("attached/dangling"), root, "a")
    there = {attachment(root, text)[0].descriptor().digest for text in ("a", "theirs")}
    assert listing(store, root.digest).digests() <= there
    assert attachment(root, "a")[0].descriptor().digest in listing(store, root.digest).digests()


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"manifests":7}', b'{"manifests":[7]}', b'{"manifests":[{}]}' + b" " * 9]
)
def test_a_list_that_is_none_is_an_error_or_empty_and_no_traceback(tagging: Open, content: bytes) -> None:
    store = tagging("attached/hostile")
    root = image(store, content.decode())
    with FaultProxy(store.name.partition("/")[0]) as proxy:  # type: ignore[union-attr]
        proxy.order("GET manifest", status=200, headers=(("Content-Type", Index(()).media_type),), body=content)
        with contextlib.suppress(MultiarchError):  # and nothing else
            assert listing(repository(proxy.host, "attached/hostile"), root.digest, by=Listed.TAG).referrers == ()


def test_a_tag_that_holds_an_image_is_an_error_and_is_left_alone(tagging: Open) -> None:
    store = tagging("attached/image")
    root, other = image(store, "x"), image(store, "y")
    store.tag(referrers_tag(root.digest), other)
    with pytest.raises(MultiarchError, match="should list it, but names"):
        attached(tagging("attached/image"), root, "a")
    assert store.resolve(referrers_tag(root.digest)) == other


def test_two_machines_at_once_lose_nothing_after_one_more_run_of_each(tagging: Open, host: str) -> None:
    root = image(tagging("attached/race"), "x")
    with FaultProxy(host) as proxy:
        for turn in range(5):
            texts = [f"{turn}-{machine}" for machine in range(3)]
            threads = [
                threading.Thread(target=lambda text=text: attached(repository(proxy.host, "attached/race"), root, text))
                for text in texts
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for text in texts:
                attached(tagging("attached/race"), root, text)
            assert set(texts) <= set(notes(tagging("attached/race"), root))


class Meanwhile(FaultProxy):
    """A proxy that does something before it passes on the first PUT of a list, and notes each one's If-Match."""

    def __init__(self, upstream: str, action: Callable[[], object] = lambda: None) -> None:
        super().__init__(upstream)
        self.conditions: list[str | None] = []
        self._actions = [action]

    def _pass_on(self, client: Any, stream: Any, head: Any, seen: Any, fault: Any) -> bool:
        if seen.kind == "PUT manifest" and "/sha256-" in seen.path:
            self.conditions.append(head.get("If-Match"))
            if self._actions:
                self._actions.pop()()
        return super()._pass_on(client, stream, head, seen, fault)


def test_a_list_that_another_machine_replaced_meanwhile_is_refused_and_joined() -> None:
    """RFC 9110, 13.1.1, If-Match: nothing is lost, not even until the next run."""
    with referring(CACHE, "-api=false", "-etag") as host:
        store, name = repository(host, "attached/etag"), "attached/etag"
        root = image(store, "x")
        with Meanwhile(host) as proxy:
            attached(repository(proxy.host, name), root, "first")
            assert proxy.conditions == [None]  # there is no list yet, so nothing that it has to be
        before = state(store, root)
        with Meanwhile(host, lambda: attached(repository(host, name), root, "between")) as proxy:
            done = attached(repository(proxy.host, name), root, "ours")
            assert (len(proxy.conditions), proxy.conditions[0]) == (2, before)
            assert proxy.conditions[1] not in (None, before)
        assert done.by is Listed.TAG
        assert notes(repository(host, name), root) == ["between", "first", "ours"]


def state(store: Registry, subject: Descriptor) -> str | None:
    """Return what the registry calls the list of what refers to a manifest, as it is now."""
    tagged = store.tagged(referrers_tag(subject.digest))
    assert tagged is not None
    return tagged.etag


def test_a_registry_that_says_that_it_lists_what_it_took_gets_no_tag() -> None:
    """OCI-Subject: that there was no list (404) before something referred to the manifest says nothing then."""
    with referring(CACHE, "-subject", "-unknown") as host, FaultProxy(host) as proxy:
        store = repository(proxy.host, "attached/subject")
        root = image(store, "x")
        assert listing(store, root.digest).by is Listed.TAG
        assert attached(store, root, "a", "b").by is Listed.API
        assert not [seen for seen in proxy.seen if seen.method == "PUT" and "/sha256-" in seen.path]
        assert (store.tags(), notes(store, root)) == ((), ["a", "b"])
        assert attached(repository(proxy.host, "attached/subject"), root, "a", "b").sent == ()


@pytest.mark.parametrize("options", [("-unknown",), ("-api=false", "-subject")])
def test_where_it_says_so_only_or_lists_it_only_the_tag_is_written(options: tuple[str, ...]) -> None:
    """Who relies on either finds them: the specification wants both of a registry that has the API."""
    with referring(CACHE, *options) as host:
        store = repository(host, "attached/half")
        root = image(store, "x")
        assert attached(store, root, "a").by is Listed.TAG
        assert store.tags() == (referrers_tag(root.digest),)
        assert notes(repository(host, "attached/half"), root) == ["a"]
