from __future__ import annotations

import pytest

from multiarch_oci.golang.inputs import Inputs, InvalidInputs, Part, explain


def made(files: dict[str, str] | None = None, **facts: str) -> Inputs:
    named = {name.replace("_", " "): value for name, value in {"go": "go1.26.8", **facts}.items()}
    parts = (Part.of("ex.org/p", files or {"p/p.go": "aa", "p/q.go": "bb"}), Part.of("ex.org/q", {"q/q.go": "cc"}))
    return Inputs.of(parts, named)


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (made(), "nothing changed"),
        (made({"p/p.go": "xx", "p/q.go": "bb"}), "p/p.go changed"),
        (made({"p/p.go": "aa", "p/q.go": "bb", "p/x_linux_arm64.go": "dd"}), "p/x_linux_arm64.go added"),
        (made({"p/p.go": "aa"}), "p/q.go removed"),
        (made({"p/p.go": "aa", "p/z.go": "bb"}), "p/q.go renamed to p/z.go"),
        (made({f"p/{n}.go": "xx" for n in range(5)}), "p/0.go added, p/1.go added, p/2.go added and 4 more"),
        (made(go="go1.27.3"), "go 1.26.8 -> 1.27.3"),
        (made(GOFLAGS="-tags=x"), "GOFLAGS: '' -> '-tags=x'"),
        (made(error="a.go:1:1: bad\nmore"), "go list fails: a.go:1:1: bad"),
    ],
)
def test_an_explanation_is_one_line(after: Inputs, line: str):
    assert explain(made(), after) == line


def test_lines_of_go_mod_and_modules_are_explained_without_checksums():
    before = Inputs.of((), {"go.mod go": "1.24", "module a.b/c": "v1.0.0 h1:x=", "module d.e/f": "v1 h1:y="})
    after = Inputs.of((), {"go.mod go": "1.25", "module a.b/c": "v1.1.0 h1:z=", "module d.e/f": "v1 h1:w="})
    assert explain(before, after) == (
        "go.mod go 1.24 -> 1.25, module a.b/c v1.0.0 -> v1.1.0, module d.e/f v1 has other contents"
    )
    assert (
        explain(Inputs.of((), {}), before) == "go.mod go 1.24 added, module a.b/c v1.0.0 added, module d.e/f v1 added"
    )
    assert explain(Inputs.of((), {"error": "x"}), Inputs.of((), {})) == "go list no longer fails"


def test_names_count_and_the_order_of_parts_does_not():
    one, two = Part.of("a", {"a.go": "1"}), Part.of("b", {"b.go": "2"})
    assert Inputs.of((one, two), {}) == Inputs.of((two, one), {})
    assert Inputs.of((Part.of("a", {"z.go": "1"}), two), {}) != Inputs.of((one, two), {})
    assert Inputs.of((Part.of("c", {"a.go": "1"}), two), {}) != Inputs.of((one, two), {})


def test_a_record_comes_back_as_it_was_written():
    before = made({"p/\udcff.go": "aa"}, GOFLAGS="-tags=ü")
    again = Inputs.from_json(before.to_json())
    assert again == before
    assert (again.files, again.facts, again.to_json()) == (before.files, before.facts, before.to_json())


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"\xff", b'{"facts": {}, "parts": [[1]], "digest": ""}', made().to_json()[:-9]]
)
def test_anything_else_is_no_record(text: bytes):
    with pytest.raises(InvalidInputs, match="this is no record of a program's inputs"):
        Inputs.from_json(text)


def test_a_record_that_was_tampered_with_is_refused():
    with pytest.raises(InvalidInputs, match="does not have the digest that it names"):
        Inputs.from_json(made().to_json().replace(b"aa", b"ab"))
