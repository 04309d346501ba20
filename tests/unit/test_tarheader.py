"""Tar headers, read back by Python's tarfile (GNU tar and Go read them in the integration tests)."""

from __future__ import annotations

import io
import tarfile

import pytest

from multiarch_oci.tarheader import DIRECTORY, END, FILE, SYMLINK, Header, Unwritable, padding


def read(header: Header) -> tarfile.TarInfo:
    content = header.to_bytes()
    assert len(content) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(content + END), mode="r:") as archive:
        found = archive.next()
    assert found is not None
    return found


def header(name: str = "a", **fields: object) -> Header:
    given: dict[str, object] = {"typeflag": FILE, "mode": 0o644, "uid": 0, "gid": 0, "size": 0, "mtime": 0, **fields}
    return Header(name, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "pax"),
    [
        ("a" * 100, False),
        ("a" * 101, True),
        ("a" * 155 + "/" + "b" * 100, False),
        ("a" * 156 + "/" + "b" * 100, True),
        ("a" * 155 + "/" + "b" * 101, True),
        ("/".join(["a" * 50] * 4), False),
        ("/".join(["a" * 50] * 5), True),
        ("é", True),
        ("not utf-8 \udcff", True),
        ("new\nline", False),
    ],
)
def test_a_name_comes_back_and_pax_is_used_only_when_needed(name: str, pax: bool) -> None:
    found = read(header(name))
    assert found.name == name
    assert ("path" in found.pax_headers) is pax
    assert (len(header(name).to_bytes()) > 512) is pax


def test_a_long_folder_keeps_its_slash_in_the_header_proper() -> None:
    name = "a" * 60 + "/" + "b" * 60 + "/"
    found = read(header(name, typeflag=DIRECTORY))
    assert (found.name, found.isdir(), found.pax_headers) == (name.rstrip("/"), True, {})


def test_a_folder_is_not_split_at_its_last_slash() -> None:
    found = read(header("a" * 120 + "/", typeflag=DIRECTORY))
    assert (found.name, found.pax_headers) == ("a" * 120, {"path": "a" * 120 + "/"})


@pytest.mark.parametrize(("target", "pax"), [("x" * 100, False), ("x" * 101, True), ("ü", True)])
def test_a_link_target_comes_back(target: str, pax: bool) -> None:
    found = read(header(typeflag=SYMLINK, target=target))
    assert found.linkname == target
    assert ("linkpath" in found.pax_headers) is pax


@pytest.mark.parametrize(
    ("field", "value", "pax"),
    [
        ("uid", 0o7777777, False),
        ("uid", 0o7777777 + 1, True),
        ("gid", 4_294_967_294, True),
        ("size", 8**11 - 1, False),
        ("size", 8**11, True),
        ("mtime", 8**11, True),
    ],
)
def test_a_number_comes_back(field: str, value: int, pax: bool) -> None:
    found = read(header(**{field: value}))
    assert getattr(found, field) == value
    assert (field in found.pax_headers) is pax


@pytest.mark.parametrize("length", range(80, 110))
def test_the_length_of_a_record_counts_its_own_digits(length: int) -> None:
    assert read(header(records=(("key", b"v" * length), ("other", b"w")))).pax_headers == {
        "key": "v" * length,
        "other": "w",
    }


def test_records_are_sorted() -> None:
    one = header(records=(("b", b"2"), ("a", b"1"))).to_bytes()
    assert one == header(records=(("a", b"1"), ("b", b"2"))).to_bytes()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "a\0b"}, "'a\\x00b': a name with a NUL cannot stand in a layer"),
        ({"target": "\0"}, "'\\x00': a name with a NUL cannot stand in a layer"),
        ({"uid": -1}, "a: a uid of -1 cannot stand in a layer"),
    ],
)
def test_what_no_header_can_hold_is_an_error(fields: dict[str, object], text: str) -> None:
    with pytest.raises(Unwritable) as caught:
        header(**fields).to_bytes()  # type: ignore[arg-type]
    assert str(caught.value) == text


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 511), (512, 0), (513, 511)])
def test_padding_fills_a_record(size: int, expected: int) -> None:
    assert padding(size) == bytes(expected)
