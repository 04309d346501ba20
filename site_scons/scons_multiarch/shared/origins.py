"""Where a shared cache is: a repository, an OCI layout in a folder, or the image's own; and what it lends of images."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from multiarch_oci.errors import quoted
from multiarch_oci.reference import Destination, InvalidReference, Reference
from scons_multiarch.registries import location
from scons_multiarch.session import CacheSettings
from scons_multiarch.targets import ProgramTarget, target_of
from scons_multiarch.tracking.state import state_of
from scons_multiarch.variables import UnknownWord, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multiarch_oci.actioncache.cache import EntryStore
    from multiarch_oci.digest import Digest
    from multiarch_oci.image import Image
    from multiarch_oci.store import Source
    from scons_multiarch.session import Run

OWN = "REGISTRY"
"""What CACHE says for the repository of each image."""
MODES = ("read", "readwrite", "write")
_SCOPE = re.compile(r"[A-Za-z0-9._/@:-]{0,128}")
_FOLDER = re.compile(r"\.{0,2}[/\\]|[A-Za-z]:[/\\]")


def read_settings(run: Run, given: Mapping[str, str]) -> CacheSettings | None:
    """What CACHE, CACHE_MODE, CACHE_SCOPE and CACHE_KEY say; None without a cache. Raises MultiarchError."""
    mode, scope = one_of("CACHE_MODE", given["CACHE_MODE"], MODES), given["CACHE_SCOPE"]
    if not _SCOPE.fullmatch(scope):
        raise UnknownWord(
            f"{quoted(scope)} is no scope", where="CACHE_SCOPE", hint="letters, digits and ._/@:- , 128 at most"
        )
    text = given["CACHE"].strip()
    if not text:
        return None
    origin = "" if text == OWN else _origin(run, text)
    settings = CacheSettings(origin, mode != "write", mode != "read", scope, given["CACHE_KEY"])
    if settings.key:
        from scons_multiarch.shared.sealing import check_key

        return replace(settings, key_name=check_key(run, settings))
    return settings


def _origin(run: Run, text: str) -> str:
    environment = run.settings.environment
    home = environment.get("HOME") or environment.get("USERPROFILE")
    try:
        destination = Destination.chosen(text, home=home, is_layout=lambda folder: _is_layout(run.tree.root / folder))
    except InvalidReference as error:
        raise InvalidReference(error.what, where="CACHE", hint=error.hint) from None
    if destination.registry is None:
        folder = Path(os.path.abspath(run.tree.root / destination.path))  # noqa: PTH100  # links are no matter here
        if not folder.is_relative_to(run.tree.root):
            return str(folder)
        below = folder.relative_to(run.tree.root).as_posix()
        if below == ".":
            raise UnknownWord("is the folder of this build", where="CACHE", hint="name another: ../cache")
        run.declarations.hide(below)
        return f"./{below}"
    repository, colon, _ = destination.path.partition(":")
    if not repository or colon:
        hint = f"name it: {destination.registry}/team/cache"
        raise UnknownWord(f"{quoted(text)} names no repository", where="CACHE", hint=hint)
    return Reference(destination.registry, repository).name


def _is_layout(folder: Path) -> bool:
    return (folder / "oci-layout").is_file()


def origin_of(run: Run, node: Any) -> str:
    """The place for what a node is: that of the settings, or the repository of its image."""
    settings = run.settings.cache
    assert settings is not None  # noqa: S101  # nobody asks without one
    return settings.origin or place_named(str(node.get_build_env().subst("$REPOSITORY")))


def common_origin(run: Run) -> str | None:
    """The place for what the programs of a build have in common: that of the first; None where none is declared."""
    programs = (node for node in run.declarations.targets if isinstance(target_of(node), ProgramTarget))
    node = next(programs, None)
    return None if node is None else origin_of(run, node)


def place_named(repository: str) -> str:
    """The place that a repository of this build is, as `CacheSettings.origin` spells it."""
    reference, folder = location(repository)
    if folder is None:
        return reference.name
    path = Path(folder)
    return folder if path.is_absolute() else f"./{path.as_posix()}"


def repository_of(origin: str) -> Reference | None:
    """The repository that a place is, to mount blobs from; None for a folder."""
    return None if _FOLDER.match(origin) else Reference.parse(origin)


def open_origin(run: Run, origin: str, *, action: str = "pull", patient: bool = False) -> EntryStore:
    """The place itself, for `pull` or `push`; requests are those of the step that this thread performs.

    Where it is a registry that does not answer, or fails, it is soon given up, unless one is `patient`: who asks for
    nothing but what lies there.
    """
    reference = repository_of(origin)
    if reference is None:
        from multiarch_oci.store.layout import Layout

        return Layout(run.tree.root / origin)
    store: Any = run.build.registries.registry(reference, action=action, impatient=not patient)
    return store  # type: ignore[no-any-return]  # a registry's, which has them all


def lent(run: Run, node: Any, image: Image, sources: list[Source]) -> dict[Digest, Reference]:
    """From where blobs of an image can be mounted: those that its tarball lacks, and those that this run kept.

    The place of what lacks joins the `sources`: whatever it cannot give is BlobMissing, as it is to be made again.
    """
    from multiarch_oci.store.sources import Attributed, Lender

    state = state_of(node)
    origin = image.shared_at or ("" if state is None else state.kept_at)
    if image.shared:
        sources.append(Attributed(open_origin(run, origin), Lender(f"cache {origin}", None, "")))
    repository = repository_of(origin)
    if repository is None:
        return {}
    own = {layer.digest for layer in image.layers if layer.digest in image.own} | {image.manifest.config.digest}
    return dict.fromkeys(image.shared | own, repository)
