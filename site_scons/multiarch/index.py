"""Indexes: one tag for many platforms (OCI image spec 1.1, image-index.md; the docker CLI's "manifest list")."""

from __future__ import annotations

from collections.abc import Iterable

from multiarch.descriptor import Descriptor
from multiarch.document import Document, InvalidDocument, canonical
from multiarch.errors import MultiarchError
from multiarch.mediatype import INDEX, is_index
from multiarch.platform import Platform
from multiarch.record import dataclass


class IncompleteIndex(MultiarchError):
    """Members that are not exactly the declared platforms."""


@dataclass(frozen=True, slots=True)
class Index:
    """Descriptors of manifests, each with its platform; `content` is the exact bytes as read."""

    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    media_type: str = INDEX
    content: bytes | None = None

    @classmethod
    def assemble(
        cls,
        members: Iterable[Descriptor],
        *,
        platforms: Iterable[Platform],
        annotations: tuple[tuple[str, str], ...] = (),
        where: str,
    ) -> Index:
        """Make the index whose members are exactly `platforms`, in that order.

        Raises IncompleteIndex when a platform is missing, comes twice, or was not declared. A declared Windows platform
        without os.version takes the only member of its os and architecture. The entries hold media type, digest, size
        and the member's full platform, and nothing else, so that equal members make equal bytes.
        """
        declared = tuple(platforms)
        left = list(members)
        chosen = []
        for platform in declared:
            found = _take(platform, left, where)
            chosen.append(Descriptor(found.media_type, found.digest, found.size, found.platform))
        if left:
            raise IncompleteIndex(
                f"{_platform(left[0], where)} is a member, but was not declared",
                where=where,
                hint="add it to PLATFORMS (platforms= of env.Index), or drop the member",
            )
        return cls(tuple(chosen), annotations)

    @classmethod
    def from_json(cls, content: bytes, *, where: str, media_type: str | None = None) -> Index:
        """Read an index and keep its bytes; InvalidDocument for a manifest or anything else."""
        document = Document.parse(content, where=where)
        inside = document.text("mediaType")
        if inside is not None and media_type is not None and inside != media_type:
            raise InvalidDocument(f"says it is {inside}, but was served as {media_type}", where=where)
        found = inside or media_type or INDEX
        if not is_index(found) or "config" in document.members or "layers" in document.members:
            raise InvalidDocument(f"is {found}, not an index", where=where)
        manifests = tuple(Descriptor.from_json(item) for item in document.objects("manifests"))
        return cls(manifests, document.pairs("annotations"), found, content)

    def to_json(self) -> bytes:
        """The exact bytes that were read, or the canonical form of an index that was made here."""
        if self.content is not None:
            return self.content
        members: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [descriptor.to_json() for descriptor in self.manifests],
        }
        if self.annotations:
            members["annotations"] = dict(sorted(self.annotations))
        return canonical(members)

    def descriptor(self) -> Descriptor:
        """The descriptor of `to_json()`."""
        return Descriptor.of(self.media_type, self.to_json())

    def select(self, wanted: Platform) -> Descriptor | None:
        """The first entry that serves this platform, an exact one before one that merely matches, else None."""
        entries = [entry for entry in self.manifests if entry.platform is not None]
        exact = [entry for entry in entries if entry.platform == wanted]
        return next(iter(exact or [e for e in entries if e.platform is not None and e.platform.matches(wanted)]), None)


def _platform(member: Descriptor, where: str) -> Platform:
    if member.platform is None:
        raise IncompleteIndex(f"{member.digest} names no platform", where=where)
    return member.platform


def stands_for(found: Platform, wanted: Platform) -> bool:
    """Whether an image may be the entry of a wanted platform: the same but for the os.version, not one that would run.

    386 runs on amd64 and ARMv6 on ARMv7, but an index that is to hold the one must not hold the other instead.
    """
    rank = found.rank(wanted)
    return rank is not None and rank <= 1


def _take(wanted: Platform, left: list[Descriptor], where: str) -> Descriptor:
    """Remove and return the one member for `wanted`: the exact one, else the only one that matches it."""
    exact = [member for member in left if _platform(member, where) == wanted]
    found = exact or [member for member in left if stands_for(_platform(member, where), wanted)]
    if not found:
        raise IncompleteIndex(
            f"declared {wanted} is missing",
            where=where,
            hint="nothing given to env.Index provides it; push it, name it in EXTERNAL, or drop it from PLATFORMS",
        )
    if len(found) > 1:
        raise IncompleteIndex(
            f"{wanted} is there {len(found)} times: {', '.join(str(member.digest) for member in found)}",
            where=where,
            hint="give each Windows image its own os.version, and each platform one image",
        )
    left.remove(found[0])
    return found[0]
