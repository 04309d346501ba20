from __future__ import annotations

import pytest

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine.frontend import BaseWanted
from multiarch_oci.platform import InvalidPlatform, Platform
from workshop import AMD64, Workshop


def env(shop: Workshop, text: str, **more: object) -> dict[str, str]:
    lines = shop.build(text, **more).config.env
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name != "PATH"}


def bases(shop: Workshop, text: str, **more: object) -> tuple[BaseWanted, ...]:
    return shop.engine().inputs(shop.plan(text, **more)).bases


@pytest.mark.parametrize(
    ("platform", "wanted"),
    [
        ("linux/arm/v7", "linux/arm/v7 linux arm v7"),
        ("linux/amd64", "linux/amd64 linux amd64 "),
        ("windows(10.0.20348.1)/amd64", "windows(10.0.20348.1)/amd64 windows amd64 "),
    ],
)
def test_the_predefined_arguments_say_the_target(shop, platform, wanted):
    shop.platform = Platform.parse(platform)
    text = "ARG TARGETPLATFORM\nARG TARGETOS TARGETARCH TARGETVARIANT\n"
    found = env(shop, f'FROM scratch\n{text}ENV V="$TARGETPLATFORM $TARGETOS $TARGETARCH $TARGETVARIANT"\n')
    assert found["V"] == wanted


def test_the_build_platform_is_the_targets_on_every_machine(shop):
    shop.platform = Platform.parse("linux/arm64")
    assert env(shop, "FROM scratch\nARG BUILDPLATFORM\nARG BUILDARCH\nENV V=$BUILDPLATFORM,$BUILDARCH\n") == {
        "V": "linux/arm64,arm64"
    }


def test_an_argument_is_seen_only_where_it_is_declared(shop):
    text = "ARG A=1\nFROM scratch\nENV X=[$A]\nARG A\nENV Y=[$A]\nARG B=$A.2\nENV Z=[$B]\nENV T=[$TARGETARCH]\n"
    assert env(shop, text) == {"X": "[]", "Y": "[1]", "Z": "[1.2]", "T": "[]"}


def test_build_arguments_win_over_defaults(shop):
    text = "ARG A=1\nFROM scratch\nARG A\nARG B=2\nARG C\nENV V=$A$B$C\n"
    assert env(shop, text, build_args=(("A", "x"), ("B", "y"), ("C", "z"))) == {"V": "xyz"}
    assert env(shop, text) == {"V": "12"}


def test_a_stage_inherits_the_variables_of_the_one_below(shop):
    assert env(shop, "FROM scratch AS a\nARG A=1\nENV B=2\nFROM a\nENV C=$A$B\n") == {"B": "2", "C": "12"}


def test_the_ports_of_expose_may_be_words_of_a_variable(shop):
    text = 'FROM scratch\nARG PORTS="3000 4000/udp"\nENV P=81\nEXPOSE $PORTS ${P} ${NONE:-90-91}\n'
    assert shop.build(text).config.exposed_ports == ("3000/tcp", "4000/udp", "81/tcp", "90/tcp", "91/tcp")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nRUN --mount=from=a,target=/y x\nFROM scratch\n",
            "Dockerfile.test:4: RUN --mount with from=: the stages read from each other in a circle",
        ),
        (
            "FROM scratch AS a\nRUN --mount=from=a,target=/y x\nFROM scratch\n",
            "Dockerfile.test:2: RUN --mount with from=: the stages read from each other in a circle",
        ),
        (
            "FROM scratch AS a\nCOPY --from=7 /x /\nFROM scratch\n",
            "Dockerfile.test:2: COPY --from=7: there is no stage 7",
        ),
    ],
)
def test_a_stage_that_nobody_needs_may_not_read_from_nowhere(shop, text, error):
    with pytest.raises(InvalidDockerfile) as caught:
        bases(shop, text)
    assert str(caught.value).removesuffix("\n  hint: a stage can copy from the stages above it") == error


def test_a_mounts_number_is_the_name_of_an_image(shop):
    assert [each.name for each in bases(shop, "FROM scratch AS a\nFROM x\nRUN --mount=from=0,target=/t x\n")] == [
        "x",
        "0",
    ]


def test_an_env_counts_for_the_next_instruction_only(shop):
    assert env(shop, "FROM scratch\nENV A=1\nENV A=2 B=$A\n") == {"A": "2", "B": "1"}


def test_only_what_the_target_needs_is_asked_for(shop):
    text = (
        "ARG V=3.19\nFROM golang AS build\nFROM alpine:$V AS image\nCOPY --from=busybox:1 /x /x\n"
        "FROM debian AS other\nFROM image\nCOPY --from=quay.io/a/b /y /y\n"
    )
    assert bases(shop, text) == (
        BaseWanted("alpine:3.19", AMD64, 3),
        BaseWanted("busybox:1", AMD64, 4),
        BaseWanted("quay.io/a/b", AMD64, 7),
    )
    assert bases(shop, text, target="other") == (BaseWanted("debian", AMD64, 5),)


def test_a_from_says_its_platform(shop):
    arm = Platform.parse("linux/arm64")
    text = "FROM --platform=linux/arm64 a AS x\nFROM --platform=$TARGETPLATFORM b\nCOPY --from=x /f /f\n"
    assert bases(shop, text) == (BaseWanted("a", arm, 1), BaseWanted("b", AMD64, 2))


def test_onbuild_of_the_stage_below_is_executed(shop):
    shop.write("a")
    text = "FROM scratch AS s\nONBUILD COPY a /triggered\nONBUILD ENV T=1\nFROM s\nENV U=$T\n"
    assert list(shop.files(text)) == ["triggered"]
    assert env(shop, text) == {"T": "1", "U": "1"}
    assert shop.build(text).config.on_build == ()
    assert [file.path for file in shop.engine().inputs(shop.plan(text)).files] == ["a"]


def test_onbuild_run_is_refused(shop):
    text = "FROM scratch AS s\nONBUILD RUN x\nFROM s\n"
    assert shop.engine().refusal(shop.plan(text)) == "Dockerfile.test:3: the embedded engine cannot execute RUN"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("FROM $NOTHING\n", "Dockerfile.test:1: FROM $NOTHING names nothing"),
        ("FROM --platform=$NO scratch\n", "Dockerfile.test:1: --platform=$NO is empty"),
    ],
)
def test_a_from_that_names_nothing_is_an_error(shop, text, what):
    with pytest.raises(InvalidDockerfile) as caught:
        shop.build(text)
    assert str(caught.value).startswith(what)


def test_an_unknown_target_is_an_error_that_names_the_stages(shop):
    with pytest.raises(InvalidDockerfile, match="there is no stage 'x'\n  hint: the stages are: a, b"):
        shop.build("FROM scratch AS a\nFROM scratch AS B\n", target="x")


def test_a_bad_platform_is_an_error(shop):
    with pytest.raises(InvalidPlatform):
        shop.build("FROM --platform=linux//x scratch\n")


def test_a_mount_may_have_its_type_in_a_variable(shop):
    text = "FROM scratch AS a\nFROM x\nARG T=cache\nRUN --mount=type=$T,target=/c --mount=from=a,type=$T,target=/d x\n"
    shop.base("x")
    assert [each.name for each in bases(shop, text)] == ["x"]
    assert shop.engine()._reader.recipe(shop.plan(text)).needed == (0, 1)


def test_scratch_and_the_images_of_from_flags_are_of_the_platform_that_is_built_for(shop):
    text = "FROM --platform=linux/arm64 scratch AS a\nFROM --platform=linux/arm64 y\nCOPY --from=x / /\nCOPY --from=a / /\n"
    arm = Platform.parse("linux/arm64")
    assert bases(shop, text) == (BaseWanted("y", arm, 2), BaseWanted("x", AMD64, 3))
    assert [each.platform for each in shop.engine()._reader.recipe(shop.plan(text)).stages] == [AMD64, arm]
