"""One tag for Linux and several versions of Windows: built here, each entry right, read by somebody else's tool."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

import windows_layer_rules
from machines import bases
from machines.engine import Tool
from machines.registry import Registry
from machines.small import Tree

OLD, NEW = "10.0.17763.6659", "10.0.20348.2849"
PLATFORMS = "linux/amd64,linux/arm64,linux/arm/v7,windows/amd64:10.0.20348,windows/amd64:10.0.17763"
DOCKERFILE = """\
FROM {base}
COPY _output/bin/amd64/windows/demo.exe /app/demo.exe
COPY share /app/share
ENTRYPOINT ["C:\\\\app\\\\demo.exe"]
"""


def base(registry: Registry, version: str) -> str:
    """Push a base of this version of Windows; return its name."""
    name = f"{registry.host}/nano:{version}"
    files = {"Windows/System32/version.txt": version.encode()}
    bases.push_image(name, f"windows({version})/amd64", files, env=("base=" + version,))
    return name


@pytest.fixture
def five(fresh: Tree, registry: Registry) -> Tree:
    """Return a tree of five platforms, published."""
    for version in (OLD, NEW):
        short = version.rpartition(".")[0]
        fresh.edit(f"Dockerfile.win-{short}", DOCKERFILE.format(base=base(registry, version)))
    fresh.scons(*arguments(registry))
    return fresh


def arguments(registry: Registry) -> tuple[str, ...]:
    return ("push-manifest", f"REGISTRY={registry.host}", f"PLATFORMS={PLATFORMS}")


def blob(registry: Registry, digest: str) -> bytes:
    return registry.blob(digest).read_bytes()


def config(registry: Registry, digest: str) -> Any:
    return json.loads(blob(registry, registry.json("demo", digest)["config"]["digest"]))


def test_five_entries_each_right(five: Tree, registry: Registry, skopeo: Tool, tmp_path: Path) -> None:
    entries = registry.json("demo", "v1.0")["manifests"]
    assert [entry["platform"] for entry in entries] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
        {"architecture": "amd64", "os": "windows", "os.version": NEW},
        {"architecture": "amd64", "os": "windows", "os.version": OLD},
    ]
    for entry in entries:
        told = config(registry, entry["digest"])
        assert {key: told[key] for key in entry["platform"]} == entry["platform"]
        layers = registry.json("demo", entry["digest"])["layers"]
        assert len(layers) == len(told["rootfs"]["diff_ids"])
    for entry in entries[3:]:
        version = entry["platform"]["os.version"]
        layers = registry.json("demo", entry["digest"])["layers"]
        assert layers[0] == registry.json("nano", version)["layers"][0]
        assert "base=" + version in config(registry, entry["digest"])["config"]["Env"]
        assert config(registry, entry["digest"])["config"]["Entrypoint"] == ["C:\\app\\demo.exe"]
        for layer in layers[1:]:
            assert windows_layer_rules.broken_rules(io.BytesIO(gzip.decompress(blob(registry, layer["digest"])))) == []
    assert registry.tags("demo") == [
        "v1.0",
        "v1.0-amd64",
        "v1.0-arm-v7",
        "v1.0-arm64",
        "v1.0-windows-amd64-10.0.17763",
        "v1.0-windows-amd64-10.0.20348",
    ]
    name = f"docker://{registry.host}/demo:v1.0"
    assert skopeo.run("inspect", "--raw", "--tls-verify=false", name).encode() == registry.manifest("demo", "v1.0")[0]
    skopeo.run("copy", "--all", "--src-tls-verify=false", name, f"dir:{tmp_path / 'all'}")
    copied = json.loads((tmp_path / "all/manifest.json").read_bytes())
    assert [entry["digest"] for entry in copied["manifests"]] == [entry["digest"] for entry in entries]
    assert five.scons(*arguments(registry)).up_to_date


def test_another_base_of_one_version_redoes_that_version_alone(five: Tree, registry: Registry) -> None:
    five.edit("Dockerfile.win-10.0.17763", DOCKERFILE.format(base=base(registry, "10.0.17763.7000")))
    ran = five.scons(*arguments(registry))
    assert sorted(ran.steps) == [
        "Image _output/images/demo-windows-amd64-10.0.17763.tar",
        "Index _output/manifest/demo-v1.0.json",
        f"Publish {registry.host}/demo:v1.0",
        f"Push {registry.host}/demo:v1.0-windows-amd64-10.0.17763",
    ]
    versions = [entry["platform"].get("os.version") for entry in registry.json("demo", "v1.0")["manifests"]]
    assert versions == [None, None, None, NEW, "10.0.17763.7000"]


def test_an_index_as_base_gives_each_version_its_entry(fresh: Tree, registry: Registry) -> None:
    members = {
        f"windows({version})/amd64": bases.push_image(
            f"{registry.host}/nano:{version}", f"windows({version})/amd64", {"v": version.encode()}
        )
        for version in (OLD, NEW)
    }
    bases.push_index(f"{registry.host}/nano:all", members)
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=f"{registry.host}/nano:all"))
    settings = ("push-manifest", f"REGISTRY={registry.host}")
    fresh.scons(*settings, "PLATFORMS=windows/amd64:10.0.17763,windows/amd64:10.0.20348.1")
    found = {
        entry["platform"]["os.version"]: registry.json("demo", entry["digest"])["layers"][0]
        for entry in registry.json("demo", "v1.0")["manifests"]
    }
    assert found == {version: registry.json("nano", version)["layers"][0] for version in (OLD, NEW)}
    ran = fresh.scons(*settings, "PLATFORMS=windows/amd64:10.0.26100", check=False)
    assert ran.status == 2
    assert "nano:all" in ran.text
    assert "10.0.26100" in ran.text
    assert "Traceback" not in ran.text


def test_without_a_version_the_base_has_its_own(fresh: Tree, registry: Registry) -> None:
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=base(registry, NEW)))
    fresh.scons("push-manifest", f"REGISTRY={registry.host}", "PLATFORMS=windows/amd64")
    entries = registry.json("demo", "v1.0")["manifests"]
    assert [entry["platform"]["os.version"] for entry in entries] == [NEW]
    assert registry.tags("demo") == ["v1.0", "v1.0-windows-amd64"]
