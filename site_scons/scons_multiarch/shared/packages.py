"""Compiled packages of the standard library and of modules in the shared cache: what a program needs is not compiled.

One entry a toolchain, platform, flags and go.sum, where the entry of the build's first program lies. It holds a list
of packages and, as one blob, what the compiler made of them (`golang.buildcache`). They are put into a build cache of
this tree's own, one a place and CACHE_KEY, which the compiler uses as long as CACHE names that place: who believes a
cache for this tree has not believed it for others.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from multiarch_oci.actioncache import Entry, Key, NoEntry, Output
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import key_of
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.golang import buildcache
from multiarch_oci.golang.answers import run_process
from multiarch_oci.mediatype import JSON, OCTETS
from multiarch_oci.quoting import size_in_words
from multiarch_oci.store import read
from multiarch_oci.store.http.errors import Transient
from scons_multiarch.process import doing, say
from scons_multiarch.session import content_of
from scons_multiarch.shared.lookups import lookups
from scons_multiarch.shared.origins import common_origin, open_origin
from scons_multiarch.step import write
from scons_multiarch.tracking.held import note_taken

if TYPE_CHECKING:
    from multiarch_oci.golang.recipe import GoBuild
    from scons_multiarch.session import Run

_KIND = "go packages"
_COMPILED_PER_S = 2_800_000
"""Bytes of packages that one core compiles in a second (docs/performance.md)."""
_LEAST_S = 0.5
"""What would save less is not fetched."""
_GRACE_S = 5
_LINKED_ONLY = ("ldflags", "package", "error")
_KEPT = ".list"


class _Group:
    """The programs of one key that are compiled in this build, and the environment in which they are."""

    def __init__(self, key: Key, origin: str, environment: Mapping[str, str]) -> None:
        self.key = key
        self.origin = origin
        self.environment = dict(environment)
        self.builds: list[GoBuild] = []
        self.is_lost = False  # its entry is there and does not give what it says


class Packages:
    """Packages that the shared cache has for the programs of a build; any number of threads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._guard = threading.Lock()
        self._groups: dict[str, _Group] = {}

    def bring(self, node: Any, build: GoBuild, environment: Mapping[str, str], *, again: bool) -> dict[str, str]:
        """The environment in which a program is to be compiled: that which is given, or with another build cache.

        `again`: it was compiled here before. What the cache does not give costs time, never a failure.
        """
        noted = self.note(node, build, environment)
        if noted is None:
            return dict(environment)
        key, origin = noted
        with self._guard:
            group = self._groups.setdefault(key.hex, _Group(key, origin, environment))
            group.builds.append(build)
        folder = self._run.build.once((_KIND, key.hex), lambda: self._folder(group, again=again))
        if folder is None:
            return dict(environment)
        group.environment["GOCACHE"] = str(folder)
        note_taken(node)
        return {**environment, "GOCACHE": str(folder)}

    def note(self, node: Any, build: GoBuild, environment: Mapping[str, str]) -> tuple[Key, str] | None:
        """Note that the packages of a program are in use, also where the program itself is taken; nothing is asked.

        Returns the key and the place of their entry, be it there or not; None for programs that have none.
        """
        settings, origin = self._run.settings.cache, common_origin(self._run)
        if settings is None or origin is None:
            return None
        if environment.get("GOCACHEPROG") or environment["CGO_ENABLED"] != "0":
            return None  # with cgo packages hold what this machine's C compiler made
        values = node.attributes.state.facts.values
        facts = {name: value for name, value in values.items() if name not in _LINKED_ONLY and " " not in name}
        sums = self._run.build.lister().sums(build)
        of_sums = self._run.build.once((_KIND, sums), lambda: key_of(sums))
        key = Key(_KIND, key_of([facts, of_sums]), settings.scope)
        lookups(self._run).note(origin, key)
        return key, origin

    def _folder(self, group: _Group, *, again: bool) -> Path | None:
        """The build cache to use; None for that of the user."""
        settings = self._run.settings.cache
        if settings is None or not settings.reads:
            return None
        name = key_of([group.origin, settings.key_name, settings.scope])[:16]
        folder = self._run.tree.private / "go-build" / name
        known = folder / f"{group.key.hex}{_KEPT}"
        try:
            content = content_of(known)
            if content is not None and _saves(folder, buildcache.read_list(content, where=str(known))) < _LEAST_S:
                return folder
            return None if again and content is None else self._fetched(group, folder)
        except Transient as error:
            lookups(self._run).troubles.failed(group.origin, error)
            return None
        except (MultiarchError, OSError) as error:
            say(f"  warning: compiled packages are not taken from the cache: {one_line(error)}")
            group.is_lost = True
            return None

    def _fetched(self, group: _Group, folder: Path) -> Path | None:
        entry = lookups(self._run).find(group.key, group.origin)
        if entry is None:
            return None
        listed, blob = _outputs(entry)
        store = open_origin(self._run, group.origin)
        content = read(store, listed.descriptor) if listed.data is None else listed.data
        packages = buildcache.read_list(content, where=group.key.tag)
        own = buildcache.location(self._run.build.need_go(), group.environment)
        if own is None or _saves(own, packages) < _LEAST_S:
            return None
        seconds = _saves(folder, packages)
        if seconds >= _LEAST_S:
            doing("compiled packages are fetched")
            with store.open(blob.descriptor) as stream:
                if not buildcache.unpack(stream, packages, folder, Pace(packages, seconds)):
                    say("  the cache gives compiled packages more slowly than they are compiled: that is done here")
                    return None
            say(f"  {len(packages)} compiled packages taken from the cache, {size_in_words(blob.descriptor.size)}")
        write(folder / f"{group.key.hex}{_KEPT}", content)
        return folder

    def leave(self) -> None:
        """Put what was compiled into the cache, where this run writes and no entry there gives it; never raises."""
        groups, self._groups = self._groups, {}
        settings, asking = self._run.settings.cache, lookups(self._run)
        if settings is None or not settings.writes or self._run.interrupts.cancelled.is_set():
            return
        for group in groups.values():
            is_there = settings.reads and not group.is_lost and asking.find(group.key, group.origin) is not None
            if is_there or asking.is_closed(group.origin):
                continue
            try:
                self._keep(group)
            except (MultiarchError, OSError) as error:
                say(f"  warning: compiled packages are not kept in the cache: {one_line(error)}")

    def _keep(self, group: _Group) -> None:
        go, environment = self._run.build.need_go(), group.environment
        folder = buildcache.location(go, environment)
        packages = [] if folder is None else buildcache.compiled(group.builds, go, environment, run_process)
        if folder is None or not packages:
            return
        content = buildcache.write_list(packages)
        with tempfile.TemporaryDirectory(prefix="multiarch-") as temporary:
            packed = Path(temporary, "packages")
            with packed.open("wb") as sink:
                buildcache.pack(folder, packages, sink)
            blob = Descriptor(OCTETS, Digest.of_file(packed), packed.stat().st_size)
            outputs = (Output(Descriptor.of(JSON, content), "packages.json", data=content), Output(blob, "packages.gz"))
            entry = Entry(group.key, outputs, names=("go", "platform", "flags", "go.sum"))
            contents: dict[Digest, Callable[[], BinaryIO]] = {
                outputs[0].descriptor.digest: partial(io.BytesIO, content),
                blob.digest: lambda: packed.open("rb"),
            }
            subject = f"{len(packages)} compiled packages for {group.builds[0].platform}"
            if lookups(self._run).keep(group.origin, lambda: (entry, contents), subject=subject):
                say(f"{subject}: kept in the cache, {size_in_words(blob.size)}")


class Pace:
    """Whether unpacking goes on: not when, as fast as it has been, it would take longer than it saves."""

    def __init__(self, packages: tuple[buildcache.Package, ...], seconds: float) -> None:
        self._total = sum(package.size for package in packages)
        self._seconds = seconds
        self._began = time.monotonic()

    def __call__(self, done: int) -> bool:
        """Say it after so many bytes."""
        return self.is_worth(done, time.monotonic() - self._began)

    def is_worth(self, done: int, elapsed: float) -> bool:
        """Say it after so many bytes in so many seconds; the first few say little."""
        return elapsed < _GRACE_S or elapsed * self._total <= self._seconds * max(done, 1)


def _saves(folder: Path, packages: tuple[buildcache.Package, ...]) -> float:
    """The seconds that this machine would compile what a build cache lacks of some packages."""
    size = sum(package.size for package in buildcache.missing(folder, packages))
    return size / _COMPILED_PER_S / (os.cpu_count() or 1)


def _outputs(entry: Entry) -> tuple[Output, Output]:
    """The list of packages and what was compiled; NoEntry where an entry has not these two."""
    kinds = [output.descriptor.media_type for output in entry.outputs]
    if kinds != [JSON, OCTETS]:
        raise NoEntry("holds no compiled packages", where=entry.key.tag)
    return entry.outputs[0], entry.outputs[1]


def packages_of(run: Run) -> Packages:
    """Those of the present build."""
    return run.build.once(_KIND, lambda: Packages(run))
