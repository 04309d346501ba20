"""Flags of `go build` that are said in several places, merged: none hides what another place says.

Go itself takes the last: of the flags on its command line, which come after those of the variable GOFLAGS. For flags
of one value that is what is meant; tags and the flags that are handed on (`-ldflags` and its kin) are lists.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.words import fields

HANDED_ON = ("asmflags", "gccgoflags", "gcflags", "ldflags")
"""Flags for a tool that Go starts, each for the packages of a pattern (`go help build`)."""
_VALUED = frozenset(HANDED_ON) | {
    *("C", "buildmode", "compiler", "covermode", "coverpkg", "installsuffix", "mod", "modfile", "o", "overlay", "p"),
    *("pgo", "pkgdir", "tags", "toolexec"),
}
_TAKEN = {"o": "the target says where the program lies", "C": "GODIR says where go runs", "n": "it compiles nothing"}
_WIDE = ("all", "std", "cmd", "tool", "work")
_FALSE = ("0", "f", "F", "false", "False", "FALSE")


class ConflictingFlags(MultiarchError, ValueError):
    """Flags that cannot be merged, or that contradict what is declared."""


class Flag(msgspec.Struct, frozen=True):
    """One flag as it is written in `words`; `value` is None where none is given. A word that is no flag has no name."""

    name: str
    value: str | None
    words: tuple[str, ...]

    @property
    def on(self) -> bool:
        """Whether a flag that is on or off is on."""
        return self.value not in _FALSE


@functools.lru_cache(64)  # all programs of a build have few lists of flags
def read(words: tuple[str, ...]) -> tuple[Flag, ...]:
    """The flags of a list: `-name`, `-name=value` or `-name value`, with one dash or two."""
    flags, at = [], 0
    while at < len(words):
        word = words[at]
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        count = 2 if name in _VALUED and not equals and at + 1 < len(words) else 1
        if not word.startswith("-") or not name:
            flags.append(Flag("", None, (word,)))
        else:
            given = words[at + 1] if count > 1 else value if equals else None
            flags.append(Flag(name, given, tuple(words[at : at + count])))
        at += count
    return tuple(flags)


def last(flags: Iterable[Flag], name: str) -> Flag | None:
    """The flag of a name that counts."""
    counting = None
    for flag in flags:
        counting = flag if flag.name == name else counting
    return counting


@functools.lru_cache(64)  # as `read`
def arguments(
    fixed: tuple[str, ...],
    ours: tuple[tuple[str, str, str], ...],
    variable: tuple[str, ...],
    given: tuple[str, ...],
    *,
    more_tags: tuple[str, ...],
    ldflags: str,
) -> tuple[str, ...]:
    """The flags of the command line.

    `variable` is GOFLAGS, which Go reads as well: what only stands there is not said again. `fixed` are ours that have
    one value, and give way to the variable; `ours` are those that are handed on (name, pattern, text), `given`,
    `more_tags` and `ldflags` those that are declared. ConflictingFlags.
    """
    theirs, declared = read(variable), read(given)
    _check((*theirs, *declared))
    linked = (Flag("ldflags", ldflags, ()),) if ldflags else ()
    line = [flag.words[0] for flag in read(fixed) if not _contradicted(flag, last(theirs, flag.name))]
    merged_names = set()
    for name in HANDED_ON:
        own = tuple((pattern, text) for kind, pattern, text in ours if kind == name)
        sources = [own, *(settings(source, name, "GOFLAGS") for source in (theirs, declared))]
        sources.append(settings(linked, name, "GOLDFLAGS"))
        sources = [source for source in sources if source]
        if own or len(sources) > 1:
            merged_names.add(name)
            line += [f"-{name}={pattern}{'=' * bool(pattern)}{text}" for pattern, text in merged(sources, name)]
    tags = all_tags(variable, given, more_tags)
    if tags:
        merged_names.add("tags")
        line.insert(-1, f"-tags={','.join(tags)}")
    return (*line, *(word for flag in declared if flag.name not in merged_names for word in flag.words))


def all_tags(variable: tuple[str, ...], given: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """All tags that a command line has to say, each once: none where the variable GOFLAGS alone has some."""
    declared = (*_tags(read(given)), *more)
    return tuple(dict.fromkeys((*_tags(read(variable)), *declared))) if declared else ()


def _check(flags: Iterable[Flag]) -> None:
    """Raise ConflictingFlags for a flag of which the build itself decides."""
    for flag in flags:
        if flag.name in _TAKEN:
            raise ConflictingFlags(f"-{flag.name} has no place here: {_TAKEN[flag.name]}", where="GOFLAGS")


def _contradicted(ours: Flag, theirs: Flag | None) -> bool:
    return theirs is not None and theirs.on is not ours.on and ours.name != "race"


def _tags(flags: Iterable[Flag]) -> tuple[str, ...]:
    """Tags are separated by commas or, as Go still takes them, by blanks."""
    names: list[str] = []
    for flag in flags:
        if flag.name == "tags" and flag.value:
            names += fields(flag.value) if set(flag.value) & set(" '") else flag.value.split(",")
    return tuple(filter(None, names))


Setting = tuple[str, str]
"""What a tool is handed: the pattern of packages ("" is the package that is built), the text of its flags."""


def settings(flags: Iterable[Flag], name: str, where: str) -> tuple[Setting, ...]:
    """What the flags of one place hand on, in their order; those for one pattern are joined. ConflictingFlags."""
    texts: dict[str, str] = {}
    for flag in flags:
        if flag.name == name:
            pattern, text = _setting(flag, where)
            if name == "ldflags" and pattern == "all":
                pattern = ""  # only the program is linked
            texts[pattern] = _joined(texts.pop(pattern, ""), text)
    return tuple(texts.items())


def _setting(flag: Flag, where: str) -> Setting:
    """Read a value as Go does (cmd/go/internal/load, flag.go)."""
    text = (flag.value or "").strip()
    if not text or text.startswith("-"):
        return "", text
    pattern, equals, rest = text.partition("=")
    if not equals or not pattern or text[0] in "'\"":
        raise ConflictingFlags(
            f"-{flag.name}={text} is neither flags nor pattern=flags", where=where, hint=f"write -{flag.name}=-x …"
        )
    return pattern.strip(), rest.strip()


def merged(sources: Sequence[tuple[Setting, ...]], name: str) -> tuple[Setting, ...]:
    """What all places hand on together, so that for each package the last setting that fits holds everything.

    Within a place the last setting that fits a package counts, as in Go. ConflictingFlags where two places speak of
    patterns that may have packages in common.
    """
    done: tuple[Setting, ...] = ()
    for source in sources:
        texts: dict[str, str] = {}
        for pattern, text in _products(done, source, name):
            texts.pop(pattern, None)
            texts[pattern] = text
        done = tuple(texts.items())
    return done


def _products(first: tuple[Setting, ...], second: tuple[Setting, ...], name: str) -> Iterator[Setting]:
    """Each setting of one place with each, or none, of the other: the widest first, as Go takes the last that fits."""
    for earlier in (None, *first):
        for later in (None, *second):
            if earlier is None or later is None:
                alone = earlier or later
                if alone is not None:
                    yield alone
                continue
            pattern = _both(earlier[0], later[0], name)
            if pattern is not None:
                yield pattern, _joined(earlier[1], later[1])


def _both(first: str, second: str, name: str) -> str | None:
    """A pattern for the packages of both; None where there is none."""
    if second in {first, "all"} or (name == "ldflags" and not second):
        return first
    if first == "all" or (name == "ldflags" and not first):
        return second
    plain = [
        pattern
        for pattern in (first, second)
        if pattern and pattern not in _WIDE and "..." not in pattern and pattern[0] != "."
    ]
    if len(plain) == len((first, second)) or {first, second} <= {"", "std", "cmd"}:
        return None
    shown = " and ".join(f"'{pattern or 'the program'}'" for pattern in (first, second))
    raise ConflictingFlags(
        f"-{name} is given in two places, for {shown}, which may have packages in common",
        where="GOFLAGS",
        hint=f"give both for one pattern, as in -{name}=all=…, or say them in one place",
    )


def _joined(first: str, second: str) -> str:
    return " ".join(part for part in (first, second) if part)
