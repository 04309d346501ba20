"""Hundreds of archives that nobody should write, through everything that reads one: an answer or one clear error."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import hostile_tars
from multiarch_oci.digest import Digest
from multiarch_oci.engine.export.made import of_layout, of_save
from multiarch_oci.engine.export.repacking import repack
from multiarch_oci.engine.frontend.bases import load
from multiarch_oci.engine.frontend.tree import Overlay
from multiarch_oci.engine.rebase.basefiles import files_of, own_layer
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store.archive import read_image
from multiarch_oci.store.tarmembers import members
from workshop import AMD64, Workshop

ARCHIVES = int(os.environ.get("MULTIARCH_HOSTILE_TARS", "150"))
SECONDS = 20


def _add(shop: Workshop, seed: int) -> None:
    shop.write("hostile.tar", hostile_tars.packed(seed))
    shop.build("FROM scratch\nADD hostile.tar /in/side/\n")


def _copied(shop: Workshop, seed: int) -> None:
    shop.bases = ()
    shop.base("base", hostile_tars.archive(seed))
    shop.build("FROM scratch\nCOPY --from=base / /in/side/\n")


def _built_on(shop: Workshop, seed: int) -> None:
    shop.write("file", "x")
    shop.bases = ()
    shop.base("base", hostile_tars.archive(seed), hostile_tars.archive(seed + 1))
    shop.build("FROM base\nCOPY file /bin/\nUSER a:b\nWORKDIR /d/e\n")


def _compared(shop: Workshop, seed: int) -> None:
    base = shop.base("base", hostile_tars.archive(seed))
    files_of(load(base, lambda _: shop.store, where="Dockerfile:1"))


def _layer(shop: Workshop, seed: int) -> None:  # noqa: ARG001  # as the others
    content = hostile_tars.archive(seed)
    packed = gzip.compress(content, 1, mtime=0)
    own_layer(partial(io.BytesIO, packed), Digest.of(content), Overlay(), "layer")


def _normalised(shop: Workshop, seed: int) -> None:
    content = hostile_tars.archive(seed)
    with (shop.folder / "layer").open("wb") as sink:
        repack(partial(io.BytesIO, content), Digest.of(content), sink, Overlay(), epoch=0, where="engine")


def _file(read: Callable[[Path], object], shop: Workshop, seed: int) -> None:
    read(shop.write("archive.tar", hostile_tars.archive(seed)))


READERS: dict[str, Callable[[Workshop, int], None]] = {
    "ADD": _add,
    "COPY --from": _copied,
    "FROM": _built_on,
    "rebase: base": _compared,
    "rebase: layer": _layer,
    "engine's layer": _normalised,
    "docker save": partial(_file, of_save),
    "layout": partial(_file, lambda path: of_layout(path, AMD64)),
    "image tarball": partial(_file, read_image),
    "members": partial(_file, members),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_archive_ends_in_an_image_or_in_one_clear_error(reader: str, tmp_path: Path):
    (tmp_path / "context").mkdir()
    shop = Workshop(tmp_path / "context")
    for seed in range(ARCHIVES):
        shop.output.unlink(missing_ok=True)
        started = time.monotonic()
        try:
            READERS[reader](shop, seed)
        except MultiarchError as error:
            words = str(error)
        else:
            words = "made"
        assert 0 < len(words) < 2000, seed
        assert time.monotonic() - started < SECONDS, seed
        if shop.output.exists():
            _is_inside(shop.output)
    assert {path.name for path in tmp_path.iterdir()} <= {"context", "image.tar"}


def _is_inside(image: Path) -> None:
    with tarfile.open(image) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None and member.size and stream.read(2) == b"\x1f\x8b":
                stream.seek(0)
                with tarfile.open(fileobj=stream, mode="r:gz") as layer:
                    for name in layer.getnames():
                        assert ".." not in name.split("/")
                        assert not name.startswith("/")
