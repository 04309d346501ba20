"""What every engine promises, asked of each engine at hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from multiarch.descriptor import BASE_DIGEST
from multiarch.engine import Engine
from multiarch.engine.embedded import EmbeddedEngine
from multiarch.errors import MultiarchError
from multiarch.executable import WrongMachine
from multiarch.layer import Entry
from multiarch.platform import Platform
from multiarch.store import read
from multiarch.store.archive import Archive
from unpacked import Found, merged, of_tar
from workshop import Workshop, elf

ARM64 = Platform.parse("linux/arm64")


def embedded(shop: Workshop) -> Engine:
    return EmbeddedEngine(lambda _: shop.store, shop.warnings.append)


ENGINES: dict[str, Callable[[Workshop], Engine]] = {"embedded": embedded}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "context"
    folder.mkdir()
    made = Workshop(folder, platform=ARM64)
    made.write("demo", elf("arm64"), mode=0o755)
    made.write("web/index.html", "<html>")
    return made


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, shop: Workshop) -> Engine:
    return ENGINES[request.param](shop)


TEXT = """ARG BASE=scratch
FROM $BASE
ARG TARGETARCH
ENV ARCH=$TARGETARCH
LABEL a=1
WORKDIR /srv
COPY web ./web
COPY --chown=1000:1001 demo /demo
ENTRYPOINT ["/demo"]
CMD ["-serve"]
"""


def test_it_says_its_name(engine):
    assert engine.name in ENGINES


def test_it_ends_in_a_tarball_of_one_image_of_the_platform(shop, engine):
    plan = shop.plan(TEXT, labels=(("b", "2"),), epoch=1_700_000_000)
    assert engine.refusal(plan) is None
    returned = engine.build(plan, shop.output)
    archive = Archive(shop.output)
    image = archive.image()
    assert returned.bare() == image.descriptor.bare()
    assert returned.platform == ARM64
    assert image.platform == ARM64
    assert image.missing == ()
    config = image.config
    assert config.created == "2023-11-14T22:13:20Z"
    assert config.variable("ARCH") == "arm64"
    assert dict(config.labels) == {"a": "1", "b": "2"}
    assert (config.entrypoint, config.cmd, config.working_dir) == (("/demo",), ("-serve",), "/srv")
    assert len(config.diff_ids) == len(image.layers)
    files = merged(of_tar(io.BytesIO(archive.open(layer).read())) for layer in image.layers)
    assert files["demo"].owner == "1000:1001"
    assert files["demo"].mode == "0o755"
    assert files["srv/web"] == Found("d", "0o755", "0:0", "")
    assert set(files) == {"demo", "srv", "srv/web", "srv/web/index.html"}


def test_equal_plans_are_equal_manifests(shop, engine, tmp_path):
    first = engine.build(shop.plan(TEXT), tmp_path / "1.tar")
    assert engine.build(shop.plan(TEXT), tmp_path / "2.tar") == first


def test_a_base_stays_a_descriptor_and_is_named(shop, engine):
    base = shop.base("base", (Entry.of_bytes("base-file", b"x"),))
    image = Archive(shop.output)
    engine.build(shop.plan(TEXT, build_args=(("BASE", "base"),)), shop.output)
    found = image.image()
    assert [layer.digest in image.held for layer in found.layers] == [False, True, True, True]
    assert found.descriptor.annotation(BASE_DIGEST) == str(base.digest)
    assert found.base is not None
    assert found.base.digest == base.digest
    root = shop.store.resolve(str(base.digest))
    assert root is not None
    assert b'"layers"' in read(shop.store, root)


def test_a_program_of_another_machine_never_becomes_an_image(shop, engine):
    shop.write("demo", elf("amd64"), mode=0o755)
    with pytest.raises(WrongMachine) as caught:
        engine.build(shop.plan(TEXT), shop.output)
    assert str(caught.value).startswith("/demo: is an x86-64 ELF, but the image is linux/arm64")
    assert not shop.output.exists()


def test_a_missing_file_is_an_error_and_the_old_output_stays(shop, engine):
    engine.build(shop.plan(TEXT), shop.output)
    before = shop.output.read_bytes()
    (shop.folder / "demo").unlink()
    with pytest.raises(MultiarchError, match="demo"):
        engine.build(shop.plan(TEXT), shop.output)
    assert shop.output.read_bytes() == before


def test_a_refused_or_wrong_dockerfile_is_an_error(shop, engine):
    with pytest.raises(MultiarchError):
        engine.build(shop.plan("FROM scratch\nNOPE\n"), shop.output)
    with pytest.raises(MultiarchError):
        engine.build(replace(shop.plan(TEXT), dockerfile=shop.folder / "nowhere"), shop.output)
    assert not shop.output.exists()
