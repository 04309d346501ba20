"""What other engines than the embedded one are handed: a pinned Dockerfile, the context it needs, a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiarch.rooms import opener

if TYPE_CHECKING:
    from multiarch.engine.handing.calling import EngineFailed, Programs
    from multiarch.engine.handing.pinning import pinned
    from multiarch.engine.handing.staging import Staged, staged, write_context
    from multiarch.engine.handing.surroundings import Surroundings

__all__ = ["EngineFailed", "Programs", "Staged", "Surroundings", "pinned", "staged", "write_context"]

__getattr__ = opener(
    __name__,
    {
        "calling": ("EngineFailed", "Programs"),
        "pinning": ("pinned",),
        "staging": ("Staged", "staged", "write_context"),
        "surroundings": ("Surroundings",),
    },
)
