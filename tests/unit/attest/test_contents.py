"""What the own layers of an image leave in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import pytest

from multiarch_oci.attest.contents import own_contents
from multiarch_oci.attest.readers import Known
from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.image import Image
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_GZIP, LAYER_TAR
from multiarch_oci.platform import Platform
from multiarch_oci.store.memory import Memory
from multiarch_oci.tarfields import InvalidArchive
from samples import factory

Entries = dict[str, "bytes | str | None"]


def tar(entries: Entries) -> bytes:
    """Return an archive: files of bytes, folders (None), links to a text (`=x` is one of the file system)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                member.linkname = content.lstrip("=")
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return raw.getvalue()


def contents(*layers: Entries | bytes, system: str = "linux", own: int | None = None) -> dict[str, str]:
    """Return the sha256 of each file by path; the last `own` layers are the image's own."""
    memory, descriptors, diffs = Memory("image"), [], []
    for layer in layers:
        raw = layer if isinstance(layer, bytes) else tar(layer)
        blob = raw if isinstance(layer, bytes) else gzip.compress(raw)
        descriptor = Descriptor.of(LAYER_TAR if isinstance(layer, bytes) else LAYER_GZIP, blob)
        memory.put(descriptor, factory(blob))
        descriptors.append(descriptor)
        diffs.append(Digest.of(raw))
    config = ImageConfig(Platform(system, "amd64"), diff_ids=tuple(diffs))
    manifest = Manifest(config.descriptor(), tuple(descriptors))
    held = frozenset(descriptor.digest for descriptor in descriptors[-own if own else 0 :])
    image = Image.of(manifest.descriptor(), manifest.to_json(), config.to_json(), held)
    files, _ = own_contents(image, memory, Known(), where="image.tar")
    assert [file.path for file in files] == sorted(file.path for file in files)
    return {file.path: file.sha256 for file in files}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_files_with_their_sums_links_of_the_file_system_among_them():
    found = contents({"etc": None, "etc/a": b"a", "etc/b": "=etc/a", "etc/c": "a"})
    assert found == {"etc/a": sha256(b"a"), "etc/b": sha256(b"a")}


def test_a_later_layer_replaces_and_takes_away():
    first: Entries = {"a": b"1", "b": b"1", "d/x": b"1", "d/y": b"1", "e/x": b"1", "f/x": b"1", "g/x": b"1"}
    second: Entries = {"a": b"2", ".wh.b": b"", "d": None, "d/.wh.x": b"", "e/.wh..wh..opq": b"", "e/z": b"2"}
    found = contents(first, {**second, "f": b"2", ".wh.g": b""})
    assert found == {path: sha256(b"1" if path == "d/y" else b"2") for path in ("a", "d/y", "e/z", "f")}


def test_a_name_that_is_no_utf8_is_written_as_its_bytes():
    assert list(contents({"caf\udce9": b"a"})) == ["caf\\xe9"]


def test_layers_of_the_base_are_not_read():
    assert contents({"base": b"1"}, {"own": b"2"}, own=1) == {"own": sha256(b"2")}


def test_a_layer_that_is_not_packed():
    assert contents(tar({"a": b"a"})) == {"a": sha256(b"a")}


def test_of_windows_the_files_alone():
    layer: Entries = {"Files": None, "Files/app/demo.exe": b"a", "Hives/System_Delta": b"b"}
    assert contents(layer, system="windows") == {"app/demo.exe": sha256(b"a")}


@pytest.mark.parametrize("damaged", [gzip.compress(tar({"a": b"a"}))[:-20], b"\x1f\x8b" + b"x" * 100, b"x" * 600])
def test_a_damaged_layer_is_an_error_in_words(damaged: bytes):
    with pytest.raises(InvalidArchive, match=r"image\.tar"):
        contents(damaged)
