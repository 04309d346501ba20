"""What builders take: for every parameter of every one, a node, a path, lists of them; or one clear error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from machines.project import GO_MODULE, Project

HEAD = """\
import pathlib
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index",
           "oci_targets"],
    DEFAULTS={"PLATFORMS": "linux/amd64", "IMAGE": "team"},
)
"""
EVERYTHING = """\
import inspect, itertools
from multiarch_oci.platform import Platform

number = itertools.count()
image = env.Image("_output/images/base.tar", dockerfile="Dockerfile", platform="linux/amd64")
push = env.Push(image, "$REPOSITORY:$VERSION")
CALLS = {
    "GoBinary": lambda: dict(target=f"out/p{next(number)}", platform="linux/amd64"),
    "Image": lambda: dict(target=f"out/i{next(number)}.tar", dockerfile="Dockerfile"),
    "Archive": lambda: dict(target=f"out/a{next(number)}.tar", image=image, reference=f"h.test/x:{next(number)}"),
    "Load": lambda: dict(image=image, reference=f"h.test/x:{next(number)}"),
    "Push": lambda: dict(source=image, reference=f"h.test/x:{next(number)}"),
    "Pin": lambda: dict(reference=f"h.test/other:{next(number)}", platform="linux/amd64"),
    "Index": lambda: dict(target=f"out/m{next(number)}.json", members=image, platforms="linux/amd64"),
    "Targets": dict,
}
FURTHER = {
    "GoBinary": ["GOFLAGS", "GOLDFLAGS", "GOTAGS", "GOENV", "CC", "CXX", "GODIR", "cgo", "race", "debug"],
    "Targets": ["bin", "images", "release", "load", "push", "manifest", "push_manifest"],
}
VALUES = {
    "file": lambda: env.File(f"out/f{next(number)}"), "dir": lambda: env.Dir(f"out/d{next(number)}"),
    "entry": lambda: env.Entry(f"out/e{next(number)}"), "made": lambda: env.Command(f"out/c{next(number)}", [], "x"),
    "path": lambda: pathlib.Path("out", f"q{next(number)}"), "text": lambda: f"out/t{next(number)}",
    "value": lambda: env.Value("x"), "alias": lambda: env.Alias(f"alias{next(number)}"),
    "platform": lambda: Platform.parse("linux/arm64"),
    "source": lambda: env.File("main.go"), "top": lambda: env.Dir("#"), "image": lambda: image, "push": lambda: push,
    "none": lambda: None, "int": lambda: 3, "float": lambda: 1.5, "true": lambda: True, "bytes": lambda: b"x",
    "empty": lambda: "", "object": object, "function": lambda: len, "pairs": lambda: [("a", 1), ["b", "c"]],
    "dict": lambda: {"a": 1, "b": None}, "numbers": lambda: {1: 2}, "texts": lambda: {"a": "b"},
    "through": lambda: "VERSION/x", "variable": lambda: "$NOTHING", "open": lambda: "${",
}
SHAPES = {
    "": lambda make: make(), "[]": lambda make: [make()], "[[]]": lambda make: [[make()], ()],
    "two": lambda make: (make(), make()), "generator": lambda make: (one for one in [make()]),
    "nothing": lambda make: [], "node list": lambda make: NodeList([make()]),
}
from SCons.Util import NodeList
import SCons.Errors
ended = 0
for builder, call in CALLS.items():
    code = inspect.signature(inspect.unwrap(getattr(env, builder).method))
    names = [name for name, it in code.parameters.items() if it.kind not in (it.VAR_KEYWORD, it.VAR_POSITIONAL)][1:]
    assert names or builder == "Targets"
    for name in [*names, *FURTHER.get(builder, [])]:
        for (word, make), (shape, into) in itertools.product(VALUES.items(), SHAPES.items()):
            try:
                given = into(make)
                getattr(env, builder)(**{**call(), name: given})
            except SystemExit as end:
                ended += 1
                assert end.code == 2
            except SCons.Errors.UserError:
                ended += 1  # one target made in two ways: SCons' own words
            except BaseException as error:
                print(f"BUG {builder} {name} {shape} {word}: {type(error).__name__}: {error}")
print("ended", ended)
Exit(0)
"""


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    return Project.of(tmp_path / "tree", {"Dockerfile": "FROM scratch\nCOPY VERSION /\n", **GO_MODULE})


def test_no_parameter_of_any_builder_ends_in_an_error_from_inside(tree: Project) -> None:
    tree.edit("SConstruct", HEAD + EVERYTHING)
    ran = tree.scons("-Q", check=False)
    assert "BUG" not in ran.text, "\n".join(line for line in ran.text.splitlines() if line.startswith("BUG"))
    assert "Traceback" not in ran.text
    assert int(ran.text.rpartition("ended ")[2].split()[0]) > 1000
    assert ran.status == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('env.Image("a.tar", dockerfile=[])', "there is no Dockerfile for linux/"),
        ('env.Image(["a.tar", "b.tar"], dockerfile="Dockerfile")', "Image: target: takes one path, and was given 2 of them"),
        ('env.Image("a.tar", dockerfile=env.Dir("#"))', "Image: dockerfile: takes a file, and . is a folder"),
        ('env.Image("a.tar", dockerfile="Dockerfile", engine="pod")', "there is no engine 'pod'"),
        ('env.Image("a.tar", dockerfile="Dockerfile", labels="a=b")', "Image: labels: takes a dictionary"),
        ('env.Image("a.tar", dockerfile="Dockerfile", platform=["linux/amd64"])', "Image: platform: takes a platform"),
        ('env.Image("a.tar", 3, dockerfile="Dockerfile")', "Image: contents: takes a path, and 3 is an int"),
        ('env.GoBinary("a", package="main.go/x", platform="linux/amd64", GODIR="main.go")', "GoBinary: GODIR: takes a folder"),
        ('env.GoBinary("a", package=[".", "./b"], platform="linux/amd64")', "GoBinary: package: takes one path"),
        ('env.Push([], "a.test/b:c")', "env.Push takes one source, and has 0"),
        ('env.Image("a.tar", dockerfile="Dockerfile", contexts={"x": 3})', "Image: contexts['x']: takes a folder or an image"),
        ('env.Image("a.tar", dockerfile="Dockerfile", contexts={"x": ["a", "b"]})', "Image: contexts['x']: takes a folder or"),
        ('env.Image("a.tar", dockerfile="Dockerfile", rebase="maybe")', "Image: rebase: takes yes or no, and 'maybe' is a text"),
        ('env.GoBinary("a", platform="linux/amd64", cgo="on?")', "GoBinary: cgo: takes yes or no, and 'on?' is a text"),
        ('env.GoBinary("a", platform="linux/amd64", race=[])', "GoBinary: race: takes yes or no, and [] is a list"),
        ('env.GoBinary("a", platform="linux/amd64", debug=2)', "GoBinary: debug: takes yes or no, and 2 is an int"),
        ('env.GoBinary("a", platform="linux/amd64", cgo=True, CC=3)', "GoBinary: CC: takes a text, and 3 is an int"),
        ('env.GoBinary("a", platform="linux/amd64", ldflags="-s")',
         "GoBinary: there is no parameter 'ldflags'\n  hint: did you mean GOLDFLAGS?"),
        ('env.GoBinary("a", platform="linux/amd64", tags="x")',
         "GoBinary: there is no parameter 'tags'\n  hint: did you mean GOTAGS?"),
        ('env.GoBinary("a", platform="linux/amd64", GOLDFLAG="-s")',
         "GoBinary: there is no parameter 'GOLDFLAG'\n  hint: did you mean GOLDFLAGS?"),
        ('env.GoBinary("a", platform="linux/amd64", GOARCH="arm64")',
         "GoBinary: there is no parameter 'GOARCH'\n  hint: did you mean platform?"),
        ('env.GoBinary("a")', "GoBinary: missing a required argument: 'platform'"),
        ('env.Image("a.tar", dockerfil="Dockerfile")',
         "Image: there is no parameter 'dockerfil'\n  hint: did you mean dockerfile?"),
        ('env.Index("i.json", [], platform="linux/amd64")', "Index: there is no parameter 'platform'"),
        ('env.Push("a.tar", "h.test/x:1", [], [])', "Push: too many positional arguments"),
        ("env.Targets(imagess=[])", "Targets: there is no target imagess"),
    ],
)  # fmt: skip
def test_what_a_parameter_does_not_take_is_said_with_its_name_and_line(call: str, words: str, tree: Project) -> None:
    tree.edit("SConstruct", f"{HEAD}{call}\n")
    ran = tree.scons("-Q", check=False)
    assert ran.status == 2
    assert f"scons: *** SConstruct:8: {words}" in ran.text
    assert "Traceback" not in ran.text


def test_a_yes_or_no_is_one_in_every_spelling(tree: Project) -> None:
    tree.edit(
        "SConstruct",
        HEAD
        + """\
def switches(**keywords):
    build = env.GoBinary(f"p{len(seen)}", platform="linux/amd64", **keywords)[0].attributes.target.build
    seen.append((build.cgo, build.race, build.debug))
seen = []
for no in ("no", "No", "0", "false", False, 0, None):
    switches(cgo=no, race=no, debug=no)
for yes in ("yes", "YES", "1", "True", True, 1):
    switches(cgo=yes, race=yes, debug=yes, CC=["zig", "cc"])
print(seen)
flavoured = env.GoBinary("f", platform="linux/amd64", flavour="x", TEAM="y", GOLDFLAGS="-X main.f=$flavour$TEAM")
print(flavoured[0].attributes.target.build.ldflags)
moves = [env.Image(f"{no}.tar", dockerfile="Dockerfile", rebase=no)[0].attributes.target.rebase for no in ("no", 0, "TRUE")]
print(moves, env["REBASE"], env["MULTIARCH_RUN"].settings.locked, env["MULTIARCH_RUN"].settings.policy.immutable)
Exit(0)
""",
    )
    ran = tree.scons("-Q", "REBASE=False", "LOCKED=1", "IMMUTABLE=True")
    assert f"{[(False,) * 3] * 7 + [(True,) * 3] * 6}" in ran.text
    assert "-X main.f=xy" in ran.text
    assert "[False, False, True] False True True" in ran.text
    tree.edit("custom.py", "IMMUTABLE = True\nLOCKED = False\n")
    assert "[False, False, True] True False True" in tree.scons("-Q").text
    ran = tree.scons("-Q", "LOCKED=perhaps", check=False)
    assert (ran.status, "'perhaps' is not a value of LOCKED" in ran.text) == (2, True)


def test_nodes_and_lists_are_taken_where_texts_are(tree: Project) -> None:
    tree.edit("cmd/tool/main.go", "package main\n\nfunc main() {}\n")
    tree.edit("Dockerfile", "FROM scratch\nCOPY out/tool /tool\nCOPY out/tool2 /\n")
    tree.edit(
        "SConstruct",
        HEAD
        + """\
amd64 = env["PLATFORMS"][0]
tool = env.GoBinary([env.File("out/tool")], env.Dir("cmd/tool"), platform=amd64, sources=[[None][:0], []])
same = env.GoBinary(pathlib.Path("out", "tool2"), package=[pathlib.Path("cmd/tool/main.go")], platform="linux/amd64", GODIR=[env.Dir(".")])
image = env.Image(env.File("out/i.tar"), [tool, [same]], dockerfile=[["none", env.File("Dockerfile")]], foreign="*.x",
                  platform=amd64, labels=[("n", 1)], contexts={"c": pathlib.Path("cmd"), "d": env.Dir("cmd")})
archive = env.Archive(env.File("out/r.tar"), [image], reference="$REPOSITORY:x")
push = env.Push([[image]], "$REPOSITORY:x", also="latest")
index = env.Index(env.File("out/x.json"), (image for _ in [1]), platforms="linux/amd64", annotations=None)
main = env.Push(index, "$REPOSITORY:$VERSION", children=(push,))
env.Targets(bin=[tool, same], images=image, release=[[archive]], push=(push,), manifest=index, push_manifest=main)
""",
    )
    ran = tree.scons("release", "push-manifest")
    assert set(ran.steps) == {
        "Compile out/tool",
        "Compile out/tool2",
        "Image out/i.tar",
        "Archive out/r.tar",
        "Push _output/registry/team:x",
        "Index out/x.json",
        "Publish _output/registry/team:1.0",
    }
    assert tree.scons("release", "push-manifest").up_to_date
    assert tree.scons("run", "PLATFORM=linux/amd64").status == 0


def test_package_and_godir_are_seen_from_the_sconscript_that_declares(tree: Project) -> None:
    tree.edit("SConstruct", HEAD + 'SConscript("cmd/tool/SConscript", exports="env")\nenv.Targets()\n')
    tree.edit("cmd/tool/main.go", "package main\n\nfunc main() { println(1) }\n")
    tree.edit("cmd/tool/sub/main.go", "package main\n\nfunc main() { println(2) }\n")
    tree.edit("other/go.mod", "module example.com/other\n\ngo 1.21\n")
    tree.edit("other/main.go", "package main\n\nfunc main() { println(3) }\n")
    tree.edit(
        "cmd/tool/SConscript",
        'Import("env")\n'
        "def go(name, *package, **more):\n"
        '    return env.GoBinary(f"#out/{name}", *package, platform=env["PLATFORMS"][0], **more)\n'
        'programs = [go("here"), go("sub", "./sub"), go("dir", env.Dir("sub")), go("file", "#cmd/tool/sub/main.go"),\n'
        '    go("other", GODIR="../../other"), go("top", "./cmd/tool/sub", GODIR="#"), go("node", GODIR=env.Dir("#other")),\n'
        '    go("path", "example.com/x/cmd/tool")]\n'
        "Default(programs)\n",
    )
    tree.scons()
    said = {
        name: subprocess.run([tree.path / "out" / name], capture_output=True, text=True, check=True).stderr.strip()
        for name in ("here", "sub", "dir", "file", "other", "top", "node", "path")
    }
    assert said == {
        "here": "1",
        "sub": "2",
        "dir": "2",
        "file": "2",
        "other": "3",
        "top": "2",
        "node": "3",
        "path": "1",
    }
    tree.edit("cmd/tool/SConscript", 'Import("env")\nenv.GoBinary("x", "./cmd/tool", platform="linux/amd64")\n')
    wrong = tree.scons(check=False)
    assert wrong.status == 2
    assert "cmd/tool/SConscript:2: there is no package ./cmd/tool in cmd/tool" in wrong.text
    assert 'hint: from the top it is GODIR="#"' in wrong.text
