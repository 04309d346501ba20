"""Indexes: one tag for many platforms (OCI image spec 1.1, image-index.md; the docker CLI's "manifest list")."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import INDEX, is_index
from multiarch_oci.misspelled import corrected
from multiarch_oci.platform import Platform


class IncompleteIndex(MultiarchError):
    """Members that are not exactly the declared platforms."""


class Index(msgspec.Struct, frozen=True):
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
        without os.version takes the only member of its os and architecture that no declared version takes. The entries
        hold media type, digest, size and the declared platform (`as_declared`), and nothing else, so that equal members
        make equal bytes.
        """
        declared = tuple(platforms)
        left = list(members)
        taken = {each: _take(each, left, where) for each in sorted(declared, key=lambda each: not each.os_version)}
        chosen: dict[Platform, Descriptor] = {}
        for platform in declared:
            found = taken[platform]
            said = as_declared(_platform(found, where), platform)
            if said in chosen:
                raise IncompleteIndex(
                    f"two images are {said}: {chosen[said].digest}, {found.digest}",
                    where=where,
                    hint=f"drop {platform}, or give it a base of another os.version",
                )
            chosen[said] = Descriptor(found.media_type, found.digest, found.size, said)
        if left:
            raise IncompleteIndex(
                f"{_platform(left[0], where)} is a member, but was not declared",
                where=where,
                hint="add it to PLATFORMS (platforms= of env.Index), or drop the member",
            )
        return cls(tuple(chosen.values()), annotations)

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
        """The entry that serves this platform best, of those that name one (`nearest`), else None."""
        return nearest(((entry, entry.platform) for entry in self.manifests if entry.platform is not None), wanted)


def nearest(entries: Iterable[tuple[Descriptor, Platform]], wanted: Platform) -> Descriptor | None:
    """The entry whose platform serves the wanted one best, the first of equals; None when none does.

    Of several Windows versions that is the wanted one to the last part, else the newest; without a version the last.
    """
    ranked = []
    for entry, platform in entries:
        found = corrected(platform, like=wanted)
        rank = found.rank(wanted)
        if rank is not None:
            ranked.append((rank // 2, _age(found, wanted), entry))
    return min(ranked, key=lambda each: each[:2])[2] if ranked else None


def _age(found: Platform, wanted: Platform) -> tuple[int, ...]:
    """Smaller for the better os.version of two images that serve a Windows platform alike."""
    if found.os != "windows" or (wanted.os_version and found.os_version == wanted.os_version):
        return ()
    return (1, *(-number for number in version_numbers(found.os_version))) if found.os_version else (2,)


def version_numbers(os_version: str) -> tuple[int, ...]:
    """A Windows os.version to compare by: its four numbers, 0 for what is none or is not there."""
    numbers = [int(part) if part.isascii() and part.isdecimal() else 0 for part in os_version[:99].split(".")]
    return tuple((*numbers, 0, 0, 0, 0)[:4])


def _platform(member: Descriptor, where: str) -> Platform:
    if member.platform is None:
        raise IncompleteIndex(f"{member.digest} names no platform", where=where)
    return member.platform


def serves(found: Platform, wanted: Platform) -> bool:
    """Whether an image that says it is `found`, as it is meant, serves the wanted platform (`Platform.matches`)."""
    return corrected(found, like=wanted).matches(wanted)


def stands_for(found: Platform, wanted: Platform) -> bool:
    """Whether an image may be the entry of a wanted platform: the same but for the os.version, not one that would run.

    386 runs on amd64 and ARMv6 on ARMv7, but an index that is to hold the one must not hold the other instead.
    """
    rank = corrected(found, like=wanted).rank(wanted)
    return rank is not None and rank <= 1


def as_declared(found: Platform, declared: Platform) -> Platform:
    """What an index says of an image that stands for a declared platform: that one, so that every reader finds it.

    What is not declared (the os.version of a Windows image, to its last part, and features) is as the image has it.
    """
    return replace(
        declared.normalized(),
        os_version=found.os_version or declared.os_version,
        os_features=corrected(found).os_features or declared.os_features,
    )


def _take(wanted: Platform, left: list[Descriptor], where: str) -> Descriptor:
    """Remove and return the one member for `wanted`: the exact one, else the only one that stands for it.

    One that says a Windows version goes before one that says none, where a version is wanted.
    """
    exact = [member for member in left if _platform(member, where) == wanted]
    standing = [member for member in left if stands_for(_platform(member, where), wanted)]
    versioned = [member for member in standing if wanted.os_version and _platform(member, where).os_version]
    found = exact or versioned or standing
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
            hint=_ambiguous(wanted, found),
        )
    left.remove(found[0])
    return found[0]


def _ambiguous(wanted: Platform, found: list[Descriptor]) -> str:
    """What to do about several members for one platform."""
    versions = {member.platform.os_version for member in found if member.platform is not None}
    if wanted.os == "windows" and not wanted.os_version and "" not in versions and len(versions) == len(found):
        return f"declare each version: {', '.join(str(replace(wanted, os_version=each)) for each in sorted(versions))}"
    return "give each Windows image its own os.version, and each platform one image"
