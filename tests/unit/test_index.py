"""Indexes."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.index import IncompleteIndex, Index
from multiarch_oci.mediatype import DOCKER_INDEX, INDEX, MANIFEST
from multiarch_oci.platform import Platform, declared


def member(platform: str, content: str = "") -> Descriptor:
    return replace(Descriptor.of(MANIFEST, (platform + content).encode()), platform=Platform.parse(platform))


AMD, ARM, WIN = member("linux/amd64"), member("linux/arm64"), member("windows(10.0.20348.2849)/amd64")


def assembled(members: list[Descriptor], platforms: str) -> Index:
    return Index.assemble(members, platforms=declared(platforms), where="demo")


def refused(members: list[Descriptor], platforms: str) -> str:
    with pytest.raises(IncompleteIndex) as caught:
        assembled(members, platforms)
    return str(caught.value)


def test_the_members_stand_in_the_order_of_the_platforms():
    index = assembled([WIN, ARM, AMD], "linux/amd64,linux/arm64,windows/amd64")
    assert index.manifests == (AMD, ARM, WIN)


def test_an_index_made_here_has_exact_bytes():
    index = Index.assemble(
        [AMD, WIN], platforms=declared("linux/amd64,windows/amd64"), annotations=(("b", "1"), ("a", "2")), where="x"
    )
    assert index.to_json().decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['
        '{"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"digest":"{AMD.digest}","size":11,"platform":{{"architecture":"amd64","os":"linux"}}}},'
        '{"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"digest":"{WIN.digest}","size":30,"platform":{{"architecture":"amd64","os":"windows","os.version":"10.0.20348.2849"}}}}'
        '],"annotations":{"a":"2","b":"1"}}'
    )
    assert index.descriptor() == Descriptor(INDEX, Digest.of(index.to_json()), len(index.to_json()))


def test_only_what_the_member_is_stands_in_the_index():
    noted = replace(AMD, annotations=(("from", "here"),), urls=("https://x",), artifact_type="t")
    assert assembled([noted], "linux/amd64").to_json() == assembled([AMD], "linux/amd64").to_json()


def test_a_missing_platform_is_an_error():
    assert refused([AMD], "linux/amd64,linux/arm64") == (
        "demo: declared linux/arm64 is missing\n"
        "  hint: nothing given to env.Index provides it; push it, name it in EXTERNAL, or drop it from PLATFORMS"
    )


def test_a_member_that_was_not_declared_is_an_error():
    assert refused([AMD, ARM], "linux/amd64") == (
        "demo: linux/arm64 is a member, but was not declared\n"
        "  hint: add it to PLATFORMS (platforms= of env.Index), or drop the member"
    )


def test_two_members_of_one_platform_are_an_error():
    other = member("linux/amd64", "other")
    assert refused([AMD, other], "linux/amd64") == (
        f"demo: linux/amd64 is there 2 times: {AMD.digest}, {other.digest}\n"
        "  hint: give each Windows image its own os.version, and each platform one image"
    )


def test_two_windows_versions_are_told_apart():
    old = member("windows(10.0.17763.6659)/amd64")
    index = assembled([WIN, old], "windows(10.0.17763)/amd64,windows(10.0.20348)/amd64")
    assert index.manifests == (old, WIN)
    assert "is there 2 times" in refused([WIN, old], "windows/amd64")


def test_the_windows_that_no_declared_version_takes_is_that_without_one():
    old = member("windows(10.0.17763.6659)/amd64")
    index = assembled([WIN, old], "windows/amd64,windows(10.0.17763)/amd64")
    assert index.manifests == (WIN, old)


def test_two_images_of_one_platform_however_declared_are_an_error():
    silent, other = member("windows/amd64", "a"), member("windows/amd64", "b")
    assert assembled([WIN, silent], "windows(10.0.20348)/amd64,windows/amd64").manifests == (WIN, silent)
    text = "windows(10.0.20348.2849)/amd64 is there 2 times"
    assert text in refused(
        [WIN, replace(silent, platform=WIN.platform)], "windows(10.0.20348.2849)/amd64,windows/amd64"
    )
    assert "is there 2 times" in refused([other, silent], "windows/amd64")


@pytest.mark.parametrize(
    ("found", "declared_as", "said"),
    [
        (Platform("linux", "arm"), "linux/arm/v7", Platform("linux", "arm", "v7")),
        (Platform("linux", "arm"), "linux/arm/v6", Platform("linux", "arm", "v6")),
        (Platform("linux", "arm64", "unknown"), "linux/arm64", Platform("linux", "arm64")),
        (Platform("linux", "ARM64v8"), "linux/arm64", Platform("linux", "arm64")),
        (Platform("windows", "amd64"), "windows(10.0.1)/amd64", Platform("windows", "amd64", "", "10.0.1")),
        (Platform("windows", "x86_64", "", "10.0.1.7"), "windows/amd64", Platform("windows", "amd64", "", "10.0.1.7")),
    ],
)
def test_an_entry_says_the_declared_platform(found: Platform, declared_as: str, said: Platform):
    members = [replace(AMD, platform=found)]
    index = Index.assemble(members, platforms=[Platform.parse(declared_as)], where="demo")
    assert [entry.platform for entry in index.manifests] == [said]


def test_a_member_without_platform_is_an_error():
    unknown = replace(AMD, platform=None)
    assert refused([unknown], "linux/amd64") == f"demo: {AMD.digest} names no platform"


def test_the_bytes_that_were_read_are_kept():
    content = json.dumps(json.loads(Index((AMD, ARM)).to_json()), indent=1).encode()
    found = Index.from_json(content, where="x")
    assert found.to_json() == content
    assert found.manifests == (AMD, ARM)


@pytest.mark.parametrize(
    ("content", "served", "text"),
    [
        (
            b'{"mediaType":"%s"}' % INDEX.encode(),
            DOCKER_INDEX,
            f"x: says it is {INDEX}, but was served as {DOCKER_INDEX}",
        ),
        (b'{"mediaType":"%s"}' % MANIFEST.encode(), None, f"x: is {MANIFEST}, not an index"),
        (b'{"config":{}}', None, f"x: is {INDEX}, not an index"),
        (b'{"layers":[]}', None, f"x: is {INDEX}, not an index"),
        (b'{"manifests":[{"size":1}]}', None, "x: manifests[0]: has no 'mediaType'"),
    ],
)
def test_what_is_no_index_is_refused(content: bytes, served: str | None, text: str):
    with pytest.raises(InvalidDocument) as caught:
        Index.from_json(content, where="x", media_type=served)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("linux/amd64", AMD),
        ("linux/arm64", ARM),
        ("linux/amd64/v3", AMD),
        ("windows/amd64", WIN),
        ("windows(10.0.20348)/amd64", WIN),
        ("windows(10.0.17763)/amd64", None),
        ("linux/s390x", None),
    ],
)
def test_the_entry_for_a_platform_is_found(wanted: str, found: Descriptor | None):
    attestation = replace(member("linux/amd64", "unnamed"), platform=None)
    index = Index((attestation, AMD, ARM, WIN))
    assert index.select(Platform.parse(wanted)) == found


def test_an_exact_entry_comes_before_one_that_matches():
    third = member("linux/amd64/v3")
    assert Index((AMD, third)).select(Platform.parse("linux/amd64/v3")) == third
    assert Index((third, AMD)).select(Platform.parse("linux/amd64")) == AMD
