"""The shared cache: what one machine built another one publishes, without its bytes (behaviour, section 9)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.project import Run
from machines.registry import Registry
from machines.small import Tree

Maker = Callable[[str], Tree]
PROGRAM = "_output/bin/amd64/linux/demo"
FROM_CACHE = ": from cache"


class Machines:
    """Fresh clones of one tree; what the registry is asked by each is counted."""

    def __init__(self, make: Maker, proxy: FaultProxy, registry: Registry) -> None:
        self._make = make
        self.proxy = proxy
        self.registry = registry
        self.place = f"{proxy.host}/team/cache"

    def clone(self, name: str) -> Tree:
        return self._make(name)

    def run(self, tree: Tree, *words: str, cache: str | None = None, mode: str = "read", **keywords: object) -> Run:
        """Run SCons with the cache; what was counted before is forgotten."""
        self.proxy.forget()
        tree.go_starts()
        given = (f"CACHE={self.place if cache is None else cache}", f"CACHE_MODE={mode}")
        registry = () if any(word.startswith("REGISTRY=") for word in words) else (f"REGISTRY={self.proxy.host}",)
        return tree.scons(*words, *registry, *given, **keywords)  # type: ignore[arg-type]

    def first(self, *words: str, **keywords: object) -> Tree:
        """Return the tree of the machine that builds all, and writes to the cache."""
        tree = self.clone("first")
        self.run(tree, *(words or ("push-manifest",)), mode="readwrite", **keywords)
        return tree

    def fetched(self) -> list[str]:
        """The paths of blobs that were downloaded."""
        return [seen.path for seen in self.proxy.seen if seen.kind == "GET blob"]

    def digests(self, repository: str = "demo") -> dict[str, str | None]:
        tags = ("v1.0", "v1.0-amd64", "v1.0-arm64")
        return {tag: self.registry.digest(repository, tag) for tag in tags}


@pytest.fixture
def machines(variant: Maker, registry: Registry) -> Iterator[Machines]:
    with FaultProxy(registry.host) as proxy:
        yield Machines(variant, proxy, registry)


def cached(run: Run) -> Counter[str]:
    """The verbs of the steps whose outputs came out of the cache."""
    lines = [line for line in run.text.splitlines() if line.endswith(FROM_CACHE)]
    return Counter(line.partition(" ")[0] for line in lines)


def made(run: Run) -> Counter[str]:
    """The verbs of the steps that were performed."""
    return Counter(step.partition(" ")[0] for step in run.steps) - cached(run)


def builds(tree: Tree) -> list[str]:
    """The starts of `go build`."""
    return [line for line in tree.go_starts() if line.startswith("build")]


def entries(machines: Machines) -> list[str]:
    return [tag for tag in machines.registry.tags("team/cache") if not tag.startswith("cache-list-")]


def blob_of(machines: Machines, kind: str) -> list[Path]:
    """The files of the blobs that entries of a kind name, in the registry's storage."""
    documents = [machines.registry.json("team/cache", tag) for tag in entries(machines)]
    layers = [
        layer
        for document in documents
        if document["annotations"]["multiarch.kind"] == kind
        for layer in document["layers"]
        if layer["mediaType"] != "application/vnd.oci.image.config.v1+json"
    ]
    return [machines.registry.blob(layer["digest"]) for layer in layers]


def test_another_machine_publishes_without_a_byte_of_a_layer(machines: Machines):
    first = machines.first()
    digests = machines.digests()
    second = machines.clone("second")
    run = machines.run(second, "push-manifest")
    assert cached(run) == {"Compile": 2, "Image": 2}
    assert made(run) == {"Index": 1, "Push": 2, "Publish": 1}
    assert second.go_starts() == []
    assert machines.digests() == digests
    assert machines.fetched() == []
    assert machines.proxy.uploaded() == 0
    assert machines.proxy.kinds() == {"GET manifest": 5, "HEAD manifest": 3}
    assert not (second.path / PROGRAM).exists()
    assert second.read("_output/manifest/demo-v1.0.json") == first.read("_output/manifest/demo-v1.0.json")


def test_another_repository_gets_its_layers_by_mounts(machines: Machines):
    machines.first()
    digests = machines.digests()
    run = machines.run(machines.clone("second"), "push-manifest", f"REGISTRY={machines.proxy.host}/other")
    assert cached(run) == {"Compile": 2, "Image": 2}
    assert machines.digests("other/demo") == digests
    assert machines.fetched() == []
    assert machines.proxy.kinds()["PUT blob"] == 0
    assert machines.proxy.uploaded() < 8 << 10  # manifests


def test_a_run_with_nothing_to_do_asks_no_cache(machines: Machines):
    machines.first()
    second = machines.clone("second")
    machines.run(second, "push-manifest")
    run = machines.run(second, "push-manifest")
    assert run.up_to_date
    assert machines.proxy.kinds() == {"HEAD manifest": 3}
    assert second.go_starts() == []
    assert not (second.path / PROGRAM).exists()
    without = second.scons("push-manifest", f"REGISTRY={machines.proxy.host}")
    assert without.up_to_date


def test_programs_that_are_asked_for_become_files(machines: Machines):
    first = machines.first()
    second = machines.clone("second")
    machines.run(second, "manifest")
    assert not (second.path / PROGRAM).exists()
    run = second.scons("bin", f"REGISTRY={machines.proxy.host}")  # where they are is known, also without CACHE
    assert cached(run) == {"Compile": 2}
    assert builds(second) == []
    assert (second.path / PROGRAM).read_bytes() == (first.path / PROGRAM).read_bytes()
    assert os.access(second.path / PROGRAM, os.X_OK)
    assert machines.run(second, "bin", "manifest").up_to_date
    third = machines.clone("third")
    run = machines.run(third, PROGRAM)
    assert cached(run) == {"Compile": 1}
    assert (third.path / PROGRAM).exists()


def test_what_others_make_of_a_program_sees_its_bytes(machines: Machines):
    machines.first()
    second = machines.clone("second")
    second.append("SConstruct", f'env.Command("size.txt", "{PROGRAM}", "wc -c < $SOURCE > $TARGET")\n')
    run = machines.run(second, "manifest", "size.txt")
    assert cached(run) == {"Compile": 2, "Image": 2}
    assert builds(second) == []
    size = (second.path / PROGRAM).stat().st_size
    assert int(second.read("size.txt")) == size
    assert not (second.path / PROGRAM.replace("amd64", "arm64")).exists()


def test_a_program_that_is_held_becomes_a_file_when_a_later_run_reads_it(machines: Machines):
    machines.first()
    second = machines.clone("second")
    second.append("SConstruct", f'env.Command("size.txt", "{PROGRAM}", "wc -c < $SOURCE > $TARGET")\n')
    machines.run(second, "manifest")
    assert not (second.path / PROGRAM).exists()
    run = machines.run(second, "size.txt")
    assert cached(run) == {"Compile": 1}
    assert int(second.read("size.txt")) == (second.path / PROGRAM).stat().st_size


def test_a_dockerfile_that_changes_has_its_programs_fetched(machines: Machines):
    machines.first()
    second = machines.clone("second")
    machines.run(second, "manifest")
    second.append("Dockerfile.amd64", "LABEL a=b\n")
    run = machines.run(second, "push-manifest")
    assert made(run) == {"Image": 1, "Index": 1, "Push": 2, "Publish": 1}
    assert "fetched from the cache" in run.text
    assert builds(second) == []
    assert len(machines.fetched()) == 1
    alone = machines.clone("alone")
    alone.append("Dockerfile.amd64", "LABEL a=b\n")
    alone.scons("manifest")
    assert alone.read("_output/manifest/demo-v1.0.json") == second.read("_output/manifest/demo-v1.0.json")


def test_a_comment_stops_at_the_program(machines: Machines):
    machines.first()
    second = machines.clone("second")
    second.append("main.go", "// a comment\n")
    run = machines.run(second, "push-manifest", mode="readwrite")
    assert made(run) == {"Compile": 2, "Index": 1, "Push": 2, "Publish": 1}
    assert cached(run) == {"Image": 2}
    third = machines.clone("third")
    machines.run(third, "push-manifest")
    third.append("main.go", "// a comment\n")
    run = machines.run(third, "push-manifest")
    assert cached(run) == {"Compile": 2}
    assert made(run) == {}


def test_what_is_read_is_not_written(machines: Machines):
    tree = machines.clone("first")
    machines.run(tree, "push-manifest")
    assert machines.registry.tags("team/cache") == []
    assert "POST" not in {seen.kind for seen in machines.proxy.seen if "team/cache" in seen.path}


def test_a_later_version_whose_steps_make_other_bytes_takes_nothing_of_this_one(machines: Machines):
    machines.first("manifest")
    second = machines.clone("second")
    second.replace("site_scons/scons_multiarch/tracking/nodes.py", "REVISION = 1", "REVISION = 2")
    assert cached(machines.run(second, "manifest")) == {}


@pytest.mark.parametrize("flag", ["-buildvcs=auto", "-trimpath=false"])
def test_a_program_with_the_commit_or_paths_of_a_machine_is_compiled_by_each(machines: Machines, flag: str):
    first = machines.first("bin", env={"GOFLAGS": flag})
    assert len(builds(first)) == 2
    kinds = {machines.registry.json("team/cache", tag)["annotations"]["multiarch.kind"] for tag in entries(machines)}
    assert "program" not in kinds


def test_builds_of_another_scope_share_nothing(machines: Machines):
    machines.first()
    run = machines.run(machines.clone("second"), "manifest", "CACHE_SCOPE=pulls", mode="readwrite")
    assert cached(run) == {}
    run = machines.run(machines.clone("third"), "manifest", "CACHE_SCOPE=pulls")
    assert cached(run) == {"Compile": 2, "Image": 2}


@pytest.mark.parametrize("lost", ["program", "image"])
@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_blob_that_the_cache_lost_is_made_again(machines: Machines, lost: str, how: str):
    machines.first("manifest")
    second = machines.clone("second")
    for path in set(blob_of(machines, lost)):
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(b"x" * path.stat().st_size)
    # What a registry mounts is not looked at: bytes that it damaged itself are `verify`'s to find.
    push = ("push-manifest",) if how == "gone" else ("release",)
    run = machines.run(second, *push, "bin", f"REGISTRY={machines.proxy.host}/other")
    assert run.status == 0
    assert run.text.count("is made here") >= 2
    alone = machines.clone("alone")
    alone.scons("bin", "manifest", "release")
    machines.run(second, "manifest")
    assert alone.read("_output/manifest/demo-v1.0.json") == second.read("_output/manifest/demo-v1.0.json")
    assert (second.path / PROGRAM).read_bytes() == (alone.path / PROGRAM).read_bytes()
    if how == "gone":
        second.scons("verify", f"REGISTRY={machines.proxy.host}/other", "VERIFY=content")


@pytest.mark.parametrize("lost", ["program", "image"])
def test_who_writes_puts_back_what_the_cache_lost(machines: Machines, lost: str):
    machines.first("manifest")
    for path in set(blob_of(machines, lost)):
        path.unlink()
    words = ("push-manifest", "bin", f"REGISTRY={machines.proxy.host}/other")
    assert machines.run(machines.clone("second"), *words, mode="readwrite").text.count("is made here") >= 2
    assert "is made here" not in machines.run(machines.clone("third"), *words).text


def test_what_was_made_of_an_image_stays_when_its_lost_layers_are_made_again(machines: Machines):
    machines.first("manifest")
    second = machines.clone("second")
    machines.run(second, "manifest")
    for path in set(blob_of(machines, "image")):
        path.unlink()
    run = machines.run(second, "release")  # the index is not asked for, and was made of the tarballs without layers
    assert "the cache has its layers no more" in run.text
    assert machines.run(second, "manifest").up_to_date
    assert machines.run(second, "manifest", "release").up_to_date


def test_a_program_that_is_held_and_lost_is_made_for_an_image(machines: Machines):
    machines.first("manifest")
    second = machines.clone("second")
    machines.run(second, "manifest")
    for path in set(blob_of(machines, "program")):
        path.unlink()
    second.append("Dockerfile.amd64", "LABEL a=b\n")
    run = machines.run(second, "manifest")
    assert "it is made here" in run.text
    assert len(builds(second)) == 1
    assert machines.run(second, "manifest").up_to_date


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"schemaVersion":2}', b"[]"])
def test_an_entry_that_is_none_costs_time_alone(machines: Machines, content: bytes):
    first = machines.first("manifest")
    for tag in entries(machines):
        digest = machines.registry.digest("team/cache", tag)
        assert digest is not None
        machines.registry.blob(digest).write_bytes(content)
    second = machines.clone("second")
    run = machines.run(second, "manifest")
    assert cached(run) == {}
    assert "Traceback" not in run.text
    assert second.read("_output/manifest/demo-v1.0.json") == first.read("_output/manifest/demo-v1.0.json")


def test_a_cache_that_is_down_costs_time_alone(machines: Machines):
    second = machines.clone("second")
    run = machines.run(second, "manifest", cache="127.0.0.1:1/cache", mode="readwrite")
    assert made(run) == {"Compile": 2, "Image": 2, "Index": 1}
    assert "cannot be read" in run.text


def test_a_folder_is_a_cache(machines: Machines, tmp_path: Path):
    folder = tmp_path / "shared"
    machines.first(cache=str(folder))
    digests = machines.digests()
    assert (folder / "oci-layout").is_file()
    second = machines.clone("second")
    run = machines.run(second, "push-manifest", f"REGISTRY={machines.proxy.host}/other", cache=str(folder))
    assert cached(run) == {"Compile": 2, "Image": 2}
    assert machines.digests("other/demo") == digests
    assert machines.run(second, "push-manifest", f"REGISTRY={machines.proxy.host}/other", cache=str(folder)).up_to_date


def test_the_images_own_repository_is_a_cache(machines: Machines):
    machines.first(cache="REGISTRY")
    digests = machines.digests()
    machines.registry.delete_tag("demo", "v1.0-arm64")
    run = machines.run(machines.clone("second"), "push-manifest", cache="REGISTRY")
    assert cached(run) == {"Compile": 2, "Image": 2}
    assert machines.digests() == digests
    assert machines.fetched() == []
    assert machines.proxy.kinds()["mount"] == 0


def test_what_is_cleaned_is_looked_for_again(machines: Machines):
    machines.first()
    second = machines.clone("second")
    machines.run(second, "push-manifest")
    machines.run(second, "-c", "push-manifest")
    run = machines.run(second, "push-manifest")
    assert cached(run) == {"Compile": 2, "Image": 2}
    machines.run(second, "clean")
    run = machines.run(second, "push-manifest")
    assert cached(run) == {"Compile": 2, "Image": 2}


def test_a_rehearsal_writes_nothing_and_says_what_the_cache_has(machines: Machines):
    machines.first()
    second = machines.clone("second")
    run = machines.run(second, "-n", "push-manifest")
    assert cached(run) == {"Compile": 2, "Image": 2}
    assert not (second.path / "_output" / "images").exists()
    assert not (second.path / ".multiarch" / "held.json").exists()
    assert cached(machines.run(second, "push-manifest")) == {"Compile": 2, "Image": 2}


def test_a_release_of_an_image_from_the_cache_holds_all(machines: Machines):
    first = machines.first("release")
    second = machines.clone("second")
    machines.run(second, "release")
    name = "_output/release/demo-v1.0-linux-amd64.tar"
    assert (second.path / name).read_bytes() == (first.path / name).read_bytes()
    assert builds(second) == []


def test_entries_name_what_was_put_in_and_show_nothing(machines: Machines):
    tree = machines.clone("first")
    machines.run(tree, "manifest", "BUILD_ARGS=TOKEN=a-secret-of-mine", mode="readwrite")
    content = "".join(json.dumps(machines.registry.json("team/cache", tag)) for tag in entries(machines))
    assert "build argument TOKEN" in content
    assert "a-secret-of-mine" not in content
    assert str(tree.path) not in content


def test_deleting_entries_takes_no_tag_of_an_image_along(machines: Machines):
    machines.first(cache="REGISTRY")
    digests = machines.digests()
    for tag in [tag for tag in machines.registry.tags("demo") if tag.startswith("cache-")]:
        digest = machines.registry.digest("demo", tag)
        if digest is not None:
            machines.registry.delete_manifest("demo", digest)
    assert machines.digests() == digests


def test_scons_own_cache_works_beside_it(machines: Machines, tmp_path: Path):
    machines.first()
    folder = tmp_path / "scons-cache"
    trees = [machines.clone(name) for name in ("second", "third")]
    for tree in trees:
        tree.append("SConstruct", f"env.CacheDir({str(folder)!r})\n")
    run = machines.run(trees[0], "manifest")
    assert cached(run) == {"Compile": 2, "Image": 2}
    run = machines.run(trees[0], "bin")
    assert cached(run) == {"Compile": 2}
    run = machines.run(trees[1], "bin", "manifest")
    assert run.status == 0
    assert builds(trees[1]) == []
    shutil.rmtree(folder, ignore_errors=True)
    assert machines.run(trees[1], "bin", "manifest").up_to_date


def test_an_sbom_is_taken_and_is_made_of_layers_that_are_in_the_cache_alone(machines: Machines):
    first = machines.first("manifest")
    name = "_output/sbom/demo-linux-amd64.spdx.json"
    second = machines.clone("second")
    machines.run(second, "manifest")
    run = machines.run(second, "sbom", mode="readwrite")
    assert made(run)["Sbom"] == 3
    assert builds(second) == []
    first.scons("sbom")
    assert second.read(name) == first.read(name)
    assert "demo" in first.read(name)
    third = machines.clone("third")
    run = machines.run(third, "sbom")
    assert cached(run) == {"Compile": 2, "Image": 2, "Sbom": 3}
    assert machines.fetched() != []
    assert third.digests("_output/sbom") == first.digests("_output/sbom")


def test_each_build_of_a_session_looks_anew(machines: Machines):
    machines.first("manifest")
    second = machines.clone("second")
    second.go_starts()
    words = [f"CACHE={machines.place}", f"REGISTRY={machines.proxy.host}", "--interactive"]
    process = subprocess.run(
        [sys.executable, "-m", "SCons", *words],
        cwd=second.path,
        input="build manifest\nbuild bin\nclean manifest\nbuild manifest\nexit\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=300,
    )
    lines = [line for line in process.stdout.splitlines() if line.endswith(FROM_CACHE)]
    assert Counter(line.split("scons>>> ")[-1].partition(" ")[0] for line in lines) == {"Compile": 6, "Image": 4}
    assert builds(second) == []
    assert second.scons("manifest", *words[:2]).up_to_date


def test_plan_and_why_say_what_the_cache_has_and_write_nothing(machines: Machines):
    machines.first("manifest")
    second = machines.clone("second")
    run = machines.run(second, "plan", "manifest", "PLAN=plan.json")
    assert run.text.count(": from the cache") == 2
    assert "cache: has 4 of 4 steps that would run" in run.text
    assert json.loads(second.read("plan.json"))["cache"] == {"hits": 4, "steps": 4}
    assert not (second.path / ".multiarch" / "held.json").exists()
    assert machines.run(second, "why", "manifest").text.count("; in the cache") == 4
    second.append("main.go", "\n// a comment\n")
    assert "cache: has 0 of 2 steps that would run" in machines.run(second, "plan", "manifest").text
    assert "cache:" not in second.scons("plan", "manifest").text


def test_the_report_says_what_was_not_fetched_and_not_sent(machines: Machines):
    machines.first()
    second = machines.clone("second")
    machines.run(second, "push-manifest", "REPORT=report.json", f"REGISTRY={machines.proxy.host}/other")
    report = json.loads(second.read("report.json"))
    steps = {step["subject"]: step for step in report["steps"]}
    program, image = steps[PROGRAM], steps["_output/images/demo-linux-amd64.tar"]
    push = steps[f"{machines.proxy.host}/other/demo:v1.0-amd64"]
    assert (program["outcome"], image["outcome"], push["outcome"]) == ("cached", "cached", "made")
    assert program["not_fetched"] > 1 << 20
    assert image["not_fetched"] > 1 << 19
    assert push["not_sent"] > 1 << 19


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_while_lists_are_left_loses_nothing_that_lies_here(machines: Machines, number: int):
    machines.first("manifest")
    tree = machines.clone("second")
    machines.proxy.forget()
    machines.proxy.order("PUT manifest", stall=60, times=99)
    words = [f"CACHE={machines.place}", "CACHE_MODE=readwrite"]
    process = tree.start("manifest", *words, "REPORT=report.json")
    while machines.proxy.kinds()["PUT manifest"] == 0:  # all steps are taken: the list is what is left
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(number)
    text = process.communicate(timeout=30)[0]
    assert "Traceback" not in text
    if number == signal.SIGINT:
        assert "interrupted: what the shared cache was still to get is left out" in text
        assert len(json.loads(tree.read("report.json"))["steps"]) == 5
    assert json.loads(tree.read(".multiarch/held.json"))["files"]
    assert (tree.path / ".multiarch/stat.json").exists()
    machines.proxy.take_back()
    assert machines.run(tree, "manifest").up_to_date
