"""From a save to the pushed index: `python bench/loop.py [--runs N]`.

`scons watch push-manifest` beside ko and bake that are started by hand after each save, in turns, in one run; beside
them `go build` alone, which nobody can be faster than. Prints a table of seconds, and of our ratio to each. The saves
are those of the scenario `source`: another constant in main.go. Of the watch, the time ends when it says that its round
is done; that of another tool, when it ends, as if the loop around it saw the save at once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from measure import Failed
from run import SMALL, Bench, Place
from servers import Missing, Servers
from tools import PUBLISH

OTHERS = ("ko", "bake", "go build")


class Watch:
    """Our watch of a place; `round` waits for the end of the one that a save began."""

    def __init__(self, place: Place) -> None:
        words = [word for word in place.tool.command[PUBLISH] if word != PUBLISH]
        self.process = subprocess.Popen(
            [*words, "watch", PUBLISH],
            cwd=place.tree.path,
            env={**os.environ, **place.tool.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self.round()

    def round(self) -> None:
        """Wait for the end of a round; Failed when it failed, or the watch ended."""
        lines: list[str] = []
        for line in self.process.stdout or ():
            lines.append(line)
            if line.startswith("watch: done"):
                return
            if line.startswith("watch: failed"):
                break
        raise Failed("".join(lines))

    def stop(self) -> None:
        """End the watch; not by SIGINT, which a shell has those ignore that it starts in the background."""
        self.process.terminate()
        self.process.wait()


def measure(bench: Bench, runs: int) -> dict[str, list[float]]:
    """Seconds from a save to its end, by tool; the first turn is a warm-up."""
    places = bench.places(SMALL, 1, far=False)
    watch = Watch(places["ours"])
    samples: dict[str, list[float]] = {name: [] for name in places}
    try:
        for turn in range(runs + 1):
            for name, place in places.items():
                began = time.perf_counter()
                place.tree.source()
                if name == "ours":
                    watch.round()
                else:
                    environment = {**os.environ, **place.tool.environment}
                    command = place.tool.command[PUBLISH]
                    subprocess.run(command, cwd=place.tree.path, env=environment, check=True, capture_output=True)
                if turn:
                    samples[name].append(time.perf_counter() - began)
    finally:
        watch.stop()
    return samples


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="From a save to the pushed index.")
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        try:
            servers = Servers(Path(folder))
            stack.callback(servers.stop)
            servers.start_registry()
            samples = measure(Bench(servers, Path(folder), ["ours", *OTHERS]), runs)
        except (Missing, Failed) as error:
            sys.exit(str(error))
        print("| tool | s (least-most) | watch / it (range) |")
        print("|---|---|---|")
        for name, seconds in samples.items():
            ratios = sorted(ours / other for ours, other in zip(samples["ours"], seconds, strict=True))
            ratio = "-" if name == "ours" else f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
            label = "watch" if name == "ours" else name
            print(f"| {label} | {median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f}) | {ratio} |")


if __name__ == "__main__":
    main()
