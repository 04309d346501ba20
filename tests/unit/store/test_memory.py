"""A store in memory; what it promises is in tests/contract."""

from __future__ import annotations

import pytest

from multiarch_oci.store import BlobMissing
from multiarch_oci.store.memory import Memory
from samples import blob, sample


def test_errors_name_the_place():
    with pytest.raises(BlobMissing) as caught:
        Memory("the base").open(blob(b"x"))
    assert str(caught.value) == f"the base: has no {blob(b'x').digest}"


def test_a_tag_without_manifest_says_which_is_missing():
    with pytest.raises(BlobMissing) as caught:
        Memory().tag("1.0", sample().root)
    assert str(caught.value) == f"memory: has no manifest {sample().root.digest} for tag '1.0'"


def test_two_memories_share_nothing():
    one, other = Memory(), Memory()
    one.tag("1.0", sample().fill(one))
    assert other.resolve("1.0") is None
