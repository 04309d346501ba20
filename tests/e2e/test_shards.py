"""SHARD: several machines, one build; whoever ends last publishes, and any of them may die (behaviour, section 9)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from machines.project import GO_MODULE, Project, Run
from machines.registry import Registry

NAMES = "abcdef"
SCONSTRUCT = """\
import scons_multiarch

env = scons_multiarch.environment()
programs = {
    name: {p: env.GoBinary(f"_output/bin/{p.directory}/{name}", f"./{name}", platform=p) for p in env["PLATFORMS"]}
    for name in ("one", "two")
}
for number, name in enumerate("abcdef"):
    program = programs["one" if number % 2 else "two"]
    env.MultiarchImage(name, lambda p, program=program: program[p], LABELS={"name": name})
"""
FILES = {
    "SConstruct": SCONSTRUCT,
    "go.mod": GO_MODULE["go.mod"],
    "one/main.go": "package main\n\nfunc main() {}\n",
    "two/main.go": 'package main\n\nfunc main() { println("two") }\n',
    "VERSION": "v1.0\n",
}
IMAGES = {f"_output/images/{name}-linux-{machine}.tar" for name in NAMES for machine in ("amd64", "arm64")}
SLOW = "_output/images/a-linux-arm64.tar"


class Machines:
    """Fresh clones of one tree that share a cache."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder = folder
        self.registry = registry
        self.words = (f"REGISTRY={registry.host}", f"CACHE={registry.host}/team/cache", "CACHE_MODE=readwrite")

    def clone(self, name: str) -> Project:
        return Project.linked(self.folder / name, FILES)

    def run(self, shard: str, *words: str, tree: Project | None = None) -> Run:
        machine = tree or self.clone(f"machine-{shard.replace('/', '-of-')}")
        sharded = (f"SHARD={shard}",) if "/" in shard else ()
        return machine.scons(*(words or ("push-manifest",)), *self.words, *sharded)

    def published(self) -> set[str]:
        """The images whose main tag is there."""
        return {name for name in NAMES if self.registry.digest(name, "v1.0") is not None}

    def digests(self) -> dict[str, str | None]:
        tags = [(name, tag) for name in NAMES for tag in ("v1.0", "v1.0-amd64", "v1.0-arm64")]
        return {f"{name}:{tag}": self.registry.digest(name, tag) for name, tag in tags}


@pytest.fixture
def machines(tmp_path: Path, registry: Registry) -> Machines:
    return Machines(tmp_path, registry)


@pytest.fixture
def reference(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Return what a machine alone makes of each index, without any cache."""

    def alone() -> dict[str, str]:
        tree = Project.linked(tmp_path / "alone", FILES)
        tree.scons("manifest")
        return {name: tree.read(f"_output/manifest/{name}-v1.0.digest").strip() for name in NAMES}

    return alone


def made(run: Run, verb: str = "Image") -> set[str]:
    """The subjects of the steps with this verb that were performed, and not taken from the cache."""
    lines = [
        line for line in run.text.splitlines() if line.startswith(f"{verb} ") and not line.endswith(": from cache")
    ]
    return {line.split(" ")[1].rstrip(":") for line in lines}


def cached(run: Run) -> set[str]:
    lines = [line for line in run.text.splitlines() if line.startswith("Image ") and line.endswith(": from cache")]
    return {line.split(" ")[1].rstrip(":") for line in lines}


def test_machines_divide_the_images_and_the_one_that_ends_last_publishes(
    machines: Machines, reference: Callable[[], dict[str, str]]
):
    second = machines.run("2/3")
    first = machines.run("1/3")
    done = f"shard 2/3: {len(made(second))} of 12 images done; "
    assert f"{done}the machine that ends last publishes, or shard 3/3" in second.text
    assert machines.published() == set()
    assert len(made(second, "Push")) == len(made(second))
    last = machines.run("3/3")
    assert f"shard 3/3: {len(made(last))} of 12 images done; this is the last machine" in last.text
    assert sorted(len(made(run)) for run in (first, second, last)) == [3, 4, 5]
    assert made(first) | made(second) | made(last) == IMAGES
    assert cached(last) == made(first) | made(second)
    assert {name: machines.registry.digest(name, "v1.0") for name in NAMES} == reference()
    digests = machines.digests()
    again = machines.run("3/3", tree=Project(machines.folder / "machine-3-of-3"))
    assert again.steps == []
    assert again.text.count("is up to date") == 3
    alone = machines.run("alone", tree=machines.clone("one-more"))
    assert made(alone) == set()
    assert machines.digests() == digests


def test_a_machine_that_ends_last_publishes_whichever_it_is(machines: Machines):
    machines.run("alone", "images")
    tree = machines.clone("tree")
    run = machines.run("1/3", tree=tree)
    assert made(run) == set()
    assert "the cache has all others, they are published here" in run.text
    assert machines.published() == set(NAMES)
    again = machines.run("1/3", tree=tree)
    assert (again.steps, again.status) == ([], 0)


def test_a_machine_that_is_killed_is_made_up_for_by_the_last(
    machines: Machines, reference: Callable[[], dict[str, str]]
):
    killed = machines.clone("killed")
    process = subprocess.Popen(
        [sys.executable, "-m", "SCons", "-j1", "push-manifest", *machines.words, "SHARD=2/3"],
        cwd=killed.path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Image "):
            break
    process.kill()
    process.communicate()
    first = machines.run("1/3")
    last = machines.run("3/3")
    assert machines.published() == set(NAMES)
    assert {name: machines.registry.digest(name, "v1.0") for name in NAMES} == reference()
    own = int(last.text.partition("shard 3/3: ")[2].partition(" ")[0])
    assert own < len(made(last)) <= 12 - len(made(first))
    again = machines.run("2/3", tree=killed)
    assert again.status == 0
    assert machines.published() == set(NAMES)


def test_all_at_once_make_the_same_as_one(machines: Machines, reference: Callable[[], dict[str, str]]):
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "SCons", "push-manifest", *machines.words, f"SHARD={number}/3"],
            cwd=machines.clone(f"at-once-{number}").path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in (1, 2, 3)
    ]
    texts = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], "\n".join(texts)
    assert {name: machines.registry.digest(name, "v1.0") for name in NAMES} == reference()


def test_a_final_job_without_a_part_makes_what_is_missing(machines: Machines):
    first = machines.run("1/3")
    run = machines.run("alone", tree=machines.clone("final"))
    assert made(run) == IMAGES - made(first)
    assert machines.published() == set(NAMES)


def test_targets_of_an_image_are_made_by_its_machine_alone(machines: Machines):
    tree = machines.clone("tree")
    run = machines.run("1/3", "push", tree=tree)
    assert f"shard 1/3: {len(made(run))} of 12 images done\n" in run.text
    assert len(made(run, "Push")) == len(made(run))
    again = machines.run("1/3", "images", tree=tree)
    assert (again.steps, again.status) == ([], 0)
    whole = machines.run("3/3", "push", tree=machines.clone("last"))
    assert made(whole) == IMAGES - made(run)
    assert machines.registry.digest("f", "v1.0-arm64") is not None
    assert machines.published() == set()


DEPLOY = """
env.Alias("deploy", env.Command("deployed", [], Touch("$TARGET")))
env.AlwaysBuild(env.Alias("told", [], Touch("told")))
"""


def test_what_no_image_leads_to_is_made_by_machine_n_alone(machines: Machines):
    def clone(name: str) -> Project:
        tree = machines.clone(name)
        tree.edit("SConstruct", SCONSTRUCT + DEPLOY)
        return tree

    tree = clone("tree")
    run = machines.run("1/3", "deploy", "told", tree=tree)
    assert run.text == "shard 1/3: deployed and told are of no image, shard 3/3 makes them\n"
    assert "deployed is of no image" in machines.run("1/3", "plan", "deploy", tree=tree).text
    # With images they are no part of what whoever ends last publishes.
    machines.run("alone", "images", tree=clone("images"))
    run = machines.run("1/3", "push-manifest", "deploy", "told", tree=tree)
    assert "shard 1/3: deployed and told are of no image, shard 3/3 makes them\n" in run.text
    assert machines.published() == set(NAMES)
    assert not (tree.path / "deployed").exists()
    assert not (tree.path / "told").exists()
    assert machines.run("1/3", "push-manifest", "deploy", "told", tree=tree).steps == []
    assert "of no image" not in machines.run("1/3", "_output/images", tree=tree).text
    last = clone("last")
    machines.run("3/3", "deploy", "told", tree=last)
    assert (last.path / "deployed").exists()
    assert (last.path / "told").exists()


def test_a_machine_makes_the_programs_of_its_images_alone(machines: Machines):
    tree = machines.clone("tree")
    images = {name.rpartition("/")[2] for name in made(machines.run("1/12", "images", tree=tree))}
    assert len(images) == 1
    assert machines.run("1/12", "bin", tree=tree).steps == []
    programs = {path.name for path in (tree.path / "_output" / "bin").rglob("*") if path.is_file()}
    assert len(programs) == 1


def test_a_machine_that_has_nothing_to_do_succeeds(machines: Machines):
    runs = [machines.run(f"{number}/12", "a:images") for number in range(1, 12)]
    assert [run.status for run in runs] == [0] * 11
    assert sorted(len(made(run)) for run in runs)[:9] == [0] * 9


def test_costs_decide_who_makes_what(machines: Machines):
    costs = {"format": "multiarch shards 1", "seconds": {**dict.fromkeys(IMAGES, 1), SLOW: 3600}}
    trees = [machines.clone("first"), machines.clone("second")]
    for tree in trees:
        tree.edit("shards.json", json.dumps(costs))
    runs = [machines.run(f"{number}/3", "images", tree=tree) for number, tree in enumerate(trees, 1)]
    assert made(runs[0]) == {SLOW}
    assert len(made(runs[1])) > 4


def test_a_program_of_an_older_build_on_the_disk_deceives_nobody(machines: Machines):
    tree = machines.clone("tree")
    machines.run("alone", "images", tree=tree)
    older = tree.path / "_output"
    tree.edit("one/main.go", 'package main\n\nfunc main() { println("newer") }\n')
    newer = Project(machines.clone("newer").path)
    newer.edit("one/main.go", tree.read("one/main.go"))
    machines.run("alone", "images", tree=newer)
    assert older.is_dir()
    run = machines.run("1/3", tree=tree)
    assert run.status == 0
    newer.scons("manifest")
    expected = {name: newer.read(f"_output/manifest/{name}-v1.0.digest").strip() for name in NAMES}
    assert {name: machines.registry.digest(name, "v1.0") for name in NAMES} == expected


@pytest.mark.parametrize("word", ["0/5", "6/5", "x", "1/0", "1", "/", "2/", "-1/5", "1/5/5", "01/5", "1/1000", "²/5"])
def test_what_is_no_part_is_an_error(machines: Machines, word: str):
    run = machines.clone("tree").scons("images", *machines.words, f"SHARD={word}", check=False)
    assert run.status == 2
    assert f"SHARD: '{word}' is no part of the images" in run.text
    assert "hint: SHARD=2/5 is the second of five machines" in run.text
    assert run.steps == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "SHARD: needs CACHE"),
        (("CACHE=./cache",), "SHARD: needs CACHE_MODE=readwrite"),
        (("CACHE=./cache", "CACHE_MODE=write"), "SHARD: needs CACHE_MODE=readwrite"),
        (("CACHE=./cache", "CACHE_MODE=readwrite", "run"), "SHARD: run is done by one machine"),
        (("CACHE=./cache", "CACHE_MODE=readwrite", "clean"), "SHARD: clean is done by one machine"),
        (("CACHE=./cache", "CACHE_MODE=readwrite", "watch"), "SHARD: is one build of one machine"),
    ],
)
def test_what_a_part_needs(machines: Machines, words: tuple[str, ...], error: str):
    run = machines.clone("tree").scons(*words, "SHARD=1/3", check=False)
    assert (run.status, run.steps) == (2, [])
    assert error in run.text


def test_costs_that_are_none_are_an_error(machines: Machines):
    tree = machines.clone("tree")
    tree.edit("shards.json", '{"format": "multiarch shards 1", "seconds": {"a": -1}}')
    run = tree.scons("images", *machines.words, "SHARD=1/3", check=False)
    assert (run.status, run.steps) == (2, [])
    assert "shards.json: 'a' is no number of seconds" in run.text
    os.remove(tree.path / "shards.json")  # noqa: PTH107
    os.mkfifo(tree.path / "shards.json")
    run = tree.scons("images", *machines.words, "SHARD=1/3", check=False)
    assert "shards.json: is a pipe or device, not a file" in run.text


def test_plan_and_why_tell_the_part_and_the_report_what_became_of_it(machines: Machines):
    tree = machines.clone("tree")
    planned = machines.run("1/3", "plan", "PLAN=plan.json", tree=tree)
    part = json.loads(tree.read("plan.json"))["shard"]
    own = set(part["images"])
    assert (part["number"], part["count"], part["others"], part["whole"]) == (1, 3, 12 - len(own), False)
    assert f"shard 1/3: {len(own)} of 12 images, the machine that ends last publishes\n" in planned.text
    assert planned.text.count("made again") == len(own)
    why = machines.run("1/3", "why", "images", tree=tree)
    assert why.text.count("\nImage ") == len(own)
    run = machines.run("1/3", "push-manifest", "REPORT=report.json,report.md", tree=tree)
    assert made(run) == own
    report = json.loads(tree.read("report.json"))
    assert report["shard"] == part
    assert "SHARD=1/3" in tree.read("report.md")
    assert "failed" not in tree.read("report.md")
    assert all(step["seconds"] >= 0 for step in report["steps"])
    rest = machines.clone("rest")
    machines.run("3/3", "push-manifest", "REPORT=report.json", tree=rest)
    assert json.loads(rest.read("report.json"))["shard"]["whole"] is True
    planned = machines.run("2/3", "plan")
    assert "images, then all that is missing\n" in planned.text
    assert planned.text.count("from the cache") == 12


def test_a_part_that_is_rehearsed_writes_nothing(machines: Machines):
    tree = machines.clone("tree")
    run = machines.run("3/3", "push-manifest", "-n", tree=tree)
    assert made(run) == IMAGES
    assert not (tree.path / "_output").exists()
    assert machines.registry.tags("team/cache") == []
    assert machines.run("1/3", "-c", "images", tree=tree).status == 0


def test_reports_say_what_steps_cost_and_the_next_division_counts_it(machines: Machines):
    trees = [machines.clone(f"machine-{number}") for number in (1, 2)]
    for number, tree in enumerate(trees, 1):
        machines.run(f"{number}/2", "images", "REPORT=report.json", tree=tree)
    tree = trees[1]
    tree.edit("other.json", trees[0].read("report.json"))
    run = tree.scons("shards", "report.json", "other.json")
    costs = json.loads(tree.read("shards.json"))
    assert costs["seconds"].keys() >= IMAGES
    assert f"shards.json: {len(costs['seconds'])} steps" in run.text
    tree.edit("report.json", tree.read("report.json").replace('"seconds": ', '"seconds": 1'))
    tree.scons("shards", "report.json")
    again = json.loads(tree.read("shards.json"))
    assert again["seconds"].keys() == costs["seconds"].keys()
    assert again != costs
    assert machines.run("1/2", "images", tree=tree).status == 0


@pytest.mark.parametrize(
    ("content", "words", "error"),
    [
        (None, ("report.json",), "report.json: there is no such file"),
        ("{}", ("report.json",), "report.json: is no report"),
        ("{", ("report.json",), "report.json: is not JSON"),
        ("{}", (), "shards: names no report"),
    ],
)
def test_what_is_no_report_costs_nothing(machines: Machines, content: str | None, words: tuple[str, ...], error: str):
    tree = machines.clone("tree")
    if content is not None:
        tree.edit("report.json", content)
    run = tree.scons("shards", *words, check=False)
    assert run.status == 2
    assert error in run.text
    assert "Traceback" not in run.text
    assert not (tree.path / "shards.json").exists()


def test_a_file_of_that_name_of_the_user_is_not_replaced(machines: Machines):
    tree = machines.clone("tree")
    tree.edit("report.json", '{"format": "multiarch report 1", "steps": []}')
    tree.edit("shards.json", '{"mine": 1}')
    run = tree.scons("shards", "report.json", check=False)
    assert run.status == 2
    assert "shards.json: is no file of costs" in run.text
    assert tree.read("shards.json") == '{"mine": 1}'
