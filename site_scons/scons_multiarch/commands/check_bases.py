"""The command `check-bases`: which bases are not as images.lock has them any more."""

from __future__ import annotations

from typing import Any

from scons_multiarch.images import declared_bases


def run(env: Any, _targets: list[Any]) -> int:
    """Name the bases that have moved; status 1 when there are any."""
    bases = env["MULTIARCH_RUN"].build.bases().current(declared_bases(env))
    stale = [f"{base.name} for {base.platform} is stale: {base}" for base in bases if base.is_stale()]
    for line in stale or ["all bases are as images.lock has them"]:
        print(line)  # noqa: T201  # the answer
    return 1 if stale else 0
