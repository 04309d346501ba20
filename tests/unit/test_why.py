from __future__ import annotations

import pytest

from multiarch.document import InvalidDocument
from multiarch.why import Facts, brief, changes

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
