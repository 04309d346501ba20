"""SHARD=i/n: one of n machines makes its part of the images, the last one what is missing (behaviour, section 9).

There is no coordinator. Which images a machine makes follows from what is declared. What another one has made is known
by its entry in the cache, never by a tag. After its own part a machine looks whether all images that were asked for
are in the cache; where they are it publishes. Machine n of n does not look: it makes what is missing, from the end of
the others' parts, and publishes. What no image is made of, or leads to, it makes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import SCons.Environment
import SCons.Node.Alias
import SCons.Node.FS
import SCons.Script

from multiarch_oci.diagram.layout import sources_first
from multiarch_oci.document import LIMIT, content_of
from multiarch_oci.errors import quoted
from multiarch_oci.plan.shards import FILE, MOST, Shard, Work, divided, seconds_of
from multiarch_oci.quoting import counted
from scons_multiarch.graph import (
    declared_children,
    first_of_step,
    is_done,
    is_made,
    nodes_below,
    ordered,
    requested,
)
from scons_multiarch.paths import shown
from scons_multiarch.process import say
from scons_multiarch.receipts import ask_for_tags
from scons_multiarch.shared.taking import foresee
from scons_multiarch.targets import ProgramTarget, is_image, is_index, target_of
from scons_multiarch.tracking.folders import entries_in
from scons_multiarch.tracking.held import undecided
from scons_multiarch.tracking.phases import build_first
from scons_multiarch.variables import UnknownWord

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_WORD = re.compile(r"([1-9][0-9]{0,2})/([1-9][0-9]{0,2})")
_TOGETHER = 8
_AT_ONCE = 16
"""Images that are looked for before the next ones are: one that is missing is enough."""
_NAMED = 3
"""So many targets and more are not all named."""
_ALONE = ("run", "clean")
"""Targets that are no part of a build."""


def read_shard(run: Run, given: Mapping[str, str]) -> Shard:
    """What SHARD says. Raises UnknownWord for no part of anything, and without a cache to read and to write."""
    match = _WORD.fullmatch(given["SHARD"])
    if match is None or int(match[1]) > int(match[2]):
        hint = f"SHARD=2/5 is the second of five machines, of {MOST} at most"
        raise UnknownWord(f"{quoted(given['SHARD'])} is no part of the images", where="SHARD", hint=hint)
    settings = run.settings.cache
    if settings is None or not (settings.reads and settings.writes):
        what = "CACHE" if settings is None else "CACHE_MODE=readwrite"
        hint = "CACHE=host/repository CACHE_MODE=readwrite: what another machine made is known by its entry there"
        raise UnknownWord(f"needs {what}", where="SHARD", hint=hint)
    if run.settings.interactive:
        raise UnknownWord("is one build of one machine, not a session", where="SHARD", hint="leave it out")
    return Shard(int(match[1]), int(match[2]))


class Part(NamedTuple):
    """What of the targets that were asked for is whose.

    `first`: what this machine makes, what costs most first, `images` those among it. `others`: the images of others,
    what they make last first. `rest`: whether anything is of several machines, as an index and its tag. `alone`: what
    no image leads to, which is of machine n of n; `shared` is all but that.
    """

    shard: Shard
    first: tuple[Any, ...]
    images: tuple[Any, ...]
    others: tuple[Any, ...]
    rest: bool
    alone: tuple[Any, ...]
    shared: tuple[Any, ...]
    whole: bool = False  # this machine goes on to all that was asked for

    def to_json(self) -> dict[str, object]:
        """The part as reports and plans tell it."""
        own = sorted(map(shown, self.images))
        shard = {"number": self.shard.number, "count": self.shard.count}
        return shard | {"images": own, "others": len(self.others), "whole": self.whole}

    def words(self) -> str:
        """What a plan says of it."""
        if self.alone and not self.shard.is_last:
            return self.alone_in_words() if self.is_of_none else f"{self.alone_in_words()}\n{self._publishing()}"
        return self._publishing()

    @property
    def is_of_none(self) -> bool:
        """Whether nothing that was asked for is made of images."""
        return not (self.first or self.others or self.rest)

    def alone_in_words(self) -> str:
        """What this machine leaves to the last one whatever the cache has."""
        names = sorted(map(shown, self.alone))
        named = " and ".join(names if len(names) < _NAMED else [names[0], f"{len(names) - 1} others"])
        are, them = ("is", "it") if len(names) == 1 else ("are", "them")
        return (
            f"shard {self.shard}: {named} {are} of no image, shard {self.shard.count}/{self.shard.count} makes {them}"
        )

    def _publishing(self) -> str:
        return f"{self}, " + ("then all that is missing" if self.whole else "the machine that ends last publishes")

    def __str__(self) -> str:
        """The part in words."""
        return f"shard {self.shard}: {len(self.images)} of {counted(len(self.images) + len(self.others), 'image')}"


def part_of(run: Run, roots: Iterable[Any]) -> Part:
    """The part of this machine in what leads to these nodes. Raises MultiarchError for a shards.json that is none."""
    shard = run.settings.shard
    assert shard is not None  # noqa: S101  # nobody asks without one
    parts = _parts(run, shard.count)
    machine = {image: number for number, part in enumerate(parts, 1) for image in part}
    position = {image: number for number, image in enumerate(machine)}
    roots = tuple(roots)
    named = dict.fromkeys(_steps(roots))
    images_of = _images_below(named)
    first, alone, rest = [], [], False
    for node, images in images_of.items():
        if images is None:
            rest = True
        elif images:
            owners = {machine[image] for image in images}
            rest = rest or len(owners) > 1
            first += [node] if owners == {shard.number} else []
        elif node in named:
            owners = {number for number, part in enumerate(parts, 1) if node in _needed_by(run, number, part)}
            alone += [] if owners else [node]
            first += [node] if shard.number in owners else []
    first.sort(key=lambda node: max((position[image] for image in images_of[node] or ()), default=-1))
    own, *others = [
        [image for image in part if image in images_of]
        for part in (parts[shard.number - 1], *parts[: shard.number - 1], *parts[shard.number :])
    ]
    last_first = zip_longest(*map(reversed, others))
    of_others = tuple(image for images in last_first for image in images if image)
    shared = tuple(node for node in named if node not in alone) if alone else roots
    return Part(shard, tuple(first), tuple(own), of_others, rest, tuple(alone), shared)


def _parts(run: Run, count: int) -> list[list[Any]]:
    """The images of each machine, of all that are declared."""
    content = content_of(run.tree.root / FILE, LIMIT, where=FILE)
    seconds = {} if content is None else seconds_of(content, where=FILE)
    images = {shown(node): node for node in filter(is_image, run.declarations.targets)}
    works = [Work(str(target_of(node).platform), name, _needs(node)) for name, node in images.items()]
    return [[images[name] for name in names] for names in divided(works, count, seconds)]


def _needs(image: Any) -> tuple[str, ...]:
    return tuple(sorted({shown(first_of_step(child)) for child in declared_children(image) if is_made(child)}))


def _steps(roots: Iterable[Any]) -> Iterator[Any]:
    """The files that targets mean, through aliases and folders, and what among these has a command of its own."""
    for node in nodes_below(roots, _members):
        if is_made(node) or _has_command(node):
            yield node


def _has_command(node: Any) -> bool:
    """Whether a folder or an alias is made by a builder, and not by SCons itself."""
    if isinstance(node, SCons.Node.Alias.Alias):
        return bool(node.has_builder()) and node.get_builder() is not SCons.Environment.AliasBuilder
    return bool(node.has_explicit_builder())


def _members(node: Any) -> list[Any]:
    if isinstance(node, SCons.Node.FS.Dir):
        return entries_in(node)
    return [] if isinstance(node, SCons.Node.FS.Base) else declared_children(node)


def _images_below(named: Mapping[Any, None]) -> dict[Any, frozenset[Any] | None]:
    """For each of these, and each file that leads to them, the images that it is made of; None where an index is."""
    below: dict[Any, frozenset[Any] | None] = {}
    for node in sources_first(named, declared_children):
        of_children = [below.get(child, frozenset()) for child in declared_children(node)]
        if is_image(node):
            below[node] = frozenset([node])
        elif is_index(node) or None in of_children:
            below[node] = None
        else:
            below[node] = frozenset().union(*filter(None, of_children))
    return {node: images for node, images in below.items() if is_made(node) or node in named}


def _needed_by(run: Run, number: int, images: list[Any]) -> frozenset[Any]:
    """What the images of a machine are made of."""
    return run.build.once(("needed by", number), lambda: frozenset(nodes_below(images, declared_children)))


def build_part(env: Any, words: Iterable[str]) -> None:
    """Have SCons build this machine's part of what was asked for, and then the rest, where it is this machine's to do.

    To be called when the SConscripts were read. Raises UnknownWord for targets that have no parts.
    """
    for word in words:
        if word.rpartition(":")[2] in _ALONE:
            raise UnknownWord(f"{word} is done by one machine", where="SHARD", hint="leave SHARD out")
    run: Run = env["MULTIARCH_RUN"]
    whole = requested()
    part = run.declarations.part = part_of(run, whole)
    run.declarations.postponed = whole
    # Under one name, as SCons says of each target that it is up to date.
    first = env.Alias(f"shard {part.shard}", part.first) if part.first else []
    others = env.Alias(f"all but shard {part.shard}", part.others) if part.others else []
    rest = env.Alias("what images lead to", part.shared) if part.alone else list(part.shared)
    build_first(first, lambda: _after(run, part, [*others, *whole] if part.shard.is_last else rest))


def _after(run: Run, part: Part, whole: list[Any]) -> list[Any] | None:
    """What is built when this machine's part is done: the `whole`, or None for nothing more."""
    if not part.shard.is_last:
        if part.alone:
            say(part.alone_in_words())
            if part.is_of_none:
                return None
        if not part.rest:
            say(f"{part} done")
            return None
        missing = _missing(part.others)
        if missing is not None:
            who = f"the machine that ends last publishes, or shard {part.shard.count}/{part.shard.count}"
            say(f"{part} done; {who} ({shown(missing)} is not in the cache yet)")
            return None
        say(f"{part} done; the cache has all others, they are published here")
    else:
        say(f"{part} done; this is the last machine: what no other one made is made here")
    run.declarations.part = part._replace(whole=True)
    SCons.Script.BUILD_TARGETS = whole
    ask_for_tags(run)
    return whole


def foreseen(run: Run, roots: list[Any]) -> tuple[list[Any], Part]:
    """What a run would come to that is asked for these nodes, and its part.

    That is its own part alone, where it is not the last and the cache lacks an image of another machine.
    """
    part = part_of(run, roots)
    if part.shard.is_last:
        return roots, part._replace(whole=True)
    if part.rest and _missing(part.others) is None:
        return list(part.shared), part._replace(whole=True)
    return list(part.first), part


def _missing(images: Sequence[Any]) -> Any | None:
    """A target that the cache does not have, or of which that cannot be known before something is made.

    Nothing is written, and what was found out is found out anew by who makes something.
    """
    for start in range(0, len(images), _AT_ONCE):
        batch = [node for node in ordered(images[start : start + _AT_ONCE]) if is_made(node) and not is_done(node)]
        programs = [node for node in batch if not is_image(node)]
        for node in programs:
            if not isinstance(target_of(node), ProgramTarget):
                return node
        try:
            with ThreadPoolExecutor(_TOGETHER) as pool:
                for nodes in (programs, list(filter(is_image, batch))):
                    undecided(nodes)  # what an image takes was looked for when its programs were not known
                    for node, is_there in zip(nodes, pool.map(foresee, nodes), strict=True):
                        if not is_there:
                            return node
        finally:
            undecided(batch)
    return None
