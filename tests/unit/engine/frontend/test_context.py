from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine import BuildPlan, Overlay
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.tree import CannotCopy
from multiarch_oci.ignorefile import IgnoreFile
from multiarch_oci.platform import Platform
from multiarch_oci.store.atomic import replacing
from workshop import sha256


def context(shop, ignore="", **more):
    return Context(shop.folder, sha256, IgnoreFile.parse(ignore.encode(), name=".dockerignore"), **more)


def test_a_folder_that_is_left_out_is_seen_for_what_is_brought_back(shop):
    for path in ("a/x", "a/b/kept", "c/x", "e/x"):
        shop.write(path)
    tree = context(shop, "a\n!a/b/kept\nc\n**/nothing\n!e/y\n")
    assert tree.names("") == ("a", "e")
    assert tree.names("a") == ("b",)
    assert tree.lookup("a/b/kept") is not None
    assert tree.lookup("a/x") is None
    assert tree.lookup("c") is None
    assert tree.lookup("c/x") is None
    assert tree.hides("c/x")
    assert not tree.hides("nowhere")


def test_nothing_is_below_a_file_or_link(shop):
    shop.write("f")
    shop.write("d/f")
    (shop.folder / "l").symlink_to("d")
    tree = context(shop)
    assert tree.lookup("f/x") is None
    assert tree.lookup("l/f") is None
    assert tree.names("l") == ()


def test_without_modes_the_index_and_the_head_say_what_is_executable(shop):
    shop.write("script", "#!/bin/sh\n")
    shop.write("text", "text", mode=0o755)
    shop.write("tracked", "text")
    for command in (["init", "-q"], ["add", "tracked"], ["update-index", "--chmod=+x", "tracked"]):
        subprocess.run(["git", "-C", str(shop.folder), *command], check=True, capture_output=True)
    tree = context(shop, has_modes=False)
    modes = {name: tree.lookup(name).mode for name in ("script", "text", "tracked")}
    assert modes == {"script": 0o755, "text": 0o644, "tracked": 0o755}


@pytest.mark.parametrize("path", ["", "d", "d/f"])
def test_each_name_is_asked_for_once(shop, path):
    shop.write("d/f")
    tree = context(shop)
    assert tree.lookup(path) is tree.lookup(path)


def test_what_the_build_makes_of_images_is_not_in_the_context(shop):
    shop.write("_output/images/demo.tar")
    seen = Context(shop.folder, sha256, None, hidden=("_output/images", "_output/release"))
    assert seen.lookup("_output/images") is None
    assert "_output" not in seen.names("")  # a folder of nothing but outputs comes and goes with them
    shop.write("_output/bin/demo")
    later = Context(shop.folder, sha256, None, hidden=("_output/images", "_output/release"))
    assert later.names("_output") == ("bin",)


def test_what_is_hidden_is_not_there(shop):
    shop.write("_output/images/a.tar")
    shop.write("_output/bin/demo")
    tree = context(shop, hidden=("_output/images",))
    assert tree.names("_output") == ("bin",)
    assert tree.lookup("_output/images/a.tar") is None


def test_a_file_that_cannot_be_read_is_an_error(shop):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    shop.write("f")
    plan = replace(shop.plan("FROM scratch\nCOPY f /f\n"), file_digest=refused)
    with pytest.raises(CannotCopy, match="f' cannot be read: Permission denied"):
        shop.engine().build(plan, shop.output)


def test_names_that_are_not_utf8_are_kept(shop):
    real_path = os.fsencode(shop.folder) + b"/d\xff"
    os.mkdir(real_path)  # noqa: PTH102  # a Path holds no bytes
    assert list(shop.files("FROM scratch\nCOPY . /x\n")) == ["x", "x/Dockerfile.test", "x/d\udcff"]
    assert "d\udcff" in shop.inputs("FROM scratch\nCOPY . /x\n")[1]


def test_a_config_that_is_not_utf8_is_an_error(shop):
    with pytest.raises(InvalidDockerfile, match="holds text that is not UTF-8"):
        shop.build(b"FROM scratch\nCMD echo \xff\n")


def test_what_another_step_is_writing_at_this_moment_is_not_in_the_context(shop):
    with replacing(shop.folder / "dist/two.tar") as stream:
        stream.write(b"half")
        assert list((shop.folder / "dist").iterdir())
        assert context(shop).names("dist") == ()
    assert context(shop).names("dist") == ("two.tar",)


def overlaid(tmp_path: Path, *, listed: bool) -> tuple[BuildPlan, Context]:
    for path in ("top/build/made", "top/build/old", "src/old", "src/plain", "src/made", "src/below/x", "other/top"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    variant = Overlay("build", tmp_path / "src", first=True, listed=listed, without=frozenset({"build/made"}))
    top = tmp_path / "top"
    plan = BuildPlan(
        Platform("linux", "amd64"), top / "Dockerfile", top, sha256, overlays=(variant, Overlay("", tmp_path / "other"))
    )
    return plan, Context(top, sha256, None, real_paths=partial(plan.real_paths, top))


@pytest.mark.parametrize("listed", [True, False])
def test_files_of_overlays_are_in_the_context_in_their_order(listed: bool, tmp_path: Path) -> None:
    plan, seen = overlaid(tmp_path, listed=listed)
    assert seen.names("") == ("build", "top")
    assert seen.names("build") == (("below", "made", "old", "plain") if listed else ("made", "old"))
    assert seen.names("build/below") == ("x",)
    for path, text in {
        "top": "other/top",
        "build/made": "top/build/made",
        "build/old": "src/old",
        "build/plain": "src/plain",
        "build/below/x": "src/below/x",
    }.items():
        node = seen.lookup(path)
        assert node is not None
        assert node.content is not None
        with node.content.open() as stream:
            assert stream.read().decode() == text
        assert Path(plan.real_path(plan.context, path)).read_text() == text
    assert seen.lookup("build/none") is None
    assert plan.real_path(plan.context, "build/none") == str(plan.context / "build/none")
    assert plan.real_paths(tmp_path / "elsewhere", "build/old") == [str(tmp_path / "elsewhere/build/old")]
    assert plan.real_path(plan.context / "build", "plain") == str(tmp_path / "src/plain")  # a named context
