"""Every kind of registry: what all of them do, and referrers, which some have an API for and others a tag.

OCI distribution spec 1.1; what is only asked of registries whose storage can be looked into stands in test_registry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import CACHE
from faults import FaultProxy
from machines.referring import image, put, referring
from machines.registry import Registry as Machine
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.mediatype import LAYER_GZIP, MANIFEST
from multiarch_oci.reference import Reference
from multiarch_oci.store import copy
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.memory import Memory
from multiarch_oci.store.referrers import listing
from multiarch_oci.store.registry import Registry

KINDS = ("docker-registry", "distribution v3", "go-containerregistry with referrers")
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
CHUNK = 1 << 18


@pytest.fixture(scope="module", params=KINDS)
def host(request: pytest.FixtureRequest, make_registry: Callable[..., Machine]) -> Iterator[str]:
    if request.param == KINDS[2]:
        with referring(CACHE) as address:
            yield address
    else:
        yield make_registry("debian" if request.param == KINDS[0] else "v3").host


@pytest.fixture
def native(request: pytest.FixtureRequest, host: str) -> bool:  # noqa: ARG001  # its kind counts
    """Say whether the registry has the API."""
    return bool(request.node.callspec.params["host"] == KINDS[2])


def repository(host: str, name: str) -> Registry:
    made = Transport(Settings(backoff=0.01, chunk=CHUNK), Credentials({}, Path("/nowhere")))
    return Registry(made, Reference(host, name))


def signature(store: Registry, subject: Descriptor, text: str) -> Descriptor:
    """Attach something to a manifest, as cosign and oras do; return its descriptor as listings have it."""
    members = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SIGNATURE,
        "config": put(store, "application/vnd.oci.empty.v1+json", b"{}").to_json(),
        "layers": [put(store, "application/octet-stream", text.encode()).to_json()],
        "subject": subject.to_json(),
        "annotations": {"note": text},
    }
    made = put(store, MANIFEST, json.dumps(members).encode())
    return Descriptor(MANIFEST, made.digest, made.size, None, (("note", text),), (), SIGNATURE)


def listed(store: Registry, subject: Descriptor, *referrers: Descriptor) -> None:
    """Say what refers to a manifest, as a client does for a registry without the API (referrers tag schema)."""
    index = put(store, Index(()).media_type, Index(referrers).to_json())
    store.tag(f"{subject.digest.algorithm}-{subject.digest.hex}", index)


def referring_to(store: Registry, subject: Descriptor) -> set[Digest]:
    """Return the digests alone: go-containerregistry leaves annotations out, and names the config as artifactType."""
    return {descriptor.digest for descriptor in listing(store, subject.digest).referrers}


def test_an_image_goes_there_and_comes_back(host: str) -> None:
    # "Pushing Manifests", "Pulling manifests", "Listing Tags"
    store = repository(host, "kinds/image")
    assert (store.resolve("v1"), store.tags()) == (None, ())
    source, index = Memory(), Index((image(Memory(), "x"),))
    members = Index(tuple(image(source, text) for text in ("one", "two")))
    root = put(source, members.media_type, members.to_json())
    assert index.descriptor().digest != root.digest
    copy(source, store, root, tags=("v1", "latest"))
    assert (store.resolve("v1"), store.resolve("latest"), store.tags()) == (root, root, ("latest", "v1"))
    assert store.resolve(str(root.digest)) == root
    back = Memory()
    copy(store, back, root)
    assert back.open(root).read() == members.to_json()


def test_a_large_blob_goes_up_in_chunks_and_is_mounted(host: str) -> None:
    # "Pushing a blob in chunks", "Mounting a blob from another repository"
    store, content = repository(host, "kinds/large"), bytes(range(256)) * (3 * CHUNK // 256) + b"end"
    large = put(store, LAYER_GZIP, content)
    assert store.open(large).read() == content
    beside = repository(host, "kinds/beside")
    if not beside.mount(large, Reference(host, "kinds/large")):
        put(beside, LAYER_GZIP, content)
    assert beside.has(large)


def test_what_refers_to_a_manifest_is_listed(host: str, native: bool) -> None:
    # "Listing Referrers", "Unavailable Referrers API"; image spec 1.1, manifest.md, "subject"
    store = repository(host, "kinds/signed")
    root = image(store, "signed")
    assert listing(store, root.digest).referrers == ()
    signatures = tuple(signature(store, root, text) for text in ("first", "second"))
    if not native:
        assert listing(store, root.digest).referrers == ()  # nobody wrote the tag
        listed(store, root, *signatures)
    assert referring_to(store, root) == {made.digest for made in signatures}
    assert store.tags() == (() if native else (f"sha256-{root.digest.hex}",))


def test_a_registry_with_the_api_is_not_asked_for_the_tag(host: str, native: bool) -> None:
    # "Listing Referrers": only a 404 means that there is no API
    root = image(repository(host, "kinds/none"), "alone")
    with FaultProxy(host) as proxy:
        assert listing(repository(proxy.host, "kinds/none"), root.digest).referrers == ()
        assert [seen.method for seen in proxy.seen if "sha256-" in seen.path] == ([] if native else ["GET"])


def test_a_copied_image_leaves_its_signatures_where_they_are(host: str, native: bool) -> None:
    # docs/howto/external-images.md says so: what refers to an image is copied by nobody but those who ask for it
    store, target = repository(host, "kinds/origin"), repository(host, "kinds/target")
    root = image(store, "copied")
    made = signature(store, root, "of the origin")
    if not native:
        listed(store, root, made)
    copy(store, target, root, tags=("v1",))
    assert referring_to(store, root) == {made.digest}
    assert listing(target, root.digest).referrers == ()
    assert target.resolve("v1") == root


def test_publishing_again_keeps_the_signatures_of_what_stays(host: str, native: bool) -> None:
    # The same digest is the same subject: a tag that moves away and comes back is signed as it was.
    store = repository(host, "kinds/kept")
    root, other = image(store, "first"), image(store, "second")
    made = signature(store, root, "kept")
    if not native:
        listed(store, root, made)
    for each in (root, other, root):
        copy(store, store, each, tags=("v1",))
    assert referring_to(store, root) == {made.digest}
