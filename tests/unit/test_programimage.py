"""The Dockerfile of an image of one program, word for word, and what it takes that is not the project's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiarch_oci.platform import Platform
from multiarch_oci.programimage import (
    NoProgramImage,
    ProgramImage,
    WrongPlace,
    certificates,
    certificates_at,
    given,
    zone_files,
    zone_files_at,
)
from multiarch_oci.programimage import Packaged as Files


def image(platform: str = "linux/amd64", program: str = "out/app", **more) -> ProgramImage:
    return ProgramImage(Platform.parse(platform), program, **more)


@pytest.mark.parametrize(
    ("platform", "program", "copied"),
    [
        ("linux/amd64", "_output/bin/amd64/linux/app", "COPY _output/bin/{} /app"),
        ("linux/arm/v7", "_output/bin/arm-v7/linux/app", "COPY _output/bin/{} /app"),
        ("linux/arm/v7", "_output/bin/arm/linux/app", "COPY _output/bin/arm/linux/app /app"),
        ("linux/arm64", "amd64/linux/app", "COPY amd64/linux/app /app"),
        ("linux/arm64", "arm64/linux/app", "COPY {} /app"),
        ("linux/arm64", "a b/$x", 'COPY ["a b/\\\\$x", "/\\\\$x"]'),
        ("linux/arm64", "--from=x", 'COPY ["--from=x", "/--from=x"]'),
    ],
)
def test_the_program_is_copied_for_all_platforms_where_they_lie_side_by_side(platform: str, program: str, copied: str):
    path = "${TARGETARCH}${TARGETVARIANT:+-${TARGETVARIANT}}/${TARGETOS}/app"
    lines = image(platform, program).dockerfile().splitlines()
    assert copied.format(path) in lines
    assert ("ARG TARGETOS TARGETARCH TARGETVARIANT" in lines) == ("{}" in copied)


@pytest.mark.parametrize("path", ["a*", "a?", "[a]", 'a"b', "a'b", "a\\b", "a\nb"])
def test_names_that_no_dockerfile_can_say_are_refused(path: str):
    with pytest.raises(NoProgramImage, match="cannot be copied by its name"):
        image(program=f"out/{path}").dockerfile()
    with pytest.raises(NoProgramImage):
        image(assets=path).dockerfile()


@pytest.mark.parametrize(
    ("platform", "base", "expected"),
    [
        ("linux/riscv64", "", "scratch"),
        ("linux/amd64", "alpine:3", "alpine:3"),
        ("windows/amd64", "", "mcr.microsoft.com/windows/nanoserver:ltsc2022"),
        ("windows(10.0.20348.9999)/amd64", "", "mcr.microsoft.com/windows/nanoserver:ltsc2022"),
        ("windows(10.0.17763)/amd64", "", "mcr.microsoft.com/windows/nanoserver:1809"),
        ("windows(10.0.1)/amd64", "own:1", "own:1"),
    ],
)
def test_the_base_is_that_of_the_platform_unless_one_is_given(platform: str, base: str, expected: str):
    assert image(platform, base=base).base_image() == expected
    assert image(platform, base=base).dockerfile().startswith(f"FROM {expected}\n")


def test_a_base_that_is_given_has_nothing_of_ours_added():
    text = image(base="scratch", assets="data", zoneinfo=True).dockerfile()
    assert text.splitlines() == [
        "FROM scratch",
        "COPY _output/scratch/usr/share/zoneinfo /usr/share/zoneinfo",
        "COPY data /var/run/ko",
        "ENV KO_DATA_PATH=/var/run/ko",
        "COPY out/app /app",
        "USER 65532:65532",
        "WORKDIR /",
        'ENTRYPOINT ["/app"]',
    ]


def test_on_windows_paths_are_those_of_windows():
    lines = image("windows/amd64", "out/app.exe", assets="data").dockerfile().splitlines()
    assert lines[1:] == [
        "COPY data /var/run/ko",
        "ENV KO_DATA_PATH=C:\\\\var\\\\run\\\\ko",
        "COPY out/app.exe /app.exe",
        "USER ContainerUser",
        "WORKDIR /",
        'ENTRYPOINT ["C:\\\\app.exe"]',
    ]


def test_what_bytes_come_from_is_said_where_they_count():
    authorities, times = Files(certificates().path, "1"), Files(certificates().path.parent, "2")
    assert image().remarks(authorities) == (("BASE_IMAGE", "scratch"), ("certifi", "1"))
    assert image(base="x").remarks(authorities) == (("BASE_IMAGE", "x"),)
    assert image(zoneinfo=True).remarks(authorities, times)[-1] == ("tzdata", "2")


def test_the_certificates_are_found_without_importing_their_package():
    found = certificates()
    assert found.path.read_bytes().count(b"BEGIN CERTIFICATE") > 50
    assert found.version
    assert [file.path for file in given(found) if not (file.origin or file.content)] == []


def test_of_the_time_zones_the_modules_of_their_package_are_left_out(tmp_path):
    for path in ("Europe/Berlin", "Europe/__init__.py", "__pycache__/x.pyc", "zone.tab", "__init__.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    files = zone_files(Files(tmp_path, "1"), "zones")
    assert [file.path for file in files] == ["zones/Europe/Berlin", "zones/zone.tab"]


AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"


@pytest.mark.parametrize(
    ("path", "into", "file"),
    [
        ("etc/ssl/certs", False, AUTHORITIES),  # a folder in every distribution
        ("etc/ssl/certs", True, AUTHORITIES),
        ("etc/ssl", False, AUTHORITIES),
        ("etc/ssl", True, AUTHORITIES),
        ("etc", False, AUTHORITIES),
        (AUTHORITIES, False, AUTHORITIES),
        ("etc/ssl/cert.pem", False, "etc/ssl/cert.pem"),
        ("etc/pki/tls/certs", True, "etc/pki/tls/certs/ca-certificates.crt"),
        ("", True, "ca-certificates.crt"),
    ],
)
def test_certificates_are_where_programs_look_for_them(path: str, into: bool, file: str):
    assert certificates_at(path, into=into) == file


@pytest.mark.parametrize("path", ["certs", "etc/pki/tls/certs", "etc/pki/ca-trust", "", "root/.certs"])
def test_a_path_of_certificates_that_may_be_a_folder_is_an_error(path: str):
    with pytest.raises(WrongPlace, match=f"'/{re.escape(path)}' may be a folder\n  hint: say the file, as \"/"):
        certificates_at(path, into=False)


@pytest.mark.parametrize(
    ("path", "into", "files"),
    [
        ("usr/share/zoneinfo", False, ["usr/share/zoneinfo/Europe/Berlin", "usr/share/zoneinfo/UTC"]),
        ("usr/share/zoneinfo", True, ["usr/share/zoneinfo/Europe/Berlin", "usr/share/zoneinfo/UTC"]),
        ("usr/share", False, ["usr/share/zoneinfo/Europe/Berlin", "usr/share/zoneinfo/UTC"]),
        ("usr", False, ["usr/share/zoneinfo/Europe/Berlin", "usr/share/zoneinfo/UTC"]),
        ("usr/share/zoneinfo/UTC", False, ["usr/share/zoneinfo/UTC"]),
        ("usr/share/zoneinfo/Europe", False, ["usr/share/zoneinfo/Europe/Berlin"]),
        ("zones", False, ["zones/Europe/Berlin", "zones/UTC"]),
        ("opt", True, ["opt/zoneinfo/Europe/Berlin", "opt/zoneinfo/UTC"]),
        ("", False, ["Europe/Berlin", "UTC"]),
    ],
)
def test_time_zones_are_where_programs_look_for_them(tmp_path: Path, path: str, into: bool, files: list[str]):
    assert [file.path for file in zone_files_at(some_zones(tmp_path), path, into=into)] == files


@pytest.mark.parametrize("path", ["etc/localtime", "zoneinfo.zip", "usr/share/zoneinfo/Mars"])
def test_a_path_of_time_zones_that_is_a_file_everywhere_is_an_error(tmp_path: Path, path: str):
    with pytest.raises(WrongPlace, match=f'/{path}.*\n  hint: say "/usr/share/zoneinfo"'):
        list(zone_files_at(some_zones(tmp_path), path, into=False))


def some_zones(folder: Path) -> Files:
    (folder / "Europe").mkdir()
    for name in ("UTC", "Europe/Berlin"):
        (folder / name).write_bytes(b"TZif")
    return Files(folder, "2025.1")


@pytest.mark.parametrize(
    ("program", "more"),
    [("out/tmp", {}), ("etc", {}), ("var", {"assets": "data"}), ("a/usr", {"zoneinfo": True, "base": "alpine:3"})],
)
def test_a_program_that_is_called_as_a_folder_of_the_image_is_an_error(program: str, more: dict):
    with pytest.raises(NoProgramImage, match="which is a folder of the image\\n  hint: give the program another name"):
        image(program=program, **more).dockerfile()


@pytest.mark.parametrize("program", ["var", "usr", "Tmp", "tmp.exe", "home"])
def test_a_program_that_is_called_as_no_folder_of_the_image_is_none(program: str):
    assert f'ENTRYPOINT ["/{program}"]' in image(program=program).dockerfile()
