"""What a base says beside its files: an ONBUILD that copies, an ENV that names what is copied."""

from __future__ import annotations

import pytest

from machines.bases import push_image
from machines.project import Project
from machines.registry import Registry

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_index", "oci_targets"],
    DEFAULTS={"IMAGE": "app", "VERSION": "v1", "PLATFORMS": "linux/amd64"},
)
(platform,) = env["PLATFORMS"]
env.Command("app/made.txt", "source.txt", Copy("$TARGET", "$SOURCE"))
images = env.Image("_output/images/app.tar", dockerfile="Dockerfile", platform=platform)
env.Targets(images=images, manifest=env.Index("_output/manifest/app.json", images, platforms=[platform]))
"""


@pytest.fixture
def app(project: Project, registry: Registry) -> Project:
    project.edit("SConstruct", SCONSTRUCT)
    project.edit("source.txt", "1")
    project.edit("app/file.txt", "1")
    project.edit("Dockerfile", f"FROM {registry.host}/base:1\n")
    project.remove(".dockerignore")
    return project


@pytest.mark.parametrize(
    ("words", "dockerfile"),
    [
        ({"on_build": ("COPY app /app",)}, ""),
        ({"env": ("PLACE=app",)}, "COPY ${PLACE} /app\n"),
    ],
    ids=["ONBUILD of the base", "ENV of the base"],
)
def test_what_a_base_lets_the_dockerfile_copy_is_an_input(app: Project, registry: Registry, words, dockerfile):
    push_image(f"{registry.host}/base:1", "linux/amd64", {"etc/base": b"1"}, **words)
    app.edit("Dockerfile", app.read("Dockerfile") + dockerfile)
    image = "Image _output/images/app.tar"
    # A file that this build makes is found, and made first.
    assert app.scons("images").steps == [image]
    assert (app.path / "app/made.txt").read_text(encoding="utf-8") == "1"
    registry.requests()
    assert app.scons("images").up_to_date
    assert registry.requests() == []
    app.edit("app/file.txt", "2")
    assert app.scons("images").steps == [image]
    app.edit("source.txt", "2")
    assert app.scons("images").steps == [image]
    assert app.scons("images").up_to_date


def test_a_base_that_is_not_there_is_asked_for_once(app: Project, registry: Registry):
    run = app.scons("images", check=False)
    assert (run.status, run.text.count("is not in the registry")) == (2, 1)
    assert len(registry.requests()) == 1


def test_images_that_copy_everything_do_not_copy_each_other(project: Project):
    project.edit("Dockerfile", "FROM scratch\nCOPY . /\n")
    project.remove(".dockerignore")
    project.edit(".dockerignore", "site_scons\n")
    made = """
one = env.Image("dist/one.tar", dockerfile="Dockerfile", platform=platform)
two = env.Image("dist/two.tar", dockerfile="Dockerfile", platform=platform)
archive = env.Archive("dist/one-release.tar", one, reference="app:v1")
env.Targets(images=[one, two], release=archive, manifest=env.Index("dist/i.json", one, platforms=[platform]))
"""
    head = SCONSTRUCT.partition("env.Command")[0].replace('"oci_index"', '"oci_index", "oci_archive"')
    project.edit("SConstruct", head + made)
    steps = project.scons("images", "release", "manifest").steps
    assert sorted(steps) == [
        "Archive dist/one-release.tar", "Image dist/one.tar", "Image dist/two.tar", "Index dist/i.json",
    ]  # fmt: skip
    assert project.scons("images", "release", "manifest").up_to_date
