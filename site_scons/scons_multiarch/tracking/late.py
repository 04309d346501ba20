"""A target that finds out last what else it depends on: when all else was decided, and only where that does not do.

What is never declared costs a run with nothing to do nothing. This leans on `SCons.Taskmaster._find_next_ready_node`,
which asks a node for its children again when those that it had are done, as for sources that scanners find in files
that were just made.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import SCons.Node

from scons_multiarch.tracking.folders import SAME_LAYOUT
from scons_multiarch.tracking.nodes import Tracked
from scons_multiarch.tracking.state import Nodes


class Late(Tracked):
    """A target of ours whose attribute `late` says what more it may depend on; a Tracked changes to this class.

    That is a function that answers the nodes, and one that says whether they are needed; None once that is settled.
    """

    __slots__ = SAME_LAYOUT

    def scan(self) -> None:
        """As any target of ours; ask for more where all that is known was decided, once."""
        super().scan()
        late = self.attributes.late
        if late is None:
            return
        known = chain(self.prerequisites or (), self._children_get())
        if all(node.get_state() >= SCons.Node.up_to_date for node in known):
            self.attributes.late = None
            nodes, are_needed = late
            if are_needed():
                self.add_dependency(nodes())


def depend_late(node: Late | Tracked, nodes: Callable[[], Nodes], are_needed: Callable[[], bool]) -> None:
    """Have a target depend on nodes that a function declares, where in this run they turn out to be needed."""
    node.__class__ = Late
    node.attributes.late = nodes, are_needed


def depend_now(node: Tracked) -> None:
    """Have a target depend on all that it might need late, before SCons looks at it; harmless for others.

    Nothing is decided by this: what it is made from may not be there yet.
    """
    late = node.attributes.__dict__.get("late")
    if late is not None:
        node.attributes.late = None
        node.add_dependency(late[0]())


def holds_without(node: Tracked) -> bool:
    """Whether a target is up to date by what it depends on by now. It stays decided then, and as undecided if not.

    What its record names beyond that is the caller's to have looked at.
    """
    state = node.attributes.state
    state.spares = True
    if not node.changed():
        return True
    state.spares = state.repairs = False
    state.reasons.clear()
    node._memo.pop("changed", None)  # noqa: SLF001  # as `held.undecided`
    return False
