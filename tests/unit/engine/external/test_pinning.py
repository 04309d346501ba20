from __future__ import annotations

import pytest
from msgspec.structs import replace

from multiarch_oci.engine.external.pinning import pinned
from multiarch_oci.engine.frontend.named import named_contexts
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.layer import Entry
from multiarch_oci.platform import Platform


def pin(shop, text, **more):
    plan = shop.plan(text, **more)
    settled = Reader().settled(plan, lambda _: shop.store)
    return pinned(plan.dockerfile.read_bytes(), settled).decode()


@pytest.mark.parametrize(
    "head",
    ["# syntax={}\n", "#!/x\n#syntax = {} # more\n", "\ufeff# syntax={}\r\n"],
    ids=["a comment", "behind a program", "a byte order mark"],
)
def test_a_front_end_that_was_verified_takes_the_place_of_the_one_by_tag(shop, head):
    verified = "docker.io/docker/dockerfile@sha256:" + "1" * 64
    text = head + "FROM scratch\nLABEL a=docker/dockerfile:1\n"
    assert pin(shop, text.format("docker/dockerfile:1"), frontend=verified) == text.format(verified)


@pytest.fixture
def base(shop):
    return shop.base("example.com/team/base:v1", (Entry.of_bytes("f", b"x"),))


def test_every_image_is_named_by_digest_and_lines_stay_where_they_are(shop, base):
    text = (
        "# syntax=docker/dockerfile:1\nARG NAME=example.com/team/base\n"
        "FROM --platform=$TARGETPLATFORM \\\n  # a comment\n  ${NAME}:v1 \\\n  AS first\n"
        "COPY --from=example.com/team/base:v1 /f \\\n  /g\nFROM first\n"
        'RUN --mount=from=example.com/team/base:v1,target=/m --mount=type=bind,"from=example.com/team/base:v1",target=/n \\\n'
        "  --mount=target=/o,from=first true # from=other\n"
    )
    by_digest = f"example.com/team/base@{base.digest}"
    assert pin(shop, text).splitlines() == [
        "# syntax=docker/dockerfile:1",
        "ARG NAME=example.com/team/base",
        f"FROM --platform=linux/amd64 {by_digest} AS first",
        "",
        "",
        "",
        f"COPY --from={by_digest} /f \\",
        "  /g",
        "FROM first",
        f'RUN --mount=from={by_digest},target=/m --mount=type=bind,"from={by_digest}",target=/n \\',
        "  --mount=target=/o,from=first true # from=other",
    ]


def test_what_the_target_does_not_need_is_emptied_and_keeps_its_name_and_number(shop):
    text = (
        "FROM nowhere.invalid/x AS unused\nRUN <<E\nexplode\nE\n\n# about the next\nFROM scratch AS here\n"
        "COPY --from=2 / /\nFROM example.com/team/base:v1\nRUN boom\n"
    )
    text = text.replace("COPY --from=2 / /\n", "COPY Dockerfile.test /\n")
    assert pin(shop, text, target="here").splitlines() == [
        *["FROM scratch AS unused", "", "", "", "", ""],
        *["FROM scratch AS here", "COPY Dockerfile.test /"],
        *["FROM scratch", ""],
    ]


def test_only_a_line_feed_ends_a_line(shop, base):
    text = "FROM scratch\n# x\x0cy\u2028z\nFROM example.com/team/base:v1\r\nCOPY --from=0 / /\n"
    assert pin(shop, text).split("\n")[1:3] == [
        "# x\x0cy\u2028z",
        f"FROM example.com/team/base@{base.digest}",
    ]


def test_a_name_of_docker_hub_is_written_out(shop):
    base = shop.base("alpine", (Entry.of_bytes("f", b"x"),))
    assert pin(shop, "FROM alpine\n") == f"FROM docker.io/library/alpine@{base.digest}\n"


def test_each_platform_of_one_name_has_its_digest(shop, base):
    arm = Platform.parse("linux/arm64")
    shop.bases = (base, replace(base, platform=arm))
    text = "FROM --platform=$BUILDPLATFORM example.com/team/base:v1 AS tool\nRUN x\nFROM example.com/team/base:v1\nCOPY --from=tool /f /\n"
    found = pin(shop, text, build_platform=arm).splitlines()
    assert found[0] == f"FROM --platform=linux/arm64 example.com/team/base@{base.digest} AS tool"
    assert found[2] == f"FROM example.com/team/base@{base.digest}"


def test_without_images_nothing_changes(shop):
    text = "FROM scratch AS a\nCOPY Dockerfile.test /\n\nFROM a\nCOPY --from=a / /b\n"
    assert pin(shop, text) == text


def test_what_named_contexts_mean_is_written_in_their_place(shop, base):
    lib = shop.folder.parent / "lib"
    lib.mkdir()
    image = "docker-image://example.com/team/base:v1"
    given = {"lib": "../lib", "mirror": image, "golang:1": image, "gone": "../lib", "none": "docker-image://scratch"}
    text = (
        "FROM golang:1 AS one\nCOPY --from=docker.io/library/lib:latest / /\nFROM nowhere.invalid/x \\\n  AS mirror\n"
        "RUN boom\nFROM nowhere.invalid/x AS gone\nRUN boom\nFROM none AS two\nFROM mirror\n"
        "COPY --from=gone / /\nCOPY --from=2 / /\nCOPY --from=two / /\nCOPY --from=one / /\nCOPY --from=none / /\n"
        "RUN --mount=from=gone,target=/m --mount=from=golang:1,target=/n true\n"
    )
    by_digest = f"example.com/team/base@{base.digest}"
    assert pin(shop, text, contexts=named_contexts(given, shop.folder)).splitlines() == [
        f"FROM {by_digest} AS one",
        "COPY --from=lib / /",
        *[f"FROM {by_digest} AS mirror", "", ""],
        *["FROM scratch AS gone", ""],
        "FROM scratch AS two",
        "FROM mirror",
        *["COPY --from=gone / /", "COPY --from=gone / /", "COPY --from=two / /", "COPY --from=one / /"],
        "COPY --from=scratch / /",
        f"RUN --mount=from=gone,target=/m --mount=from={by_digest},target=/n true",
    ]
