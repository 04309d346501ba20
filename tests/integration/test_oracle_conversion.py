"""What a Dockerfile makes and takes, against BuildKit's own frontend: config, history, bases, paths of the context.

No engine runs: files are the matter of test_random_builds. Compared are BuildKit's own Dockerfiles and random ones.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from buildkit_oracle import Oracle, sent
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.dockerfile.instructions import Add, Command, Copy, Run
from multiarch_oci.engine import Base, BuildPlan
from multiarch_oci.engine.embedded import building
from multiarch_oci.engine.embedded.building import Builder, Stage, destination_of, line_of
from multiarch_oci.engine.embedded.configuring import recorded
from multiarch_oci.engine.embedded.ownership import Chmod
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.frontend.sources import is_remote
from multiarch_oci.errors import MultiarchError
from multiarch_oci.manifest import Manifest
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store.memory import Memory

SOME = settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
CONFIG: dict[str, Any] = {
    "Env": ["PATH=/usr/local/bin:/usr/bin", "BASEVAR=b"], "WorkingDir": "/base", "Cmd": ["sh"], "Labels": {"l": "v"}, "User": "app",
}  # fmt: skip
BUILDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("linux/amd64", {}),
    ("linux/arm/v7", {"VERSION": "1", "TAG": "t", "BASE": "alpine", "N": "n m"}),
    ("windows/amd64", {}),
)
# What docs/howto/engines.md lists: refused by BuildKit here, elsewhere with us; and refused by us alone.
THEIRS_ALONE = (
    "SOURCE_DATE_EPOCH",
    "secret target is required on Windows",
    "arguments are required",
    "invalid mount target",
    "failed to parse stage name",
)
OURS_ALONE = ("but the image is", "cannot be in a Windows image", "leads out of the image")


class Configs(Builder):
    """Executes everything but what touches files."""

    def _copy(self, stage: Stage, command: Copy | Add) -> None:
        if isinstance(command, Copy) or not any(map(is_remote, command.sources)):
            building._check(command)
        if command.chmod:
            Chmod.parse(command.chmod)
        destination_of(stage.config, command.destination)
        stage.config = recorded(stage.config, line_of(command), 0, layer=True)

    def _make_workdir(self, stage: Stage) -> bool:
        return stage.config.working_dir not in ("/", "\\")

    def _execute(self, stage: Stage, command: Command) -> None:
        if isinstance(command, Run):
            stage.config = recorded(stage.config, "RUN", 0, layer=True)
        else:
            super()._execute(stage, command)


@dataclass(frozen=True)
class Made:
    """What a Dockerfile makes: the config without times, the images it asks for, the paths that it takes."""

    config: dict[str, Any]
    history: list[tuple[str, bool]]
    images: list[str]
    taken: set[str]


def _made(image: dict[str, Any], images: list[str], taken: set[str]) -> Made:
    config = {key: value for key, value in (image.get("config") or {}).items() if value}
    config |= {key: image.get(key) or "" for key in ("os", "architecture", "variant", "author")}
    lines = ((line["created_by"], line.get("empty_layer", False)) for line in image.get("history") or ())
    # What RUN leaves is of the engine that runs it.
    return Made(config, [("RUN" if text.startswith("RUN") else text, empty) for text, empty in lines], images, taken)


def _theirs(oracle: Oracle, content: bytes, build: tuple[str, dict[str, str]]) -> Made | str:
    arguments = {name: sent(value) for name, value in build[1].items()}
    found = oracle.ask("convert", content=sent(content), env=arguments, platform=build[0], config=CONFIG)
    if "error" in found:
        return str(found["error"])
    # Of what ADD fetches, BuildKit asks the context too, when it is no HTTP.
    taken = {"/" + path.strip("/") for path in found["taken"] if not is_remote(path.strip("/"))}
    return _made(json.loads(found["image"]), list(found["images"]), taken)


def _compare(oracle: Oracle, ours: Ours, content: bytes, build: tuple[str, dict[str, str]]) -> bool:
    """Compare, and say whether there was something to compare: no error of both."""
    made, theirs = ours.made(content, build), _theirs(oracle, content, build)
    if isinstance(made, str) or isinstance(theirs, str):
        text = content.decode(errors="replace")
        if isinstance(made, str) and isinstance(theirs, Made):
            assert any(known in made for known in OURS_ALONE), (made, text)
        elif isinstance(theirs, str) and isinstance(made, Made):
            assert any(known in theirs for known in THEIRS_ALONE), (theirs, text)
        return False
    assert made.config == theirs.config
    assert made.history == theirs.history
    assert made.images == theirs.images
    # What is taken must be a dependency: more would be a needless rebuild, less a stale image.
    assert "/" in made.taken or theirs.taken <= made.taken
    assert "/" in theirs.taken or made.taken <= theirs.taken
    return True


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ours:
    monkeypatch.setattr(building, "unsupported", lambda _command, _where: None)
    return Ours(tmp_path)


@dataclass(frozen=True)
class Ours:
    """Our reading, in a folder for the Dockerfile."""

    folder: Path

    def made(self, content: bytes, build: tuple[str, dict[str, str]]) -> Made | str:
        """What we make of a Dockerfile, or the error."""
        path = self.folder / "Dockerfile"
        path.write_bytes(content)
        plan = BuildPlan(
            platform=Platform.parse(build[0]), dockerfile=path, context=self.folder, file_digest=str, build_args=tuple(build[1].items())
        )  # fmt: skip
        reader, store = Reader(), Memory()
        try:
            plan = _with_bases(plan, reader, store)
            settled = reader.settled(plan, lambda _: store)
            stage = Configs(settled, partial(reader.context, plan), lambda _line: None).target()
            platform = settled.platform()
            document = json.loads(stage.config.to_json()) | platform.to_json()
            taken = {f"/{path}" for path in reader.inputs(settled.plan).patterns}
        except MultiarchError as error:
            return str(error)
        images = [f"{Reference.parse(each.name).with_default_tag()} {each.platform}" for each in settled.recipe.bases()]
        return _made(document, sorted(images), taken)


def _with_bases(plan: BuildPlan, reader: Reader, store: Memory) -> BuildPlan:
    """Resolve whatever the plan's Dockerfile names to an image with CONFIG."""
    bases = []
    for each in reader.recipe(plan).bases():
        Reference.parse(each.name)
        bases.append(Base(each.name, each.platform, _image(store, each.platform)))
    return replace(plan, bases=tuple(bases))


def _image(store: Memory, platform: Platform) -> Digest:
    document = {
        "config": CONFIG,
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"layer"))]},
    } | platform.to_json()
    config = json.dumps(document).encode()
    descriptor = Descriptor.of("application/vnd.oci.image.config.v1+json", config)
    layer = Descriptor.of("application/vnd.oci.image.layer.v1.tar+gzip", b"layer")
    manifest = Manifest(descriptor, (layer,))
    store.put(descriptor, lambda: io.BytesIO(config))
    store.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
    return manifest.descriptor().digest


@pytest.fixture(scope="session")
def dockerfiles(buildkit: Path) -> list[bytes]:
    """Every Dockerfile in the Go tests and in the documentation of BuildKit's frontend."""
    found = dict.fromkeys(path.read_bytes() for path in buildkit.parent.parent.rglob("*Dockerfile") if path.is_file())
    for path in sorted(buildkit.glob("**/*_test.go")):
        strings = re.findall("`([^`]*)`", path.read_text("utf-8"))
        found |= dict.fromkeys(text.encode() for text in strings if re.search(r"(?im)^\s*FROM\s+\S", text))
    for path in sorted(buildkit.glob("docs/**/*.md")):
        blocks = re.findall(r"```[ ]*dockerfile[^\n]*\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
        found |= dict.fromkeys(b"" if "FROM" in text else b"FROM base\n" + text.encode() for text in blocks)
        found |= dict.fromkeys(text.encode() for text in blocks)
    return list(found)


def test_buildkits_own_dockerfiles_make_what_they_make_with_buildkit(
    oracle: Oracle,
    ours: Ours,
    dockerfiles: list[bytes],
) -> None:
    assert len(dockerfiles) > 600
    compared = sum(_compare(oracle, ours, content, build) for content in dockerfiles for build in BUILDS)
    assert compared > len(dockerfiles)


WORDS = [
    "a",
    "$N",
    "${N:-x y}",
    "${A:+set}",
    "${N#n}",
    "${A%%.*}",
    "${N/n/q}",
    "'q $N'",
    '"$A z"',
    "${BASEVAR}",
    "$TARGETARCH",
    "a.b.c",
    "\\$N",
]
_WORD = st.sampled_from(WORDS)
_LINES = st.one_of(
    st.tuples(st.sampled_from(["A", "B", "N", "PATH", "P"]), _WORD).map("ENV {0[0]}={0[1]}".format),
    st.tuples(st.sampled_from(["A", "B", "N", "P", "TARGETOS", "TARGETSTAGE"]), _WORD).map("ARG {0[0]}={0[1]}".format),
    st.sampled_from(["ARG N", "ARG A B=2 N", "ARG TARGETARCH TARGETPLATFORM", "ARG BUILDPLATFORM", "ENV old $A  form", "LABEL a b c"]),
    st.tuples(st.sampled_from(["a", "$N", "'b c'"]), _WORD).map("LABEL {0[0]}={0[1]}".format),
    st.lists(st.sampled_from(["80", "81/udp", "90-92", "$P", "${P:-7 8}", "1.2.3.4:80:81", "${NONE}", "443/TCP", "0", "[::1]:5:6"]), min_size=1, max_size=3).map(
        lambda ports: f"EXPOSE {' '.join(ports)}"
    ),
    st.lists(_WORD, min_size=1, max_size=2).map(lambda words: f"VOLUME {' '.join(words)}"),
    st.sampled_from(["USER $N", "USER app:$A", "WORKDIR $N", "WORKDIR /w/../$A/", "WORKDIR rel/", "WORKDIR /", "STOPSIGNAL ${S:-SIGINT}", "STOPSIGNAL 9"]),
    st.sampled_from(['CMD ["a", "$N"]', "CMD x $N  'y'", "CMD []", 'ENTRYPOINT ["e"]', "ENTRYPOINT e $A", 'SHELL ["s", "-c"]', "MAINTAINER $N <m@x>"]),
    st.sampled_from(["HEALTHCHECK NONE", "HEALTHCHECK --interval=1m --retries=2 CMD a  $N", 'HEALTHCHECK CMD ["a"]', "RUN x $N"]),
    st.sampled_from(["ONBUILD ENV O=$N", "ONBUILD COPY $N /o", "ONBUILD WORKDIR $A", "ONBUILD CMD x", "ONBUILD COPY --from=s0 /a /b"]),
    st.tuples(st.sampled_from(["COPY", "ADD", "COPY --from=s0", "COPY --from=img:$", "COPY --chown=$N", "COPY --parents", "COPY --link"]), _WORD).map(
        "{0[0]} {0[1]} ./b/../c d$N/ /x/".format
    ),
    st.sampled_from(["ADD https://a.b/c.tar /x/", "ADD git@a.b:c/d.git /x/", "COPY <<EOF /h/\n$N $A\nEOF", "COPY <<-'E' <<F a/\n\tx\nE\n$N\nF"]),
    st.sampled_from(["RUN --mount=type=$N,target=/t x", "RUN --mount=source=$A/q,target=/t x", "RUN --mount=from=s0,target=/t x", "RUN --mount=from=0,target=/t x", "COPY --from=0 /a /b", "COPY --from=1 a b", "RUN --mount=from=img,target=$A x"]),
)  # fmt: skip
_BASES = st.sampled_from(
    [
        "scratch",
        "alpine",
        "$IMG",
        "${IMG:-busybox:1}",
        "s0",
        "S0",
        "--platform=$BUILDPLATFORM alpine",
        "--platform=linux/arm64 q/r:1 ",
        "$N",
    ]
)
_STAGES = st.lists(st.tuples(_BASES, st.lists(_LINES, max_size=6)), min_size=1, max_size=3)


def _text(parts: tuple[list[str], list[tuple[str, list[str]]]]) -> bytes:
    before, stages = parts
    lines = list(before)
    for number, (base, instructions) in enumerate(stages):
        lines += [f"FROM {base} AS s{number}", *instructions]
    return "\n".join(lines).encode() + b"\n"


FILES = st.tuples(
    st.lists(st.sampled_from(["ARG IMG=alpine:3", "ARG N=img", "ARG A=${N}.1", "ARG TARGETARCH=z"]), max_size=3),
    _STAGES,
).map(_text)


@SOME
@given(FILES, st.sampled_from(BUILDS))
def test_random_dockerfiles_make_what_they_make_with_buildkit(
    oracle: Oracle,
    ours: Ours,
    content: bytes,
    build: tuple[str, dict[str, str]],
) -> None:
    _compare(oracle, ours, content, build)
