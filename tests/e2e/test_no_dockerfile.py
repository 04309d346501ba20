"""Images without a Dockerfile: what they hold, that the Dockerfile which is shown makes the same, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
from pathlib import Path

import certifi
import pytest
import tzdata

import unpacked
from machines.bases import push_image
from machines.project import Project
from machines.registry import Registry
from multiarch_oci.config import ImageConfig
from multiarch_oci.store.archive import Archive

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "go_binary", "oci_image", "oci_targets"], DEFAULTS={"VERSION": "v1"})
images = []
for platform in env["PLATFORMS"]:
    ending = ".exe" if platform.os == "windows" else ""
    program = env.GoBinary(f"_output/bin/{platform.directory}/whoami{ending}", platform=platform)
    images += env.Image(f"_output/images/whoami-{platform.slug}.tar", program, platform=platform)
env.Targets(images=images)
"""
LINUX = [f"_output/images/whoami-linux-{arch}.tar" for arch in ("amd64", "arm64")]
GENERATED = """\
FROM scratch
COPY _output/scratch/etc /etc
ADD _output/scratch/folders.tar /
ARG TARGETOS TARGETARCH TARGETVARIANT
COPY _output/bin/${TARGETARCH}${TARGETVARIANT:+-${TARGETVARIANT}}/${TARGETOS}/whoami /whoami
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/whoami"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a Go program with three lines about it, and no Dockerfile."""
    files = {
        "SConstruct": SCONSTRUCT,
        "go.mod": "module example.com/whoami\n\ngo 1.21\n",
        "main.go": 'package main\n\nfunc main() { println("whoami") }\n',
    }
    return Project.linked(tmp_path / "project", files)


def files(project: Project, path: str) -> dict[str, unpacked.Found]:
    return unpacked.of_archive(project.path / path)


def config(project: Project, path: str) -> ImageConfig:
    return Archive(project.path / path).image().config


def digests(project: Project, paths: list[str] = LINUX) -> list[str]:
    return [str(Archive(project.path / path).image().descriptor.digest) for path in paths]


def test_a_program_becomes_the_image_that_ko_would_make_with_what_scratch_lacks(project: Project):
    project.scons("images")
    held = files(project, LINUX[1])
    assert sorted(path for path, found in held.items() if found.kind == "f") == [
        "etc/group",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "whoami",
    ]
    assert (held["tmp"].kind, held["tmp"].mode, held["whoami"].mode) == ("d", "0o1777", "0o755")
    assert {found.mode for path, found in held.items() if found.kind == "d" and path != "tmp"} == {"0o755"}
    authorities = hashlib.sha256(Path(certifi.where()).read_bytes()).hexdigest()
    assert held["etc/ssl/certs/ca-certificates.crt"].content == authorities
    made = config(project, LINUX[1])
    assert (made.user, made.working_dir, made.entrypoint, made.cmd) == ("65532:65532", "/", ("/whoami",), None)
    assert str(made.platform) == "linux/arm64"
    again = project.scons("images", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert again.up_to_date
    assert "multiarch_oci.engine.frontend.cached_inputs" in again.text
    assert "multiarch_oci.engine.frontend.reader" not in again.text  # what it takes is known from before


def test_the_dockerfile_that_is_shown_makes_the_same_images_from_the_same_folder(project: Project):
    shown = project.scons("-Q", "dockerfile").text
    assert shown == GENERATED
    assert not (project.path / "_output").exists()
    made = {}
    for name in ("without", "fresh", "after"):
        if name != "without":
            project.edit("Dockerfile", shown)
            project.edit(
                "SConstruct", SCONSTRUCT.replace("program, platform", 'program, dockerfile="Dockerfile", platform')
            )
        if name == "fresh":
            shutil.rmtree(project.path / "_output")
        project.scons("images")
        made[name] = digests(project)
    assert made["fresh"] == made["without"] == made["after"]
    assert project.scons("-Q", "dockerfile").text == shown
    # `docker build` finds everything where the Dockerfile says, too.
    assert (project.path / "_output/scratch/etc/ssl/certs/ca-certificates.crt").read_bytes()
    assert (project.path / "_output/scratch/folders.tar").is_file()


def test_an_ignore_file_leaves_nothing_out_of_an_image_without_dockerfile(project: Project):
    project.edit(".dockerignore", "*\n")
    project.scons("images")
    assert "whoami" in files(project, LINUX[0])
    project.edit(".dockerignore", "**\n")
    assert project.scons("images").up_to_date


def test_none_makes_it_though_a_dockerfile_is_there(project: Project):
    project.edit("Dockerfile", "FROM scratch\nCOPY main.go /\n")
    project.edit("SConstruct", SCONSTRUCT.replace("program, platform", "program, dockerfile=None, platform"))
    project.scons("images")
    assert "whoami" in files(project, LINUX[0])
    project.edit("Dockerfile", "FROM scratch\nCOPY go.mod /\n")
    assert project.scons("images").up_to_date


def test_windows_has_nanoserver_of_the_version_that_is_asked_for(project: Project):
    asked = "PLATFORMS=linux/arm/v7,windows/amd64,windows(10.0.26100)/amd64,windows(10.0.17763.1)/amd64"
    shown = project.scons("-Q", "dockerfile", asked).text
    assert (
        "# linux/arm/v7: Dockerfile.linux-arm-v7\nFROM scratch\n" in shown
        or "Dockerfile.linux\nFROM scratch\n" in shown
    )
    for tag in ("ltsc2022", "ltsc2025", "1809"):
        assert f"FROM mcr.microsoft.com/windows/nanoserver:{tag}\n" in shown
    windows = shown[shown.index("FROM mcr") :]
    assert windows.startswith(
        """\
FROM mcr.microsoft.com/windows/nanoserver:ltsc2022
ARG TARGETOS TARGETARCH TARGETVARIANT
COPY _output/bin/${TARGETARCH}${TARGETVARIANT:+-${TARGETVARIANT}}/${TARGETOS}/whoami.exe /whoami.exe
USER ContainerUser
WORKDIR /
ENTRYPOINT ["C:\\\\whoami.exe"]
"""
    )
    ran = project.scons("-Q", "dockerfile", "PLATFORMS=windows(10.0.1)/amd64", check=False)
    assert (ran.status, "BASE_IMAGE: nanoserver has no image of Windows 10.0.1\n  hint: " in ran.text) == (2, True)


def test_base_image_is_any_from_also_by_the_architecture(project: Project, registry: Registry):
    for arch in ("amd64", "arm64"):
        push_image(f"{registry.host}/static:latest-{arch}", f"linux/{arch}", {"of-base": arch.encode()})
    name = f"BASE_IMAGE={registry.host}/static:latest-$TARGETARCH"
    ran = project.scons("images", name)
    assert ran.text.count("images.lock: ") == 2
    held = files(project, LINUX[1])
    assert "whoami" in held
    assert "etc/passwd" not in held
    made = config(project, LINUX[1])
    assert (len(made.diff_ids), made.user, made.entrypoint) == (2, "65532:65532", ("/whoami",))
    assert project.scons("images", name).up_to_date
    ran = project.scons("images")
    assert "BASE_IMAGE: " in ran.text
    assert len(ran.steps) == 2
    ran = project.scons("images", f"BASE_IMAGE={registry.host}/nothing:v1", check=False)
    assert ran.status == 2
    assert "generated Dockerfile:1: " in ran.text
    project.edit("SConstruct", SCONSTRUCT.replace("program, platform", 'program, base_image="scratch", platform'))
    project.scons("images", name)
    assert sorted(files(project, LINUX[0])) == ["whoami"]


def test_assets_lie_where_ko_has_them_and_links_are_followed(project: Project):
    project.edit("kodata/index.html", "hello")
    project.edit("HEAD", "abc")
    (project.path / "kodata/HEAD").symlink_to("../HEAD")
    project.edit("SConstruct", SCONSTRUCT.replace("program, platform", 'program, assets="kodata", platform'))
    project.scons("images")
    held = files(project, LINUX[0])
    assert held["var/run/ko/index.html"].content == hashlib.sha256(b"hello").hexdigest()
    assert (held["var/run/ko/HEAD"].kind, held["var/run/ko/HEAD"].content) == ("f", hashlib.sha256(b"abc").hexdigest())
    assert config(project, LINUX[0]).env[-1] == "KO_DATA_PATH=/var/run/ko"
    assert project.scons("images").up_to_date
    project.edit("HEAD", "def")
    assert "kodata/HEAD changed" in project.scons("images").text
    project.edit("kodata/more.txt", "more")
    assert "kodata/more.txt added" in project.scons("images").text


def of_links(project: Project, assets: str, more: str = "") -> None:
    project.edit("SConstruct", SCONSTRUCT.replace("program, platform", f"program, assets={assets}, platform") + more)


def assets_in(project: Project) -> dict[str, tuple[str, str]]:
    held = files(project, LINUX[0])
    start = "var/run/ko/"
    return {path[len(start) :]: (it.kind, it.content) for path, it in held.items() if path.startswith(start)}


def file_of(content: str) -> tuple[str, str]:
    return "f", hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_in_assets_are_followed_wherever_they_are_and_in_each_run_alike(project: Project, tmp_path: Path):
    maker = project.path / "maker.py"
    maker.write_text(
        "import os, pathlib\nfolder = pathlib.Path('made')\n(folder / 'sub').mkdir(parents=True, exist_ok=True)\n"
        "(folder / 'page').write_text('page')\n(folder / 'sub/deep').write_text('deep')\n"
        "for name, end in (('link', 'page'), ('again', 'sub'), ('sub/up', '../link'), ('later', '../later/text')):\n"
        "    (folder / name).is_symlink() or (folder / name).symlink_to(end)\n"
    )
    more = (
        f"env.Command(Dir('made'), 'maker.py', '{sys.executable} maker.py')\n"
        "env.Command('later/text', 'later.in', Copy('$TARGET', '$SOURCE'))\n"
    )
    project.edit("later.in", "later")
    of_links(project, '"made"', more)
    project.scons("images")
    expected = {
        "page": file_of("page"),
        "link": file_of("page"),
        "again/deep": file_of("deep"),
        "again/up": file_of("page"),
        "sub/deep": file_of("deep"),
        "sub/up": file_of("page"),
        "later": file_of("later"),
    }
    assert {path: what for path, what in assets_in(project).items() if what[0] != "d"} == expected
    made = digests(project)
    assert project.scons("images").up_to_date
    for folder in ("_output", "made", "later"):
        project.remove(folder)
    project.scons("images")
    assert digests(project) == made
    shutil.copytree(project.path / "made", tmp_path / "outside", symlinks=True)
    (tmp_path / "later").mkdir()
    (tmp_path / "later/text").write_text("later")
    of_links(project, repr(str(tmp_path / "outside")))
    project.scons("images")
    assert {path: what for path, what in assets_in(project).items() if what[0] != "d"} == expected
    assert project.scons("images").up_to_date


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_in_assets_that_lead_nowhere_or_round_are_errors(project: Project):
    for name, end, text in (
        ("gone", "nothing", "'kodata/gone' is a link to 'nothing', which is not there"),
        ("round", ".", "'kodata/round' is a link to a folder that it is in"),
        ("root", "/", "'kodata/root' is a link to a folder that it is in"),
    ):
        project.edit("kodata/page", "page")
        link = project.path / "kodata" / name
        link.symlink_to(end)
        of_links(project, '"kodata"')
        ran = project.scons("images", check=False)
        assert (ran.status, text in ran.text, "Traceback" in ran.text) == (2, True, False), ran.text
        link.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_the_shown_dockerfile_says_where_it_would_make_another_image(project: Project, tmp_path: Path):
    project.edit("kodata/page", "page")
    of_links(project, '"kodata"')
    assert project.scons("-Q", "dockerfile").text.startswith("FROM scratch\n")
    (project.path / "kodata/link").symlink_to("page")
    project.edit(".dockerignore", "kodata/p*\n")
    shown = project.scons("-Q", "dockerfile").text
    assert shown.startswith(
        "# kodata holds links: the image has what they lead to, and this COPY would take the links\n"
        "# .dockerignore leaves out kodata/page, which the image has: it is not asked without a Dockerfile\nFROM "
    )
    outside = tmp_path / "outside"
    outside.mkdir()
    of_links(project, repr(str(outside)))
    first = f"# _output/scratch/assets/outside is {outside}, outside of the project: copy it there first\nFROM "
    assert project.scons("-Q", "dockerfile").text.startswith(first)


def test_assets_that_the_build_makes_are_made_first(project: Project):
    text = SCONSTRUCT.replace("program, platform", 'program, assets="made", platform')
    project.edit("SConstruct", text + 'env.Command("made/page.txt", "page.in", Copy("$TARGET", "$SOURCE"))\n')
    project.edit("page.in", "page")
    project.scons("images")
    assert "var/run/ko/page.txt" in files(project, LINUX[0])
    project.edit("page.in", "changed")
    assert len(project.scons("images").steps) == 2


def test_time_zones_come_when_they_are_asked_for(project: Project):
    project.edit("SConstruct", SCONSTRUCT.replace("program, platform", "program, zoneinfo=True, platform"))
    ran = project.scons("images", check=False)
    if ran.status:  # the package is an extra
        assert "the Python package tzdata is not installed, or not with its files\n  hint: pip install" in ran.text
        return
    held = files(project, LINUX[0])
    assert "usr/share/zoneinfo/Europe/Berlin" in held
    assert not [path for path in held if path.endswith(".py") or "__pycache__" in path]
    assert project.scons("images").up_to_date


def test_the_version_of_certifi_is_a_fact_and_a_reason(project: Project, tmp_path: Path):
    project.scons("images")
    newer = tmp_path / "newer/certifi"
    shutil.copytree(Path(certifi.__file__).parent, newer)
    init = newer / "__init__.py"
    init.write_text(init.read_text().replace(certifi.__version__, "2099.01.01"))
    ran = project.scons("images", env={"PYTHONPATH": str(newer.parent)})
    assert len(ran.steps) == 2
    assert f"certifi: '{certifi.__version__}' → '2099.01.01'" in ran.text


INTERPRETER = b"/lib64/ld-linux-x86-64.so.2\0"


def dynamic() -> bytes:
    """Return the head of an amd64 program that wants a loader."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(INTERPRETER), len(INTERPRETER), 1) + INTERPRETER


OF_FILE = """\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "oci_image", "oci_targets"], DEFAULTS={"VERSION": "v1"})
env.Targets(images=env.Image("_output/images/one.tar", CONTENTS, platform="linux/amd64", dockerfile=DOCKERFILE))
"""


def of_file(project: Project, contents: str, dockerfile: str = "None") -> None:
    project.edit("SConstruct", OF_FILE.replace("CONTENTS", contents).replace("DOCKERFILE", dockerfile))


@pytest.mark.skipif(sys.platform == "win32", reason="the file system has no executable bit")
def test_what_cannot_start_over_nothing_is_an_error_that_names_its_interpreter(project: Project, registry: Registry):
    (project.path / "app").write_bytes(dynamic())
    project.edit("script", "#!/usr/bin/env python3\n")
    for name in ("app", "script"):
        (project.path / name).chmod(0o755)
    of_file(project, '"app"')
    ran = project.scons("images", check=False)
    assert ran.status == 2
    assert (
        "generated Dockerfile:7: /app: is a dynamically linked program, whose interpreter is "
        "/lib64/ld-linux-x86-64.so.2, which is not in the image\n  hint: link it statically (Go: CGO_ENABLED=0;"
    ) in ran.text
    assert not (project.path / "_output/images/one.tar").exists()
    push_image(f"{registry.host}/libc:v1", "linux/amd64", {"lib64/ld-linux-x86-64.so.2": b"x"})
    project.scons("images", f"BASE_IMAGE={registry.host}/libc:v1")
    of_file(project, '"script"')
    assert (
        "/script: is a script for /usr/bin/env, which is not in the image" in project.scons("images", check=False).text
    )
    # With a Dockerfile over nothing it is a warning, unless it copies the loader or says that something mounts it.
    of_file(project, '"app"', '"Dockerfile"')
    project.edit("Dockerfile", 'FROM scratch\nCOPY app /app\nENTRYPOINT ["/app", "-v"]\n')
    warned = project.scons("images").text
    assert "warning: Dockerfile:3: /app: is a dynamically linked program" in warned
    assert "/lib64/ld-linux-x86-64.so.2, which is not in the image" in warned
    of_file(project, '"app"', '"Dockerfile", foreign="app"')
    assert "warning" not in project.scons("images").text
    of_file(project, '"app"', '"Dockerfile"')
    project.edit(
        "Dockerfile",
        f"FROM {registry.host}/libc:v1 AS libc\nFROM scratch\nCOPY --from=libc --chmod=755 /lib64 /lib64\n"
        'COPY app /app\nENTRYPOINT ["/app"]\n',
    )
    project.scons("images")


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ("[]", "Image: contents: an image without a Dockerfile holds one program, and was given nothing"),
        ('["main.go", "go.mod"]', "an image without a Dockerfile holds one program, and was given main.go, go.mod"),
        ('env.Dir("site_scons")', "an image without a Dockerfile holds one program, and site_scons is no file"),
        ('"a*b"', "'a*b' cannot be copied by its name"),
    ],
)
def test_what_is_not_one_program_is_an_error(project: Project, contents: str, text: str):
    project.edit("a*b", "")
    of_file(project, contents)
    ran = project.scons("images", check=False)
    assert (ran.status, text in ran.text, "Traceback" in ran.text) == (2, True, False), ran.text


def test_a_program_that_is_called_as_a_folder_of_the_base_is_an_error(project: Project, registry: Registry):
    push_image(f"{registry.host}/folders:v1", "linux/amd64", {"srv/www/page": b"x"})
    project.edit("srv", "a program\n")
    project.edit("app", "a program\n")
    of_file(project, '"srv"')
    project.scons("images")  # over nothing there is no such folder
    ran = project.scons("images", f"BASE_IMAGE={registry.host}/folders:v1", check=False)
    assert (ran.status, "Traceback" in ran.text) == (2, False), ran.text
    assert (
        "generated Dockerfile:5: the program is to be /srv, which is a folder of the base: it would be /srv/srv\n"
        "  hint: give the program another name"
    ) in ran.text
    of_file(project, '"app"')
    project.scons("images", f"BASE_IMAGE={registry.host}/folders:v1")


def test_a_dockerfile_takes_nothing_that_is_for_images_without_one(project: Project):
    of_file(project, '"main.go"', '"Dockerfile", assets="x"')
    project.edit("Dockerfile", "FROM scratch\nCOPY main.go /\n")
    ran = project.scons("images", check=False)
    assert (ran.status, "Image: assets= is for an image without a Dockerfile\n  hint: " in ran.text) == (2, True)


def test_a_program_with_a_space_and_one_outside_of_the_project_are_copied(project: Project, tmp_path: Path):
    program = tmp_path / "my $tool"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + bytes(40))
    program.chmod(0o755)
    of_file(project, repr(str(program).replace("$", "$$")))
    project.scons("images")
    assert files(project, "_output/images/one.tar")["my $tool"].mode == "0o755"
    assert config(project, "_output/images/one.tar").entrypoint == ("/my $tool",)
    assert project.scons("images").up_to_date


def test_the_question_shows_dockerfiles_that_are_there_too(project: Project):
    of_file(project, '"main.go"', '"Dockerfile"')
    project.edit("Dockerfile", "FROM scratch\nCOPY main.go /")
    assert project.scons("-Q", "dockerfile").text == "FROM scratch\nCOPY main.go /\n"
    ran = project.scons("-Q", "dockerfile", "main.go", check=False)
    assert (ran.status, "dockerfile: main.go leads to no image" in ran.text) == (2, True)


CALL = """\
import scons_multiarch
env = scons_multiarch.environment(VERSION="v1")
env.GoImage("whoami"MORE)
"""


def test_a_go_program_in_a_folder_without_dockerfile_needs_three_lines(project: Project):
    project.edit("SConstruct", CALL.replace("MORE", ""))
    assert len(project.scons("images").steps) == 4
    assert max(files(project, LINUX[0])) == "whoami"
    assert project.scons("-Q", "dockerfile").text == GENERATED
    without = digests(project)
    # One that is written down is taken from then on, and is the same image.
    project.edit("Dockerfile", GENERATED)
    assert "Dockerfile added" in project.scons("images").text
    assert digests(project) == without
    project.edit("Dockerfile", "FROM scratch\nCOPY main.go /\n")
    project.scons("images")
    assert sorted(files(project, LINUX[0])) == ["main.go"]
    project.edit("SConstruct", CALL.replace("MORE", ", dockerfile=None"))
    project.scons("images")
    assert digests(project) == without


def test_the_base_image_of_one_chain_is_its_own(project: Project):
    more = ')\nenv.GoImage("other", BASE_IMAGE="scratch"'
    project.edit("SConstruct", CALL.replace("MORE", more))
    project.scons("images")
    assert sorted(files(project, LINUX[0].replace("whoami", "other"))) == ["other"]
    assert len(files(project, LINUX[0])) > 1


def test_each_platform_may_have_a_dockerfile_or_none(project: Project):
    project.edit("Dockerfile.amd64", "FROM scratch\nCOPY main.go /\n")
    more = ', dockerfile={"linux/amd64": "Dockerfile.amd64", "linux/arm64": None}'
    project.edit("SConstruct", CALL.replace("MORE", more))
    project.scons("images")
    assert [max(files(project, path)) for path in LINUX] == ["main.go", "whoami"]


def test_the_packages_of_sconsw_lie_in_the_tree(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.scons("images")
    elsewhere = [hashlib.sha256((project.path / path).read_bytes()).digest() for path in LINUX]
    project.remove("_output")
    packages = project.path / ".multiarch" / "venv" / "packages"
    for package in (certifi, tzdata):
        shutil.copytree(Path(package.__file__).parent, packages / package.__name__)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    project.scons("images")
    assert [hashlib.sha256((project.path / path).read_bytes()).digest() for path in LINUX] == elsewhere
    project.edit("SConstruct", SCONSTRUCT.replace("program, platform=", "program, zoneinfo=True, platform="))
    project.scons("images")
    assert "usr/share/zoneinfo/Europe/Berlin" in files(project, LINUX[0])
