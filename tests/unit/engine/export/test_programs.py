from __future__ import annotations

import re

import pytest

from multiarch_oci.config import ImageConfig
from multiarch_oci.engine.export.programs import entrypoint_line
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.executable import WrongMachine
from multiarch_oci.platform import Platform
from workshop import AMD64, elf

WRONG = "/app/demo: is an ARM64 ELF, but the image is linux/amd64"


@pytest.fixture(autouse=True)
def programs(shop):
    shop.write("arm", elf("arm64"), mode=0o755)
    shop.write("amd", elf("amd64"), mode=0o755)


@pytest.mark.parametrize(
    "start",
    [
        'ENTRYPOINT ["/app/demo"]',
        'CMD ["/app/demo", "-x"]',
        'ENTRYPOINT ["/app/../app//demo"]',
        'WORKDIR /app\nENTRYPOINT ["./demo"]',
        'ENV PATH=/bin:/app\nENTRYPOINT ["demo"]',
        "ENTRYPOINT /app/demo --flag",
        "CMD exec /app/demo $X",
        'SHELL ["/busy", "-c"]\nCMD /app/demo',
        'COPY l /l\nENTRYPOINT ["/l/demo"]',
    ],
)
def test_a_program_of_another_machine_is_an_error(shop, start):
    (shop.folder / "l").mkdir()
    (shop.folder / "l/demo").symlink_to("../app/demo")
    with pytest.raises(WrongMachine) as caught:
        shop.build(f"FROM scratch\nCOPY arm /app/demo\n{start}\n")
    assert re.match(rf"Dockerfile\.test:\d+: {WRONG}\n", str(caught.value))
    assert not shop.output.exists()


def test_foreign_globs_let_the_program_in(shop):
    text = 'FROM scratch\nCOPY arm /app/demo\nCOPY l /l\nENTRYPOINT ["{}"]\n'
    (shop.folder / "l").mkdir()
    (shop.folder / "l/demo").symlink_to("../app/demo")
    for glob, started in (
        ("**", "/app/demo"),
        ("/app/demo", "/app/demo"),
        ("app/*", "/l/demo"),
        ("/l/demo", "/l/demo"),
    ):
        shop.build(text.format(started), foreign=(glob,))
    assert shop.warnings == []
    with pytest.raises(WrongMachine, match=r"hint: .*; or let it in where it is meant to be there: foreign=\["):
        shop.build(text.format("/app/demo"), foreign=("/other",))


def test_other_foreign_programs_are_told_and_silenced(shop):
    text = 'FROM scratch\nCOPY amd /app/demo\nCOPY arm /x/a\nCOPY arm /x/b\nENTRYPOINT ["/app/demo"]\n'
    shop.build(text)
    assert shop.warnings == ["the image is linux/amd64, but holds /x/a (ARM64 ELF), /x/b (ARM64 ELF)"]
    shop.warnings.clear()
    shop.build(text, foreign=("/x/a",))
    assert shop.warnings == ["the image is linux/amd64, but holds /x/b (ARM64 ELF)"]
    shop.warnings.clear()
    shop.build(text, foreign=("x/*",))
    assert shop.warnings == []


def test_what_a_later_layer_replaced_does_not_count(shop):
    shop.build('FROM scratch\nCOPY arm /demo\nCOPY amd /demo\nENTRYPOINT ["/demo"]\n')
    assert shop.warnings == []


def test_windows_finds_its_program_as_windows_does(shop):
    pe = bytearray(elf("amd64").ljust(512, b"\0"))
    pe[:2], pe[0x3C:0x40] = b"MZ", (0x80).to_bytes(4, "little")
    pe[0x80:0x86] = b"PE\0\0" + (0xAA64).to_bytes(2, "little")
    pe[0x94:0x96], pe[0x98:0x9A] = (0xF0).to_bytes(2, "little"), (0x20B).to_bytes(2, "little")
    pe[0x96:0x98] = (0x22).to_bytes(2, "little")
    shop.write("demo.exe", bytes(pe))
    shop.platform = Platform.parse("windows/amd64")
    for start in ('["C:\\\\App\\\\DEMO"]', '["c:/app/demo.exe"]'):
        with pytest.raises(WrongMachine, match=r"/app/demo\.exe: is an ARM64 PE, but the image is windows/amd64"):
            shop.build(f"FROM scratch\nCOPY demo.exe C:/app/demo.exe\nENTRYPOINT {start}\n")
    for start in (
        'ENTRYPOINT ["demo.exe"]',
        "ENTRYPOINT demo.exe -x",
        'CMD ["DEMO"]',
        'WORKDIR C:/\nENTRYPOINT ["demo.exe"]',
        'WORKDIR C:/other\nENV PATH="C:\\\\Windows;C:\\\\"\nENTRYPOINT ["demo"]',
        'SHELL ["powershell", "-Command", "$ErrorActionPreference = \'Stop\';"]\nCMD C:/demo.exe -x',
    ):
        with pytest.raises(WrongMachine, match=r"/demo\.exe: is an ARM64 PE, but the image is windows/amd64"):
            shop.build(f"FROM scratch\nCOPY demo.exe C:/demo.exe\n{start}\n")


@pytest.mark.parametrize(
    ("text", "config", "line"),
    [
        ("FROM scratch\nENTRYPOINT /old\nENTRYPOINT /demo\nCMD x\n", {"entrypoint": ("/demo",)}, "3"),
        ("FROM scratch AS a\nENTRYPOINT /demo\nFROM a\nCMD x\n", {"entrypoint": ("/demo",)}, "2"),
        ("FROM scratch\nCMD /demo\n", {"cmd": ("/demo",)}, "2"),
        ("FROM scratch\nCMD x\n", {"entrypoint": ("/of-the-base",), "cmd": ("x",)}, ""),
    ],
    ids=["the last ENTRYPOINT", "a stage below", "CMD alone", "the base"],
)
def test_the_line_that_says_what_is_started_is_known(shop, text, config, line):
    found = entrypoint_line(Reader().recipe(shop.plan(text)), ImageConfig(AMD64, **config))
    assert found == (f"Dockerfile.test:{line}" if line else "")


def test_an_error_names_the_line_and_the_file(shop):
    shop.write("demo", elf("arm64"), mode=0o755)
    with pytest.raises(WrongMachine, match=r"^Dockerfile.test:3: /demo: is an ARM64 ELF, but the image is linux/amd64"):
        shop.build('FROM scratch\nCOPY demo /\nENTRYPOINT ["/demo"]\n')
