"""Listings that machines share: which question has a key, and what of somebody else's content counts."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from integration.golang_repository import toolchain_of
from multiarch_oci.golang.answers import run_process
from multiarch_oci.golang.inputs import Inputs
from multiarch_oci.golang.lister import Lister
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform
from multiarch_oci.statcache import StatCache

FILES = {
    "go.mod": "module ex.org/app\n\ngo 1.24\n",
    "main.go": 'package main\n\nimport "ex.org/app/inner"\n\nfunc main() { println(inner.Word) }\n',
    "inner/inner.go": 'package inner\n\nconst Word = "word"\n',
    "cmd/tool/main.go": "package main\n\nfunc main() {}\n",
}


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return toolchain_of("1.24")


class Left(dict[str, bytes]):
    """Listings that machines leave to each other."""

    def put(self, key: str, content: bytes) -> None:
        self[key] = content

    def document(self) -> dict[str, Any]:
        (content,) = self.values()
        document: dict[str, Any] = json.loads(gzip.decompress(content))
        return document

    def replace(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change each listing that lies here."""
        document = self.document()
        for listing in document["listings"].values():
            change(listing)
        self[next(iter(self))] = gzip.compress(json.dumps(document).encode())


class Machine:
    """A clone of the tree in a folder of its own, with an empty home; it offers what it learns."""

    def __init__(self, folder: Path, toolchain: Toolchain, left: Left, files: Mapping[str, str] = FILES) -> None:
        self.folder, self._toolchain, self._left = folder, toolchain, left
        self.top = folder / "tree"
        for name, text in files.items():
            self.write(name, text)
        self.base = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "GOFLAGS": "-modcacherw"}
        self.lines: list[str] = []

    def write(self, name: str, text: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def inputs(self, *packages: str, platforms: Sequence[str] = ("linux/amd64",), **declared: Any) -> list[Inputs]:
        """What the programs of these packages are made of; `lines` are the processes that were started for that."""
        cache = self.folder / "cache"
        lister = Lister(
            self._toolchain,
            self.base,
            cache,
            StatCache(None),
            run=self._run,
            shared=self._left,
            top=self.top,
        )
        builds = [
            GoBuild(Platform.parse(platform), package, self.top, **declared)
            for package in packages or (".",)
            for platform in platforms
        ]
        lister.declare(*builds)
        self.lines.clear()
        found = [lister.inputs(build) for build in builds]
        lister.offer()
        return found

    def _run(self, line: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        self.lines.append(" ".join(line[1:]))
        return run_process(line, folder, environment)


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
def machine(tmp_path: Path, toolchain: Toolchain, left: Left) -> Callable[..., Machine]:
    return lambda name, **files: Machine(tmp_path / name, toolchain, left, {**FILES, **files})


Maker = Callable[..., Machine]


def test_a_clone_elsewhere_knows_all_without_a_process(machine: Maker, left: Left):
    first = machine("first")
    inputs = first.inputs(".", "./cmd/tool", platforms=("linux/amd64", "windows/arm64"))
    assert len(first.lines) == 2
    second = machine("second")
    assert second.inputs(".", "./cmd/tool", platforms=("linux/amd64", "windows/arm64")) == inputs
    assert second.lines == []
    assert str(first.folder.parent) not in json.dumps(left.document())
    third = machine("third")
    assert third.inputs(".") == inputs[:1]
    assert third.lines == []


def test_flags_that_change_nothing_choose_no_other_listing(machine: Maker):
    first = machine("first")
    first.base["GOFLAGS"] = "-modcacherw -buildvcs=false -p=2"
    inputs = first.inputs(".")
    second = machine("second")
    second.base["GOFLAGS"] = ""
    assert second.inputs(".") == inputs
    assert second.lines == []
    third = machine("third")
    third.base["GOFLAGS"] = "-tags=other"
    assert third.inputs(".") != inputs
    assert len(third.lines) == 1


def test_what_is_asked_beside_joins_what_is_there(machine: Maker, left: Left):
    one, other = machine("one"), machine("other")
    first = one.inputs(".")
    second = other.inputs("./cmd/tool", platforms=("linux/amd64", "linux/arm64"))
    assert len(other.lines) == 2
    assert len(left) == 1
    third = machine("third")
    assert third.inputs(".", "./cmd/tool") == [*first, second[0]]
    assert third.lines == []


def test_an_edit_below_the_head_asks_nobody_and_one_within_asks_go(machine: Maker):
    machine("first").inputs(".")
    second = machine("second")
    second.write("inner/inner.go", FILES["inner/inner.go"].replace("word", "other"))
    (body,) = second.inputs(".")
    assert second.lines == []
    third = machine("third")
    third.write("inner/more.go", "package inner\n")
    (more,) = third.inputs(".")
    assert len(third.lines) == 1
    assert len({body.digest, more.digest, *(found.digest for found in machine("fourth").inputs("."))}) == 3


def test_modules_that_are_not_here_are_not_fetched(machine: Maker, tmp_path: Path):
    proxy = tmp_path / "proxy"
    versions = proxy / "ex.org" / "words" / "@v"
    versions.mkdir(parents=True)
    (versions / "v1.2.3.mod").write_text("module ex.org/words\n", encoding="utf-8")
    (versions / "v1.2.3.info").write_text('{"Version":"v1.2.3"}', encoding="utf-8")
    with zipfile.ZipFile(versions / "v1.2.3.zip", "w") as archive:
        archive.writestr("ex.org/words@v1.2.3/go.mod", "module ex.org/words\n")
        archive.writestr("ex.org/words@v1.2.3/words.go", 'package words\n\nconst Hello = "hello"\n')
    own = {
        "go.mod": FILES["go.mod"] + "\nrequire ex.org/words v1.2.3\n",
        "main.go": 'package main\n\nimport "ex.org/words"\n\nfunc main() { println(words.Hello) }\n',
    }
    first = machine("first", **own)
    first.base |= {"GOPROXY": proxy.as_uri(), "GONOSUMDB": "*", "GOFLAGS": "-mod=mod -modcacherw"}
    first.inputs(".")  # writes go.sum
    inputs = first.inputs(".")
    second = machine("second", **own, **{"go.sum": (first.top / "go.sum").read_text(encoding="utf-8")})
    second.base |= {"GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    assert second.inputs(".") == inputs
    assert second.lines == []
    assert not (second.folder / "home").exists()
    assert "h1:" in inputs[0].facts["module ex.org/words"]


OUTSIDE = {
    "cgo": {"cgo": True},
    "-toolexec": {"flags": ("-toolexec=time",)},
    "another compiler": {"flags": ("-compiler=gc",)},
    "an overlay": {"flags": ("-overlay=overlay.json",)},
    "race": {"race": True},
    "GOPATH mode": {"env": (("GO111MODULE", "off"),)},
}


@pytest.mark.parametrize("declared", OUTSIDE.values(), ids=OUTSIDE)
def test_questions_that_the_checkout_alone_does_not_answer_have_no_key(
    machine: Maker, left: Left, declared: dict[str, Any]
):
    machine("first", **{"overlay.json": '{"Replace": {}}'}).inputs(".", **declared)
    assert left == {}


def test_sources_out_of_the_tree_have_no_key(machine: Maker, left: Left):
    replaced = FILES["go.mod"] + "\nrequire ex.org/lib v0.0.0\n\nreplace ex.org/lib => ../lib\n"
    uses = 'package main\n\nimport "ex.org/lib"\n\nfunc main() { println(lib.Word) }\n'
    first = machine("first", **{"go.mod": replaced, "main.go": uses})
    shutil.copytree(first.top / "inner", first.folder / "lib")
    first.write("../lib/go.mod", "module ex.org/lib\n\ngo 1.24\n")
    first.write("../lib/inner.go", 'package lib\n\nconst Word = "word"\n')
    assert first.inputs(".")[0].error is None
    second = machine("second")
    second.write("../go.work", "go 1.24\n\nuse ./tree\n")
    assert second.inputs(".")[0].error is None
    assert left == {}


def test_a_listing_with_a_fault_is_not_left(machine: Maker, left: Left):
    broken = machine("first", **{"main.go": 'package main\n\nimport "ex.org/app/nowhere"\n'})
    assert broken.inputs(".")[0].error
    assert left == {}


def _first_package(listing: dict[str, Any]) -> dict[str, Any]:
    package: dict[str, Any] = listing["packages"][0]
    return package


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a folder out of the tree": lambda listing: _first_package(listing).update(folder="../../etc"),
    "an absolute folder": lambda listing: _first_package(listing).update(folder="/etc"),
    "a folder that is not there": lambda listing: _first_package(listing).update(folder="nowhere"),
    "a file out of the tree": lambda listing: _first_package(listing).update(files=["../../etc/passwd"]),
    "no package": lambda listing: listing.update(packages=[]),
    "a package of a number that is none": lambda listing: listing["closures"].update({".": [7]}),
    "a closure of nothing": lambda listing: listing["closures"].update({".": []}),
    "control characters": lambda listing: _first_package(listing).update(version="\x1b[2J"),
    "a fault": lambda listing: listing.update(error="boo"),
    "another shape": lambda listing: listing.update(packages={}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_what_somebody_else_wrote_there_costs_time_alone(
    machine: Maker, left: Left, change: Callable[[dict[str, Any]], object]
):
    inputs = machine("first").inputs(".")
    left.replace(change)
    second = machine("second")
    assert second.inputs(".") == inputs
    assert len(second.lines) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\x1f\x8b", gzip.compress(b"[]"), gzip.compress(b"[" * 100_000)])
def test_content_that_is_no_listing_costs_time_alone(machine: Maker, left: Left, content: bytes):
    inputs = machine("first").inputs(".")
    left[next(iter(left))] = content
    second = machine("second")
    assert second.inputs(".") == inputs
    assert len(second.lines) == 1


EMBEDDING = 'package main\n\nimport "embed"\n\n//go:embed assets/*.txt\nvar Files embed.FS\n\nfunc main() {}\n'


@pytest.mark.parametrize(
    ("name", "started"), [("assets/new.txt", 1), ("assets/new.dat", 0), ("elsewhere/new.txt", 0), ("new.pyc", 0)]
)
def test_names_count_where_a_pattern_may_take_them(machine: Maker, name: str, started: int):
    files = {"main.go": EMBEDDING, "assets/one.txt": "one"}
    machine("first", **files).inputs(".")
    second = machine("second", **files, **{name: "new"})
    (inputs,) = second.inputs(".")
    assert len(second.lines) == started
    assert ("assets/new.txt" in inputs.files) == bool(started)
