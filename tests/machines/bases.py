"""Images that somebody else made and pushed: bases to build on, and members of an index that another team pushes."""

from __future__ import annotations

import io
import os
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from multiarch_oci import layer, windows
from multiarch_oci.config import History, ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.layer import Entry
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import (
    DOCKER_CONFIG,
    DOCKER_LAYER_FOREIGN,
    DOCKER_MANIFEST,
    INDEX,
)
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry


def store_of(reference: Reference) -> Registry:
    """Return the repository of a reference, asked without any login."""
    return Registry(Transport(Settings(), Credentials({}, Path(os.devnull))), reference)


def _put(store: Registry, descriptor: Descriptor, content: bytes) -> None:
    store.put(descriptor, lambda: io.BytesIO(content))


def push_image(
    name: str,
    platform: str,
    files: dict[str, bytes],
    *,
    env: tuple[str, ...] = (),
    on_build: tuple[str, ...] = (),
    mode: int = 0o644,
    folders: bool = False,
    links: dict[str, str] | None = None,
    said: Platform | None = None,
    config: ImageConfig | None = None,
    created: str | None = None,
) -> Digest:
    """Push an OCI image of one layer under `name` (`host/repository:tag`); return its manifest's digest.

    `links` are symbolic links, by path.
    With `folders` the layer says of those above its files, too, as those of most images do. The config says the
    platform `said`, to the letter, where that is given; it is `config` but for what its layer makes of it. Buildah uses
    its cache over a base only whose history says when it was `created`.
    """
    reference, wanted = Reference.parse(name), Platform.parse(platform)
    store = store_of(reference)
    entries: list[Entry] | tuple[Entry, ...] = [
        Entry.of_bytes(path, content, mode=mode) for path, content in files.items()
    ]
    entries = [*entries, *(Entry.symlink(path, target) for path, target in (links or {}).items())]
    if folders:
        above = {str(each) for path in files for each in PurePosixPath(path).parents if str(each) != "."}
        entries = [*map(Entry.directory, sorted(above)), *entries]
    if wanted.os == "windows":
        entries = tuple(windows.entries(entries))
    sink = io.BytesIO()
    written = layer.write(entries, sink)
    # Buildah takes no base without a history.
    config = replace(config or ImageConfig(wanted, env=env, on_build=on_build), platform=said or wanted)
    config = replace(config, diff_ids=(written.diff_id,), history=(History(created=created, created_by="test"),))
    manifest = Manifest(config.descriptor(), (written.descriptor,))
    _put(store, written.descriptor, sink.getvalue())
    _put(store, manifest.config, config.to_json())
    _put(store, manifest.descriptor(), manifest.to_json())
    store.tag(reference.tag or "latest", manifest.descriptor())
    return manifest.descriptor().digest


def push_from_windows(name: str, platform: str, content: bytes) -> Digest:
    """Push what `docker push` on Windows pushes: Docker's own types, a base layer that Microsoft keeps, one of ours."""
    reference = Reference.parse(name)
    store = store_of(reference)
    sink = io.BytesIO()
    own = layer.write(tuple(windows.entries([Entry.of_bytes("app/demo.exe", content)])), sink)
    kept = b"the base's layer, which no registry but Microsoft's holds"
    foreign = Descriptor(
        DOCKER_LAYER_FOREIGN,
        Digest.of(kept),
        len(kept),
        urls=("https://mcr.microsoft.com/v2/windows/nanoserver/blobs/" + str(Digest.of(kept)),),
    )
    config = ImageConfig(Platform.parse(platform), diff_ids=(Digest.of(b"unpacked"), own.diff_id)).to_json()
    told = Descriptor.of(DOCKER_CONFIG, config)
    manifest = Manifest(told, (foreign, own.descriptor), media_type=DOCKER_MANIFEST)
    _put(store, own.descriptor, sink.getvalue())
    _put(store, told, config)
    _put(store, manifest.descriptor(), manifest.to_json())
    store.tag(reference.tag or "latest", manifest.descriptor())
    return manifest.descriptor().digest


def push_index(name: str, members: dict[str, Digest], *, named: bool = True) -> Digest:
    """Push an index under `name` of manifests that its repository holds, each by platform; return its digest.

    Without `named` the entries say no platform, which the specification allows.
    """
    reference = Reference.parse(name)
    store = store_of(reference)
    found = []
    for platform, digest in members.items():
        held = store.resolve(str(digest))
        assert held is not None, f"{name}: {digest} is not there"
        found.append(Descriptor(held.media_type, held.digest, held.size, Platform.parse(platform) if named else None))
    content = Index(tuple(found)).to_json()
    descriptor = Descriptor.of(INDEX, content)
    _put(store, descriptor, content)
    store.tag(reference.tag or "latest", descriptor)
    return descriptor.digest
