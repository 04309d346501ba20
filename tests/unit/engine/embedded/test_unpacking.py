from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tarfile

import pytest

import unpacked
from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform
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


@pytest.mark.parametrize(
    "content", [b"", b"text", gzip.compress(b"text", mtime=0), b"\x1f\x8b\x08 broken", b"BZhnothing"]
)
def test_what_is_no_archive_is_copied(shop, content):
    shop.write("f", content)
    assert shop.files("FROM scratch\nADD f /x/\n")["x/f"].kind == "f"


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([("../up", {}, b"x")], "member '../up' leads out of the archive"),
        ([("f", {"type": tarfile.CHRTYPE}, b"")], "'f' is the character device 0:0, by which overlayfs says"),
        ([("f", {"type": b"V"}, b"")], "'f' is of no kind that can be copied"),
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
    with pytest.raises(MultiarchError, match="cannot be read: the packed data ends too early"):
        shop.build("FROM scratch\nADD archive /x/\n")


def test_a_folder_and_a_file_may_replace_each_other(shop):
    shop.write("one", tar(("a/b", {}, b"1"), ("c", {}, b"2")))
    shop.write("two", tar(("a", {}, b"3"), ("c", {"type": tarfile.DIRTYPE, "mode": 0o755}, b""), ("c/d", {}, b"4")))
    assert sorted(shop.files("FROM scratch\nADD one /\nADD two /\n")) == ["a", "c", "c/d"]


def special(path, kind, numbers=(0, 0), **more):
    return (path, {"type": kind, "devmajor": numbers[0], "devminor": numbers[1]} | more, b"")


def test_devices_and_pipes_are_made(shop):
    members = [
        special("null", tarfile.CHRTYPE, (1, 3), mode=0o666, uid=5),
        special("disk", tarfile.BLKTYPE, (8, 300), mode=0o660, gid=6),
        special("pipe", tarfile.FIFOTYPE, (7, 7), mode=0o600),
    ]
    shop.write("archive", tar(*members))
    found = shop.files("FROM scratch AS one\nADD archive /x/\nFROM scratch\nCOPY --from=one /x /y\n")
    assert found["y/null"] == unpacked.Found("c", "0o666", "5:0", "1:3")
    assert found["y/disk"] == unpacked.Found("b", "0o660", "0:6", "8:300")
    assert found["y/pipe"] == unpacked.Found("p", "0o600", "0:0", "")


def test_devices_with_other_numbers_are_another_layer(shop):
    ids = []
    for minor in (3, 5):
        shop.write("archive", tar(special("d", tarfile.CHRTYPE, (1, minor))))
        ids.append(shop.build("FROM scratch\nADD archive /\n").config.diff_ids)
    assert ids[0] != ids[1]


def test_devices_of_a_base_are_copied(shop):
    shop.base("example.com/base:v1", tar(special("dev/null", tarfile.CHRTYPE, (1, 3), mode=0o666)))
    found = shop.files("FROM scratch\nCOPY --from=example.com/base:v1 /dev/null /null\n")
    assert found["null"] == unpacked.Found("c", "0o666", "0:0", "1:3")


def test_a_windows_image_has_no_devices(shop):
    shop.write("archive", tar(special("null", tarfile.CHRTYPE, (1, 3))))
    shop.platform = Platform.parse("windows/amd64")
    with pytest.raises(MultiarchError, match="'null' is a character device, which Windows does not have"):
        shop.build("FROM scratch\nADD archive /\n")


def hard(path, target, **more):
    return (path, {"type": tarfile.LNKTYPE, "linkname": target} | more, b"")


def test_what_a_hard_link_says_of_mode_and_owner_counts_for_all_names(shop):
    members = [("f", {"mode": 0o640, "uid": 1}, b"f"), hard("g", "f", mode=0o600), hard("h", "g", mode=0o4755, gid=9)]
    shop.write("archive", tar(*members))
    found = shop.files("FROM scratch\nADD archive /x/\n")
    assert {(found[f"x/{name}"].mode, found[f"x/{name}"].owner) for name in "fgh"} == {("0o4755", "0:9")}


def test_a_name_that_was_written_anew_shares_nothing_any_more(shop):
    members = [("f", {"mode": 0o640}, b"f"), hard("g", "f", mode=0o640), ("f", {"mode": 0o644}, b"new")]
    shop.write("archive", tar(*members, hard("h", "g", mode=0o600)))
    found = shop.files("FROM scratch\nADD archive /\n")
    assert [found[name].mode for name in "fgh"] == ["0o644", "0o600", "0o600"]
    assert found["g"].content == found["h"].content != found["f"].content


def test_a_hard_link_to_a_symbolic_link_is_one(shop):
    shop.write(
        "archive", tar(("l", {"type": tarfile.SYMTYPE, "linkname": "f"}, b""), hard("m", "l", mode=0o600, uid=3))
    )
    found = shop.files("FROM scratch\nADD archive /\n")
    assert (found["l"], found["m"]) == (unpacked.Found("l", "", "3:0", "f"),) * 2


def test_chown_counts_for_hard_links_too(shop):
    shop.write("archive", tar(("f", {"mode": 0o640}, b"f"), hard("g", "f", mode=0o640, uid=9)))
    found = shop.files("FROM scratch\nADD --chown=3:4 archive /\n")
    assert {found[name].owner for name in "fg"} == {"3:4"}
