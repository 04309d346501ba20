"""The registry is part of the graph: every row of that table, in a real registry and in a folder registry.

OCI distribution spec 1.1: "Checking if content exists in the registry", "Pushing Manifests", "Deleting tags"; image spec 1.1, image-layout.md,
"index.json".
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from machines import bases
from machines.places import Folder, Place, Remote
from machines.registry import Registry
from machines.small import Tree

MAIN, AMD64, ARM64 = "v1.0", "v1.0-amd64", "v1.0-arm64"
INDEX = "Index _output/manifest/demo-v1.0.json"


def push(place: Place, tag: str) -> str:
    return f"{'Publish' if tag == MAIN else 'Push'} {place.name}/demo:{tag}"


@dataclass
class Published:
    """A tree whose tags are all in a place."""

    tree: Tree
    place: Place
    tags: dict[str, str]

    def build(self, *more: str, target: str = "push-manifest", check: bool = True):
        return self.tree.scons(target, f"REGISTRY={self.place.name}", *more, check=check)


class Kept:
    """A tree that was published once, with TAGS, and what the registry then held: its host stays for all tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree: Tree | None = None

    def tree(self, built: Tree, registry: Registry) -> Tree:
        """Return the tree; `registry` holds what it published."""
        if self._tree is None:
            made = built.copy(self._folder / "tree")
            made.scons("push-manifest", f"REGISTRY={registry.host}", "TAGS=latest")
            made.scons("push-manifest", "TAGS=latest")
            shutil.copytree(registry.storage / "docker", self._folder / "storage")
            self._tree = made
        registry.empty()
        shutil.copytree(self._folder / "storage", registry.storage / "docker")
        return self._tree


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))  # filled by the first test, in whose clean environment


def published_copy(tree: Tree, place: Place) -> Published:
    tree.go_starts()
    tags = place.tags()
    return Published(tree, place, tags)


@pytest.fixture
def remote(_counted, _kept: Kept, registry: Registry, tmp_path: Path) -> Published:
    tree = _kept.tree(_counted.built(), registry).copy(tmp_path / "published")
    made = published_copy(tree, Remote(registry))
    registry.requests()
    return made


@pytest.fixture
def local(_counted, _kept: Kept, registry: Registry, tmp_path: Path) -> Published:
    tree = _kept.tree(_counted.built(), registry).copy(tmp_path / "published")
    return published_copy(tree, Folder(tree.path))


@pytest.fixture(params=["a registry", "a folder"])
def published(request: pytest.FixtureRequest) -> Published:
    made: Published = request.getfixturevalue("remote" if request.param == "a registry" else "local")
    assert sorted(made.tags) == ["latest", MAIN, AMD64, ARM64]
    return made


@dataclass(frozen=True)
class Row:
    """What happens to the place, the tags that are then pushed, and those that stay as they were made."""

    words: str
    happens: Callable[[Place], object]
    pushed: tuple[str, ...]
    left: tuple[str, ...] = ()


ROWS = (
    Row("all tags as published", lambda _: None, ()),
    Row("a platform tag deleted", lambda place: place.delete(ARM64), (ARM64,)),
    Row("a platform tag moved by somebody", lambda place: place.move(ARM64, AMD64), (ARM64,)),
    Row("the main tag moved by somebody", lambda place: place.move(MAIN, AMD64), (MAIN,)),
    Row("the main tag deleted", lambda place: place.delete(MAIN), (MAIN,)),
    Row("one of TAGS moved by somebody", lambda place: place.move("latest", AMD64), (), ("latest",)),
    Row("one of TAGS absent", lambda place: place.delete("latest"), (MAIN,)),
    Row("a child manifest collected under a living index", lambda place: place.collect(ARM64), (ARM64,)),
    Row("the registry emptied", lambda place: place.empty(), (AMD64, ARM64, MAIN)),
)


@pytest.mark.parametrize("row", ROWS, ids=[row.words for row in ROWS])
def test_the_place_holds_what_is_declared_again(row: Row, published: Published) -> None:
    row.happens(published.place)
    left = {tag: published.place.tags()[tag] for tag in row.left}
    ran = published.build("TAGS=latest")
    assert sorted(ran.steps) == sorted(push(published.place, tag) for tag in row.pushed)
    # A tree at another place lists its packages once; nothing is compiled.
    assert [words for words in published.tree.go_starts() if not words.startswith("list ")] == []
    assert published.place.tags() == published.tags | left
    if row.pushed:
        assert published.build("TAGS=latest").up_to_date


MOVED = {"a platform tag": (ARM64, AMD64), "the main tag": (MAIN, AMD64)}


@pytest.mark.parametrize("moved", MOVED)
def test_what_is_repaired_is_said_in_one_line(moved: str, published: Published) -> None:
    tag, to = MOVED[moved]
    there = published.place.move(tag, to)
    said = [line for line in published.build("TAGS=latest").text.splitlines() if "overwritten" in line]
    assert [line.split(" was moved by somebody, it is overwritten: ")[1] for line in said] == [
        f"{there} → {published.tags[tag]}"
    ]


@pytest.mark.parametrize(
    ("setting", "words"), [("DRIFT=fail", "was moved by somebody"), ("IMMUTABLE=yes", "exists with other content")]
)
@pytest.mark.parametrize("moved", MOVED)
def test_a_moved_tag_can_be_an_error(moved: str, setting: str, words: str, published: Published) -> None:
    tag, to = MOVED[moved]
    there = published.place.move(tag, to)
    ran = published.build("TAGS=latest", setting, check=False)
    assert ran.status == 2
    assert f"demo:{tag}: {words} ({there} → {published.tags[tag]}), and {setting}" in ran.text
    assert "hint: " in ran.text
    assert "Traceback" not in ran.text
    assert published.place.tags() == published.tags | {tag: there}


@pytest.mark.parametrize("setting", ["DRIFT=fail", "IMMUTABLE=yes"])
def test_a_deleted_tag_is_no_moved_one(setting: str, remote: Published) -> None:
    remote.place.delete(MAIN)
    remote.place.delete(ARM64)
    assert remote.build("TAGS=latest", setting).status == 0
    assert remote.place.tags() == remote.tags


@pytest.mark.parametrize(
    ("target", "more", "tags"),
    [
        ("push-manifest", (), [MAIN, AMD64, ARM64]),
        ("push-manifest", ("TAGS=latest",), ["latest", MAIN, AMD64, ARM64]),
        ("push", (), [AMD64, ARM64]),
        ("manifest", (), []),
    ],
)
def test_as_published_each_tag_that_is_asked_for_costs_one_head(
    target: str, more: tuple[str, ...], tags: list[str], remote: Published, registry: Registry
) -> None:
    ran = remote.build(*more, target=target)
    assert ran.up_to_date
    asked = [(request.method, request.path) for request in registry.requests()]
    assert sorted(asked) == [("HEAD", f"/v2/demo/manifests/{tag}") for tag in tags]
    remote.tree.go_starts()
    assert remote.build(*more, target=target).up_to_date
    assert remote.tree.go_starts() == []


def first_push(remote: Published, tree: Tree) -> Published:
    """Return the same place, with a tree that never pushed there."""
    tree.scons("manifest")
    return Published(tree, remote.place, remote.tags)


def test_a_first_push_adopts_what_is_there_and_sends_nothing(remote: Published, tree: Tree, registry: Registry) -> None:
    newcomer = first_push(remote, tree)
    assert len(newcomer.build().steps) == 3
    assert {request.method for request in registry.requests()} <= {"HEAD", "GET"}
    assert remote.place.tags() == remote.tags
    assert newcomer.build().up_to_date


@pytest.mark.parametrize("setting", ["DRIFT=fail", "IMMUTABLE=yes"])
def test_adopting_breaks_no_rule(setting: str, remote: Published, tree: Tree) -> None:
    assert first_push(remote, tree).build(setting).status == 0


def test_a_first_push_says_what_it_overwrites(remote: Published, tree: Tree) -> None:
    newcomer = first_push(remote, tree)
    there = remote.place.move(AMD64, ARM64)
    ran = newcomer.build()
    assert f"demo:{AMD64} was pushed by somebody else, it is overwritten: {there} → {remote.tags[AMD64]}" in ran.text
    assert ran.text.count("overwritten") == 1
    assert remote.place.tags() == remote.tags


@pytest.mark.parametrize(
    ("setting", "words"),
    [("DRIFT=fail", "was pushed by somebody else"), ("IMMUTABLE=yes", "exists with other content")],
)
def test_a_first_push_over_something_else_can_be_an_error(
    setting: str, words: str, remote: Published, tree: Tree
) -> None:
    newcomer = first_push(remote, tree)
    there = remote.place.move(AMD64, ARM64)
    remote.place.delete(MAIN)
    ran = newcomer.build(setting, check=False)
    assert ran.status == 2
    assert f"demo:{AMD64}: {words} ({there} → {remote.tags[AMD64]}), and {setting}" in ran.text
    assert MAIN not in remote.place.tags()


def test_further_tags_follow_a_new_index(published: Published) -> None:
    published.tree.append("share/greeting", "more\n")
    published.build("TAGS=latest,extra")
    tags = published.place.tags()
    assert tags[MAIN] != published.tags[MAIN]
    assert tags[MAIN] == tags["latest"] == tags["extra"]


def test_our_own_next_push_needs_no_repair(published: Published) -> None:
    published.tree.append("share/greeting", "more\n")
    assert "overwritten" not in published.build("DRIFT=fail").text
    assert published.place.tags()[MAIN] != published.tags[MAIN]


def test_an_immutable_tag_takes_no_new_content_of_our_own(published: Published) -> None:
    published.tree.append("share/greeting", "more\n")
    ran = published.build("IMMUTABLE=yes", check=False)
    assert ran.status == 2
    assert "and IMMUTABLE=yes" in ran.text
    assert published.place.tags() == published.tags


HINT = "hint: this tag moves with each release: leave latest out of TAGS, or leave out IMMUTABLE=yes"


def test_a_further_tag_of_an_immutable_release_is_an_error_before_anything_is_pushed(published: Published) -> None:
    release = ("VERSION=v1.1", "IMMUTABLE=yes")
    ran = published.build(*release, "TAGS=latest", check=False)
    assert ran.status == 2
    assert f"demo:latest: exists with other content ({published.tags['latest']} → sha256:" in ran.text
    assert HINT in ran.text
    assert ran.text.count("exists with other content") == 1
    assert published.place.tags() == published.tags
    published.build(*release)
    assert sorted(published.place.tags()) == sorted({*published.tags, "v1.1", "v1.1-amd64", "v1.1-arm64"})


def test_an_immutable_platform_tag_is_an_error_before_its_sibling_is_pushed(remote: Published) -> None:
    remote.place.delete(AMD64)
    there = remote.place.move(ARM64, MAIN)
    ran = remote.build("IMMUTABLE=yes", check=False)
    assert f"demo:{ARM64}: exists with other content ({there} → {remote.tags[ARM64]}), and IMMUTABLE=yes" in ran.text
    assert remote.place.tags() == {tag: remote.tags[tag] for tag in (MAIN, "latest")} | {ARM64: there}


@pytest.fixture
def on_a_base(remote: Published, registry: Registry) -> Published:
    """Return a tree whose amd64 image stands on a base of another repository of the same registry, published."""
    bases.push_image(f"{registry.host}/base/deb:12", "linux/amd64", {"etc/base": b"a base's own file" * 50})
    remote.tree.replace("Dockerfile.amd64", "FROM scratch", f"FROM {registry.host}/base/deb:12")
    remote.build()
    return Published(remote.tree, remote.place, remote.place.tags())


def test_an_emptied_registry_cannot_get_back_a_base_layer_that_nobody_holds(
    on_a_base: Published, registry: Registry, clean_environment: Path
) -> None:
    shutil.rmtree(clean_environment / ".cache/multiarch")
    layer = registry.json("base/deb", "12")["layers"][0]["digest"]
    registry.empty()
    ran = on_a_base.build(check=False)
    assert ran.status == 2
    assert [step for step in ran.steps if not step.startswith(("Push ", "Publish "))] == []
    assert f"{registry.host}/base/deb" in ran.text
    assert layer in ran.text
    assert "Traceback" not in ran.text
    assert MAIN not in on_a_base.place.tags()


def test_an_emptied_registry_gets_a_base_layer_back_from_the_cache(
    on_a_base: Published, registry: Registry, clean_environment: Path
) -> None:
    assert any((clean_environment / ".cache/multiarch/blobs").iterdir())  # the build has read the base's layer
    registry.empty()
    ran = on_a_base.build()
    assert sorted(ran.steps) == sorted(push(on_a_base.place, tag) for tag in (AMD64, ARM64, MAIN))
    assert on_a_base.place.tags() == {tag: on_a_base.tags[tag] for tag in (AMD64, ARM64, MAIN)}


def test_a_registry_that_is_down_is_one_clear_error_and_then_nothing_was_lost(
    remote: Published, registry: Registry
) -> None:
    registry.stop()
    ran = remote.build(check=False)
    assert ran.status == 2
    assert ran.text.count("Connection refused") == ran.text.count("tried 4 times") > 0
    assert [step for step in ran.steps if not step.startswith("Push ")] == []
    assert registry.host in ran.text
    assert "Traceback" not in ran.text
    registry.start()
    assert remote.build().up_to_date
