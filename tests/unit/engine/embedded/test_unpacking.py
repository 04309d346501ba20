from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tarfile

import pytest

from multiarch.errors import MultiarchError
from workshop import tar

PLAIN = tar(("d", {"type": tarfile.DIRTYPE, "mode": 0o700, "uid": 3}, b""), ("d/f", {"mode": 0o640, "gid": 4}, b"x"))


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"]
)
def test_an_archive_is_unpacked_whatever_its_name(shop, pack):
    shop.write("archive", pack(PLAIN))
    found = shop.files("FROM scratch\nADD archive /x\n")
    assert list(found) == ["x", "x/d", "x/d/f"]
    assert (found["x/d"].mode, found["x/d"].owner) == ("0o700", "3:0")
    assert (found["x/d/f"].mode, found["x/d/f"].owner) == ("0o640", "0:4")


def test_copy_and_unpack_false_leave_it_as_it_is(shop):
    shop.write("archive", PLAIN)
    assert list(shop.files("FROM scratch\nCOPY archive /x\nADD --unpack=false archive /y\n")) == ["x", "y"]


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text", mtime=0), b"\x1f\x8b\x08 broken", b"BZhnothing"])
def test_what_is_no_archive_is_copied(shop, content):
    shop.write("f", content)
    assert shop.files("FROM scratch\nADD f /x/\n")["x/f"].kind == "f"


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([("../up", {}, b"x")], "member '../up' leads out of the archive"),
        ([("f", {"type": tarfile.CHRTYPE}, b"")], "'f' is a device or pipe"),
        ([("f", {"type": tarfile.LNKTYPE, "linkname": "none"}, b"")], "is a hard link to 'none', which is no file"),
        (
            [("l", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, b""), ("l/f", {}, b"x")],
            "'/x/l/f' would be unpacked through a link to '/etc'",
        ),
    ],
)
def test_an_archive_that_cannot_be_is_an_error(shop, members, what):
    shop.write("archive", tar(*members))
    with pytest.raises(MultiarchError) as caught:
        shop.build("FROM scratch\nADD archive /x/\n")
    assert what in str(caught.value)


def test_an_archive_cut_off_is_an_error(shop):
    whole = gzip.compress(tar(("d/f", {}, b"x"), ("big", {}, random.Random(1).randbytes(100_000))))  # noqa: S311
    shop.write("archive", whole[:-2000])
    with pytest.raises(MultiarchError, match="is a damaged archive"):
        shop.build("FROM scratch\nADD archive /x/\n")


def test_a_folder_and_a_file_may_replace_each_other(shop):
    shop.write("one", tar(("a/b", {}, b"1"), ("c", {}, b"2")))
    shop.write("two", tar(("a", {}, b"3"), ("c", {"type": tarfile.DIRTYPE, "mode": 0o755}, b""), ("c/d", {}, b"4")))
    assert sorted(shop.files("FROM scratch\nADD one /\nADD two /\n")) == ["a", "c", "c/d"]
