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


def versions_of(registry: Registry) -> list[str | None]:
    return [entry["platform"].get("os.version") for entry in registry.json("demo", "v1.0")["manifests"]]


def silent_base(registry: Registry) -> str:
    """Push a Windows base that says no os.version; return its name."""
    name = f"{registry.host}/silent:1"
    bases.push_image(name, "windows/amd64", {"Windows/System32/version.txt": b"?"})
    return name


def test_a_declared_version_is_in_the_entry_over_a_base_that_says_none(fresh: Tree, registry: Registry) -> None:
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=silent_base(registry)))
    settings = ("push-manifest", f"REGISTRY={registry.host}")
    fresh.scons(*settings, "PLATFORMS=windows/amd64:10.0.20348")
    assert versions_of(registry) == ["10.0.20348"]
    told = config(registry, registry.json("demo", "v1.0")["manifests"][0]["digest"])
    assert told["os.version"] == "10.0.20348"
    both = (*settings, "PLATFORMS=windows/amd64:10.0.26100.5,windows/amd64,windows(10.0.20348)/amd64")
    fresh.scons(*both)
    assert versions_of(registry) == ["10.0.26100.5", None, "10.0.20348"]
    assert fresh.scons(*both).up_to_date
    assert "everything is there" in fresh.scons("verify", *both).text


def beside_external(image: str) -> tuple[str, ...]:
    """Return what builds a Windows image of its base's version, beside one of somebody else's (`image`)."""
    return ("PLATFORMS=linux/amd64,windows/amd64", f"EXTERNAL=windows/amd64:10.0.20348={image}")


@pytest.mark.parametrize("where", ["there already", "copied"])
@pytest.mark.parametrize("jobs", ["-j1", "-j8"])
def test_an_external_of_the_version_that_the_base_has_is_found_before_anything_is_pushed(
    where: str, jobs: str, fresh: Tree, registry: Registry
) -> None:
    name = f"{registry.host}/" + ("demo:theirs" if where == "there already" else "other-team/port:7")
    bases.push_image(name, f"windows({NEW})/amd64", {"v": b"x"})
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=base(registry, NEW)))
    registry.requests()
    ran = fresh.scons(jobs, "push-manifest", f"REGISTRY={registry.host}", *beside_external(name), check=False)
    assert ran.status == 2
    assert "_output/manifest/demo-v1.0.json: windows(10.0.20348)/amd64 is there 2 times: " in ran.text
    assert "hint: give each Windows image its own os.version" in ran.text
    assert not [request for request in registry.requests() if request.method in ("PUT", "POST", "PATCH")]


def test_two_externals_of_one_version_are_found_before_the_first_is_copied(fresh: Tree, registry: Registry) -> None:
    names = [f"{registry.host}/other-team/port:{number}" for number in (1, 2)]
    for name in names:
        bases.push_image(name, f"windows({NEW})/amd64", {"v": name.encode()})
    registry.requests()
    both = f"EXTERNAL=windows/amd64={names[0]},windows/amd64:10.0.20348={names[1]}"
    ran = fresh.scons("push-manifest", f"REGISTRY={registry.host}", "PLATFORMS=linux/amd64", both, check=False)
    assert (ran.status, "windows(10.0.20348)/amd64 is there 2 times" in ran.text) == (2, True), ran.text
    assert not [request for request in registry.requests() if request.method in ("PUT", "POST", "PATCH")]


def test_an_external_that_is_not_there_yet_holds_up_no_push_of_the_platforms(fresh: Tree, registry: Registry) -> None:
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=base(registry, NEW)))
    fresh.scons("push", f"REGISTRY={registry.host}", *beside_external("./nowhere:1"))
    assert registry.digest("demo", "v1.0-windows-amd64") is not None


def pushed(registry: Registry, *versions: str, named: bool = True) -> str:
    """Push bases of these versions as one index; return its name."""
    members = {
        f"windows({version})/amd64": bases.push_image(
            f"{registry.host}/nano:{version}", f"windows({version})/amd64", {"v": version.encode()}
        )
        for version in versions
    }
    bases.push_index(f"{registry.host}/nano:all", members, named=named)
    return f"{registry.host}/nano:all"


@pytest.mark.parametrize("named", [True, False], ids=["entries with a platform", "entries without"])
def test_without_a_version_the_newest_of_an_index_is_taken_said_and_held(
    named: bool, fresh: Tree, registry: Registry
) -> None:
    name = pushed(registry, "10.0.17763.9000", "10.0.20348.700", "10.0.20348.69", named=named)
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=name))
    settings = (f"REGISTRY={registry.host}", "PLATFORMS=windows/amd64")
    ran = fresh.scons("push-manifest", *settings)
    first = registry.digest("nano", "10.0.20348.700")
    words = "Windows 10.0.20348.700, the newest there (beside 10.0.20348.69, 10.0.17763.9000)"
    assert f"images.lock: {name} for windows/amd64 is {first} ({words})" in ran.text
    assert f"{name} windows/amd64 {first} 10.0.20348.700 index=sha256:" in fresh.read("images.lock")
    assert versions_of(registry) == ["10.0.20348.700"]
    pushed(registry, "10.0.20348.700", "10.0.26100.1", named=named)
    assert fresh.scons("push-manifest", *settings).up_to_date
    newer = registry.digest("nano", "10.0.26100.1")
    change = (
        f"{first} (Windows 10.0.20348.700) → {newer} (Windows 10.0.26100.1, the newest there (beside 10.0.20348.700))"
    )
    ran = fresh.scons("check-bases", *settings, check=False)
    assert (ran.status, f"{name} for windows/amd64 is stale: {change}" in ran.text) == (1, True)
    assert f"{name} for windows/amd64: {change}" in fresh.scons("update-bases", *settings).text
    assert f"{name} windows/amd64 {newer} 10.0.26100.1 index=sha256:" in fresh.read("images.lock")
    fresh.scons("push-manifest", *settings)
    assert versions_of(registry) == ["10.0.26100.1"]


def test_a_lock_line_of_before_keeps_what_it_holds(fresh: Tree, registry: Registry) -> None:
    name = pushed(registry, "10.0.17763.9000", "10.0.20348.700")
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=name))
    line = f"{name} windows/amd64 {registry.digest('nano', '10.0.17763.9000')}\n"
    fresh.edit("images.lock", line)
    fresh.scons("push-manifest", f"REGISTRY={registry.host}", "PLATFORMS=windows/amd64")
    assert versions_of(registry) == ["10.0.17763.9000"]
    assert fresh.read("images.lock") == line


@pytest.mark.parametrize(
    "platforms",
    [
        "linux/amd64,windows/amd64:10.0.20348,windows/amd64",
        "linux/amd64,windows/amd64,windows/amd64:10.0.20348",
        "linux/amd64,windows/amd64:10.0.20348.1,windows/amd64:10.0.20348.2",
    ],
)
@pytest.mark.parametrize("target", ["push", "push-manifest"])
def test_two_platforms_of_one_windows_are_an_error_before_anything_is_pushed(
    platforms: str, target: str, fresh: Tree, registry: Registry
) -> None:
    fresh.edit("Dockerfile.win", DOCKERFILE.format(base=base(registry, NEW)))
    ran = fresh.scons(target, f"REGISTRY={registry.host}", f"PLATFORMS={platforms}", "-j1", check=False)
    assert ran.status == 2
    assert f"two images are windows({NEW})/amd64: " in ran.text or "is there 2 times" in ran.text
    assert "Traceback" not in ran.text
    assert registry.tags("demo") == []
