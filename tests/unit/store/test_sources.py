"""Several places asked one after the other."""

from __future__ import annotations

from typing import BinaryIO

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store import BlobMissing, read
from multiarch_oci.store.memory import Memory
from multiarch_oci.store.sources import Chain
from samples import blob, factory, sample


class Down:
    """A place that does not answer."""

    def resolve(self, name: str) -> Descriptor | None:
        raise MultiarchError(f"no answer about {name}", where="registry.example")

    def open(self, descriptor: Descriptor) -> BinaryIO:
        raise MultiarchError(f"no answer about {descriptor.size} bytes", where="registry.example")


def held(content: bytes) -> Memory:
    memory = Memory()
    memory.put(blob(content), factory(content))
    return memory


def test_the_first_that_has_it_answers():
    chain = Chain((held(b"one"), held(b"two")))
    assert read(chain, blob(b"two")) == b"two"
    assert read(chain, blob(b"one")) == b"one"


def test_content_that_is_nowhere_is_an_error_that_names_base_and_digest():
    chain = Chain((Memory(), Memory()), base="debian:12@sha256:00", missing_hint="pull debian:12 once")
    with pytest.raises(BlobMissing) as caught:
        chain.open(blob(b"x"))
    assert str(caught.value) == (
        f"debian:12@sha256:00: {blob(b'x').digest} is in no registry and no cache at hand\n  hint: pull debian:12 once"
    )


def test_a_place_that_is_down_does_not_hide_the_next():
    assert read(Chain((Down(), held(b"x"))), blob(b"x")) == b"x"
    memory = Memory()
    memory.tag("1.0", sample().fill(memory))
    found = Chain((Down(), memory)).resolve("1.0")
    assert found is not None
    assert found.digest == sample().root.digest


@pytest.mark.parametrize("order", [(Down(), Memory()), (Memory(), Down())])
def test_a_place_that_is_down_is_the_error_when_no_other_has_it(order):
    chain = Chain(order)
    with pytest.raises(MultiarchError) as caught:
        chain.open(blob(b"x"))
    assert str(caught.value) == "registry.example: no answer about 1 bytes"
    with pytest.raises(MultiarchError) as caught:
        chain.resolve("1.0")
    assert str(caught.value) == "registry.example: no answer about 1.0"


def test_a_name_that_nobody_knows_is_none():
    assert Chain((Memory(), Memory())).resolve("1.0") is None
