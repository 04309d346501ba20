from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.golang.contents import Includes, includes, libraries, outside_headers
from multiarch_oci.golang.inputs import Package


def package(folder: Path, *files: str, imports: tuple[str, ...] = ()) -> Package:
    return Package(
        "ex.org/p",
        "p",
        str(folder),
        files,
        imports,
        "",
        "",
        "",
        fixed=False,
        c_flags=(),
        ld_flags=(),
        embeds=(),
        error="",
    )


def read(path: Path) -> Includes:
    return includes(path.read_bytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "p/a.s": '#include "textflag.h"\n#include "in.h"\n#include "../inc/x.h"\n',
        "p/in.h": "#include <far.h>\n",
        "p/a.go": '/*\n#include "../inc/y.h"\n*/\nimport "C"\n',
        "inc/x.h": '#include "x2.h"\n#include "../p/in.h"\n',
        "inc/x2.h": '#include "x.h"\n',
        "inc/y.h": "",
        "far/far.h": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_includes_are_found_in_every_spelling():
    content = b'#include "a.h"\n # \tinclude <b.h> // why\n//#include "c.h"\n/* #include "d.h"\nx #include "no.h"\n#include MACRO\n'
    assert includes(content) == ((True, "a.h"), (False, "b.h"), (True, "c.h"), (True, "d.h"))
    content = b'#include_next <e.h>\n#import "f.h"\n#embed "g.bin"\n#if __has_include("h.h") && __has_include( <i.h>)\n'
    assert [name for _, name in includes(content)] == ["e.h", "f.h", "g.bin", "h.h", "i.h"]


def test_headers_outside_are_followed_and_circles_end(root: Path):
    found = outside_headers(package(root / "p", "a.s", "in.h"), read)
    assert found == (root / "inc" / "x.h", root / "inc" / "x2.h")


def test_pointed_includes_are_looked_for_where_the_flags_say(root: Path):
    with_flags = replace(package(root / "p", "a.s", "in.h"), c_flags=("-O2", "-I", f"{root}/far", "-I../none"))
    assert root / "far" / "far.h" in outside_headers(with_flags, read)


def test_go_files_are_read_only_with_cgo(root: Path):
    assert outside_headers(package(root / "p", "a.go"), read) == ()
    assert outside_headers(package(root / "p", "a.go", imports=("C",)), read) == (root / "inc" / "y.h",)
    fixed = replace(package(root / "p", "a.go", imports=("C",)), fixed=True)
    assert outside_headers(fixed, read) == ()


def test_libraries_are_found_by_path_and_by_name(root: Path):
    for name in ("one.a", "libtwo.a", "three.lib"):
        (root / name).touch()
    flags = (f"{root}/one.a", f"-L{root}", "-ltwo", "-lthree", "-lm", "nothing.a")
    found = libraries(replace(package(root / "p"), ld_flags=flags))
    assert found == tuple(sorted(root / name for name in ("one.a", "libtwo.a", "three.lib")))


def test_a_file_of_the_own_folder_counts_when_go_takes_it_for_no_source(root: Path):
    (root / "p/a.s").write_text('#include "in.h"\n#include "table.inc"\n#include "sub/x.h"\n', encoding="utf-8")
    (root / "p/sub").mkdir()
    for name in ("table.inc", "sub/x.h"):
        (root / "p" / name).touch()
    assert outside_headers(package(root / "p", "a.s", "in.h"), read) == (root / "p/sub/x.h", root / "p/table.inc")


@pytest.mark.parametrize(
    "variables",
    [
        {"CGO_CFLAGS": "-O2 '-I{root}/far'"},
        {"CGO_CPPFLAGS": "-isystem {root}/far"},
        {"CGO_CXXFLAGS": "-idirafter{root}/far"},
        {"CPATH": "/nowhere" + os.pathsep + "{root}/far"},
    ],
)
def test_headers_are_looked_for_where_the_environment_says_with_cgo_alone(root: Path, variables: dict[str, str]):
    environment = {name: value.format(root=root) for name, value in variables.items()}
    (root / "p/a.go").write_text('/*\n#include <far.h>\n*/\nimport "C"\n', encoding="utf-8")
    with_cgo = package(root / "p", "a.go", imports=("C",))
    assert outside_headers(with_cgo, read, environment) == (root / "far/far.h",)
    assert outside_headers(with_cgo, read, {}) == ()
    assert outside_headers(package(root / "p", "a.s", "in.h"), read, environment)[0] != root / "far/far.h"


def test_headers_that_a_flag_includes_are_read_too(root: Path):
    forced = replace(package(root / "p", "a.go", imports=("C",)), c_flags=("-include", f"{root}/inc/x.h"))
    assert set(outside_headers(forced, read)) == {root / "inc" / name for name in ("x.h", "x2.h", "y.h")} | {
        root / "p/in.h"
    }


def test_libraries_of_the_environment_count_with_cgo_alone(root: Path):
    (root / "libtwo.a").touch()
    environment = {"CGO_LDFLAGS": f"-L{root} -ltwo"}
    assert libraries(package(root / "p", imports=("C",)), environment) == (root / "libtwo.a",)
    assert libraries(package(root / "p"), environment) == ()
