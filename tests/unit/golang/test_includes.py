from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from multiarch.golang.includes import Includes, includes, libraries, outside_headers
from multiarch.golang.listing import Package


def package(folder: Path, *files: str, imports: tuple[str, ...] = ()) -> Package:
    return Package(
        "ex.org/p", "p", str(folder), files, imports, "", "", "", fixed=False, c_flags=(), ld_flags=(), error=""
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
