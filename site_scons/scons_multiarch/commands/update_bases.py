"""The command `update-bases`: every base that a Dockerfile names as it is now, written to images.lock."""

from __future__ import annotations

from functools import partial
from typing import Any

from scons_multiarch.images import declared_bases, declared_plans
from scons_multiarch.sboms import published_sbom
from scons_multiarch.trusted import check_frontend


def run(env: Any, _targets: list[Any]) -> int:
    """Ask for every base again and write images.lock; a line each. With an untrusted one nothing is written."""
    run = env["MULTIARCH_RUN"]
    for plan in declared_plans(env):
        check_frontend(run, plan, fresh=True)
    lines = run.build.bases().update(declared_bases(env), partial(published_sbom, run))
    for line in lines or ["no Dockerfile names a base"]:
        print(line)  # noqa: T201  # the answer
    return 0
