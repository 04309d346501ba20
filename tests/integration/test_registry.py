"""store/registry against real registries: what is put is there, what is read is verified, nothing is sent twice."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from machines.registry import Registry as Machine
from multiarch.descriptor import Descriptor
from multiarch.manifest import Manifest
from multiarch.mediatype import CONFIG, LAYER_GZIP
from multiarch.reference import Reference
from multiarch.store import BlobMissing
from multiarch.store.auth import Credentials
from multiarch.store.http import Settings, Transport
from multiarch.store.memory import Memory
from multiarch.store.registry import Registry, resolve_all

QUICK = Settings(backoff=0.01, longest_pause=1.0, chunk=1 << 20)


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
    store = repository(registry.host)
    descriptor, content = blob(5000)
    assert not store.has(descriptor)
    store.put(descriptor, content)
    assert store.has(descriptor)
    assert store.open(descriptor).read() == content().read()
    assert [request.method for request in registry.requests()] == ["HEAD", "POST", "PUT", "HEAD", "GET"]


def test_a_large_blob_goes_up_in_chunks(registry: Machine) -> None:
    store = repository(registry.host)
    descriptor, content = blob((5 << 20) + 17)
    store.put(descriptor, content)
    assert registry.blob(str(descriptor.digest)).read_bytes() == content().read()


def test_a_manifest_keeps_its_bytes_and_gets_tags(registry: Machine) -> None:
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
    store = repository(registry.host, "nobody/knows")
    descriptor, _ = blob(10)
    assert store.resolve("v1") is None
    assert store.tags() == ()
    assert not store.has(descriptor)
    with pytest.raises(BlobMissing):
        store.open(descriptor)


def test_all_tags_are_resolved_with_one_request_each(registry: Machine) -> None:
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
