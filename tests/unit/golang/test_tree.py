from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multiarch_oci.golang.tree import look, walk

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links and times of change")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/a.go", "a/data.bin", "b/c/d.txt", ".git/HEAD", "out/x.go"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path / "root"


def seen(root: Path) -> str:
    return walk([str(root)], frozenset([str(root / "out")])).digest


def keep_size_and_mtime(root: Path) -> None:
    path = root / "a" / "a.go"
    status = path.stat()
    while path.stat().st_ctime_ns == status.st_ctime_ns:  # until the clock of the file system has ticked
        path.write_text("A/a.go", encoding="utf-8")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@posix
@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a" / "new").touch(),
        lambda root: (root / "a" / "folder").mkdir(),
        lambda root: (root / "a" / "a.go").rename(root / "a" / "b.go"),
        lambda root: (root / "b" / "c" / "d.txt").unlink(),
        lambda root: (root / "a" / "a.go").write_text("longer than before", encoding="utf-8"),
        lambda root: (root / "b" / "c" / "d.txt").rename(root / "b" / "d.txt"),
        lambda root: (root / "b" / "link").symlink_to("c"),
        keep_size_and_mtime,
    ],
)
def test_a_walk_sees(root: Path, change: Callable[[Path], object]):
    before = seen(root)
    assert seen(root) == before
    change(root)
    assert seen(root) != before


def test_the_contents_of_files_that_go_does_not_read_are_no_question_of_a_walk(root: Path):
    before = seen(root)
    (root / "b" / "c" / "d.txt").write_text("longer than before", encoding="utf-8")
    (root / "a" / "data.bin").touch()
    assert seen(root) == before


@posix
def test_a_walk_sees_where_a_link_points_and_what_is_there(root: Path):
    link = root / "a" / "link.go"
    link.symlink_to("a.go")
    digests = {seen(root)}
    link.unlink()
    link.symlink_to("data.bin")
    digests.add(seen(root))
    (root / "a" / "data.bin").write_text("another size", encoding="utf-8")
    digests.add(seen(root))
    link.unlink()
    link.symlink_to("nowhere")
    digests.add(seen(root))
    assert len(digests) == 4


@pytest.mark.parametrize("name", ["out/x.go", "out/y.go", ".git/HEAD", ".git/x/y"])
def test_a_walk_leaves_out_outputs_and_version_control(root: Path, name: str):
    before = seen(root)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("changed a lot", encoding="utf-8")
    assert seen(root) == before


def test_a_root_that_appears_and_one_within_another_are_seen(root: Path):
    inside = str(root / "out")
    assert walk([str(root), inside], frozenset([inside])).folders >= {inside}
    missing = root / "missing"
    before = walk([str(root / "a"), str(missing)]).digest
    missing.mkdir()
    (missing / "x").touch()
    assert walk([str(root / "a"), str(missing)]).digest != before


def test_fresh_sources_are_moving_and_other_files_are_not(root: Path, monkeypatch: pytest.MonkeyPatch):
    assert walk([str(root / "a")]).moving == (str(root / "a" / "a.go"),)
    now = time.time_ns() + 3 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now)
    assert walk([str(root / "a")], trust_ctime=True).moving == ()
    assert walk([str(root / "a")], trust_ctime=False).moving == (str(root / "a" / "a.go"),)


@posix
def test_an_mtime_that_was_set_back_is_noticed_on_sources_only(root: Path):
    assert not walk([str(root)]).back_dated
    os.utime(root / "a" / "data.bin", (1, 1))
    assert not walk([str(root)]).back_dated
    os.utime(root / "a" / "a.go", (1, 1))
    assert walk([str(root)]).back_dated == {str(root / "a")}


def test_one_path_looks_like_nothing_until_it_is_there(root: Path):
    path = root / "a" / "generated.go"
    assert look(str(path)) == ""
    path.touch()
    first = look(str(path))
    path.write_text("x", encoding="utf-8")
    assert "" != first != look(str(path))
