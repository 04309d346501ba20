from __future__ import annotations

import pytest

from multiarch_oci.baselock import BaseLock, InvalidLock
from multiarch_oci.digest import Digest
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

DEBIAN = Reference.parse("debian:12")
AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def test_an_empty_file_is_an_empty_lock():
    assert BaseLock.parse("") == BaseLock()


def test_what_is_written_is_read_again():
    lock = BaseLock().with_entry(DEBIAN, ARM64, TWO).with_entry(DEBIAN, AMD64, ONE)
    assert BaseLock.parse(str(lock)) == lock


def test_entries_are_sorted_whatever_the_order_in_which_they_came():
    one = BaseLock().with_entry(DEBIAN, ARM64, TWO).with_entry(DEBIAN, AMD64, ONE)
    assert str(one) == str(BaseLock().with_entry(DEBIAN, AMD64, ONE).with_entry(DEBIAN, ARM64, TWO))
    assert str(one).splitlines()[-2:] == [
        f"docker.io/library/debian:12 linux/amd64 {ONE}",
        f"docker.io/library/debian:12 linux/arm64 {TWO}",
    ]


def test_a_platform_has_its_own_entry():
    lock = BaseLock().with_entry(DEBIAN, AMD64, ONE)
    assert lock.find(DEBIAN, AMD64) == ONE
    assert lock.find(DEBIAN, ARM64) is None


def test_an_entry_is_replaced():
    assert BaseLock().with_entry(DEBIAN, AMD64, ONE).with_entry(DEBIAN, AMD64, TWO).find(DEBIAN, AMD64) == TWO


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("debian:12 linux/amd64", "holds 2 words, not 3"),
        ("debian:12 linux/amd64 sha256:1", "'sha256:1' is not a sha256 or sha512 digest"),
        (f"Debian linux/amd64 {ONE}", None),
        (f"debian linux/amd64/v1/x {ONE}", None),
    ],
)
def test_a_bad_line_is_an_error_with_file_and_line(line, what):
    with pytest.raises(InvalidLock) as caught:
        BaseLock.parse(f"# header\n{line}\n")
    assert caught.value.where == "images.lock:2"
    if what is not None:
        assert caught.value.what == what


def test_one_base_twice_is_an_error():
    with pytest.raises(
        InvalidLock, match=r"images\.lock:2: docker\.io/library/debian:12 for linux/amd64 stands here twice"
    ):
        BaseLock.parse(f"debian:12 linux/amd64 {ONE}\ndebian:12 linux/amd64 {TWO}\n")
