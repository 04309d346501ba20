from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from multiarch_oci.golang.compiler import CompileFailed, build
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
