from __future__ import annotations

import pytest

from multiarch_oci.golang.modfile import directives, facts, go_version, is_local, local_replacements, uses

MOD = """\
module ex.org/r // comment
go 1.24
toolchain go1.27.9
godebug default=go1.21
godebug (
\tpanicnil=1 // why
)
require ex.org/a v1.2.3 // indirect
require (
\tex.org/b v1.0.0+incompatible

\t"ex.org/c" `v1.0.0`
)
replace ex.org/b => ../b
replace ex.org/c v1.0.0 => ex.org/d v2.0.0
replace "ex.org/e" => "/abs path/x"
retract [v1.0.0, v1.1.0] // bad
tool ex.org/a/cmd
"""


def test_every_line_that_can_change_a_program_is_a_fact():
    assert facts(MOD, "go.mod") == {
        "go.mod module": "ex.org/r",
        "go.mod go": "1.24",
        "go.mod godebug default": "go1.21",
        "go.mod godebug panicnil": "1",
        "go.mod require ex.org/a": "v1.2.3",
        "go.mod require ex.org/b": "v1.0.0+incompatible",
        "go.mod require ex.org/c": "v1.0.0",
        "go.mod replace ex.org/b": "../b",
        "go.mod replace ex.org/c v1.0.0": "ex.org/d v2.0.0",
        "go.mod replace ex.org/e": "/abs path/x",
    }


@pytest.mark.parametrize(
    "other",
    [
        "// a comment\ngo 1.24\nrequire a.b/c v1.0.0",
        "go 1.24// comment\n\n\nrequire a.b/c v1.0.0 // indirect\n",
        "require (\n a.b/c v1.0.0\n)\ngo 1.24\r\n",
        'require "a.b/c" `v1.0.0`\ngo 1.24\nretract v0.0.1\ntool x.y/z\nignore ./node_modules\n',
    ],
)
def test_comments_order_blocks_and_quotes_do_not_count(other: str):
    assert facts(other, "go.mod") == facts("go 1.24\nrequire a.b/c v1.0.0\n", "go.mod")


def test_a_directive_that_stands_twice_counts_twice():
    assert facts("module a\nmodule b\n", "m") == {"m module": "a, b"}


@pytest.mark.parametrize(
    ("text", "version"), [(MOD, "1.24"), ("go 1.27rc1\n", "1.27rc1"), ("module x\n", None), ("go\n", None)]
)
def test_the_go_line_is_what_is_required(text: str, version: str | None):
    assert go_version(text) == version


def test_local_replacements_are_those_that_name_folders():
    assert local_replacements(MOD) == ["../b", "/abs path/x"]
    assert local_replacements("replace (\n a => ./x\n b v1 => ex.org/x v2\n c => ..\n d =>\n)\n") == ["./x", ".."]


def test_a_workspace_names_its_folders():
    assert uses("go 1.24\nuse ./a\nuse (\n\t./b // why\n\t../c\n)\n") == ["./a", "./b", "../c"]


def test_nonsense_is_read_without_an_error():
    assert list(directives(')\n(\nrequire (\n"unclosed\n\x00')) != []


@pytest.mark.parametrize(
    ("path", "local"),
    [
        *[(path, True) for path in (".", "..", "./x", "../x", "/x", "C:\\x", ".\\x", "./...")],
        *[(path, False) for path in ("x", "ex.org/x", ".x", "...")],
    ],
)
def test_a_folder_starts_as_go_wants_it(path: str, local: bool):
    assert is_local(path) is local
