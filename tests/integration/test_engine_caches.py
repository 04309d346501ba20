"""An edit of any input of an instruction is in the image, whatever the engine keeps: forth, back, and from clean."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import unpacked
from machines.bases import push_image, store_of
from machines.builders import busybox
from machines.registry import Registry
from machines.required import required
from multiarch_oci.engine import Base, Engine, NamedContext
from multiarch_oci.engine.buildx import BuildxEngine
from multiarch_oci.engine.docker import DockerEngine
from multiarch_oci.engine.external.calling import Programs
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.fingerprint import MARK
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.podman import PodmanEngine
from multiarch_oci.store.archive import Archive
from workshop import AMD64, Workshop, tar

MOUNTING = ("podman", "buildah", "docker", "buildx")
ALL = (*MOUNTING, "legacy")


@dataclass
class Maker:
    """An engine of one kind, and how it forgets all that it keeps."""

    kind: str
    environment: Mapping[str, str]
    forget: Callable[[], object]

    def engine(self, shop: Workshop) -> Engine:
        programs = Programs(self.environment, lambda _line: None)
        given = Surroundings(store_of, shop.warnings.append, programs, Reader(), ("127.0.0.0/8",))
        return {"podman": PodmanEngine, "buildah": PodmanEngine, "buildx": BuildxEngine}.get(self.kind, DockerEngine)(
            given
        )


@pytest.fixture(params=ALL)
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    kind = request.param
    owner = {"buildah": "podman", "legacy": "docker"}.get(kind, kind)
    environment = dict(request.getfixturevalue(f"{owner}_environment"))

    def run(*command: str) -> None:
        subprocess.run(command, env=told, capture_output=True, check=True)

    told = dict(environment)
    forget: dict[str, Callable[[], object]] = {
        "podman": lambda: run("podman", "rmi", "--all", "--force"),
        "docker": lambda: run("docker", "builder", "prune", "--all", "--force"),
        "legacy": lambda: run("docker", "image", "prune", "--all", "--force"),
        "buildx": lambda: run("docker", "buildx", "prune", "--all", "--force"),
    }
    if kind == "buildah":  # a PATH in which it is alone
        (tmp_path / "alone").mkdir()
        (tmp_path / "alone" / "buildah").symlink_to(shutil.which("buildah") or required("buildah"))
        environment["PATH"] = str(tmp_path / "alone")
    if kind == "legacy":
        environment["PATH"] = ""
    return Maker(kind, environment, forget["podman" if kind == "buildah" else kind])


@dataclass
class Scene:
    """A context with everything that the table takes, in its first or second state."""

    shop: Workshop
    host: str
    second: bool = False
    shared: Path = field(init=False)

    def __post_init__(self) -> None:
        self.shared = self.shop.folder.parent / "shared"

    def set(self, *, second: bool) -> None:
        for folder in (self.shop.folder, self.shared):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.second = second
        write, word = self.shop.write, "two" if second else "one"
        for kind in ("file", "folder", "whole", "several", "cache", "tmpfs", "sub/deep", "rw", "stage", "seed"):
            write(f"{kind}/f", word)
            write(f"{kind}/other", "equal")
        write("mode/f", "equal", mode=0o755 if second else 0o644)
        write("added/f", "equal")
        if second:
            write("added/g", "")
            (self.shop.folder / "added" / "empty").mkdir()
        for kind in ("kind", "link"):
            write(f"{kind}/one", "equal")
            write(f"{kind}/two", "equal")
        (self.shop.folder / "link" / "f").symlink_to(word)
        if second:
            (self.shop.folder / "kind" / "f").symlink_to("one")
        else:
            write("kind/f", "equal")
        write("ignored/f", "equal")
        write("ignored/g", "equal")
        write(".dockerignore", "ignored/g\n" if second else "# nothing\n")
        write("trigger/f", word)
        write("args/one", "first")
        write("args/two", "second")
        write("archive.tar", tar(("f", {}, word.encode()), ("m", {"mode": 0o755 if second else 0o644}, b"equal")))
        (self.shared / "sub").mkdir()
        (self.shared / "sub" / "f").write_text(word, encoding="utf-8")

    def bases(self) -> tuple[Base, ...]:
        """Push the bases; those that are edited have another digest, and nothing else."""
        word = "two" if self.second else "one"
        shell = {"bin/sh": busybox()}
        trigger = "RUN --mount=type=bind,source=trigger,target=/m cat /m/f > /out"
        push = partial(push_image, created="2020-01-01T00:00:00Z")
        made = {
            "shell": push(f"{self.host}/shell:v1", "linux/amd64", shell, mode=0o755),
            "other": push(f"{self.host}/other:v1", "linux/amd64", {"d/f": word.encode()}),
            "named": push(f"{self.host}/named:v1", "linux/amd64", {"d/f": word.encode(), "named": b""}),
            "flavour": push(
                f"{self.host}/flavour:v1", "linux/amd64", shell, mode=0o755, env=(f"FLAVOUR={word}", "PATH=/bin")
            ),
            "trigger": push(f"{self.host}/trigger:v1", "linux/amd64", shell, mode=0o755, on_build=(trigger,)),
            "copies": push(
                f"{self.host}/copies:v1", "linux/amd64", shell, mode=0o755, on_build=("COPY trigger/f /out",)
            ),
        }
        return tuple(Base(f"{self.host}/{name}:v1", AMD64, digest) for name, digest in made.items())

    def build(self, maker: Maker, text: str, **more: Any) -> tuple[str, dict[str, unpacked.Found]]:
        network = "" if maker.kind in ("podman", "buildah") else "none"
        settings = {"network": network, "bases": self.bases(), "contexts": self.contexts()} | more
        plan = self.shop.plan(text.replace("HOST", self.host), **settings)
        made = maker.engine(self.shop).build(plan, self.shop.output)
        assert MARK.encode() not in self.shop.output.read_bytes()
        return str(made.digest), unpacked.of_archive(self.shop.output)

    def contexts(self) -> tuple[NamedContext, ...]:
        image = f"{self.host}/named:v1"
        return (NamedContext("named", image=image), NamedContext("shared", folder=self.shared))


@pytest.fixture
def scene(tmp_path: Path, registry: Registry) -> Scene:
    return Scene(Workshop(tmp_path / "context"), registry.host)


@dataclass(frozen=True)
class Row:
    """One kind of input: a stage that leaves `/out`, what is before it, and who can do it. {} is "one", then "two"."""

    name: str
    text: str
    engines: tuple[str, ...] = MOUNTING
    before: str = ""
    base: str = "shell"


BIND = "RUN --mount=type=bind,source="
SHOW = "target=/m cat /m/f > /out"
ROWS = (
    Row("a file", f"{BIND}file/f,target=/m cat /m > /out"),
    Row("a folder", f"{BIND}folder,{SHOW}"),
    Row("the whole context", "RUN --mount=type=bind,target=/m cat /m/whole/f > /out"),
    Row("a sub-path", f"{BIND}sub/deep,{SHOW}"),
    Row("several mounts", f"{BIND}args,target=/n --mount=type=bind,source=several,{SHOW}"),
    Row("a mount that is written to", "RUN --mount=type=bind,rw,source=rw,target=/m echo x >> /m/f && cat /m/f > /out"),
    Row("a mode", f"{BIND}mode,target=/m ([ -x /m/f ] && echo x || echo -) > /out"),
    Row("a file and a folder more", f"{BIND}added,target=/m ls -1 /m > /out"),
    Row("a file that became a link", f"{BIND}kind,target=/m (readlink /m/f || echo -) > /out"),
    Row("where a link leads", f"{BIND}link,target=/m readlink /m/f > /out"),
    Row("what is left out", f"{BIND}ignored,target=/m ls -1 /m > /out"),
    Row("beside a cache", f"RUN --mount=type=cache,target=/c --mount=type=bind,source=cache,{SHOW}"),
    Row("beside a tmpfs", f"RUN --mount=type=tmpfs,target=/t --mount=type=bind,source=tmpfs,{SHOW}"),
    Row("a stage", f"RUN --mount=type=bind,from=copied,source=/d,{SHOW}", before="FROM scratch AS copied\nCOPY stage /d\n"),
    Row(
        "a stage on a stage",
        f"RUN --mount=from=above,source=/d,{SHOW}",
        before="FROM scratch AS below\nCOPY stage /d\nFROM below AS above\nLABEL x=y\n",
    ),
    Row(
        "a stage that ran",
        f"RUN --mount=from=ran,source=/d,{SHOW}",
        before="FROM HOST/shell:v1 AS ran\nARG WORD\nRUN mkdir /d && echo $WORD > /d/f\n",
    ),
    Row("the seed of a cache", f"RUN --mount=type=cache,id=seeded,from=seed,source=/d,{SHOW}", before="FROM scratch AS seed\nCOPY seed /d\n"),
    Row("an image", f"RUN --mount=type=bind,from=HOST/other:v1,source=/d,{SHOW}"),
    Row("a named folder", f"RUN --mount=type=bind,from=shared,source=sub,{SHOW}", ("podman", "buildah", "buildx")),
    Row("a named image", f"RUN --mount=type=bind,from=named,source=/d,{SHOW}"),
    Row("an argument in a mount", "ARG WORD\nRUN --mount=type=bind,source=args/$WORD,target=/m cat /m > /out", ("buildx",)),
    Row("an argument", "ARG WORD\nRUN echo $WORD > /out", ALL),
    Row("an argument of an argument", "ARG WORD\nARG MORE=x$WORD\nRUN echo $MORE > /out", ALL),
    Row("a variable of an argument", "ARG WORD\nENV SAID=$WORD\nRUN echo $SAID > /out", ALL),
    Row("a here-document", "RUN --mount=type=bind,source=folder,target=/m <<X\ncat /m/f > /out\nX", ("buildx",)),
    Row("a command in JSON", 'RUN ["/bin/sh", "-c", "echo {} > /out"]', ALL),
    Row("a copied file", "COPY folder/f /out", ALL),
    Row("a copied mode", "COPY mode/f /out", ALL),
    Row("a copied folder", "COPY added /d\nRUN ls -1 /d > /out", ALL),
    Row("a copied link", "COPY link /d\nRUN readlink /d/f > /out", ALL),
    Row("an owner", "COPY --chown={} file/other /out", ALL),
    Row("a mode of COPY", "COPY --chmod={mode} file/other /out", ("podman", "buildah", "docker", "buildx")),
    Row("an archive", "ADD archive.tar /d/\nRUN cat /d/f > /out", ALL),
    Row("a mode in an archive", "ADD archive.tar /d/\nRUN ([ -x /d/m ] && echo x || echo -) > /out", ALL),
    Row("copied of a stage", "COPY --from=from /d/f /out", ALL, before="FROM scratch AS from\nCOPY stage /d\n"),
    Row("copied of an image", "COPY --from=HOST/other:v1 /d/f /out", ALL),
    Row("the base's config", "RUN echo $FLAVOUR > /out", ALL, base="flavour"),
    Row("a trigger", "RUN cat /out > /o && cat /o > /out", base="trigger"),
    Row("a copying trigger", "RUN cat /out > /o && cat /o > /out", ALL, base="copies"),
)  # fmt: skip


def dockerfile(rows: tuple[Row, ...], *, second: bool) -> str:
    """A Dockerfile with a stage for each row; the last one takes what each leaves."""
    done, taken = [], []
    for number, row in enumerate(rows):
        text = row.text.replace("{mode}", "600" if second else "640").replace("{}", "2" if second else "1")
        before = "" if any(row.before in text for text in done) else row.before
        done.append(f"{before}FROM HOST/{row.base}:v1 AS s{number}\n{text}\n")
        taken.append(f"COPY --from=s{number} /out /{number}\n")
    return "".join([*done, "FROM scratch\n", *taken])


def groups(kind: str) -> list[tuple[Row, ...]]:
    """The rows that an engine is asked for at once: each step of Buildah looks at all images that there are.

    Buildah alone is the same program as in podman, and gets a few.
    """
    rows = [row for row in ROWS if kind in row.engines]
    if kind not in ("podman", "buildah"):
        return [tuple(rows)]
    triggered = tuple(row for row in rows if row.base in ("trigger", "copies"))  # for these its cache is switched off
    others = [row for row in rows if row not in triggered]
    parted = [tuple(others[at : at + 9]) for at in range(0, len(others), 9)]
    return parted[1:2] if kind == "buildah" else [*parted, triggered]


def edited(maker: Maker, scene: Scene, rows: tuple[Row, ...]) -> list[str]:
    """Build forth and back, and the second state from clean; return the rows whose edit is not in the image."""
    found, digests = [], []
    for second in (False, True, False):
        scene.set(second=second)
        arguments = (("WORD", "two" if second else "one"),)
        digest, files = scene.build(maker, dockerfile(rows, second=second), build_args=arguments)
        digests.append(digest)
        found.append({row.name: files[str(number)] for number, row in enumerate(rows)})
    scene.set(second=True)
    maker.forget()
    clean, _ = scene.build(maker, dockerfile(rows, second=True), build_args=(("WORD", "two"),))
    maker.forget()
    stale = [row.name for row in rows if found[0][row.name] == found[1][row.name]]
    assert stale or digests == [digests[0], clean, digests[0]]
    return stale


def test_an_edit_is_in_the_image_forth_and_back_and_as_from_clean(maker: Maker, scene: Scene) -> None:
    assert [name for rows in groups(maker.kind) for name in edited(maker, scene, rows)] == []


CONFIG = "FROM HOST/flavour:v1\nCOPY file/other /out\n"
ONE_BY_ONE: dict[str, tuple[tuple[str, ...], str, Callable[[Path], dict[str, Any]], Callable[[Path], dict[str, Any]]]] = {
    "a proxy": (
        ALL,
        "FROM HOST/shell:v1\nRUN echo $http_proxy > /out\n",
        lambda _: {"build_args": (("http_proxy", "http://one.invalid"),)},
        lambda _: {"build_args": (("http_proxy", "http://two.invalid"),)},
    ),
    "a proxy for a trigger": (
        ALL,
        "FROM HOST/shell:v1 AS base\nONBUILD RUN echo $http_proxy > /out\nFROM base\nRUN cat /out > /o\n",
        lambda _: {"build_args": (("http_proxy", "http://one.invalid"),)},
        lambda _: {"build_args": (("http_proxy", "http://two.invalid"),)},
    ),
    "a secret that is there": (
        MOUNTING,
        "FROM HOST/shell:v1\nRUN --mount=type=secret,id=token cat /run/secrets/token > /out || echo none > /out\n",
        lambda _: {},
        lambda place: {"secrets": (f"id=token,src={place}",)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_what_every_instruction_sees_counts_for_each(maker: Maker, scene: Scene, tmp_path: Path, name: str) -> None:
    engines, text, first, second = ONE_BY_ONE[name]
    if maker.kind not in engines:
        return
    (tmp_path / "token").write_text("secret", encoding="utf-8")
    scene.set(second=False)
    states = (first(tmp_path / "token"), second(tmp_path / "token"))
    found = [scene.build(maker, text, **states[number])[0] for number in (0, 1, 0)]
    assert found[0] == found[2] != found[1]
    maker.forget()
    assert scene.build(maker, text, **states[1])[0] == found[1]


def test_the_config_of_another_base_is_the_images(maker: Maker, scene: Scene) -> None:
    found = []
    for second in (False, True, False):
        scene.set(second=second)
        scene.build(maker, CONFIG)
        found.append([line for line in Archive(scene.shop.output).image().config.env if line.startswith("FLAVOUR")])
    assert found == [["FLAVOUR=one"], ["FLAVOUR=two"], ["FLAVOUR=one"]]


def test_what_nobody_edited_is_taken_from_the_engines_cache(maker: Maker, scene: Scene) -> None:
    """The marks cost no more than they have to: a RUN before the one whose input changed does not run again.

    Buildah alone keeps no layers in between: they go with the image that is taken from it.
    """
    text = "FROM HOST/shell:v1\nRUN cat /proc/sys/kernel/random/uuid > /before\nCOPY folder/f /out\n"
    found = []
    for second in (False, True):
        scene.set(second=second)
        found.append(scene.build(maker, text)[1])
    assert (found[0]["before"] == found[1]["before"]) is (maker.kind != "buildah")
    assert found[0]["out"] != found[1]["out"]
