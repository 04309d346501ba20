"""Platforms: how the one that an image is made for is written, compared and named.

The only module that parses or formats a platform. The grammar is containerd's (github.com/containerd/platforms v1:
`os[(os.version[+feature…])]/architecture[/variant]`) and ko's `os/architecture[/variant]:os.version`; the object is
that of the OCI image spec 1.1 (image-index.md, "platform"; the same keys stand in config.md).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec.structs import replace

from multiarch_oci.errors import MultiarchError, quoted

_SYSTEM = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")
_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_BAD_ESCAPE = r"%(?![0-9A-Fa-f]{2})"
_ESCAPES = str.maketrans({"%": "%25", "+": "%2B", "(": "%28", ")": "%29", "/": "%2F"})
_NAMEABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WINDOWS_VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(?:\.[0-9]+)?"
_NEWEST_ARM64_MINOR = {8: 9, 9: 7}
_ALIKE = 0.75  # of difflib's ratio: lets two wrong letters pass
_HOW = "a platform is written os/architecture[/variant], e.g. linux/arm64, linux/arm/v7 or windows(10.0.20348)/amd64"

KNOWN: frozenset[tuple[str, str]] = frozenset(
    (system, architecture)
    for system, architectures in {
        "linux": "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x",
        "windows": "386 amd64 arm arm64",
        "aix": "ppc64",
        "android": "386 amd64 arm arm64",
        "darwin": "amd64 arm64",
        "dragonfly": "amd64",
        "freebsd": "386 amd64 arm arm64 riscv64",
        "illumos": "amd64",
        "ios": "amd64 arm64",
        "js": "wasm",
        "netbsd": "386 amd64 arm arm64",
        "openbsd": "386 amd64 arm arm64 ppc64 riscv64",
        "plan9": "386 amd64 arm",
        "solaris": "amd64",
        "wasip1": "wasm",
    }.items()
    for architecture in architectures.split()
)
"""(os, architecture) of `go tool dist list`, of every Go release since 1.21."""
# What containerd takes as a lone word; a longer specifier may hold any word.
_SYSTEMS = {system for system, _ in KNOWN} - {"wasip1"} | {"hurd", "nacl", "zos"}
_ARCHITECTURES = {architecture for _, architecture in KNOWN} | {
    *("amd64p32", "armbe", "arm64be", "mips64p32", "mips64p32le", "ppc", "riscv", "s390", "sparc", "sparc64"),
}
_VARIANTS = {
    "amd64": ("", "v2", "v3", "v4"),
    "arm": ("v5", "v6", "v7", "v8"),
    "arm64": ("", *(f"v8.{n}" for n in range(1, 10)), "v9", *(f"v9.{n}" for n in range(1, 8))),
}
MEANT = {
    "x64": "amd64",
    **dict.fromkeys(("x86", "i486", "i586", "i686", "ia32"), "386"),
    **dict.fromkeys(("armv8", "armv8l", "arm64v8"), "arm64"),
    **dict.fromkeys(("armv7", "armv7l", "arm32v7"), "arm/v7"),
    **dict.fromkeys(("armv6", "armv6l", "arm32v6"), "arm/v6"),
    **dict.fromkeys(("armv5", "armv5l", "arm32v5"), "arm/v5"),
    "loongarch64": "loong64",
    **dict.fromkeys(("win", "win32", "win64"), "windows"),
    **dict.fromkeys(("mac", "osx"), "darwin"),
}
"""Words that people and `uname -m` use and containerd does not know, and what they mean."""


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
        architecture, variant = _normal_architecture(self.architecture, self.variant)
        features = tuple(sorted(set(self.os_features)))
        return Platform(_normal_system(self.os), architecture, variant, self.os_version, features)

    def __str__(self) -> str:
        """The specifier (containerd's `FormatAll`): `linux/arm/v7`, `windows(10.0.20348.2849+win32k)/amd64`."""
        if not self.os:
            return "unknown"
        features = "".join(f"+{feature.translate(_ESCAPES)}" for feature in sorted(set(self.os_features)) if feature)
        options = self.os_version.translate(_ESCAPES) + features
        system = f"{self.os}({options})" if options else self.os
        return posixpath.normpath("/".join(part for part in (system, self.architecture, self.variant) if part))

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
        # A base's JSON may say os.version "../../x": nothing of that kind gets into a path or tag.
        for word in words:
            if word and not _NAMEABLE.fullmatch(word):
                raise InvalidPlatform(f"{quoted(word)} of platform {str(self)!r} cannot stand in a file name or tag")
        return "-".join(word for word in words if word)

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
        if image.os == "windows" and not _same_windows(image.os_version, target.os_version):
            return None
        runs = _runs(target.architecture, target.variant)
        if (image.architecture, image.variant) not in runs:
            return None
        return 2 * runs.index((image.architecture, image.variant)) + (image.os_version != target.os_version)

    def check_known(self, text: str | None = None) -> None:
        """Raise InvalidPlatform, naming the nearest valid one, unless images for this platform can be built and named.

        That is: an (os, architecture) of KNOWN, a variant that this architecture has, a Windows os.version of three
        or four numbers, and only characters that file names and tags take. `text` is what the user wrote.
        """
        written, normal = text or str(self), self.normalized()
        variants = _VARIANTS.get(normal.architecture)
        if (normal.os, normal.architecture) not in KNOWN or (variants and normal.variant not in variants):
            raise InvalidPlatform(f"platform {quoted(written)} is not known", hint=_suggestion(written))
        if normal.os == "windows" and normal.os_version and not re.fullmatch(_WINDOWS_VERSION, normal.os_version):
            what = f"platform {quoted(written)}: {normal.os_version!r} is no Windows version"
            raise InvalidPlatform(what, hint="three or four numbers, e.g. windows(10.0.20348)/amd64")
        _ = (normal.slug, normal.dockerfiles())


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
    words = [MEANT.get(word) or _normal_architecture(word, "")[0] for word in bare.split("/")]
    meant = _by_number(words, bare.split("/"))
    if meant is not None:
        return meant
    if len(words) == 1:
        spelled = {architecture: f"linux/{architecture}" for system, architecture in KNOWN if system == "linux"}
        spelled |= {system: f"{system}/{architecture}" for system, architecture in sorted(KNOWN, reverse=True)}
        spelled |= {"arm/v7": "linux/arm", "linux": "linux/amd64", "windows": "windows/amd64"}
    else:
        spelled = {f"{system}/{architecture}": f"{system}/{architecture}" for system, architecture in KNOWN}
        platforms = [Platform(*pair, variant) for pair in KNOWN for variant in _VARIANTS.get(pair[1], ())]
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
    known = (meant.os, meant.architecture) in KNOWN and meant.variant in ("", *_VARIANTS.get(meant.architecture, ()))
    return str(meant) if known else None


def _invalid(text: str, why: str) -> InvalidPlatform:
    return InvalidPlatform(f"{quoted(text)} is not a platform: {why}", hint=_suggestion(text))


def _suggestion(text: str) -> str:
    near = nearest(text)
    return f"did you mean {near}?" if near else _HOW


def _completed(half: Platform, host: Platform, text: str) -> Platform:
    """A lone word as a platform, the other half taken from the host (containerd, `Parse`, one component)."""
    if _normal_system(half.os) in _SYSTEMS:
        # As upstream: only 32-bit arm says which of its variants the host is.
        return replace(half, architecture=host.architecture, variant=host.variant if host.architecture == "arm" else "")
    architecture, variant = _normal_architecture(half.os, "")
    if architecture not in _ARCHITECTURES or "(" in text:
        raise _invalid(text, "it is neither an operating system nor an architecture")
    return replace(half, os=host.os, architecture=architecture, variant=variant)


def _unescaped(option: str, text: str) -> str:
    """An os.version or feature with its %XX resolved, as Go's url.PathUnescape does."""
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


def _normal_system(system: str) -> str:
    return "darwin" if system.lower() == "macos" else system.lower()


def _normal_architecture(architecture: str, variant: str) -> tuple[str, str]:
    """Architecture and variant in their one spelling (containerd, database.go, `normalizeArch`)."""
    architecture, variant = architecture.lower(), variant.lower()
    if architecture == "i386":
        return "386", ""
    if architecture in ("x86_64", "x86-64", "amd64"):
        return "amd64", "" if variant == "v1" else variant
    if architecture in ("aarch64", "arm64"):
        return "arm64", {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}.get(variant, variant)
    if architecture in ("armhf", "armel"):
        return "arm", "v7" if architecture == "armhf" else "v6"
    if architecture == "arm":
        return "arm", {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return architecture, variant


def _same_windows(image: str, target: str) -> bool:
    """Whether two os.versions name one Windows release: three equal parts, the fourth is the update of the day."""
    return not image or not target or image.split(".")[:3] == target.split(".")[:3]


def _runs(architecture: str, variant: str) -> tuple[tuple[str, str], ...]:
    """What a machine runs, the nearest first (containerd, compare.go, `platformVector`, without arm on arm64)."""
    number = re.fullmatch(r"v?([0-9]{1,2})(?:\.([0-9]))?", variant)
    major, minor = (int(number[1]), int(number[2] or 0)) if number else (0, 0)
    lower: list[str] = []
    if architecture == "amd64":
        lower = [*(f"v{n}" for n in range(major - 1, 1, -1)), *([""] if major > 1 else [])]
        return (*((architecture, name) for name in (variant, *lower)), ("386", ""))
    if architecture == "arm":
        lower = [f"v{n}" for n in range(major - 1, 4, -1)]
    if architecture == "arm64" and major in _NEWEST_ARM64_MINOR:
        eight = minor
        if major == 9:  # noqa: PLR2004  # Armv9.n holds all of Armv8.(n+5)
            lower = [*(f"v9.{n}" for n in range(minor - 1, 0, -1)), *(["v9"] if minor else [])]
            eight = min(minor + 6, _NEWEST_ARM64_MINOR[8] + 1)
        lower += [*(f"v8.{n}" for n in range(eight - 1, 0, -1)), ""]
    return tuple((architecture, name) for name in (variant, *lower))
