"""What engines hand back, made by hand: in their formats, with their habits, and with what is wrong about them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from msgspec.structs import replace

import unpacked
from multiarch_oci.config import History, ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.engine.export.made import InvalidOutput, Made, of_layout, of_save
from multiarch_oci.engine.export.normalising import WrongBase, engine_of, normalise
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.executable import WrongMachine
from multiarch_oci.index import Index
from multiarch_oci.layer import Entry
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import INDEX, LAYER_GZIP
from multiarch_oci.platform import Platform
from multiarch_oci.store.archive import Archive, ArchiveWriter
from multiarch_oci.tarfields import InvalidArchive
from workshop import AMD64, elf, tar

ARM64 = Platform.parse("linux/arm64")
FOLDER = ("etc", {"type": tarfile.DIRTYPE, "mode": 0o755, "mtime": 99}, b"")


def made(*layers, config=None, history=()):
    """Return what an engine that packs nothing hands back: each layer a tar."""
    config = config or ImageConfig(AMD64)
    lines = history or tuple(History("2024-05-06T07:08:09Z", f"step {n}") for n, _ in enumerate(layers))
    whole = replace(config, diff_ids=tuple(map(Digest.of, layers)), created="2024-05-06T07:08:09Z", history=lines)
    return Made(whole.to_json(), tuple(lambda content=layer: io.BytesIO(content) for layer in layers))


def settled(shop, text="FROM scratch\n", **more):
    return Reader().settled(shop.plan(text, **more), lambda _: shop.store)


def normalised(shop, what, text="FROM scratch\n", **more):
    normalise(what, settled(shop, text, **more), shop.output, engine="podman", warn=shop.warnings.append)
    return Archive(shop.output).image()


def test_what_differs_from_run_to_run_is_not_kept(shop, tmp_path):
    def run(mtime, user, created, *, packed):
        layer = tar(
            FOLDER,
            ("etc/f", {"mtime": mtime, "uname": user, "mode": 0o4755, "uid": 5, "gid": 6}, b"content"),
            ("etc/l", {"type": tarfile.SYMTYPE, "linkname": "f", "mtime": mtime}, b""),
            ("./etc/h", {"type": tarfile.LNKTYPE, "linkname": "./etc/f", "mtime": mtime}, b""),
            ("dev", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3, "mtime": mtime}, b""),
        )
        config = json.loads(made(layer).config)
        config |= {"created": created, "container": user, "docker_version": user, "parent": user}
        config["config"] |= {"Hostname": user, "Image": user}
        config["history"][0] |= {"created": created, "comment": f"FROM {user}"}
        config["config"] |= {"Entrypoint": [], "Cmd": None}
        blob = gzip.compress(layer) if packed else layer
        return normalise(
            Made(json.dumps(config).encode(), (lambda: io.BytesIO(blob),)),
            settled(shop, epoch=50),
            tmp_path / f"{user}.tar",
            engine="docker",
            warn=print,
        )

    first = run(100, "me", "2024-01-01T00:00:00Z", packed=False)
    assert run(200.5, "you", "2025-01-01T00:00:00Z", packed=True) == first
    image = Archive(tmp_path / "me.tar").image()
    assert image.config.created == "1970-01-01T00:00:50Z"
    assert image.config.history == (History("1970-01-01T00:00:50Z", "step 0"),)
    members = {m.name: m for m in unpacked.members(Archive(tmp_path / "me.tar").open(image.layers[0]).read())}
    assert {member.mtime for member in members.values()} == {50}
    assert (members["etc/f"].mode, members["etc/f"].uid, members["etc/f"].gid) == (0o4755, 5, 6)
    assert (members["etc/h"].linkname, members["etc/l"].linkname) == ("etc/f", "f")
    assert (members["dev"].type, members["dev"].devmajor, members["dev"].devminor) == (tarfile.CHRTYPE, 1, 3)


def test_an_older_time_stays_and_capabilities_too(shop):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("ping")
        member.mtime = 10
        member.pax_headers = {"SCHILY.xattr.security.capability": "\x01\x02é", "atime": "99", "ctime": "98.5"}
        archive.addfile(member)
    image = normalised(shop, made(sink.getvalue()), epoch=50)
    (found,) = unpacked.members(Archive(shop.output).open(image.layers[0]).read())
    assert found.mtime == 10
    assert found.pax_headers == {"SCHILY.xattr.security.capability": "\x01\x02é"}


def test_the_layers_of_the_base_are_left_out_as_its_manifest_names_them(shop):
    base = shop.base(
        "example.com/base",
        (Entry.of_bytes("base", b"x"),),
        config=ImageConfig(AMD64, history=(History("2001-01-01T00:00:00Z", "base"),)),
    )
    root = shop.store.resolve(str(base.digest))
    manifest = Manifest.from_json(shop.store.open(root).read(), where="base")
    lower = gzip.decompress(shop.store.open(manifest.layers[0]).read())
    shop.store.opened.clear()
    lines = (History("2001-01-01T00:00:00Z", "base"), History("2024-01-01T00:00:00Z", "own"))
    image = normalised(shop, made(lower, tar(FOLDER), history=lines), "FROM example.com/base\n")
    assert image.layers[0].digest == manifest.layers[0].digest
    assert image.layers[0].digest not in image.own
    assert image.layers[1].digest in image.own
    assert str(image.base) == f"example.com/base@{base.digest}"
    assert [line.created for line in image.config.history] == ["2001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]
    assert manifest.layers[0] not in shop.store.opened


def test_an_image_on_another_base_is_an_error(shop):
    shop.base("example.com/base", (Entry.of_bytes("base", b"x"),))
    with pytest.raises(WrongBase) as caught:
        normalised(shop, made(tar(FOLDER)), "FROM example.com/base\n")
    assert str(caught.value) == (
        f"Dockerfile.test (podman): the engine did not build on example.com/base@{shop.bases[0].digest}: "
        "its image begins with other layers\n"
        "  hint: does the engine take bases from a mirror that changes them? remove its copy of the base"
    )
    assert not shop.output.exists()


def test_an_image_of_another_platform_is_an_error(shop):
    with pytest.raises(WrongMachine) as caught:
        normalised(shop, made(tar(FOLDER)), platform=ARM64)
    assert str(caught.value) == (
        "Dockerfile.test (podman): the engine made an image for linux/amd64, but linux/arm64 was asked for\n"
        "  hint: use ENGINE=buildx or podman, which build for other platforms"
    )


def test_a_program_of_another_machine_is_an_error_wherever_a_layer_put_it(shop):
    config = ImageConfig(AMD64, entrypoint=("/app/demo",))
    wrong = ("app/demo", {"mode": 0o755}, elf("arm64"))
    right = ("app/demo", {"mode": 0o755}, elf("amd64"))
    linked = ("app/demo", {"type": tarfile.LNKTYPE, "linkname": "other"}, b"")
    other = ("other", {"mode": 0o755}, elf("arm64"))
    for layers in ((tar(wrong),), (tar(right), tar(wrong)), (tar(other, linked),)):
        with pytest.raises(WrongMachine, match=r"^/app/demo: is an ARM64 ELF, but the image is linux/amd64"):
            normalised(shop, made(*layers, config=config))
    normalised(shop, made(tar(wrong), tar(right), config=config))
    normalised(shop, made(tar(wrong), tar(("app/.wh.demo", {}, b"")), config=config))
    normalised(shop, made(tar(wrong), tar(("app/.wh..wh..opq", {}, b"")), config=config))
    assert shop.warnings == []
    normalised(shop, made(tar(wrong)))
    assert shop.warnings == ["the image is linux/amd64, but holds /app/demo (ARM64 ELF)"]


def test_a_windows_image_keeps_its_records_and_its_programs_are_looked_for_in_files(shop):
    windows = Platform.parse("windows(10.0.20348.1)/amd64")
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("Files/demo.exe")
        member.size = len(elf("arm64"))
        member.pax_headers = {"MSWINDOWS.rawsd": "AQAA", "LIBARCHIVE.creationtime": "123.4"}
        archive.addfile(member, io.BytesIO(elf("arm64")))
    what = made(sink.getvalue(), config=ImageConfig(windows))
    image = normalised(shop, what, platform=windows)
    (found,) = unpacked.members(Archive(shop.output).open(image.layers[0]).read())
    assert found.pax_headers == {"MSWINDOWS.rawsd": "AQAA"}
    assert "/demo.exe" in shop.warnings[0]


def test_labels_of_the_plan_win(shop):
    config = ImageConfig(AMD64, labels=(("a", "1"), ("b", "2")))
    image = normalised(shop, made(tar(FOLDER), config=config), labels=(("b", "3"), ("c", "4")))
    assert dict(image.config.labels) == {"a": "1", "b": "3", "c": "4"}


def test_a_tarball_says_which_engine_made_it(shop, tmp_path):
    normalised(shop, made(tar(FOLDER)))
    assert engine_of(shop.output) == "podman"
    shop.build("FROM scratch\n")
    assert engine_of(shop.output) is None
    assert engine_of(tmp_path / "absent") is None


def test_a_layer_that_is_not_what_the_config_says_is_an_error(shop):
    what = made(tar(FOLDER))
    with pytest.raises(DigestMismatch, match=r"layer sha256:.*: unpacked it is sha256:"):
        normalised(shop, Made(what.config, (lambda: io.BytesIO(tar(FOLDER, FOLDER)),)))
    with pytest.raises(InvalidArchive, match="member 'f': the archive ends within it"):
        normalised(shop, Made(what.config, (lambda: io.BytesIO(tar(("f", {}, b"x" * 5000))[:1000]),)))
    with pytest.raises(InvalidOutput) as caught:
        normalised(shop, Made(what.config, ()))
    assert str(caught.value) == "Dockerfile.test (podman): has 0 layers, but names 1"
    assert not shop.output.exists()


def layout(path: Path, *platforms: Platform, nested: bool) -> list[Manifest]:
    """Write an OCI layout of images for these platforms, listed one by one or in one index."""
    manifests = []
    with ArchiveWriter(path) as archive:
        entries = []
        for platform in platforms:
            content = tar((f"{platform.architecture}", {}, b""))
            packed = gzip.compress(content, mtime=0)
            config = ImageConfig(platform, diff_ids=(Digest.of(content),))
            layer = Descriptor.of(LAYER_GZIP, packed)
            manifest = Manifest(config.descriptor(), (layer,))
            manifests.append(manifest)
            for descriptor, blob in (
                (layer, packed),
                (manifest.config, config.to_json()),
                (manifest.descriptor(), manifest.to_json()),
            ):
                archive.put(descriptor, lambda blob=blob: io.BytesIO(blob))
            entries.append(replace(manifest.descriptor(), platform=platform))
        if nested:
            index = Index(tuple(entries))
            archive.put(Descriptor.of(INDEX, index.to_json()), lambda: io.BytesIO(index.to_json()))
            archive.root(Descriptor.of(INDEX, index.to_json()))
        else:
            for entry in entries:
                archive.root(entry)
    return manifests


@pytest.mark.parametrize(("platforms", "nested"), [((AMD64,), False), ((ARM64, AMD64), True)])
def test_a_layout_gives_the_image_of_the_platform(shop, tmp_path, platforms, nested):
    layout(tmp_path / "oci.tar", *platforms, nested=nested)
    image = normalised(shop, of_layout(tmp_path / "oci.tar", AMD64))
    assert image.platform == AMD64
    assert set(unpacked.of_archive(shop.output)) == {"amd64"}


def test_a_layout_without_the_platform_or_with_two_images_is_an_error(tmp_path):
    layout(tmp_path / "oci.tar", ARM64, nested=True)
    with pytest.raises(InvalidOutput, match="holds 0 images for linux/amd64, not one"):
        of_layout(tmp_path / "oci.tar", AMD64)
    layout(tmp_path / "oci.tar", AMD64, ARM64, nested=False)
    with pytest.raises(InvalidOutput, match="holds 2 images"):
        of_layout(tmp_path / "oci.tar", AMD64)


def saved(path: Path, *entries: tuple[str, dict[str, object], bytes], listed: object = None) -> Path:
    manifest = json.dumps(listed).encode() if listed is not None else b"?"
    path.write_bytes(tar(*entries, ("manifest.json", {}, manifest)))
    return path


def test_docker_save_is_read_with_a_layer_that_is_a_link_to_another(shop, tmp_path):
    empty = tar()
    what = made(tar(FOLDER), empty, empty)
    path = saved(
        tmp_path / "saved.tar",
        ("abc.json", {}, what.config),
        ("1/layer.tar", {}, tar(FOLDER)),
        ("2/layer.tar", {}, empty),
        ("3/layer.tar", {"type": tarfile.SYMTYPE, "linkname": "../2/layer.tar"}, b""),
        listed=[{"Config": "abc.json", "RepoTags": ["x:1"], "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]}],
    )
    image = normalised(shop, of_save(path))
    assert len(image.layers) == 3
    assert image.layers[1] == image.layers[2]
    assert set(unpacked.of_archive(shop.output)) == {"etc"}


@pytest.mark.parametrize(
    "listed", [None, [], {}, [{"Config": "no.json", "Layers": []}], [{"Config": "c.json", "Layers": []}] * 2]
)
def test_what_is_no_docker_save_is_an_error(tmp_path, listed):
    path = saved(tmp_path / "saved.tar", ("c.json", {}, b"{}"), listed=listed)
    with pytest.raises(InvalidOutput):
        of_save(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InvalidOutput, match="is nothing that 'docker save' writes"):
        of_save(path)
