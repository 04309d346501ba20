"""CACHE_KEY: an entry that anybody could write counts only with a signature (behaviour, section 9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from machines.damage import spoil
from machines.project import Run
from machines.registry import Registry
from machines.small import Tree
from scons_multiarch.shared.sealing import key_name

Maker = Callable[[str], Tree]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Keys:
    """A pair of key files."""

    def __init__(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.private, self.public = folder / f"{name}.key", folder / f"{name}.pub"
        self.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.private.chmod(0o600)
        self.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture
def ours(tmp_path: Path) -> Keys:
    return Keys(tmp_path, "ours")


def build(tree: Tree, registry: Registry, *words: str, check: bool = True) -> Run:
    return tree.scons("manifest", f"CACHE={registry.host}/cache", *words, check=check)


def written(variant: Maker, registry: Registry, *words: str) -> Tree:
    tree = variant("first")
    build(tree, registry, "CACHE_MODE=readwrite", *words)
    return tree


def manifest(tree: Tree) -> str:
    return tree.read("_output/manifest/demo-v1.0.json")


def test_what_the_key_signed_counts(variant: Maker, registry: Registry, ours: Keys):
    first = written(variant, registry, f"CACHE_KEY={ours.private}")
    second = variant("second")
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert run.text.count(": from cache") == 4
    assert manifest(second) == manifest(first)


@pytest.mark.parametrize("by", ["nobody", "another key"])
def test_what_it_did_not_sign_does_not(variant: Maker, registry: Registry, ours: Keys, tmp_path: Path, by: str):
    first = written(variant, registry, *([f"CACHE_KEY={Keys(tmp_path, 'theirs').private}"] if by != "nobody" else []))
    second = variant("second")
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert ": from cache" not in run.text
    assert "is left out" in run.text
    assert manifest(second) == manifest(first)


def programs_of(registry: Registry) -> dict[str, dict[str, Any]]:
    """The entries of programs, by their tags."""
    entries = {tag: registry.json("cache", tag) for tag in registry.tags("cache")}
    kinds = {tag: entry["annotations" if "annotations" in entry else "config"] for tag, entry in entries.items()}
    return {tag: entry for tag, entry in entries.items() if kinds[tag].get("multiarch.kind") == "program"}


def test_a_program_of_another_machine_does_not_count(variant: Maker, registry: Registry):
    first = written(variant, registry)
    (one, mine), (other, theirs) = programs_of(registry).items()
    mine["layers"], theirs["layers"] = theirs["layers"], mine["layers"]
    for tag, entry in ((one, mine), (other, theirs)):
        registry.put_manifest("cache", tag, json.dumps(entry).encode(), MANIFEST)
    second = variant("second")
    run = build(second, registry)
    assert run.text.count("Compile") == 2
    assert run.text.count("is a program for ") == 2  # both are said
    assert manifest(second) == manifest(first)


def poison(registry: Registry, *, sign_as_is: bool) -> None:
    """Put a program of somebody else under the key of each program: right digests, right tag, and a layer that fits."""
    evil = b"#!/bin/sh\necho evil\n"
    digest = f"sha256:{hashlib.sha256(evil).hexdigest()}"
    registry.put_blob("cache", evil, digest)
    for tag, document in programs_of(registry).items():
        document["layers"][0] |= {"digest": digest, "size": len(evil)}
        document["layers"][0]["annotations"].pop("multiarch.head", None)
        if not sign_as_is:
            del document["annotations"]["multiarch.signature"]
        registry.put_manifest("cache", tag, json.dumps(document).encode(), MANIFEST)


@pytest.mark.parametrize("sign_as_is", [True, False])
def test_a_poisoned_entry_with_right_digests_is_refused(
    variant: Maker, registry: Registry, ours: Keys, sign_as_is: bool
):
    first = written(variant, registry, f"CACHE_KEY={ours.private}")
    poison(registry, sign_as_is=sign_as_is)
    second = variant("second")
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert run.text.count("Compile") == 2
    assert "is left out" in run.text
    assert manifest(second) == manifest(first)


def test_an_entry_of_another_scope_or_key_is_not_believed(variant: Maker, registry: Registry, ours: Keys):
    written(variant, registry, f"CACHE_KEY={ours.private}", "CACHE_SCOPE=pulls")
    for tag in registry.tags("cache"):
        document = registry.json("cache", tag)
        if "annotations" in document and "multiarch.scope" in document["annotations"]:
            del document["annotations"]["multiarch.scope"]
            registry.put_manifest("cache", tag, json.dumps(document).encode(), MANIFEST)
    run = build(variant("second"), registry, f"CACHE_KEY={ours.public}")
    assert ": from cache" not in run.text


@pytest.mark.parametrize("asked", [("manifest",), ("why", "manifest"), ("plan", "manifest"), ("manifest", "-n")])
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("missing.pub", "there is no file missing.pub"),
        ("VERSION", "VERSION holds no key"),
        ("share", "share is a folder, not a file"),
    ],
)
def test_a_key_that_is_none_costs_no_traceback(
    fresh: Tree, registry: Registry, key: str, text: str, asked: tuple[str, ...]
):
    run = fresh.scons(*asked, f"CACHE={registry.host}/cache", f"CACHE_KEY={key}", check=False)
    assert f"CACHE_KEY: {text}\n  hint: the file of a key, in PEM\n" in run.text
    assert run.status == 2
    assert "Traceback" not in run.text


@pytest.mark.parametrize("asked", [("manifest", "-j4"), ("why", "manifest"), ("plan", "manifest")])
@pytest.mark.parametrize("instead", ["nothing", "a folder", "no key"])
def test_a_key_that_is_lost_while_a_run_reads_what_there_is_to_build_ends_no_run(
    variant: Maker, registry: Registry, ours: Keys, asked: tuple[str, ...], instead: str
):
    first = written(variant, registry, f"CACHE_KEY={ours.private}")
    second = variant("second")
    build(second, registry, f"CACHE_KEY={ours.public}")
    put = {"nothing": "pass", "a folder": "os.mkdir(key)", "no key": "open(key, 'w').close()"}[instead]
    second.append("SConstruct", f"\nimport os\nkey = {str(ours.public)!r}\nos.unlink(key)\n{put}\n")
    second.append("main.go", "// a comment\n")
    run = second.scons(*asked, f"CACHE={registry.host}/cache", f"CACHE_KEY={ours.public}", timeout=60)
    assert "Traceback" not in run.text
    assert ": from cache" not in run.text
    assert manifest(second) == manifest(first)


def test_who_writes_needs_the_private_key(fresh: Tree, registry: Registry, ours: Keys):
    run = build(fresh, registry, f"CACHE_KEY={ours.public}", "CACHE_MODE=readwrite", check=False)
    assert run.status == 2
    assert "is a public key, which signs nothing" in run.text


def test_what_was_taken_before_there_was_a_key_is_not_believed_any_more(variant: Maker, registry: Registry, ours: Keys):
    first = written(variant, registry)
    poison(registry, sign_as_is=True)
    second = variant("second")
    run = build(second, registry)
    assert run.text.count(": from cache") == 2
    assert manifest(second) != manifest(first)
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert ": from cache" not in run.text
    assert run.text.count("it came from the cache without a signature of this CACHE_KEY") == 2
    assert manifest(second) == manifest(first)
    assert build(second, registry, f"CACHE_KEY={ours.public}").up_to_date


@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize("damage", ["gone", "cut in half", "a list", "a folder"])
def test_what_was_taken_before_there_was_a_key_is_not_believed_whatever_is_damaged(
    variant: Maker,
    registry: Registry,
    ours: Keys,
    damage: str,
    records: bool,  # a parameter of pytest
):
    first = written(variant, registry)
    poison(registry, sign_as_is=True)
    second = variant("second")
    build(second, registry)
    spoil(second, damage, records=records)
    run = build(second, registry, f"CACHE_KEY={ours.public}", check=False)
    assert "Traceback" not in run.text
    if damage == "a folder":  # what is in the way of a file is said
        assert (run.status, "move it aside" in run.text or "remove it" in run.text) == (2, True), run.text
        return
    assert run.status == 0, run.text
    assert ": from cache" not in run.text
    assert manifest(second) == manifest(first)
    assert build(second, registry, f"CACHE_KEY={ours.public}").up_to_date


def test_what_was_taken_unsigned_is_taken_again_where_it_is_signed_now(variant: Maker, registry: Registry, ours: Keys):
    written(variant, registry)
    second = variant("second")
    build(second, registry)
    signed = variant("third")
    build(signed, registry, "CACHE_MODE=write", f"CACHE_KEY={ours.private}")
    second.go_starts()
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert run.text.count("from cache") == 4
    assert [step for step in run.steps if not step.startswith(("Compile", "Image"))] == []
    assert second.go_starts() == []  # the listing, too, is a signed one
    assert build(second, registry, f"CACHE_KEY={ours.public}").up_to_date


def test_what_was_made_here_is_believed_whatever_the_key(variant: Maker, registry: Registry, ours: Keys):
    first = written(variant, registry)
    assert build(first, registry, f"CACHE_KEY={ours.public}").up_to_date


def test_what_was_made_without_a_cache_after_it_was_taken_is_made_here(variant: Maker, registry: Registry, ours: Keys):
    written(variant, registry)
    second = variant("second")
    build(second, registry)
    second.edit("main.go", second.read("main.go") + "\nfunc init() { println() }\n")
    second.scons("manifest")
    assert build(second, registry, f"CACHE_KEY={ours.public}").up_to_date


@pytest.mark.parametrize("lost", [True, False])
def test_what_was_made_in_the_place_of_what_the_cache_lost_is_made_here(
    variant: Maker, registry: Registry, ours: Keys, lost: bool
):
    written(variant, registry)
    programs = [entry["layers"][0]["digest"] for entry in programs_of(registry).values()]
    second = variant("second")
    build(second, registry)
    for digest in programs if lost else ():
        registry.blob(digest).unlink()
    for name in ("Dockerfile.amd64", "Dockerfile.arm64"):
        second.append(name, "LABEL more=yes\n")
    assert ("is made here" in build(second, registry).text) == lost
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert run.up_to_date == lost
    assert run.text.count("Compile") == (0 if lost else 2)


def test_what_was_held_counts_as_it_did_when_it_is_a_file(variant: Maker, registry: Registry, ours: Keys):
    written(variant, registry)
    second = variant("second")
    build(second, registry)
    assert second.scons("bin", f"CACHE={registry.host}/cache").text.count(": from cache") == 2
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert run.text.count("it came from the cache without a signature of this CACHE_KEY") == 4


def test_the_cache_of_scons_gives_nothing_that_counts_no_more(
    variant: Maker, registry: Registry, ours: Keys, tmp_path: Path
):
    cached = f"env.CacheDir({str(tmp_path / 'scons-cache')!r})\n"
    first = written(variant, registry)
    first.append("SConstruct", cached)
    build(first, registry, "--cache-force")
    second = variant("second")
    build(second, registry)
    second.append("SConstruct", cached)
    run = build(second, registry, f"CACHE_KEY={ours.public}")
    assert "Retrieved `_output/bin" not in run.text
    assert "Retrieved `_output/images" not in run.text
    assert build(second, registry, f"CACHE_KEY={ours.public}").up_to_date


@pytest.mark.parametrize(("private", "public"), [("ci.key", "ci.pub"), ("ci.pem", "ci.pem.pub")])
def test_a_key_has_one_name_by_both_of_its_files(fresh: Tree, ours: Keys, private: str, public: str):
    top = fresh.path.parent
    stray = Keys(top, "ci")  # ci.pub is beside ci.pem, and is not its half
    (top / private).write_bytes(ours.private.read_bytes())
    (top / public).write_bytes(ours.public.read_bytes())

    def name(key: Path) -> str:
        return key_name(key, str(key))

    assert name(top / private) == name(top / public) == name(ours.private)
    other = Keys(top, "other")
    assert name(other.private) != name(ours.private)
    assert (name(stray.public) == name(ours.private)) == (public == "ci.pub")
