"""`reproduce`: what was published is built anew from its revision and compared; what cannot be is never "same"."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from machines.bases import push_image, store_of
from machines.project import Project, Run
from machines.registry import Registry
from machines.signing import Key, put_bundle
from machines.small import Tree
from multiarch_oci.artifact import Artifact
from multiarch_oci.attest.statement import PROVENANCE, statement
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.mediatype import IN_TOTO, INDEX, MANIFEST
from multiarch_oci.reference import Reference
from multiarch_oci.store.attaching import attach
from multiarch_oci.store.referrers import listing

STATEMENT = "_output/provenance/demo-v1.0.json"


def git(tree: Project, *words: str) -> str:
    who = ["-c", "user.email=someone@example.com", "-c", "user.name=someone"]
    done = subprocess.run(["git", *who, *words], cwd=tree.path, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(tree: Project) -> str:
    if not (tree.path / ".git").exists():
        git(tree, "init", "-q")
        tree.edit(".gitignore", "_output/\n.multiarch/\n__pycache__/\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "--allow-empty", "-m", "a change")
    return git(tree, "rev-parse", "HEAD")


def say(reference: str, content: bytes) -> None:
    """Attach a statement to what it is about, in the repository of a reference, unsigned."""
    store = store_of(Reference.parse(reference))
    digest = Digest("sha256", json.loads(content)["subject"][0]["digest"]["sha256"])
    subject = store.resolve(str(digest))
    assert subject is not None
    made = Artifact.of(IN_TOTO, subject, Descriptor.of(IN_TOTO, content))
    attach(store, digest, [(made, content)], before=listing(store, digest))


def publish(tree: Project, registry: Registry, *words: str) -> str:
    """Publish a tree with its provenance; return the reference."""
    reference = f"{registry.host}/demo:v1.0"
    tree.scons("push-manifest", "provenance", f"REGISTRY={registry.host}", *words)
    say(reference, (tree.path / STATEMENT).read_bytes())
    return reference


def reproduce(tree: Project, reference: str, *words: str, status: int = 0) -> Run:
    run = tree.scons("-Q", "reproduce", reference, *words, check=False, timeout=300)
    assert run.status == status, run.text
    assert "Traceback" not in run.text
    return run


def line(run: Run, begin: str) -> str:
    (found,) = [text for text in run.text.splitlines() if text.startswith(begin)]
    return found


def test_a_published_revision_is_the_same_also_when_the_tree_has_gone_on(fresh: Tree, registry: Registry):
    published = commit(fresh)
    reference = publish(fresh, registry)
    digest = registry.digest("demo", "v1.0")
    fresh.append("main.go", "\nfunc init() { println() }\n")
    fresh.append("share/greeting", "more\n")
    commit(fresh)
    fresh.append("main.go", "// not committed\n")
    before = {path for path in fresh.path.rglob("*") if ".git/" not in str(path)}
    run = reproduce(fresh, reference)
    assert line(run, "provenance:") == "provenance: unsigned"
    assert line(run, "revision:") == f"revision: {published}"
    assert "the build of that revision runs now" in run.text
    assert line(run, "linux/amd64:").startswith("linux/amd64: same, sha256:")
    assert line(run, "linux/arm64:").startswith("linux/arm64: same, sha256:")
    assert line(run, "index:") == f"index: same, {digest}"
    written = {path for path in fresh.path.rglob("*") if ".git/" not in str(path)} - before
    assert not [path for path in written if not {"pycache", "__pycache__"} & set(path.parts)], (
        "nothing is built in this tree"
    )


@pytest.mark.parametrize("cache", ["shared", "of SCons"])
def test_nothing_is_taken_from_a_cache_that_the_sconstruct_names(
    fresh: Tree, registry: Registry, tmp_path: Path, cache: str
):
    if cache == "shared":
        fresh.edit("custom.py", f'CACHE = "{tmp_path}/cache"\nCACHE_MODE = "readwrite"\n')
    else:
        fresh.append("SConstruct", f'\nenv.CacheDir("{tmp_path}/cache")\n')
    commit(fresh)
    reference = publish(fresh, registry)
    assert list((tmp_path / "cache").iterdir())
    fresh.go_starts()
    run = reproduce(fresh, reference)
    assert len([line for line in fresh.go_starts() if line.startswith("build ")]) == 2
    assert "from cache" not in run.text


def test_of_revisions_with_the_same_files_the_one_whose_sconstruct_made_it_is_found(fresh: Tree, registry: Registry):
    published = commit(fresh)
    reference = publish(fresh, registry)
    fresh.edit("SConstruct", fresh.read("SConstruct").replace("GoImage(", 'GoImage(labels={"team": "blue"}, name='))
    commit(fresh)
    run = reproduce(fresh, reference)
    assert "it differs; another revision has the same files and another SConstruct" in run.text
    assert [text for text in run.text.splitlines() if text.startswith("revision:")][1] == f"revision: {published}"
    assert line(run, "index:").startswith("index: same")


def test_the_commit_that_is_named_is_taken_and_from_is_any_clone(
    fresh: Tree, registry: Registry, variant: Callable[[str], Tree], tmp_path: Path
):
    published = commit(fresh)
    reference = publish(fresh, registry, "REVISION=yes")
    commit(fresh)  # an empty one, whose files are the same
    subprocess.run(["git", "clone", "-q", "--bare", str(fresh.path), str(tmp_path / "bare.git")], check=True)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(tmp_path / "bare.git"), str(clone)], check=True)
    other = variant("elsewhere")
    run = reproduce(other, reference, f"FROM={clone}")
    assert line(run, "revision:") == f"revision: {published}"
    assert line(run, "index:").startswith("index: same")


def test_who_signed_a_provenance_is_said_and_another_signature_does_not_count(
    fresh: Tree, registry: Registry, tmp_path: Path
):
    good, bad = Key(tmp_path, "good"), Key(tmp_path, "bad")
    commit(fresh)
    fresh.scons("push-manifest", "provenance", f"REGISTRY={registry.host}")
    reference = f"{registry.host}/demo:v1.0"
    subject = store_of(Reference.parse(reference)).resolve("v1.0")
    assert subject is not None
    put_bundle(reference, subject, good.signer.sign(IN_TOTO, (fresh.path / STATEMENT).read_bytes()))
    run = reproduce(fresh, reference, f"SIGN_KEY={good.public}")
    assert line(run, "provenance:") == f"provenance: signed by {good.identity}"
    assert line(run, "index:").startswith("index: same")
    run = reproduce(fresh, reference, f"SIGN_KEY={bad.public}", status=1)
    assert f"cannot be reproduced because its provenance is not signed by {bad.identity}" in run.text
    run = reproduce(fresh, reference)
    assert line(run, "provenance:").startswith("provenance: signed, which was not verified: SIGN_KEY or SIGN_IDENTITY")


def test_a_provenance_that_nobody_signed_does_not_count_where_it_is_said_who_has_to(
    fresh: Tree, registry: Registry, tmp_path: Path
):
    good = Key(tmp_path, "good")
    commit(fresh)
    reference = publish(fresh, registry)
    run = reproduce(fresh, reference, f"SIGN_KEY={good.public}", status=1)
    because = f"its provenance is not signed by {good.identity}: a statement has no signature"
    assert f"cannot be reproduced because {because}" in run.text
    assert "provenance: unsigned" not in run.text


def sabotaged(registry: Registry, tree: Project, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> str:
    """Publish an index whose amd64 image was changed, with a provenance that says what the true one says."""
    index = registry.json("demo", "v1.0")
    entry = index["manifests"][0]
    manifest = registry.json("demo", entry["digest"])
    config = json.loads(registry.ask("GET", f"/v2/demo/blobs/{manifest['config']['digest']}")[0])
    change(manifest, config)
    manifest["config"] = put(registry, manifest["config"], json.dumps(config).encode())
    content = json.dumps(manifest).encode()
    entry["digest"], entry["size"] = f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)
    registry.put_manifest("demo", entry["digest"], content, MANIFEST)
    registry.put_manifest("demo", "bad", json.dumps(index).encode(), INDEX)
    predicate = json.loads(tree.read(STATEMENT))["predicate"]
    again(registry, "bad", predicate)
    return f"{registry.host}/demo:bad"


def again(registry: Registry, tag: str, predicate: Mapping[str, Any]) -> None:
    digest = Digest.parse(str(registry.digest("demo", tag)))
    say(f"{registry.host}/demo:{tag}", statement(digest, "demo", PROVENANCE, predicate))


def put(registry: Registry, descriptor: dict[str, Any], content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    registry.put_blob("demo", content, digest)
    return {**descriptor, "digest": digest, "size": len(content)}


def test_one_byte_in_a_layer_is_named(fresh: Tree, registry: Registry):
    commit(fresh)
    publish(fresh, registry)

    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        layer = manifest["layers"][1]  # share
        archive = gzip.decompress(registry.ask("GET", f"/v2/demo/blobs/{layer['digest']}")[0])
        assert archive.count(b"hello\n") == 1
        archive = archive.replace(b"hello\n", b"hexlo\n")
        config["rootfs"]["diff_ids"][1] = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        manifest["layers"][1] = put(registry, layer, gzip.compress(archive, mtime=0))

    run = reproduce(fresh, sabotaged(registry, fresh, change), status=1)
    assert line(run, "linux/amd64:") == "linux/amd64: differs: layer 2, 'share/greeting': byte 2"
    assert line(run, "linux/arm64:").startswith("linux/arm64: same, ")
    assert line(run, "index:") == "index: differs, as its images do"


def test_a_variable_in_the_config_is_named(fresh: Tree, registry: Registry):
    commit(fresh)
    publish(fresh, registry)

    def change(_manifest: dict[str, Any], config: dict[str, Any]) -> None:
        config["config"].setdefault("Env", []).append("LD_PRELOAD=/tmp/x.so")

    run = reproduce(fresh, sabotaged(registry, fresh, change), status=1)
    shown = line(run, "linux/amd64:")
    assert shown.startswith("linux/amd64: differs: config.config.Env")
    assert "'LD_PRELOAD=/tmp/x.so'" in shown


def test_what_this_machine_has_in_another_version_is_said_with_a_difference(fresh: Tree, registry: Registry):
    commit(fresh)
    publish(fresh, registry)
    statement = fresh.read(STATEMENT)
    fresh.edit(STATEMENT, statement.replace('"compressor":"', '"compressor":"another, '))
    run = reproduce(fresh, sabotaged(registry, fresh, lambda _manifest, config: config.update(author="x")), status=1)
    shown = line(run, "linux/amd64:")
    assert shown.startswith(
        "linux/amd64: differs: config.author: 'x', in the other nothing (it was made with compressor"
    )
    assert "(" not in line(run, "linux/arm64:")


def test_an_image_alone_and_one_without_a_provenance(fresh: Tree, registry: Registry):
    commit(fresh)
    publish(fresh, registry)
    alone = f"{registry.host}/demo:v1.0-amd64"
    run = reproduce(fresh, alone, status=1)
    assert run.text.splitlines()[-1] == f"{alone}: cannot be reproduced because it has no provenance"
    say(alone, (fresh.path / "_output/provenance/demo-linux-amd64.json").read_bytes())
    run = reproduce(fresh, alone)
    assert line(run, "linux/amd64:").startswith("linux/amd64: same, ")
    missing = reproduce(fresh, f"{registry.host}/demo:v9", status=2)
    assert "demo:v9: is not in the registry" in missing.text


def test_what_was_made_of_uncommitted_files_cannot_be_reproduced(fresh: Tree, registry: Registry):
    commit(fresh)
    fresh.append("main.go", "// not committed\n")
    reference = publish(fresh, registry, "REVISION=yes")
    run = reproduce(fresh, reference, status=1)
    assert "cannot be reproduced because files were not as in the commit when it was made" in run.text
    fresh.scons("clean")
    registry.empty()
    reference = publish(fresh, registry)  # which names no commit
    run = reproduce(fresh, reference, status=1)
    assert "cannot be reproduced because no commit of '.' has the files that it was made from: 'main.go'" in run.text


def test_bases_are_those_of_the_provenance_not_of_today(fresh: Tree, registry: Registry):
    push_image(f"{registry.host}/base:1", "linux/amd64", {"etc/base": b"1"})
    fresh.replace("Dockerfile.amd64", "FROM scratch", f"FROM {registry.host}/base:1")
    fresh.edit(".gitignore", "images.lock\n_output/\n.multiarch/\n")
    git(fresh, "init", "-q")
    commit(fresh)
    reference = publish(fresh, registry)
    push_image(f"{registry.host}/base:1", "linux/amd64", {"etc/base": b"2"})
    (fresh.path / "images.lock").unlink()
    run = reproduce(fresh, reference)
    assert line(run, "index:").startswith("index: same")


def external(fresh: Tree, registry: Registry) -> str:
    push_image(f"{registry.host}/demo:v1.0-riscv64", "linux/riscv64", {"demo": b"theirs"})
    return publish(fresh, registry, "EXTERNAL=v1.0-riscv64")


def test_an_external_image_is_said_to_be_one_and_the_others_are_compared(fresh: Tree, registry: Registry):
    commit(fresh)
    run = reproduce(fresh, external(fresh, registry), status=1)
    assert line(run, "linux/riscv64:") == (
        "linux/riscv64: cannot be reproduced because it is external: somebody else pushed it"
    )
    assert line(run, "linux/amd64:").startswith("linux/amd64: same, ")
    assert line(run, "index:") == "index: cannot be reproduced because not all of its images can"


HOSTILE = {
    "a variable that is code": (
        lambda p: p["buildDefinition"]["externalParameters"].update(variables={"LABELS": "a=${__import__('os')}"}),
        "which nobody takes from a stranger",
    ),
    "a target elsewhere": (
        lambda p: p["buildDefinition"]["internalParameters"].update(target="../../x"),
        "which is no path in a tree",
    ),
    "a flag that names a program": (
        lambda p: program(p).update(GOFLAGS="-toolexec=/evil"),
        "which is not taken from a stranger",
    ),
    "a compiler": (lambda p: program(p).update(CC="/evil"), "which is not taken from a stranger"),
    "no Go that there is": (
        lambda p: dependency(p, "pkg:generic/go@").update(uri="pkg:generic/go@1.999.1"),
        "Go 1.999.1 cannot be had",
    ),
    "no release of Go": (
        lambda p: dependency(p, "pkg:generic/go@").update(uri="pkg:generic/go@../../evil"),
        "which is no release of Go",
    ),
    "another engine": (
        lambda p: [
            image.update(engine="podman") for image in p["buildDefinition"]["internalParameters"]["images"].values()
        ],
        "cannot be reproduced because its engine was podman, and what RUN does there is not known",
    ),
    "another builder": (
        lambda p: p["buildDefinition"].update(buildType="https://example.com/other"),
        "its provenance is of another builder: 'https://example.com/other'",
    ),
    "nothing": (lambda p: p.clear(), "its provenance is of another builder"),
    "lists": (lambda p: p["buildDefinition"].update(internalParameters=[]), "is a list, not a JSON object"),
}


def program(predicate: dict[str, Any]) -> dict[str, Any]:
    images = predicate["buildDefinition"]["internalParameters"]["images"]
    found: dict[str, Any] = images["linux/amd64"]["programs"]["_output/bin/amd64/linux/demo"]
    return found


def dependency(predicate: dict[str, Any], begin: str) -> dict[str, Any]:
    entries = predicate["buildDefinition"]["resolvedDependencies"]
    (found,) = [entry for entry in entries if entry.get("uri", "").startswith(begin)]
    entry: dict[str, Any] = found
    return entry


def test_what_a_stranger_says_is_no_command_and_no_traceback(fresh: Tree, registry: Registry):
    commit(fresh)
    publish(fresh, registry)
    true = json.loads(fresh.read(STATEMENT))["predicate"]
    index = registry.json("demo", "v1.0")
    for number, (name, (change, words)) in enumerate(HOSTILE.items()):
        predicate = json.loads(json.dumps(true))
        change(predicate)
        index["annotations"] = {"number": str(number)}
        registry.put_manifest("demo", f"h{number}", json.dumps(index).encode(), INDEX)
        again(registry, f"h{number}", predicate)
        run = fresh.scons("-Q", "reproduce", f"{registry.host}/demo:h{number}", check=False)
        assert run.status in (1, 2), (name, run.text)
        assert words in run.text, (name, run.text)
        assert "Traceback" not in run.text
        assert ": same" not in run.text


def test_what_is_run_is_named_on_the_command_line_alone(fresh: Tree, registry: Registry):
    commit(fresh)
    for given, words in (
        ("git://example.com/x", "FROM: 'git://example.com/x' is neither"),
        ("ext::sh -c touch% x", "is in no repository of git"),
        ("nowhere", "FROM: 'nowhere' is in no repository of git"),
    ):
        run = fresh.scons("-Q", "reproduce", f"{registry.host}/demo:v1.0", f"FROM={given}", check=False)
        assert run.status == 2, run.text
        assert words in run.text or "is not in the registry" in run.text
    fresh.edit("custom.py", 'FROM = "https://example.com/x.git"\n')
    run = fresh.scons("-Q", "reproduce", f"{registry.host}/demo:v1.0", check=False)
    assert (run.status, "FROM: is taken from the command line alone" in run.text) == (2, True)
    (fresh.path / "custom.py").unlink()
    run = fresh.scons("-Q", "reproduce", check=False)
    assert (run.status, "reproduce: takes one reference, and has 0" in run.text) == (2, True)
