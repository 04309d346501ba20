"""What is in a layer, who put it there, and how two stacks of layers differ (OCI image spec 1.1, layer.md)."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from multiarch_oci.config import History, ImageConfig
from multiarch_oci.contents.comparing import config_changes, file_changes, file_system
from multiarch_oci.contents.listing import File, Listing, Listings, listing, made_by, without_values
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.platform import Platform
from multiarch_oci.store.memory import Memory
from multiarch_oci.tarfields import InvalidArchive


def layer(**members: bytes | str | None) -> bytes:
    """Pack a layer: bytes are a file, a text a link, None a folder; `__` in a name is a slash, a first `wh_` `.wh.`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for key, value in members.items():
            name = key.replace("__", "/").replace("wh_", ".wh.")
            info = tarfile.TarInfo(name)
            info.mode = 0o755 if value is None else 0o644
            if value is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(value, str):
                info.type, info.linkname = tarfile.SYMTYPE, value
            else:
                info.size = len(value)
            archive.addfile(info, io.BytesIO(value) if isinstance(value, bytes) else None)
    return gzip.compress(packed.getvalue(), mtime=0)


def listed(content: bytes) -> Listing:
    return listing(io.BytesIO(content), "a layer")


def test_files_come_by_path_with_kind_size_mode_and_digest_of_their_content():
    listed_layer = listed(layer(usr=None, usr__bin=b"program", etc__link="../usr", wh_old=b"", opt__wh_new=b""))
    assert [(file.path, file.kind, file.size) for file in listed_layer.files] == [
        ("etc/link", "symbolic link", 0),
        ("old", "whiteout", 0),
        ("opt/new", "whiteout", 0),
        ("usr", "directory", 0),
        ("usr/bin", "file", 7),
    ]
    program = listed_layer.files[-1]
    assert program.digest == hashlib.sha256(b"program").hexdigest()
    assert (program.mode, listed_layer.size, listed_layer.more) == (0o644, 7, 0)
    assert listed_layer.files[0].target == "../usr"
    assert [file.path for file in listed_layer.largest(2)] == ["usr/bin", "etc/link"]


def test_what_is_no_layer_is_an_error_and_a_damaged_one_too():
    for content in (b"no layer at all" * 100, layer(a=b"x" * 10_000)[:-30]):
        with pytest.raises(InvalidArchive):
            listed(content)


def test_a_layer_is_read_once_and_then_kept(tmp_path: Path):
    content = layer(a=b"1", **{"b\udcff".encode("utf-8", "surrogateescape").decode("latin-1"): b"2"})
    descriptor = Descriptor.of(LAYER_GZIP, content)
    memory = Memory()
    memory.put(descriptor, lambda: io.BytesIO(content))
    listings = Listings(tmp_path)
    first = listings.of(descriptor, memory, "here")
    assert listings.of(descriptor, Memory(), "nowhere") == first
    listings.forget_others([])
    assert listings.kept(str(descriptor.digest)) is None


def test_a_history_that_fits_says_who_made_each_layer():
    lines = (
        History(created_by="COPY a /"),
        History(created_by="ENV A=1", empty_layer=True),
        History(comment="by hand"),
    )
    digests = (Digest.of(b"1"), Digest.of(b"2"))
    config = ImageConfig(Platform("linux", "amd64"), digests, lines)
    assert made_by(config) == ("COPY a /", "by hand")
    assert made_by(ImageConfig(Platform("linux", "amd64"), digests, lines[:1])) == ("", "")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("RUN |2 TOKEN=x /a y B=z /bin/sh -c make /bin/sh -c A=1", "RUN |2 TOKEN=… B=… /bin/sh -c make /bin/sh -c A=1"),
        ("RUN |1 TOKEN=secret", "RUN |1 TOKEN=…"),
        ("RUN /bin/sh -c make # buildkit", "RUN /bin/sh -c make # buildkit"),
        ("ENV A=secret B=secret", "ENV A=… B=…"),
        ("ENV TOKEN secret words", "ENV TOKEN=…"),
        ("ARG T=secret", "ARG T=…"),
        ("/bin/sh -c #(nop)  ENV A=secret", "ENV A=…"),
        ("COPY --from=build /a /b", "COPY --from=build /a /b"),
        ("", ""),
    ],
)
def test_no_value_of_a_variable_or_argument_is_shown(line: str, shown: str):
    assert without_values(line) == shown


def test_later_layers_cover_and_remove_what_is_below():
    below = listed(layer(a__one=b"1", a__two=b"2", b=b"3", c__x=b"4"))
    above = listed(layer(a__wh_one=b"", b=b"33"))
    opaque = Listing((File("c", "opaque whiteout"), File("c/y", size=1)), 1)
    assert sorted(file_system([below, above, opaque])) == ["a/two", "b", "c/y"]
    changes = file_changes([below], [below, above])
    assert [(change.what, change.path, change.details) for change in changes] == [
        ("removed", "a/one", ("1 B",)),
        ("changed", "b", ("1 B → 2 B",)),
    ]


def test_configs_differ_by_the_names_of_dockerfiles():
    old = ImageConfig(Platform("linux", "amd64"), env=("PATH=/bin", "A=1"), labels=(("v", "1"),), cmd=("a",))
    new = ImageConfig(Platform("linux", "amd64"), env=("PATH=/bin", "A=2"), user="65532", cmd=())
    changes = [(change.name, change.before, change.after) for change in config_changes(old, new)]
    assert changes == [("ENV A", "1", "2"), ("LABEL v", "1", ""), ("CMD", '["a"]', "[]"), ("USER", "", "65532")]
    assert config_changes(old, old) == ()
