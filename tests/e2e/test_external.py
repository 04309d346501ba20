"""What somebody else pushed joins the index: by tag, reference, digest or out of an index; and what it may not do.

OCI distribution spec 1.1: "Pulling manifests"; image spec 1.1, image-index.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from machines import bases
from machines.engine import Tool
from machines.registry import Registry
from machines.small import Tree
from multiarch_oci.platform import Platform

WINDOWS = "windows(10.0.20348.2849)/amd64"
INDEX = "Index _output/manifest/demo-v1.0.json"


def image(registry: Registry, name: str, platform: str, content: bytes = b"theirs") -> str:
    """Push an image as somebody else does; return its digest."""
    return str(bases.push_image(f"{registry.host}/{name}", platform, {"app/demo": content}))


def build(tree: Tree, registry: Registry, external: str, *more: str, check: bool = True):
    return tree.scons("push-manifest", f"REGISTRY={registry.host}", f"EXTERNAL={external}", *more, check=check)


def entries(registry: Registry, tag: str = "v1.0") -> dict[str, str]:
    """Return the digest of each entry of the published index, by `os/architecture[/variant][:os.version]`."""
    found = {}
    for entry in registry.json("demo", tag)["manifests"]:
        told = entry["platform"]
        name = "/".join(told[key] for key in ("os", "architecture", "variant") if key in told)
        found[name + (f":{told['os.version']}" if "os.version" in told else "")] = entry["digest"]
    return found


def kept(tree: Tree) -> bytes:
    return (tree.path / "_output/manifest/demo-v1.0.json").read_bytes()


def test_by_a_tag_whose_suffix_names_the_platform(tree: Tree, registry: Registry) -> None:
    theirs = image(registry, "demo:v1.0-windows-amd64", WINDOWS)
    ran = build(tree, registry, "v1.0-windows-amd64")
    assert f"Pin {registry.host}/demo:v1.0-windows-amd64" in ran.steps
    assert list(entries(registry)) == ["linux/amd64", "linux/arm64", "windows/amd64:10.0.20348.2849"]
    assert entries(registry)["windows/amd64:10.0.20348.2849"] == theirs
    assert registry.manifest("demo", "v1.0")[0] == kept(tree)
    assert build(tree, registry, "v1.0-windows-amd64").up_to_date


def test_by_a_platform_before_a_tag_that_names_none(tree: Tree, registry: Registry) -> None:
    theirs = image(registry, "demo:from-hardware", "linux/riscv64")
    build(tree, registry, "linux/riscv64=from-hardware")
    assert entries(registry)["linux/riscv64"] == theirs
    assert build(tree, registry, "linux/riscv64=from-hardware").up_to_date


def test_a_tag_that_names_no_platform_is_an_error_before_anything_is_built(tree: Tree, registry: Registry) -> None:
    ran = build(tree, registry, "from-hardware", check=False)
    assert (ran.status, ran.steps) == (2, [])
    assert "EXTERNAL: 'from-hardware' names no platform" in ran.text
    assert "hint: write it before: linux/riscv64=from-hardware" in ran.text


def test_a_tag_of_another_repository_is_copied_to_the_platform_tag_first(tree: Tree, registry: Registry) -> None:
    theirs = image(registry, "other-team/port:7", "linux/riscv64")
    registry.requests()
    build(tree, registry, f"linux/riscv64={registry.host}/other-team/port:7")
    assert registry.digest("demo", "v1.0-riscv64") == theirs
    assert entries(registry)["linux/riscv64"] == theirs
    tagged = [r.path for r in registry.requests() if r.method == "PUT" and "/manifests/v1" in r.path]
    assert tagged.index("/v2/demo/manifests/v1.0-riscv64") < tagged.index("/v2/demo/manifests/v1.0")
    assert build(tree, registry, f"linux/riscv64={registry.host}/other-team/port:7").up_to_date


def test_an_image_of_another_registry_is_copied(tree: Tree, registry: Registry, make_registry) -> None:
    elsewhere = make_registry()
    theirs = image(elsewhere, "port:7", "linux/riscv64")
    build(tree, registry, f"linux/riscv64={elsewhere.host}/port:7")
    elsewhere.stop()
    assert registry.digest("demo", "v1.0-riscv64") == theirs == entries(registry)["linux/riscv64"]


@pytest.mark.parametrize(
    "lose",
    [
        lambda registry: registry.delete_tag("demo", "v1.0-riscv64"),
        lambda registry: registry.move_tag("demo", "v1.0-riscv64", "v1.0-amd64"),
    ],
    ids=["deleted", "moved"],
)
def test_a_copied_platform_tag_is_set_right_again(
    lose: Callable[[Registry], object], tree: Tree, registry: Registry
) -> None:
    external = f"linux/riscv64={registry.host}/other-team/port:7"
    theirs = image(registry, "other-team/port:7", "linux/riscv64")
    build(tree, registry, external)
    main = registry.digest("demo", "v1.0")
    lose(registry)
    ran = build(tree, registry, external)
    assert [step.split()[0] for step in ran.steps] == ["Pin"]
    assert registry.digest("demo", "v1.0-riscv64") == theirs
    assert registry.digest("demo", "v1.0") == main


@pytest.mark.parametrize("setting", ["DRIFT=fail", "IMMUTABLE=yes"])
def test_a_copy_overwrites_no_tag_that_is_not_to_be(setting: str, tree: Tree, registry: Registry) -> None:
    image(registry, "other-team/port:7", "linux/riscv64")
    there = image(registry, "demo:v1.0-riscv64", "linux/riscv64", b"somebody else's")
    ran = build(tree, registry, f"linux/riscv64={registry.host}/other-team/port:7", setting, check=False)
    assert ran.status == 2
    assert f"{registry.host}/demo:v1.0-riscv64: " in ran.text
    assert f"and {setting}" in ran.text
    assert registry.digest("demo", "v1.0-riscv64") == there
    assert registry.digest("demo", "v1.0") is None


def test_a_copy_says_what_it_overwrites(tree: Tree, registry: Registry) -> None:
    theirs = image(registry, "other-team/port:7", "linux/riscv64")
    there = image(registry, "demo:v1.0-riscv64", "linux/riscv64", b"somebody else's")
    ran = build(tree, registry, f"linux/riscv64={registry.host}/other-team/port:7")
    assert f"v1.0-riscv64 was pushed by somebody else, it is overwritten: {there} → {theirs}" in ran.text


def test_with_a_digest_it_never_follows_a_move(tree: Tree, registry: Registry) -> None:
    theirs = image(registry, "demo:v1.0-riscv64", "linux/riscv64")
    external = f"v1.0-riscv64@{theirs}"
    build(tree, registry, external)
    newer = image(registry, "demo:v1.0-riscv64", "linux/riscv64", b"newer")
    assert newer != theirs
    assert build(tree, registry, external).up_to_date
    assert entries(registry)["linux/riscv64"] == theirs


def test_a_moved_tag_redoes_index_and_publish_alone(tree: Tree, registry: Registry) -> None:
    image(registry, "demo:v1.0-riscv64", "linux/riscv64")
    build(tree, registry, "v1.0-riscv64")
    newer = image(registry, "demo:v1.0-riscv64", "linux/riscv64", b"newer")
    tree.go_starts()
    ran = build(tree, registry, "v1.0-riscv64")
    assert ran.steps == [f"Pin {registry.host}/demo:v1.0-riscv64", INDEX, f"Publish {registry.host}/demo:v1.0"]
    assert tree.go_starts() == []
    assert entries(registry)["linux/riscv64"] == newer


def test_the_platform_is_taken_out_of_an_index(tree: Tree, registry: Registry) -> None:
    members = {
        "linux/riscv64": bases.push_image(f"{registry.host}/team/all:a", "linux/riscv64", {"a": b"riscv64"}),
        "linux/s390x": bases.push_image(f"{registry.host}/team/all:b", "linux/s390x", {"a": b"s390x"}),
    }
    bases.push_index(f"{registry.host}/team/all:1", members)
    external = ",".join(f"{platform}={registry.host}/team/all:1" for platform in members)
    build(tree, registry, external)
    assert {name: entries(registry)[name] for name in members} == {k: str(v) for k, v in members.items()}
    assert registry.tags("demo") == ["v1.0", "v1.0-amd64", "v1.0-arm64", "v1.0-riscv64", "v1.0-s390x"]
    assert build(tree, registry, external).up_to_date
    ran = build(tree, registry, f"linux/ppc64le={registry.host}/team/all:1", check=False)
    assert ran.status == 2
    assert f"{registry.host}/team/all:1: is an index without linux/ppc64le" in ran.text
    assert "hint: it holds linux/riscv64, linux/s390x" in ran.text


def test_what_docker_pushed_on_windows_joins_as_it_is(tree: Tree, registry: Registry) -> None:
    theirs = str(bases.push_from_windows(f"{registry.host}/demo:v1.0-windows-amd64", WINDOWS, b"MZ"))
    build(tree, registry, "v1.0-windows-amd64")
    assert entries(registry)["windows/amd64:10.0.20348.2849"] == theirs
    entry = registry.json("demo", "v1.0")["manifests"][2]
    assert entry["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"


def test_layers_that_microsoft_keeps_are_never_asked_for(tree: Tree, registry: Registry, make_registry) -> None:
    elsewhere = make_registry()
    theirs = str(bases.push_from_windows(f"{elsewhere.host}/team/win:1", WINDOWS, b"MZ"))
    build(tree, registry, f"windows/amd64={elsewhere.host}/team/win:1")
    elsewhere.stop()
    assert registry.digest("demo", "v1.0-windows-amd64") == theirs


def test_into_a_folder_of_layouts(tree: Tree, registry: Registry) -> None:
    theirs = image(registry, "port:7", "linux/riscv64")
    tree.scons("push-manifest", f"EXTERNAL=linux/riscv64={registry.host}/port:7")
    held = json.loads(tree.read("_output/registry/demo/index.json"))["manifests"]
    tags = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in held}
    assert tags["v1.0-riscv64"] == theirs
    ran = tree.scons("push-manifest", f"EXTERNAL=v1.0-riscv64@{theirs}")
    assert ran.steps[0] == f"Pin _output/registry/demo:v1.0-riscv64@{theirs}"
    assert tree.scons("push-manifest", f"EXTERNAL=v1.0-riscv64@{theirs}").up_to_date


def test_immutable_tags_of_copies_are_looked_at_before_anything_is_pushed(tree: Tree, registry: Registry) -> None:
    image(registry, "other-team/port:7", "linux/riscv64")
    image(registry, "demo:v1.0-riscv64", "linux/riscv64", b"somebody else's")
    registry.requests()
    ran = build(tree, registry, f"linux/riscv64={registry.host}/other-team/port:7", "IMMUTABLE=yes", check=False)
    assert (ran.status, "demo:v1.0-riscv64: exists with other content" in ran.text) == (2, True), ran.text
    assert not [request for request in registry.requests() if request.method in ("PUT", "POST", "PATCH")]


def test_a_platform_that_is_built_and_external_is_an_error_before_anything_is_built(
    tree: Tree, registry: Registry
) -> None:
    ran = build(tree, registry, "linux/amd64=theirs", check=False)
    assert (ran.status, ran.steps) == (2, [])
    assert "_output/manifest/demo-v1.0.json: linux/amd64 is declared 2 times" in ran.text
    assert "hint: a platform stands in PLATFORMS or in EXTERNAL, once" in ran.text


SPELLED = {
    "arm64, variant armv8": (("linux", "arm64", "armv8"), "linux/arm64", "linux/arm64"),
    "arm64, variant unknown": (("linux", "arm64", "unknown"), "linux/arm64", "linux/arm64"),
    "arm64, variant 8": (("linux", "arm64", "8"), "linux/arm64/v8", "linux/arm64"),
    "arm64v8": (("linux", "arm64v8", ""), "linux/arm64", "linux/arm64"),
    "aarch64": (("linux", "aarch64", ""), "linux/arm64", "linux/arm64"),
    "arm, no variant, v7": (("linux", "arm", ""), "linux/arm/v7", "linux/arm/v7"),
    "arm, no variant, v6": (("linux", "arm", ""), "linux/arm/v6", "linux/arm/v6"),
    "arm, variant unknown": (("linux", "arm", "unknown"), "linux/arm/v7", "linux/arm/v7"),
    "arm, variant armv7l": (("linux", "arm", "armv7l"), "linux/arm/v7", "linux/arm/v7"),
    "arm32v6": (("linux", "arm32v6", ""), "linux/arm/v6", "linux/arm/v6"),
    "capitals": (("Linux", "RISCV64", ""), "linux/riscv64", "linux/riscv64"),
    "a Windows that says no version": (
        ("windows", "amd64", ""),
        "windows(10.0.20348)/amd64",
        "windows/amd64:10.0.20348",
    ),
}


@pytest.mark.parametrize("case", SPELLED.values(), ids=SPELLED)
def test_the_entry_says_the_declared_platform_however_the_config_spells_it(
    case: tuple[tuple[str, str, str], str, str], fresh: Tree, registry: Registry, skopeo: Tool
) -> None:
    said, declared, entry = case
    theirs = bases.push_image(f"{registry.host}/demo:theirs", "linux/amd64", {"demo": b"x"}, said=Platform(*said))
    arguments = ("PLATFORMS=linux/s390x", f"EXTERNAL={declared}=theirs", "push-manifest", f"REGISTRY={registry.host}")
    fresh.edit("Dockerfile", "FROM scratch\nCOPY share /share\n")
    fresh.scons(*arguments)
    assert entries(registry)[entry] == str(theirs)
    assert fresh.scons(*arguments).up_to_date
    assert "everything is there" in fresh.scons("verify", *arguments).text
    if "linux" in entry:
        system, architecture, *variant = entry.split("/")
        chosen = [f"--override-os={system}", f"--override-arch={architecture}"]
        chosen += [f"--override-variant={each}" for each in variant]
        name = f"docker://{registry.host}/demo:v1.0"
        assert skopeo.run("manifest-digest", *_saved(skopeo, chosen, name, fresh)).strip() == str(theirs)


def _saved(skopeo: Tool, chosen: list[str], name: str, tree: Tree) -> list[str]:
    folder = tree.path.parent / "pulled"
    skopeo.run(*chosen, "copy", "--src-tls-verify=false", name, f"dir:{folder}")
    return [str(folder / "manifest.json")]


@pytest.mark.parametrize(
    ("said", "external", "words"),
    [
        (
            ("linux", "sparc64", ""),
            "linux/arm64=theirs",
            "push an image of linux/arm64: its config names a platform that",
        ),
        (("linux", "arm64", "v9"), "linux/riscv64=theirs", "write EXTERNAL=linux/arm64/v9=…, or push the right image"),
        (("linux", "arm64", "armv8"), "linux/riscv64=theirs", "write EXTERNAL=linux/arm64=…, or push the right image"),
        (("linux", "arm64", ""), "linux/arm64/armv8=theirs", "is not known\n  hint: did you mean linux/arm64?\n"),
        (("linux", "arm64", ""), "linux/arm64v8=theirs", "hint: did you mean linux/arm64"),
    ],
)
def test_no_hint_names_what_nobody_could_pull(
    said: tuple[str, str, str], external: str, words: str, fresh: Tree, registry: Registry
) -> None:
    bases.push_image(f"{registry.host}/demo:theirs", "linux/amd64", {"demo": b"x"}, said=Platform(*said))
    fresh.edit("Dockerfile", "FROM scratch\nCOPY share /share\n")
    ran = build(fresh, registry, external, "PLATFORMS=linux/s390x", check=False)
    assert ran.status == 2
    assert words in ran.text
    assert registry.digest("demo", "v1.0") is None


def test_an_index_whose_entries_name_no_platform_is_read_by_its_configs(fresh: Tree, registry: Registry) -> None:
    wanted = ("linux/riscv64", "linux/arm/v6", "windows(10.0.20348)/amd64")
    members = {
        each: bases.push_image(f"{registry.host}/demo:{number}", each, {"a": each.encode()})
        for number, each in enumerate((*wanted, "linux/s390x"))
    }
    bases.push_index(f"{registry.host}/demo:all", members, named=False)
    fresh.edit("Dockerfile", "FROM scratch\nCOPY share /share\n")
    external = ",".join(f"{each}=all" for each in wanted)
    build(fresh, registry, external, "PLATFORMS=linux/amd64")
    found = entries(registry)
    assert [found[each] for each in ("linux/riscv64", "linux/arm/v6", "windows/amd64:10.0.20348")] == [
        str(members[each]) for each in wanted
    ]
    ran = build(fresh, registry, "linux/ppc64le=all", "PLATFORMS=linux/amd64", check=False)
    assert "hint: it holds linux/riscv64, linux/arm/v6, windows(10.0.20348)/amd64, linux/s390x" in ran.text


def test_of_several_windows_the_newest_is_taken_and_said(fresh: Tree, registry: Registry) -> None:
    versions = ("10.0.17763.9", "10.0.20348.3", "10.0.9200.1")
    members = {
        f"windows({each})/amd64": bases.push_image(f"{registry.host}/demo:{each}", f"windows({each})/amd64", {})
        for each in versions
    }
    bases.push_index(f"{registry.host}/demo:all", members)
    fresh.edit("Dockerfile", "FROM scratch\nCOPY share /share\n")
    ran = build(fresh, registry, "windows/amd64=all", "PLATFORMS=linux/amd64")
    said = "windows/amd64 is Windows 10.0.20348.3, the newest there (beside 10.0.17763.9, 10.0.9200.1)"
    assert f"demo:all: {said}" in ran.text
    assert "windows/amd64:10.0.20348.3" in entries(registry)


ERRORS = {
    "missing": ("v1.0-riscv64", "{host}/demo:v1.0-riscv64: is not in the registry"),
    "of the wrong platform": ("linux/riscv64=wrong", "{host}/demo:wrong: is linux/s390x, not linux/riscv64"),
    "of a platform that is there already": ("linux/arm64=other", "linux/arm64"),
    "twice": ("v1.0-s390x,linux/s390x=wrong", "linux/s390x"),
}


@pytest.mark.parametrize(("external", "words"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_join_is_an_error_that_names_it_and_nothing_is_published(
    external: str, words: str, tree: Tree, registry: Registry
) -> None:
    image(registry, "demo:wrong", "linux/s390x")
    image(registry, "demo:v1.0-s390x", "linux/s390x")
    image(registry, "demo:other", "linux/arm64")
    ran = build(tree, registry, external, check=False)
    assert ran.status == 2
    assert words.format(host=registry.host) in ran.text
    assert "Traceback" not in ran.text
    assert registry.digest("demo", "v1.0") is None


def test_an_unreachable_one_is_named_and_nothing_is_published(tree: Tree, registry: Registry, make_registry) -> None:
    elsewhere = make_registry()
    elsewhere.stop()
    ran = build(tree, registry, f"linux/riscv64={elsewhere.host}/port:7", check=False)
    assert ran.status == 2
    assert f"{elsewhere.host}: no connection" in ran.text
    assert registry.digest("demo", "v1.0") is None


def test_one_that_vanished_is_an_error_and_what_is_published_stays(tree: Tree, registry: Registry) -> None:
    image(registry, "demo:v1.0-riscv64", "linux/riscv64")
    build(tree, registry, "v1.0-riscv64")
    main = registry.digest("demo", "v1.0")
    registry.delete_tag("demo", "v1.0-riscv64")
    ran = build(tree, registry, "v1.0-riscv64", check=False)
    assert ran.status == 2
    assert "v1.0-riscv64: is not in the registry" in ran.text
    assert registry.digest("demo", "v1.0") == main


def test_as_published_each_external_tag_costs_one_head_too(tree: Tree, registry: Registry) -> None:
    for name in ("riscv64", "s390x"):
        image(registry, f"demo:v1.0-{name}", f"linux/{name}")
    build(tree, registry, "v1.0-riscv64,v1.0-s390x")
    registry.requests()
    assert build(tree, registry, "v1.0-riscv64,v1.0-s390x").up_to_date
    asked = sorted((request.method, request.path) for request in registry.requests())
    tags = ("v1.0", "v1.0-amd64", "v1.0-arm64", "v1.0-riscv64", "v1.0-s390x")
    assert asked == [("HEAD", f"/v2/demo/manifests/{tag}") for tag in tags]
