"""Digests and streams that check themselves."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from multiarch_oci.digest import BLOCK, Digest, DigestMismatch, InvalidDigest, VerifyingReader, verifying

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_of_bytes_streams_and_files_is_one(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"abc")
    expected = Digest("sha256", ABC)
    assert Digest.of(b"abc") == expected
    assert Digest.of_stream(io.BytesIO(b"abc")) == expected
    assert Digest.of_file(tmp_path / "file") == expected
    assert str(expected) == f"sha256:{ABC}"
    assert Digest.parse(str(expected)) == expected
    assert Digest.of(b"abc", "sha512") == Digest("sha512", hashlib.sha512(b"abc").hexdigest())


def test_a_long_stream_is_hashed_to_its_end():
    content = b"x" * (2 * BLOCK + 1)
    assert Digest.of_stream(io.BytesIO(content)).hex == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        ABC,
        f"sha256:{ABC[:-1]}",
        f"sha256:{ABC}0",
        f"sha256:{ABC.upper()}",
        f"sha256:{ABC[:-1]}\n",
        f"sha256:{ABC}\n",
        f"sha256:../{ABC[3:]}",
        f"sha512:{ABC}",
        f"md5:{ABC[:32]}",
        f"SHA256:{ABC}",
        f" sha256:{ABC}",
    ],
)
def test_anything_else_is_refused_and_quoted(text: str):
    with pytest.raises(InvalidDigest) as caught:
        Digest.parse(text)
    algorithm, _, hexadecimal = text.partition(":")
    assert str(caught.value) == f"'{algorithm}:{hexadecimal}' is not a sha256 or sha512 digest"


def reader(content: bytes, wanted: bytes = b"0123456789", size: int = 10) -> VerifyingReader:
    return VerifyingReader(io.BytesIO(content), Digest.of(wanted), size, where="somewhere")


def test_right_bytes_pass():
    with reader(b"0123456789") as stream:
        assert [stream.read(4), stream.read(0), stream.read(4), stream.read(4), stream.read(4)] == [
            b"0123",
            b"",
            b"4567",
            b"89",
            b"",
        ]
    assert reader(b"0123456789").read() == b"0123456789"
    assert reader(b"0123456789").read(None) == b"0123456789"
    assert reader(b"", b"", 0).read() == b""


@pytest.mark.parametrize(
    ("content", "size", "text"),
    [
        (b"01234", 10, "{0} ended 5 of 10 bytes too early"),
        (b"", 10, "{0} ended 10 of 10 bytes too early"),
        (b"0123456789x", 10, "{0} is longer than its 10 bytes"),
        (b"0123456789", 9, "{0} is longer than its 9 bytes"),
        (b"0123456780", 10, "wanted {0}, the bytes are " + str(Digest.of(b"0123456780"))),
    ],
)
def test_wrong_bytes_are_an_error_that_says_how(content: bytes, size: int, text: str):
    with pytest.raises(DigestMismatch) as caught:
        reader(content, size=size).read()
    assert str(caught.value) == "somewhere: " + text.format(Digest.of(b"0123456789"))


def test_the_last_bytes_are_not_handed_on_before_they_are_checked():
    stream = reader(b"012345678x")
    assert stream.read(9) == b"012345678"
    with pytest.raises(DigestMismatch):
        stream.read(1)


def test_the_stream_below_is_closed_with_it():
    below = io.BytesIO(b"")
    with VerifyingReader(below, Digest.of(b""), 0):
        assert not below.closed
    assert below.closed


def test_sha512_is_verified_too():
    digest = Digest.of(b"abc", "sha512")
    assert verifying(io.BytesIO(b"abc"), digest, 3).read() == b"abc"
    with pytest.raises(DigestMismatch):
        verifying(io.BytesIO(b"abd"), digest, 3).read()


def test_a_read_is_never_short_though_the_stream_below_is():
    class Trickling(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002  # what a slow peer does
            return super().read(1)

    with verifying(Trickling(b"0123456789"), Digest.of(b"0123456789"), 10) as stream:
        assert stream.read(7) == b"0123456"
        assert stream.read(7) == b"789"
