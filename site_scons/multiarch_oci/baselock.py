"""`images.lock`: which manifest each base is, so that a tag that moves changes nothing by itself.

One line of the file an entry, `<reference> <platform> <digest> [<os.version>] [index=<digest>] [sbom=<digest>]`,
sorted, for people to read and to commit. The digest is that of the *platform's* manifest: an index is published anew
whenever any of its platforms is. The os.version stands where a Windows platform without one was looked for in an index:
it says which one was taken. The index is the one that named the manifest: signatures of it count for the manifest. The
SBOM is what its makers published with the base: `update-bases` looks for it, SBOMs of images link it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import InvalidPlatform, Platform
from multiarch_oci.reference import InvalidReference, Reference

FILE = "images.lock"
LONGEST = 16 << 20
"""The most bytes that are read of it."""

_WITH_VERSION = 4
_INDEX, _SBOM = "index=", "sbom="
OS_VERSION = r"[0-9]+(?:\.[0-9]+){0,3}"
_HEADER = """\
# The bases of this build: reference, platform, digest of that platform's manifest. Commit this file.
# A missing line is written when its base is first used; remove a line to take the base's newest image.
"""


class InvalidLock(MultiarchError, ValueError):
    """A line of images.lock that is no entry."""


class Locked(msgspec.Struct, frozen=True, order=True):
    """One base for one platform, the digest of the manifest that it is, the Windows version that was chosen, or "".

    `index` is the index that named it, None where none did, or where it is not known; `sbom` is the document that its
    makers published with it, None where none is known.
    """

    name: str
    platform: Platform
    digest: Digest
    version: str = ""
    index: Digest | None = None
    sbom: Digest | None = None

    def __str__(self) -> str:
        named = ((_INDEX, self.index), (_SBOM, self.sbom))
        more = [f"{name}{digest}" for name, digest in named if digest is not None]
        return " ".join(filter(None, (self.name, str(self.platform), str(self.digest), self.version, *more)))


class Chosen(msgspec.Struct, frozen=True):
    """What a base is for a platform now: its digest; of an index, the Windows version that was taken, and in words."""

    digest: Digest
    version: str = ""
    description: str = ""
    index: Digest | None = None


class BaseLock(msgspec.Struct, frozen=True):
    """All entries, sorted by reference and platform, each pair once."""

    entries: tuple[Locked, ...] = ()

    @classmethod
    def parse(cls, text: str, *, where: str = FILE) -> BaseLock:
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
        spelled = str(name)
        return next((e for e in self.entries if e.name == spelled and e.platform == platform), None)

    def with_entry(
        self, name: Reference, platform: Platform, chosen: Digest | Chosen, *, sbom: Digest | None = None
    ) -> BaseLock:
        """The same lock with this entry added or replaced."""
        if isinstance(chosen, Digest):
            chosen = Chosen(chosen)
        new = Locked(str(name), platform, chosen.digest, chosen.version, chosen.index, sbom)
        others = [e for e in self.entries if (e.name, e.platform) != (new.name, new.platform)]
        return BaseLock(tuple(sorted([*others, new])))

    def __str__(self) -> str:
        return _HEADER + "".join(f"{entry}\n" for entry in self.entries)


def lines_of(text: str, bases: Collection[tuple[str, str]]) -> str:
    """The text of images.lock without the entries of other bases than these, each a reference and a platform."""
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if not line.strip() or line.startswith("#") or tuple(line.split()[:2]) in bases
    ]
    return "".join(kept)


def _entry(words: list[str], where: str) -> Locked:
    hint = "a line is `<reference> <platform> <digest>`; remove it, and the next build writes it anew"
    sbom = words.pop().removeprefix(_SBOM) if words[-1].startswith(_SBOM) else ""
    index = words.pop().removeprefix(_INDEX) if words[-1].startswith(_INDEX) else ""
    version = words.pop() if len(words) == _WITH_VERSION and re.fullmatch(OS_VERSION, words[-1]) else ""
    if len(words) != len(("reference", "platform", "digest")):
        raise InvalidLock(f"holds {len(words)} words, not 3", where=where, hint=hint)
    try:
        parsed = Locked(str(Reference.parse(words[0])), Platform.parse(words[1]), Digest.parse(words[2]), version)
        named = {name: Digest.parse(text) for name, text in (("index", index), ("sbom", sbom)) if text}
        return replace(parsed, **named) if named else parsed
    except (InvalidReference, InvalidPlatform, InvalidDigest) as error:
        raise InvalidLock(error.what, where=where, hint=hint) from None
