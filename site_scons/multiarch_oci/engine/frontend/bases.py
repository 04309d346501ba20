"""Base images: what a FROM takes over from a registry, and what it must not contradict."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine import Base, BuildPlan
from multiarch_oci.engine.frontend import BaseWanted
from multiarch_oci.engine.frontend.recipe import Recipe
from multiarch_oci.executable import WrongMachine
from multiarch_oci.image import check_layers
from multiarch_oci.index import Index, serves
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import is_index, to_oci
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference
from multiarch_oci.store import BlobMissing, Source, read
from multiarch_oci.store.selecting import select
from multiarch_oci.store.sources import Attributed, Subject, attempt


class BaseImage(msgspec.Struct, frozen=True):
    """A base as it was read: its config, and its layers as OCI descriptors (their bytes stay where they are)."""

    reference: Reference
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    source: Source
    where: str = ""
    """File and line of the FROM that names it, for messages."""

    def layer_name(self, index: int) -> str:
        """What a layer is called in messages."""
        where = f"{self.where}: " if self.where else ""
        return f"{where}base {replace(self.reference, digest=None)}: layer {self.layers[index].digest}"

    def diff_id(self, index: int) -> Digest:
        """The digest of a layer's archive, as the config says it; `load` found one for each layer."""
        return self.config.diff_ids[index]


OpenSource = Callable[[Reference], Source]


def load(base: Base, open_source: OpenSource, *, where: str) -> BaseImage:
    """Read manifest and config of a resolved base, which have to fit each other.

    Every error names the base and `where`; those of its layers, when they are read, as well. Raises BlobMissing when
    it is gone, InvalidDocument for a config that does not name one diff_id for each layer, else what the source raises.
    """
    subject = Subject.base(base.name, where)
    return attempt(subject, lambda: _load(base, open_source, subject, where=where))


def _load(base: Base, open_source: OpenSource, subject: Subject, *, where: str) -> BaseImage:
    reference = Reference.parse(base.name).with_digest(base.digest)
    source = Attributed(open_source(reference), subject)
    descriptor = source.resolve(str(base.digest))
    if descriptor is None:
        raise BlobMissing(
            f"base {base.name} is gone: {reference.registry} has no {base.digest}",
            where=where,
            hint="update-bases resolves it again",
        )
    name = str(reference)
    if is_index(descriptor.media_type):
        index = Index.from_json(read(source, descriptor), where=name, media_type=descriptor.media_type)
        entry = select(source, index, base.platform, serves=serves, where=name)
        if entry is None:
            raise WrongMachine(f"base {base.name} has no image for {base.platform}", where=where)
        descriptor = entry.descriptor
    manifest = Manifest.from_json(read(source, descriptor), where=name, media_type=descriptor.media_type)
    config = ImageConfig.from_json(read(source, manifest.config), where=f"{name}: config")
    check_layers(manifest, config, where=name)
    layers = tuple(replace(layer.bare(), media_type=to_oci(layer.media_type)) for layer in manifest.layers)
    return BaseImage(reference.with_digest(descriptor.digest), config, layers, source, where)


def resolved(needed: BaseWanted, plan: BuildPlan, recipe: Recipe) -> Base:
    """The plan's entry for a base; raises InvalidDockerfile when there is none."""
    for base in plan.bases:
        if base.name == needed.name and base.platform == needed.platform:
            return base
    raise InvalidDockerfile(
        f"base {needed.name} for {needed.platform} is not resolved to a digest",
        where=recipe.where(needed.line),
        hint="is it the name of a stage, misspelt? else pass it in BuildPlan.bases",
    )


def check_platform(name: str, actual: Platform, target: Platform, *, where: str) -> None:
    """Raise WrongMachine when a base's config says another platform than the one that is built for."""
    if serves(actual, target):
        return
    if actual.os == target.os == "windows" and actual.architecture == target.architecture:
        what = f"base {name} is Windows {actual.os_version}, but the image is for {target.os_version}"
        raise WrongMachine(what, where=where, hint="name the base of that version, or drop the version from PLATFORMS")
    raise WrongMachine(
        f"base {name} is {actual}, but the image is {target}",
        where=where,
        hint="use a base that has this platform; its tag may name a single-platform image",
    )
