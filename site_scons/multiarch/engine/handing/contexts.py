"""Images that no text of ours can name by digest: those of the base's ONBUILD instructions, as named contexts."""

from __future__ import annotations

from multiarch.engine.handing.pinning import reference_of
from multiarch.engine.reading import Settled
from multiarch.engine.reading.recipe import SCRATCH


def locked(settled: Settled) -> list[str]:
    """The flags with which `ONBUILD COPY --from=image` of a base takes the digest of `images.lock`, not the tag."""
    recipe = settled.recipe
    names = {
        origin: None
        for number in recipe.needed
        for command in recipe.triggers.get(number, ())
        for origin in recipe.origins(command)
        if isinstance(origin, str) and origin != SCRATCH
    }
    found = []
    for name in names:
        found += ["--build-context", f"{name}=docker-image://{reference_of(name, settled)}"]
    return found
