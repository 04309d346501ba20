"""The gzip that is the same everywhere: members, headers, and the same bytes for every cut and number of threads."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import os
import random
import subprocess
import sys
import zlib

import pytest

from multiarch_oci import gzipstream
from multiarch_oci.gzipstream import BLOCK, BlockWriter, member

CONTENT = b"".join(bytes([n % 251]) * (n % 97) for n in range(50_000)) + random.Random(1).randbytes(200_000)  # noqa: S311


def packed(content: bytes, *, cut: int = BLOCK, workers: int = 2) -> tuple[bytes, BlockWriter]:
    sink = io.BytesIO()
    with BlockWriter(sink, workers=workers) as blocks:
        for at in range(0, len(content), cut):
            blocks.write(content[at : at + cut])
        blocks.finish()
    return sink.getvalue(), blocks


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, len(CONTENT)])
def test_it_comes_back_whole_and_is_one_member_a_block(length: int) -> None:
    content = CONTENT[:length]
    found, blocks = packed(content)
    assert gzip.decompress(found) == content
    assert blocks.read_sum.digest() == hashlib.sha256(content).digest()
    assert blocks.written_sum.digest() == hashlib.sha256(found).digest()
    assert blocks.size == len(found)
    count, rest = 0, found
    while rest:
        one = zlib.decompressobj(31)
        one.decompress(rest)
        assert one.eof
        count, rest = count + 1, one.unused_data
    assert count == max(1, -(-length // BLOCK))


@pytest.mark.parametrize("cut", [997, 65_521, BLOCK - 1, BLOCK + 1, 5 * BLOCK])
def test_how_it_is_cut_into_writes_does_not_matter(cut: int) -> None:
    assert packed(CONTENT, cut=cut)[0] == packed(CONTENT)[0]


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_how_many_threads_there_are_does_not_matter(workers: int) -> None:
    assert packed(CONTENT, workers=workers)[0] == packed(CONTENT)[0]


@pytest.mark.parametrize("block", [b"", b"x", CONTENT[:BLOCK]])
def test_the_header_holds_no_time_no_name_and_no_system(block: bytes) -> None:
    assert member(block)[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 255])


def test_the_bytes_never_change() -> None:
    # Measured equal on x86-64 of five kinds and on aarch64 (bench/gzip_everywhere.py); a new version shows here.
    assert (
        hashlib.sha256(packed(CONTENT)[0]).hexdigest()
        == "5be67e0d59fe09731510f77cf4bfeb08942740585d7c235c78544d07969ce182"
    )


def test_the_version_in_the_signature_is_the_one_installed() -> None:
    assert importlib.metadata.version("deflate") == gzipstream.VERSION
    assert gzipstream.COMPRESSOR == "libdeflate (deflate 0.9.0), level 1, members of 1048576 bytes"


def test_naming_the_compressor_does_not_import_it() -> None:
    code = "import sys, multiarch_oci.layer, multiarch_oci.gzipstream as g; g.COMPRESSOR; sys.exit('deflate' in sys.modules)"
    folder = str(next(iter(sys.modules["multiarch_oci"].__path__)) + "/..")
    assert (
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": folder}, check=False).returncode
        == 0
    )


def test_an_error_in_a_thread_comes_out_and_nothing_more_is_written() -> None:
    def broken(block: bytes) -> bytes:
        raise ValueError(len(block))

    def write() -> None:
        with BlockWriter(sink, broken) as blocks:
            blocks.write(CONTENT[: 2 * BLOCK])
            blocks.finish()

    sink = io.BytesIO()
    with pytest.raises(ValueError, match=r"^1048576$"):
        write()
    assert sink.getvalue() == b""
