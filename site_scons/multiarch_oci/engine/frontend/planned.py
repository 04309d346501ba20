"""A FROM of a Dockerfile with its arguments expanded."""

from __future__ import annotations

import msgspec

from multiarch_oci.dockerfile.instructions import Stage
from multiarch_oci.engine import NamedContext
from multiarch_oci.platform import Platform

SCRATCH = "scratch"


class PlannedStage(msgspec.Struct, frozen=True):
    """One FROM with its arguments expanded. `below` is the stage that it stands on, None over anything else.

    `context` is the named context that it stands on, whose image is then the base. One of the stage's own name has
    `replaced` it: the stage has no instructions any more, and is what the context is.
    """

    stage: Stage
    base: str
    platform: Platform
    below: int | None
    context: NamedContext | None = None
    replaced: bool = False

    @property
    def folder(self) -> NamedContext | None:
        """The named context that it stands on, where that is a folder."""
        return self.context if self.context is not None and self.context.folder else None

    @property
    def on_image(self) -> bool:
        """Whether it stands on an image of a registry."""
        return self.below is None and self.base != SCRATCH and self.folder is None
