"""The answers of `go list`, kept until something changes that could change them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.document import key_of, remembered_as
from multiarch_oci.golang.inputs import Listing, Run
from multiarch_oci.golang.recipe import flag_value, goflags
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.golang.tree import Heads, Tree, walk
from multiarch_oci.statcache import StatCache, replace_text

if TYPE_CHECKING:
    from multiarch_oci.golang.sharing import ListingStore, Sharing

_FORMAT = "go list 1"
_TRIES = 3
_TURN_S = 0.2
_GRACE_S = 0.5


class Question(msgspec.Struct, frozen=True, dict=True):
    """What `go list` is asked for all programs of one platform, and everything that its answer may depend on.

    `settings` are the variables that count and `steering` the contents of the files that are named and not walked.
    `name`, made of what does not change with the sources, is the answer's place.
    """

    toolchain: Toolchain
    directory: Path
    environment: Mapping[str, str]
    flags: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    steering: tuple[tuple[str, str], ...]
    roots: tuple[str, ...]

    @cached_property
    def name(self) -> str:
        """Where the answer is kept."""
        return key_of([str(self.directory), self.flags, self.settings])[:24]

    def key(self, tree: Tree) -> str:
        """What the answer holds for: it may be used as long as this is equal."""
        return self._with(tree.digest)

    def outline(self, tree: Tree, apart: Tree, heads: Heads) -> str:
        """The same for trees whose files were edited where `go list` does not look; empty when that is not known."""
        seen = tree.outline, apart.outline, heads.digest(tree), heads.digest(apart)
        return self._with("outline", *seen) if all(seen) else ""

    def _with(self, *seen: str) -> str:
        toolchain = [str(self.toolchain.go), self.toolchain.version]
        return key_of([_FORMAT, toolchain, self.name, self.steering, self.roots, *seen])


Asked = tuple[Question, tuple[str, ...]]
"""A question, and the patterns of packages that it is asked for."""


class _Kept(msgspec.Struct):
    """An answer and what it holds for: `moving` are the digests of files that were written a moment before."""

    key: str
    apart: tuple[str, ...]
    apart_digest: str
    moving: dict[str, str]
    outline: str
    listing: Listing

    def write(self, path: Path) -> None:
        replace_text(path, json.dumps(msgspec.to_builtins(self), separators=(",", ":")))


class Answers:
    """`go list`, asked only when its answer is not known; `cache` is the folder of what is kept (None: nothing is).

    A missing or damaged file is an unknown answer. Answers that report an error are not kept: a network may be its
    cause.
    """

    def __init__(self, cache: Path | None, stats: StatCache, run: Run) -> None:
        self._cache = cache
        self._stats = stats
        self._run = run
        self._heads = Heads(cache)
        self._listed: dict[str, tuple[str, Listing]] = {}  # by question: the key to share it by, as it was asked

    def find(self, question: Question, patterns: Iterable[str], tree: Tree) -> Listing | None:
        """The answer for a tree, without starting a process; None when it is not known for all patterns."""
        if self._cache is None:
            return None
        kept = remembered_as(self._path(question), _Kept)
        if kept is None or not all(pattern in kept.listing.closures for pattern in patterns):
            return None
        try:
            apart = walk(kept.apart)
            same = kept.key == question.key(tree) and apart.digest == kept.apart_digest
            same = same and self._digests(kept.moving) == kept.moving
            return kept.listing if same or self._still_holds(question, kept, (tree, apart)) else None
        except (OSError, ValueError):  # a path that is none, or a folder that cannot be written to
            return None

    def save(self) -> None:
        """Keep what was learnt about files for the next run."""
        self._heads.save()

    def _still_holds(self, question: Question, kept: _Kept, trees: tuple[Tree, Tree]) -> bool:
        """Whether files were edited only where `go list` does not look; then the answer is kept for them as they are.

        What is read here is what was digested before and after: an edit in between asks `go list`.
        """
        tree, apart = trees
        moving = {*tree.moving, *apart.moving}
        before = self._digests(moving)
        outline = question.outline(tree, apart, self._heads)
        if not outline or outline != kept.outline or self._digests(moving) != before:
            return False
        kept.key, kept.apart_digest, kept.moving = question.key(tree), apart.digest, before
        kept.write(self._path(question))
        return True

    def sharing(self, store: ListingStore, top: Path) -> Sharing:
        """The listings that machines share, of the tree below `top`."""
        from multiarch_oci.golang.sharing import Sharing

        return Sharing(store, top, self._heads)

    def recall(self, questions: Sequence[Asked], tree: Tree, sharing: Sharing) -> dict[str, Listing]:
        """The answers that other machines left to questions about one tree, by the questions' names.

        They are kept here as those of `go list`. What nobody asked, for all its patterns, is left out; so is all where
        something moves.
        """
        moving = self._digests(tree.moving)
        keys = sharing.keys([question for question, _ in questions], tree)
        nothing = walk(())
        known = []
        for question, patterns in questions:
            listing = sharing.find(keys[question.name], question, patterns, tree) if question.name in keys else None
            if listing is not None:
                known.append((question, listing, question.outline(tree, nothing, self._heads)))
        if self._digests(tree.moving) != moving:
            return {}
        for question, listing, outline in known:
            self._keep(question, listing, (tree, nothing), moving, outline)
        return {question.name: listing for question, listing, _ in known}

    def offer(self, questions: Sequence[Asked], look: Callable[[], Tree], sharing: Sharing) -> None:
        """Leave the answers to questions about one tree to other machines, as far as they are known and still hold."""
        tree = look()
        moving = self._digests(tree.moving)
        keys = sharing.keys([question for question, _ in questions], tree)
        known = []
        for question, patterns in questions:
            key = keys.get(question.name)
            listing = None if key is None else self.find(question, patterns, tree) or self._as_listed(key, question)
            if key is not None and listing is not None and all(pattern in listing.closures for pattern in patterns):
                known.append((key, question, listing))
        if look().digest == tree.digest and self._digests(tree.moving) == moving:
            sharing.offer(known)

    def _as_listed(self, key: str, question: Question) -> Listing | None:
        """What `go list` said a moment ago for the same key.

        A file that was written since, as images.lock is, makes the tree another one, and the answer none to keep here.
        """
        shared_by, listing = self._listed.get(question.name, ("", None))
        return listing if shared_by == key else None

    def ask(
        self, question: Question, patterns: Sequence[str], look: Callable[[], Tree], sharing: Sharing | None = None
    ) -> tuple[Listing, Tree]:
        """The answer of `go list`, and the tree that it was given for; kept only if the tree stood still meanwhile."""
        from multiarch_oci.golang.golist import list_packages  # start-up; a no-op has no use for it

        tree = look()
        # Of what an overlay of the user puts in the place of files no walk knows the times.
        no_index = bool(tree.back_dated or flag_value((*goflags(question.environment), *question.flags), "overlay"))
        for _ in range(_TRIES):
            moving = self._digests(tree.moving)
            listing = list_packages(
                patterns,
                toolchain=question.toolchain,
                directory=question.directory,
                environment=question.environment,
                flags=question.flags,
                no_index=no_index,
                run=self._run,
            )
            apart = walk(_apart(listing, tree))
            moving |= self._digests(apart.moving)
            outline = question.outline(tree, apart, self._heads)  # read before the last look: it is what was listed
            key = "" if sharing is None else sharing.keys([question], tree).get(question.name, "")
            after = look()
            still = after.digest == tree.digest and walk(_apart(listing, tree)).digest == apart.digest
            if still and self._digests(moving) == moving and (no_index or not apart.back_dated):
                if listing.sound:
                    self._keep(question, listing, (tree, apart), moving, outline)
                    self._listed[question.name] = key, listing
                break
            tree, no_index = after, bool(no_index or after.back_dated or apart.back_dated)
        return listing, tree

    def _keep(
        self,
        question: Question,
        listing: Listing,
        trees: tuple[Tree, Tree],
        moving: Mapping[str, str],
        outline: str,
    ) -> None:
        if self._cache is None:
            return
        tree, apart = trees
        places = _apart(listing, tree)
        kept = _Kept(question.key(tree), places, apart.digest, dict(moving), outline, listing)
        kept.write(self._path(question))

    def _path(self, question: Question) -> Path:
        return (self._cache or Path()) / f"{question.name}.json"

    def _digests(self, paths: Iterable[str]) -> dict[str, str]:
        return {path: self._digest(path) for path in paths}

    def _digest(self, path: str) -> str:
        try:
            return self._stats.digest(path)
        except OSError:
            return ""


def run_process(line: Sequence[str], directory: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Start a process and wait for it: status, output, complaint. That it cannot be started is status 127."""
    try:
        process = subprocess.Popen(
            list(line),
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except (OSError, ValueError) as error:
        return 127, "", f"{line[0]} could not be started in {directory}: {error}"
    with process:
        try:
            output, complaint = _waited_for(process)
        except BaseException:
            _end(process)
            raise
    return process.returncode, output, complaint


def _end(process: subprocess.Popen[str]) -> None:
    """End a process as Ctrl-C does, at which `go` removes its folder of temporary files, and soon without."""
    try:
        process.terminate() if sys.platform == "win32" else process.send_signal(signal.SIGINT)
        process.wait(_GRACE_S)
    except BaseException:
        process.kill()
        raise


def _waited_for(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process wrote, in turns: an exception that another thread raises in this one gets in between."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_TURN_S)


def _apart(listing: Listing, tree: Tree) -> tuple[str, ...]:
    """The folders of packages that the walk does not reach: behind a link, in a skipped folder, in GOPATH."""
    folders = {package.folder for package in listing.packages if package.folder and not package.fixed}
    return tuple(sorted(folders - tree.folders))
