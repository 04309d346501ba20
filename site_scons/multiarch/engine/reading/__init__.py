"""What a Dockerfile asks of its context and of its bases, read the same way for every engine.

Room by room: `recipe` (stages, what the target needs, variables; over `origins`), `context` (the folder as the
Dockerfile sees it, over `tree`, `sources`, `gitindex`), `named` (other folders and images, by name), `inputs` (what a
build system asks before), `bases` (what a FROM takes over), `reader` (all of it for one plan).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiarch.rooms import opener

if TYPE_CHECKING:
    from multiarch.engine.reading.bases import BaseImage, OpenSource
    from multiarch.engine.reading.inputs import ContextFile, ContextInputs, Taking
    from multiarch.engine.reading.reader import Reader, Settled
    from multiarch.engine.reading.recipe import BaseWanted

__all__ = ["BaseImage", "BaseWanted", "ContextFile", "ContextInputs", "OpenSource", "Reader", "Settled", "Taking"]

__getattr__ = opener(
    __name__,
    {
        "bases": ("BaseImage", "OpenSource"),
        "inputs": ("ContextFile", "ContextInputs", "Taking"),
        "reader": ("Reader", "Settled"),
        "recipe": ("BaseWanted",),
    },
)
