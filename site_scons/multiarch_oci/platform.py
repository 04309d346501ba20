"""Platforms: how the one that an image is made for is written, compared and named.

The only module that parses or formats a platform. The grammar is containerd's (github.com/containerd/platforms v1:
`os[(os.version[+feature…])]/architecture[/variant]`) and ko's `os/architecture[/variant]:os.version`; the object is
that of the OCI image spec 1.1 (image-index.md, "platform"; the same keys stand in config.md).
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec.structs import replace

from multiarch_oci.architectures import (
    ARCHITECTURES,
    KNOWN,
    MEANT,
    NO_VARIANT,
    SPELLED_VARIANTS,
    SYSTEMS,
    VARIANTS,
    normal_architecture,
    normal_system,
    runs_on,
    same_windows,
)
from multiarch_oci.errors import MultiarchError, quoted

_SYSTEM = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")
_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_BAD_ESCAPE = r"%(?![0-9A-Fa-f]{2})"
_ESCAPES = str.maketrans({"%": "%25", "+": "%2B", "(": "%28", ")": "%29", "/": "%2F"})
_NAMEABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WINDOWS_VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(?:\.[0-9]+)?"
_ALIKE = 0.75  # of difflib's ratio: lets two wrong letters pass
_HOW = "a platform is written os/architecture[/variant], e.g. linux/arm64, linux/arm/v7 or windows(10.0.20348)/amd64"


class InvalidPlatform(MultiarchError, ValueError):
    """A text or JSON object that is no platform, or one that cannot be built for."""


class Platform(msgspec.Struct, frozen=True, order=True):
    """What an image runs on; "" and () where nothing is said.

    Fields stand as they were read. `parse` normalises; what comes from JSON or straight from the constructor does not,
    so that a record is written as it was read: compare it by `normalized()` or `matches`.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, host: Platform | None = None) -> Platform:
        """The normalised platform of a specifier: containerd's `Normalize(Parse(text))`, and ko's `:os.version`.

        A lone operating system (`windows`) takes the architecture of `host`, a lone architecture (`arm64`) its
        operating system; without a host that is linux/amd64, whatever machine this runs on. Unknown words are accepted
        wherever containerd accepts them: see `declared`. Raises InvalidPlatform, also for escapes that are not UTF-8.
        """
        specifier, colon, after = text.partition(":")
        parts = specifier.split("/")
        system = _SYSTEM.fullmatch(parts[0])
        if system is None:
            raise _invalid(text, f"'{parts[0]}' is no operating system")
        for part in parts[1:]:
            if not _COMPONENT.fullmatch(part):
                raise _invalid(text, f"'{part}' is empty or holds more than letters, digits, '_', '.' and '-'")
        if len(parts) > 3:  # noqa: PLR2004  # os, architecture, variant
            raise _invalid(text, "it has more than three parts")
        platform = cls(
            os=system[1],
            architecture="".join(parts[1:2]),
            variant="".join(parts[2:]),
            os_version=_unescaped(system[2] or "", text),
            os_features=tuple(_unescaped(feature, text) for feature in (system[3] or "").split("+")[1:]),
        )
        if colon:
            if platform.os_version or not _COMPONENT.fullmatch(after):
                raise _invalid(text, "one os.version follows the ':', and none stands in parentheses then")
            platform = replace(platform, os_version=after)
        return (platform if len(parts) > 1 else _completed(platform, host or cls("linux", "amd64"), text)).normalized()

    @classmethod
    def of_machine(cls, system: str, machine: str) -> Platform:
        """The platform of a machine as Python's `platform.system()` and `platform.machine()` name it.

        Raises InvalidPlatform when these are not two words, e.g. on a system that does not say what it is.
        """
        word = machine.lower()
        return cls.parse(f"{system}/{MEANT.get(word, word)}")

    @classmethod
    def from_tag(cls, tag: str) -> Platform | None:
        """The platform that a tag's suffix names (`1.0-arm64`, `v1-arm-v7`, `v1-windows-amd64-10.0.20348`), or None.

        The reverse of `tag_suffix`; a suffix without operating system is Linux. The aliases of `parse` are read too.
        """
        systems = "|".join(sorted({system for system, _ in KNOWN} | {"macos"}))
        aliases = {"x86_64", "aarch64", "armhf", "armel", "i386"}
        architectures = "|".join(sorted({architecture for _, architecture in KNOWN} | aliases))
        match = re.search(
            rf"(?:^|-)(?:({systems})-)?({architectures})(?:-(v[0-9]+(?:\.[0-9]+)?))?(?:-({_WINDOWS_VERSION}))?\Z",
            tag,
        )
        if match is None:
            return None
        platform = cls(match[1] or "linux", match[2], match[3] or "", match[4] or "").normalized()
        if (platform.os, platform.architecture) not in KNOWN or (platform.os == "linux" and platform.os_version):
            return None
        return platform

    @classmethod
    def from_json(cls, mapping: Mapping[str, object]) -> Platform:
        """The platform of an OCI platform object or image config, as written there; other keys are not looked at.

        Raises InvalidPlatform when `os` or `architecture` is missing, or a value is of the wrong type.
        """
        for key in ("os", "architecture"):
            if mapping.get(key) is None:
                raise InvalidPlatform(f"a platform object has no '{key}'")
        features = mapping.get("os.features") or []
        if not isinstance(features, list):
            raise InvalidPlatform("'os.features' of a platform object is not a list")
        return cls(
            _text(mapping, "os"),
            _text(mapping, "architecture"),
            _text(mapping, "variant"),
            _text(mapping, "os.version"),
            tuple(_text({"os.features": feature}, "os.features") for feature in features),
        )

    def to_json(self) -> dict[str, str | list[str]]:
        """The OCI platform object, keys in the order in which Go tools write them; empty ones are left out."""
        written: dict[str, str | list[str]] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            written["os.version"] = self.os_version
        if self.os_features:
            written["os.features"] = list(self.os_features)
        if self.variant:
            written["variant"] = self.variant
        return written

    def normalized(self) -> Platform:
        """The one spelling of this platform (containerd's `Normalize`): lower case, no alias, arm is arm/v7."""
        architecture, variant = normal_architecture(self.architecture, self.variant)
        features = tuple(sorted(set(self.os_features)))
        return Platform(normal_system(self.os), architecture, variant, self.os_version, features)

    def corrected(self, *, like: Platform | None = None) -> Platform:
        """The normalised platform that is meant by the config of somebody's image (`arm64/armv8`, a variant `unknown`).

        No runtime looks for such words; those that mean nothing we know stay, in lower case. 32-bit arm without a word
        on its variant is that of `like`, where this is 32-bit arm, too: `docker build` on such a machine says none, and
        containerd's v7 is a guess.
        """
        system = self.os.lower()
        architecture, _, named = MEANT.get(self.architecture.lower(), self.architecture.lower()).partition("/")
        lowered = self.variant.lower()
        variant = named or ("" if lowered in NO_VARIANT else lowered)
        known = replace(self, os=MEANT.get(system, system), architecture=architecture, variant="").normalized()
        pattern = SPELLED_VARIANTS.get(known.architecture)
        match = re.fullmatch(pattern, variant) if pattern is not None else None
        if match is not None:
            variant = f"v{match[1]}"
        elif known.architecture == "386":
            variant = ""
        if not variant and architecture == "arm" and like is not None and like.architecture == "arm":
            variant = like.variant
        return replace(known, variant=variant or known.variant).normalized()

    def __str__(self) -> str:
        """The specifier (containerd's `FormatAll`): `linux/arm/v7`, `windows(10.0.20348.2849+win32k)/amd64`."""
        return _specifier(self)

    @property
    def slug(self) -> str:
        """`os-arch[-variant][-os.version]`, for file names. Raises InvalidPlatform for what cannot stand in one."""
        return self._named(self.os, self.architecture, self.variant, self.os_version)

    @property
    def tag_suffix(self) -> str:
        """What a platform's tag ends in: Linux `arch[-variant]`, others as `slug`. Raises as `slug` does."""
        return self._named(self.architecture, self.variant) if self.os == "linux" else self.slug

    @property
    def directory(self) -> str:
        """`arch[-variant]/os`, where the program lies: all versions of Windows share one. Raises as `slug` does."""
        return f"{self._named(self.architecture, self.variant)}/{self._named(self.os)}"

    def _named(self, *words: str) -> str:
        return _joined(self, words)

    def dockerfiles(self) -> tuple[str, ...]:
        """The names of this platform's Dockerfile, the first that exists wins; each once. Raises as `slug` does."""
        full, architecture = self._named(self.architecture, self.variant), self._named(self.architecture)
        endings = [f".{self.os}-{full}", f".{self.os}-{architecture}"]
        if self.os == "linux":
            endings += [f".{full}", f".{architecture}"]
        if self.os == "windows":
            endings += [f".win-{self._named(self.os_version)}"] if self.os_version else []
            endings += [".win", ".windows"]
        return tuple(dict.fromkeys(f"Dockerfile{ending}" for ending in (*endings, f".{self._named(self.os)}", "")))

    def matches(self, target: Platform) -> bool:
        """Whether an image of this platform serves the wanted one (containerd's `Only(wanted).Match(self)`).

        Lower variants serve higher ones, 386 serves amd64, the features must be among the wanted ones. A Windows
        os.version must agree in its first three parts where both have one. Narrower than containerd: 32-bit arm does
        not serve arm64, as many of these CPUs no longer run it; nor does an older Windows serve a newer one.
        """
        return self.rank(target) is not None

    def rank(self, target: Platform) -> int | None:
        """How far an image of this platform is from the wanted one: 0 is exact, lower nearer, None does not match."""
        image, target = self.normalized(), target.normalized()
        ignored = {"win32k"} if image.os == "windows" else set()
        if image.os != target.os or not set(image.os_features) - ignored <= set(target.os_features):
            return None
        if image.os == "windows" and not same_windows(image.os_version, target.os_version):
            return None
        runs = runs_on(target.architecture, target.variant)
        if (image.architecture, image.variant) not in runs:
            return None
        return 2 * runs.index((image.architecture, image.variant)) + (image.os_version != target.os_version)

    def check_known(self, text: str | None = None) -> None:
        """Raise InvalidPlatform, naming the nearest valid one, unless images for this platform can be built and named.

        That is: an (os, architecture) of KNOWN, a variant that this architecture has, a Windows os.version of three
        or four numbers, and only characters that file names and tags take. `text` is what the user wrote.
        """
        written, normal = text or str(self), self.normalized()
        variants = VARIANTS.get(normal.architecture)
        if (normal.os, normal.architecture) not in KNOWN or (variants and normal.variant not in variants):
            raise InvalidPlatform(f"platform {quoted(written)} is not known", hint=_suggestion(written))
        if normal.os == "windows" and normal.os_version and not re.fullmatch(_WINDOWS_VERSION, normal.os_version):
            what = f"platform {quoted(written)}: {normal.os_version!r} is no Windows version"
            raise InvalidPlatform(what, hint="three or four numbers, e.g. windows(10.0.20348)/amd64")
        _ = (normal.slug, normal.dockerfiles())


@functools.lru_cache(256)
def _specifier(platform: Platform) -> str:
    """As `__str__`; a build has few platforms, and names each thousands of times."""
    if not platform.os:
        return "unknown"
    features = "".join(f"+{feature.translate(_ESCAPES)}" for feature in sorted(set(platform.os_features)) if feature)
    options = platform.os_version.translate(_ESCAPES) + features
    system = f"{platform.os}({options})" if options else platform.os
    return posixpath.normpath("/".join(part for part in (system, platform.architecture, platform.variant) if part))


@functools.lru_cache(256)  # as `_specifier`
def _joined(platform: Platform, words: tuple[str, ...]) -> str:
    # A base's JSON may say os.version "../../x": nothing of that kind gets into a path or tag.
    for word in words:
        if word and not _NAMEABLE.fullmatch(word):
            raise InvalidPlatform(f"{quoted(word)} of platform {str(platform)!r} cannot stand in a file name or tag")
    return "-".join(word for word in words if word)


def declared(text: str, *, host: Platform | None = None) -> tuple[Platform, ...]:
    """The platforms of a comma-separated list (the variable PLATFORMS), in its order; blanks do not count.

    Raises InvalidPlatform when the list is empty, for one that is invalid or not known (`Platform.check_known`), for
    one that stands there twice in whatever spelling, and for two that would share a tag.
    """
    where = "PLATFORMS"
    written: dict[Platform, str] = {}
    suffixes: dict[str, str] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            platform = Platform.parse(word, host=host)
            platform.check_known(word)
        except InvalidPlatform as error:
            raise InvalidPlatform(error.what, where=where, hint=error.hint) from None
        if platform in written:
            same = f"{quoted(word)} stands there twice"
            what = (
                same
                if word == written[platform]
                else f"{quoted(written[platform])} and {quoted(word)} are both {platform}"
            )
            raise InvalidPlatform(what, where=where, hint="name each platform once")
        written[platform] = word
        other = suffixes.setdefault(platform.tag_suffix, word)
        if other != word:
            what = f"{quoted(other)} and {quoted(word)} would share the tag suffix '-{platform.tag_suffix}'"
            raise InvalidPlatform(what, where=where, hint="build them separately, under two versions")
    if not written:
        raise InvalidPlatform("no platform is named", where=where, hint="e.g. linux/amd64,linux/arm64")
    return tuple(written)


def nearest(text: str) -> str | None:
    """The known platform that looks most like this text, as `str(Platform)`; None when nothing does."""
    from difflib import SequenceMatcher  # only errors need it

    bare = re.sub(r"\(.*?\)|:.*", "", text[:100].strip().lower())
    words = [MEANT.get(word) or normal_architecture(word, "")[0] for word in bare.split("/")]
    meant = _by_number(words, bare.split("/"))
    if meant is not None:
        return meant
    if len(words) == 1:
        spelled = {architecture: f"linux/{architecture}" for system, architecture in KNOWN if system == "linux"}
        spelled |= {system: f"{system}/{architecture}" for system, architecture in sorted(KNOWN, reverse=True)}
        spelled |= {"arm/v7": "linux/arm", "linux": "linux/amd64", "windows": "windows/amd64"}
    else:
        spelled = {f"{system}/{architecture}": f"{system}/{architecture}" for system, architecture in KNOWN}
        platforms = [Platform(*pair, variant) for pair in KNOWN for variant in VARIANTS.get(pair[1], ())]
        spelled |= {str(platform): str(platform) for platform in platforms}
    # Where only the variant is unknown, another architecture is no good guess.
    alike = [word for word in spelled if "/".join(words[:2]) in (word, word.rpartition("/")[0])] or spelled
    guesses = {"/".join(words), "/".join(reversed(words))}
    score, best = max((SequenceMatcher(None, guess, word).ratio(), word) for guess in guesses for word in alike)
    return str(Platform.parse(spelled[best])) if score >= _ALIKE else None


def _by_number(words: list[str], written: list[str]) -> str | None:
    """The known platform whose variant has the last number of the third word: `armv8`, `x86-64-v2`, `7hf`."""
    numbers = re.findall(r"[0-9](?:\.[0-9])?", written[2]) if len(written) == 3 else []  # noqa: PLR2004  # with a variant
    if not numbers:
        return None
    meant = Platform(words[0], words[1], f"v{numbers[-1]}").normalized()
    known = (meant.os, meant.architecture) in KNOWN and meant.variant in ("", *VARIANTS.get(meant.architecture, ()))
    return str(meant) if known else None


def _invalid(text: str, why: str) -> InvalidPlatform:
    return InvalidPlatform(f"{quoted(text)} is not a platform: {why}", hint=_suggestion(text))


def _suggestion(text: str) -> str:
    near = nearest(text)
    return f"did you mean {near}?" if near else _HOW


def _completed(half: Platform, host: Platform, text: str) -> Platform:
    """A lone word as a platform, the other half taken from the host (containerd, `Parse`, one component)."""
    if normal_system(half.os) in SYSTEMS:
        # As upstream: only 32-bit arm says which of its variants the host is.
        return replace(half, architecture=host.architecture, variant=host.variant if host.architecture == "arm" else "")
    architecture, variant = normal_architecture(half.os, "")
    if architecture not in ARCHITECTURES or "(" in text:
        raise _invalid(text, "it is neither an operating system nor an architecture")
    return replace(half, os=host.os, architecture=architecture, variant=variant)


def _unescaped(option: str, text: str) -> str:
    """An os.version or feature with its %XX resolved, as Go's url.PathUnescape does."""
    if "%" not in option:
        return option
    if re.search(_BAD_ESCAPE, option):
        raise _invalid(text, f"'%' in {quoted(option)} is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(option).decode()
    except UnicodeDecodeError:
        raise _invalid(text, f"{quoted(option)} is not UTF-8") from None


def _text(mapping: Mapping[str, object], key: str) -> str:
    value = mapping.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidPlatform(f"'{key}' of a platform object is not text")
    return value or ""
