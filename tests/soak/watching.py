"""Random edits under a running `scons watch`; after each the tree equals a build from clean of a fresh copy.

Run by hand: python tests/soak/watching.py --seed 1 --steps 500
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

from machines.project import Run, steps_of
from machines.small import Tree
from soak.edits import TARGETS, EditRun, main

_WAITS = "waiting for a change"
_STILL_S = float(os.environ.get("SOAK_STILL", "0.6"))
"""How long a watch has to be still before it counts as done: an edit that counts is seen within a tenth of that."""
_LONGEST_S = 300.0


class WatchRun(EditRun):
    """A tree under a watch; other words or another environment, which an edit may draw, begin another watch."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.begun_with: tuple[tuple[str, ...], dict[str, str]] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.text = ""
        self.changed = 0.0
        self.status = 0

    def build(self, tree: Tree) -> Run:
        """What the watch did since the last edit, or that it did nothing; another tree is built by a run."""
        if tree is not self.tree:
            return self.run(tree)
        begin_with = (*TARGETS, *self.sources.arguments()), {**self.sources.env}
        if begin_with != self.begun_with:
            self.stop()
            self.begun_with = begin_with
            self._start(tree, *begin_with)
        self._settle()
        text, self.text = self.text, ""
        if text:
            self.status = 2 if text.rpartition("watch: ")[2].startswith("failed") else 0
        return Run(steps_of(text), self.status, text)

    def _start(self, tree: Tree, words: tuple[str, ...], environment: dict[str, str]) -> None:
        self.text, self.changed = "…", time.monotonic()  # a round is sure to come
        self.process = subprocess.Popen(
            [sys.executable, "-m", "SCons", "watch", *words],
            cwd=tree.path,
            env=os.environ | environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if process is self.process:
                self.text += line.decode(errors="replace")
                self.changed = time.monotonic()

    def _settle(self) -> None:
        began = time.monotonic()
        while time.monotonic() - max(self.changed, began) < _STILL_S or not self._waits():
            if time.monotonic() - began > _LONGEST_S:
                self.differ(f"the watch did not end a round:\n{self.text}")
            time.sleep(0.05)

    def _waits(self) -> bool:
        return not self.text or _WAITS in self.text.rstrip().rpartition("\n")[2]

    def stop(self) -> None:
        """End the watch as Ctrl-C does."""
        process, self.process = self.process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its jobs in the background ignore it
    sys.exit(main(WatchRun))
