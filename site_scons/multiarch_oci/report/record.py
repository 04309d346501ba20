"""What a run did: every target that it was asked for, with its reason, times, digests, layers and requests.

The record holds texts of others (names of files, labels, errors); whoever writes them quotes them. It holds no value of
a variable of the process, no secret and no login.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from multiarch_oci.contents.listing import File
from multiarch_oci.diagram.layout import sources_first
from multiarch_oci.document import keyed, remembered_as

FORMAT = 1
"""Raised when the file of an earlier version says something else."""
MADE, CACHED, CURRENT, REPAIRED = "made", "cached", "up to date", "repaired"
FAILED, INTERRUPTED, NOT_REACHED = "failed", "interrupted", "not reached"
OUTCOMES = (FAILED, INTERRUPTED, MADE, REPAIRED, CACHED, CURRENT, NOT_REACHED)
"""What became of a target, in the order in which people want to see them."""
KINDS = ("file", "program", "image", "archive", "load", "pin", "push", "index", "tag", "SBOM")
"""A `push` is a platform's tag, a `tag` one that names an index; a `file` is made by a builder that is not ours."""


class Layer(msgspec.Struct, frozen=True):
    """One layer of images: `size` as it is stored, `unpacked` that of its files; None where its content is elsewhere.

    `files` are the largest ones, `count` how many names there are in all. `made_by` is the line of the history.
    """

    digest: str
    size: int
    made_by: str = ""
    from_base: bool = False
    unpacked: int | None = None
    count: int = 0
    files: tuple[File, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """One target; `key` is its path, `title` what its step calls it, `group` the image that it is of.

    `reasons` are all reasons why its step ran, `last_reason` that of the step that made what is up to date. `began` and
    `seconds` are of the step, from the start of the run. `sent` and `received` are bytes, `not_sent` those that a push
    found there or mounted, `not_fetched` those that a shared cache has and nothing needed here. `sources` are keys.
    """

    key: str
    kind: str
    title: str
    outcome: str
    group: str = ""
    platform: str = ""
    verb: str = ""
    reasons: tuple[str, ...] = ()
    last_reason: str = ""
    error: str = ""
    reference: str = ""
    digest: str = ""
    size: int | None = None
    base: str = ""
    layers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    thread: str = ""
    began: float | None = None
    seconds: float | None = None
    sent: int = 0
    received: int = 0
    not_sent: int = 0
    not_fetched: int = 0
    requests: int = 0

    @property
    def ran(self) -> bool:
        """Whether a step of this run was performed for it."""
        return self.seconds is not None


class Request(msgspec.Struct, frozen=True):
    """One request to a registry, or a pause between two; `node` is the key of the target that it was made for."""

    method: str
    host: str
    path: str
    thread: str
    began: float
    seconds: float
    node: str = ""
    status: int | None = None
    sent: int = 0
    received: int = 0
    error: str = ""


class Run(msgspec.Struct, frozen=True):
    """A whole run: `began` in seconds since 1970, `words` those of the command line that are targets, and SHARD."""

    began: float
    seconds: float
    words: tuple[str, ...]
    nodes: tuple[Node, ...]
    layers: tuple[Layer, ...] = ()
    requests: tuple[Request, ...] = ()
    failed: bool = False
    not_moved: tuple[tuple[str, str], ...] = ()
    format: int = FORMAT

    def counts(self) -> dict[str, int]:
        """How many targets had each outcome, those that none had left out."""
        numbers = {outcome: sum(node.outcome == outcome for node in self.nodes) for outcome in OUTCOMES}
        return {outcome: number for outcome, number in numbers.items() if number}

    def ran(self) -> tuple[Node, ...]:
        """The targets whose steps were performed, the slowest first."""
        return tuple(sorted((n for n in self.nodes if n.ran), key=lambda node: -(node.seconds or 0)))

    def tags(self) -> tuple[Node, ...]:
        """What this run knows to be in registries: the tags of indexes, and those of images that no index has."""
        there = [node for node in self.nodes if node.outcome in (MADE, REPAIRED, CACHED, CURRENT)]
        tags = [node for node in there if node.kind == "tag"]
        covered = {source for node in tags for source in node.sources}
        alone = [node for node in there if node.kind == "push" and node.key not in covered]
        return (*tags, *alone)

    @property
    def sent(self) -> int:
        """Bytes that were sent to registries."""
        return sum(request.sent for request in self.requests)

    @property
    def received(self) -> int:
        """Bytes that came from registries."""
        return sum(request.received for request in self.requests)


def critical_path(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The chain of steps, each made of the one before, that took longest: no run with more threads is faster."""
    by_key = {node.key: node for node in nodes}
    longest: dict[str, tuple[float, str]] = {}
    for key in sources_first(by_key, lambda key: by_key[key].sources if key in by_key else ()):
        if key in by_key:
            before = [(longest[source][0], source) for source in by_key[key].sources if source in longest]
            time, previous = max(before, default=(0.0, ""))
            longest[key] = (time + (by_key[key].seconds or 0.0), previous)
    key = max(longest, key=lambda name: longest[name][0], default="")
    chain: list[Node] = []
    while key:
        chain.append(by_key[key])
        key = longest[key][1]
    return tuple(node for node in reversed(chain) if node.ran)


def kept(run: Run) -> bytes:
    """What is kept of a run for the next one to be compared with: all but its requests."""
    return keyed(msgspec.to_builtins(msgspec.structs.replace(run, requests=())))


def last_run(path: Path) -> Run | None:
    """The run before, as `kept` wrote it; None when there was none, or one of another version."""
    run = remembered_as(path, Run)
    return run if run is not None and run.format == FORMAT else None
