"""None"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multiarch_oci.golang import tree
from multiarch_oci.golang.tree import Heads, head, look, walk

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


FILE = b'//go:build linux\n\n// Command demo.\npackage main\n\nimport (\n\t"fmt"\n)\n\nconst a = 1\n\nfunc main() {}\n'
AGE = 10_000_000_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a = 1", b"a = 2"), (b"main() {}", b"main() { fmt.Println() }"), (b"{}\n", b"{}\n\n// the end\n"),
        (b"{}\n", b"{}\n\n/* the end */\n"), (b"a = 1", b'a = `import "x"`'), (b"func main", b"//go:noinline\nfunc main"),
        (b"{}\n", b"{}\n//go:embed x\n"),
    ],
)  # fmt: skip
def test_an_edit_below_the_first_declaration_leaves_the_head(old: bytes, new: bytes):
    assert FILE.replace(old, new) != FILE
    assert head("main.go", FILE.replace(old, new)) == head("main.go", FILE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"linux", b"darwin"), (b"main\n\nimport", b"other\n\nimport"), (b'"fmt"', b'"os"'), (b'"fmt"', b'"fmt"\n\t"os"'),
        (b"const", b'import "os"\n\nconst'), (b"// Command", b"//go:debug x=1\n// Command"), (b"const", b"/*\nconst"),
        (b"//go:build linux\n\n", b""),
    ],
)  # fmt: skip
def test_an_edit_of_what_go_list_reads_changes_the_head(old: bytes, new: bytes):
    assert FILE.replace(old, new) != FILE
    assert head("main.go", FILE.replace(old, new)) != head("main.go", FILE)


@pytest.mark.parametrize(
    "content",
    [
        b'/*\nfunc of old\n*/\npackage main\n\nimport "fmt"\n\nfunc main() {}\n',
        b'package main\n\n/*\n#cgo LDFLAGS: -lm\nvar x;\n*/\nimport "C"\n\nfunc main() {}\n',
        b'package main\n\nimport _ "embed"\n\n//go:embed x\nvar x string\n',
        b"package main\n\nimport `fmt`\n\nfunc main() {}\n",
        b"package main\n",
        b'package main\n\nimport "fmt"; func main() {}\n',
    ],
)
def test_where_the_end_of_the_head_is_not_sure_the_whole_file_counts(content: bytes):
    assert head("main.go", content) == content


@pytest.mark.parametrize("name", ["go.mod", "a.s", "a.c", "modules.txt"])
def test_of_what_is_not_go_the_whole_file_counts(name: str):
    assert head(name, FILE) == FILE


def planted(folder: Path, *names: str) -> Path:
    root = folder / "tree"
    root.mkdir()
    for name in names:
        (root / name).write_bytes(FILE)
        aged(root / name)
    return root


def aged(path: Path) -> None:
    """Let a file look as if it had been written a while ago; its time of change cannot be set, so walks are told."""
    os.utime(path, ns=(1, path.stat().st_mtime_ns - AGE))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every walk take place ten seconds later: what was just written is settled then."""
    now = time.time_ns
    monkeypatch.setattr("multiarch_oci.golang.tree.time.time_ns", lambda: now() + AGE)


@pytest.mark.usefixtures("later")
def test_a_settled_file_is_read_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = planted(tmp_path, "a.go", "b.go")
    read: list[str] = []
    real = tree._digest_of_head
    monkeypatch.setattr(tree, "_digest_of_head", lambda path: read.append(Path(path).name) or real(path))
    first = Heads(tmp_path / "cache")
    told = first.digest(walk([str(root)]))
    assert sorted(read) == ["a.go", "b.go"]
    assert first.digest(walk([str(root)])) == told
    first.save()
    second = Heads(tmp_path / "cache")
    assert second.digest(walk([str(root)])) == told
    assert len(read) == 2
    (root / "b.go").write_bytes(FILE.replace(b"a = 1", b"a = 2"))
    assert second.digest(walk([str(root)])) == told
    assert read[2:] == ["b.go"]
    (root / "b.go").write_bytes(FILE.replace(b"fmt", b"os"))
    assert second.digest(walk([str(root)])) != told


def test_a_file_written_a_moment_ago_is_read_at_every_question(tmp_path: Path):
    root = planted(tmp_path, "a.go")
    tree = walk([str(root)])
    assert tree.moving == (str(root / "a.go"),)
    known = Heads(tmp_path / "cache")
    told = known.digest(tree)
    (root / "a.go").write_bytes(FILE.replace(b"fmt", b"osx"))
    assert known.digest(tree) != told  # the walk is the old one, as after an edit that leaves no trace
    known.save()
    (root / "a.go").write_bytes(FILE)
    assert Heads(tmp_path / "cache").digest(tree) == told


def test_a_file_that_cannot_be_read_and_a_damaged_cache_are_no_errors(tmp_path: Path):
    root = planted(tmp_path, "a.go")
    tree = walk([str(root)])
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/heads.json").write_text('{"format":"go heads 1","heads":{"a":3}}', encoding="utf-8")
    assert Heads(tmp_path / "cache").digest(tree) == Heads(None).digest(tree)
    told = Heads(None).digest(tree)
    (root / "a.go").unlink()
    assert Heads(None).digest(tree) not in ("", told)


def test_too_many_unknown_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tree, "_AT_ONCE", 2)
    assert Heads(None).digest(walk([str(planted(tmp_path, "a.go", "b.go"))])) != ""
    (tmp_path / "tree/c.go").write_bytes(FILE)
    assert Heads(None).digest(walk([str(tmp_path / "tree")])) == ""
