"""What an image was made from, as a statement: complete, each thing by its digest, and the same wherever it is made."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from machines.bases import push_image, push_index
from machines.project import Project
from machines.registry import Registry
from machines.signing import Key
from machines.small import Tree

AMD64, INDEX = "_output/provenance/demo-linux-amd64.json", "_output/provenance/demo-v1.0.json"
EDITS = int(os.environ.get("EDITS", "30"))  # by hand more: EDITS=200


def predicate(tree: Project, path: str = AMD64) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(tree.read(path))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    found: dict[str, Any] = statement["predicate"]
    return found


def dependencies(tree: Project, path: str = AMD64) -> dict[str, dict[str, str]]:
    """Return the digests of each dependency by its name or URI, each there once."""
    entries = predicate(tree, path)["buildDefinition"]["resolvedDependencies"]
    assert all(entry["digest"] for entry in entries), "nothing is there without a digest"
    named = {entry.get("uri") or entry["name"]: entry.get("digest", {}) for entry in entries}
    assert len(named) == len(entries)
    return named


def sha256(tree: Project, path: str) -> str:
    return hashlib.sha256((tree.path / path).read_bytes()).hexdigest()


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def test_every_file_that_decided_an_image_is_named_with_its_digest(fresh: Tree):
    fresh.scons("provenance")
    named = dependencies(fresh)
    files = ["main.go", "place_other.go", "go.mod", "VERSION", "Dockerfile.amd64", ".dockerignore"]
    files += ["share/greeting", "share/note.txt", "conf/one.conf", "conf/two.conf"]
    for file in files:
        assert named.pop(file)["sha256"] == sha256(fresh, file), file
    assert list(named.pop("share")) == ["multiarchEntry"]
    go = next(name for name in named if name.startswith("pkg:generic/go@1."))
    assert list(named.pop(go)) == ["dirHash"]
    tool = named.pop("pkg:pypi/scons-multiarch@0.1.0")
    assert list(tool) == ["dirHash"]
    assert named == {}
    of_index = dependencies(fresh, INDEX)
    assert of_index["arm64only/first.txt"]["sha256"] == sha256(fresh, "arm64only/first.txt")
    assert set(dependencies(fresh)) < set(of_index)


def test_the_subject_is_the_image_and_what_was_given_is_there(fresh: Tree):
    fresh.scons("provenance", "LABELS=team=blue", "BUILD_ARGS=PROXY=http://me:secret@proxy.example")
    statement = json.loads(fresh.read(AMD64))
    index = json.loads(fresh.read("_output/manifest/demo-v1.0.json"))
    assert [f"sha256:{s['digest']['sha256']}" for s in statement["subject"]] == [index["manifests"][0]["digest"]]
    of_index = json.loads(fresh.read(INDEX))["subject"][0]["digest"]["sha256"]
    assert f"sha256:{of_index}" == fresh.read("_output/manifest/demo-v1.0.digest").strip()
    given = predicate(fresh)["buildDefinition"]["externalParameters"]
    assert given["platform"] == "linux/amd64"
    assert given["labels"] == {"team": "blue"}
    assert given["buildArgs"] == {"PROXY": "http://***@proxy.example"}
    assert given["programs"]["_output/bin/amd64/linux/demo"]["ldflags"] == "-X main.version=v1.0"


def test_a_second_run_writes_nothing(fresh: Tree):
    fresh.scons("provenance")
    assert fresh.scons("provenance").up_to_date
    fresh.scons("push-manifest")
    assert fresh.scons("push-manifest", "provenance").up_to_date


def test_two_clones_write_the_same_bytes(fresh: Tree, variant: Callable[[str], Tree]):
    fresh.scons("provenance", "-j1")
    other = variant("another folder")
    other.grow_old()
    other.scons("provenance", env={"TZ": "Asia/Tokyo", "HOME": str(other.path.parent / "home")})
    for file in sorted((fresh.path / "_output/provenance").iterdir()):
        assert file.read_bytes() == (other.path / "_output/provenance" / file.name).read_bytes(), file.name
    assert str(fresh.path).encode() not in b"".join(
        file.read_bytes() for file in (fresh.path / "_output/provenance").iterdir()
    )


def root_of(tree: Project) -> str:
    root: str = predicate(tree)["buildDefinition"]["internalParameters"]["sources"]["root"]["sha256"]
    return root


def edits(tree: Tree, random: Random) -> str:
    """Do one edit that leaves a build possible; return the name of the file."""
    comments = {"go": "// ", "mod": "// ", "Dockerfile": "# ", "dockerignore": "# "}
    files = ["main.go", "place_other.go", "go.mod", "Dockerfile.amd64", ".dockerignore", "share/greeting"]
    files += ["share/note.txt", "conf/one.conf", "conf/two.conf"]
    file = random.choice(files)
    if random.random() < 0.2 and file.startswith(("share", "conf")):
        (tree.path / file).chmod(0o644 if (tree.path / file).stat().st_mode & 0o100 else 0o755)
        return file
    mark = comments.get(file.split("/")[-1].split(".")[0] or file[1:], comments.get(file.rpartition(".")[2], ""))
    tree.append(file, f"{mark}{random.getrandbits(64):016x}\n")
    return file


@pytest.mark.parametrize("seed", [1])
def test_an_edit_changes_the_digest_of_exactly_one_dependency(fresh: Tree, seed: int):
    """Of the image, and of the index; and the root over all files."""
    random = Random(seed)  # noqa: S311  # a seed that replays is the point
    fresh.scons("provenance", "PLATFORMS=linux/amd64")
    known, of_index = dependencies(fresh), dependencies(fresh, INDEX)
    root = root_of(fresh)
    for number in range(EDITS):
        file = edits(fresh, random)
        fresh.scons("provenance", "PLATFORMS=linux/amd64")
        now, of_index_now = dependencies(fresh), dependencies(fresh, INDEX)
        assert changed(known, now) == [file], f"edit {number} of seed {seed}"
        assert changed(of_index, of_index_now) == [file], f"edit {number} of seed {seed}"
        known, of_index = now, of_index_now
        assert root != (root := root_of(fresh))


def test_an_edit_of_another_platform_leaves_a_statement_alone(tree: Tree):
    tree.scons("provenance")
    tree.append("arm64only/first.txt", "more\n")
    steps = tree.scons("provenance").steps
    assert "Provenance _output/provenance/demo-linux-arm64.json" in steps
    assert f"Provenance {INDEX}" in steps
    assert f"Provenance {AMD64}" not in steps


def test_a_comment_that_leaves_the_image_alone_is_told_all_the_same(tree: Tree):
    tree.scons("provenance")
    image = json.loads(tree.read(AMD64))["subject"]
    tree.append("main.go", "// a remark\n")
    run = tree.scons("provenance")
    assert f"Provenance {AMD64}: main.go changed" in run.text
    assert not [step for step in run.steps if step.startswith(("Image", "Index"))]
    assert json.loads(tree.read(AMD64))["subject"] == image
    assert dependencies(tree)["main.go"]["sha256"] == sha256(tree, "main.go")


def module_proxy(folder: Path) -> str:
    """Write a module proxy in a folder with one module; return its address."""
    versions = folder / "example.org" / "words" / "@v"
    versions.mkdir(parents=True)
    (versions / "v1.2.3.mod").write_text("module example.org/words\n", encoding="utf-8")
    (versions / "v1.2.3.info").write_text('{"Version":"v1.2.3"}', encoding="utf-8")
    with zipfile.ZipFile(versions / "v1.2.3.zip", "w") as archive:
        archive.writestr("example.org/words@v1.2.3/go.mod", "module example.org/words\n")
        archive.writestr("example.org/words@v1.2.3/words.go", 'package words\n\nconst Hello = "hello"\n')
    return folder.as_uri()


def test_modules_have_the_hash_of_go_sum_and_no_sha256(fresh: Tree, tmp_path: Path):
    env = {"GOPROXY": module_proxy(tmp_path / "proxy"), "GONOSUMDB": "*", "GOFLAGS": "-modcacherw"}
    env |= {"GOMODCACHE": str(tmp_path / "modules")}
    program = fresh.read("main.go").replace('import "os"', 'import (\n\t"os"\n\n\t"example.org/words"\n)')
    fresh.edit("main.go", program.replace('"demo "', "words.Hello"))
    fresh.append("go.mod", "\nrequire example.org/words v1.2.3\n")
    tidy = subprocess.run(
        ["go", "mod", "tidy"],
        cwd=fresh.path,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tidy.returncode == 0, tidy.stderr
    fresh.scons("provenance", env=env)
    checksum = next(line.split()[2] for line in fresh.read("go.sum").splitlines() if "/go.mod" not in line)
    known = base64.b64decode(checksum.removeprefix("h1:")).hex()
    assert dependencies(fresh)["pkg:golang/example.org/words@v1.2.3"] == {"dirHash": known}


def test_bases_are_named_by_digest_and_so_is_their_line_of_images_lock(fresh: Tree, registry: Registry):
    base = push_image(f"{registry.host}/base:1", "linux/amd64", {"etc/base": b"1"})
    other = push_image(f"{registry.host}/other:1", "linux/arm64", {"etc/base": b"2"})
    for name, of in (("amd64", "base"), ("arm64", "other")):
        fresh.replace(f"Dockerfile.{name}", "FROM scratch", f"FROM {registry.host}/{of}:1")
    fresh.scons("provenance")
    assert fresh.scons("provenance").up_to_date, "a line of another image's base is no change"
    entries = predicate(fresh)["buildDefinition"]["resolvedDependencies"]
    (of_base,) = [entry for entry in entries if entry.get("uri", "").startswith("pkg:oci/base@sha256%3A")]
    assert of_base["digest"] == {"sha256": base.hex}
    assert of_base["annotations"] == {"role": "base"}
    (lock,) = [entry for entry in entries if entry.get("name") == "images.lock"]
    lines = base64.b64decode(lock["content"])
    assert hashlib.sha256(lines).hexdigest() == lock["digest"]["sha256"]
    assert str(base).encode() in lines
    assert str(other).encode() not in lines
    known = dependencies(fresh)
    fresh.append("images.lock", "# a remark\n")
    fresh.scons("provenance")
    assert changed(known, dependencies(fresh)) == ["images.lock"]


def test_the_index_that_named_a_base_and_the_trust_file_are_named(fresh: Tree, registry: Registry):
    key = Key(fresh.path / "keys", "good")
    manifest = push_image(f"{registry.host}/base:1-amd64", "linux/amd64", {"etc/base": b"1"})
    index = push_index(f"{registry.host}/base:1", {"linux/amd64": manifest})
    key.sign(f"{registry.host}/base:1")
    fresh.edit("trust.json", json.dumps({f"{registry.host}/*": {"keys": ["keys/good.pub"]}}))
    fresh.replace("Dockerfile.amd64", "FROM scratch", f"FROM {registry.host}/base:1")
    fresh.scons("provenance", "PLATFORMS=linux/amd64")
    entries = predicate(fresh)["buildDefinition"]["resolvedDependencies"]
    roles = {entry.get("annotations", {}).get("role"): entry["digest"] for entry in entries}
    assert roles["base"] == {"sha256": manifest.hex}
    assert roles["index of a base"] == {"sha256": index.hex}
    assert dependencies(fresh)["trust.json"] == {"sha256": sha256(fresh, "trust.json")}
    assert fresh.scons("provenance", "PLATFORMS=linux/amd64").up_to_date


def test_what_other_builders_make_is_named_by_what_it_is_made_from(fresh: Tree):
    fresh.edit("SConstruct", fresh.read("SConstruct").replace(
        'env.GoImage("demo")',
        'env.Command("made/upper.txt", "lower.txt", Copy("$TARGET", "$SOURCE"))\nenv.GoImage("demo")',
    ))  # fmt: skip
    fresh.edit("lower.txt", "words\n")
    fresh.append("Dockerfile.amd64", "COPY made /made\n")
    fresh.scons("provenance")
    named = dependencies(fresh)
    assert named["lower.txt"] == {"sha256": sha256(fresh, "lower.txt")}
    assert "made/upper.txt" not in named
    made = {thing["name"]: thing["digest"] for thing in predicate(fresh)["runDetails"]["byproducts"]}
    assert made["made/upper.txt"] == {"sha256": sha256(fresh, "lower.txt")}
    assert made["_output/bin/amd64/linux/demo"] == {"sha256": sha256(fresh, "_output/bin/amd64/linux/demo")}


def git(tree: Project, *arguments: str) -> str:
    who = ["-c", "user.email=someone@example.com", "-c", "user.name=someone"]
    done = subprocess.run(["git", *who, *arguments], cwd=tree.path, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_stands_with_the_index_where_that_names_it_and_never_with_an_image(fresh: Tree):
    git(fresh, "init", "-q")
    git(fresh, "add", "-A")
    git(fresh, "commit", "-q", "-m", "one")
    fresh.scons("provenance")
    image, index = fresh.read(AMD64), fresh.read(INDEX)
    assert "gitCommit" not in index
    git(fresh, "commit", "-q", "--allow-empty", "-m", "two")
    assert fresh.scons("provenance").up_to_date
    fresh.scons("provenance", "REVISION=yes")
    assert fresh.read(AMD64) == image
    (commit,) = [
        entry
        for entry in predicate(fresh, INDEX)["buildDefinition"]["resolvedDependencies"]
        if entry.get("uri", "").startswith("git+")
    ]
    assert commit["digest"] == {"gitCommit": git(fresh, "rev-parse", "HEAD")}
    assert commit["annotations"] == {"dirty": "no"}
    fresh.append("main.go", "// not committed\n")
    fresh.scons("provenance", "REVISION=yes")
    assert '"dirty":"yes"' in fresh.read(INDEX)


def test_times_and_the_id_of_a_run_stand_in_a_file_of_their_own(fresh: Tree):
    fresh.scons("provenance")
    tracked = {path.name: path.read_bytes() for path in (fresh.path / "_output/provenance").iterdir()}
    fresh.scons("provenance", "PROVENANCE=full")
    for name, content in tracked.items():
        assert (fresh.path / "_output/provenance" / name).read_bytes() == content
        assert b"startedOn" not in content
    full = predicate(fresh, AMD64.replace(".json", ".full.json"))
    metadata = full["runDetails"].pop("metadata")
    assert metadata["invocationId"].startswith("urn:uuid:")
    assert metadata["startedOn"] <= metadata["finishedOn"]
    assert full == predicate(fresh)
    assert fresh.scons("provenance").up_to_date


def test_env_provenance_takes_an_image_or_an_index(project: Project):
    project.edit("SConstruct", SCONSTRUCT)
    project.edit("Dockerfile", "FROM scratch\nCOPY file.txt /\n")
    project.edit("file.txt", "1")
    project.remove(".dockerignore")
    project.scons()
    assert dependencies(project, "dist/app.prov.json")["file.txt"]["sha256"] == sha256(project, "file.txt")
    assert dependencies(project, "dist/index.prov.json")["file.txt"]["sha256"] == sha256(project, "file.txt")
    given = predicate(project, "dist/app.prov.json")["buildDefinition"]["externalParameters"]
    assert given["secrets"] == ["token"]
    assert "s3cret" not in project.read("dist/app.prov.json")
    project.edit(
        "SConstruct",
        project.read("SConstruct").replace(
            'env.Provenance("dist/app.prov.json", image)', 'env.Provenance("dist/app.prov.json", "file.txt")'
        ),
    )
    run = project.scons(check=False)
    assert run.status != 0
    assert "file.txt: is made by another builder, so nothing is known of it" in run.text


SCONSTRUCT = """\
env = Environment(
    tools=["oci_settings", "oci_image", "oci_index", "oci_provenance"],
    DEFAULTS={"IMAGE": "app", "VERSION": "v1"},
)
image = env.Image(
    "dist/app.tar", dockerfile="Dockerfile", platform="linux/amd64", secrets="id=token,src=/run/s3cret", engine="embedded"
)
index = env.Index("dist/app.json", image, platforms=["linux/amd64"])
env.Default(env.Provenance("dist/app.prov.json", image), env.Provenance("dist/index.prov.json", index))
"""
