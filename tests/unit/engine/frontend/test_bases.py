from __future__ import annotations

import pytest
from msgspec.structs import replace

from multiarch_oci.config import History, ImageConfig
from multiarch_oci.descriptor import BASE_DIGEST, BASE_NAME
from multiarch_oci.engine import Base
from multiarch_oci.errors import MultiarchError
from multiarch_oci.executable import WrongMachine
from multiarch_oci.layer import Entry
from multiarch_oci.mediatype import LAYER_GZIP, MANIFEST
from multiarch_oci.platform import Platform
from multiarch_oci.store.archive import Archive
from workshop import AMD64, elf

ROOTFS = (
    Entry.directory("usr"),
    Entry.directory("usr/bin"),
    Entry.symlink("bin", "usr/bin"),
    Entry.directory("tmp", mode=0o1777),
    Entry.directory("etc"),
    Entry.of_bytes("etc/passwd", b"root:x:0:0::/:/x\napp:x:100:101::/:/x\n"),
    Entry.of_bytes("etc/group", b"root:x:0:\nstaff:x:50:\n"),
    Entry.directory("home"),
    Entry.directory("home/app", mode=0o700, uid=100, gid=101),
    Entry.of_bytes("usr/bin/tool", b"tool", mode=0o4755),
    Entry.hardlink("usr/bin/again", "usr/bin/tool"),
)


def test_config_history_and_layers_are_taken_over(shop):
    config = ImageConfig(
        AMD64,
        env=("PATH=/p", "B=1"),
        entrypoint=("/e",),
        cmd=("c",),
        history=(History(created_by="base"),),
        created="2020-01-01T00:00:00Z",
        config_others=(("Extra", 1),),
    )
    base = shop.base("base:1", (Entry.of_bytes("f", b"x"),), config=config)
    shop.write("demo")
    image = shop.build("FROM base:1\nENV C=$B\nCOPY demo /app/\n")
    assert image.config.env == ("PATH=/p", "B=1", "C=1")
    assert (image.config.entrypoint, image.config.cmd) == (("/e",), ("c",))
    assert [line.created_by for line in image.config.history] == ["base", "ENV C=1", "COPY demo /app/ # buildkit"]
    assert image.config.config_others == (("Extra", 1),)
    assert image.config.created == "1970-01-01T00:00:00Z"
    assert [layer.media_type for layer in image.layers] == [LAYER_GZIP, LAYER_GZIP]
    assert image.manifest.media_type == MANIFEST
    assert image.missing == image.layers[:1]
    assert dict(image.descriptor.annotations).items() >= {
        (BASE_NAME, "docker.io/library/base:1"),
        (BASE_DIGEST, str(base.digest)),
    }
    assert image.descriptor.platform == AMD64


def test_layers_of_a_base_are_not_read_for_a_folder_of_ones_own(shop):
    shop.base("base", ROOTFS)
    shop.write("demo")
    shop.build("FROM base\nWORKDIR /app\nCOPY demo .\nCOPY demo /data/x/\nUSER 1:1\nWORKDIR /other\n")
    assert not [each for each in shop.store.opened if each.media_type.endswith("gzip")]


def test_a_destination_through_a_link_of_the_base_is_followed(shop):
    shop.base("base", ROOTFS)
    shop.write("demo")
    assert list(shop.files("FROM base\nCOPY demo /bin/demo\n")) == ["usr", "usr/bin", "usr/bin/demo"]


def test_folders_of_the_base_keep_their_modes_and_owners(shop):
    shop.base("base", ROOTFS)
    shop.write("demo")
    found = shop.files("FROM base\nCOPY demo /tmp/demo\nCOPY --chown=app demo /home/app/demo\nWORKDIR /tmp\n")
    assert (found["tmp"].mode, found["home/app"].mode, found["home/app"].owner) == ("0o1777", "0o700", "100:101")
    assert found["home/app/demo"].owner == "100:101"


def test_a_folder_that_the_config_names_is_looked_up(shop):
    config = ImageConfig(AMD64, working_dir="/srv-app")
    shop.base("base", (Entry.directory("srv-app", mode=0o700, uid=5, gid=6),), config=config)
    shop.write("demo")
    found = shop.files("FROM base\nCOPY demo .\n")
    assert (found["srv-app"].mode, found["srv-app"].owner) == ("0o700", "5:6")


def test_files_of_an_image_are_copied_with_modes_and_owners(shop):
    shop.base("tools", ROOTFS)
    found = shop.files("FROM scratch\nCOPY --from=tools /bin/tool /usr/bin/again /t/\nCOPY --from=tools /home /home\n")
    assert found["t/tool"] == found["t/again"]
    assert (found["t/tool"].mode, found["home/app"].owner) == ("0o4755", "100:101")


def test_files_of_a_stage_on_an_image_are_copied(shop):
    shop.base("base", (Entry.of_bytes("opt-x", b"x"), Entry.directory("d"), Entry.of_bytes("d/y", b"y")))
    shop.write("d/z")
    text = "FROM base AS b\nCOPY d /d\nFROM scratch\nCOPY --from=b / /all\n"
    assert list(shop.files(text)) == ["all", "all/d", "all/d/y", "all/d/z", "all/opt-x"]


def test_whiteouts_of_a_base_count(shop):
    shop.base(
        "base",
        (Entry.directory("a"), Entry.of_bytes("a/1", b""), Entry.of_bytes("a/2", b""), Entry.of_bytes("b", b"")),
        (Entry.directory("a"), Entry.whiteout("a/1"), Entry.of_bytes("c", b"")),
        (Entry.directory("a"), Entry.opaque("a"), Entry.of_bytes("a/3", b""), Entry.whiteout("c")),
    )
    assert list(shop.files("FROM scratch\nCOPY --from=base / /x\n")) == ["x", "x/a", "x/a/3", "x/b"]


def test_the_wrong_base_is_an_error(shop):
    shop.base("base", config=ImageConfig(AMD64))
    arm = Platform.parse("linux/arm64")
    plan = shop.plan("FROM base\n", platform=arm, bases=(replace(shop.bases[0], platform=arm),))
    with pytest.raises(WrongMachine) as caught:
        shop.engine().build(plan, shop.output)
    assert str(caught.value) == (
        "Dockerfile.test:1: base base is linux/amd64, but the image is linux/arm64\n"
        "  hint: use a base that has this platform; its tag may name a single-platform image"
    )


def test_a_base_of_another_platform_asked_for_by_name_is_an_error_too(shop):
    shop.base("base", config=ImageConfig(AMD64))
    arm = Platform.parse("linux/arm64")
    plan = shop.plan("FROM --platform=linux/amd64 base AS x\nFROM x\n", platform=arm, bases=shop.bases)
    with pytest.raises(
        WrongMachine, match=r"Dockerfile\.test:1: base base is linux/amd64, but the image is linux/arm64"
    ):
        shop.engine().build(plan, shop.output)


@pytest.mark.parametrize("asked", ["windows/amd64", "windows(10.0.20348)/amd64", "windows(10.0.20348.7)/amd64"])
def test_a_windows_image_has_the_version_of_its_base(shop, asked):
    shop.platform = Platform.parse(asked)
    found = Platform("windows", "amd64", os_version="10.0.20348.2849", os_features=("win32k",))
    shop.base("nano", config=ImageConfig(found))
    shop.write("demo.exe", b"x")
    image = shop.build("FROM nano\nCOPY demo.exe C:/demo.exe\n")
    assert image.config.platform == found
    assert image.descriptor.platform == found


@pytest.mark.parametrize("asked", ["windows/amd64", "windows(10.0.20348)/amd64"])
def test_over_a_windows_base_that_says_no_version_the_declared_one_counts(shop, asked):
    shop.platform = Platform.parse(asked)
    shop.base("win:1", config=ImageConfig(Platform.parse("windows/amd64")))
    image = shop.build("FROM win:1\n")
    assert image.config.platform == image.descriptor.platform == shop.platform


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (Platform("linux", "arm64", "armv8"), "linux/arm64"),
        (Platform("linux", "arm64v8"), "linux/arm64"),
        (Platform("linux", "arm"), "linux/arm/v6"),
        (Platform("Linux", "x86_64", "unknown"), "linux/amd64"),
    ],
)
def test_a_base_that_misspells_its_platform_is_of_the_one_that_it_means(shop, found, asked):
    shop.platform = Platform.parse(asked)
    shop.base("base:1", config=ImageConfig(found))
    assert shop.build("FROM base:1\n").config.platform == shop.platform


def test_another_windows_version_is_an_error(shop):
    shop.platform = Platform.parse("windows(10.0.17763)/amd64")
    shop.base("nano", config=ImageConfig(Platform("windows", "amd64", os_version="10.0.20348.2849")))
    with pytest.raises(WrongMachine, match=r"base nano is Windows 10.0.20348.2849, but the image is for 10.0.17763"):
        shop.build("FROM nano\n")


def test_a_base_that_is_gone_is_an_error(shop):
    base = shop.base("base")
    shop.bases = (Base("base", AMD64, replace(base.digest, hex="0" * 64)),)
    with pytest.raises(MultiarchError) as caught:
        shop.build("FROM base\n")
    assert str(caught.value).startswith(f"Dockerfile.test:1: base base is gone: docker.io has no sha256:{'0' * 64}")


def test_onbuild_of_the_base_is_executed_once(shop):
    shop.base("base", config=ImageConfig(AMD64, on_build=("COPY --from=tools /t /t", "ENV X=1")))
    shop.base("tools", (Entry.of_bytes("t", b""),))
    image = shop.build("FROM base AS b\nFROM b\nENV Y=$X\n")
    assert image.config.on_build == ()
    assert image.config.variable("Y") == "1"
    assert len(image.layers) == 1


def test_a_damaged_layer_is_an_error(shop):
    shop.base("base", b"this is no tar" * 100)
    with pytest.raises(MultiarchError, match=r"layer sha256:.*: is no tar archive"):
        shop.build("FROM scratch\nCOPY --from=base / /\n")


def test_a_layer_that_leads_out_is_an_error(shop):
    from workshop import tar

    shop.base("base", tar(("../../evil", {}, b"x")))
    with pytest.raises(MultiarchError, match="leads out of the archive"):
        shop.build("FROM scratch\nCOPY --from=base / /\n")


def test_base_layers_are_not_in_the_tarball(shop):
    shop.base("base", ROOTFS)
    shop.write("demo", elf("amd64"), mode=0o755)
    image = shop.build('FROM base\nCOPY demo /bin/demo\nENTRYPOINT ["demo"]\n')
    assert [layer.digest in Archive(shop.output).held for layer in image.layers] == [False, True]
