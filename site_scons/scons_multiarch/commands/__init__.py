"""The verbs of the command line: the first word asks about the targets after it.

A verb returns the exit status, or None when the build goes on with the targets that it left in BUILD_TARGETS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scons_multiarch.bases import check, update
from scons_multiarch.commands.plan import foresee, plan
from scons_multiarch.commands.verify import verify
from scons_multiarch.graph import ordered
from scons_multiarch.session import Run
from scons_multiarch.targets import is_image


def explain(env: Any, targets: list[Any]) -> int:
    """`why T`: for each target that would be made again its reason; for the others, why they were made last."""
    run: Run = env["MULTIARCH_RUN"]
    for node, stale, before in foresee(targets or [env.Alias("manifest")[0]]):
        verb = node.get_executor().get_action_list()[0].execfunction.verb
        line = f"{verb} {node.attributes.state.subject}: "
        if stale is not None:
            line += stale
        elif before:
            line += f"if {', '.join(map(str, before))} changes"
        else:
            last = run.records.last_reason(str(node))
            line += "up to date" + (f"; made last because: {last}" if last else "")
        print(line)  # noqa: T201  # the answer
    return 0


def declared_plans(env: Any) -> Iterator[Any]:
    """The build plan of every image of this build."""
    for node in ordered([env.Alias("images")[0]]):
        if is_image(node):
            yield node.attributes.target.plan


def update_bases(env: Any, _targets: list[Any]) -> int:
    """`update-bases`: ask for every base again and write images.lock."""
    for line in update(env["MULTIARCH_RUN"], declared_plans(env)):
        print(line)  # noqa: T201  # the answer
    return 0


def check_bases(env: Any, _targets: list[Any]) -> int:
    """`check-bases`: name the bases that have moved; status 1 when there are any."""
    stale = list(check(env["MULTIARCH_RUN"], declared_plans(env)))
    for line in stale or ["all bases are as images.lock has them"]:
        print(line)  # noqa: T201  # the answer
    return 1 if stale else 0


VERBS = {"why": explain, "plan": plan, "verify": verify, "update-bases": update_bases, "check-bases": check_bases}
