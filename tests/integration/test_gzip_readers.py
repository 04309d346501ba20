"""What we write is read to its end by everybody: gzip of many members, and the archives in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from machines.engine import Tool
from machines.registry import Registry
from machines.required import required
from multiarch_oci import layer, mediatype, windows
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.layer import Entry, Written

CONTENT = b"".join(b"line %d of many\n" % n for n in range(300_000)) + random.Random(5).randbytes(2 << 20)  # noqa: S311
LAST = b"what stands in the last member\n"
ENTRIES = (
    Entry.directory("app"),
    Entry.of_bytes("app/big", CONTENT, mode=0o755),
    Entry.of_bytes("app/" + "long/" * 30 + "größe", b"pax\n"),
    Entry.hardlink("hard", "app/big"),
    Entry.symlink("soft", "app/big"),
    Entry.of_bytes("zzz", LAST),
)
GO = """
package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	all := sha256.New()
	unpacked, err := gzip.NewReader(file)
	check(err)
	stream := io.TeeReader(unpacked, all)
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		check(err)
		sum := sha256.New()
		_, err = io.Copy(sum, archive)
		check(err)
		fmt.Printf("%c %q %o %d %d %q %d %x\\n", header.Typeflag, header.Name, header.Mode, header.Size,
			header.ModTime.Unix(), header.Linkname, len(header.PAXRecords), sum.Sum(nil))
	}
	_, err = io.Copy(io.Discard, stream)
	check(err)
	fmt.Printf("%x\\n", all.Sum(nil))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    path = tmp_path_factory.mktemp("layer") / "layer.tar.gz"
    with path.open("wb") as sink:
        told = layer.write(ENTRIES, sink, epoch=1_000_000_000)
    return path, told


@pytest.fixture(scope="module")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Go program that lists an archive: Go's readers are those of containerd, Docker, podman and Windows."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "main.go").write_text(GO, encoding="utf-8")
    (folder / "go.mod").write_text("module reader\n\ngo 1.21\n", encoding="utf-8")
    program = folder / "reader.exe"
    subprocess.run([required("go"), "build", "-o", program, "."], cwd=folder, check=True)
    return program


@pytest.fixture
def image(tmp_path: Path, packed: tuple[Path, Written]) -> Path:
    """Return an OCI layout, written by hand, of one image with our layer; its tag is `it`."""
    path, told = packed
    machine = {"amd64": "amd64", "x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Cmd": ["/app/big"]},
        "rootfs": {"type": "layers", "diff_ids": [str(told.diff_id)]},
    }
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / told.descriptor.digest.hex).write_bytes(path.read_bytes())
    configured = put(blobs, mediatype.CONFIG, config)
    members = {
        "schemaVersion": 2,
        "mediaType": mediatype.MANIFEST,
        "config": configured,
        "layers": [told.descriptor.to_json()],
    }
    entry = {**put(blobs, mediatype.MANIFEST, members), "annotations": {"org.opencontainers.image.ref.name": "it"}}
    index = {"schemaVersion": 2, "manifests": [entry]}
    (tmp_path / "layout" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (tmp_path / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return tmp_path / "layout"


def put(blobs: Path, media_type: str, document: object) -> dict[str, object]:
    content = json.dumps(document).encode()
    descriptor = Descriptor.of(media_type, content)
    (blobs / descriptor.digest.hex).write_bytes(content)
    return descriptor.to_json()


def assert_whole(archive: bytes) -> None:
    """The root file system of the image, as an engine hands it out, holds all that we put in."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        for name, expected in {"app/big": CONTENT, "zzz": LAST, "app/" + "long/" * 30 + "größe": b"pax\n"}.items():
            stream = read.extractfile(name)
            assert stream is not None, name
            assert stream.read() == expected, name
        assert read.getmember("soft").linkname == "app/big"
        assert read.getmember("app/big").mode & 0o7777 == 0o755


def test_the_sample_is_of_many_members(packed: tuple[Path, Written]) -> None:
    assert packed[0].read_bytes().count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff") > 5


def test_python_reads_it(packed: tuple[Path, Written]) -> None:
    path, told = packed
    with gzip.open(path) as stream:
        assert Digest.of_stream(stream) == told.diff_id  # type: ignore[arg-type]  # a GzipFile reads like any stream


def test_gzip_finds_it_sound_and_unpacks_all_of_it(packed: tuple[Path, Written]) -> None:
    path, told = packed
    program = required("gzip")
    subprocess.run([program, "-t", path], check=True)
    unpacked = subprocess.run([program, "-dc", path], check=True, capture_output=True).stdout
    assert Digest.of(unpacked) == told.diff_id


def test_gnu_tar_unpacks_it(packed: tuple[Path, Written], tmp_path: Path) -> None:
    ran = subprocess.run(
        [required("tar"), "-xzf", packed[0], "-C", tmp_path], check=True, capture_output=True, text=True
    )
    assert ran.stderr == ""
    assert (tmp_path / "app" / "big").read_bytes() == CONTENT
    assert (tmp_path / "hard").samefile(tmp_path / "app" / "big")
    assert (tmp_path / "soft").readlink() == Path("app/big")
    assert (tmp_path / "zzz").read_bytes() == LAST
    assert (tmp_path / ("app/" + "long/" * 30 + "größe")).read_bytes() == b"pax\n"
    assert (tmp_path / "app" / "big").stat().st_mtime == 1_000_000_000


def test_go_reads_every_member_and_every_header(packed: tuple[Path, Written], go_reader: Path) -> None:
    path, told = packed
    lines = subprocess.run([go_reader, path], check=True, capture_output=True, text=True).stdout.splitlines()
    big, empty = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256().hexdigest()
    assert lines[0] == f'5 "app/" 755 0 1000000000 "" 0 {empty}'
    assert lines[1] == f'0 "app/big" 755 {len(CONTENT)} 1000000000 "" 0 {big}'
    assert lines[2].startswith(f'0 "app/{"long/" * 30}größe" 644 4 1000000000 "" 1 ')
    assert lines[3] == f'2 "soft" 777 0 1000000000 "app/big" 0 {empty}'
    assert lines[4] == f'0 "zzz" 644 {len(LAST)} 1000000000 "" 0 {hashlib.sha256(LAST).hexdigest()}'
    assert lines[5] == f'1 "hard" 755 0 1000000000 "app/big" 0 {empty}'
    assert lines[6:] == [told.diff_id.hex]


def test_go_reads_the_records_of_a_windows_layer(go_reader: Path, tmp_path: Path) -> None:
    path = tmp_path / "windows.tar.gz"
    with path.open("wb") as sink:
        layer.write(windows.entries([Entry.of_bytes("app/demo.exe", LAST)]), sink)
    lines = subprocess.run([go_reader, path], check=True, capture_output=True, text=True).stdout.splitlines()
    assert [(*line.split()[:2], line.split()[6]) for line in lines[:-1]] == [
        ("5", '"Files/"', "1"),
        ("5", '"Files/app/"', "2"),
        ("0", '"Files/app/demo.exe"', "2"),
        ("5", '"Hives/"', "1"),
    ]


def test_skopeo_unpacks_it(image: Path, packed: tuple[Path, Written], skopeo: Tool, tmp_path: Path) -> None:
    skopeo.run("copy", "--dest-decompress", f"oci:{image}:it", f"dir:{tmp_path / 'out'}")
    assert Digest.of((tmp_path / "out" / packed[1].diff_id.hex).read_bytes()) == packed[1].diff_id


def test_podman_unpacks_it(image: Path, podman: Tool, tmp_path: Path) -> None:
    name = podman.run("pull", "--quiet", f"oci:{image}:it").strip()
    container = podman.run("create", name).strip()
    podman.run("export", "--output", tmp_path / "root.tar", container)
    podman.run("rm", container)
    assert_whole((tmp_path / "root.tar").read_bytes())


def test_docker_unpacks_it(image: Path, registry: Registry, skopeo: Tool, docker_engine: Any) -> None:
    skopeo.run("copy", "--dest-tls-verify=false", f"oci:{image}:it", f"docker://{registry.host}/readers:it")
    docker_engine.images.pull(f"{registry.host}/readers", tag="it")
    container = docker_engine.containers.create(f"{registry.host}/readers:it")
    try:
        assert_whole(b"".join(container.export()))
    finally:
        container.remove()
        docker_engine.images.remove(f"{registry.host}/readers:it")
