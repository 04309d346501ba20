"""The command `check-bases`: which bases are not as images.lock has them any more."""

from __future__ import annotations

from typing import Any

from multiarch_oci.attest.trust import Untrusted
from scons_multiarch.images import declared_bases, declared_plans
from scons_multiarch.trusted import check_frontend


def run(env: Any, _targets: list[Any]) -> int:
    """Name the bases that have moved, and those that the trust file does not allow; status 1 when there are any."""
    state, untrusted, stale = env["MULTIARCH_RUN"], [], []
    for plan in declared_plans(env):
        try:
            check_frontend(state, plan, fresh=True)
        except Untrusted as error:  # noqa: PERF203  # all are named
            untrusted.append(str(error))
    for base in state.build.bases().current(declared_bases(env)):
        if base.untrusted is not None:
            untrusted.append(str(base.untrusted))
        if base.is_stale():
            stale.append(f"{base.name} for {base.platform} is stale: {base}")
    for line in dict.fromkeys(untrusted + stale) or ["all bases are as images.lock has them"]:
        print(line)  # noqa: T201  # the answer
    return 1 if stale or untrusted else 0
