"""From instructions as written to stages of typed instructions, as BuildKit's `instructions.Parse` does it."""

from __future__ import annotations

from multiarch.dockerfile.instructions import Arg, Stage
from multiarch.dockerfile.parser import Dockerfile


def stages(dockerfile: Dockerfile) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
    """Give the ARGs before the first FROM, and the stages (at least one).

    Raises InvalidDockerfile: unknown instruction or flag, wrong arguments, an instruction before FROM, no FROM.
    """
    raise NotImplementedError
