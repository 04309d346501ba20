from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.golang import tree
from multiarch_oci.golang.answers import Answers, Question, run_process
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.golang.tree import Tree, walk
from multiarch_oci.statcache import StatCache

STILL = Tree("one", frozenset(["/src"]), (), back_dated=frozenset())


class GoList:
    """Answers as `go list` does for one package, and remembers how it was asked."""

    def __init__(self, status: int = 0, complaint: str = "", **fields: object) -> None:
        self.entry = {
            "ImportPath": "ex.org/p",
            "Name": "main",
            "Dir": "/src",
            "Match": ["."],
            "GoFiles": ["p.go"],
            **fields,
        }
        self.status = status
        self.complaint = complaint
        self.asked: list[tuple[Sequence[str], Mapping[str, str]]] = []

    def __call__(self, line: Sequence[str], _directory: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        self.asked.append((line, environment))
        standard = {"ImportPath": "fmt", "Dir": "/go/src/fmt", "Standard": True}
        return self.status, json.dumps(self.entry) + "\n" + json.dumps(standard, indent=1), self.complaint


def question(**changed: object) -> Question:
    fields = {
        "toolchain": Toolchain(Path("/go/bin/go"), Path("/go"), "go1.26.8"),
        "directory": Path("/src"),
        "environment": {"GODEBUG": "x=1"},
        "flags": (),
        "settings": (("GOOS", "linux"),),
        "steering": (("go.mod", "module p"),),
        "roots": ("/src",),
    }
    return Question(**{**fields, **changed})


def test_an_answer_is_kept_for_the_same_question_and_tree(tmp_path: Path):
    go = GoList()
    Answers(tmp_path, StatCache(None), go).ask(question(), ["."], lambda: STILL)
    kept = Answers(tmp_path, StatCache(None), go)
    found = kept.find(question(), ["."], STILL)
    assert found is not None
    assert [package.path for package in found.behind(".")] == ["ex.org/p"]
    assert kept.find(question(), [".", "./other"], STILL) is None
    assert kept.find(question(), ["."], Tree("two", STILL.folders, (), back_dated=frozenset())) is None
    assert len(go.asked) == 1


@pytest.mark.parametrize(
    ("member", "value"),
    [("apart", ["/a\0b"]), ("apart", [1]), ("moving", {"/a\0b": ""}), ("moving", []), ("listing", {}), ("key", None)],
    ids=str,
)
def test_a_damaged_answer_is_not_known(tmp_path: Path, member: str, value: object):
    Answers(tmp_path, StatCache(None), GoList()).ask(question(), ["."], lambda: STILL)
    path = tmp_path / f"{question().name}.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="ascii")) | {member: value}), encoding="ascii")
    assert Answers(tmp_path, StatCache(None), GoList()).find(question(), ["."], STILL) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": (("GOOS", "windows"),)},
        {"steering": (("go.mod", "module p\ngo 1.25"),)},
        {"roots": ("/src", "/lib")},
        {"flags": ("-tags=x",)},
        {"directory": Path("/other")},
        {"toolchain": Toolchain(Path("/go/bin/go"), Path("/go"), "go1.27.3")},
        {"toolchain": Toolchain(Path("/go2/bin/go"), Path("/go2"), "go1.26.8")},
    ],
)
def test_another_question_has_another_answer(tmp_path: Path, changed: dict[str, object]):
    answers = Answers(tmp_path, StatCache(None), GoList())
    answers.ask(question(), ["."], lambda: STILL)
    assert answers.find(question(**changed), ["."], STILL) is None


def test_an_edit_that_left_no_trace_in_stat_is_found_by_contents(tmp_path: Path):
    source = tmp_path / "p.go"
    source.write_text("package p", encoding="utf-8")
    tree = Tree("one", frozenset(["/src"]), (str(source),), back_dated=frozenset())
    answers = Answers(tmp_path / "kept", StatCache(None), GoList())
    answers.ask(question(), ["."], lambda: tree)
    assert answers.find(question(), ["."], tree) is not None
    source.write_text("package q", encoding="utf-8")
    assert answers.find(question(), ["."], tree) is None
    source.unlink()
    assert answers.find(question(), ["."], tree) is None


def test_a_tree_that_changes_meanwhile_is_listed_again(tmp_path: Path):
    go = GoList()
    answers = Answers(tmp_path, StatCache(None), go)
    states = iter(["one", "two", "two"])
    _, seen = answers.ask(question(), ["."], lambda: Tree(next(states), STILL.folders, (), back_dated=frozenset()))
    assert (seen.digest, len(go.asked)) == ("two", 2)
    assert answers.find(question(), ["."], seen) is not None


def test_a_tree_that_never_stands_still_is_not_kept(tmp_path: Path):
    go = GoList()
    states = iter("abcdefgh")
    answers = Answers(tmp_path, StatCache(None), go)
    answers.ask(question(), ["."], lambda: Tree(next(states), STILL.folders, (), back_dated=frozenset()))
    assert len(go.asked) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("go", [GoList(Error={"Err": "no network"}), GoList(1, "go: bad go.mod"), GoList(127)])
def test_an_error_is_answered_and_not_kept(tmp_path: Path, go: GoList):
    listing, _ = Answers(tmp_path, StatCache(None), go).ask(question(), ["."], lambda: STILL)
    assert not listing.sound
    assert list(tmp_path.iterdir()) == []


def test_go_reads_every_file_itself_only_where_an_mtime_was_set_back(tmp_path: Path):
    go = GoList()
    answers = Answers(tmp_path, StatCache(None), go)
    answers.ask(question(), ["."], lambda: STILL)
    answers.ask(question(), ["."], lambda: Tree("one", STILL.folders, (), back_dated=frozenset(["/src"])))
    assert [environment["GODEBUG"] for _, environment in go.asked] == ["x=1", "x=1,goindex=0"]


def test_a_package_apart_from_the_tree_is_watched(tmp_path: Path):
    apart = tmp_path / "apart"
    apart.mkdir()
    answers = Answers(tmp_path / "kept", StatCache(None), GoList(Dir=str(apart)))
    answers.ask(question(), ["."], lambda: STILL)
    assert answers.find(question(), ["."], STILL) is not None
    (apart / "new.go").touch()
    assert answers.find(question(), ["."], STILL) is None


def test_without_a_folder_nothing_is_kept():
    answers = Answers(None, StatCache(None), GoList())
    answers.ask(question(), ["."], lambda: STILL)
    assert answers.find(question(), ["."], STILL) is None


def test_a_process_that_cannot_start_is_an_answer(tmp_path: Path):
    status, _, complaint = run_process(["/no/such/go", "list"], tmp_path, {})
    assert status == 127
    assert complaint.startswith(f"/no/such/go could not be started in {tmp_path}: ")
    assert run_process([sys.executable, "-c", "print('x'); raise SystemExit(3)"], tmp_path, {})[0] == 3


PROGRAM = 'package p\n\nimport "fmt"\n\nfunc main() {}\n'


def walked(tmp_path: Path) -> Tree:
    """Return a walk of a folder with one Go file, ten seconds after it was written."""
    found = walk([str(tmp_path / "src")])
    return replace(found, moving=())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    path = tmp_path / "src/p.go"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def test_an_edit_below_the_imports_asks_nobody(tmp_path: Path, source: Path):
    go = GoList()
    Answers(tmp_path / "kept", StatCache(None), go).ask(question(), ["."], lambda: walked(tmp_path))
    source.write_text(PROGRAM.replace("{}", "{ fmt.Println() }"), encoding="utf-8")
    for _ in range(2):
        kept = Answers(tmp_path / "kept", StatCache(None), go)
        assert kept.find(question(), ["."], walked(tmp_path)) is not None
        assert kept.find(question(roots=("/elsewhere",)), ["."], walked(tmp_path)) is None
        kept.save()
    assert json.loads((tmp_path / "kept" / f"{question().name}.json").read_bytes())["key"] == question().key(
        walked(tmp_path)
    )
    assert len(go.asked) == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda path: path.write_text(PROGRAM.replace('"fmt"', '"os"'), encoding="utf-8"),
        lambda path: path.write_text("//go:build linux\n\n" + PROGRAM, encoding="utf-8"),
        lambda path: path.with_name("q.go").write_text("package p\n", encoding="utf-8"),
        lambda path: path.with_name("embedded.txt").write_text("", encoding="utf-8"),
        lambda path: path.rename(path.with_name("q.go")),
        lambda path: path.unlink(),
    ],
)
def test_any_other_edit_asks_go_list(tmp_path: Path, source: Path, edit: Callable[[Path], object]):
    answers = Answers(tmp_path / "kept", StatCache(None), GoList())
    answers.ask(question(), ["."], lambda: walked(tmp_path))
    assert answers.find(question(), ["."], walked(tmp_path)) is not None
    edit(source)
    assert answers.find(question(), ["."], walked(tmp_path)) is None


def test_an_edit_while_the_heads_are_read_asks_go_list(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch):
    answers = Answers(tmp_path / "kept", StatCache(None), GoList())
    answers.ask(question(), ["."], lambda: walked(tmp_path))
    source.write_text(PROGRAM.replace("{}", "{ fmt.Println() }"), encoding="utf-8")
    real = tree._digest_of_head

    def meanwhile(path: str) -> str:
        found = real(path)
        source.write_text(PROGRAM.replace('"fmt"', '"os"'), encoding="utf-8")
        return found

    monkeypatch.setattr(tree, "_digest_of_head", meanwhile)
    assert answers.find(question(), ["."], walk([str(tmp_path / "src")])) is None


def test_an_edit_right_after_go_list_is_not_taken_for_what_was_listed(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
):
    go = GoList()
    answers = Answers(tmp_path / "kept", StatCache(None), go)
    real = tree._digest_of_head

    def meanwhile(path: str) -> str:
        if len(go.asked) == 1:
            source.write_text(PROGRAM.replace('"fmt"', '"os"'), encoding="utf-8")
        return real(path)

    monkeypatch.setattr(tree, "_digest_of_head", meanwhile)
    answers.ask(question(), ["."], lambda: walk([str(tmp_path / "src")]))
    assert len(go.asked) == 2
