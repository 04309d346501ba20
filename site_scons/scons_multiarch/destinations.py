"""Several registries in one build (`REGISTRY=ghcr.io/team,docker.io/team`): what is pushed to each, and how each ended.

The first is the registry: `$REPOSITORY`, what is loaded and released, and bare tags of EXTERNAL are of it. To each of
the others goes what the first is sent, under the same tags. What fails at one of them does not keep the others from
being finished; the run ends with exit status 2 and one line a registry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SCons.Node import executed, up_to_date

from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Destination
from scons_multiarch.graph import reachable
from scons_multiarch.paths import items_of
from scons_multiarch.tracking.phases import go_on_after

if TYPE_CHECKING:
    from scons_multiarch.session import Run


class NamedTwice(MultiarchError, ValueError):
    """A registry or folder that REGISTRY names more than once."""


def destinations_of(run: Run, text: str, image: str) -> tuple[Destination, ...]:
    """Where REGISTRY says that tags go, the first for all that means one; a folder in the tree is kept out of images.

    Raises MultiarchError for what is neither a registry nor a folder, and for one that is named twice.
    """
    chosen = tuple(_destination(run, part, image) for part in items_of(text) or [text])
    names = [_identity(run, destination) for destination in chosen]
    for number, destination in enumerate(chosen):
        if names[number] in names[:number]:
            raise NamedTwice(f"{destination} is named twice", where="REGISTRY", hint="name each once")
    if len(chosen) > 1:
        go_on_after(is_one_of_several)
    return chosen


def _identity(run: Run, destination: Destination) -> str:
    if destination.registry is not None:
        return str(destination).lower()
    return str((run.tree.root / destination.path).resolve())


def _destination(run: Run, text: str, image: str) -> Destination:
    environment = run.settings.environment

    def is_layout(folder: str) -> bool:
        """Whether an OCI layout lies in a folder of the tree, as those before pushed to by a word alone."""
        layout = run.tree.root / folder
        return layout.is_dir() and ((layout / image / "oci-layout").is_file() or any(layout.glob("*/oci-layout")))

    home = environment.get("HOME") or environment.get("USERPROFILE")
    destination = Destination.chosen(text, home=home, is_layout=is_layout)
    if destination.registry is None:  # an image that copied it would be new with each run
        path = Path(os.path.abspath(run.tree.root / destination.path))  # noqa: PTH100  # links are no matter here
        if path.is_relative_to(run.tree.root):
            run.declarations.hide(path.relative_to(run.tree.root).as_posix())
    return destination


def spread(env: Any, reference: object) -> Iterator[Any]:
    """The environments that a reference is pushed from, one a registry, the first first.

    Only a reference that is written with `$REPOSITORY` goes to all of them; any other says itself where it goes.
    """
    yield env
    if is_spread(reference):
        for repository in env.get("REPOSITORIES", ())[1:]:
            yield env.Override({"REPOSITORY": repository})


def is_spread(reference: object) -> bool:
    """Whether a reference means each of several registries."""
    return isinstance(reference, str) and ("$REPOSITORY" in reference or "${REPOSITORY}" in reference)


def mark(env: Any, node: Any) -> None:
    """Note which of several registries a target writes to, of a reference that is written with `$REPOSITORY`."""
    node.attributes.registry = _registry(env)


def _registry(env: Any) -> str | None:
    """The registry of an environment, as REGISTRY names it; None where there are not several, or it is none of them."""
    repositories = env.get("REPOSITORIES", ())
    if len(repositories) < 2 or env["REPOSITORY"] not in repositories:  # noqa: PLR2004  # several
        return None
    return str(env.subst("$REPOSITORY")).removesuffix(f"/{env.subst('$IMAGE')}")


def is_of(env: Any, node: Any) -> bool:
    """Whether a target belongs to the registry of this environment: written there, or to none of several."""
    registry, own = node.check_attributes("registry"), _registry(env)
    return own is None or registry in (None, own)


def is_copy(node: Any) -> bool:
    """Whether a pin is the copy in one of several registries of what another pin has seen: no member of the index."""
    return node.check_attributes("seen_by") is not None


def is_one_of_several(node: Any) -> bool:
    """Whether a target writes to one of several registries: its failure leaves the others to be finished."""
    return node.check_attributes("registry") is not None


def failed(node: Any, words: str) -> None:
    """Note why a target could not be written to its registry; the first reason is kept."""
    if is_one_of_several(node):
        node.attributes.run.build.failures.setdefault(node.attributes.registry, words.partition("\n")[0])


def outcome(run: Run) -> list[str]:
    """One line a registry, when something failed at one of several; else none."""
    if not run.build.failures:
        return []
    names: dict[str, bool] = {}
    for node in filter(is_one_of_several, reversed(reachable())):
        name = node.attributes.registry
        names[name] = names.get(name, True) and node.get_state() in (executed, up_to_date)
    ended = {name: "complete" if done else "not finished" for name, done in names.items()} | run.build.failures
    return [f"{name}: {words}" for name, words in ended.items()]
