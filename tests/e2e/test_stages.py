"""The Dockerfile that everybody has: the stage that builds is replaced by what this build made."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import certifi
import pytest

import unpacked
from machines.bases import push_image
from machines.project import Project
from machines.registry import Registry
from multiarch_oci.descriptor import BASE_NAME
from multiarch_oci.store.archive import Archive

SCONSTRUCT = """\
import scons_multiarch
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "oci_image", "oci_targets"], DEFAULTS={"VERSION": "v1"})
images = []
for platform in env["PLATFORMS"]:
    program = env.Command(f"out/{platform.slug}/program", "program.in", Copy("$TARGET", "$SOURCE"))
    images += env.Image(
        f"_output/images/app-{platform.slug}.tar", program, dockerfile="Dockerfile", platform=platform, MORE
    )
env.Targets(images=images)
"""
DOCKERFILE = """\
ARG GO
FROM --platform=$BUILDPLATFORM golang:$GO AS build
WORKDIR /src
COPY . .
RUN go build -o /app .

FROM scratch
COPY --from=build /app /app
ENTRYPOINT ["/app"]
"""
IMAGE = "_output/images/app-linux-amd64.tar"
BOTH = ["Image _output/images/app-linux-amd64.tar", "Image _output/images/app-linux-arm64.tar"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a build of a file, and the Dockerfile of somebody else."""
    made = Project.linked(tmp_path / "project", {"program.in": "the program\n", "Dockerfile": DOCKERFILE})
    stages(made, '{"build": "/app"}')
    return made


def stages(project: Project, text: str) -> None:
    project.edit("SConstruct", SCONSTRUCT.replace("MORE", f"stages={text}"))


def files(project: Project, path: str = IMAGE) -> dict[str, str]:
    return {
        name: found.content for name, found in unpacked.of_archive(project.path / path).items() if found.kind == "f"
    }


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PROGRAM = {"app": sha(b"the program\n")}


def fails(project: Project, *arguments: str) -> str:
    ran = project.scons(*(arguments or ("images",)), check=False)
    assert ran.status == 2, ran.text
    assert "Traceback" not in ran.text
    return ran.text


def test_the_program_stands_in_the_place_of_the_stage_which_nobody_looks_at(project: Project):
    assert sorted(project.scons("images").steps) == BOTH  # GO has no value, and no registry has golang
    assert files(project) == PROGRAM
    assert not (project.path / "images.lock").exists()
    assert project.scons("images").up_to_date
    assert project.scons("update-bases").text.count("golang") == 0
    assert "all bases are as images.lock has them" in project.scons("check-bases").text
    project.edit("program.in", "changed\n")
    again = project.scons("images")
    assert (again.steps.sort(), files(project)) == (None, {"app": sha(b"changed\n")})
    assert "build//app changed" in again.text
    project.edit("Dockerfile", DOCKERFILE.replace("COPY . .", "COPY go.mod ."))
    project.scons("images")
    assert files(project) == {"app": sha(b"changed\n")}


@pytest.mark.parametrize(
    "text",
    [
        '{0: "/app"}',
        '{"0": "app"}',
        '{"BUILD": {"/app": program}}',
        '{"build": {"/app": "program.in"}}',
        '{"build": {"/": [program, "program.in"], "/app": scons_multiarch.PROGRAM}}',
        'lambda platform: {"build": {"/app": program}}',
        '{"build": lambda platform: "/app"}',
        '{"linux/amd64": {"build": "/app"}, "linux/arm64": {0: "/app"}}',
        '{"build": ["/other", {"/app": program}]}',
    ],
)
def test_a_stage_is_named_or_numbered_and_given_in_many_ways(project: Project, text: str):
    stages(project, text)
    project.scons("images")
    assert files(project) == PROGRAM
    assert project.scons("images").up_to_date


def test_what_the_mapping_does_not_answer_is_one_error_with_all_paths(project: Project):
    project.edit(
        "Dockerfile",
        DOCKERFILE.replace(
            "ENTRYPOINT",
            "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n"
            "ARG ZONES=/usr/share/zoneinfo\nCOPY --from=0 $ZONES /zones\nCOPY --from=build /out/*.so /lib/\nENTRYPOINT",
        ),
    )
    text = fails(project)
    assert (
        "Dockerfile:9: stage 'build' is replaced by stages=, which does not give /etc/ssl/certs/ca-certificates.crt, "
        "/usr/share/zoneinfo, /out/*.so\n  hint: add the files to stages= (of 'build' it gives /app); CA certificates "
        "are scons_multiarch.CA_CERTIFICATES; time zones are scons_multiarch.ZONEINFO"
    ) in text
    stages(project, '{"build": ["/app", {"/etc/ssl/certs/": scons_multiarch.CA_CERTIFICATES, "/out/": "x.so"}]}')
    project.edit("x.so", "x")
    assert "which does not give /usr/share/zoneinfo\n" in fails(project)
    project.edit("zones/Europe/Berlin", "+1")
    stages(
        project,
        '{"build": ["/app", {"/etc/ssl/certs/": scons_multiarch.CA_CERTIFICATES, "/out/": "x.so",'
        ' "/usr/share/zoneinfo": env.Dir("zones")}]}',
    )
    project.scons("images")
    assert files(project) == {
        **PROGRAM,
        "etc/ssl/certs/ca-certificates.crt": sha(Path(certifi.where()).read_bytes()),
        "lib/x.so": sha(b"x"),
        "zones/Europe/Berlin": sha(b"+1"),
    }
    assert project.scons("images").up_to_date
    project.edit("zones/Europe/Paris", "+1")
    again = project.scons("images")
    assert "build//usr/share/zoneinfo/Europe/Paris added" in again.text


def test_certificates_for_a_folder_are_a_file_in_it(project: Project):
    taken = "COPY --from=build /etc/ssl/certs /etc/ssl/certs\nENTRYPOINT"
    project.edit("Dockerfile", DOCKERFILE.replace("ENTRYPOINT", taken))
    for path in ("/etc/ssl/certs", "/etc/ssl/certs/", "/etc/ssl"):
        stages(project, f'{{"build": ["/app", {{"{path}": scons_multiarch.CA_CERTIFICATES}}]}}')
        project.scons("images")
        authorities = sha(Path(certifi.where()).read_bytes())
        assert files(project) == {**PROGRAM, "etc/ssl/certs/ca-certificates.crt": authorities}
    stages(project, '{"build": ["/app", {"/certs": scons_multiarch.CA_CERTIFICATES}]}')
    assert (
        "Image: stages['build']: the certificates are one file, and '/certs' may be a folder\n"
        '  hint: say the file, as "/certs/ca-certificates.crt", or "/etc/ssl/certs/ca-certificates.crt"'
    ) in fails(project)


def test_the_stage_that_is_the_image_cannot_be_replaced(project: Project):
    for text, more in (
        ('{1: "/app"}', "1"),
        ('{"final": "/app"}', "final"),
        ('{"build": "/app"}, stage="build"', "build"),
    ):
        named = "FROM scratch AS final" if more == "final" else "FROM scratch"
        project.edit("Dockerfile", DOCKERFILE.replace("FROM scratch", named))
        stages(project, text)
        line = 2 if more == "build" else 7
        assert (
            f"Dockerfile:{line}: stages= replaces stage '{more}', which is the image itself\n"
            "  hint: give the stage that the image copies from; "
        ) in fails(project)


def test_a_folder_that_the_build_makes_can_be_the_whole_stage(project: Project):
    text = SCONSTRUCT.replace("MORE", 'stages={"build": env.Dir("dist")}')
    project.edit("SConstruct", text + 'env.Command("dist/app", "program.in", Copy("$TARGET", "$SOURCE"))\n')
    project.scons("images")
    assert files(project) == PROGRAM
    project.edit("program.in", "changed\n")
    project.scons("images")
    assert files(project) == {"app": sha(b"changed\n")}
    assert project.scons("images").up_to_date


def test_a_stage_on_the_stage_has_its_files_and_nothing_else_of_it(project: Project):
    project.edit("Dockerfile", DOCKERFILE.replace("FROM scratch", "FROM build AS test\nENV A=1\n\nFROM test"))
    project.edit("Dockerfile", "FROM golang AS build\nENV B=1\nFROM build AS test\nCOPY program.in /in\nFROM test\n")
    project.scons("images")
    assert files(project) == {**PROGRAM, "in": PROGRAM["app"]}


def test_a_name_that_no_stage_has_is_one_of_from_or_an_error(project: Project):
    project.edit("Dockerfile", "FROM scratch AS base\nFROM base AS final\nCOPY --from=tools /app /app\n")
    stages(project, '{"tools": "/app"}')
    project.scons("images")
    assert files(project) == PROGRAM
    stages(project, '{"tols": "/app"}')
    text = fails(project)
    assert (
        "Dockerfile: there is no stage 'tols', and no --from= of that name\n"
        "  hint: what stages= gives has the name or number of a stage: 0 (base), 1 (final)"
    ) in text
    stages(project, '{7: "/app"}')
    assert "there is no stage '7'" in fails(project)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('"build"', "Image: stages: 'build' is no mapping from stages to files"),
        ('{"build": 3}', "Image: stages['build']: takes paths of the stage, not 3"),
        ('{"build": {"/app": []}}', "'/app' is one path, and was given nothing"),
        (
            '{"build": {"/app": ["a", "b"]}}',
            "'/app' is one path, and was given 2 files\n  hint: a path with / at its end",
        ),
        ('{"build": ["/app", {"app": "a"}]}', "/app is given twice"),
        ('{"build": "/app", 0: "/b"}', "Dockerfile: stages= gives stage 0 twice, also as 'build'\n  hint: call it by"),
        ('{"a..b": "/app"}', "Image: stages['a..b']: 'a..b' cannot name a context\n  hint: say the stage's number"),
        ('{"build": "/app"}, contexts={"build": "."}', "Image: stages: 'build' is both a context and a stage"),
        ('{"linux/amd64": {"build": "/app"}}', "Image: stages: there is nothing for linux/arm64"),
    ],
)
def test_what_stages_does_not_take_is_an_error_that_names_the_stage(project: Project, text: str, error: str):
    stages(project, text)
    assert error in fails(project)


def test_several_contents_have_to_be_named(project: Project):
    project.edit(
        "SConstruct",
        SCONSTRUCT.replace("platform, MORE", 'platform, stages={"build": "/app"}').replace(
            ", program, d", ", [program, 'x'], d"
        ),
    )
    project.edit("x", "x")
    text = fails(project)
    assert "the contents of the image are to be one program, and are out/linux-amd64/program, x\n" in text
    assert '  hint: say which file is where: {"/app": node, "/lib/": [node, node]}' in text


def test_a_dockerfile_that_takes_nothing_of_the_build_is_said_with_the_two_ways(project: Project):
    project.edit(
        "Dockerfile", "FROM scratch AS build\nCOPY program.in /app\nFROM scratch\nCOPY --from=build /app /app\n"
    )
    project.edit("SConstruct", SCONSTRUCT.replace("MORE", ""))
    ran = project.scons("images")
    assert (
        "  warning: Dockerfile takes nothing of what this build made for it (out/linux-amd64/program); COPY it from "
        'there, or say which file of which stage it is: stages={"build": "/app"}\n'
    ) in ran.text
    project.edit("Dockerfile", "FROM scratch\nCOPY out/linux-amd64/program out/linux-arm64/program /\n")
    assert "warning" not in project.scons("images").text
    project.edit("Dockerfile", "FROM scratch\nCOPY out /\n")
    assert "takes nothing" not in project.scons("images").text


def test_build_arguments_are_by_platform(project: Project, registry: Registry):
    for arch in ("amd64", "arm64"):
        push_image(f"{registry.host}/static:latest-{arch}", f"linux/{arch}", {"of": arch.encode()})
    project.edit(
        "Dockerfile", f"ARG ARCH=none\nARG MORE\nFROM {registry.host}/static:latest-$ARCH\nARG MORE\nENV M=$MORE\n"
    )
    for text in (
        'lambda platform: {"ARCH": platform.architecture, "MORE": 1}',
        '{"ARCH": lambda platform: platform.architecture, "MORE": 1}',
        '{"ARCH": {"linux/amd64": "amd64", "linux/arm64": "arm64"}, "MORE": "1"}',
        '{"linux/amd64": {"ARCH": "amd64", "MORE": 1}, "linux/arm64": {"ARCH": "arm64", "MORE": 1}}',
    ):
        project.edit("SConstruct", SCONSTRUCT.replace("MORE", f"build_args={text}"))
        project.scons("images")
        image = Archive(project.path / IMAGE.replace("amd64", "arm64")).image()
        assert image.descriptor.annotation(BASE_NAME) == f"{registry.host}/static:latest-arm64"
        assert "M=1" in image.config.env
    assert project.scons("images").up_to_date


@pytest.mark.skipif(sys.platform == "win32", reason="the file system has no executable bit")
def test_the_program_that_a_stage_is_replaced_by_is_checked_as_every_other(project: Project):
    (project.path / "program.in").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\x01\0\0\0" + bytes(40))
    (project.path / "program.in").chmod(0o755)
    text = fails(project, "_output/images/app-linux-arm64.tar")
    assert "Dockerfile:9: /app: is an x86-64 ELF, but the image is linux/arm64" in text
