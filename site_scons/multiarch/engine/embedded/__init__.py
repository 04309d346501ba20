"""The embedded engine: Dockerfiles without RUN, executed in this process, with no daemon and no root.

Room by room: `building` (instructions in order, over `configuring` and `copying`), `layertree` (the files of a base),
`assembling` (the tarball).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiarch.rooms import opener

if TYPE_CHECKING:
    from multiarch.engine.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]

__getattr__ = opener(
    __name__,
    {
        "engine": ("EmbeddedEngine",),
    },
)
