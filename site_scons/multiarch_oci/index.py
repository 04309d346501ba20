"""Indexes: one tag for many platforms (OCI image spec 1.1, image-index.md; the docker CLI's "manifest list")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import INDEX, is_index
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
        members_to_place = list(members)
        taken = {
            platform: _take(platform, members_to_place, where)
            for platform in sorted(declared, key=lambda platform: not platform.os_version)
        }
        chosen: dict[Platform, Descriptor] = {}
        for platform in declared:
            member = taken[platform]
            entry_platform = as_declared(_platform(member, where), platform)
            if entry_platform in chosen:
                raise IncompleteIndex(
                    f"two images are {entry_platform}: {chosen[entry_platform].digest}, {member.digest}",
                    where=where,
                    hint=f"drop {platform}, or give it a base of another os.version",
                )
            chosen[entry_platform] = Descriptor(member.media_type, member.digest, member.size, entry_platform)
        if members_to_place:
            raise _undeclared(_platform(members_to_place[0], where), where)
        return cls(tuple(chosen.values()), annotations)

    @classmethod
    def from_json(cls, content: bytes, *, where: str, media_type: str | None = None) -> Index:
        """Read an index and keep its bytes; InvalidDocument for a manifest or anything else."""
        document = Document.parse(content, where=where)
        inside = document.text("mediaType")
        if inside is not None and media_type is not None and inside != media_type:
            raise InvalidDocument(f"says it is {inside}, but was served as {media_type}", where=where)
        kind = inside or media_type or INDEX
        if not is_index(kind) or "config" in document.members or "layers" in document.members:
            raise InvalidDocument(f"is {kind}, not an index", where=where)
        manifests = tuple(Descriptor.from_json(item) for item in document.objects("manifests"))
        return cls(manifests, document.pairs("annotations"), kind, content)

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

    def select(self, target: Platform) -> Descriptor | None:
        """The entry that serves this platform best, of those that name one (`nearest`), else None."""
        return nearest(((entry, entry.platform) for entry in self.manifests if entry.platform is not None), target)


def nearest(entries: Iterable[tuple[Descriptor, Platform]], target: Platform) -> Descriptor | None:
    """The entry whose platform serves the wanted one best, the first of equals; None when none does.

    Of several Windows versions that is the wanted one to the last part, else the newest; without a version the last.
    """
    ranked = []
    for entry, platform in entries:
        corrected_platform = platform.corrected(like=target)
        rank = corrected_platform.rank(target)
        if rank is not None:
            ranked.append((rank // 2, _age(corrected_platform, target), entry))
    return min(ranked, key=lambda ranking: ranking[:2])[2] if ranked else None


def _age(image: Platform, target: Platform) -> tuple[int, ...]:
    """Smaller for the better os.version of two images that serve a Windows platform alike."""
    if image.os != "windows" or (target.os_version and image.os_version == target.os_version):
        return ()
    return (1, *(-number for number in version_numbers(image.os_version))) if image.os_version else (2,)


def version_numbers(os_version: str) -> tuple[int, ...]:
    """A Windows os.version to compare by: its four numbers, 0 for what is none or is not there."""
    numbers = [int(part) if part.isascii() and part.isdecimal() else 0 for part in os_version[:99].split(".")]
    return tuple((*numbers, 0, 0, 0, 0)[:4])


def _platform(member: Descriptor, where: str) -> Platform:
    if member.platform is None:
        raise IncompleteIndex(f"{member.digest} names no platform", where=where)
    return member.platform


def serves(image: Platform, target: Platform) -> bool:
    """Whether an image that says it is `image`, as it is meant, serves the platform `target` (`Platform.matches`)."""
    return image.corrected(like=target).matches(target)


def stands_for(image: Platform, target: Platform) -> bool:
    """Whether an image may be the entry of a wanted platform: the same but for the os.version, not one that would run.

    386 runs on amd64 and ARMv6 on ARMv7, but an index that is to hold the one must not hold the other instead.
    """
    rank = image.corrected(like=target).rank(target)
    return rank is not None and rank <= 1


def as_declared(image: Platform, declared: Platform) -> Platform:
    """What an index says of an image that stands for a declared platform: that one, so that every reader finds it.

    What is not declared (the os.version of a Windows image, to its last part, and features) is as the image has it.
    """
    return replace(
        declared.normalized(),
        os_version=image.os_version or declared.os_version,
        os_features=image.corrected().os_features or declared.os_features,
    )


def check_declared(platforms: Iterable[Platform], members: Iterable[tuple[str, Platform]], *, where: str) -> None:
    """Raise IncompleteIndex where members, each of a name and a declared platform, cannot be these platforms.

    What a Windows image is, its base says, so of these no more is known than that no version is declared twice.
    """
    counts = Counter(platform.normalized() for platform in platforms)
    for platform, count in counts.items():
        if count > 1:
            hint = "a platform stands in PLATFORMS or in EXTERNAL, once"
            raise IncompleteIndex(f"{platform} is declared {count} times", where=where, hint=hint)
    named: dict[Platform, str] = {}
    for name, declared in members:
        platform = declared.normalized()
        if platform.os == "windows":
            continue
        if named.setdefault(platform, name) != name:
            what = f"two images are {platform}: {named[platform]}, {name}"
            raise IncompleteIndex(what, where=where, hint="give each platform one image")
        if platform not in counts:
            raise _undeclared(platform, where)
    for platform in counts:
        if platform.os != "windows" and platform not in named:
            raise _missing(platform, where)


def _undeclared(platform: Platform, where: str) -> IncompleteIndex:
    hint = "add it to PLATFORMS (platforms= of env.Index), or drop the member"
    return IncompleteIndex(f"{platform} is a member, but was not declared", where=where, hint=hint)


def _missing(platform: Platform, where: str) -> IncompleteIndex:
    hint = "nothing given to env.Index provides it; push it, name it in EXTERNAL, or drop it from PLATFORMS"
    return IncompleteIndex(f"declared {platform} is missing", where=where, hint=hint)


def _take(platform: Platform, members: list[Descriptor], where: str) -> Descriptor:
    """Remove and return the one member for `platform`: the exact one, else the only one that stands for it.

    One that says a Windows version goes before one that says none, where a version is wanted.
    """
    exact = [member for member in members if _platform(member, where) == platform]
    standing = [member for member in members if stands_for(_platform(member, where), platform)]
    versioned = [member for member in standing if platform.os_version and _platform(member, where).os_version]
    candidates = exact or versioned or standing
    if not candidates:
        raise _missing(platform, where)
    if len(candidates) > 1:
        raise IncompleteIndex(
            f"{platform} is there {len(candidates)} times: {', '.join(str(member.digest) for member in candidates)}",
            where=where,
            hint=_ambiguous(platform, candidates),
        )
    members.remove(candidates[0])
    return candidates[0]


def _ambiguous(platform: Platform, candidates: list[Descriptor]) -> str:
    """What to do about several members for one platform."""
    versions = {member.platform.os_version for member in candidates if member.platform is not None}
    apart = "" not in versions and len(versions) == len(candidates)
    if platform.os == "windows" and not platform.os_version and apart:
        versioned = (str(replace(platform, os_version=version)) for version in sorted(versions))
        return f"declare each version: {', '.join(versioned)}"
    return "give each Windows image its own os.version, and each platform one image"
