"""The commands `check-bases` and `update-bases`: the bases of all Dockerfiles as they are now, beside images.lock."""

from __future__ import annotations

from functools import partial
from typing import Any

from multiarch_oci.attest.trust import Untrusted
from scons_multiarch.images import declared_bases, declared_plans
from scons_multiarch.trusted import check_frontend


def check(env: Any, _targets: list[Any]) -> int:
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


def update(env: Any, _targets: list[Any]) -> int:
    """Ask for every base again and write images.lock; a line each. With an untrusted one nothing is written."""
    from scons_multiarch.sboms import published_sbom

    run = env["MULTIARCH_RUN"]
    for plan in declared_plans(env):
        check_frontend(run, plan, fresh=True)
    lines = run.build.bases().update(declared_bases(env), partial(published_sbom, run))
    for line in lines or ["no Dockerfile names a base"]:
        print(line)  # noqa: T201  # the answer
    return 0
