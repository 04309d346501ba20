"""Folders that other builders make are inputs like files."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

import unpacked
from machines.project import Project

HEAD = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "go_binary", "oci_image", "oci_push", "oci_targets"], DEFAULTS={"PLATFORMS": "linux/amd64"}
)
def copied(target, source, env):
    print("copied to", target[0])
    folder = target[0].get_abspath()
    os.makedirs(f"{folder}/deep/er", exist_ok=True)
    for at, node in enumerate(source):
        for place in (f"{at}.txt", f"deep/er/{at}.txt"):
            with open(f"{folder}/{place}", "w") as file:
                file.write(open(str(node)).read() if os.path.isfile(str(node)) else str(sorted(os.listdir(str(node)))))
    with open(f"{folder}/left.map", "w") as file:
        file.write(open("src/b.txt").read())
import os
"""
IMAGE = "Image i.tar"
PLAIN = 'image = env.Image("i.tar", dockerfile="Dockerfile")'


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    return Project.of(tmp_path / "tree", {"src/a.txt": "one\n", "src/b.txt": "b\n"})


def declare(tree: Project, dockerfile: str, *lines: str) -> None:
    tree.edit("Dockerfile", dockerfile)
    tree.edit("SConstruct", HEAD + "\n".join((*lines, "env.Targets(images=image)", "")))


MAKE = 'd = env.Command(env.Dir("dist"), "src/a.txt", copied)'
WAYS = {
    "COPY": ("FROM scratch\nCOPY dist /dist\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "a file in it": ("FROM scratch\nCOPY dist/0.txt /dist/\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "deep in it": ("FROM scratch\nCOPY dist/deep/er/ /dist/\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "a glob in it": ("FROM scratch\nCOPY dist/*.txt /dist/\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "a glob over it": ("FROM scratch\nCOPY d?s*/0.txt d*t /dist/\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "all": ("FROM scratch\nCOPY . /dist\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "ADD": ("FROM scratch\nADD dist /dist\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "a stage": ("FROM scratch AS s\nCOPY dist /d\nFROM scratch\nCOPY --from=s /d /dist\n", 'env.Image("i.tar", dockerfile="Dockerfile")'),
    "a named context": ("FROM scratch\nCOPY --from=c . /dist\n", 'env.Image("i.tar", dockerfile="Dockerfile", contexts={"c": "dist"})'),
    "contents": ("FROM scratch\nCOPY dist /dist\n", 'env.Image("i.tar", d, dockerfile="Dockerfile")'),
    "contents by name": ("FROM scratch\nCOPY dist /dist\n", 'env.Image("i.tar", ["dist"], dockerfile="Dockerfile")'),
    "a file of it as contents": ("FROM scratch\nCOPY dist/0.txt /dist/\n", 'env.Image("i.tar", "dist/0.txt", dockerfile="Dockerfile")'),
}  # fmt: skip


def held(tree: Project, name: str = "0.txt") -> set[str]:
    """Return the digests of the files of this name in the image."""
    return {found.content for path, found in unpacked.of_archive(tree.path / "i.tar").items() if path.endswith(name)}


def only(text: str) -> set[str]:
    return {hashlib.sha256(text.encode()).hexdigest()}


SILENT = MAKE.replace('env.Dir("dist")', '"dist"')
CASES = {
    **{way: (dockerfile, f"{MAKE}\nimage = {image}") for way, (dockerfile, image) in WAYS.items()},
    **{
        f"{way}, declared as a file": (dockerfile, f"{SILENT}\nimage = {image}")
        for way, (dockerfile, image) in WAYS.items()
        if way != "a file of it as contents"  # to SCons it is a file in a file
    },
    **{f"{way}, declared later": (WAYS[way][0], f"image = {WAYS[way][1]}\n{MAKE}") for way in ("COPY", "all")},
}


@pytest.mark.parametrize("case", CASES)
def test_a_folder_is_made_first_and_again_when_its_sources_change(case: str, tree: Project) -> None:
    dockerfile, lines = CASES[case]
    declare(tree, dockerfile, lines)
    tree.edit(".dockerignore", "i.tar\n.*\n_output\nsite_scons\n")
    first = tree.scons("images")
    assert first.steps == [IMAGE]
    assert first.text.count("copied to dist") == 1
    assert held(tree) == only("one\n")
    assert tree.scons("images").up_to_date
    tree.edit("src/a.txt", "two\n")
    second = tree.scons("images")
    assert second.text.count("copied to dist") == 1
    assert second.steps == [IMAGE]
    assert held(tree) == only("two\n")
    assert tree.scons("dist", "images").up_to_date


AROUND = """\
import scons_multiarch
env = scons_multiarch.environment(PLATFORMS="linux/amd64,linux/arm64")
def written(target, source, env):
    open(str(target[0]), "w").write(open("src/a.txt").read())
env.Command("made.txt", "src/a.txt", written)
env.MultiarchImage("x", CONTENTS)
"""


@pytest.mark.parametrize("contents", ['"."', '["#"]', 'env.Dir(".")', '[env.Dir("_output"), "."]'])
def test_a_folder_that_images_lie_in_is_what_builders_make_there(tree: Project, contents: str) -> None:
    """As for `COPY . .`: what the build makes of images is in no image."""
    tree.edit("Dockerfile", "FROM scratch\nCOPY src made.txt /\n")
    images = [f"Image _output/images/x-linux-{architecture}.tar" for architecture in ("amd64", "arm64")]
    tree.edit("SConstruct", AROUND.replace("CONTENTS", "[]"))
    tree.scons("push-manifest")
    expected = tree.digests("_output/manifest")
    tree.edit("SConstruct", AROUND.replace("CONTENTS", contents))
    assert tree.scons("push-manifest").steps == []
    for path in ("_output", ".multiarch", "made.txt"):
        tree.remove(path)
    assert sorted(tree.scons("images").steps) == images
    assert tree.scons("images").up_to_date
    assert tree.scons("bin", check=False).steps == []  # it is no program
    tree.scons("push-manifest", "sbom", "provenance")
    assert tree.digests("_output/manifest") == expected
    tree.edit("src/a.txt", "two\n")
    tree.edit("unknown.txt", "copied by nobody\n")
    assert sorted(tree.scons("images").steps) == images
    assert tree.read("made.txt") == "two\n"
    tree.edit("Dockerfile", "FROM scratch\nCOPY src/b.txt /\n")
    tree.remove("made.txt")
    tree.scons("images")
    assert tree.read("made.txt") == "two\n"  # it is among the contents, whatever is copied


def test_the_name_of_a_folder_that_is_not_there_yet_is_an_error_that_says_how_to_name_it(tree: Project) -> None:
    tree.edit("SConstruct", AROUND.replace("CONTENTS", '"_output"'))
    ran = tree.scons("images", check=False)
    assert (ran.status, ran.steps) == (2, [])
    assert "Image: target: _output/images/x-linux-amd64.tar lies below _output, which is a file\n" in ran.text
    assert '  hint: a folder that is not there yet is named as one: Dir("_output")\n' in ran.text
    tree.edit("Dockerfile", "FROM scratch\nCOPY src /\n")
    tree.edit("SConstruct", AROUND.replace("CONTENTS", 'Dir("_output")'))
    assert len(tree.scons("images").steps) == 2


def test_a_folder_that_a_program_lies_in_is_none_of_its_sources(tree: Project) -> None:
    tree.edit("main.go", "package main\n\nfunc main() {}\n")
    tree.edit("SConstruct", AROUND.replace('env.MultiarchImage("x", CONTENTS)', 'env.GoImage("x", sources="#")'))
    refused = tree.scons(check=False)
    assert refused.status == 2
    assert "SConstruct:6: GoBinary: sources: the program is made in . itself\n  hint: name the files" in refused.text


def test_what_is_left_out_of_a_folder_changes_no_image(tree: Project) -> None:
    declare(tree, "FROM scratch\nCOPY . /x\n", MAKE, "env.Depends(d, 'src/b.txt')", PLAIN)
    tree.edit(".dockerignore", "*\n!dist\ndist/left.map\n")
    tree.scons("images")
    tree.edit("src/b.txt", "changed\n")
    ran = tree.scons("images")
    assert "copied to dist" in ran.text
    assert ran.steps == []
    tree.edit(".dockerignore", "*\n!src\n")
    assert tree.scons("images").steps == [IMAGE]
    tree.edit("src/a.txt", "changed\n")
    assert "copied to dist" not in tree.scons("images").text  # nothing takes it


def made(tree: Project) -> dict[str, str]:
    """Return the digests of the image and of all that is in the folder."""
    return {name: digest for name, digest in tree.digests(".").items() if name == "i.tar" or name.startswith("dist/")}


KINDS = pytest.mark.parametrize("make", [MAKE, SILENT], ids=["declared as a folder", "declared as a file"])


@KINDS
@pytest.mark.parametrize(
    ("dockerfile", "contents", "line"),
    [
        ("FROM scratch\nCOPY dist /dist\n", "", ""),
        ("FROM scratch\nCOPY dist/0.txt /dist/\n", "'dist/0.txt'", ""),
        ("FROM scratch\nCOPY dist/deep/er /dist/\n", "d", ""),
        ("FROM scratch\nCOPY VERSION /\n", "", "env.Depends(image, d)"),
    ],
    ids=["copied", "a file of it as contents", "contents", "depended on"],
)
def test_what_is_gone_or_edited_in_a_folder_is_made_again(
    make: str, dockerfile: str, contents: str, line: str, tree: Project
) -> None:
    declare(tree, dockerfile, make, PLAIN.replace('"i.tar"', f'"i.tar", [{contents}]'), line)
    assert tree.scons("-n", "images").steps == [IMAGE]
    tree.scons("-j4", "images")
    assert tree.scons("-n", "images").up_to_date
    before = made(tree)
    for damage in (
        lambda: tree.remove("dist/0.txt"),
        lambda: tree.edit("dist/deep/er/0.txt", "ane\n"),
        lambda: tree.remove("dist"),
    ):
        damage()
        ran = tree.scons("images")
        assert (ran.text.count("copied to dist"), ran.steps) == (1, [])
        assert made(tree) == before
        assert tree.scons("images").up_to_date
    tree.edit("dist/more.txt", "of the user\n")  # is no part of what was made
    assert "copied to" not in tree.scons("images").text
    assert "Could not remove" not in tree.scons("-c", "dist").text


def test_a_making_that_fails_half_way_is_not_taken_for_finished(tree: Project) -> None:
    declare(tree, WAYS["COPY"][0], MAKE, PLAIN)
    tree.scons("images")
    tree.edit(
        "SConstruct", tree.read("SConstruct").replace("import os\n", "import os\nfails = os.path.exists('fails')\n")
    )
    tree.replace(
        "SConstruct",
        '    with open(f"{folder}/left.map"',
        '    if fails: raise OSError(5, "half")\n    with open(f"{folder}/left.map"',
    )
    tree.scons("images")
    tree.edit("fails", "")
    tree.edit("src/a.txt", "two\n")
    assert tree.scons("images", check=False).status == 2
    tree.edit("src/a.txt", "one\n")
    tree.remove("fails")
    tree.scons("images")
    assert held(tree) == only("one\n")


@pytest.mark.parametrize(
    "line", ["env.Depends(image, d)", "env.Depends(image, 'conf')", "env.Depends(image, env.Dir('conf'))"]
)
def test_a_folder_that_an_image_depends_on_counts_whole(line: str, tree: Project) -> None:
    declare(tree, "FROM scratch\nCOPY VERSION /\n", MAKE, PLAIN, line)
    tree.edit("conf/sub/x", "1\n")
    assert tree.scons("images").steps == [IMAGE]
    assert tree.scons("images").up_to_date
    tree.edit("src/a.txt", "two\n")
    tree.edit("conf/sub/x", "2\n")
    ran = tree.scons("images")
    assert ran.steps == [IMAGE]
    assert "Image i.tar: dist/ changed" in ran.text or "Image i.tar: conf/ changed" in ran.text
    assert tree.scons("images").up_to_date


def test_a_folder_made_of_a_made_folder_and_one_in_it(tree: Project) -> None:
    declare(
        tree,
        "FROM scratch\nCOPY all /all\n",
        MAKE,
        'env.Command(env.Dir("all"), [d, "dist/0.txt"], copied)',
        'env.Command(env.Dir("all/more"), "src/b.txt", copied)',
        'env.Command("all/plain.txt", "src/b.txt", Copy("$TARGET", "$SOURCE"))',
        PLAIN,
    )
    tree.scons("images")
    assert tree.scons("images").up_to_date
    for name in ("src/a.txt", "src/b.txt"):
        tree.edit(name, "changed\n")
        assert tree.scons("images").steps == [IMAGE]
        assert tree.scons("images").up_to_date
    found = unpacked.of_archive(tree.path / "i.tar")
    assert {found[f"all/{name}"].content for name in ("1.txt", "more/0.txt", "plain.txt")} == only("changed\n")


@pytest.mark.parametrize("folder", ['env.Dir("gen")', '"gen"'])
def test_go_takes_packages_and_embedded_files_of_made_folders(folder: str, tree: Project) -> None:
    tree.edit("go.mod", "module example.com/x\n\ngo 1.21\n")
    tree.edit(
        "main.go",
        'package main\n\nimport (\n\t_ "embed"\n\n\t"example.com/x/gen"\n)\n\n//go:embed gen/data/0.txt\nvar text string\n\n'
        "func main() { print(gen.Name, text) }\n",
    )
    tree.edit(
        "SConstruct",
        HEAD
        + f"""\
def write(target, source, env):
    os.makedirs("gen/data", exist_ok=True)
    text = open("src/a.txt").read()
    open("gen/gen.go", "w").write(f'package gen\\n\\nconst Name = "{{text.strip()}}"\\n')
    open("gen/data/0.txt", "w").write(text)
gen = env.Command({folder}, "src/a.txt", write)
programs = [env.GoBinary(f"p{{n}}", platform=env["PLATFORMS"][0], sources=[gen], GOTAGS=f"t{{n}}") for n in (1, 2)]
env.Targets(bin=programs)
""",
    )
    assert sorted(tree.scons("bin").steps) == ["Compile p1", "Compile p2"]
    assert tree.scons("bin").up_to_date
    tree.edit("src/a.txt", "two\n")
    assert sorted(tree.scons("bin").steps) == ["Compile p1", "Compile p2"]
    for name in ("p1", "p2"):
        ran = subprocess.run([tree.path / name], capture_output=True, text=True, check=True)
        assert ran.stderr == "twotwo\n"
    assert tree.scons("bin").up_to_date


@KINDS
@pytest.mark.parametrize("duplicate", [0, 1])
def test_a_folder_that_is_made_in_a_variant_folder(duplicate: int, make: str, tree: Project) -> None:
    tree.edit("sub/src/a.txt", "one\n")
    lines = [*HEAD.splitlines()[4:], make, 'env.Targets(images=env.Image("i.tar", ["dist/0.txt"], dockerfile="D"))', ""]
    tree.edit("sub/SConscript", "\n".join(['Import("env")', *lines]))
    start = HEAD.splitlines()[:4]
    tree.edit(
        "SConstruct",
        "\n".join(
            [*start, 'Export("env")', f'SConscript("sub/SConscript", variant_dir="build", duplicate={duplicate})', ""]
        ),
    )
    tree.edit("sub/D", "FROM scratch\nCOPY build/dist /dist\n")
    image = "Image build/i.tar"
    assert tree.scons("-n", "images").steps == [image]
    assert tree.scons("images").steps == [image]
    assert tree.scons("images").up_to_date
    tree.edit("build/dist/0.txt", "edited\n")
    ran = tree.scons("images")
    assert (ran.text.count("copied to build/dist"), ran.steps) == (1, [])
    tree.edit("sub/src/a.txt", "two\n")
    assert tree.scons("images").steps == [image]
    assert tree.read("build/dist/0.txt") == "two\n"
    assert tree.scons("images").up_to_date


@KINDS
def test_what_is_made_of_a_folder_comes_out_of_a_cache_by_its_contents(make: str, tree: Project) -> None:
    other = 'env.Command("out.txt", d, "cat dist/0.txt > out.txt")'
    declare(tree, WAYS["COPY"][0], 'env.CacheDir("cache")', make, other, PLAIN)
    for text in ("one\n", "two\n", "one\n"):
        tree.edit("src/a.txt", text)
        ran = tree.scons("images", "out.txt")
        assert "warning" not in ran.text
        assert tree.read("out.txt") == text
        assert held(tree) == only(text)
    assert ran.steps == []
    assert "Retrieved `i.tar' from cache" in ran.text
    assert "Retrieved `out.txt' from cache" in ran.text


@KINDS
def test_what_is_made_of_a_folder_sees_that_it_was_made_in_another_run(make: str, tree: Project) -> None:
    declare(tree, WAYS["COPY"][0], make, 'env.Command("out.txt", d, "cat dist/0.txt > out.txt")', PLAIN)
    tree.scons("out.txt", "images")
    assert tree.scons("out.txt").up_to_date
    tree.edit("src/a.txt", "two\n")
    tree.scons("dist")
    tree.scons("out.txt", "images")
    assert tree.read("out.txt") == "two\n"
    assert held(tree) == only("two\n")
    assert tree.scons("out.txt").up_to_date


def test_a_folder_of_the_user_alone_is_made_again_and_what_is_made_of_it(tree: Project) -> None:
    for make in (MAKE, SILENT):
        declare(tree, WAYS["COPY"][0], make, 'env.Command("out.txt", d, "cat dist/0.txt > out.txt")', PLAIN)
        tree.edit("src/a.txt", f"{make}\n")
        tree.scons("out.txt")
        assert tree.scons("out.txt").up_to_date
        tree.edit("src/a.txt", "two\n")
        tree.scons("out.txt")
        assert tree.read("out.txt") == "two\n"
        assert tree.scons("out.txt").up_to_date
