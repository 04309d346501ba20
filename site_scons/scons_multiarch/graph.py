"""Walks over the graph of nodes. Not a Tool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import SCons.Node
import SCons.Node.Alias
import SCons.Node.FS
import SCons.Script

from scons_multiarch.targets import is_remote


def ordered(targets: Iterable[Any]) -> list[Any]:
    """All nodes that the targets lead to, sources before what is made of them."""
    done: dict[Any, None] = {}

    def visit(node: Any) -> None:
        if is_made(node):
            node.scan()  # what only a scanner finds is no child before
        for child in node.children():
            if child not in done:
                visit(child)
        done.setdefault(node)

    for target in targets:
        visit(target)
    return list(done)


def is_made(node: Any) -> bool:
    """Whether something in this build makes this file, one of our builders or another."""
    return isinstance(node, SCons.Node.FS.File) and bool(node.has_builder())


def is_done(node: Any) -> bool:
    """Whether a node is what this run leaves: it was made, found up to date, or is made by nothing."""
    return not is_made(node) or node.get_state() in (SCons.Node.up_to_date, SCons.Node.executed)


def declared_children(node: Any) -> list[Any]:
    """What a node is made of, or comes after, by what is declared, not by what only a scanner finds."""
    return [*node.sources, *(node.depends or ()), *(node.prerequisites or ())]


def children_of(node: Any) -> list[Any]:
    """What a node is made of, or comes after, as far as it is known by now; nothing is scanned, nothing decided."""
    return [*node.sources, *(node.implicit or ()), *(node.depends or ()), *(node.prerequisites or ())]


def first_of_step(node: Any) -> Any:
    """The target that stands for the step which makes this one: the first of those of a step of ours."""
    state = node.attributes.__dict__.get("state")
    return state.targets[0] if state is not None and state.targets else node


def steps_before(node: Any) -> list[Any]:
    """What a target is made of, or comes after, each once; of a step that makes several the first target."""
    return list(dict.fromkeys(first_of_step(child) for child in children_of(node)))


def nodes_below(roots: Iterable[Any], before: Callable[[Any], list[Any]] = children_of) -> Iterator[Any]:
    """All nodes that lead to these, and themselves, each once; `before` says which lead to a node."""
    pending = list(roots)
    seen: set[Any] = set()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        pending += before(node)
        yield node


def made_below(roots: Iterable[Any]) -> list[Any]:
    """Every file that something makes and that the roots lead to, sources first; of a step of ours the first target."""
    from multiarch_oci.diagram.layout import sources_first  # start-up

    return list(dict.fromkeys(first_of_step(node) for node in sources_first(roots, children_of) if is_made(node)))


def reachable() -> list[Any]:
    """Every node with a remote tag that the targets of this run lead to."""
    return [node for node in reachable_nodes() if is_remote(node)]


def reachable_nodes() -> Iterator[Any]:
    """Every node that the targets of this run lead to by what is declared, not by what only a scanner finds."""
    return nodes_below(requested(), declared_children)


def requested() -> list[Any]:
    """The nodes of the targets that this run was asked for."""
    fs = SCons.Node.FS.get_default_fs()
    targets = SCons.Script.BUILD_TARGETS
    lookup = SCons.Node.Alias.default_ans.lookup
    return [t if isinstance(t, SCons.Node.Node) else lookup(t) or fs.Entry(t) for t in targets]
