"""The inputs of all programs of one run: one walk of the tree, one `go list` a platform, none when nothing changed."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.golang import compose, recipe
from multiarch_oci.golang.answers import Answers, Asked, Question, run_process
from multiarch_oci.golang.contents import Contents
from multiarch_oci.golang.inputs import Hints, Inputs, Listing, Package, Part, Run
from multiarch_oci.golang.modules import Modules, Project, is_local, locate
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.golang.tree import Tree, look, walk
from multiarch_oci.statcache import StatCache

if TYPE_CHECKING:
    from multiarch_oci.golang.materials import Materials
    from multiarch_oci.golang.sharing import ListingStore

_AT_ONCE = 4
_MODULE_FILES = ("go.mod", "go.work", "vendor")
"""Files and folders that change what a folder of Go files is by being there."""


class _Settings(msgspec.Struct, frozen=True):
    """The environment of some builds (without PWD), what of it can change a program, and what can change a listing."""

    environment: Mapping[str, str]
    affecting: Mapping[str, str]
    counting: tuple[tuple[str, str], ...]

    @property
    def named(self) -> dict[str, str]:
        """The environment with what the GOENV file adds to it: where compilers and headers are looked for."""
        return {**self.environment, **self.affecting}


class _Lookup(msgspec.Struct, frozen=True):
    """A build as `go list` is asked about it: in the folder of its module, with others of its platform."""

    build: GoBuild
    settings: _Settings
    project: Project
    pattern: str
    question: Question


class Locations(msgspec.Struct, frozen=True):
    """Absolute paths: files by name, there or not; those that flags name; folders of packages; what is embedded."""

    files: frozenset[str]
    beside: frozenset[str]
    packages: frozenset[str]
    embeds: frozenset[str]


class Lister:
    """Says what programs are made of; the caller holds one for a run.

    `base` is the user's environment, `cache` a folder for what is kept between runs (None: nothing is), `stats` the
    digests of files. Folders in `skip`, those of outputs, are not walked. Declare all programs first: then one
    `go list` answers for all programs of a platform. What was seen stays valid until `refresh`, or until a generated
    source changes that a build declares. Nothing that is wrong with the sources is raised: it stands in the inputs
    (`error`), and `go build` will say it. Safe to use from many threads.

    `shared` is where machines leave listings to each other, of trees below `top`: it is looked into before `go list` is
    started.
    """

    def __init__(  # what it stands on, and where it writes
        self,
        toolchain: Toolchain,
        base: Mapping[str, str],
        cache: Path | None,
        stats: StatCache,
        *,
        skip: Iterable[Path] = (),
        run: Run = run_process,
        shared: ListingStore | None = None,
        top: Path | None = None,
    ) -> None:
        self._toolchain = toolchain
        self._base = base
        self._cache = cache
        self._stats = stats
        self._skip = frozenset(os.path.normpath(path) for path in skip)
        self._run = run
        self._lock = threading.RLock()
        self._count = threading.Lock()
        self._started = 0
        self._answers = Answers(cache, stats, self._counted)
        self._sharing = None if shared is None or top is None else self._answers.sharing(shared, top)
        self._declared: dict[GoBuild, None] = {}
        self.refresh()

    @property
    def started(self) -> int:
        """How many processes were started."""
        return self._started

    def declare(self, *builds: GoBuild) -> None:
        """Say that these will be asked about: their listing then comes with that of the first of them."""
        with self._lock:
            self._declared.update(dict.fromkeys(builds))

    def refresh(self) -> None:
        """Forget what was seen of the tree and of Go's settings: something may have written to them since."""
        with self._lock:
            self._settings: dict[GoBuild, _Settings] = {}
            self._trees: dict[tuple[str, ...], Tree] = {}
            self._looks: dict[Path, str] = {}
            self._projects: dict[tuple[object, ...], Project] = {}
            self._lookups: dict[GoBuild, _Lookup] = {}
            self._listings: dict[str, Listing] = {}
            self._parts: dict[tuple[str, str], tuple[Part, str]] = {}
            self._facts: dict[GoBuild, dict[str, str]] = {}
            self._steering: dict[GoBuild, Part] = {}
            self._named: dict[tuple[Path, Path, str, str], dict[str, str]] = {}
            self._questions: dict[tuple[object, ...], Question] = {}
            self._module_files: dict[str, str] = {}  # by folder
            self._contents = Contents(self._cache, self._stats)

    def environment(self, build: GoBuild) -> dict[str, str]:
        """The exact environment of `go` for this build."""
        return {**self._settings_of(build).environment, "PWD": str(build.directory)}

    def inputs(self, build: GoBuild) -> Inputs:
        """Everything that can change the program, as it is now; equal inputs make equal programs."""
        with self._lock:
            self.declare(build)
            if any(look(str(path)) != self._looks.get(path, "unseen") for path in build.sources if self._trees):
                self.refresh()
            lookup = self._lookup(build)
            return self._compose(lookup, self._listing(lookup))

    def materials(self, build: GoBuild, top: Path) -> Materials:
        """The files and modules that the program is made of, files below `top` by their paths from there."""
        with self._lock:
            lookup = self._lookup(build)
            packages = self._listing(lookup).behind(lookup.pattern)
            parts = [(package, self._part(lookup, package)[0]) for package in packages]
            steering = self._steering_part(lookup, packages)
            from multiarch_oci.golang.materials import Materials, Shared  # start-up

            shared = Shared(self._contents, self._module_files, self._named)
            return Materials.of(lookup.project, parts, steering, top, shared)

    def modules(self) -> Modules:
        """What says which modules the declared programs are made of, and where those lie that are no copies."""
        with self._lock:
            return Modules.of((self._lookup(build).project for build in self._declared), self._contents.digest)

    def sums(self, build: GoBuild) -> tuple[tuple[str, str], ...]:
        """The go.sum of the program's module, and of its go.work: names and texts."""
        with self._lock:
            contents = self._project(build, self._settings_of(build)).contents
            return tuple((name, text) for name, text in contents if name.endswith(".sum"))

    def locations(self, build: GoBuild) -> Locations:
        """Where the program's sources lie, or would lie: what a change has to be looked for in.

        Where `go list` found something wrong that is every folder of the module: nobody knows what it would have named.
        """
        with self._lock:
            self.declare(build)
            lookup = self._lookup(build)
            listing = self._listing(lookup)
            packages = [package for package in listing.behind(lookup.pattern) if package.folder and not package.fixed]
            folders = {package.folder for package in packages}
            if not listing.sound or not packages:
                folders |= self._tree(lookup.question.roots).folders
            embeds = {
                os.path.normpath(f"{package.folder}/{_fixed_part(pattern)}")
                for package in packages
                for pattern in package.embeds
            }
            named = set(lookup.project.steering)
            beside = compose.beside(build, lookup.settings.environment, self._contents)
            named |= beside | {str(path) for path in build.sources}
            named |= {f"{folder}/{name}" for folder in (*folders, *lookup.question.roots) for name in _MODULE_FILES}
            return Locations(frozenset(named), frozenset(beside), frozenset(folders), frozenset(embeds))

    def save(self) -> None:
        """Keep what was learnt about contents for the next run; the digests are the caller's to save."""
        with self._lock:
            self._contents.save()
            self._answers.save()

    def offer(self) -> None:
        """Leave to other machines what is known of the programs that are declared, and still holds."""
        with self._lock:
            sharing = self._sharing
            if sharing is None:
                return
            for roots, questions in self._shareable(self._questions_of_all()).items():
                self._answers.offer(questions, functools.partial(self._walk, roots), sharing)

    def _counted(self, line: Sequence[str], directory: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        with self._count:
            self._started += 1
        return self._run(line, directory, environment)

    def _settings_of(self, build: GoBuild) -> _Settings:
        same = GoBuild(build.platform, env=build.env, cgo=build.cgo, cc=build.cc, cxx=build.cxx, race=build.race)
        known = self._settings  # another thread may begin anew meanwhile
        settings = known.get(same)
        if settings is None:
            made = recipe.environment(same, self._base, self._toolchain, cache=self._cache)
            affecting = recipe.affecting(made, self._toolchain)
            counting = {**recipe.locating(recipe.goenv(made, self._toolchain)), **affecting, **recipe.locating(made)}
            settings = known[same] = _Settings(made, affecting, tuple(sorted(counting.items())))
        return settings

    def _lookup(self, build: GoBuild) -> _Lookup:
        if build not in self._lookups:
            settings = self._settings_of(build)
            project = self._project(build, settings)
            pattern, alone = _pattern(build, project.root)
            question = self._question(build, settings, project, pattern if alone else "")
            self._lookups[build] = _Lookup(build, settings, project, pattern, question)
        return self._lookups[build]

    def _question(self, build: GoBuild, settings: _Settings, project: Project, alone: str) -> Question:
        directory = build.directory if alone else project.root
        flags = recipe.listing_flags(build, settings.environment)
        key = (directory, flags, id(settings), alone)
        if key not in self._questions:
            steering = compose.overlay(build, settings.environment, self._contents)
            self._questions[key] = Question(
                toolchain=self._toolchain,
                directory=directory,
                environment={**settings.environment, "PWD": str(directory)},
                flags=flags,
                settings=(*settings.counting, ("alone", alone)),
                steering=(*project.contents, *steering.items()),
                roots=project.roots,
            )
        return self._questions[key]

    def _project(self, build: GoBuild, settings: _Settings) -> Project:
        mod_file = recipe.flag_value(recipe.flags_of(build, settings.environment), "modfile")
        counting = dict(settings.counting)
        which = {name: counting.get(name, "") for name in ("GOWORK", "GO111MODULE")}
        key = (build.directory, mod_file, *which.values())
        if key not in self._projects:
            self._projects[key] = locate(build.directory, which, mod_file)
        return self._projects[key]

    def _tree(self, roots: tuple[str, ...]) -> Tree:
        if roots not in self._trees:
            self._looks |= {path: look(str(path)) for build in self._declared for path in build.sources}
            self._trees[roots] = self._walk(roots)
        return self._trees[roots]

    def _listing(self, lookup: _Lookup) -> Listing:
        known = self._listings.get(lookup.question.name)
        if known is None or lookup.pattern not in known.closures:
            self._load()
        return self._listings[lookup.question.name]

    def _load(self) -> None:
        """Find the listings of all declared builds; start `go list` for those that are not known, side by side."""
        unknown: dict[str, Asked] = {}
        for name, (question, patterns) in self._questions_of_all().items():
            known = self._listings.get(name)
            if known is None or not all(pattern in known.closures for pattern in patterns):
                listing = self._answers.find(question, patterns, self._tree(question.roots))
                if listing is None:
                    unknown[name] = (question, patterns)
                else:
                    self._listings[name] = listing
        if unknown and self._sharing is not None:
            for roots, questions in self._shareable(unknown).items():
                self._listings |= (others := self._answers.recall(questions, self._tree(roots), self._sharing))
                unknown = {name: question for name, question in unknown.items() if name not in others}
        if not unknown:
            return
        from concurrent.futures import ThreadPoolExecutor  # start-up; a no-op has no use for it

        with ThreadPoolExecutor(min(_AT_ONCE, len(unknown))) as pool:
            answers = list(pool.map(self._answer, unknown.values()))
        for (question, _), (listing, tree) in zip(unknown.values(), answers, strict=True):
            self._listings[question.name] = listing
            self._trees[question.roots] = tree

    def _questions_of_all(self) -> dict[str, Asked]:
        """What is asked about all declared builds, by the questions' names."""
        groups: dict[str, tuple[Question, dict[str, None]]] = {}
        for build in self._declared:
            lookup = self._lookup(build)
            groups.setdefault(lookup.question.name, (lookup.question, {}))[1][lookup.pattern] = None
        return {name: (question, tuple(patterns)) for name, (question, patterns) in groups.items()}

    def _shareable(self, questions: Mapping[str, Asked]) -> dict[tuple[str, ...], list[Asked]]:
        """Those of the questions whose answers may be shared, by the folders that they are about."""
        from multiarch_oci.golang.sharing import may_share  # start-up

        lookups = map(self._lookup, self._declared)
        own = {
            lookup.question.name
            for lookup in lookups
            if not may_share(lookup.build, lookup.settings.environment, dict(lookup.settings.counting))
        }
        by_roots: dict[tuple[str, ...], list[Asked]] = {}
        for name, (question, patterns) in questions.items():
            if name not in own:
                by_roots.setdefault(question.roots, []).append((question, patterns))
        return by_roots

    def _answer(self, unknown: Asked) -> tuple[Listing, Tree]:
        question, patterns = unknown
        return self._answers.ask(question, patterns, lambda: self._walk(question.roots), self._sharing)

    def _walk(self, roots: tuple[str, ...]) -> Tree:
        return walk(roots, self._skip)

    def _compose(self, lookup: _Lookup, listing: Listing) -> Inputs:
        build = lookup.build
        packages = listing.behind(lookup.pattern)
        same = msgspec.structs.replace(build, package="", sources=())  # of these nothing stands in what is declared
        if same not in self._facts:
            self._facts[same] = compose.declared_facts(same, lookup.settings.affecting, self._toolchain)
        facts = {
            **self._facts[same],
            **compose.compiler_facts(lookup.settings.named, self._contents),
            **compose.package_facts(packages, lookup.project),
        }
        if listing.error or not packages:
            facts["error"] = listing.error or f"go list does not know the package {build.package}"
        parts = [self._steering_part(lookup, packages)]
        headers = []
        for package in packages:
            part, outside = self._part(lookup, package)
            parts.append(part)
            if outside:
                headers.append((package.folder, outside))
        return Inputs.of(tuple(parts), facts, self._hints(lookup, listing, tuple(headers)))

    def _hints(self, lookup: _Lookup, listing: Listing, headers: tuple[tuple[str, str], ...]) -> Hints:
        tree = self._tree(lookup.question.roots)
        packages = listing.behind(lookup.pattern)
        own = [package for package in packages if package.folder and not package.fixed]
        lost = not listing.sound or not packages or any(not self._is_there(package.folder, tree) for package in own)
        stale = bool(tree.back_dated) if lost else any(self._is_back_dated(package.folder, tree) for package in own)
        embeds = tuple((package.folder, package.embeds) for package in own if package.embeds)
        return Hints(headers, stale, embeds)

    @staticmethod
    def _is_there(folder: str, tree: Tree) -> bool:
        """Whether a package lies where `go list` says: it writes a name that is no UTF-8 in another way."""
        return folder in tree.folders or os.path.isdir(folder)  # noqa: PTH112  # as text, as `go list` has it

    def _is_back_dated(self, folder: str, tree: Tree) -> bool:
        """Whether some mtime of a package was set back; one behind a link, which no walk has reached, is looked at."""
        if folder in tree.folders:
            return folder in tree.back_dated
        return folder in self._tree((folder,)).back_dated

    def _steering_part(self, lookup: _Lookup, packages: Sequence[Package]) -> Part:
        build = lookup.build
        if build not in self._steering:
            environment, main = lookup.settings.environment, packages[0] if packages else None
            self._steering[build] = compose.steering_part(build, environment, lookup.project, main, self._contents)
        return self._steering[build]

    def _part(self, lookup: _Lookup, package: Package) -> tuple[Part, str]:
        key = (lookup.question.name, package.path)
        if key not in self._parts:
            self._parts[key] = compose.package_part(package, lookup.project.root, self._contents, lookup.settings.named)
        return self._parts[key]


def _fixed_part(pattern: str) -> str:
    """The names of an embed pattern up to the first wildcard."""
    names = pattern.removeprefix("all:").split("/")
    return "/".join(itertools.takewhile(lambda name: not set(name) & set("*?[\\"), names))


def _pattern(build: GoBuild, root: Path) -> tuple[str, bool]:
    """The package as seen from the module's root, and whether it must be asked for alone (a file, not a package)."""
    if build.package.endswith(".go"):
        return build.package, True
    if not is_local(build.package):
        return build.package, False
    folder = os.path.normpath(build.directory / build.package)
    base = str(root)
    if folder == base:
        return ".", False
    if folder.startswith(base + os.sep):
        return "./" + folder[len(base) + 1 :].replace(os.sep, "/"), False
    return folder, False
