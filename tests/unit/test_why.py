from __future__ import annotations

import pytest

from multiarch_oci.document import InvalidDocument
from multiarch_oci.why import Facts, brief, changes

BEFORE = Facts({"go": "1.26", "tags": ""}, {"main.go": "a", "old.go": "b"})


def test_equal_facts_have_equal_digests_in_whatever_order():
    assert Facts({"a": "1", "b": "2"}, {}).digest() == Facts({"b": "2", "a": "1"}, {}).digest()


@pytest.mark.parametrize(
    "other", [Facts({"a": "2"}, {}), Facts({}, {"a": "1"}), Facts({"a": "1"}, {"x": ""}), Facts({}, {})]
)
def test_different_facts_have_different_digests(other):
    assert Facts({"a": "1"}, {}).digest() != other.digest()


def test_facts_survive_their_file():
    assert Facts.from_json(BEFORE.to_json(), where="facts") == BEFORE


def test_a_damaged_file_is_an_error_that_names_it():
    with pytest.raises(InvalidDocument, match=r"^facts\.json: "):
        Facts.from_json(b'{"values": 3}', where="facts.json")


def test_every_difference_is_told_files_first():
    after = Facts({"go": "1.27", "race": "yes"}, {"main.go": "c", "new.go": "d"})
    assert changes(BEFORE, after) == (
        "main.go changed",
        "new.go added",
        "old.go removed",
        "go: '1.26' → '1.27'",
        "race: 'yes' is new",
        "tags: '' is gone",
    )


def test_the_line_tells_three_reasons_and_counts_the_rest():
    assert brief(["a", "b", "c", "d", "e"]) == "a, b, c, and 2 more"


def test_a_reason_is_told_once():
    assert brief(["a", "b", "a"]) == "a, b"


def test_no_reason_is_no_line():
    assert brief([]) is None


def test_nothing_changed_is_nothing_to_tell():
    assert changes(BEFORE, BEFORE) == ()


def test_a_long_value_is_cut():
    (line,) = changes(Facts({"flags": "x" * 200}, {}), Facts({"flags": "y"}, {}))
    assert line == f"flags: '{'x' * 79}…' → 'y'"


def test_what_a_dockerfile_asks_for_is_missing_or_there():
    before, after = (Facts({"missing": text}, files) for text, files in (("", {"b": "1"}), ("a, b", {})))
    assert changes(before, after) == ("a is missing", "b is missing")
    assert changes(after, before) == ("a is there now", "b is there now")


def test_a_dockerfile_goes_before_the_many_files_that_follow_from_it():
    tree = {".": "d", ".git": "d", **{f".git/{number}": "1" for number in range(300)}, "dockerfile": "d"}
    before = Facts({}, {**tree, "Dockerfile": "1", "a/b": "1"})
    assert brief(changes(before, Facts({}, {"Dockerfile": "2", "a/b": "2"}))) == (
        "Dockerfile changed, a/b changed, 302 files no longer used (.git, dockerfile)"
    )
    assert brief(changes(before, Facts({}, {"Dockerfile.arm64": "2", "a/b": "2"}))) == (
        "Dockerfile.arm64 added, Dockerfile removed, a/b changed, and 1 more"
    )
    many = Facts({}, {f"{number}/x": "1" for number in range(9)})
    assert changes(Facts({}, {}), many) == ("9 files added (0, 1, 2, …)",)


def test_a_value_that_was_or_is_empty_is_new_or_gone():
    empty, full = Facts({"foreign": ""}, {}), Facts({"foreign": "*.so"}, {})
    assert changes(empty, full) == ("foreign: '*.so' is new",)
    assert changes(full, empty) == ("foreign: '*.so' is gone",)


def test_what_go_list_says_is_a_sentence():
    fine, broken = Facts({}, {}), Facts({"error": "main.go:3: no such package\nmore"}, {})
    assert changes(fine, broken) == ("go list fails: main.go:3: no such package",)
    assert changes(broken, fine) == ("go list no longer fails",)


def test_what_a_go_list_that_fails_does_not_name_did_not_go():
    whole = Facts({"GOFLAGS": "", "module a": "v1"}, {"main.go": "1", "go.mod": "2"})
    part = Facts({"GOFLAGS": "-x", "error": "unknown"}, {"go.mod": "3"})
    assert changes(whole, part) == ("go.mod changed", "GOFLAGS: '-x' is new", "go list fails: unknown")
    assert changes(part, whole) == ("go.mod changed", "GOFLAGS: '-x' is gone", "go list no longer fails")


def test_a_module_is_told_without_its_sum():
    old, new, other = (Facts({"module x": text}, {}) for text in ("v1 h1:aa", "v2 h1:bb", "v2 h1:cc"))
    assert changes(old, new) == ("module x: 'v1' → 'v2'",)
    assert changes(new, other) == ("module x changed",)


def test_no_password_is_told_or_kept():
    plain, secret, other = (
        Facts({"build argument HTTP_PROXY": f"http://{login}proxy:1"}, {}) for login in ("", "me:pw1@", "me:pw2@")
    )
    assert changes(plain, secret) == ("build argument HTTP_PROXY: 'http://proxy:1' → 'http://***@proxy:1'",)
    assert changes(secret, other) == ()
    assert b"pw1" not in secret.to_json()
    assert secret.digest() != other.digest()


def test_facts_of_many_files_are_read_again():
    facts = Facts({}, {f"{number:0100}": "x" * 64 for number in range(30_000)})
    assert Facts.from_json(facts.to_json(), where="facts") == facts
