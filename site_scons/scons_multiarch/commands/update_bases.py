"""The command `update-bases`: every base that a Dockerfile names as it is now, written to images.lock."""

from __future__ import annotations

from typing import Any

from scons_multiarch.images import declared_bases


def run(env: Any, _targets: list[Any]) -> int:
    """Ask for every base again and write images.lock; a line each."""
    for line in env["MULTIARCH_RUN"].build.bases().update(declared_bases(env)) or ["no Dockerfile names a base"]:
        print(line)  # noqa: T201  # the answer
    return 0
