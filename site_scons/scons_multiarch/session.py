"""What one run of SCons holds, by what belongs together: settings, the tree, declarations, and what a build finds out.

One `Run` stands in the environment as `MULTIARCH_RUN` and is shared by its clones; there is no other state.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import SCons.Script

from multiarch_oci.document import InvalidDocument
from multiarch_oci.heldfiles import HeldFiles
from multiarch_oci.once import Once
from multiarch_oci.plan.policy import Policy
from multiarch_oci.reference import Reference
from multiarch_oci.statcache import FilePath, StatCache
from multiarch_oci.treelock import TreeLock
from multiarch_oci.why import Facts
from scons_multiarch.build import Build
from scons_multiarch.interrupts import Interrupts
from scons_multiarch.paths import shown
from scons_multiarch.process import StandardOutput, say

if TYPE_CHECKING:
    from multiarch_oci.attest.signing import Signer
    from multiarch_oci.git import Repository
    from multiarch_oci.golang.recipe import GoBuild
    from multiarch_oci.output import Output
    from multiarch_oci.plan.shards import Shard
    from scons_multiarch.shared.sharding import Part
    from scons_multiarch.targets import Chain

PRIVATE = ".multiarch"
"""The folder, below the tree's root, of everything that is remembered between runs and is no output."""

_PATIENCE_S = 1.0
"""How long threads are waited for at the end: an interpreter that ends while one of them imports a module may crash."""
_AS_IT_IS = "surrogateescape"  # a reason may name a file whose name is no UTF-8

HIDDEN = (
    PRIVATE,
    "images.lock",
    *(
        f"_output/{folder}"
        for folder in ("images", "release", "receipts", "manifest", "provenance", "registry", "sbom", "scratch")
    ),
)
"""What the build makes of images: an image that copies everything does not copy these."""


class CacheSettings(msgspec.Struct, frozen=True):
    """The shared cache: what CACHE says, whether it is read and written, the scope, and the file of CACHE_KEY.

    `origin` is a repository, the folder of a layout (`./…`, or absolute), or empty: the image's own repository.
    `key_name` tells the key from others, as it was when all was read: its file may go meanwhile.
    """

    origin: str
    reads: bool
    writes: bool
    scope: str = ""
    key: str = ""
    key_name: str = ""


class Settings(msgspec.Struct):
    """What the process's environment and the command line say, read by the modules `settings` and `variables`.

    Nothing changes it once the SConscripts are read.
    """

    environment: Mapping[str, str]  # without the passwords of keys
    passwords: Mapping[str, str] = msgspec.field(default_factory=dict)  # … which stand here
    policy: Policy = Policy()  # what becomes of tags that somebody moved
    insecure: tuple[str, ...] = ()  # hosts that may speak plain HTTP, or show an unknown certificate
    trust: tuple[str, ...] = ()  # trust files that were named, each of which has to allow a base
    locked: bool = False  # a base that is not in images.lock is an error
    epoch: int = 0  # the one time stamp
    outputs: dict[str, tuple[Output, ...]] = msgspec.field(default_factory=dict)  # what REPORT and PLAN name
    not_moved: tuple[str, ...] = ()  # further tags that a pre-release leaves alone
    not_moved_because: str = ""
    digests_to: int | None = None  # a descriptor: where PRINT=digest writes what was published
    interactive: bool = False  # several builds in this process
    watching: bool = False  # … by `watch`
    cache: CacheSettings | None = None  # where steps look for what others made
    shard: Shard | None = None  # which part of the images this machine makes
    keeps: bool = True  # False: what this run finds out is not written to the tree
    asks: bool = False  # True: nothing is built, and nobody waits for the lock


class Globbed(msgspec.Struct, frozen=True):
    """What a Glob of an SConscript saw: the names that it answered, and those that were there in its folder."""

    folder: Path
    pattern: str
    known: frozenset[str]
    there: frozenset[str]


class Records:
    """What each target was made from the last time, and why, as readable files below `folder`; explains the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _facts_file(self, target: str) -> Path:
        # A target outside the tree has an absolute name; that of a drive (`C:/`) would lead out of the folder.
        return self._folder / f"{Path(target).as_posix().lstrip('/').replace(':', '_')}.json"

    def beside(self, target: str, name: str) -> Path:
        """A file beside the facts of a target, for what else is to be remembered of its making."""
        return self._facts_file(target).with_suffix(f".{name}.json")

    def remember(self, target: str, facts: Facts, because: str | None) -> None:
        """Keep the facts of a target that has just been made, and why it was."""
        from scons_multiarch.step import write

        write(self._facts_file(target), facts.to_json())
        reason = f"{because or 'not built before'}\n".encode("utf-8", _AS_IT_IS)
        write(self._facts_file(target).with_suffix(".why"), reason)

    def forget(self, target: str) -> None:
        """Keep no facts of a target any more: it is about to be made."""
        self._facts_file(target).unlink(missing_ok=True)

    def last_reason(self, target: str) -> str | None:
        """Why a target was made when it was made last; None when that is not known."""
        try:
            return self._facts_file(target).with_suffix(".why").read_text("utf-8", _AS_IT_IS).strip()
        except OSError:
            return None

    def recall(self, target: str) -> Facts | None:
        """The facts of a target's last making; None when there was none."""
        path = self._facts_file(target)
        try:
            return Facts.from_json(path.read_bytes(), where=str(path))
        except (OSError, InvalidDocument):
            return None


class Tree:
    """The files of a tree: its root, its private folder, and what is kept there between runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private = root / PRIVATE
        self.stat = StatCache(self.private / "stat.json")
        self.held = HeldFiles(root, self.private / "held.json")
        self.lock = TreeLock(self.private / "lock")
        self.records = Records(self.private / "facts")

    def digest(self, path: FilePath) -> str:
        """The sha256 of a file, in hexadecimal, also of one that a shared cache holds. OSError is the caller's."""
        try:
            return self.stat.digest(path)
        except FileNotFoundError:
            held = self.held.get(path)
            if held is None:
                raise
            return held.digest


class Declarations:
    """What the SConscripts declare; it stays for all builds of an interactive session."""

    def __init__(self, tree: Tree) -> None:
        self._root = tree.root
        self.targets: list[Any] = []  # the nodes of all targets of ours, the first of each step
        self.programs: list[GoBuild] = []
        self.chains: dict[str, Chain] = {}  # what MultiarchImage and GoImage declared, by the image's name
        self.named_files: dict[str, list[Any]] = {}  # … and their files that are called by the image
        self.outside: dict[str, set[str]] = {}  # by items of EXTERNAL, the images that took them
        self.own_default: bool | None = None  # whether the user said Default() before Targets(); None without Targets()
        self.to_start: list[Any] = []  # the nodes of the programs that the target `run` may mean
        self.hidden = HIDDEN  # paths from the root that no image copies
        self._hidden_folders = _folders(HIDDEN)
        self.caches: set[Path] = set()  # folders of SCons' shared cache
        self.contents_read: dict[Path, bytes | None] = {}  # in a session: of files that decide what is declared
        self.presence_seen: dict[Path, bool] = {}  # in a session: of files that decide it by being there, or not
        self.names_commit = False  # whether a version or an index names a commit of git
        self.refs: tuple[Repository, str] | None = None  # in a session: git's repository, and its state when asked
        self.globbed: list[Globbed] = []  # in a session
        self.postponed: list[Any] = []  # with SHARD, what this run was asked for: a part of it is built first
        self.part: Part | None = None  # … that part, unless all was built
        self.attests: list[tuple[Any, Any]] = []  # receipts of what is attached, each with its environment
        self._claimed: set[Reference] = set()

    def hide(self, *paths: str) -> None:
        """Keep files or folders, given by their paths from the root, out of every image."""
        new = [path for path in paths if not path.startswith(self._hidden_folders)]
        if new:
            self.hidden = tuple(dict.fromkeys((*self.hidden, *new)))
            self._hidden_folders = _folders(self.hidden)

    def hide_targets(self, nodes: Iterable[Any]) -> None:
        """Keep what is made of images out of every image, wherever it lies: else two of them would copy each other."""
        self.hide(*map(shown, nodes))

    def hide_cache(self, env: Any) -> None:
        """Keep SCons' shared cache, when it lies in the tree, out of images and of what is looked through for Go."""
        path = env.get_CacheDir().path
        folder = None if path is None else Path(os.path.normpath(self._root / path))
        if folder is not None and folder not in self.caches:
            self.caches.add(folder)
            if folder.is_relative_to(self._root):
                self.hide(folder.relative_to(self._root).as_posix())

    def claim(self, *references: Reference) -> Reference | None:
        """Take tags for one push; the first of them that another one of this build has already, None when none is."""
        taken = next((reference for reference in references if reference in self._claimed), None)
        self._claimed.update(references)
        return taken


class Run:
    """The state of one run. `build` is what the present build found out; the next one of a session has its own."""

    def __init__(self, root: Path, environment: Mapping[str, str], passwords: Mapping[str, str] | None = None) -> None:
        self.output = StandardOutput()
        self.settings = Settings(environment, passwords or {})
        self.tree = Tree(root)
        self.declarations = Declarations(self.tree)
        self.interrupts = Interrupts()
        self.signers: Once[Signer] = Once()  # their keys stay open, so that a session asks for a password once
        self.build = Build(self)
        self._keeps_nothing = False

    def keep_nothing(self) -> None:
        """Write nothing when this run ends, no cache and no report: nobody is to see that there was one."""
        self._keeps_nothing = True

    def renew(self) -> None:
        """Forget all that was found out: another build of an interactive session begins. What is declared stays."""
        self.interrupts.cancelled.clear()
        self.tree.stat.refresh()
        self.tree.held.refresh()
        self.build = Build(self)

    def note_read(self, path: Path) -> None:
        """Note, in an interactive session, a file that decides what is declared, as it is now."""
        if self.settings.interactive:
            self.declarations.contents_read.setdefault(path, content_of(path))

    def note_looked_for(self, path: str) -> None:
        """Note, in an interactive session, a file that decides what is declared by being there."""
        if self.settings.interactive:
            self.declarations.presence_seen.setdefault(Path(path), Path(path).exists())

    def finish(self, *, report: bool = True) -> None:
        """Keep what the next run can use; called when the run ends, and each build of an interactive session.

        Ctrl-C ends that in one line, too.
        """
        try:
            if not self._keeps_nothing:
                self._finish(report=report)
        except KeyboardInterrupt:
            with suppress(OSError):
                sys.stderr.write("scons: Build interrupted.\n")
        finally:
            self.tree.lock.release()

    def _finish(self, *, report: bool) -> None:
        self.build.print_rest()
        self._save()
        try:
            self.build.leave_lists()  # an upload, at which people lose patience
        except KeyboardInterrupt:
            with suppress(OSError):
                sys.stderr.write("scons: interrupted: what the shared cache was still to get is left out\n")
        threads = self.build.registries.asking()
        if threads:
            self.interrupts.cancelled.set()
        deadline = time.monotonic() + _PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._save()
        if self.build.failures:
            from scons_multiarch.destinations import outcome

            sys.stderr.write("".join(f"scons: {line}\n" for line in outcome(self)))
            self.build.failures.clear()  # said once
        if report and not self.settings.asks:
            self._say_published()
        if report and "REPORT" in self.settings.outputs:
            from scons_multiarch.report import write

            with suppress(OSError):
                sys.stdout.flush()
            write(self, self.settings.outputs["REPORT"])

    def _save(self) -> None:
        """Keep what was learnt since this was called last; what cannot be kept is found anew."""
        for memory in (self.tree.stat, self.tree.held, self.build):
            with suppress(OSError):
                memory.save()

    def _say_published(self) -> None:
        """Say which tags hold what now, where this build pushed any, or PRINT asks for it."""
        done = [target for target in self.declarations.targets if target.attributes.state.published is not None]
        if done and SCons.Script.COMMAND_LINE_TARGETS[:1] != ["verify"]:  # whose own answer is the last
            from scons_multiarch.published import summary

            for line in summary(done):
                say(line)
        if self.settings.digests_to is not None:
            from scons_multiarch.published import print_digests

            print_digests(self, self.settings.digests_to)


def _folders(paths: Iterable[str]) -> tuple[str, ...]:
    """What paths of something in these folders begin with."""
    return tuple(f"{path}/" for path in paths)


def content_of(path: Path) -> bytes | None:
    """A file's bytes; None when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None
