"""The image for a platform out of an index, whose entries need not say what they are (image spec, image-index.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec.structs import replace

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.document import InvalidDocument
from multiarch_oci.index import Index, nearest, version_numbers
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, is_index, is_manifest, to_oci
from multiarch_oci.platform import InvalidPlatform, Platform
from multiarch_oci.store import BlobMissing, Source, read

_DEPTH = 4
ATTESTATION = "vnd.docker.reference.type"
"""The annotation of an entry that is no image but what BuildKit says of one (docs/attestations, storage)."""
Serves = Callable[[Platform, Platform], bool]
"""Whether an image of the first platform may be taken for the second."""


class Selected(msgspec.Struct, frozen=True):
    """An entry, its platform as the index or else its config says it, and the Windows versions there were."""

    descriptor: Descriptor
    platform: Platform
    versions: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The os.version that was taken out of several, in words for people; empty when there was no choice."""
        if len(self.versions) < 2:  # noqa: PLR2004  # a choice
            return ""
        others = ", ".join(self.versions[1:])
        return f"Windows {self.platform.os_version}, the newest there (beside {others})"


def select(source: Source, index: Index, target: Platform, *, serves: Serves, where: str) -> Selected | None:
    """The entry that serves `target` best (see `nearest`); None when none does.

    Configs are read of entries that name no platform, when no other is of the very architecture, and of Windows entries
    without os.version, when there is a choice. Raises what the source raises.
    """
    named = [(entry, entry.platform) for entry in _images(source, index, where) if entry.platform is not None]
    fitting = [pair for pair in named if serves(pair[1], target)]
    if not any((platform.corrected(like=target).rank(target) or 0) <= 1 for _, platform in fitting):
        unnamed = [entry for entry in _images(source, index, where) if entry.platform is None]
        fitting += [
            (entry, platform) for entry, platform in _configured(source, unnamed, where) if serves(platform, target)
        ]
    if target.os == "windows" and len(fitting) > 1:
        silent = [entry for entry, platform in fitting if not platform.os_version]
        configured = dict(_configured(source, silent, where))
        fitting = [
            (entry, configured.get(entry, platform))
            for entry, platform in fitting
            if serves(configured.get(entry, platform), target)
        ]
    best = nearest(fitting, target)
    if best is None:
        return None
    return Selected(
        best, dict(fitting)[best], () if target.os_version else _versions(platform for _, platform in fitting)
    )


def there(source: Source, index: Index, *, where: str) -> str:
    """The platforms of an index as they are meant, for people; empty for none."""
    platforms = [entry.platform for entry in _images(source, index, where) if entry.platform is not None]
    if not platforms:
        platforms = [platform for _, platform in _configured(source, _images(source, index, where), where)]
    texts = dict.fromkeys(str(platform.corrected()) for platform in platforms if platform.os != "unknown")
    return ", ".join(texts)


def _versions(platforms: Iterator[Platform]) -> tuple[str, ...]:
    """The os.versions of Windows images, the newest first."""
    versions = {platform.os_version for platform in platforms if platform.os == "windows" and platform.os_version}
    return tuple(sorted(versions, key=version_numbers, reverse=True))


def _images(source: Source, index: Index, where: str, depth: int = 0) -> Iterator[Descriptor]:
    """The entries that may be images, those of indexes inside the index too; no attestations."""
    for entry in index.manifests:
        if is_manifest(entry.media_type) and entry.annotation(ATTESTATION) is None:
            yield entry
        elif is_index(entry.media_type) and depth < _DEPTH:
            try:
                content = read(source, entry)
            except BlobMissing:  # an index may be mirrored for some platforms alone
                continue
            inside = Index.from_json(content, where=where, media_type=entry.media_type)
            yield from _images(source, inside, where, depth + 1)


def _configured(
    source: Source, entries: list[Descriptor] | Iterator[Descriptor], where: str
) -> Iterator[tuple[Descriptor, Platform]]:
    """Entries with the platform that their configs name; those without a config, or that are gone, are left out."""
    for entry in entries:
        try:
            manifest = Manifest.from_json(read(source, entry), where=where, media_type=entry.media_type)
            if to_oci(manifest.config.media_type) != CONFIG:
                continue
            config = ImageConfig.from_json(read(source, manifest.config), where=where)
        except (BlobMissing, InvalidDocument, InvalidPlatform):
            continue
        platform = entry.platform or config.platform
        yield entry, replace(platform, os_version=platform.os_version or config.platform.os_version)
