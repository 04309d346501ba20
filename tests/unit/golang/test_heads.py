from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from multiarch_oci.golang import heads
from multiarch_oci.golang.heads import Heads, head
from multiarch_oci.golang.tree import walk

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
    real = heads._digest
    monkeypatch.setattr(heads, "_digest", lambda path: read.append(Path(path).name) or real(path))
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
    monkeypatch.setattr(heads, "_AT_ONCE", 2)
    assert Heads(None).digest(walk([str(planted(tmp_path, "a.go", "b.go"))])) != ""
    (tmp_path / "tree/c.go").write_bytes(FILE)
    assert Heads(None).digest(walk([str(tmp_path / "tree")])) == ""
