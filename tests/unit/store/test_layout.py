"""An OCI image layout in a folder.

OCI image spec 1.1, image-layout.md.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiarch_oci.descriptor import REF_NAME
from multiarch_oci.document import InvalidDocument
from multiarch_oci.reference import Destination, Reference
from multiarch_oci.store import BlobMissing, read
from multiarch_oci.store.entries import InvalidLayout
from multiarch_oci.store.layout import Layout
from samples import blob, factory, sample


def index(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "index.json").read_bytes())["manifests"]


def blob_file(folder: Path, digest: object) -> Path:
    return folder / "blobs" / str(digest).replace(":", "/")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry" / "demo"


def test_the_files_are_those_of_the_specification(folder: Path):
    image = sample()
    layout = Layout(folder)
    layout.tag("1.0", image.fill(layout))
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((folder / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": str(image.root.digest),
                "size": image.root.size,
                "annotations": {"org.opencontainers.image.ref.name": "1.0"},
                "platform": {"architecture": "amd64", "os": "linux"},
            }
        ],
    }
    for descriptor, content in image.blobs.items():
        assert blob_file(folder, descriptor.digest).read_bytes() == content
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"oci-layout", "index.json", ".index.lock", *(each.digest.hex for each in image.blobs)}


def test_reading_makes_nothing(folder: Path):
    assert Layout(folder).resolve("1.0") is None
    assert not folder.exists()


def test_foreign_entries_stay_as_they_are(folder: Path):
    layout, image = Layout(folder), sample()
    image.fill(layout)
    foreign = [
        {"mediaType": "text/x", "digest": "sha256:odd", "size": 1, "data": "eA==", "annotations": {"a": "b"}},
        {
            "mediaType": "x/y",
            "digest": "sha256:" + "0" * 64,
            "size": 1,
            "annotations": {REF_NAME: "theirs"},
            "new": [1],
        },
    ]
    members = {"schemaVersion": 2, "manifests": foreign, "annotations": {"made": "elsewhere"}, "unknown": {"x": 1}}
    (folder / "index.json").write_text(json.dumps(members), encoding="utf-8")
    layout.tag("ours", image.root)
    after = json.loads((folder / "index.json").read_bytes())
    assert {**after, "manifests": [after["manifests"][0], after["manifests"][2]]} == members
    assert after["manifests"][1]["annotations"] == {REF_NAME: "ours"}
    assert layout.resolve("theirs") is None


def test_a_moved_tag_keeps_its_place_and_is_there_once(folder: Path):
    layout, first, second = Layout(folder), sample(text=b"1"), sample(text=b"2")
    for image in (first, second):
        image.fill(layout)
    layout.tag("a", first.root)
    layout.tag("b", first.root)
    doubled = json.loads((folder / "index.json").read_bytes())
    doubled["manifests"].append(doubled["manifests"][0])
    (folder / "index.json").write_text(json.dumps(doubled), encoding="utf-8")
    layout.tag("a", second.root)
    assert [(item["annotations"], item["digest"]) for item in index(folder)] == [
        ({REF_NAME: "a"}, str(second.root.digest)),
        ({REF_NAME: "b"}, str(first.root.digest)),
    ]


def test_tagging_again_does_not_write(folder: Path):
    layout = Layout(folder)
    root = sample().fill(layout)
    layout.tag("1.0", root)
    before = (folder / "index.json").stat()
    layout.tag("1.0", root)
    after = (folder / "index.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_annotations_of_the_descriptor_are_kept_and_the_tag_is_not_among_them(folder: Path):
    layout = Layout(folder)
    root = replace(sample().fill(layout), annotations=(("a", "b"), (REF_NAME, "other")))
    layout.tag("1.0", root)
    found = layout.resolve("1.0")
    assert found == replace(root, annotations=(("a", "b"),))


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content[:0], lambda content: content + b"x"]
)
def test_a_file_of_the_wrong_size_is_absent_and_put_again(folder: Path, damage):
    layout = Layout(folder)
    layout.put(blob(b"layer"), factory(b"layer"))
    path = blob_file(folder, blob(b"layer").digest)
    path.write_bytes(damage(path.read_bytes()))
    assert not layout.has(blob(b"layer"))
    layout.put(blob(b"layer"), factory(b"layer"))
    assert read(layout, blob(b"layer")) == b"layer"


def test_a_manifest_with_a_flipped_bit_is_absent(folder: Path):
    layout = Layout(folder)
    root = sample().fill(layout)
    layout.tag("1.0", root)
    path = blob_file(folder, root.digest)
    path.write_bytes(path.read_bytes().replace(b"schemaVersion", b"schemaversion"))
    assert layout.resolve("1.0") is None
    assert not layout.has(root)


def test_a_blob_deleted_by_hand_is_absent(folder: Path):
    layout, image = Layout(folder), sample()
    layout.tag("1.0", image.fill(layout))
    blob_file(folder, image.own.digest).unlink()
    assert not layout.has(image.own)
    blob_file(folder, image.root.digest).unlink()
    assert layout.resolve("1.0") is None
    with pytest.raises(BlobMissing) as caught:
        layout.open(image.root)
    assert str(caught.value) == f"{folder}: has no {image.root.digest}"


def test_failure_leaves_no_file(folder: Path):
    layout = Layout(folder)
    with pytest.raises(Exception, match="wanted"):
        layout.put(blob(b"right"), factory(b"wrong"))
    assert [path.name for path in (folder / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("oci-layout", '{"imageLayoutVersion":"2.0"}', "is an OCI image layout of version 2.0; known is 1.0.0"),
        ("oci-layout", "{}", "oci-layout: has no 'imageLayoutVersion'"),
        ("index.json", "{", "index.json: is not JSON: "),
        ("index.json", '{"manifests":{}}', "index.json: 'manifests' is an object, not a list"),
        ("index.json", '{"manifests":["x"]}', "index.json: manifests[0]: is a string, not a JSON object"),
    ],
)
def test_a_folder_that_is_no_layout_is_an_error_that_names_it(folder: Path, name: str, content: str, text: str):
    layout = Layout(folder)
    root = sample().fill(layout)
    (folder / name).write_text(content, encoding="utf-8")
    for ask in (lambda: layout.resolve("1.0"), lambda: layout.tag("1.0", root)):
        with pytest.raises((InvalidLayout, InvalidDocument)) as caught:
            ask()
        assert str(caught.value).startswith(f"{folder}: {text}")
    assert (folder / name).read_text(encoding="utf-8") == content


def test_a_file_in_the_folders_place_is_an_error(folder: Path):
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"")
    with pytest.raises(InvalidLayout) as caught:
        Layout(folder).resolve("1.0")
    assert str(caught.value) == f"{folder}: is no folder of an OCI image layout"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_modes_that_the_umask_gives(folder: Path, umask: int, mode: int):
    before = os.umask(umask)
    try:
        layout = Layout(folder)
        layout.tag("1.0", sample().fill(layout))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {mode}


def sibling(tmp_path: Path, name: str, *, folder: str = "registry") -> tuple[Layout, Reference]:
    place = Destination.parse(str(tmp_path / folder))
    reference = place.reference(name)
    return Layout(Path(place.layout(name)), reference=reference), reference


def test_a_blob_is_mounted_from_a_sibling(tmp_path: Path):
    (base, base_name), (ours, _) = sibling(tmp_path, "bases/debian"), sibling(tmp_path, "team/demo")
    base.put(blob(b"layer"), factory(b"layer"))
    assert ours.mount(blob(b"layer"), base_name.with_tag("12")) is True
    assert read(ours, blob(b"layer")) == b"layer"
    own = blob_file(tmp_path / "registry/team/demo", blob(b"layer").digest)
    theirs = blob_file(tmp_path / "registry/bases/debian", blob(b"layer").digest)
    assert own.samefile(theirs)
    assert ours.resolve("1.0") is None
    assert (tmp_path / "registry/team/demo/oci-layout").exists()


def test_nothing_wrong_and_nothing_foreign_is_mounted(tmp_path: Path):
    (base, base_name), (ours, _) = sibling(tmp_path, "base"), sibling(tmp_path, "demo")
    base.put(blob(b"layer"), factory(b"layer"))
    other = sibling(tmp_path, "base", folder="other")[1]
    assert ours.mount(blob(b"layer"), other) is False
    assert ours.mount(blob(b"other"), base_name) is False
    blob_file(tmp_path / "registry/base", blob(b"layer").digest).write_bytes(b"LAYER")
    assert ours.mount(blob(b"layer"), base_name) is False
    assert not ours.has(blob(b"layer"))


def test_threads_tagging_at_once_lose_no_tag(folder: Path):
    layout = Layout(folder)
    root = sample().fill(layout)
    threads = [threading.Thread(target=Layout(folder).tag, args=(f"t{number}", root)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item["annotations"][REF_NAME] for item in index(folder)} == {f"t{number}" for number in range(16)}


PROGRAM = """
import sys
from pathlib import Path
from samples import sample
from multiarch_oci.store.layout import Layout
layout = Layout(Path(sys.argv[1]))
for number in range(10):
    image = sample(text=str(number).encode())
    layout.tag(f"{sys.argv[2]}-{number}", image.fill(layout))
"""


def test_processes_writing_at_once_lose_nothing(folder: Path):
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "site_scons")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), name], env=environment) for name in ("a", "b")
    ]
    assert [process.wait() for process in started] == [0, 0]
    layout = Layout(folder)
    for number in range(10):
        for name in ("a", "b"):
            assert layout.resolve(f"{name}-{number}") is not None


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_what_a_killed_process_left_goes_when_the_file_is_written_again(folder: Path, name: str):
    image = sample()
    layout = Layout(folder)
    root = image.fill(layout)
    left = folder / f".{name}.part-0123456789abcdef"
    left.write_bytes(b"half")
    (folder / name).unlink(missing_ok=True)
    layout.tag("1.0", root)
    assert not left.exists()
    assert layout.resolve("1.0") == root


def test_the_order_of_pushes_leaves_no_trace(tmp_path: Path):
    names = ["v1.0", "v1.0-arm64", "latest", "v1.0-amd64"]
    for order in (names, names[::-1]):
        layout = Layout(tmp_path / order[0])
        root = sample().fill(layout)
        for name in order:
            layout.tag(name, root)
    assert index(tmp_path / names[0]) == index(tmp_path / names[-1])
    assert [item["annotations"][REF_NAME] for item in index(tmp_path / names[0])] == sorted(names)


HALF = """
import io, sys, time
from pathlib import Path
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.store.layout import Layout
class Slow(io.BytesIO):
    def read(self, size=-1):
        block = super().read(1)
        print("writing", flush=True)
        time.sleep(60)
        return block
content = b"a blob that takes its time"
Layout(Path(sys.argv[1])).put(Descriptor.of(LAYER_GZIP, content), lambda: Slow(content))
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
def test_the_half_of_a_blob_goes_once_its_writer_is_dead_and_not_before(folder: Path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "site_scons")}
    with subprocess.Popen(
        [sys.executable, "-c", HALF, str(folder)], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        blobs = folder / "blobs" / "sha256"
        half = next(blobs.glob(".*.part-*"))
        sample(text=b"beside it").fill(Layout(folder))
        assert half.exists()
        process.send_signal(signal.SIGKILL)
    sample(text=b"after it").fill(Layout(folder))
    assert list(blobs.glob(".*")) == []


def test_a_sweep_passes_over_what_another_process_removes_meanwhile(folder: Path):
    layout = Layout(folder)
    layout.tag("1.0", sample().fill(layout))
    blobs = folder / "blobs" / "sha256"
    for name in (".half.part-0123456789abcdef", "f" * 64):  # links to nothing: in the listing, and not there
        (blobs / name).symlink_to("gone")
    assert layout.sweep(()) == 0
