"""Programs as files that somebody else handles, and variants of one architecture side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from machines.small import Tree

AMD64, ARM64 = "_output/bin/amd64/linux/demo", "_output/bin/arm64/linux/demo"


def test_a_program_replaced_by_that_of_another_architecture_is_made_again_and_no_image(tree: Tree):
    before = tree.digests()
    shutil.copy2(tree.path / AMD64, tree.path / ARM64)
    assert tree.scons("images").steps == [f"Compile {ARM64}"]
    assert tree.digests() == before
    assert tree.scons("images").up_to_date


def test_two_programs_that_changed_places_are_both_made_again(tree: Tree):
    before = tree.digests()
    one, other, aside = tree.path / AMD64, tree.path / ARM64, tree.path / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    assert sorted(tree.scons("images").steps) == [f"Compile {AMD64}", f"Compile {ARM64}"]
    assert tree.digests() == before


def test_a_program_of_two_names_is_replaced_and_not_written_to(tree: Tree, tmp_path: Path):
    kept = tmp_path / "kept"
    os.link(tree.path / ARM64, kept)
    content = kept.read_bytes()
    tree.replace("place_linux_arm64.go", '"arm64"', '"ARM64"')
    assert tree.scons("bin").steps == [f"Compile {ARM64}"]
    assert kept.read_bytes() == content
    tree.replace("place_linux_arm64.go", '"ARM64"', '"arm64"')
    tree.scons("bin")
    assert (tree.path / ARM64).read_bytes() == content


def test_a_program_damaged_through_another_name_of_it_is_made_again(tree: Tree, tmp_path: Path):
    before = tree.digests()
    other = tmp_path / "other"
    os.link(tree.path / ARM64, other)
    status = other.stat()
    with other.open("r+b") as stream:
        stream.seek(status.st_size // 2)
        stream.write(b"damage")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert tree.scons("images").steps == [f"Compile {ARM64}"]
    assert tree.digests() == before


def test_a_program_that_became_a_link_is_made_again(tree: Tree):
    before = tree.digests()
    (tree.path / ARM64).unlink()
    (tree.path / ARM64).symlink_to("../../amd64/linux/demo")
    assert tree.scons("images").steps == [f"Compile {ARM64}"]
    assert not (tree.path / ARM64).is_symlink()
    assert tree.digests() == before


def test_a_file_for_a_variant_touches_that_variant_alone(fresh: Tree):
    arguments = ("bin", "PLATFORMS=linux/amd64,linux/amd64/v2,linux/amd64/v3,linux/arm/v6,linux/arm/v7")
    fresh.edit("Dockerfile", "FROM scratch\n")
    made = fresh.scons(*arguments)
    assert len(made.steps) == 5
    fresh.edit("fast.go", '//go:build amd64.v3\n\npackage main\n\nfunc init() { version += "fast" }\n')
    assert fresh.scons(*arguments).steps == ["Compile _output/bin/amd64-v3/linux/demo"]
    fresh.edit("fast.go", '//go:build arm.7\n\npackage main\n\nfunc init() { version += "fast" }\n')
    assert sorted(fresh.scons(*arguments).steps) == [
        "Compile _output/bin/amd64-v3/linux/demo",
        "Compile _output/bin/arm-v7/linux/demo",
    ]
    fresh.remove("fast.go")
    assert fresh.scons(*arguments).steps == ["Compile _output/bin/arm-v7/linux/demo"]
    assert fresh.scons(*arguments).up_to_date


def test_a_build_that_failed_leaves_the_program_and_the_way_back_costs_nothing(tree: Tree):
    before = tree.digests()
    for path, text in (("main.go", "\nfunc {\n"), ("go.mod", "\nnonsense\n")):
        kept = tree.read(path)
        tree.append(path, text)
        failed = tree.scons("images", check=False)
        assert (failed.status, tree.digests()) == (2, before)
        tree.edit(path, kept)
        assert tree.scons("images").up_to_date


def collected(tree: Tree) -> list[str]:
    """Return the GOGC of each `go build` since last asked, "" where there was none."""
    return [line.partition(" GOGC=")[2] for line in tree.go_starts() if line.startswith("build ")]


def test_less_garbage_is_collected_where_the_same_go_built_it_before_with_the_same_flags(fresh: Tree):
    fresh.scons("bin")
    assert collected(fresh) == ["", ""]
    fresh.replace("main.go", '"demo ', '"Demo ')
    fresh.scons("bin", "VERSION=v2")  # the version is in ldflags: it is linked anew, and nothing else
    assert collected(fresh) == ["400", "400"]
    fresh.remove("_output")
    fresh.scons("bin", "VERSION=v2")
    assert collected(fresh) == ["400", "400"]
    fresh.replace("SConstruct", "environment(", 'environment(GOFLAGS="-gcflags=all=-N", ')
    fresh.scons("bin")
    assert collected(fresh) == ["", ""]


SAYING = """\
package main

import "os"

var A, B, C, D = "-", "-", "-", "-"
var tags = ""

func main() { _, _ = os.Stdout.WriteString(A + "|" + B + "|" + C + "|" + D + "|" + tags) }
"""
HOST = "PLATFORMS=linux/amd64"


def saying(fresh: Tree, **variables: str) -> Callable[[str], str]:
    """Make the program one that says what it was stamped with; the function declares it anew, builds and runs it."""
    fresh.edit("main.go", SAYING)
    for tag in ("one", "two", "three"):
        fresh.edit(f"{tag}.go", f'//go:build {tag}\n\npackage main\n\nfunc init() {{ tags += " {tag}" }}\n')
    template = fresh.read("SConstruct")

    def built(declared: str) -> str:
        fresh.edit("SConstruct", template.replace('GOLDFLAGS="-X main.version=$VERSION"', declared))
        fresh.scons("bin", HOST, env=variables)
        assert fresh.scons("bin", HOST, env=variables).up_to_date
        return subprocess.run([fresh.path / AMD64], capture_output=True, text=True, check=True).stdout

    return built


def test_flags_of_every_place_reach_the_program_and_none_hides_another(fresh: Tree):
    built = saying(fresh, GOFLAGS="-ldflags=-X=main.A=a -tags=one -trimpath")
    assert built('GOLDFLAGS="-X main.B=b"') == "a|b|-|-| one"
    assert built('GOFLAGS="-ldflags=-X=main.C=c -tags=two", GOLDFLAGS="-X main.B=b", GOTAGS="three"') == (
        "a|b|c|-| one three two"
    )
    assert built('GOFLAGS=["-ldflags=all=-X=main.C=c"], GOLDFLAGS=["-X", "main.B=built on Monday"]') == (
        "a|built on Monday|c|-| one"
    )
    assert built("GOFLAGS='-ldflags=-X=main.C=c \\'-ldflags=-X main.D=d\\'', GOLDFLAGS='-X \\'main.B=it is\\''") == (
        "a|it is|c|d| one"
    )
    assert built('GOLDFLAGS="example.com/demo=-X main.B=b"') == "a|b|-|-| one"
    assert built('GOENV={"GOFLAGS": "-ldflags=-X=main.D=d"}, GOLDFLAGS="-X main.B=b"') == "-|b|-|d|"


@pytest.mark.parametrize("place", ["home", "named", "declared"])
def test_the_flags_of_go_env_w_are_not_hidden_either(fresh: Tree, tmp_path: Path, place: str):
    file = tmp_path / ".config" / "go" / "env"
    file.parent.mkdir(parents=True)
    file.write_text("GOFLAGS=-ldflags=-X=main.A=a -tags=one\n", encoding="utf-8")
    told = {"home": {"XDG_CONFIG_HOME": str(tmp_path / ".config")}, "named": {"GOENV": str(file)}, "declared": {}}
    built = saying(fresh, **told[place])
    declared = f'GOENV={{"GOENV": {str(file)!r}}}, ' if place == "declared" else ""
    assert built(f'{declared}GOLDFLAGS="-X main.B=b", GOTAGS="two"') == "a|b|-|-| one two"
    file.write_text("GOFLAGS=-ldflags=-X=main.A=changed\n", encoding="utf-8")
    assert built(f'{declared}GOLDFLAGS="-X main.B=b", GOTAGS="two"') == "changed|b|-|-| two"


@pytest.mark.parametrize(
    ("declared", "variable", "said"),
    [
        ('GOFLAGS="-o x"', "", "GOFLAGS: -o has no place here: the target says where the program lies"),
        ('GOFLAGS="-ldflags=main.A"', "", "GOFLAGS: -ldflags=main.A is neither flags nor pattern=flags"),
        ('GOFLAGS="-gcflags=example.com/x=-l"', "-gcflags=./...=-N", "may have packages in common"),
        ("""GOLDFLAGS=["-X", "main.A=it's \\"both\\""]""", "", "Go has no way to quote"),
    ],
)
def test_flags_that_cannot_be_merged_are_one_error(fresh: Tree, declared: str, variable: str, said: str):
    fresh.replace("SConstruct", 'GOLDFLAGS="-X main.version=$VERSION"', declared)
    ran = fresh.scons("bin", HOST, "-j4", env={"GOFLAGS": variable}, check=False)
    assert ran.status == 2
    assert said in ran.text
    assert "Traceback" not in ran.text


EMBED = 'import (\n\t"embed"\n\t"os"\n)\n\n//go:embed docs\nvar docs embed.FS\n\nvar _ = docs'


def test_what_is_made_of_the_program_itself_cannot_be_waited_for_and_is_no_error(fresh: Tree):
    fresh.edit("docs/help.txt", "old\n")
    fresh.replace("main.go", 'import "os"', EMBED)
    fresh.replace("SConstruct", 'env.GoImage("demo")', 'chain = env.GoImage("demo")')
    archive = 'env.Archive("docs/demo.tar", chain.images[0], reference="demo:1")\n'
    fresh.append("SConstruct", f'env.Command("docs/help.txt", chain.programs[0], "echo new > $TARGET")\n{archive}')
    fresh.scons("bin", "PLATFORMS=linux/amd64")
    fresh.scons("docs", "PLATFORMS=linux/amd64")
    assert fresh.scons("bin", "PLATFORMS=linux/amd64").steps == [f"Compile {AMD64}"]


def test_an_archive_of_another_image_that_a_program_embeds_is_waited_for(fresh: Tree):
    fresh.edit("docs/help.txt", "help\n")
    fresh.edit("other/main.go", "package main\n\nfunc main() {}\n")
    fresh.replace("main.go", 'import "os"', EMBED)
    other = 'other = env.GoImage("other", "./other", dockerfile=None)\n'
    archive = 'env.Archive("docs/other.tar", other.images[0], reference="other:1")\n'
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'{other}{archive}env.GoImage("demo")')
    fresh.scons("docs", "PLATFORMS=linux/amd64")
    run = fresh.scons("bin", "PLATFORMS=linux/amd64", check=False)
    assert "docs/other.tar is made by another step, which nothing waits for" in run.text
    fresh.replace("SConstruct", 'env.GoImage("demo")', 'env.GoImage("demo", sources=["#docs/other.tar"])')
    fresh.scons("bin", "PLATFORMS=linux/amd64")
    assert fresh.scons("bin", "PLATFORMS=linux/amd64").up_to_date


def test_a_made_file_is_not_one_of_the_same_name_out_of_the_tree(fresh: Tree):
    for name in ("main.go", "go.mod"):
        fresh.edit(f"../{name}", (fresh.path / name).read_text(encoding="utf-8"))
    fresh.edit("../words.txt", "read\n")
    fresh.replace("../main.go", 'import "os"', 'import (\n\t_ "embed"\n\t"os"\n)\n\n//go:embed words.txt\nvar _ string')
    fresh.replace("../main.go", "+ place", "")
    fresh.replace("SConstruct", 'env.GoImage("demo")', 'env.GoImage("demo", GODIR="..")')
    fresh.append("SConstruct", 'env.Command(["words.txt", "go.mod"], "VERSION", "touch words.txt go.mod")\n')
    fresh.scons("words.txt")
    fresh.scons("bin")
    assert fresh.scons("bin").up_to_date


def test_a_hint_names_what_would_be_compiled_and_as_scons_reads_it(fresh: Tree):
    names = ["a$$b.go", "a_test.go", "_a.go", "a_windows.go", "a_linux_arm64.go", "a_linux.go"]
    fresh.append(
        "SConstruct", f'env.Command({names}, "VERSION", "echo package main > a_linux.go; touch \'a$$b.go\'")\n'
    )
    fresh.replace("main.go", "func main() {", "func main() {\n\tmissing()")
    run = fresh.scons("bin", "PLATFORMS=linux/amd64", check=False)
    sources = "sources=['#a$$b.go', '#a_linux.go']"
    assert f"  hint: name what another step makes where the program is declared: {sources}\n" in run.text
    fresh.replace("main.go", "\n\tmissing()", "")
    fresh.edit("a$b.go", "package main\n")
    run = fresh.scons("bin", "PLATFORMS=linux/amd64", check=False)
    sources = "sources=['#a$$b.go']"
    assert (
        f"a$b.go is made by another step, which nothing waits for\n  hint: name it where the program is declared: {sources}"
        in run.text
    )


def test_a_made_go_mod_that_is_not_there_yet_is_named_by_the_hint(fresh: Tree):
    fresh.path.joinpath("go.mod").rename(fresh.path / "go.mod.in")
    fresh.append("SConstruct", 'env.Command("go.mod", "go.mod.in", Copy("$TARGET", "$SOURCE"))\n')
    run = fresh.scons("bin", check=False)
    assert "  hint: name what another step makes where the program is declared: sources=['#go.mod']\n" in run.text
    fresh.replace("SConstruct", 'env.GoImage("demo")', 'env.GoImage("demo", sources=["#go.mod"])')
    fresh.scons("bin")
    assert fresh.scons("bin").up_to_date
