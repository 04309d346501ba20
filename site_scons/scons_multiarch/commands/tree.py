"""The command `tree`: the layers of images, their files and sizes, and which instruction put them there."""

from __future__ import annotations

from typing import Any

from multiarch_oci.contents.lines import tree_lines
from multiarch_oci.errors import MultiarchError
from scons_multiarch.inspected import open_all


class NothingNamed(MultiarchError):
    """A question about nothing."""


def run(env: Any, targets: list[Any]) -> int:
    """`tree what …`: print outputs, folders and references as trees; of several platforms PLATFORM chooses one."""
    if not targets:
        hint = "name an output (_output/images/….tar, manifest), a folder or a reference (localhost:5000/demo:v1.0)"
        raise NothingNamed("there is nothing to be shown", where="tree", hint=hint)
    for opened in open_all(env, targets):
        for line in tree_lines(opened):
            print(line)  # noqa: T201  # the answer
    return 0
