"""The machines of the tests are what they say: real registries, real authentication, real engines."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import socket
import tarfile
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.engine import Tool
from machines.project import steps_of
from machines.registry import PASSWORD, USER, Registry, Request
from machines.tokens import REFRESH_TOKEN, TokenRegistry


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def write_layout(folder: Path, text: str) -> str:
    """Write an OCI layout by hand, without the library under test; return the manifest's digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes) -> str:
        digest = digest_of(content)
        (blobs / digest[7:]).write_bytes(content)
        return digest

    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("note")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        layer = buffer.getvalue()
    packed = gzip.compress(layer, mtime=0)
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": put(config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": put(packed),
                    "size": len(packed),
                }
            ],
        }
    ).encode()
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": put(manifest),
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "it"},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}), encoding="utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return entry["digest"]


def push(skopeo: Tool, layout: Path, host: str, *options: str) -> str:
    return skopeo.run("copy", "--dest-tls-verify=false", *options, f"oci:{layout}:it", f"docker://{host}/team/demo:v1")


@pytest.fixture
def layout(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / "layout", write_layout(tmp_path / "layout", "hello")


def test_what_skopeo_pushes_is_in_the_registry_and_can_be_moved_and_taken_away(
    registry: Registry, skopeo: Tool, layout: tuple[Path, str]
) -> None:
    folder, digest = layout
    push(skopeo, folder, registry.host)
    assert registry.tags("team/demo") == ["v1"]
    assert registry.digest("team/demo", "v1") == digest
    assert digest_of(registry.manifest("team/demo", "v1")[0]) == digest
    assert Request("PUT", "/v2/team/demo/manifests/v1", 201) in registry.requests()
    assert registry.move_tag("team/demo", "v2", "v1") == digest
    registry.delete_tag("team/demo", "v1")
    assert registry.tags("team/demo") == ["v2"]
    assert registry.digest("team/demo", "v1") is None
    assert registry.digest("team/demo", digest) == digest
    layer = registry.json("team/demo", "v2")["layers"][0]["digest"]
    assert digest_of(registry.blob(layer).read_bytes()) == layer
    registry.delete_manifest("team/demo", digest)
    assert registry.digest("team/demo", "v2") is None


def test_a_registry_stops_and_comes_back_with_its_tags_until_it_is_emptied(
    registry: Registry, skopeo: Tool, layout: tuple[Path, str]
) -> None:
    folder, digest = layout
    push(skopeo, folder, registry.host)
    host = registry.host
    registry.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        registry.digest("team/demo", "v1")
    registry.start()
    assert registry.host == host
    assert registry.digest("team/demo", "v1") == digest
    registry.empty()
    assert registry.digest("team/demo", "v1") is None
    push(skopeo, folder, registry.host)
    assert registry.digest("team/demo", "v1") == digest


def test_two_registries_share_nothing(make_registry: Callable[..., Registry], skopeo: Tool, layout) -> None:
    one, two = make_registry(), make_registry()
    push(skopeo, layout[0], one.host)
    assert one.digest("team/demo", "v1") == layout[1]
    assert two.digest("team/demo", "v1") is None
    one.stop()
    two.stop()


def test_distribution_v3_serves_too(make_registry: Callable[..., Registry], skopeo: Tool, layout) -> None:
    registry = make_registry("v3")
    push(skopeo, layout[0], registry.host)
    assert registry.digest("team/demo", "v1") == layout[1]
    assert Request("PUT", "/v2/team/demo/manifests/v1", 201) in registry.requests()
    registry.stop()


def test_basic_registry_takes_the_right_password_only(basic_registry: Registry, skopeo: Tool, layout) -> None:
    push(skopeo, layout[0], basic_registry.host, f"--dest-creds={USER}:{PASSWORD}")
    assert basic_registry.digest("team/demo", "v1") == layout[1]
    for options in (("--dest-creds=tester:wrong",), ()):
        with pytest.raises(AssertionError, match=r"authentication required|unauthorized"):
            push(skopeo, layout[0], basic_registry.host, *options)


def test_token_registry_takes_tokens_of_its_service_only(token_registry: TokenRegistry, skopeo: Tool, layout) -> None:
    service = token_registry.service
    push(skopeo, layout[0], token_registry.host, f"--dest-creds={USER}:{PASSWORD}")
    assert token_registry.registry.tags("team/demo") == ["v1"]
    assert service.issued["GET"] >= 1
    assert service.asked[-1][1]["scope"] == ["repository:team/demo:pull,push"]
    before = service.refused
    with pytest.raises(AssertionError, match=r"unauthorized|401"):
        push(skopeo, layout[0], token_registry.host, "--dest-creds=tester:wrong")
    assert service.refused > before


def test_token_service_exchanges_passwords_and_identity_tokens(token_registry: TokenRegistry) -> None:
    service, registry = token_registry.service, token_registry.registry
    scope = "repository:team/demo:pull,push"

    def ask(token: str) -> int:
        try:
            registry.ask("POST", "/v2/team/demo/blobs/uploads/", b"", {"Authorization": f"Bearer {token}"})
        except urllib.error.HTTPError as error:
            return error.code
        return 202

    for grant in (
        {"grant_type": ["password"], "username": [USER], "password": [PASSWORD], "scope": [scope]},
        {"grant_type": ["refresh_token"], "refresh_token": [REFRESH_TOKEN], "scope": [scope]},
    ):
        status, answer = service.by_grant(grant)
        assert (status, ask(answer["access_token"])) == (200, 202)
    assert service.by_grant({"grant_type": ["refresh_token"], "refresh_token": ["wrong"]})[0] == 401
    assert "wrong" not in str(service.asked)
    assert REFRESH_TOKEN not in str(service.asked)

    service.lifetime = -120  # over the minute that registries grant to wrong clocks
    assert ask(service.by_grant(grant)[1]["access_token"]) == 401

    service.lifetime, service.anonymous_pull = 300, True
    reading = service.by_password("GET", {"scope": [scope]}, None)[1]["token"]
    assert ask(reading) == 401


def test_docker_pulls_from_the_registry(docker_engine, registry: Registry, skopeo: Tool, layout) -> None:
    push(skopeo, layout[0], registry.host)
    image = docker_engine.images.pull(f"{registry.host}/team/demo:v1")
    assert image.attrs["RepoDigests"] == [f"{registry.host}/team/demo@{layout[1]}"]
    docker_engine.images.remove(image.id, force=True)


def test_podman_pulls_from_the_registry(podman: Tool, registry: Registry, skopeo: Tool, layout) -> None:
    push(skopeo, layout[0], registry.host)
    podman.run("pull", "--tls-verify=false", f"{registry.host}/team/demo:v1")
    assert layout[1] in podman.run("images", "--digests")


def test_crane_reads_the_registry(crane: Tool, registry: Registry, skopeo: Tool, layout) -> None:
    push(skopeo, layout[0], registry.host)
    assert crane.run("digest", f"{registry.host}/team/demo:v1").strip() == layout[1]


def test_steps_are_read_without_their_reasons() -> None:
    text = (
        "scons: Building targets ...\n"
        "Compile linux/arm64\n"
        "Image linux/arm64: Dockerfile.arm64 changed\n"
        "Push 127.0.0.1:5000/demo:v1.0-arm64\n"
        "Publish 127.0.0.1:5000/demo:v1.0: the tag was deleted: gone\n"
        "Testing is no step\n"
        "scons: done building targets.\n"
    )
    assert steps_of(text) == [
        "Compile linux/arm64",
        "Image linux/arm64",
        "Push 127.0.0.1:5000/demo:v1.0-arm64",
        "Publish 127.0.0.1:5000/demo:v1.0",
    ]


def test_what_a_proxy_holds_back_does_not_arrive_after_its_end(registry: Registry):
    content = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    head = (
        "PUT /v2/demo/manifests/v1 HTTP/1.1\r\nHost: here\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\n"
    )
    with FaultProxy(registry.host) as proxy:
        proxy.order("PUT manifest", stall=0.5)
        name, _, port = proxy.host.partition(":")
        with socket.create_connection((name, int(port))) as client:
            client.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            while not proxy.seen:
                time.sleep(0.01)
    time.sleep(1.0)
    assert registry.tags("demo") == []
