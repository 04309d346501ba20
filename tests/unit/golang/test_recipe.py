from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.golang.flags import ConflictingFlags, merged
from multiarch_oci.golang.recipe import (
    GoBuild,
    affecting,
    command,
    environment,
    flag_value,
    goenv,
    goenv_file,
    is_of_facts_alone,
    listing_flags,
    trims_paths,
)
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform

AMD64 = Platform.parse("linux/amd64")
DIRECTORY = Path("/src").absolute()


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    (tmp_path / "go.env").write_text("# defaults\nGOPROXY=direct\nGOTOOLCHAIN=auto\n", encoding="utf-8")
    return Toolchain(tmp_path / "bin" / "go", tmp_path, "go1.26.8")


def made(toolchain: Toolchain, build: GoBuild, base: dict[str, str] | None = None) -> dict[str, str]:
    return environment(build, {"HOME": "/home/u", **(base or {})}, toolchain)


def test_the_environment_is_that_of_the_platform_and_nothing_unknown_passes(toolchain: Toolchain):
    base = {"PATH": "/bin", "EDITOR": "vi", "GOOS": "plan9", "GOROOT": "/x", "GOTOOLCHAIN": "auto", "GOPROXY": "off"}
    assert made(toolchain, GoBuild(AMD64, directory=DIRECTORY), base) == {
        "CGO_ENABLED": "0",
        "GOARCH": "amd64",
        "GOFLAGS": "",
        "GOOS": "linux",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "HOME": "/home/u",
        "PATH": "/bin",
        "PWD": str(DIRECTORY),
    }


@pytest.mark.parametrize(
    ("platform", "variable", "value"),
    [
        ("linux/amd64/v3", "GOAMD64", "v3"),
        ("linux/arm", "GOARM", "7"),
        ("linux/arm/v5", "GOARM", "5"),
        ("linux/arm/v6", "GOARM", "6"),
        ("linux/arm/v8", "GOARM", "7"),
        ("linux/arm64/v9", "GOARM64", "v9.0"),
        ("linux/arm64/v8.2", "GOARM64", "v8.2"),
        ("linux/386/softfloat", "GO386", "softfloat"),
        ("linux/mips64le/softfloat", "GOMIPS64", "softfloat"),
        ("linux/ppc64le/power9", "GOPPC64", "power9"),
        ("linux/riscv64/rva22u64", "GORISCV64", "rva22u64"),
    ],
)
def test_a_variant_becomes_the_variable_of_its_architecture(toolchain, platform, variable, value):
    build = GoBuild(Platform.parse(platform), directory=DIRECTORY)
    assert made(toolchain, build, {variable: "ambient"})[variable] == value
    declared = GoBuild(Platform.parse(platform), directory=DIRECTORY, env=((variable, "declared"),))
    assert made(toolchain, declared)[variable] == "declared"


def test_without_a_variant_the_users_own_setting_holds_and_that_of_other_architectures_is_dropped(toolchain):
    found = made(toolchain, GoBuild(AMD64, directory=DIRECTORY), {"GOAMD64": "v2", "GOARM": "5"})
    assert (found.get("GOAMD64"), found.get("GOARM")) == ("v2", None)


def test_a_c_compiler_passes_only_with_cgo(toolchain: Toolchain):
    base = {"CC": "gcc", "CGO_CFLAGS": "-O2", "PKG_CONFIG_PATH": "/p"}
    without = made(toolchain, GoBuild(AMD64, directory=DIRECTORY, cc="zig cc"), base)
    assert not {"CC", "CGO_CFLAGS", "PKG_CONFIG_PATH"} & set(without)
    found = made(toolchain, GoBuild(AMD64, directory=DIRECTORY, cgo=True, cc="zig cc", cxx="zig c++"), base)
    assert (found["CC"], found["CXX"], found["CGO_ENABLED"], found["CGO_CFLAGS"]) == ("zig cc", "zig c++", "1", "-O2")
    assert made(toolchain, GoBuild(AMD64, directory=DIRECTORY, race=True))["CGO_ENABLED"] == "1"


def test_caches_lie_in_the_build_folder_where_there_is_no_home(toolchain: Toolchain, tmp_path: Path):
    build = GoBuild(AMD64, directory=DIRECTORY)
    found = environment(build, {"PATH": "/bin"}, toolchain, cache=tmp_path)
    assert (found["GOCACHE"], found["GOPATH"]) == (str(tmp_path / "go-build"), str(tmp_path / "go-path"))
    assert "GOCACHE" not in environment(build, {"HOME": "/root"}, toolchain, cache=tmp_path)


def test_the_goenv_file_sets_what_the_environment_does_not(toolchain: Toolchain, tmp_path: Path):
    file = tmp_path / "env"
    file.write_text("GOFLAGS=-tags=x\nGOAMD64=v3\nGOPROXY=off\nCC=clang\n", encoding="utf-8")
    build = GoBuild(AMD64, directory=DIRECTORY)
    found = made(toolchain, build, {"GOENV": str(file)})
    assert found["GOFLAGS"] == "-tags=x"
    assert made(toolchain, build, {"GOENV": str(file), "GOFLAGS": "-v"})["GOFLAGS"] == "-v"
    assert goenv(found, toolchain)["GOPROXY"] == "off"
    counted = affecting(found, toolchain)
    assert counted == {
        "CGO_ENABLED": "0",
        "GOAMD64": "v3",
        "GOARCH": "amd64",
        "GOFLAGS": "-tags=x",
        "GOOS": "linux",
        "GOTOOLCHAIN": "local",
    }


def test_the_goenv_file_may_be_switched_off_or_be_nowhere():
    assert goenv_file({"GOENV": "off", "HOME": "/h"}) is None
    assert goenv_file({}) is None
    assert goenv_file({"GOENV": "/x/env"}) == Path("/x/env")


def test_the_command_makes_equal_bytes_everywhere(toolchain: Toolchain):
    build = GoBuild(
        AMD64, package="./cmd/a", directory=DIRECTORY, ldflags="-X main.v=1", tags=("a", "b"), flags=("-v",)
    )
    assert command(build, Path("out"), toolchain, {}) == [
        str(toolchain.go),
        *("build", "-trimpath", "-buildvcs=false", "-tags=a,b", "-ldflags=-s -w -buildid= -X main.v=1", "-v"),
        *("-o", "out", "./cmd/a"),
    ]


def test_a_debug_build_keeps_symbols_and_a_race_build_says_so(toolchain: Toolchain):
    line = command(GoBuild(AMD64, directory=DIRECTORY, debug=True, race=True), Path("out"), toolchain, {})
    assert line[2:7] == ["-trimpath", "-buildvcs=false", "-race", "-gcflags=all=-N -l", "-ldflags=-buildid="]


@pytest.mark.parametrize("flags", ["'-ldflags=-X main.v=2 -w' -v", '-v "-ldflags=-X main.v=2 -w"'])
def test_ldflags_of_the_users_goflags_are_not_hidden_by_ours(toolchain: Toolchain, flags: str):
    line = command(GoBuild(AMD64, directory=DIRECTORY), Path("out"), toolchain, {"GOFLAGS": flags})
    assert "-ldflags=-s -w -buildid= -X main.v=2 -w" in line


def test_nothing_that_is_said_in_one_place_hides_what_another_says(toolchain: Toolchain):
    build = GoBuild(
        AMD64,
        directory=DIRECTORY,
        flags=("-ldflags=-X=main.A=a", "-tags=x,y", "-v", "-ldflags", "-w", "-gcflags=-l", "-asmflags=all=-D=A"),
        tags=("z",),
        ldflags="-X 'main.B=b c'",
        debug=True,
    )
    line = command(build, Path("out"), toolchain, {"GOFLAGS": "-ldflags=-s -tags=w -gcflags=all=-B -p=2"})
    assert line[2:-3] == [
        *("-trimpath", "-buildvcs=false", "-gcflags=all=-N -l -B", "-gcflags=-N -l -B -l", "-tags=w,x,y,z"),
        "-ldflags=-buildid= -s -X=main.A=a -w -X 'main.B=b c'",
        *("-v", "-asmflags=all=-D=A"),
    ]


@pytest.mark.parametrize(
    ("variable", "given", "ldflags", "linked"),
    [
        ("", ("-ldflags=all=-X=main.A=a",), "-X=main.B=b", ["-ldflags=-s -w -buildid= -X=main.A=a -X=main.B=b"]),
        ("-ldflags=all=-w", (), "all=-X=main.B=b", ["-ldflags=-s -w -buildid= -w -X=main.B=b"]),
        (
            "",
            ("-ldflags=./...=-X=main.A=a",),
            "-w",
            ["-ldflags=-s -w -buildid= -w", "-ldflags=./...=-s -w -buildid= -X=main.A=a -w"],
        ),
        (
            "-ldflags=example.com/a=-X=main.A=a",
            (),
            "example.com/a=-X=main.B=b",
            ["-ldflags=-s -w -buildid=", "-ldflags=example.com/a=-s -w -buildid= -X=main.A=a -X=main.B=b"],
        ),
    ],
)
def test_flags_for_the_packages_of_a_pattern_are_merged_for_each(
    toolchain: Toolchain, variable: str, given: tuple[str, ...], ldflags: str, linked: list[str]
):
    build = GoBuild(AMD64, directory=DIRECTORY, flags=given, ldflags=ldflags)
    line = command(build, Path("out"), toolchain, {"GOFLAGS": variable})
    assert [word for word in line if "ldflags" in word] == linked


def test_the_last_pattern_that_fits_a_package_holds_what_all_places_say():
    places = [(("all", "-1"), ("example.com/x", "-2")), (("all", "-3"),), (("example.com/y", "-4"),)]
    assert merged(places, "gcflags") == (
        ("all", "-1 -3"),
        ("example.com/y", "-1 -3 -4"),
        ("example.com/x", "-2 -3"),
    )


@pytest.mark.parametrize(
    ("variable", "given", "what"),
    [
        ("", ("-o", "x"), "-o has no place here"),
        ("-o=x", (), "-o has no place here"),
        ("", ("-C=x",), "-C has no place here"),
        ("", ("-n",), "-n has no place here"),
        ("-gcflags=./...=-N", ("-gcflags=example.com/x=-l",), "may have packages in common"),
        ("-gcflags=-N", ("-gcflags=example.com/x=-l",), "'the program' and 'example.com/x'"),
        ("", ("-ldflags=main.A",), "neither flags nor pattern=flags"),
    ],
)
def test_flags_that_cannot_be_merged_are_an_error(
    toolchain: Toolchain, variable: str, given: tuple[str, ...], what: str
):
    build = GoBuild(AMD64, directory=DIRECTORY, flags=given)
    with pytest.raises(ConflictingFlags, match=what):
        command(build, Path("out"), toolchain, {"GOFLAGS": variable})


def test_what_the_variable_says_of_trimpath_and_buildvcs_is_not_hidden(toolchain: Toolchain):
    build = GoBuild(AMD64, directory=DIRECTORY)
    told = {"GOFLAGS": "-trimpath=false -buildvcs=true -mod=mod"}
    assert command(build, Path("out"), toolchain, told)[2:-3] == ["-ldflags=-s -w -buildid="]
    assert not trims_paths(build, told)
    same = {"GOFLAGS": "-trimpath -buildvcs=false"}
    assert command(build, Path("out"), toolchain, same)[2:4] == ["-trimpath", "-buildvcs=false"]


def test_go_list_is_asked_with_all_tags():
    build = GoBuild(AMD64, directory=DIRECTORY, flags=("-tags", "a b"), tags=("c",))
    assert listing_flags(build, {"GOFLAGS": "-tags=d,a"}) == ("-tags=d,a,b,c",)
    assert listing_flags(GoBuild(AMD64), {"GOFLAGS": "-tags=d"}) == ()


def test_the_last_value_of_a_flag_wins():
    assert flag_value(("-pgo=a", "--pgo", "b"), "pgo") == "b"
    assert flag_value(("-pgo=a",), "tags") == ""
    assert flag_value(("-pgo",), "pgo") == ""


def test_go_list_is_given_only_the_flags_that_choose_files():
    flags = ("-v", "-x", "-mod=vendor", "-modfile=alt.mod", "-gcflags=-N", "-msan")
    build = GoBuild(AMD64, directory=DIRECTORY, flags=flags, tags=("t",), race=True)
    assert listing_flags(build, {}) == ("-tags=t", "-race", "-mod=vendor", f"-modfile={DIRECTORY / 'alt.mod'}", "-msan")


@pytest.mark.parametrize(
    ("flags", "trims"), [((), True), (("-trimpath=false",), False), (("-trimpath=0", "-trimpath"), True)]
)
def test_the_folder_counts_only_when_paths_stay(flags: tuple[str, ...], trims: bool):
    assert trims_paths(GoBuild(AMD64, flags=flags), {}) is trims


@pytest.mark.parametrize(
    ("variable", "flags", "alone"),
    [
        ("", (), True),
        ("-mod=mod -trimpath -buildvcs=false", ("-gcflags=-l",), True),
        ("-buildvcs=auto", (), False),
        ("-buildvcs=true", ("-buildvcs=false",), True),
        ("", ("-buildvcs",), False),
        ("-trimpath=false", (), False),
        ("", ("-gcflags", "all=-trimpath="), False),
        ("--toolexec=wrap", (), False),
    ],
)
def test_a_program_with_the_commit_or_paths_of_a_machine_is_not_of_its_facts_alone(
    variable: str, flags: tuple[str, ...], alone: bool
):
    assert is_of_facts_alone(GoBuild(AMD64, flags=flags), {"GOFLAGS": variable}) is alone
