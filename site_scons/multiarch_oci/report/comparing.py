"""What changed since the last run: targets that are new, gone or of another digest, and their files that differ."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from multiarch_oci.contents.comparing import FileChange, file_changes
from multiarch_oci.contents.listing import Listing
from multiarch_oci.report.record import FAILED, INTERRUPTED, NOT_REACHED, Node, Run

NEW, GONE, CHANGED = "new", "gone", "changed"
_UNFINISHED = (FAILED, INTERRUPTED, NOT_REACHED)
MOST_FILES = 100
"""Files of one image that are listed as changed; the rest is counted."""


class Change(msgspec.Struct, frozen=True):
    """One target that is not as the last run left it: before is None where it is new, after where it is gone.

    `files` are those of an image that differ, `more` how many are not listed.
    """

    what: str
    before: Node | None
    after: Node | None
    files: tuple[FileChange, ...] = ()
    more: int = 0

    @property
    def node(self) -> Node:
        """The target as it is now, or as it was last."""
        node = self.after or self.before
        if node is None:
            raise ValueError("a change of nothing")
        return node


class Comparison(msgspec.Struct, frozen=True):
    """Two runs beside each other: `before` is the earlier one.

    `same` targets have the digest that they had, though `again` of them were made again.
    """

    before: Run
    after: Run
    changes: tuple[Change, ...]
    same: int
    again: int = 0

    def slower(self, node: Node) -> float | None:
        """How many seconds longer the step of a target took than in the earlier run, when it ran in both."""
        earlier = next((other for other in self.before.nodes if other.key == node.key), None)
        if earlier is None or earlier.seconds is None or node.seconds is None:
            return None
        return node.seconds - earlier.seconds


def compare(before: Run, after: Run, listing_of: Callable[[str], Listing | None]) -> Comparison:
    """Two runs of one tree; `listing_of` gives what is in a layer, by digest, where that is still known.

    A target that the later run was not asked for is not gone.
    """
    earlier = {node.key: node for node in before.nodes}
    later = {node.key: node for node in after.nodes}
    changes = []
    same = again = 0
    for key, node in later.items():
        old = earlier.get(key)
        if old is None or (node.digest and not old.digest and old.outcome in _UNFINISHED):
            changes.append(Change(NEW, None, node))
        elif node.digest and old.digest and node.digest != old.digest:
            files = _files(old, node, listing_of) if node.kind == "image" else ()
            changes.append(Change(CHANGED, old, node, files[:MOST_FILES], max(0, len(files) - MOST_FILES)))
        else:
            same += 1
            again += node.ran and bool(node.digest)
    if before.words == after.words:
        changes += [Change(GONE, node, None) for key, node in earlier.items() if key not in later]
    return Comparison(before, after, tuple(changes), same, again)


def _files(old: Node, new: Node, listing_of: Callable[[str], Listing | None]) -> tuple[FileChange, ...]:
    """The files that differ between two images; layers of a base that both have, and nobody read, count for nothing."""
    known = {digest: listing_of(digest) for digest in dict.fromkeys((*old.layers, *new.layers))}
    common = {digest for digest in old.layers if digest in new.layers}
    if any(listing is None and digest not in common for digest, listing in known.items()):
        return ()
    listings = {digest: listing for digest, listing in known.items() if listing is not None}
    stacks = ([listings[digest] for digest in dict.fromkeys(node.layers) if digest in listings] for node in (old, new))
    return file_changes(*stacks)
