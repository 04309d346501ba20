"""Listings that machines share: what `go list` answered, by a key that the checkout alone says.

A key is made of the version of Go, go.mod, go.sum and their like, and of each file that `go list` reads its path in the
tree and its head; where files embed others the names of those, too. So whatever could change a sound answer changes the
key, and no path of a machine is in it. Under one key lie the listings of all platforms and flags that were asked for.

Some questions have no key, and `go` is asked: with cgo (a C compiler has a say), in GOPATH mode, where sources lie out
of the tree (`replace`, go.work), with `-toolexec`, `-overlay` or another compiler, by a Go that is no release.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec
from msgspec.structs import replace

from multiarch_oci.document import key_of
from multiarch_oci.golang import recipe
from multiarch_oci.golang.answers import Question
from multiarch_oci.golang.compiler import may_embed
from multiarch_oci.golang.inputs import Listing, Package
from multiarch_oci.golang.materials import below
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.tree import EMBEDS, NOT_EMBEDDABLE, Heads, Tree, outlined

_FORMAT = "go shared listing 1"
_OUTSIDE = ("toolexec", "overlay", "compiler")
_FILES_AT_ONCE = 100_000
_NAMES_AT_ONCE = 100_000
_LONGEST = 256 << 20
_FOLDER = "${SRCDIR}"
"""The folder of a package in its flags for C (`go doc cmd/cgo`)."""
_EMBED = r"(?m)^[ \t]*//go:embed[ \t](.*)$"
_WORD = r'"(?:[^"\\]|\\.)*"|`[^`]*`|\S+'
_CONTROL = r"\\(?:[bfnrt]|u00[01][0-9a-f]|u007f|u00[89][0-9a-f])"


class ListingStore(Protocol):
    """Where listings lie that machines share; what goes wrong there is no matter of who asks."""

    def get(self, key: str) -> bytes | None:
        """What lies under a key (hexadecimal); None where nothing does."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Leave something under a key, in the place of what lies there."""
        ...


class _Shared(msgspec.Struct, frozen=True):
    """The listings of one key, by what else they were asked with; folders from the top of the tree, with `/`."""

    format: str
    listings: dict[str, Listing]


def may_share(build: GoBuild, environment: Mapping[str, str], counting: Mapping[str, str]) -> bool:
    """Whether the checkout alone says what `go list` answers for this build.

    `counting` are variables as Go has them, also by `go env -w`.
    """
    words = recipe.flags_of(build, environment)
    outside = environment.get("CGO_ENABLED") == "1" or counting.get("GO111MODULE") == "off"
    return not outside and not any(recipe.flag_value(words, name) for name in _OUTSIDE)


class Sharing:
    """The shared listings of one tree, of which `top` is the folder; not for several threads at once."""

    def __init__(self, store: ListingStore, top: Path, heads: Heads) -> None:
        self._store = store
        self._top = str(top)
        self._heads = heads
        self._read: dict[str, dict[str, Listing]] = {}

    def keys(self, questions: Iterable[Question], tree: Tree) -> dict[str, str]:
        """The keys of questions about the folders of one walk, by the questions' names; of some there is none.

        The heads of files are read as they are now: the caller sees to it that nothing moved meanwhile.
        """
        known: dict[tuple[object, ...], str] = {}
        keys = {}
        for question in questions:
            same = (question.toolchain.version, question.roots, question.steering)
            if same not in known:
                known[same] = self._key(question, tree)
            if known[same] and self._path(str(question.directory)) is not None:
                keys[question.name] = known[same]
        return keys

    def find(self, key: str, question: Question, patterns: Iterable[str], tree: Tree) -> Listing | None:
        """The listing of a question; None where none lies there for all patterns, or where it is damaged."""
        listing = self._listings(key).get(self._member(question))
        if listing is None or not all(pattern in listing.closures for pattern in patterns):
            return None
        packages = [_placed(package, _joined(self._top, package.folder)) for package in listing.packages]
        if any(package.folder not in tree.folders for package in packages if not package.fixed):
            return None
        return replace(listing, packages=tuple(packages))

    def offer(self, answers: Sequence[tuple[str, Question, Listing]]) -> None:
        """Leave listings under their keys, together with those that lie there already."""
        by_key: dict[str, dict[str, Listing]] = {}
        for key, question, listing in answers:
            relative = self._relative(listing)
            if relative is not None:
                by_key.setdefault(key, {})[self._member(question)] = relative
        for key, ours in by_key.items():
            known = self._listings(key)
            merged = {**known, **{name: _merged(known.get(name), listing) for name, listing in ours.items()}}
            if merged != known:
                self._store.put(key, _encoded(merged))
                self._read[key] = merged

    def _listings(self, key: str) -> dict[str, Listing]:
        if key not in self._read:
            content = self._store.get(key)
            self._read[key] = {} if content is None else _decoded(content)
        return self._read[key]

    def _key(self, question: Question, tree: Tree) -> str:
        roots = [self._path(root) for root in question.roots]
        texts = dict(question.steering)
        if None in roots or not question.toolchain.release or not (texts.get("go.mod") or texts.get("go.work")):
            return ""
        heads = self._heads.of(tree, at_once=_FILES_AT_ONCE)
        if heads is None or not all(heads.values()):
            return ""
        files = self._ordered([self._path(path), outlined(tree.files[path]), head] for path, head in heads.items())
        links = self._ordered([self._path(path), line] for path, line in tree.links.items())
        vendored = [os.path.join(root, "vendor") in tree.folders for root in question.roots]  # noqa: PTH118  # as text
        names = self._names([path for path, head in heads.items() if head.endswith(EMBEDS)])
        if names is None:
            return ""
        return key_of([_FORMAT, question.toolchain.version, roots, question.steering, vendored, files, links, names])

    @staticmethod
    def _ordered(rows: Iterable[list[str | None]]) -> list[list[str | None]]:
        """Rows that begin with a path, by that path with `/`: a system's own separator would order them otherwise."""
        return sorted(rows, key=lambda row: row[0] or "")

    def _names(self, files: Iterable[str]) -> list[str] | None:
        """The names that the patterns in these files may take; None where there are too many."""
        patterns: dict[str, set[str]] = {}
        for path in files:
            try:
                content = Path(path).read_bytes().decode("utf-8", "surrogateescape")
            except OSError:
                return None
            patterns.setdefault(os.path.dirname(path), set()).update(_patterns(content))  # noqa: PTH120  # as text
        names: list[str] = []
        for folder, words in sorted(patterns.items()):
            for name in _embeddable(folder, sorted(words)):
                names.append(f"{self._path(folder)}\0{name}")
                if len(names) > _NAMES_AT_ONCE:
                    return None
        return sorted(names)

    def _member(self, question: Question) -> str:
        """What a question is about beside the sources: platform, flags, variables."""
        settings = [
            [name, _counting(value) if name == "GOFLAGS" else value]
            for name, value in question.settings
            if not recipe.is_neutral(name)
        ]
        flags = [self._flag(word) for word in recipe.counting_flags(question.flags)]
        debug = question.environment.get("GODEBUG", "")  # embedfollowsymlinks
        return key_of([self._path(str(question.directory)), flags, [pair for pair in settings if pair[1]], debug])[:32]

    def _flag(self, word: str) -> str:
        name, _, value = word.partition("=")
        below = self._path(value) if name == "-modfile" else None
        return word if below is None else f"{name}={below}"

    def _path(self, path: str) -> str | None:
        """A path from the top, with `/`; None for what does not lie below it."""
        return "." if path == self._top else below(path, self._top) or None

    def _relative(self, listing: Listing) -> Listing | None:
        """A listing without a path of this machine; None where it cannot be without."""
        packages = []
        for package in listing.packages:
            folder = "" if package.fixed else self._path(package.folder)
            if folder is None:
                return None
            flags = [_relative_flags(words, package.folder) for words in (package.c_flags, package.ld_flags)]
            if not package.fixed and any(self._top in word for words in flags for word in words):
                return None
            c_flags, ld_flags = ((), ()) if package.fixed else flags  # nothing looks at those of the module cache
            packages.append(replace(package, folder=folder, c_flags=c_flags, ld_flags=ld_flags))
        relative = replace(listing, packages=tuple(packages))
        return relative if _is_sound(relative) else None


def _counting(variable: str) -> str:
    """GOFLAGS without flags that change no listing."""
    return " ".join(recipe.not_given_anyway(recipe.counting_flags(recipe.goflags({"GOFLAGS": variable}))))


def _relative_flags(words: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """Flags of cgo as they stand in the source: Go writes the package's folder in the place of its name."""
    return tuple(word.replace(folder, _FOLDER) for word in words) if folder else words


def _placed(package: Package, folder: str) -> Package:
    """A package of the tree in its folder here."""
    c_flags, ld_flags = (
        tuple(word.replace(_FOLDER, folder) for word in words) for words in (package.c_flags, package.ld_flags)
    )
    return replace(package, folder=folder, c_flags=c_flags, ld_flags=ld_flags)


def _patterns(content: str) -> Iterator[str]:
    """The patterns of `//go:embed` in a file, in doubt one that takes all (cmd/go/internal/modindex, parseGoEmbed)."""
    for arguments in re.findall(_EMBED, content):
        for word in re.findall(_WORD, arguments):
            quoted = word[0] in '"`' and len(word) > 1 and word[0] == word[-1]
            yield "*" if word[0] == '"' and ("\\" in word or not quoted) else word[1:-1] if quoted else word


def _embeddable(folder: str, patterns: Sequence[str]) -> Iterator[str]:
    """The paths below a folder that patterns may take, each with its kind, and where a link leads."""
    pending = [""]
    while pending:
        above = pending.pop()
        try:
            with os.scandir(f"{folder}{os.sep}{above}") as entries:
                below = list(entries)
        except OSError:
            yield f"{above}\0?"
            continue
        for entry in below:
            path = f"{above}{entry.name}"
            if entry.name in NOT_EMBEDDABLE or not any(may_embed(pattern, path) for pattern in patterns):
                continue
            kind = _kind(entry)
            if kind == "/":
                pending.append(f"{path}/")
            yield f"{path}\0{kind}"


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry of a folder is; `?` for what went meanwhile, or cannot be looked at."""
    try:
        if entry.is_symlink():
            return f"-> {os.readlink(entry.path)}"  # noqa: PTH115  # as text
        return "/" if entry.is_dir() else str(stat.S_IFMT(entry.stat().st_mode))
    except OSError:
        return "?"


def _merged(known: Listing | None, ours: Listing) -> Listing:
    """Both listings in one: the same question has the same answer for a package, for whichever pattern it is asked."""
    if known is None or all(pattern in known.closures for pattern in ours.closures):
        return known or ours
    numbers = {package.path: number for number, package in enumerate(known.packages)}
    more = [package for package in ours.packages if package.path not in numbers]
    numbers |= {package.path: len(numbers) + number for number, package in enumerate(more)}
    closures = {
        pattern: tuple(numbers[ours.packages[number].path] for number in closure)
        for pattern, closure in ours.closures.items()
    }
    return Listing((*known.packages, *more), {**known.closures, **closures})


def _encoded(listings: Mapping[str, Listing]) -> bytes:
    document = msgspec.to_builtins(_Shared(_FORMAT, dict(sorted(listings.items()))))
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), mtime=0)


def _decoded(content: bytes) -> dict[str, Listing]:
    """The listings that somebody left; those that could not have come from here, and damaged ones, are none."""
    try:
        unpacker = zlib.decompressobj(31)
        text = unpacker.decompress(content, _LONGEST)
        if not unpacker.eof or re.search(_CONTROL, text.decode("ascii")):
            return {}
        shared = msgspec.json.decode(text, type=_Shared)
    except (zlib.error, ValueError, RecursionError, msgspec.MsgspecError):
        return {}
    if shared.format != _FORMAT:
        return {}
    return {name: listing for name, listing in shared.listings.items() if _is_sound(listing)}


def _is_sound(listing: Listing) -> bool:
    """Whether nothing is wrong with a listing, and it names nothing out of the tree."""
    count = len(listing.packages)
    numbers = {number for closure in listing.closures.values() for number in closure}
    if not listing.sound or not all(listing.closures.values()) or any(not 0 <= number < count for number in numbers):
        return False
    return all(map(_stays_below, listing.packages))


def _stays_below(package: Package) -> bool:
    if bool(package.folder) == package.fixed:
        return False
    return all(_is_below(name) for name in (*package.files, package.folder or "."))


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    drive = os.name == "nt" and (":" in name or "\\" in name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not drive


def _joined(top: str, folder: str) -> str:
    """A folder by its path from the top; "" stays what it is."""
    if folder in ("", "."):
        return top if folder else ""
    return f"{top.rstrip(os.sep)}{os.sep}{folder.replace('/', os.sep)}"
