"""Versions: the tag of a build, and what follows from it for further tags (`TAGS=latest,{major}.{minor}`).

A version is any valid tag. Its numbers, and whether it is a pre-release, are read by semver (semver.org 2.0.0, a
leading `v` allowed) first, then by PEP 440.
"""

from __future__ import annotations

import re

import msgspec

from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.reference import InvalidReference, check_tag

_SEMVER = r"v?([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
# Two numbers at least: an abbreviated commit such as 12a3 is a valid PEP 440 pre-release, but nobody means it.
_PLAIN = r"v?[0-9]+(?:\.[0-9]+)*"
_AFTER = r".+-[0-9]+-g[0-9a-f]{7,64}"  # what git-describe calls a commit after a tag
_NUMBERS = r"v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?"
_PLACEHOLDER = r"\{([^{}]*)\}"
_NAMES = ("major", "minor", "patch")


class InvalidVersion(MultiarchError, ValueError):
    """A version that cannot be a tag, or that lacks what a placeholder asks for."""


class Version(msgspec.Struct, frozen=True):
    """A build's version; `numbers` are its major, minor and patch as written, as many as it has, () when not semver.

    A pre-release is `1.2.0-rc1` (semver: whatever follows a `-`), `1.2.0rc1` or `1.2.dev3` (PEP 440), and what git
    calls a commit after a tag, `1.2-4-gabc1234`.
    """

    text: str
    numbers: tuple[str, ...]
    is_prerelease: bool

    @classmethod
    def parse(cls, text: str, *, where: str | None = "VERSION") -> Version:
        """Read a version; raises InvalidVersion, which quotes it, when it is not a valid tag."""
        try:
            check_tag(text)
        except InvalidReference as error:
            raise InvalidVersion(error.what, where=where, hint=error.hint) from None
        if re.fullmatch(_PLAIN, text):
            parts = text.removeprefix("v").split(".")[:3]
            return cls(text, tuple(parts) if len(parts) > 1 else (), is_prerelease=False)
        if semver := re.fullmatch(_SEMVER, text):
            return cls(text, semver.group(1, 2, 3), semver[4] is not None)
        numbers = re.match(_NUMBERS, text)
        if numbers is None:
            return cls(text, (), is_prerelease=False)
        if re.fullmatch(_AFTER, text):
            return cls(text, tuple(number for number in numbers.groups() if number), is_prerelease=True)
        # Imported here, as most versions are plain numbers and packaging takes longer than this whole module.
        from packaging import version as pep440

        try:
            read = pep440.Version(text)
        except pep440.InvalidVersion:
            return cls(text, (), is_prerelease=False)
        return cls(text, tuple(number for number in numbers.groups() if number), read.is_prerelease)

    def __str__(self) -> str:
        return self.text

    def tag(self, suffix: str = "") -> str:
        """The tag `version`, or `version-suffix` of e.g. a platform; raises InvalidVersion over 128 characters."""
        try:
            return check_tag(f"{self.text}-{suffix}" if suffix else self.text)
        except InvalidReference as error:
            raise InvalidVersion(error.what, where="VERSION", hint=error.hint) from None


def expand(tags: str, version: Version) -> tuple[str, ...]:
    """The further main tags of a comma-separated list with `{major}`, `{minor}` and `{patch}`, each once, in its order.

    A pre-release moves none: (). The version itself is left out, as it is the main tag anyway. Raises InvalidVersion,
    for a pre-release too: for an unknown placeholder, one whose number the version does not have, for what is no tag.
    """
    expanded = [_expand(part.strip(), version) for part in tags.split(",") if part.strip()]
    return () if version.is_prerelease else tuple(tag for tag in dict.fromkeys(expanded) if tag != version.text)


def unmoved(tags: str, version: Version) -> tuple[str, ...]:
    """The further main tags that `expand` leaves out, as the version is a pre-release; raises what it raises."""
    released = Version(version.text, version.numbers, is_prerelease=False)
    return expand(tags, released) if version.is_prerelease else ()


def _expand(template: str, version: Version) -> str:
    def number(placeholder: re.Match[str]) -> str:
        part = placeholder[1]
        if part not in _NAMES:
            what = f"{quoted(template)} holds the unknown placeholder '{placeholder[0]}'"
            raise InvalidVersion(what, where="TAGS", hint="there are {major}, {minor} and {patch}")
        position = _NAMES.index(part)
        if position >= len(version.numbers):
            what = f"{quoted(template)} needs a version like 1.2.3, and {quoted(version.text)} has no {part} number"
            raise InvalidVersion(what, where="TAGS", hint=f"leave '{placeholder[0]}' away, or change VERSION")
        return version.numbers[position]

    try:
        return check_tag(re.sub(_PLACEHOLDER, number, template))
    except InvalidReference as error:
        raise InvalidVersion(error.what, where="TAGS", hint=error.hint) from None
