"""What a target of ours is: one frozen record a kind, under the attribute `target` of its node.

What a node is, is asked of the type of its record, never of the name of its file. Two declarations of one target are
the same when their records and their sources are equal. What one build finds out about a target is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from multiarch_oci.errors import MultiarchError
from scons_multiarch import paths
from scons_multiarch.tracking.folders import is_folder

if TYPE_CHECKING:
    from multiarch_oci.engine import BuildPlan
    from multiarch_oci.golang.recipe import GoBuild
    from multiarch_oci.platform import Platform
    from multiarch_oci.reference import Reference


class DeclaredTwice(MultiarchError, ValueError):
    """One file that two declarations of a build claim."""


class WrongSource(MultiarchError, ValueError):
    """A target that a builder of ours cannot take."""


class ProgramTarget(msgspec.Struct, frozen=True, eq=False):
    """A Go program. The same one may be declared for several versions of Windows; `platform` is the first of them."""

    build: GoBuild
    platform: Platform

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProgramTarget) and self.build == other.build

    def __hash__(self) -> int:
        return hash(self.build)


class ImageTarget(msgspec.Struct, frozen=True):
    """An image of one platform as a tarball.

    `endpoint` and `builder` are those of the engines `docker` and `buildx`; `rebase` says whether it may be moved to a
    new base without its engine. `sboms` are documents of others that describe something in it: its own SBOM takes them
    over, and its bytes do not depend on them.
    """

    plan: BuildPlan
    engine: str
    endpoint: str
    builder: str
    rebase: bool
    sboms: tuple[Any, ...] = ()

    @property
    def platform(self) -> Platform:
        """The platform that the image is built for."""
        return self.plan.platform


class ArchiveTarget(msgspec.Struct, frozen=True):
    """A self-contained archive of an image, to be loaded under `name`; `reference` is the text that was declared."""

    name: Reference
    reference: str


class LoadTarget(msgspec.Struct, frozen=True):
    """The receipt of an image in a local engine: its name there, the tag that the engine's own platform gets, too."""

    name: Reference
    main: Reference | None
    into: str


class PushTarget(msgspec.Struct, frozen=True):
    """The receipt of a tag in a registry, or in the OCI layout `folder`; `also` are further tags beside it."""

    reference: Reference
    folder: str | None
    also: tuple[str, ...]


class PinTarget(msgspec.Struct, frozen=True):
    """The receipt of a tag that somebody else pushes; `copy_to` is our own tag for it, None when it is in our place."""

    reference: Reference
    folder: str | None
    platform: Platform
    copy_to: Reference | None
    copy_folder: str | None


class IndexTarget(msgspec.Struct, frozen=True):
    """An index as a file; `digest_file` is the name of the file beside it that holds its digest."""

    platforms: tuple[Platform, ...]
    annotations: tuple[tuple[str, str], ...]
    digest_file: str


class ResolveTarget(msgspec.Struct, frozen=True):
    """A deployment file; `names` are those of images, each with the number of its receipt, `paths` lead to more."""

    names: tuple[tuple[str, int], ...]
    paths: tuple[str, ...]


class SbomTarget(msgspec.Struct, frozen=True):
    """The SBOM of an image or index: what the image is called, and the version of it and of its programs."""

    name: str
    version: str


class ProvenanceTarget(msgspec.Struct, frozen=True):
    """The provenance of an image or index as a file, a whole in-toto Statement; `name` is what it calls its subject."""

    name: str


def of_run(statement: str) -> str:
    """The path of the statement that says of which run it is (PROVENANCE=full), by that of the tracked one."""
    return f"{statement.removesuffix('.json')}.full.json"


_Declared: TypeAlias = Callable[[Any], tuple[Any, ...]]


def _nothing(_subject: Any) -> tuple[Any, ...]:
    return ()


class AttestTarget(msgspec.Struct, frozen=True):
    """The receipt of what is said of an image or index, before its tag `reference` is written, there or in `folder`."""

    reference: Reference
    folder: str | None


class Chain(msgspec.Struct, frozen=True):
    """All nodes of one image, what `env.MultiarchImage` and `env.GoImage` return.

    Of images, archives and loads there is one for each of `platforms`, in that order, of pushes and `published` one
    for each registry. `programs` are what the build makes of the contents of the images; `started` is the first of each
    platform. `repositories` are where the tags go, as in `ghcr.io/team/api`. `sbom_of` and `provenance_of` declare what
    is said of an image or of the index, once. `attests` are the receipts of what is attached before those are written.
    """

    name: str
    repositories: tuple[str, ...]
    platforms: tuple[Platform, ...]
    programs: tuple[Any, ...]
    images: tuple[Any, ...]
    archives: tuple[Any, ...]
    loads: tuple[Any, ...]
    pushes: tuple[Any, ...]
    pins: tuple[Any, ...]
    index: tuple[Any, ...]
    published: tuple[Any, ...]
    started: tuple[tuple[Platform, Any], ...]
    sbom_of: _Declared = _nothing
    provenance_of: _Declared = _nothing
    attests: tuple[Any, ...] = ()

    @property
    def sboms(self) -> tuple[tuple[Any, ...], ...]:
        """The SBOMs of the images, each in two formats. They are declared when they are asked for."""
        return tuple(map(self.sbom_of, self.images))

    @property
    def index_sbom(self) -> tuple[Any, ...]:
        """The SBOM of the index, in two formats."""
        return self.sbom_of(self.index[0])

    @property
    def provenances(self) -> tuple[Any, ...]:
        """The provenances of the images. They are declared when they are asked for, too."""
        return tuple(node for image in self.images for node in self.provenance_of(image))

    @property
    def index_provenance(self) -> tuple[Any, ...]:
        """The provenance of the index."""
        return self.provenance_of(self.index[0])

    def by_target(self) -> dict[str, tuple[Any, ...]]:
        """The nodes by the target of the command line that they belong to; no programs, no target for them."""
        nodes = {
            "images": self.images,
            "release": self.archives,
            "load": self.loads,
            "push": self.pushes,
            "manifest": self.index,
            "push-manifest": self.published,
        }
        return {"bin": self.programs, **nodes} if self.programs else nodes


NAMES: dict[type, str] = {
    ProgramTarget: "program",
    ImageTarget: "image",
    ArchiveTarget: "archive",
    LoadTarget: "load",
    PushTarget: "push",
    PinTarget: "pin",
    IndexTarget: "index",
    SbomTarget: "SBOM",
    ProvenanceTarget: "provenance",
    ResolveTarget: "deployment file",
    AttestTarget: "attestation",
}


def target_of(node: Any) -> Any:
    """The record of a target of ours; None for every other node."""
    return node.attributes.__dict__.get("target")


def is_image(node: Any) -> bool:
    """Whether this is an image's tarball."""
    return isinstance(target_of(node), ImageTarget)


def is_index(node: Any) -> bool:
    """Whether this is an index's file."""
    return isinstance(target_of(node), IndexTarget)


def is_pin(node: Any) -> bool:
    """Whether this is the receipt of a pin."""
    return isinstance(target_of(node), PinTarget)


def is_remote(node: Any) -> bool:
    """Whether this is the receipt of a push or of a pin."""
    return isinstance(target_of(node), (PushTarget, PinTarget))


def document_kind(node: Any) -> str | None:
    """What a file says of an image or index: `SBOM`, `provenance`; None where it says nothing of one."""
    kinds = {SbomTarget: "SBOM", ProvenanceTarget: "provenance"}
    return next((word for kind, word in kinds.items() if isinstance(target_of(node), kind)), None)


def is_attest(node: Any) -> bool:
    """Whether this is the receipt of what is attached to an image or index."""
    return isinstance(target_of(node), AttestTarget)


def platform_of(node: Any) -> Platform | None:
    """The platform of a program, image or pin; for a file of another builder what an image said of it, if any did."""
    platform: Platform | None = getattr(target_of(node), "platform", None) or node.check_attributes("platform")
    return platform


def platform_for(contents: Sequence[Any], platform: Any) -> Platform:
    """What an image is for: as is said, or as its contents are. Those that do not say are, from then on."""
    if platform is None:
        platform = next(filter(None, map(platform_of, contents)), "linux")
    target_platform = paths.platform_of("Image: platform", platform)
    for node in contents:
        if node.has_builder() and platform_of(node) is None:
            node.attributes.platform = target_platform  # others' programs do not say; `run` looks for its own
    return target_platform


def check_source(node: Any, builder: str, allowed: tuple[type, ...]) -> None:
    """Raise WrongSource for a target of ours that a builder cannot take; what others make is looked at when it runs."""
    record = target_of(node)
    if record is None or isinstance(record, allowed):
        return
    kinds = " or ".join(_with_article(NAMES[kind]) for kind in allowed)
    raise WrongSource(f"is {_with_article(NAMES[type(record)])}; {builder} takes {kinds}", where=paths.shown(node))


def without_around(sources: Sequence[Any], target: Any) -> tuple[list[Any], list[Any]]:
    """Sources but for the folders that a target lies in and no builder makes, and these.

    As a source such a folder would wait for all that is made in it, the target itself.
    """
    around = [
        source
        for source in sources
        if not source.has_explicit_builder() and is_folder(source) and target.is_under(source)
    ]
    return [source for source in sources if source not in around], around


def check_apart(program: Any, sources: Sequence[Any]) -> None:
    """Raise WrongSource for a folder among the generated files of a program that this itself lies in."""
    for folder in without_around(sources, program)[1]:
        hint = "name the files that are generated, or a folder of them"
        raise WrongSource(f"the program is made in {paths.shown(folder)} itself", where="GoBinary: sources", hint=hint)


def declared_before(targets: list[Any], record: Any, sources: Sequence[Any]) -> bool:
    """Whether these targets were declared before, and alike. DeclaredTwice when they were, and not alike."""
    if not any(node.has_builder() for node in targets):
        return False
    if all(node.has_builder() for node in targets) and target_of(targets[0]) == record:
        known = targets[0]
        if list(known.sources) == list(dict.fromkeys(sources)) and known.get_executor().get_all_targets() == targets:
            return True
    raise DeclaredTwice(
        f"is declared twice, and not as the same {NAMES[type(record)]}",
        where=paths.shown(targets[0]),
        hint="give each a name",
    )


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiouS' else 'a'} {name}"
