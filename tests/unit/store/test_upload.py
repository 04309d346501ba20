"""What is sent of a blob, and what a registry says it has.

OCI distribution spec 1.1: "Pushing a blob in chunks" (Range of a session).
"""

from __future__ import annotations

import io

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import DigestMismatch
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.store.http.exchange import Answer
from multiarch_oci.store.upload import Content, _held

BYTES = bytes(range(256)) * 40


class Opened:
    """A content that counts how often it is opened."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.times = 0

    def __call__(self) -> io.BytesIO:
        self.times += 1
        return io.BytesIO(self.content)


def test_consecutive_chunks_are_read_from_one_opening() -> None:
    opened = Opened(BYTES)
    content = Content(Descriptor.of(LAYER_GZIP, BYTES), opened)
    assert content.at(0).read(4096) == BYTES[:4096]
    assert content.at(4096).read(1024) == BYTES[4096:5120]
    assert opened.times == 1


def test_going_back_opens_anew_and_going_on_verifies_what_was_left_out() -> None:
    opened = Opened(BYTES)
    content = Content(Descriptor.of(LAYER_GZIP, BYTES), opened)
    content.at(0).read(2000)
    assert content.at(1000).read() == BYTES[1000:]
    assert opened.times == 2
    with pytest.raises(DigestMismatch):
        Content(Descriptor.of(LAYER_GZIP, BYTES), Opened(b"?" + BYTES[1:])).at(1000).read()


@pytest.mark.parametrize(
    ("header", "held"),
    [(None, None), ("0-0", 0), ("0-1023", 1024), ("bytes=0-99", 100), ("5-9", None), ("0-", None), ("0-9x", None)],
)
def test_the_range_of_a_session_is_read(header: str | None, held: int | None) -> None:
    assert _held(Answer(202, {} if header is None else {"Range": header}, b"", "")) == held
