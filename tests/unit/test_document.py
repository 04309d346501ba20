"""JSON as untrusted input and exact output."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.document import LIMIT, Document, InvalidDocument, canonical, keyed, readable


def document(text: str) -> Document:
    return Document.parse(text.encode(), where="file.json")


def refused(text: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        document(text)
    assert caught.value.where == "file.json"
    return caught.value.what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[]", "is a list, not a JSON object"),
        ('"x"', "is a string, not a JSON object"),
        ("null", "is null, not a JSON object"),
        ("true", "is a boolean, not a JSON object"),
        ("1.5", "is a number, not a JSON object"),
        ("{", "is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_what_is_no_object_is_refused(text: str, what: str):
    assert refused(text) == what


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(InvalidDocument, match="is not JSON"):
        Document.parse(b'{"a": "\xff"}', where="file.json")


def test_depth_and_size_are_bounded():
    assert refused('{"a":' * 100_000).startswith("is not JSON: ")
    assert refused(" " * (LIMIT + 1)) == f"is {LIMIT + 1} bytes of JSON, the limit is {LIMIT}"
    assert document("{" + " " * (LIMIT - 2) + "}").members == {}


def test_values_of_the_right_type_are_given():
    found = document('{"t":"x","n":7,"o":{"a":"b"},"l":[{"t":"y"}],"s":["a","b"],"p":{"k":"v"}}')
    assert found.text("t") == "x"
    assert found.required("t") == "x"
    assert found.integer("n") == 7
    nested = found.nested("o")
    assert nested is not None
    assert nested.text("a") == "b"
    assert [each.text("t") for each in found.objects("l")] == ["y"]
    assert found.texts("s") == ("a", "b")
    assert found.pairs("p") == (("k", "v"),)


@pytest.mark.parametrize("text", ["{}", '{"x":null}'])
def test_absent_and_null_are_alike(text: str):
    found = document(text)
    assert (found.text("x"), found.integer("x"), found.nested("x")) == (None, None, None)
    assert (found.objects("x"), found.texts("x"), found.pairs("x")) == ((), (), ())


@pytest.mark.parametrize(
    ("getter", "value", "text"),
    [
        ("text", "1", "file.json: 'x' is a number, not a string"),
        ("required", '""', "file.json: has no 'x'"),
        ("required", "null", "file.json: has no 'x'"),
        ("integer", "1.0", "file.json: 'x' is a number, not a whole number"),
        ("integer", "true", "file.json: 'x' is a boolean, not a whole number"),
        ("integer", '"1"', "file.json: 'x' is a string, not a whole number"),
        ("nested", "[]", "file.json: x: is a list, not a JSON object"),
        ("objects", "{}", "file.json: 'x' is an object, not a list"),
        ("objects", "[{},1]", "file.json: x[1]: is a number, not a JSON object"),
        ("texts", '"ab"', "file.json: 'x' is a string, not a list"),
        ("texts", '["a",1]', "file.json: 'x' is a list, not a list of strings"),
        ("pairs", '{"k":1}', "file.json: 'x.k' is a number, not a string"),
        ("pairs", "[]", "file.json: x: is a list, not a JSON object"),
    ],
)
def test_a_wrong_type_is_an_error_that_names_the_key(getter: str, value: str, text: str):
    with pytest.raises(InvalidDocument) as caught:
        getattr(document(f'{{"x":{value}}}'), getter)("x")
    assert str(caught.value) == text


def test_canonical_json_has_no_blanks_keeps_the_order_and_is_utf8():
    assert canonical({"b": 1, "a": ["ü", {}]}) == '{"b":1,"a":["ü",{}]}'.encode()


def test_what_others_read_is_utf8_or_an_error():
    with pytest.raises(UnicodeEncodeError):
        canonical({"name": "d\udcff"})


def test_a_key_of_our_own_holds_every_text():
    assert keyed({"name": "d\udcff", "a": "ü"}) == b'{"name":"d\\udcff","a":"\\u00fc"}'


def test_readable_json_ends_in_a_line_feed():
    assert readable({"b": "ü"}) == '{\n  "b": "ü"\n}\n'.encode()
    assert json.loads(readable({"b": [1]})) == {"b": [1]}
