from __future__ import annotations

import pytest
from msgspec.structs import replace

from multiarch_oci.digest import Digest
from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine import Base
from multiarch_oci.engine.frontend import ContextFile
from multiarch_oci.engine.frontend.fingerprint import describe
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.layer import Kind
from multiarch_oci.platform import Platform


def inputs(shop, text, **more):
    return shop.engine().inputs(shop.plan(text, **more))


def test_files_are_what_copy_takes_now(shop):
    shop.write("bin/amd64/demo", mode=0o755)
    shop.write("bin/arm64/demo")
    shop.write("web/a")
    (shop.folder / "web/l").symlink_to("a")
    (shop.folder / "web/empty").mkdir()
    shop.write("README.md")
    shop.write("ignored")
    shop.write(".dockerignore", "ignored\n")
    text = "FROM scratch\nARG TARGETARCH\nCOPY bin/$TARGETARCH/demo web nothing ignored /x/\n"
    found = inputs(shop, text)
    assert found.files == (
        ContextFile("bin/amd64/demo", Kind.FILE.name, executable=True),
        ContextFile("web", Kind.DIRECTORY.name),
        ContextFile("web/a", Kind.FILE.name),
        ContextFile("web/empty", Kind.DIRECTORY.name),
        ContextFile("web/l", Kind.SYMLINK.name, target="a"),
    )
    assert found.missing == ("nothing", "ignored")
    assert found.patterns == ("bin/amd64/demo", "web", "nothing", "ignored")


def test_only_stages_that_the_target_needs_count(shop):
    shop.write("a")
    shop.write("b")
    text = "FROM scratch AS no\nCOPY a /\nFROM scratch\nCOPY b /\n"
    assert [file.path for file in inputs(shop, text).files] == ["b"]


def test_files_of_stages_are_no_files_of_the_context(shop):
    shop.write("a")
    assert inputs(shop, "FROM scratch AS s\nFROM scratch\nCOPY --from=s a /\n").patterns == ()


def test_what_a_run_mounts_of_the_context_counts_as_copied(shop):
    shop.write("src/main.c")
    shop.write("other/x")
    shop.write("go.mod")
    text = (
        "FROM scratch AS tools\nFROM scratch AS unused\nCOPY unused /\nFROM scratch\nARG WHERE=src\n"
        "RUN --mount=type=bind,source=$WHERE,target=/src --mount=source=go.mod,target=/go.mod"
        " --mount=type=cache,target=/root/.cache --mount=from=tools,source=other,target=/t"
        " --mount=type=secret,id=token make\n"
    )
    found = inputs(shop, text)
    assert found.patterns == ("src", "go.mod")
    assert [file.path for file in found.files] == ["go.mod", "src", "src/main.c"]


def test_a_mount_without_source_takes_the_whole_context(shop):
    shop.write("a")
    assert inputs(shop, "FROM scratch\nRUN --mount=target=/src make\n").patterns == ("",)


def test_images_and_stages_that_a_run_mounts_are_needed(shop):
    shop.write("a")
    text = (
        "FROM scratch AS tools\nCOPY a /a\nFROM scratch\n"
        "RUN --mount=from=tools,target=/t --mount=type=cache,from=example.com/seed,target=/c x\n"
    )
    found = inputs(shop, text)
    assert found.patterns == ("a",)
    assert [base.name for base in found.bases] == ["example.com/seed"]


def test_a_mount_of_a_stage_below_is_an_error(shop):
    with pytest.raises(InvalidDockerfile) as caught:
        inputs(shop, "FROM scratch\nRUN --mount=from=later,target=/t x\nFROM scratch AS later\nCOPY --from=0 / /\n")
    assert str(caught.value) == (
        "Dockerfile.test:2: RUN --mount with from=: that stage comes later\n"
        "  hint: a stage can copy from the stages above it"
    )


@pytest.mark.parametrize(("run", "platform"), [("RUN x\n", "linux/arm64"), ("", "linux/amd64")])
def test_what_runs_is_built_on_the_platform_that_the_plan_says_and_the_rest_alike_everywhere(shop, run, platform):
    text = f"FROM --platform=$BUILDPLATFORM example.com/go AS go\n{run}FROM scratch\nCOPY --from=go /a /\n"
    found = inputs(shop, text, build_platform=Platform.parse("linux/arm64"))
    assert str(found.bases[0].platform) == platform
    assert str(inputs(shop, text).bases[0].platform) == "linux/amd64"


@pytest.mark.parametrize(
    ("source", "path", "reached"),
    [
        ("web", "web", True),
        ("web/", "web/deep/x", True),
        ("./web/../web", "web/x", True),
        ("web", "website", False),
        ("web/x", "web", False),
        (".", "anything/at/all", True),
        ("*.txt", "a.txt", True),
        ("*.txt", "d/a.txt", False),
        ("*/bin", "a/bin/c", True),
        ("a?[bc]", "axb/y", True),
        ("--parents **/*.txt", "d/e/a.txt", True),
        ("--parents d/./e", "d/e/f", True),
        (".", "ignored/x", False),
        (".", "ignored/kept", True),
    ],
)
def test_what_is_not_there_yet_is_reached(shop, source, path, reached):
    shop.write(".dockerignore", "ignored/*\n!ignored/kept\n")
    assert inputs(shop, f"FROM scratch\nCOPY {source} /x/\n").reaches(path) is reached


CHANGES = {
    "content": lambda shop: shop.write("d/f", "other"),
    "executable": lambda shop: (shop.folder / "d/f").chmod(0o755),
    "a file added": lambda shop: shop.write("d/g"),
    "an empty folder added": lambda shop: (shop.folder / "d/e").mkdir(),
    "a file becomes a link": lambda shop: ((shop.folder / "d/f").unlink(), (shop.folder / "d/f").symlink_to("x")),
    "a link points elsewhere": lambda shop: ((shop.folder / "d/l").unlink(), (shop.folder / "d/l").symlink_to("x")),
    "a file gone": lambda shop: (shop.folder / "d/f").unlink(),
    "a file renamed": lambda shop: (shop.folder / "d/f").rename(shop.folder / "d/h"),
    ".dockerignore": lambda shop: shop.write(".dockerignore", "d/f\n"),
}
NO_CHANGES = {
    "nothing": lambda _: None,
    "touch": lambda shop: (shop.folder / "d/f").touch(),
    "a file that is not copied": lambda shop: shop.write("README"),
    ".dockerignore without effect": lambda shop: shop.write(".dockerignore", "README\n"),
    "modes that do not count": lambda shop: (shop.folder / "d/f").chmod(0o600),
}


@pytest.fixture
def filled(shop):
    shop.write("d/f", "f")
    (shop.folder / "d/l").symlink_to("f")
    return shop


TEXT = "FROM scratch\nCOPY d /d\nCOPY missing* /m/\n"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_inputs_change(filled, change):
    before = filled.inputs(TEXT)
    change(filled)
    assert filled.inputs(TEXT) != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_the_inputs_stay(filled, change):
    before = filled.inputs(TEXT)
    change(filled)
    assert filled.inputs(TEXT) == before


@pytest.mark.parametrize(
    "more",
    [
        {"epoch": 1},
        {"labels": (("a", "b"),)},
        {"build_args": (("a", "b"),)},
        {"target": "x"},
        {"foreign": ("x",)},
    ],
    ids=str,
)
def test_the_plan_counts(filled, more):
    text = f"FROM scratch AS x\n{TEXT}"
    assert filled.inputs(text) != filled.inputs(text, **more)


def test_a_source_that_appears_changes_the_inputs(shop):
    text = "FROM scratch\nCOPY missing /\n"
    before = shop.inputs(text)
    shop.write("missing")
    assert shop.inputs(text) != before


def test_a_base_on_two_platforms_counts_twice(shop):
    arm, amd = Platform.parse("linux/arm64"), Platform.parse("linux/amd64")
    plan = shop.plan("FROM scratch\n")
    found = Reader().inputs(plan)

    def values(*digests):
        bases = tuple(Base("b", each, digest) for each, digest in zip((arm, amd), digests, strict=True))
        return describe(replace(plan, bases=bases), found)[0]

    one, two = Digest.of(b"1"), Digest.of(b"2")
    assert len({tuple(values(*pair).items()) for pair in ((one, one), (one, two), (two, one), (two, two))}) == 4


def test_the_sources_of_a_windows_image_may_have_backslashes_and_a_drive(shop):
    shop.write("setup/files/a.msi")
    shop.write("setup/b.txt")
    shop.platform = Platform.parse("windows/amd64")
    text = '# escape=`\nFROM scratch\nCOPY ["setup\\\\files\\\\*", "C:\\\\x\\\\"]\nADD C:/setup/b.txt /\nADD https://a.b/c /d\n'
    found = inputs(shop, text)
    assert found.patterns == ("setup/files/*", "setup/b.txt")
    assert [each.path for each in found.files] == ["setup/b.txt", "setup/files/a.msi"]
