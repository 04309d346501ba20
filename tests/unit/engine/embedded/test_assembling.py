from __future__ import annotations

import os
import time

import pytest

from multiarch_oci.engine.embedded import assembling
from multiarch_oci.store.archive import Archive

TEXT = "FROM scratch\nCOPY a /a\nCOPY b /b\nLABEL l=1\n"


@pytest.fixture(autouse=True)
def files(shop):
    shop.write("a", "a")
    shop.write("b", "b")


def test_equal_inputs_are_equal_bytes(shop):
    shop.build(TEXT)
    first = shop.output.read_bytes()
    shop.output.unlink()
    (shop.folder / "a").unlink()
    old = os.umask(0o077)
    try:
        shop.write("a", "a", mode=0o600)
        os.utime(shop.folder / "a", (time.time() - 1000,) * 2)
        shop.build(TEXT)
    finally:
        os.umask(old)
    assert shop.output.read_bytes() == first


def test_a_label_packs_nothing_again(shop, monkeypatch):
    shop.build(TEXT)
    before = Archive(shop.output).image()
    monkeypatch.setattr(assembling, "_written", _never)
    shop.build(TEXT.replace("l=1", "l=2"))
    after = Archive(shop.output).image()
    assert before.layers == after.layers
    assert before.config != after.config
    assert Archive(shop.output).open(after.layers[0]).read()


def _never(*_, **__):
    raise AssertionError("a layer was packed again")


@pytest.mark.parametrize(
    "change",
    [
        lambda shop: shop.write("b", "c"),
        lambda shop: shop.write("b", "b", mode=0o755),
        lambda shop: ((shop.folder / "b").unlink(), (shop.folder / "b").mkdir()),
    ],
    ids=["content", "mode", "kind"],
)
def test_a_change_packs_only_its_layer(shop, change):
    shop.build(TEXT)
    before = Archive(shop.output).image().layers
    change(shop)
    shop.build(TEXT)
    after = Archive(shop.output).image().layers
    assert after[0] == before[0]
    assert after[1:] != before[1:]


def test_another_time_stamp_packs_all_again(shop):
    before = shop.build(TEXT).layers
    assert not set(before) & set(shop.build(TEXT, epoch=5).layers)


@pytest.mark.parametrize("damage", [b"", b"no tar", None])
def test_a_damaged_output_is_made_again(shop, damage):
    shop.build(TEXT)
    right = shop.output.read_bytes()
    if damage is None:
        damage = bytearray(right)
        at = right.index(b"\x1f\x8b") + 40
        damage[at] ^= 0xFF
    shop.output.write_bytes(damage)
    shop.build(TEXT)
    assert shop.output.read_bytes() == right


def test_nothing_is_left_when_a_build_fails(shop):
    shop.build(TEXT)
    before = shop.output.read_bytes()
    (shop.folder / "b").unlink()
    with pytest.raises(Exception, match="'b' is not in the context"):
        shop.build(TEXT)
    assert shop.output.read_bytes() == before
    assert [path.name for path in shop.output.parent.iterdir() if path.is_file()] == ["image.tar"]
