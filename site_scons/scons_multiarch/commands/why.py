"""The command `why`: for each step that targets lead to, whether it would run and why, or why it ran last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from multiarch_oci.errors import one_line
from scons_multiarch.graph import is_made, ordered
from scons_multiarch.images import prospect
from scons_multiarch.step import why
from scons_multiarch.targets import is_image
from scons_multiarch.tracking.held import held_file
from scons_multiarch.tracking.state import is_ours

if TYPE_CHECKING:
    from scons_multiarch.session import Run


class StepState(NamedTuple):
    """Whether the step that makes `node` would run.

    `reason` says why it would; None: it is up to date, unless one of the steps of `waits_for` changes what it makes.
    `hit`: a shared cache has what it would make; None where none is asked.
    """

    node: Any
    reason: str | None
    waits_for: list[Any]
    hit: bool | None = None


def run(env: Any, targets: list[Any]) -> int:
    """`why T`: for each target that would be made again its reason; for the others, why they were made last."""
    run: Run = env["MULTIARCH_RUN"]
    records, roots = run.tree.records, targets or [env.Alias("manifest")[0]]
    if run.settings.shard is not None:
        from scons_multiarch.shared.sharding import foreseen

        roots, part = foreseen(run, roots)
        print(part.words())  # noqa: T201  # the answer
    for node, reason, waits_for, hit in step_states(roots):
        verb = node.get_executor().get_action_list()[0].execfunction.verb
        line = f"{verb} {node.attributes.state.subject}: "
        if reason is not None:
            line += reason + ("; in the cache" if hit else "")
        elif waits_for:
            line += f"if {', '.join(map(str, waits_for))} changes"
        else:
            last = records.last_reason(str(node))
            line += "up to date" + (f"; made last because: {last}" if last else "")
        print(line)  # noqa: T201  # the answer
    return 0


def step_states(targets: Iterable[Any]) -> Iterator[StepState]:
    """Every step that the targets lead to, sources before what is made of them."""
    stale: set[Any] = set()
    seen: set[Any] = set()  # the steps, by their first targets
    for node in ordered(targets):
        if not is_made(node):
            continue
        first = node.get_executor().get_all_targets()[0]
        if first in seen:  # another file that the same step makes
            stale |= {node} if first in stale else set()
            continue
        seen.add(first)
        _forget_scan(node)
        waits_for = list(dict.fromkeys(child for child in node.children() if child in stale))
        # All are asked, as the reasons of each count.
        decisions = [target.is_up_to_date() for target in node.get_executor().get_all_targets()]
        reason = None if all(decisions) or not is_ours(node) else _reason(node, waits_for)
        hit = None if reason is None or waits_for else _in_cache(node)
        if (waits_for or not all(decisions)) and not (hit and held_file(node) is not None):
            stale |= {node, first}
        if is_ours(node):  # else another's, as of Program or Command
            yield StepState(node, reason, waits_for, hit)


def _forget_scan(node: Any) -> None:
    """Let what an image takes be found anew: a program before it may be known to be in the cache by now."""
    if is_ours(node) and node.attributes.run.settings.cache is not None:
        node.attributes.state.seen = None


def _in_cache(node: Any) -> bool | None:
    """Whether a shared cache has what a step would make; a program is known by its digest from then on, in this run."""
    if node.attributes.run.settings.cache is None or not node.attributes.state.kind:
        return None
    from scons_multiarch.shared.taking import foresee

    return foresee(node)


def _reason(node: Any, waits_for: list[Any]) -> str:
    failure = node.attributes.state.failure
    if failure is not None and not waits_for:  # what is made before it may be what it lacks
        return f"it would fail: {one_line(failure)}"
    # What is about an image is known to be another where that is: by a digest, which names nothing.
    of_others = f"{', '.join(map(str, waits_for))} would be made again" if waits_for and node.exists() else ""
    return (why(node) or of_others or "not built before") + (prospect(node) if is_image(node) and not waits_for else "")
