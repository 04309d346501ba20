"""The command `update-bases`: every base that a Dockerfile names as it is now, written to images.lock."""

from __future__ import annotations

from functools import partial
from typing import Any

from scons_multiarch.images import declared_bases
from scons_multiarch.sboms import published_sbom


def run(env: Any, _targets: list[Any]) -> int:
    """Ask for every base again and write images.lock; a line each."""
    run = env["MULTIARCH_RUN"]
    lines = run.build.bases().update(declared_bases(env), partial(published_sbom, run))
    for line in lines or ["no Dockerfile names a base"]:
        print(line)  # noqa: T201  # the answer
    return 0
