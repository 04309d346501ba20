"""The first build and the command line: targets, variables, names of outputs, and each error in its words."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from machines.project import ROOT, Project
from machines.registry import PASSWORD, USER, Registry, hold_port
from machines.small import Tree
from multiarch_oci.config import ImageConfig
from multiarch_oci.document import canonical
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_GZIP
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry as Repository
from samples import factory, layer

BUILT = {
    "bin/amd64/linux/demo",
    "bin/arm64/linux/demo",
    "images/demo-linux-amd64.tar",
    "images/demo-linux-arm64.tar",
    "manifest/demo-v1.0.json",
    "manifest/demo-v1.0.digest",
}
STEPS = [
    "Compile _output/bin/amd64/linux/demo",
    "Compile _output/bin/arm64/linux/demo",
    "Image _output/images/demo-linux-amd64.tar",
    "Image _output/images/demo-linux-arm64.tar",
    "Index _output/manifest/demo-v1.0.json",
]


def stamps(tree: Project) -> dict[str, tuple[int, int]]:
    """Return inode and mtime of every file that the build owns: a rewrite shows, equal bytes or not."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted((tree.path / "_output").rglob("*"))
        if path.is_file()
    }


def blob(tree: Project, image: str, digest: str) -> Any:
    """Return a JSON blob of an image tarball; of its index for ""."""
    with tarfile.open(tree.path / "_output" / image) as tar:
        member = tar.extractfile(f"blobs/{digest.replace(':', '/')}" if digest else "index.json")
        assert member is not None
        return json.load(member)


def manifest(tree: Project, image: str) -> Any:
    return blob(tree, image, blob(tree, image, "")["manifests"][0]["digest"])


def config(tree: Project, image: str) -> Any:
    return blob(tree, image, manifest(tree, image)["config"]["digest"])


def platforms(tree: Project, name: str = "demo-v1.0") -> list[Any]:
    return [entry["platform"] for entry in json.loads(tree.read(f"_output/manifest/{name}.json"))["manifests"]]


def fails(tree: Project, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run SCons, which must fail with status 2 and nothing half-written; return what it said."""
    run = tree.scons(*arguments, check=False, env=env)
    assert run.status == 2, run.text
    assert "Traceback" not in run.text
    assert leftovers(tree) == []
    return run.text


def leftovers(tree: Project) -> list[str]:
    """Return what a step may have left half-written."""
    found = [path for path in (tree.path / "_output").rglob("*") if path.is_file()]
    return [str(path) for path in found if path.name.endswith((".new", ".part", ".tmp")) or is_temporary(path)]


def is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name != ".index.lock"


# The template as it stands


def test_the_template_builds_up_to_the_manifest_and_its_program_runs(project: Project):
    run = project.scons()
    assert sorted(run.steps) == STEPS
    assert set(project.digests()) == BUILT
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
    if architecture and sys.platform == "linux":
        told = subprocess.run(
            [project.path / f"_output/bin/{architecture}/linux/demo"], capture_output=True, text=True, check=True
        )
        assert told.stdout == f"demo v1.0 linux/{architecture}\n"
    assert (
        project.read("_output/manifest/demo-v1.0.digest") == f"sha256:{project.digests()['manifest/demo-v1.0.json']}\n"
    )
    assert project.scons().up_to_date


# Targets


def test_asked_again_nothing_runs_and_nothing_is_written(fresh: Tree):
    assert sorted(fresh.scons().steps) == STEPS
    assert [line.split()[0] for line in fresh.go_starts()].count("build") == 2
    before = stamps(fresh)
    run = fresh.scons()
    assert run.up_to_date
    assert "`manifest' is up to date." in run.text
    assert fresh.go_starts() == []
    assert stamps(fresh) == before


@pytest.mark.parametrize(
    "target",
    [
        "bin",
        "images",
        "image",
        "release",
        "push",
        "manifest",
        "create-multi-archimages",
        "push-manifest",
        "push-multi-archimages",
    ],
)
def test_every_target_is_up_to_date_when_asked_again(target: str, tree: Tree):
    tree.scons(target)
    run = tree.scons(target)
    assert run.up_to_date
    assert f"`{target}' is up to date." in run.text


def test_push_leaves_the_main_tag_alone(fresh: Tree):
    run = fresh.scons("push")
    assert "Publish" not in run.text
    assert tags(fresh) == ["v1.0-amd64", "v1.0-arm64"]
    assert fresh.scons("push-manifest").steps[-1] == "Publish _output/registry/demo:v1.0"
    assert tags(fresh) == ["v1.0", "v1.0-amd64", "v1.0-arm64"]


def tags(tree: Tree, layout: str = "_output/registry/demo") -> list[str]:
    found = json.loads(tree.read(f"{layout}/index.json"))["manifests"]
    return sorted(entry["annotations"]["org.opencontainers.image.ref.name"] for entry in found)


def test_the_manifest_needs_no_registry(fresh: Tree):
    with hold_port() as held:
        fresh.scons("manifest", f"REGISTRY=127.0.0.1:{held.getsockname()[1]}")
    assert set(fresh.digests()) == BUILT


def test_the_published_index_is_the_file_byte_by_byte(tree: Tree):
    digest = tree.read("_output/manifest/demo-v1.0.digest").strip()
    assert tree.read(f"_output/registry/demo/blobs/{digest.replace(':', '/')}") == tree.read(
        "_output/manifest/demo-v1.0.json"
    )


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        ("_output/images/demo-linux-arm64.tar", ["Compile _output/bin/arm64/linux/demo", "Image _output/images/demo-linux-arm64.tar"]),
        ("_output/bin/amd64/linux/demo", ["Compile _output/bin/amd64/linux/demo"]),
        ("_output/bin/arm64", ["Compile _output/bin/arm64/linux/demo"]),
        ("bin", STEPS[:2]),
        ("_output/manifest", STEPS),
    ],
)  # fmt: skip
def test_a_part_of_the_graph_is_built_alone(target: str, steps: list[str], fresh: Tree):
    assert sorted(fresh.scons(target).steps) == steps
    assert fresh.scons(target).up_to_date


@pytest.mark.parametrize("jobs", ["-j1", "-j8"])
def test_any_number_of_jobs_does_the_same(jobs: str, fresh: Tree, tree: Tree):
    fresh.scons("push-manifest", jobs)
    for path, digest in tree.digests().items():
        if not path.endswith("/index.json"):
            assert fresh.digests()[path] == digest, path
    assert fresh.scons("push-manifest", jobs).up_to_date


def test_from_a_folder_below_scons_finds_the_tree(fresh: Tree):
    run = fresh.scons("-u", "manifest", cwd=fresh.path / "share")
    assert sorted(run.steps) == STEPS


# SCons' own options


def test_dry_run_names_the_steps_and_does_none(fresh: Tree):
    run = fresh.scons("-n", "push-manifest")
    assert sorted(run.steps) == sorted([*STEPS, *(f"P{text}" for text in ("ush _output/registry/demo:v1.0-amd64", "ush _output/registry/demo:v1.0-arm64", "ublish _output/registry/demo:v1.0"))])  # fmt: skip
    assert not (fresh.path / "_output").exists()
    assert [line for line in fresh.go_starts() if line.startswith("build")] == []


def test_dry_run_of_a_change_names_the_steps_and_changes_nothing(tree: Tree):
    tree.replace("main.go", '"demo "', '"Demo "')
    before = stamps(tree)
    assert "Compile _output/bin/amd64/linux/demo" in tree.scons("-n").steps
    assert stamps(tree) == before
    assert sorted(tree.scons().steps) == STEPS


def test_question_answers_by_its_status_alone(tree: Tree):
    assert tree.scons("-q", check=False).status == 0
    tree.edit("share/greeting", "changed\n")
    before = stamps(tree)
    asked = tree.scons("-q", check=False)
    assert asked.status == 1
    assert asked.steps == []
    assert stamps(tree) == before
    tree.scons()
    assert tree.scons("-q", check=False).status == 0


def test_help_tells_targets_variables_and_examples_and_builds_nothing(fresh: Tree):
    run = fresh.scons("-h", "VERSION=v9.9", "TAGS=latest")
    for word in (
        "bin",
        "images, image",
        "release",
        "load",
        "push",
        "manifest, create-multi-archimages",
        "clean",
    ):
        assert f"\n  {word} " in run.text
    assert "\n  test " not in run.text  # a user's tests are the user's to declare
    for line in (
        "IMAGE=demo ",
        "VERSION=v9.9 ",
        "PLATFORMS=linux/amd64,linux/arm64 ",
        "TAGS=latest ",
        "DRIFT=repair ",
        "LOCKED=no ",
    ):
        assert f"\n  {line}" in run.text
    examples = run.text.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in examples] == ["scons"] * 3
    assert not (fresh.path / "_output").exists()
    assert fresh.go_starts() == []


@pytest.mark.parametrize("words", [("clean",), ("-c",)])
def test_clean_empties_the_output_but_for_what_was_published(words: tuple[str, ...], tree: Tree):
    tree.edit("images.lock", "")
    tree.edit("_output/somebody/elses", "file\n")
    published = tree.digests("_output/registry")
    tree.scons(*words)
    assert [path.name for path in (tree.path / "_output").iterdir()] == ["registry"]
    assert tree.digests("_output/registry") == published
    assert (tree.path / "images.lock").exists()
    assert sorted(tree.scons("manifest").steps) == STEPS
    # The receipts are gone, the tags are not: they are adopted.
    before = stamps(tree)
    tree.scons("push-manifest")
    assert {path: stamp for path, stamp in stamps(tree).items() if path in before} == before
    assert tree.digests("_output/registry") == published


def test_clean_of_a_target_is_scons_own(tree: Tree):
    tree.scons("-c", "_output/images/demo-linux-arm64.tar")
    gone = {"images/demo-linux-arm64.tar", "bin/arm64/linux/demo"}
    assert BUILT - set(tree.digests()) == gone


def test_clean_of_nothing_is_no_error(fresh: Tree):
    assert fresh.scons("-c").status == 0
    assert fresh.scons("clean").status == 0


# Variables


def test_variables_may_stand_in_custom_py_and_the_command_line_wins(fresh: Tree):
    fresh.edit("custom.py", 'PLATFORMS = "linux/arm64"\nVERSION = "v3.0"\n')
    fresh.scons()
    assert set(fresh.digests("_output/manifest")) == {"demo-v3.0.json", "demo-v3.0.digest"}
    assert [platform["architecture"] for platform in platforms(fresh, "demo-v3.0")] == ["arm64"]
    fresh.scons("VERSION=v4.0")
    assert (fresh.path / "_output/manifest/demo-v4.0.json").exists()


def test_an_unknown_variable_in_custom_py_is_an_error(fresh: Tree):
    fresh.edit("custom.py", 'PLATFROMS = "linux/arm64"\n')
    assert "there is no variable PLATFROMS\n  hint: did you mean PLATFORMS?\n" in fails(fresh)


def test_image_may_hold_slashes_and_its_last_component_names_files(fresh: Tree):
    fresh.scons("push-manifest", "IMAGE=team/shop/front")
    assert {"images/front-linux-amd64.tar", "manifest/front-v1.0.json"} < set(fresh.digests())
    assert tags(fresh, "_output/registry/team/shop/front") == ["v1.0", "v1.0-amd64", "v1.0-arm64"]
    assert fresh.scons("push-manifest", "IMAGE=team/shop/front").up_to_date


def test_labels_annotations_and_build_arguments_arrive(fresh: Tree):
    fresh.replace("Dockerfile.arm64", "ENTRYPOINT", "ARG COLOUR=red\nENV COLOUR=$COLOUR\nENTRYPOINT")
    fresh.scons("LABELS=team=blue,tier=web", "ANNOTATIONS=a.b/c=d e", "BUILD_ARGS=COLOUR=green")
    for arch in ("amd64", "arm64"):
        assert config(fresh, f"images/demo-linux-{arch}.tar")["config"]["Labels"] == {"team": "blue", "tier": "web"}
    assert "COLOUR=green" in config(fresh, "images/demo-linux-arm64.tar")["config"]["Env"]
    assert json.loads(fresh.read("_output/manifest/demo-v1.0.json"))["annotations"] == {
        "a.b/c": "d e",
        "org.opencontainers.image.version": "v1.0",
    }


@pytest.mark.parametrize(
    ("version", "wanted"),
    [("v1.2.3", ["1", "1.2", "latest"]), ("v1.2.3-rc1", []), ("1.2.3", ["1", "1.2", "latest"])],
)
def test_further_tags_follow_the_version_and_a_pre_release_moves_none(version: str, wanted: list[str], fresh: Tree):
    fresh.scons("push-manifest", f"VERSION={version}", "TAGS=latest,{major},{major}.{minor}")
    assert tags(fresh) == sorted([*wanted, version, f"{version}-amd64", f"{version}-arm64"])
    assert fresh.scons("push-manifest", f"VERSION={version}", "TAGS=latest,{major},{major}.{minor}").up_to_date


@pytest.mark.parametrize("version", ["1", "nightly", "2026.11.23", "v1.0_x.y-z", "a" * 120])
def test_any_valid_tag_is_a_version(version: str, fresh: Tree):
    fresh.scons("push-manifest", f"VERSION={version}", "PLATFORMS=linux/amd64")
    assert tags(fresh) == sorted([version, f"{version}-amd64"])


def test_platforms_are_read_as_containerd_reads_them(fresh: Tree):
    fresh.scons("push-manifest", "PLATFORMS=x86_64,linux/aarch64,armhf")
    assert platforms(fresh) == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    assert "images/demo-linux-arm-v7.tar" in fresh.digests()
    assert "bin/arm-v7/linux/demo" in fresh.digests()
    assert tags(fresh) == ["v1.0", "v1.0-amd64", "v1.0-arm-v7", "v1.0-arm64"]
    assert fresh.scons("push-manifest", "PLATFORMS=linux/amd64,linux/arm64,linux/arm/v7").up_to_date


def test_a_report_names_each_step_with_its_digest(fresh: Tree):
    fresh.scons("push-manifest", "REPORT=report.json")
    steps = json.loads(fresh.read("report.json"))["steps"]
    assert len(steps) == 8
    by_step = {step["step"]: step for step in steps}
    digest = fresh.read("_output/manifest/demo-v1.0.digest").strip()
    assert by_step["Publish"] == {
        "step": "Publish",
        "subject": "_output/registry/demo:v1.0",
        "target": by_step["Publish"]["target"],
        "digest": digest,
    }
    assert by_step["Index"]["digest"] == digest
    for step in steps:
        assert (fresh.path / step["target"]).is_file()
    assert json.loads(fresh.read("report.json"))["unchanged"] == []
    fresh.scons("push-manifest", "REPORT=report.json")
    again = json.loads(fresh.read("report.json"))
    assert again["steps"] == []
    told = {line["target"]: line.get("digest") for line in again["unchanged"]}
    assert told == {step["target"]: step.get("digest") for step in steps}


def test_a_question_leaves_the_report_as_it_is(fresh: Tree):
    fresh.scons("images", "REPORT=report.json")
    report = fresh.read("report.json")
    for words in (["-n", "images"], ["-q", "images"], ["why", "images"], ["plan"]):
        fresh.scons(*words, "REPORT=report.json", check=False)
        assert fresh.read("report.json") == report


@pytest.mark.parametrize("name", ["Dockerfile.linux-arm64", "Dockerfile.arm64", "Dockerfile.linux", "Dockerfile"])
def test_the_first_dockerfile_that_exists_is_taken(name: str, fresh: Tree):
    text = fresh.read("Dockerfile.arm64")
    names = ["Dockerfile.linux-arm64", "Dockerfile.arm64", "Dockerfile.linux", "Dockerfile"]
    for other in names:
        fresh.edit(other, text.replace("ENTRYPOINT", f"LABEL from={other}\nENTRYPOINT"))
    for other in names[: names.index(name)]:
        fresh.remove(other)
    fresh.scons("images", "PLATFORMS=linux/arm64")
    assert config(fresh, "images/demo-linux-arm64.tar")["config"]["Labels"] == {"from": name}


# Windows


def push_base(registry: Registry, tag: str, *wanted: str) -> None:
    """Push a base for these platforms to `base` of a registry: one image, or an index of several."""
    transport = Transport(Settings(), Credentials({}, Path("/nowhere")))
    repository = Repository(transport, Reference(registry.host, "base"))
    members = []
    for text in wanted:
        platform = Platform.parse(text)
        descriptor, diff_id, content = layer(
            {"Files/base.txt" if platform.os == "windows" else "base.txt": text.encode()}
        )
        made = ImageConfig(platform, diff_ids=(diff_id,))
        described = Manifest(made.descriptor(), (replace(descriptor, media_type=LAYER_GZIP),))
        root = replace(described.descriptor(), platform=platform)
        for what, content_of in (
            (descriptor, content),
            (made.descriptor(), made.to_json()),
            (root, described.to_json()),
        ):
            repository.put(what, factory(content_of))
        members.append(root)
    if len(members) == 1:
        repository.tag(tag, members[0])
        return
    content = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [member.to_json() for member in members]})
    index = Index.from_json(content, where="base")
    repository.put(index.descriptor(), factory(content))
    repository.tag(tag, index.descriptor())


INDEX = "application/vnd.oci.image.index.v1+json"
WINDOWS = ("windows/amd64:10.0.17763.5122", "windows/amd64:10.0.20348.2113")


def with_windows(tree: Tree) -> None:
    shutil.copy2(ROOT / "Dockerfile.win", tree.path / "Dockerfile.win")
    shutil.copy2(ROOT / "Dockerfile.linux", tree.path / "Dockerfile.linux")


def test_linux_and_two_versions_of_windows_stand_in_one_index(fresh: Tree, registry: Registry):
    with_windows(fresh)
    push_base(registry, "windows", *WINDOWS)
    arguments = (
        "push-manifest",
        f"REGISTRY={registry.host}",
        f"BUILD_ARGS=BASE={registry.host}/base:windows",
        "PLATFORMS=linux/amd64,linux/arm64,linux/arm/v7,windows(10.0.17763)/amd64,windows/amd64:10.0.20348",
    )
    run = fresh.scons(*arguments)
    assert len([step for step in run.steps if step.startswith("Compile")]) == 4
    assert [(p["os"], p["architecture"], p.get("variant"), p.get("os.version")) for p in platforms(fresh)] == [
        ("linux", "amd64", None, None),
        ("linux", "arm64", None, None),
        ("linux", "arm", "v7", None),
        ("windows", "amd64", None, "10.0.17763.5122"),
        ("windows", "amd64", None, "10.0.20348.2113"),
    ]
    assert registry.tags("demo") == [
        "v1.0",
        "v1.0-amd64",
        "v1.0-arm-v7",
        "v1.0-arm64",
        "v1.0-windows-amd64-10.0.17763",
        "v1.0-windows-amd64-10.0.20348",
    ]
    assert "bin/amd64/windows/demo.exe" in fresh.digests()
    for version, full in (("10.0.17763", WINDOWS[0]), ("10.0.20348", WINDOWS[1])):
        image = f"images/demo-windows-amd64-{version}.tar"
        found = config(fresh, image)
        assert found["os.version"] == full.partition(":")[2]
        assert found["config"]["Entrypoint"] == ["C:\\demo.exe"]
        assert len(manifest(fresh, image)["layers"]) == 2
    assert fresh.scons(*arguments).up_to_date


def test_windows_without_a_version_takes_that_of_its_base(fresh: Tree, registry: Registry):
    with_windows(fresh)
    push_base(registry, "windows", WINDOWS[1])
    arguments = (f"BUILD_ARGS=BASE={registry.host}/base:windows", "PLATFORMS=windows/amd64")
    fresh.scons(*arguments)
    assert platforms(fresh) == [{"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.2113"}]
    assert "images/demo-windows-amd64.tar" in fresh.digests()
    assert fresh.read("images.lock").count("sha256:") == 1
    # The base's registry is not asked again.
    registry.requests()
    assert fresh.scons(*arguments).up_to_date
    assert registry.requests() == []


# Errors before anything is built


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("VERSOIN=1", "there is no variable VERSOIN\n  hint: did you mean VERSION?"),
        ("manifst", "there is no target manifst\n  hint: did you mean manifest?"),
        ("push-manifset", "there is no target push-manifset\n  hint: did you mean push-manifest?"),
        ("PLATFORMS=linux/amd65", "PLATFORMS: platform 'linux/amd65' is not known\n  hint: did you mean linux/amd64?"),
        ("PLATFORMS=", "PLATFORMS: no platform is named\n  hint: e.g. linux/amd64,linux/arm64"),
        ("PLATFORMS=linux/amd64,x86_64", "PLATFORMS: 'linux/amd64' and 'x86_64' are both linux/amd64\n  hint: name each platform once"),
        ("ENGINE=podmn", "'podmn' is not a value of ENGINE\n  hint: did you mean podman?"),
        ("DRIFT=fial", "'fial' is not a value of DRIFT\n  hint: did you mean fail?"),
        ("IMMUTABLE=maybe", "'maybe' is not a value of IMMUTABLE\n  hint: did you mean yes?"),
        ("VERSION=a b", "VERSION: 'a b' is not a valid tag\n  hint: letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128"),
        ("VERSION=v1+2", "VERSION: 'v1+2' is not a valid tag\n  hint: letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128"),
        ("IMAGE=Demo", "'Demo' is not the name of a repository\n  hint: lower-case letters and digits, joined by '/', '.', '-', '_' or '__'"),
        ("REGISTRY=https://x.y/z", "REGISTRY: 'https://x.y/z' is a URL\n  hint: leave 'https://' away"),
        ("LABELS=x", "LABELS: 'x' is not name=value\n  hint: for example LABELS=team=blue,tier=web"),
        ("TAGS={foo}", "TAGS: '{foo}' holds the unknown placeholder '{foo}'\n  hint: there are {major}, {minor} and {patch}"),
        ("TAGS={patch}", "TAGS: '{patch}' needs a version like 1.2.3, and 'v1.0' has no patch number\n  hint: leave '{patch}' away, or change VERSION"),
        ("EXTERNAL=v1.0-nothing", "EXTERNAL: 'v1.0-nothing' names no platform\n  hint: write it before: linux/riscv64=v1.0-nothing"),
        ("PLATFORMS=linux/riscv64", "SConstruct:9: there is no Dockerfile for linux/riscv64\n  hint: write one of: Dockerfile.linux-riscv64, Dockerfile.riscv64, Dockerfile.linux, Dockerfile; or say dockerfile=None, for an image of the program alone"),
    ],
)  # fmt: skip
def test_a_wrong_word_of_the_command_line_is_one_error_and_no_build(argument: str, words: str, fresh: Tree):
    text = fails(fresh, argument)
    assert f"\nscons: *** {words}\n" in text
    assert text.count("***") == 1
    assert not (fresh.path / "_output").exists()
    assert fresh.go_starts() == []


def test_a_bad_version_in_the_file_is_quoted(fresh: Tree):
    fresh.edit("VERSION", "release 1\n")
    assert "\nscons: *** VERSION: 'release 1' is not a valid tag\n  hint: " in fails(fresh)


def test_a_platform_tag_that_grows_too_long_is_an_error(fresh: Tree):
    text = fails(fresh, f"VERSION={'a' * 125}")
    assert (
        f"\nscons: *** SConstruct:9: tag '{'a' * 125}-amd64' has 131 characters, 128 are allowed\n  hint: shorten the version\n"
        in text
    )
    assert text.count("***") == 1
    assert not (fresh.path / "_output").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            'env.GoBinary("x", platform="a/b/c/d")',
            "SConstruct:LINE: 'a/b/c/d' is not a platform: it has more than three ",
        ),
        (
            'env.Image("x.tar", dockerfile="Nowhere")',
            "SConstruct:LINE: there is no Dockerfile for linux/amd64\n  hint: write one of: Nowhere",
        ),
        (
            'env.Push("_output/images/demo-linux-amd64.tar", "x.y/Upper:1")',
            "SConstruct:LINE: 'Upper' in 'x.y/Upper' is not a path in a registry\n  hint: lower-case letters ",
        ),
    ],
)
def test_a_wrong_line_of_the_sconstruct_is_one_error_and_no_build(line: str, words: str, fresh: Tree):
    fresh.append("SConstruct", f"{line}\n")
    text = fails(fresh)
    assert f"\nscons: *** {words.replace('LINE', str(len(fresh.read('SConstruct').splitlines())))}" in text
    assert text.count("***") == 1
    assert not (fresh.path / "_output").exists()


def test_a_bad_epoch_is_an_error(fresh: Tree):
    assert "SOURCE_DATE_EPOCH: 'yesterday' is not a number of seconds" in fails(
        fresh, env={"SOURCE_DATE_EPOCH": "yesterday"}
    )


# Errors of a step


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "bin/arm64/",
            "bin/amd64/",
            (
                "Dockerfile.arm64:6: /demo: is an x86-64 ELF, but the image is linux/arm64\n"
                "  hint: copy the file that was built for linux/arm64, or build it for that platform; "
                'or let it in where it is meant to be there: foreign=["demo"] of env.Image\n'
            ),
        ),
        (
            "ENTRYPOINT",
            "RUN echo hi\nENTRYPOINT",
            (
                "Dockerfile.arm64:6: the embedded engine cannot execute RUN\n"
                "  hint: use ENGINE=buildx, podman or docker (engine= of env.Image); or make the file with env.Command and COPY it\n"
            ),
        ),
        (
            "ENTRYPOINT",
            "COPY nothing.txt /x\nENTRYPOINT",
            (
                "Dockerfile.arm64:6: COPY: 'nothing.txt' is not in the context\n"
                "  hint: is it built? paths are relative to the project\n"
            ),
        ),
        (
            "ENTRYPOINT",
            "COPY share/left.tmp /x\nENTRYPOINT",
            "Dockerfile.arm64:6: COPY: 'share/left.tmp' is not in the context\n  hint: .dockerignore leaves it out\n",
        ),
    ],
    ids=["a program of another machine", "RUN", "a missing source", "an ignored source"],
)
@pytest.mark.parametrize("when", ["first build", "over a finished one"])
def test_an_image_that_cannot_be_is_one_error_and_no_file(  # noqa: PLR0917  # a table's columns, and the two trees
    when: str, old: str, new: str, words: str, fresh: Tree, tree: Tree
):
    here = fresh if when == "first build" else tree
    image = here.path / "_output/images/demo-linux-arm64.tar"
    before = image.read_bytes() if image.exists() else None
    here.replace("Dockerfile.arm64", old, new)
    text = fails(here, "ENGINE=embedded")  # auto finds another engine for RUN, where one is installed
    assert f"scons: *** [_output/images/demo-linux-arm64.tar] {words}" in text
    assert text.count("***") == 1
    assert (image.read_bytes() if image.exists() else None) == before
    here.replace("Dockerfile.arm64", new, old)
    assert here.scons().status == 0
    assert here.scons().up_to_date


def test_a_base_of_another_machine_is_an_error(fresh: Tree, registry: Registry):
    push_base(registry, "linux", "linux/amd64")
    fresh.replace("Dockerfile.arm64", "FROM scratch", f"FROM {registry.host}/base:linux")
    text = fails(fresh)
    assert text.count("***") == 1
    assert (
        "scons: *** [_output/images/demo-linux-arm64.tar] "
        f"Dockerfile.arm64:1: base {registry.host}/base:linux is linux/amd64, but the image is linux/arm64\n"
        "  hint: use a base that has this platform; its tag may name a single-platform image\n"
    ) in text
    assert not (fresh.path / "_output/images/demo-linux-arm64.tar").exists()
    assert not (fresh.path / "images.lock").exists()


def test_go_code_that_does_not_compile_is_told_by_go(tree: Tree):
    before = tree.digests("_output/bin")
    tree.append("main.go", "func broken() { nonsense }\n")
    text = fails(tree)
    assert "main.go:8:" in text
    assert "nonsense" in text
    assert tree.digests("_output/bin") == before


def test_a_refused_connection_is_a_clear_error(tree: Tree):
    with hold_port() as held:
        host = f"127.0.0.1:{held.getsockname()[1]}"
        text = fails(tree, "push-manifest", f"REGISTRY={host}", "-j1")
    assert text.count("***") == 1
    assert f"{host}: no connection: Connection refused (tried 4 times)\n  hint: does the registry run there?\n" in text
    assert [path for path in tree.digests() if "127.0.0.1" in path] == []


def log_in(home: Path, host: str, password: str) -> None:
    import base64

    (home / ".docker").mkdir()
    secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (home / ".docker/config.json").write_text(json.dumps({"auths": {host: {"auth": secret}}}), encoding="utf-8")


def test_a_wrong_password_is_a_clear_error_and_is_never_told(
    tree: Tree, basic_registry: Registry, clean_environment: Path
):
    log_in(clean_environment, basic_registry.host, "wrong-secret")
    text = fails(tree, "push-manifest", f"REGISTRY={basic_registry.host}", "-j1")
    assert text.count("***") == 1
    host = basic_registry.host
    assert (
        f"{host}/demo: not allowed to push (401; its realm is 'tests'); the credentials are those of auths '{host}' in ~/.docker/config.json\n"
        f"  hint: they may be wrong, expired or not allowed to push; log in anew with: docker login {host}\n"
    ) in text
    assert "wrong-secret" not in text
    for path in tree.path.rglob("*"):
        if path.is_file():
            assert b"wrong-secret" not in path.read_bytes()


def test_the_right_password_publishes(tree: Tree, basic_registry: Registry, clean_environment: Path):
    log_in(clean_environment, basic_registry.host, PASSWORD)
    tree.scons("push-manifest", f"REGISTRY={basic_registry.host}")
    assert basic_registry.tags("demo") == ["v1.0", "v1.0-amd64", "v1.0-arm64"]
    assert tree.scons("push-manifest", f"REGISTRY={basic_registry.host}").up_to_date


def test_no_password_at_all_says_how_to_log_in(tree: Tree, basic_registry: Registry):
    text = fails(tree, "push", f"REGISTRY={basic_registry.host}", "-j1")
    assert text.count("***") == 1
    assert basic_registry.host in text
    assert "docker login" in text


def test_outputs_have_the_modes_of_files_and_programs(fresh: Tree):
    fresh.scons()
    assert (fresh.path / "_output/bin/amd64/linux/demo").stat().st_mode & stat.S_IXUSR
    with tarfile.open(fresh.path / "_output/images/demo-linux-amd64.tar") as tar:
        assert {member.mtime for member in tar} == {0}
        assert {(member.uid, member.gid, member.uname, member.gname) for member in tar} == {(0, 0, "", "")}


def test_a_report_into_a_folder_that_is_not_there_is_an_error(fresh: Tree):
    words = f"REPORT: there is no folder {fresh.path / 'nowhere'}\n  hint: make it first\n"
    assert f"\nscons: *** {words}" in fails(fresh, "REPORT=nowhere/report.json")
    assert not (fresh.path / "_output").exists()
