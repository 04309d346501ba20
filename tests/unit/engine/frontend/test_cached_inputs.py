from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.digest import Digest
from multiarch_oci.engine import Base, BuildPlan, NamedContext
from multiarch_oci.engine.frontend import ContextInputs, cached_inputs
from multiarch_oci.engine.frontend.cached_inputs import InputCache
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference


def sha256(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Tree:
    """A folder with a Dockerfile, asked through the cache; `full` counts the times that was not enough."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.full = 0
        self.write("Dockerfile", "FROM scratch\nCOPY bin/demo /demo\n")
        self.write("bin/demo", "program")

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def link(self, path: str) -> None:
        (self.folder / path).rename(self.folder / "real")
        (self.folder / path).symlink_to(self.folder / "real")

    def plan(self) -> BuildPlan:
        return BuildPlan(Platform.parse("linux/amd64"), self.folder / "Dockerfile", self.folder, sha256)

    def ask(self, plan: BuildPlan, known: ContextInputs | None = None):
        self.full += 1
        return Reader().inputs(plan, known)

    def run(self, plan: BuildPlan | None = None):
        """Ask as a run of the build does, with a new cache over the same file; the answer is always the full one."""
        cache = InputCache(self.folder / ".inputs")
        found = cache.inputs(plan or self.plan(), self.ask)
        cache.save()
        full = Reader().inputs(plan or self.plan())
        files = [(file.path, file.kind, file.executable, file.target) for file in found.files]
        assert files == [(file.path, file.kind, file.executable, file.target) for file in full.files]
        assert (found.missing, [b.name for b in found.bases]) == (full.missing, [b.name for b in full.bases])
        assert sorted(found.patterns) == sorted(full.patterns)
        return found


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path)
    made.run()
    made.full = 0
    return made


def test_the_second_run_parses_nothing(tree):
    tree.run()
    assert tree.full == 0


def test_an_executable_bit_is_seen_without_asking(tree):
    (tree.folder / "bin/demo").chmod(0o755)
    assert tree.run().files[0].executable
    assert tree.full == 0


CHANGES = {
    "the Dockerfile": lambda t: t.write("Dockerfile", "FROM scratch\nCOPY bin/demo /other\n"),
    "a .dockerignore appears": lambda t: t.write(".dockerignore", "bin\n"),
    "the Dockerfile's own ignore file appears": lambda t: t.write("Dockerfile.dockerignore", "bin\n"),
    "the file goes": lambda t: (t.folder / "bin/demo").unlink(),
    "the file becomes a folder": lambda t: ((t.folder / "bin/demo").unlink(), t.write("bin/demo/x", "")),
    "the file becomes a link": lambda t: t.link("bin/demo"),
    "its folder becomes a link": lambda t: t.link("bin"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_could_change_the_answer_is_asked_for_in_full(tree, change):
    change(tree)
    tree.run()
    assert tree.full == 1


def test_other_arguments_are_another_question(tree):
    tree.run(replace(tree.plan(), build_args=(("X", "1"),)))
    assert tree.full == 1


@pytest.mark.parametrize("source", ["bin", "bin/*", "bin/absent", ".", "bin/demo bin/d*", "odd/a*"])
def test_folders_wildcards_and_missing_files_are_never_remembered(tree, source):
    tree.write("odd/a*", "the one file that this pattern matches, and its name\n")
    tree.write("Dockerfile", f"FROM scratch\nCOPY {source} /app/\n")
    tree.run()
    tree.run()
    assert tree.full == 2


def test_a_base_is_remembered_with_its_line(tree):
    tree.write("Dockerfile", "FROM localhost:5000/base:1\nCOPY bin/demo /\n")
    tree.run()
    (base,) = tree.run().bases
    assert (Reference.parse(base.name).tag, base.line, tree.full) == ("1", 1, 1)


def test_a_damaged_cache_is_an_empty_one(tree):
    (tree.folder / ".inputs").write_text('{"format": "inputs 1", "inputs": {"x": 3', encoding="utf-8")
    tree.run()
    assert tree.full == 1


def test_named_contexts_are_asked_in_full(tree):
    contexts = (NamedContext("lib", folder=tree.folder),)
    for _ in range(2):
        tree.run(replace(tree.plan(), contexts=contexts))
    assert tree.full == 2


def test_a_look_with_the_bases_known_looks_at_no_file_again(tree, monkeypatch: pytest.MonkeyPatch):
    tree.write("Dockerfile", "FROM base\nCOPY bin/demo /demo\n")
    bare = tree.plan()
    based = replace(bare, bases=(Base("base", bare.platform, Digest.of(b"base"), env=("PATH=/bin",)),))
    for plan in (bare, based):
        tree.run(plan)
    read, looked = [], []
    look = cached_inputs._plain_file
    monkeypatch.setattr(
        cached_inputs, "_plain_file", lambda root, path, held: looked.append(path) or look(root, path, held)
    )
    cache = InputCache(tree.folder / ".inputs")
    bare, based = (replace(plan, file_digest=lambda path: read.append(path) or sha256(path)) for plan in (bare, based))
    first = cache.inputs(bare, tree.ask)
    again = cache.inputs(based, tree.ask, before=first)
    assert (first.files, first.bases) == (again.files, again.bases)
    assert (looked, read) == (["bin/demo"], [tree.folder / "Dockerfile"])


def test_what_a_base_says_counts_after_a_look_without_it(tree):
    """A variable of the base names the file: another file with the base known than without."""
    tree.write("Dockerfile", "FROM base\nCOPY bin/${NAME:-demo} /demo\n")
    tree.write("bin/other", "program")
    bare = tree.plan()
    based = replace(bare, bases=(Base("base", bare.platform, Digest.of(b"base"), env=("NAME=other",)),))
    for plan in (bare, based):
        tree.run(plan)
    cache = InputCache(tree.folder / ".inputs")
    first = cache.inputs(bare, tree.ask)
    again = cache.inputs(based, tree.ask, before=first)
    assert ([file.path for file in first.files], [file.path for file in again.files]) == (["bin/demo"], ["bin/other"])


def test_what_a_dockerfile_took_after_an_edit_is_not_kept_for_the_one_before(tree):
    before, after = "FROM scratch\nCOPY a /a\n", "FROM scratch\nCOPY b /b\n"
    tree.write("a", "a")
    tree.write("b", "b")
    tree.write("Dockerfile", before)
    cache = InputCache(tree.folder / ".inputs")

    def ask_late(plan: BuildPlan, known: ContextInputs | None):
        tree.write("Dockerfile", after)
        return tree.ask(plan, known)

    assert [file.path for file in cache.inputs(tree.plan(), ask_late).files] == ["b"]
    cache.save()
    tree.write("Dockerfile", before)
    assert [file.path for file in tree.run().files] == ["a"]


def asked_with_base(tree: Tree, between: Callable[[], object]) -> tuple[ContextInputs, ContextInputs]:
    """What a Dockerfile takes without its base, and then with it, in a cache that knows nothing of it."""
    bare = tree.plan()
    based = replace(bare, bases=(Base("base", bare.platform, Digest.of(b"base"), env=("NAME=other",)),))
    cache = InputCache(tree.folder / ".none")
    first = cache.inputs(bare, tree.ask)
    between()
    return first, cache.inputs(based, tree.ask, before=first)


def test_what_is_taken_by_the_same_names_is_not_looked_for_again_with_the_base(tree):
    tree.write("Dockerfile", "FROM base\nCOPY missing folder /\n")
    tree.write("folder/a", "a")
    first, again = asked_with_base(tree, lambda: tree.write("folder/b", "b"))
    assert [file.path for file in again.files] == [file.path for file in first.files] == ["folder", "folder/a"]
    assert (again.missing, again.patterns) == (("missing",), ("missing", "folder"))


def test_what_is_taken_by_other_names_is_looked_for(tree):
    tree.write("Dockerfile", "FROM base\nCOPY missing bin/${NAME:-demo} /\n")
    tree.write("bin/other", "program")
    first, again = asked_with_base(tree, str)
    assert ([file.path for file in first.files], [file.path for file in again.files]) == (["bin/demo"], ["bin/other"])


def test_an_ignore_file_that_appears_meanwhile_counts(tree):
    tree.write("Dockerfile", "FROM base\nCOPY missing folder /\n")
    tree.write("folder/a", "a")
    _, again = asked_with_base(tree, lambda: tree.write(".dockerignore", "folder/a\n"))
    assert [file.path for file in again.files] == ["folder"]
