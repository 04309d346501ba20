"""A registry in memory that has the referrers API (OCI distribution spec 1.1), made of go-containerregistry's."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, LAYER_GZIP, MANIFEST
from multiarch_oci.store import Store

from .engine import crane
from .project import Project
from .registry import Registry, free_port
from .required import locked, missing, required

SOURCES = Path(__file__).with_name("referrers")


def attached(tree: Project, registry: Registry, repository: str) -> set[str]:
    """Return the digests of what the artifacts hold that the receipts of a tree name, as the registry has them."""
    folder = tree.path / "_output/receipts/attestations" / registry.host.replace(":", "_") / repository
    receipts = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
    assert {receipt["reference"].rpartition(":")[0] for receipt in receipts} == {f"{registry.host}/{repository}"}
    listed = [referrer["digest"] for receipt in receipts for referrer in receipt["referrers"]]
    return {layer["digest"] for digest in listed for layer in registry.json(repository, digest)["layers"]}


def put(store: Store, media_type: str, content: bytes) -> Descriptor:
    """Put a blob or manifest into a store."""
    descriptor = Descriptor.of(media_type, content)
    store.put(descriptor, lambda: io.BytesIO(content))
    return descriptor


def image(store: Store, text: str) -> Descriptor:
    """Put an image of one layer into a store, another one for each text: something to refer to."""
    layer = put(store, LAYER_GZIP, text.encode() * 100)
    return put(store, MANIFEST, Manifest(put(store, CONFIG, b"{}"), (layer,)).to_json())


def program(cache: Path) -> Path:
    """Return the program, built at first use into `cache` and then kept there."""
    files = sorted(SOURCES.iterdir())
    kept = cache / f"referrers-{hashlib.sha256(b''.join(file.read_bytes() for file in files)).hexdigest()[:12]}"
    with locked(cache / ".referrers.lock"):
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                for file in files:
                    shutil.copy(file, folder)
                environment = os.environ | {"GOFLAGS": "-buildvcs=false -mod=mod", "CGO_ENABLED": "0"}
                command = [required("go"), "build", "-o", "built", "."]
                ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
                if ran.returncode:
                    missing("go-containerregistry", f"`go build` failed:\n{ran.stderr}")
                Path(folder, "built").replace(kept)
    return kept


@contextlib.contextmanager
def referring(cache: Path, *options: str) -> Iterator[str]:
    """Serve an empty registry; give its `127.0.0.1:PORT`.

    `options`: `-api=false` lists nothing by itself; `-subject` says of what it takes that it lists it (OCI-Subject);
    `-unknown` has no list (404) where nothing refers to a manifest; `-etag` knows ETag and If-Match.
    """
    with subprocess.Popen([program(cache), *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def plain(cache: Path) -> Iterator[str]:
    """Serve an empty registry of go-containerregistry's without the referrers API; give its `127.0.0.1:PORT`."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [*crane(cache).command, "registry", "serve", "--address", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(1200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield address
        finally:
            process.kill()
