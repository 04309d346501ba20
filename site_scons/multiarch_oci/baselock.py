"""`images.lock`: which manifest each base had when it was first used, so that a moved tag changes nothing by itself.

One line an entry, `<reference> <platform> <digest> [<os.version>]`, sorted, for people to read and to commit. The
digest is that of the *platform's* manifest: an index is published anew whenever any of its platforms is. The os.version
stands where a Windows platform without one was looked for in an index: it says which one was taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import is_index
from multiarch_oci.platform import InvalidPlatform, Platform
from multiarch_oci.reference import InvalidReference, Reference

if TYPE_CHECKING:
    from multiarch_oci.store import Source

_WITH_VERSION = 4
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,3}")
_HEADER = """\
# The bases of this build: reference, platform, digest of that platform's manifest. Commit this file.
# A missing line is written when its base is first used; remove a line to take the base's newest image.
"""


class BaseNotLocked(MultiarchError):
    """A base without an entry, where that is declared to be an error."""


class BaseNotFound(MultiarchError):
    """A base that its registry does not have, or not for the wanted platform."""


class InvalidLock(MultiarchError, ValueError):
    """A line of images.lock that is no entry."""


class Locked(msgspec.Struct, frozen=True, order=True):
    """One base for one platform, the digest of the manifest that it is, the Windows version that was chosen, or ""."""

    name: str
    platform: Platform
    digest: Digest
    version: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.name, str(self.platform), str(self.digest), self.version)))


class Chosen(msgspec.Struct, frozen=True):
    """What a base is for a platform now: its digest; of an index, the Windows version that was taken, and in words."""

    digest: Digest
    version: str = ""
    said: str = ""


class BaseLock(msgspec.Struct, frozen=True):
    """All entries, sorted by reference and platform, each pair once."""

    entries: tuple[Locked, ...] = ()

    @classmethod
    def parse(cls, text: str, *, where: str = "images.lock") -> BaseLock:
        """Read the file's text; InvalidLock names the line. Blank lines and lines that start with `#` are skipped."""
        entries: dict[tuple[str, Platform], Locked] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            entry = _entry(line.split(), f"{where}:{number}")
            if (entry.name, entry.platform) in entries:
                raise InvalidLock(f"{entry.name} for {entry.platform} stands here twice", where=f"{where}:{number}")
            entries[entry.name, entry.platform] = entry
        return cls(tuple(sorted(entries.values())))

    def find(self, name: Reference, platform: Platform) -> Digest | None:
        """The locked digest of a base for a platform; None when there is no entry."""
        entry = self.entry(name, platform)
        return None if entry is None else entry.digest

    def entry(self, name: Reference, platform: Platform) -> Locked | None:
        """The entry of a base for a platform; None when there is none."""
        wanted = str(name)
        return next((e for e in self.entries if e.name == wanted and e.platform == platform), None)

    def with_entry(self, name: Reference, platform: Platform, digest: Digest, version: str = "") -> BaseLock:
        """The same lock with this entry added or replaced."""
        new = Locked(str(name), platform, digest, version)
        others = [e for e in self.entries if (e.name, e.platform) != (new.name, new.platform)]
        return BaseLock(tuple(sorted([*others, new])))

    def __str__(self) -> str:
        return _HEADER + "".join(f"{entry}\n" for entry in self.entries)


def _entry(words: list[str], where: str) -> Locked:
    hint = "a line is `<reference> <platform> <digest>`; remove it, and the next build writes it anew"
    version = words.pop() if len(words) == _WITH_VERSION and _VERSION.fullmatch(words[-1]) else ""
    if len(words) != len(("reference", "platform", "digest")):
        raise InvalidLock(f"holds {len(words)} words, not 3", where=where, hint=hint)
    try:
        return Locked(str(Reference.parse(words[0])), Platform.parse(words[1]), Digest.parse(words[2]), version)
    except (InvalidReference, InvalidPlatform, InvalidDigest) as error:
        raise InvalidLock(error.what, where=where, hint=hint) from None


def choose(source: Source, name: Reference, platform: Platform) -> Chosen:
    """The manifest that a base is for a platform, now; of an index, its entry is taken, of Windows ones the newest.

    That the image really is of this platform is the engine's to check, as it reads the config. Raises BaseNotFound.
    """
    from multiarch_oci.index import Index, serves
    from multiarch_oci.store import read
    from multiarch_oci.store.selecting import select, there

    found = source.resolve(str(name.digest) if name.digest is not None else name.tag or "latest")
    if found is None:
        raise BaseNotFound(
            "is not in the registry", where=str(name), hint="check the name in FROM, or push the base first"
        )
    if not is_index(found.media_type):
        return Chosen(found.digest)
    index = Index.from_json(read(source, found), where=str(name), media_type=found.media_type)
    chosen = select(source, index, platform, serves=serves, where=str(name))
    if chosen is None:
        known = there(source, index, where=str(name)) or "none at all"
        raise BaseNotFound(f"has no image for {platform}", where=str(name), hint=f"it has {known}")
    by_choice = platform.os == "windows" and not platform.os_version
    version = chosen.platform.os_version if by_choice and _VERSION.fullmatch(chosen.platform.os_version) else ""
    return Chosen(chosen.descriptor.digest, version, chosen.version if version else "")
