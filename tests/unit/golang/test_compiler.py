"""None"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from multiarch_oci.golang.compiler import CompileFailed, build, may_embed, shown
from multiarch_oci.golang.inputs import Hints
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform


class Go:
    """A `go` that writes a program, or nothing; `environments` are those it was started in."""

    def __init__(self, content: bytes | None = b"\x7fELF") -> None:
        self.content = content
        self.environments: list[Mapping[str, str]] = []

    def __call__(self, line: Sequence[str], _directory: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        self.environments.append(environment)
        if self.content is None:
            return 1, "", "main.go:1:1: wrong"
        Path(line[line.index("-o") + 1]).write_bytes(self.content)
        return 0, "", ""


def run(output: Path, go: Go, *, hints: Hints | None = None, again: bool = False, **environment: str) -> None:
    folder = output.parent
    declared = GoBuild(Platform.parse("linux/amd64"), directory=folder)
    toolchain = Toolchain(folder / "go", folder, "go1.26.8")
    build(declared, output, toolchain, environment, hints=hints, again=again, run=go)


def test_a_program_is_there_whole_or_stays_as_it_was(tmp_path: Path):
    output = tmp_path / "demo"
    run(output, Go())
    assert output.read_bytes() == b"\x7fELF"
    with pytest.raises(CompileFailed):
        run(output, Go(None))
    assert output.read_bytes() == b"\x7fELF"
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo"]


def test_what_was_built_before_is_built_with_less_garbage_collection(tmp_path: Path):
    go = Go()
    run(tmp_path / "demo", go, PATH="/bin")
    run(tmp_path / "demo", go, PATH="/bin", again=True)
    assert go.environments == [{"PATH": "/bin"}, {"PATH": "/bin", "GOGC": "400"}]


@pytest.mark.parametrize("knob", [{"GOGC": "50"}, {"GOMEMLIMIT": "1GiB"}])
def test_who_says_how_much_memory_go_may_use_is_obeyed(tmp_path: Path, knob: dict[str, str]):
    go = Go()
    run(tmp_path / "demo", go, again=True, **knob)
    assert go.environments == [knob]


def test_where_mtimes_were_set_back_and_not_all_is_known_go_reads_every_file(tmp_path: Path):
    go = Go()
    run(tmp_path / "demo", go, hints=Hints(no_index=True), GODEBUG="x=1")
    assert go.environments == [{"GODEBUG": "x=1,goindex=0"}]


@pytest.mark.parametrize(
    ("pattern", "path", "may"),
    [
        ("*", "zz.h", True), ("all:*", "zz.h", True), ("*.h", "zz.h", True), ("z[a-z].h", "zz.h", True),
        ("?z.h", "zz.h", True), ("zz.h", "zz.h", True), ("*.txt", "zz.h", False), ("a*", "zz.h", False),
        ("zz", "zz.h", False), ("\\\\*.txt", "zz.h", False), ("sub", "zz.h", False), ("sub/*", "zz.h", False),
        ("sub", "sub/zz.h", True), ("all:sub", "sub/zz.h", True), ("sub/*", "sub/zz.h", True), ("*", "sub/zz.h", True),
        ("*/deep", "sub/deep/zz.h", True), ("other", "sub/zz.h", False), ("sub/*.txt", "sub/zz.h", False),
        ("*", "_zz.txt", True), ("sub", "sub/_zz.txt", True), ("all:sub", "sub/_zz.txt", True),
        ("sub", "sub/.deep/zz.h", True), ("sub/_zz.txt", "sub/_zz.txt", True), ("sub/link/x/y", "sub/link/_zz.txt", False),
        ("sub/link/*", "sub/link", True), ("other/*", "sub", False),
    ],
)  # fmt: skip
def test_a_pattern_that_could_take_a_file(pattern: str, path: str, may: bool):
    assert may_embed(pattern, path) == may


def view(hints: Hints, **environment: str) -> tuple[tuple[str, ...], bool, dict[str, str]]:
    """The flags, whether the index is used, and what stands in the overlay, its own paths by their names alone."""
    build = GoBuild(Platform.parse("linux/amd64"), directory=Path("/src"))
    with shown(build, environment, hints) as seen:
        path = next((flag.partition("=")[2] for flag in seen.flags if flag.startswith("-overlay=")), None)
        replaced = {} if path is None else json.loads(Path(path).read_text(encoding="utf-8"))["Replace"]
        flags = tuple(flag.partition("=")[0] for flag in seen.flags)
    assert path is None or not Path(path).exists()
    return flags, seen.indexed, {key: Path(name).name for key, name in replaced.items()}


def test_without_hints_go_is_told_nothing():
    assert view(Hints()) == ((), True, {})


def test_where_mtimes_were_set_back_go_does_without_its_index():
    assert view(Hints(no_index=True)) == ((), False, {})
    assert view(Hints((("/src/asm", "abc"),), no_index=True))[:2] == (("-overlay",), False)


@pytest.mark.parametrize(
    "folder", ["/mod/ex.org/lib@v1.0.0/sub", "/home/me/go/pkg/mod/own"], ids=["named", "by its default"]
)
def test_in_the_module_cache_no_header_is_shown(folder: str):
    environment = {"GOMODCACHE": "/mod"} if folder.startswith("/mod") else {"HOME": "/home/me"}
    assert view(Hints(((folder, "abc"),)), **environment) == (("-a",), True, {})


@pytest.mark.parametrize("spelt", ["as it is", "by a link"])
def test_where_the_temporary_folder_is_embedded_nothing_is_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelt: str
):
    (tmp_path / "src/tmp").mkdir(parents=True)
    (tmp_path / "link").symlink_to("src/tmp")
    place = tmp_path / ("link" if spelt == "by a link" else "src/tmp")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    embeds = ((str(tmp_path / "src"), ("tmp",)),)
    assert view(Hints((("/other", "abc"),), embeds=embeds)) == (("-a",), True, {})
    assert list(place.iterdir()) == []


def test_a_header_that_would_be_embedded_is_none():
    headers = (("/src/asm", "abc"), ("/src/other", "def"))
    assert view(Hints(headers)) == (
        ("-overlay",),
        True,
        {"/src/asm/zz_headers_outside.h": "0.h", "/src/other/zz_headers_outside.h": "1.h"},
    )
    for above, pattern in (("/src/asm", "*"), ("/src", "asm"), ("/src", "all:*")):
        flags, indexed, shown_ = view(Hints(headers[:1], embeds=((above, (pattern,)),)))
        assert (flags, indexed, shown_) == (("-a",), True, {})


def test_a_checkout_below_a_name_with_an_at_shows_its_headers():
    flags, indexed, replaced = view(Hints((("/home/me/a@b", "abc"),)))
    assert (flags, indexed, list(replaced)) == (("-overlay",), True, ["/home/me/a@b/zz_headers_outside.h"])


@pytest.mark.parametrize("word", ["Replace", "replace"])
def test_an_overlay_of_the_user_is_kept_and_the_index_is_not_used(tmp_path: Path, word: str):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({word: {"/src/a.go": "/gen/a.go", "/src/b.go": None}}), encoding="utf-8")
    flags, indexed, replaced = view(Hints((("/src/sub", "abc"),)), GOFLAGS=f"-overlay={own}")
    assert (flags, indexed) == (("-overlay",), False)
    assert replaced == {"/src/a.go": "a.go", "/src/b.go": "", "/src/sub/zz_headers_outside.h": "0.h"}
    assert view(Hints(), GOFLAGS=f"-overlay={own}") == ((), False, {})
