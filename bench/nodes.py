"""Images with RUN on other machines: `python bench/nodes.py [--images 12] [--seconds 3] [--runs 3]`.

One BuildKit, two of them as one builder, and two machines with one each that share the work (SHARD), in turns; all
publish the same indexes to a registry, from a tree without anything built. A RUN waits instead of computing, as all
these machines are this one: what is measured is how many run at once, and what spreading costs. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import install
from servers import HERE, Servers, program

SCONSTRUCT = """\
import scons_multiarch
env = scons_multiarch.environment()
for number in range({images}):
    env.MultiarchImage(f"i{{number}}", dockerfile="Dockerfile", build_args={{"N": str(number)}})
"""
DOCKERFILE = "FROM scratch\nCOPY busybox /bin/sh\nARG N\nRUN sleep {seconds}; echo $N-{stamp} > /n\n"
BUILDERS = {"one": ("a",), "other": ("b",), "two": ("a", "b")}
LAYOUTS = {"one node": ("one",), "two nodes": ("two",), "two shards, a node each": ("one", "other")}


def plant(folder: Path, images: int, seconds: float, stamp: str) -> None:
    """Write a tree whose images were never built, as the stamp says."""
    folder.mkdir(parents=True)
    (folder / "site_scons").symlink_to(HERE.parent / "site_scons")
    (folder / "SConstruct").write_text(SCONSTRUCT.format(images=images), encoding="utf-8")
    (folder / "Dockerfile").write_text(DOCKERFILE.format(seconds=seconds, stamp=stamp), encoding="utf-8")
    (folder / "VERSION").write_text("v1\n", encoding="utf-8")
    shutil.copy2(program("busybox", "busybox-static"), folder / "busybox")


def timed(commands: Sequence[tuple[Path, dict[str, str], list[str]]]) -> float:
    """Run commands at once, each in its tree; the seconds until all have ended. Exits when one fails."""
    start = time.perf_counter()
    running = []
    for folder, environment, command in commands:
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        running.append((process, folder))
    for process, folder in running:
        if process.wait():
            sys.exit((folder.parent / f"{folder.name}.log").read_text(encoding="utf-8", errors="replace")[-2000:])
    return time.perf_counter() - start


def build(layout: str, arguments: argparse.Namespace, folder: Path, host: str, environment: dict[str, str]) -> float:
    """Publish all images by a layout's machines; the seconds that took."""
    builders, commands = LAYOUTS[layout], []
    for number, builder in enumerate(builders, 1):
        tree = folder / f"{builder}-{number}"
        plant(tree, arguments.images, arguments.seconds, f"{folder.parent.name}-{folder.name}")
        words = [f"-j{arguments.jobs}", "push-manifest", f"REGISTRY={host}/{folder.parent.name}-{folder.name}"]
        words += [f"PLATFORMS=linux/{platform.machine()}", "ENGINE=buildx"]
        if len(builders) > 1:
            words += [f"SHARD={number}/{len(builders)}", f"CACHE={folder / 'cache'}", "CACHE_MODE=readwrite"]
        commands.append((tree, environment | {"BUILDX_BUILDER": builder}, [*install.scons(), *words]))
    return timed(commands)


def start_nodes(servers: Servers, folder: Path) -> dict[str, str]:
    """Start two BuildKits and make builders of them; the environment in which docker has these."""
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(install.go_program("buildx"))
    environment = {**os.environ, "HOME": str(folder), "DOCKER_CONFIG": str(folder / "config")}
    addresses = {name: f"unix://{servers.start_buildkit(install.buildkitd(), name)}" for name in ("a", "b")}
    for builder, names in BUILDERS.items():
        for number, name in enumerate(names):
            create = ["docker", "buildx", "create", "--name", builder, "--node", name, "--driver", "remote"]
            create += ["--append"] if number else []
            subprocess.run([*create, addresses[name]], env=environment, check=True, capture_output=True)
    return environment


def main() -> None:
    parser = argparse.ArgumentParser(description="Images with RUN on one node, on two, and by two shards.")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        servers = Servers(Path(name))
        stack.callback(servers.stop)
        servers.start_registry()
        environment = start_nodes(servers, Path(name))
        rounds = []
        for run in range(arguments.runs):
            measured = {}
            for layout in LAYOUTS:
                folder = Path(name, f"r{run}", "".join(word[0] for word in layout.split()))
                measured[layout] = build(layout, arguments, folder, servers.host, environment)
            rounds.append(measured)
    print("| machines | s | beside one node |\n|---|---|---|")
    for layout in LAYOUTS:
        ratio = median(measured[layout] / measured["one node"] for measured in rounds)
        print(f"| {layout} | {median(measured[layout] for measured in rounds):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
