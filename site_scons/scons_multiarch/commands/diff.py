"""The command `diff`: platforms, configs and files that differ in two outputs, folders or references."""

from __future__ import annotations

from typing import Any

from multiarch_oci.contents.lines import difference_lines
from multiarch_oci.errors import MultiarchError
from scons_multiarch.inspected import open_all

_TWO = 2


class NotTwo(MultiarchError):
    """A comparison of other than two."""


def run(env: Any, targets: list[Any]) -> int:
    """`diff one other`: print how they differ; that they do is no error, and the status is 0."""
    named = open_all(env, targets) if len(targets) == _TWO else []
    if len(named) != _TWO:
        count = f"{len(targets)} were named" if len(targets) != _TWO else f"these stand for {len(named)}"
        hint = "name two outputs, folders or references, as in _output/images/….tar localhost:5000/demo:v1.0"
        raise NotTwo(f"two are compared, and {count}", where="diff", hint=hint)
    for line in difference_lines(*named):
        print(line)  # noqa: T201  # the answer
    return 0
