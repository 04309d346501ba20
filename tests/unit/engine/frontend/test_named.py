"""Named contexts: which names mean them, what is taken of them, and what of that counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import unpacked
from multiarch_oci.config import ImageConfig
from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine import NamedContext
from multiarch_oci.engine.frontend.named import InvalidContext, canonical, find, named_contexts
from multiarch_oci.engine.frontend.tree import CannotCopy
from multiarch_oci.errors import MultiarchError
from multiarch_oci.layer import Entry
from workshop import AMD64, Workshop

ROOT = Path(os.path.abspath("/project"))  # noqa: PTH100  # a drive, on Windows


@pytest.fixture
def lib(shop: Workshop) -> Workshop:
    """Return a second folder beside the context, `lib`."""
    made = Workshop(shop.folder.parent / "lib")
    made.folder.mkdir()
    made.write("a/one", "1", mode=0o600)
    made.write("a/run", "r", mode=0o700)
    made.write("b", "b")
    made.write("left", "l")
    made.write(".dockerignore", "left\n")
    return made


def named(shop: Workshop, **given: str) -> tuple[NamedContext, ...]:
    return named_contexts(given, shop.folder)


def test_a_context_is_a_folder_from_the_project_or_an_image():
    given = {"lib": "../shared/lib", "docker.io/library/alpine:latest": "docker-image://mirror.example/alpine:3"}
    assert named_contexts(given | {"none": "docker-image://scratch", "here": "."}, ROOT) == (
        NamedContext("alpine", image="mirror.example/alpine:3"),
        NamedContext("here", folder=ROOT),
        NamedContext("lib", folder=ROOT.parent / "shared" / "lib"),
        NamedContext("none", image="scratch"),
    )


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        (
            "Up",
            "x",
            "'Up' cannot name a context: 'Up' is not an image's name: 'library/Up' is not the name of a repository\n",
        ),
        ("scratch", "x", "'scratch' cannot name a context: no Dockerfile takes it for one"),
        ("x", "", "context 'x': '' is no folder"),
        ("x", "docker-image://A", "context 'x': 'A' is not an image's name: "),
        (
            "x",
            "oci-layout://there@sha256:1",
            "context 'x': an image in a folder cannot be a base: a push would not find its layers\n",
        ),
        (
            "x",
            "https://example.com/x.git",
            "context 'x': 'https://example.com/x.git' is no folder and no image\n",
        ),
        ("x", "git@example.com:x.git", "context 'x': 'git@example.com:x.git' is no folder and no image\n"),
        ("x", "target:other", "context 'x': 'target:other' is no folder and no image\n"),
    ],
)
def test_a_context_that_is_none_is_an_error(name, text, what):
    with pytest.raises(InvalidContext) as caught:
        named_contexts({name: text}, ROOT)
    assert f"{caught.value}\n".startswith(what)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("oci-layout://x", "push it to a registry, and write docker-image://HOST/NAME:TAG"),
        ("ssh://x", "a folder, or docker-image://ref; fetch anything else by a step of its own"),
    ],
)
def test_what_can_be_done_instead_is_told(text, hint):
    with pytest.raises(InvalidContext) as caught:
        named_contexts({"x": text}, ROOT)
    assert caught.value.hint == hint


def test_a_file_is_no_folder(shop):
    shop.write("f")
    with pytest.raises(InvalidContext, match="context 'x': 'f' is no folder"):
        named(shop, x="f")


def test_two_spellings_of_one_name_are_an_error():
    with pytest.raises(InvalidContext, match="two contexts are called 'alpine'"):
        named_contexts({"alpine": "a", "alpine:latest": "b"}, ROOT)


@pytest.mark.parametrize("name", ["alpine", "alpine:latest", "library/alpine", "docker.io/library/alpine:latest"])
def test_names_are_compared_as_references(name):
    context = NamedContext("alpine", image="x")
    assert canonical(name) == "alpine"
    assert find((context,), name) == context
    assert find((context,), "alpine:3") is find((context,), "not a name") is find((), name) is None


def test_copy_from_takes_of_a_folder_what_its_ignore_file_leaves(shop, lib):
    del lib
    found = shop.files(
        "FROM scratch\nCOPY --from=lib a/ /x/\nCOPY --from=lib . /all/\n", contexts=named(shop, lib="../lib")
    )
    assert sorted(found) == [
        *["all", "all/.dockerignore", "all/a", "all/a/one", "all/a/run", "all/b", "x", "x/one", "x/run"],
    ]
    assert (found["x/one"].mode, found["x/run"].mode, found["x/one"].owner) == ("0o644", "0o755", "0:0")


@pytest.mark.parametrize(
    ("path", "hint"), [("left", ".dockerignore leaves it out"), ("none", "paths are relative to '{folder}'")]
)
def test_what_a_folder_does_not_have_is_an_error(shop, lib, path, hint):
    with pytest.raises(CannotCopy) as caught:
        shop.build(f"FROM scratch\nCOPY --from=lib {path} /\n", contexts=named(shop, lib="../lib"))
    hint = hint.format(folder=lib.folder)
    assert str(caught.value) == f"Dockerfile.test:2: COPY: '{path}' is not in context 'lib'\n  hint: {hint}"


def test_a_folder_that_is_not_there_is_an_error_of_the_build_alone(shop):
    plan = shop.plan("FROM scratch\nCOPY --from=lib a /\n", contexts=named(shop, lib="../gone"))
    assert shop.engine().inputs(plan).named[0].inputs.missing == ("a",)
    with pytest.raises(CannotCopy, match=r"Dockerfile\.test:2: COPY: context 'lib': there is no folder"):
        shop.engine().build(plan, shop.output)


def test_from_takes_the_whole_folder_for_a_base(shop, lib):
    del lib
    text = "FROM lib AS under\nCOPY --chmod=600 Dockerfile.test /a/one\nFROM under\nLABEL a=b\n"
    contexts = named(shop, lib="../lib")
    image = shop.build(text, contexts=contexts)
    assert sorted(unpacked.of_archive(shop.output)) == [".dockerignore", "a", "a/one", "a/run", "b"]
    assert len(image.layers) == 2
    assert sum(not line.empty_layer for line in image.config.history) == 2
    assert (image.config.working_dir, image.config.variable("PATH") is not None) == ("/", True)


def test_a_folder_replaces_the_stage_of_its_name(shop, lib):
    del lib
    text = "FROM nowhere.invalid/x AS lib\nRUN boom\nFROM scratch\nCOPY --from=0 /b /by-number\nCOPY --from=LIB /b /by-name\n"
    assert sorted(shop.files(text, contexts=named(shop, lib="../lib"))) == ["by-name", "by-number"]


def test_what_is_copied_of_a_replaced_stage_is_all_that_counts(shop, lib):
    text = "FROM nowhere.invalid/x AS lib\nFROM scratch\nCOPY --from=lib /b /\n"
    found = shop.engine().inputs(shop.plan(text, contexts=named(shop, lib="../lib")))
    assert (found.bases, found.patterns) == ((), ())
    (one,) = found.named
    assert (one.name, one.folder, one.inputs.patterns) == ("lib", lib.folder, ("b",))


def test_an_image_replaces_images_and_stages_and_is_a_base(shop):
    given = {"under": "docker-image://example.com/real:v1", "golang:1": "docker-image://example.com/real:v1"}
    shop.base("example.com/real:v1", (Entry.directory("etc"), Entry.of_bytes("etc/f", b"x")))
    contexts = named_contexts(given, shop.folder)
    text = "FROM golang:1 AS a\nFROM nowhere.invalid/x AS under\nRUN boom\nFROM under\nCOPY --from=golang:1 /etc/f /g\n"
    plan = shop.plan(text, contexts=contexts)
    assert [(base.name, base.line) for base in shop.engine().inputs(plan).bases] == [("example.com/real:v1", 2)]
    image = shop.build(text, contexts=contexts)
    assert len(image.layers) == 2
    assert "g" in unpacked.of_archive(shop.output)


def test_scratch_may_stand_for_an_image(shop):
    contexts = named(shop, base="docker-image://scratch")
    assert sorted(shop.files("FROM base\nCOPY Dockerfile.test /x\n", contexts=contexts)) == ["x"]
    with pytest.raises(CannotCopy, match="'/x' is not in scratch"):
        shop.build("FROM scratch\nCOPY --from=base /x /\n", contexts=contexts)


def test_onbuild_of_an_image_that_replaces_a_stage_is_not_done(shop):
    shop.base("example.com/real:v1", (Entry.of_bytes("f", b"x"),), config=ImageConfig(AMD64, on_build=("COPY none /",)))
    given = named(shop, under="docker-image://example.com/real:v1")
    assert shop.build("FROM scratch AS under\nFROM under\nLABEL a=b\n", contexts=given).config.labels == (("a", "b"),)
    with pytest.raises(CannotCopy, match="'none' is not in the context"):
        shop.build("FROM under\n", contexts=given)


def inputs(shop: Workshop, text: str, **given: str) -> tuple[dict[str, str], dict[str, str]]:
    return shop.inputs(text, contexts=named(shop, **given))


def test_the_inputs_are_what_is_taken(shop, lib):
    text = "FROM scratch\nCOPY --from=lib a /x\n"
    before = inputs(shop, text, lib="../lib")
    lib.write("b", "changed")
    lib.write("left", "changed")
    assert inputs(shop, text, lib="../lib", unused="../lib") == before
    lib.write("a/one", "2")
    changed = inputs(shop, text, lib="../lib")
    lib.write("a/two", "2")
    assert before != changed != inputs(shop, text, lib="../lib") != before


def test_the_inputs_say_which_context_is_which(shop):
    text = "FROM x\nCOPY --from=y /f /\n"
    for name in ("one", "two"):
        shop.base(f"example.com/{name}:v1", (Entry.of_bytes("f", name.encode()),))
    one, two = (f"docker-image://example.com/{name}:v1" for name in ("one", "two"))
    assert inputs(shop, text, x=one, y=two) != inputs(shop, text, x=two, y=one)


def test_what_a_run_mounts_of_a_folder_is_taken(shop, lib):
    del lib
    text = "FROM scratch\nARG D=a\nRUN --mount=from=lib,source=$D,target=/m --mount=type=cache,from=lib,source=b,target=/c true\n"
    found = shop.engine().inputs(shop.plan(text, contexts=named(shop, lib="../lib")))
    assert found.named[0].inputs.patterns == ("a", "b")


def test_what_the_build_makes_of_images_is_in_no_context(shop, lib):
    shop.write("_output/x.tar", "x")
    shop.write("_output/kept", "k")
    lib.write("y", "y")
    text = "FROM scratch\nCOPY --from=lib . /\n"
    contexts = named(shop, lib="_output")
    found = shop.files(text, contexts=contexts, hidden=("_output/x.tar",))
    assert sorted(found) == ["kept"]
    with pytest.raises(MultiarchError, match="holds what the build makes of images, and cannot be a context"):
        shop.build(text, contexts=contexts, hidden=("_output",))


def test_a_misspelt_stage_stays_an_error(shop):
    with pytest.raises(InvalidDockerfile, match="base libs for linux/amd64 is not resolved"):
        shop.build("FROM scratch\nCOPY --from=libs a /\n", contexts=named(shop, lib="../lib"))
