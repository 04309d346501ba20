"""Several machines, one build, one of them killed: `python bench/shards.py [--images 300] [--machines 5] [--killed 2]`.

A tree of `generate.py` is published by so many machines at once (SHARD), each a fresh clone, with one cache in a
registry; one of them is killed when half of its images are done. Another clone makes the same alone, without a cache.
Prints what each machine made and the CPU it took, and fails where a digest of an index or image is not the one made
alone, or where a machine's part is more than 1.3 times the mean. With `--one-by-one` a machine begins when the one
before has ended: the last then makes all that the killed one has not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import install
from generate import generate
from servers import OPENER, Servers

MOST = 1.3
"""How many times the mean a machine's part may be."""
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Machine:
    """A clone that builds its part; what it printed, and the CPU seconds of all its processes."""

    tree: Path
    words: list[str]
    killed_after: int = 0  # images; 0: it runs to its end
    text: str = ""
    cpu: float = 0.0
    status: int = 0

    def run(self) -> None:
        """Build until the end, or until so many images are made."""
        process = subprocess.Popen(
            [*install.scons(), *self.words],
            cwd=self.tree,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        lines: list[str] = []
        for line in process.stdout or ():
            lines.append(line)
            if self.killed_after and sum(one.startswith("Image ") for one in lines) >= self.killed_after:
                process.kill()
                self.killed_after = 0
        _, status, usage = os.wait4(process.pid, 0)
        self.text, self.status = "".join(lines), os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime

    def made(self, verb: str) -> int:
        """How many steps of a kind it performed, and did not take from the cache."""
        lines = [line for line in self.text.splitlines() if line.startswith(f"{verb} ")]
        return sum(not line.endswith(": from cache") for line in lines)

    @property
    def part(self) -> int:
        """How many images were its own to make."""
        match = re.search(r"(?m)^shard \S+: (\d+) of ", self.text)
        return int(match[1]) if match else 0


def published(host: str, tree: Path) -> tuple[int, list[str]]:
    """How many tags there have to be, as a tree says that was built alone, and those that are not, or are others."""
    version = (tree / "VERSION").read_text(encoding="utf-8").strip()
    wrong, count = [], 0
    for path in sorted((tree / "_output" / "manifest").glob(f"*-{version}.json")):
        name = path.name.removesuffix(f"-{version}.json")
        content = path.read_bytes()
        expected = {version: f"sha256:{sha256(content).hexdigest()}"}
        for member in json.loads(content)["manifests"]:
            expected[f"{version}-{member['platform']['architecture']}"] = member["digest"]
        count += len(expected)
        wrong += [f"{name}:{tag}" for tag, digest in expected.items() if _digest(host, name, tag) != digest]
    return count, wrong


def _digest(host: str, name: str, tag: str) -> str:
    request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{tag}")
    request.add_header("Accept", f"{INDEX}, {MANIFEST}")
    try:
        with OPENER.open(request, timeout=60) as answer:
            return f"sha256:{sha256(answer.read()).hexdigest()}"
    except OSError as error:
        return str(error)


def share(folder: Path, host: str, arguments: argparse.Namespace) -> list[Machine]:
    """Let all machines build, at once or one by one; return what became of them."""
    given = [f"-j{arguments.jobs}", "push-manifest", f"REGISTRY={host}"]
    given += [f"CACHE={host}/cache", "CACHE_MODE=readwrite"]
    machines = []
    for number in range(1, arguments.machines + 1):
        tree = folder / f"machine{number}"
        generate(tree, arguments.images, chains=arguments.chains)
        machines.append(Machine(tree, [*given, f"SHARD={number}/{arguments.machines}"]))
    if arguments.killed:
        machines[arguments.killed - 1].killed_after = max(1, arguments.images // arguments.machines)  # half of its part
    threads = [threading.Thread(target=machine.run) for machine in machines]
    for thread in threads:
        thread.start()
        if arguments.one_by_one:
            thread.join()
    for thread in threads:
        thread.join()
    for machine in machines:
        if machine.status not in (0, -9):
            sys.exit(machine.text[-3000:])
    return machines


def row(name: str, machine: Machine) -> str:
    made = f"{machine.made('Image')} | {machine.made('Compile')}"
    return f"| {name} | {machine.part or ''} | {made} | {machine.cpu:.0f} |"


def tell(machines: list[Machine], alone: Machine, killed: int) -> bool:
    """Print the table; whether every part is near the mean."""
    print("| machine | its part | images made | programs compiled | CPU s |\n|---|---|---|---|---|")
    for number, machine in enumerate(machines, 1):
        print(row(f"{number}, killed" if number == killed else str(number), machine))
    print(row("alone", alone))
    parts = [machine.part for machine in machines if machine.part]
    mean = alone.made("Image") / len(machines)
    made = sum(machine.made("Image") for machine in machines)
    print(f"\nlargest part / mean: {max(parts) / mean:.2f}; images made in all: {made}")
    return max(parts) <= MOST * mean


def main() -> None:
    parser = argparse.ArgumentParser(description="Several machines share one build, and one of them is killed.")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--machines", type=int, default=5)
    parser.add_argument("--killed", type=int, default=2, help="which one; 0: none")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--chains", action="store_true", help="images by env.MultiarchImage")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        servers = Servers(folder)
        stack.callback(servers.stop)
        servers.start_registry()
        generate(folder / "alone", arguments.images, chains=arguments.chains)
        alone = Machine(folder / "alone", [f"-j{arguments.jobs}", "manifest"])
        alone.run()
        if alone.status:
            sys.exit(alone.text[-3000:])
        machines = share(folder, servers.host, arguments)
        is_fair = tell(machines, alone, arguments.killed)
        count, wrong = published(servers.host, alone.tree)
        print(f"{count} tags, {len(wrong)} of them missing or of another digest than alone: {', '.join(wrong[:20])}")
    sys.exit(0 if is_fair and count and not wrong else 1)


if __name__ == "__main__":
    main()
