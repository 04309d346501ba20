"""Compiled packages between two build caches: only right bytes, under names that Go made, and no more than was said."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path

import pytest

from multiarch_oci.golang.buildcache import (
    BadPackages,
    Package,
    compiled,
    missing,
    pack,
    read_list,
    unpack,
    write_list,
)
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform


def package(folder: Path, content: bytes, action: str) -> Package:
    """Put a package into a build cache, as Go does."""
    output = hashlib.sha256(content).hexdigest()
    key = hashlib.sha256(action.encode()).hexdigest()
    made = Package(key, output, len(content))
    for name, text in (
        (made.content, content),
        (made.line, f"v1 {key} {output} {len(content):20d} {1796058379456184191:20d}\n".encode()),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def packages(cache: Path) -> list[Package]:
    large = b"".join(hashlib.sha256(bytes([number % 256])).digest() for number in range(40_000))
    return sorted(
        package(cache, content, action) for content, action in ((large, "net"), (b"", "unsafe"), (b"x", "os"))
    )


def packed(cache: Path, packages: list[Package]) -> bytes:
    sink = io.BytesIO()
    pack(cache, packages, sink)
    return sink.getvalue()


def test_packages_go_from_one_cache_to_another(cache: Path, packages: list[Package], tmp_path: Path):
    stream, other = packed(cache, packages), tmp_path / "other"
    assert missing(other, packages) == tuple(packages)
    assert unpack(io.BytesIO(stream), read_list(write_list(packages), where="list"), other)
    assert missing(other, packages) == ()
    for one in packages:
        assert (other / one.content).read_bytes() == (cache / one.content).read_bytes()
        line, before = (other / one.line).read_bytes(), (cache / one.line).read_bytes()
        assert (len(line), line[:-22]) == (len(before), before[:-22])  # but for the time
    assert sorted(path.name for path in other.rglob("*-*")) == sorted(path.name for path in cache.rglob("*-*"))


def test_equal_caches_make_equal_bytes(cache: Path, packages: list[Package], tmp_path: Path):
    again = tmp_path / "again"
    unpack(io.BytesIO(packed(cache, packages)), packages, again)
    assert packed(again, packages) == packed(cache, packages)


def test_what_is_there_stays(cache: Path, packages: list[Package]):
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*-*")}
    assert unpack(io.BytesIO(packed(cache, packages)), packages, cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*-*")} == before


def test_it_ends_when_it_is_not_worth_it(cache: Path, packages: list[Package], tmp_path: Path):
    other, asked = tmp_path / "other", []
    assert not unpack(
        io.BytesIO(packed(cache, packages)), packages, other, lambda done: asked.append(done) or len(asked) < 2
    )
    assert asked == [0, packages[0].size]
    assert missing(other, packages) == tuple(packages[1:])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda stream: stream[:-20], "is damaged, or ends too early"),
        (lambda stream: stream[:0], "is damaged, or ends too early"),
        (lambda stream: b"no gzip" + stream, "is damaged, or ends too early"),
        (lambda stream: stream + gzip.compress(b"more"), "holds more than its packages"),
        (
            lambda stream: gzip.compress(b"y" * len(gzip.decompress(stream))),
            "holds other bytes than those of the output",
        ),
    ],
)
def test_a_stream_of_other_bytes_is_refused(cache: Path, packages: list[Package], tmp_path: Path, change, text: str):
    with pytest.raises(BadPackages, match=text):
        unpack(io.BytesIO(change(packed(cache, packages))), packages, tmp_path / "other")
    for path in (tmp_path / "other").rglob("*-d"):  # what came before the fault is right
        assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}-d"
    assert not list((tmp_path / "other").rglob("*.part"))


def test_a_damaged_cache_is_not_carried(cache: Path, packages: list[Package]):
    (cache / packages[0].content).write_bytes(b"something else")
    with pytest.raises(BadPackages, match="is damaged"):
        packed(cache, packages)


@pytest.mark.parametrize(
    "packages",
    [
        [["../../../etc/passwd", "0" * 64, 1]],
        [["0" * 64, "a" * 63 + "/", 1]],
        [["0" * 64, "A" * 64, 1]],
        [["0" * 64, "a" * 64 + "\n", 1]],
        [["0" * 64, "a" * 64, -1]],
        [["0" * 64, "a" * 64, 1 << 40]],
        [["0" * 64, "a" * 64, 1]] * 20_001,
        [["0" * 64, "a" * 64]],
        {"packages": []},
        "text",
    ],
)
def test_a_list_of_something_else_is_refused(packages: object):
    with pytest.raises(BadPackages):
        read_list(json.dumps(packages).encode(), where="list")


@pytest.mark.parametrize("line", [b"", b"v2 x", b"v1 " + b"0" * 400])
def test_a_line_that_go_would_pass_over_is_no_package(cache: Path, packages: list[Package], line: bytes):
    (cache / packages[0].line).write_bytes(line)
    assert missing(cache, packages) == (packages[0],)


def test_programs_of_one_folder_are_listed_together(tmp_path: Path):
    lines = []

    def run(line, directory, _environment):
        lines.append((directory.name, line[line.index("--") + 1 :], [flag for flag in line if "-tags" in flag]))
        return 0, "", ""

    amd64 = Platform.parse("linux/amd64")
    builds = [
        GoBuild(amd64, package, tmp_path / folder, ldflags=f"-X main.name={package}", tags=tags)
        for folder, package, tags in (
            *(("app", f"./cmd/{name}", ()) for name in ("a", "b", "c", "a")),
            *(("app", "./cmd/d", ("t",)), ("app", "main.go", ()), ("lib", "./cmd/a", ())),
        )
    ]
    assert compiled(builds, Toolchain(tmp_path / "go", tmp_path, "go1.27.3"), {"CGO_ENABLED": "0"}, run) == []
    assert lines == [
        ("app", ["./cmd/a", "./cmd/b", "./cmd/c"], []),
        ("app", ["./cmd/d"], ["-tags=t"]),
        ("app", ["main.go"], []),
        ("lib", ["./cmd/a"], []),
    ]
