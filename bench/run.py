"""This build beside the tools people use: `python bench/run.py [scenario …] [--tools …] [--runs N] [--quick]`.

Installs what is missing of ko, crane, buildx and buildkitd into a cache folder, starts a registry, a Docker engine
and BuildKit of its own, lets every tool build the same repository in turns (A B C A B C …) and prints one table.
Nothing of the tree is touched. docs/performance.md says what the columns mean.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measure import Failed, Sample, middle, pairwise, timed
from servers import Missing, Servers
from tools import ALL, IMAGES, PUBLISH, Tool, Workshop
from tree import Tree, plant, push_base

SMALL, BIG, HUGE = 220_000, 60_000_000, 1_000_000_000
MANY = 30


@dataclass(frozen=True)
class Scenario:
    """A change, what is asked for after it, over which base, with how many programs."""

    name: str
    change: Callable[[Tree], None]
    goal: str = PUBLISH
    base: int = SMALL
    programs: int = 1
    forget: bool = False
    dockerfile: bool = False
    far: bool = False
    cold: bool = False


SCENARIOS = (
    Scenario("noop-images", Tree.nothing, IMAGES),
    Scenario("noop", Tree.nothing),
    Scenario("source", Tree.source),
    Scenario("comment", Tree.comment),
    Scenario("one-arch", Tree.one_architecture),
    Scenario("label", Tree.label, dockerfile=True),
    Scenario("version", Tree.version),
    Scenario("clean", Tree.clean, forget=True),
    Scenario("cold", Tree.pristine, forget=True, cold=True),
    Scenario("big-noop", Tree.nothing, base=BIG),
    Scenario("big-source", Tree.source, base=BIG),
    Scenario("big-clean", Tree.clean, base=BIG, forget=True),
    Scenario("huge-noop", Tree.nothing, base=HUGE),
    Scenario("huge-source", Tree.source, base=HUGE),
    Scenario("huge-clean", Tree.clean, base=HUGE, forget=True),
    Scenario("far-noop", Tree.nothing, far=True),
    Scenario("far-source", Tree.source, far=True),
    Scenario("many-noop", Tree.nothing, programs=MANY),
    Scenario("many-one-changed", Tree.source, programs=MANY),
)
QUICK = ("noop-images", "noop", "source", "comment", "label")


@dataclass
class Place:
    """A tool with its own tree."""

    tool: Tool
    tree: Tree
    ready: bool = True


class Bench:
    """Trees and tools by base and number of programs; a tool that is missing or fails is told once and left out."""

    def __init__(self, servers: Servers, folder: Path, tools: list[str]) -> None:
        self._servers = servers
        self._folder = folder
        self._names = tools
        self._places: dict[tuple[int, int, bool], dict[str, Place]] = {}
        self._left_out: set[str] = set()

    def places(self, base: int, programs: int, *, far: bool) -> dict[str, Place]:
        """Every tool with a tree over such a base, built and published once; with a registry that is near or far."""
        key = (base, programs, far)
        if key not in self._places:
            host = self._servers.far if far else self._servers.host
            reference = push_base(host, f"b{base}", base)
            workshop = Workshop(self._servers, reference, self._folder)
            names = tuple(f"demo{number:02}" for number in range(programs))
            made: dict[str, Place] = {}
            for name in self._names:
                slug = name.replace(" ", "-").replace("+", "-").replace(".", "-").lower()
                registry = f"{host}/{slug}-{base}-{programs}"
                folder = self._folder / f"{slug}-{base}-{programs}{'-far' if far else ''}"
                folder.mkdir()
                try:
                    tree = plant(folder / "tree", names, registry, reference)
                    place = made[name] = Place(workshop.make(name, tree, registry), tree)
                    self._sample(place, PUBLISH)
                except (Missing, Failed, OSError) as error:
                    made.pop(name, None)
                    self._leave_out(name, error)
            self._places[key] = made
        return self._places[key]

    def _leave_out(self, name: str, error: Exception) -> None:
        if name not in self._left_out:
            print(f"{name} is left out: {error}", file=sys.stderr)
            self._left_out.add(name)

    def _sample(self, place: Place, goal: str, *, cold: bool = False) -> Sample:
        environment = {**os.environ, **place.tool.environment}
        if cold:
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="go-") as cache:
                return self._timed(place, goal, {**environment, "GOCACHE": cache})
        return self._timed(place, goal, environment)

    def _timed(self, place: Place, goal: str, environment: dict[str, str]) -> Sample:
        command = place.tool.command[goal]
        return timed(command, place.tree.path, environment, counted=self._servers.counted, daemons=self._servers.cpu)

    def measure(self, scenario: Scenario, runs: int) -> dict[str, list[Sample]]:
        """Run the scenario with every tool, one after the other, `runs` times after a warm-up."""
        places = {
            name: place
            for name, place in self.places(scenario.base, scenario.programs, far=scenario.far).items()
            if scenario.goal in place.tool.command and (place.tool.dockerfiles or not scenario.dockerfile)
        }
        found: dict[str, list[Sample]] = {name: [] for name in places}
        for turn in range(runs + 1):
            for name, place in places.items():
                if not place.ready:
                    continue
                try:
                    scenario.change(place.tree)
                    if scenario.forget:
                        place.tool.forget()
                    sample = self._sample(place, scenario.goal, cold=scenario.cold)
                except (Failed, OSError) as error:
                    place.ready = False
                    found.pop(name)
                    print(f"{name}, {scenario.name}: {error}", file=sys.stderr)
                    continue
                if turn:
                    found[name].append(sample)
        return found


def lines(scenario: Scenario, found: dict[str, list[Sample]]) -> list[str]:
    """The rows of the table."""
    rows = []
    for name, samples in found.items():
        figures = middle(samples)
        ratio = "-"
        if name != "ours" and found.get("ours"):
            middle_ratio, least, greatest = pairwise(found["ours"], samples)
            ratio = f"{middle_ratio:.2f} ({least:.2f}-{greatest:.2f})"
        cells = (
            scenario.name, name, f"{figures.wall:.2f}", ratio, f"{figures.cpu:.2f} + {figures.daemons:.2f}",
            f"{figures.memory / 1e6:.0f}", str(figures.requests), f"{figures.uploaded / 1000:.0f}",
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="This build beside the tools people use.")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--tools", nargs="+", default=list(ALL), choices=ALL)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after a warm-up (default 5)")
    parser.add_argument("--quick", action="store_true", help=f"two runs of {', '.join(QUICK)}")
    arguments = parser.parse_args()
    wanted = arguments.scenarios or (list(QUICK) if arguments.quick else names)
    for name in wanted:
        if name not in names:
            parser.error(f"there is no scenario {name}; there is: {', '.join(names)}")
    runs = 2 if arguments.quick else arguments.runs
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        servers = Servers(Path(folder))
        stack.callback(servers.stop)
        try:
            servers.start_registry()
        except Missing as error:
            sys.exit(str(error))
        bench = Bench(servers, Path(folder), arguments.tools)
        print("| scenario | tool | s | ours / it (range) | CPU s + daemons | MB | requests | kB up |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for scenario in SCENARIOS:
            if scenario.name in wanted:
                print("\n".join(lines(scenario, bench.measure(scenario, runs))), flush=True)


if __name__ == "__main__":
    main()
