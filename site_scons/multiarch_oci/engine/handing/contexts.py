"""Named contexts for a command line: the user's folders, and images that no text of ours can name by digest."""

from __future__ import annotations

from multiarch_oci.engine.frontend.planned import SCRATCH
from multiarch_oci.engine.frontend.reader import Settled
from multiarch_oci.engine.handing.pinning import reference_of
from multiarch_oci.engine.handing.staging import Staged


def given(settled: Settled, there: Staged) -> list[str]:
    """The flags for all of them, folders as they are staged."""
    found = locked(settled)
    for name, folder in there.named.items():
        found += ["--build-context", f"{name}={folder}"]
    return found


def locked(settled: Settled) -> list[str]:
    """The flags with which `ONBUILD COPY --from=image` of a base takes the digest of `images.lock`, not the tag."""
    recipe = settled.recipe
    names = {
        name: origin
        for number in recipe.needed
        for command in recipe.triggers.get(number, ())
        for name, origin in recipe.origins(command)
        if isinstance(origin, str) and origin != SCRATCH
    }
    found = []
    for name, origin in names.items():
        found += ["--build-context", f"{name}=docker-image://{reference_of(origin, settled)}"]
    return found
