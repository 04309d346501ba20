"""What other tools' files say of a build: platforms, programs, registry, linker flags (ko, goreleaser, a Makefile).

Each answer is checked before it is taken: a platform is one, a registry is one, a flag is a name and a text.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping

import msgspec

from multiarch_oci.document import mapping
from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Destination
from multiarch_oci.scaffold.files import Clue, Files, listed, texts

KO = (".ko.yaml", ".ko.yml")
GORELEASER = tuple(f"{dot}goreleaser.{ending}" for dot in (".", "") for ending in ("yaml", "yml"))
MAKEFILES = ("Makefile", "GNUmakefile", "makefile")

_ASSIGNED = re.compile(r"(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[:?+]{0,3}=")
_LONG = 10_000
"""Characters of a line, or a flag, that is looked at."""
_MOST = 50
"""Members of a list of goreleaser's that are multiplied with others."""
_PUBLISHED = re.compile(
    r"(?:DOCKER_|CONTAINER_)?REGISTRY|(?:KO_)?DOCKER_REPO|IMAGE|IMG|IMAGE_NAME|IMAGE_REPO(?:SITORY)?"
)
"""Variables that say where a Makefile publishes to; BUILDER_IMAGE and GO_IMAGE say what it takes."""
_LOOP = re.compile(r"\bfor[ \t]+\w+[ \t]+in[ \t]([^;\n]*);")
_ARCHITECTURES = frozenset({"amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"})
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\$\([^()]*\)")
_DEFINED = re.compile(r"[\w./-]+\.\w+=")
_VERSION = re.compile(
    r"(?:(?<==)v)?(?:\{\{-?\s*\.(?:Version|Tag|Env\.VERSION)\s*-?\}\}"
    r"|\$\((?:(?:GIT_|APP_|BUILD_)?VERSION|TAG)\)|\$\{(?:(?:GIT_|APP_|BUILD_)?VERSION|TAG)\}|(?<!\$)\$VERSION\b)"
)
_COMMIT = re.compile(
    r"\{\{-?\s*\.(?:FullCommit|Commit|ShortCommit|Git\.\w*[Cc]ommit)\s*-?\}\}"
    r"|\$[({](?:GIT_|BUILD_)?(?:COMMIT|REVISION|SHA)(?:_SHA|_HASH|_ID)?[)}]"
)
_TAGS = re.compile(r"(?:^|(?<=[ \t]))--?tags(?:=|[ \t])[ \t]*(\S+)")
_USUAL = frozenset({"-trimpath", "-v", "-a", "-mod=readonly", "CGO_ENABLED=0", "GO111MODULE=on"})
"""What other tools are told and this one does anyway."""


class Named(msgspec.Struct, frozen=True):
    """A program as another tool's file names it: folder of its module, package, and what the file is called."""

    folder: str
    package: str
    name: str
    where: str


class Clues(msgspec.Struct, frozen=True):
    """What was found, each with its file, and what was left out, with the reason."""

    platforms: tuple[Clue, ...] = ()
    registry: Clue | None = None
    repository: Clue | None = None
    linked: tuple[Clue, ...] = ()
    programs: tuple[Named, ...] = ()
    tags: Clue | None = None
    left_out: tuple[Clue, ...] = ()


def clues(files: Files) -> Clues:
    """What ko's, goreleaser's and make's files say, the first that says a thing."""
    answers = [
        *(ko(files.yaml(path), path) for path in KO if files.text(path)),
        *(goreleaser(files.yaml(path), path) for path in GORELEASER if files.text(path)),
        *(make(files.text(path), path) for path in MAKEFILES if files.text(path)),
    ]
    return Clues(
        next((answer.platforms for answer in answers if answer.platforms), ()),
        next((answer.registry for answer in answers if answer.registry), None),
        next((answer.repository for answer in answers if answer.repository), None),
        next((answer.linked for answer in answers if answer.linked), ()),
        next((answer.programs for answer in answers if answer.programs), ()),
        next((answer.tags for answer in answers if answer.tags), None),
        (*(clue for answer in answers for clue in answer.left_out), *_outvoted(answers)),
    )


def _outvoted(answers: list[Clues]) -> Iterator[Clue]:
    """Platforms and registries that a file says and one before it does not, each once."""
    for noun, attribute in (("platform", "platforms"), ("registry", "registry")):
        values = [getattr(answer, attribute) or () for answer in answers]
        named = [value if isinstance(value, tuple) else (value,) for value in values if value]
        known = {clue.text for clue in named[0]} if named else set()
        for clue in (clue for clues in named[1:] for clue in clues):
            if clue.text not in known:
                known.add(clue.text)
                yield Clue(f"{noun} {clue.text}, as {named[0][0].where} says another", clue.where)


def ko(file: Mapping[str, object], where: str) -> Clues:
    """ko.build/configuration: `defaultPlatforms`, and `builds` with `dir`, `main` and `ldflags`."""
    builds = [mapping(build) for build in listed(file.get("builds"))]
    platforms, left_out = _platforms(texts(file.get("defaultPlatforms")), where)
    linked, others = _linked([flag for build in builds for flag in texts(build.get("ldflags"))], where)
    tags, refused = _tags(builds, where)
    programs = [Named(_text(build.get("dir")), _text(build.get("main")), "", where) for build in builds]
    base = texts(file.get("defaultBaseImage"))
    more = [Clue(f"defaultBaseImage {base[0]}: BASE_IMAGE takes it", where)] if base else []
    return Clues(platforms, None, None, linked, tuple(programs), tags, (*left_out, *others, *refused, *more))


def goreleaser(file: Mapping[str, object], where: str) -> Clues:
    """goreleaser.com/customization: `builds` (goos, goarch, goarm, main, binary, ldflags) and names of images."""
    builds = [mapping(build) for build in listed(file.get("builds"))]
    builds = [build for build in builds if build.get("skip") in (None, False, "", "false")]
    names = [name for build in builds for name in _matrix(build)]
    platforms, left_out = _platforms(list(dict.fromkeys(names)), where)
    linked, others = _linked([flag for build in builds for flag in texts(build.get("ldflags"))], where)
    tags, variants = _tags(builds, where)
    programs = tuple(
        Named(_text(build.get("dir")), _text(build.get("main")), _text(build.get("binary")), where) for build in builds
    )
    templates = [
        *(name for image in listed(file.get("dockers")) for name in texts(mapping(image).get("image_templates"))),
        *(_text(mapping(image).get("name_template")) for image in listed(file.get("docker_manifests"))),
        *(name for image in listed(file.get("dockers_v2")) for name in texts(mapping(image).get("images"))),
        *(name for image in listed(file.get("kos")) for name in texts(mapping(image).get("repositories"))),
    ]
    registry, repository, refused = _image(templates, where)
    return Clues(platforms, registry, repository, linked, programs, tags, (*left_out, *others, *variants, *refused))


def make(text: str, where: str) -> Clues:
    """A Makefile's variables whose names say what they are (REL_OSARCH, REGISTRY, LDFLAGS), and loops over GOARCH."""
    names: list[tuple[str, str]] = []
    images: list[tuple[str, str, str]] = []
    flags: list[str] = []
    for line, location in _lines(text, where):
        if match := _ASSIGNED.match(line):
            name, value = match[1].upper(), _unquoted(line[match.end() :].partition("#")[0].strip())
            if re.search(r"OSARCH|PLATFORM|ARCHS|ARCHES|ARCHITECTURES|ALL_ARCH", name):
                names += [(word, location) for word in _words(value)]
            elif "LDFLAGS" in name:
                flags.append(value)
            elif _PUBLISHED.fullmatch(name):
                images.append((name, value, location))
        if "GOARCH" in text:
            loops = (word for loop in _LOOP.finditer(line) for word in _words(loop[1]))
            names += [(word, location) for word in loops if "$" not in word]
    known: dict[str, Clue] = {}
    for word, location in names:
        for platform in _platforms([word], location)[0]:
            known.setdefault(platform.text, platform)
    registry, repository, left_out = _published(images)
    linked, others = _linked(flags, where)
    return Clues(tuple(known.values()), registry, repository, linked, (), None, (*left_out, *others))


def _lines(text: str, where: str) -> Iterator[tuple[str, str]]:
    """The lines of a Makefile, those that go on joined, each with its place; not those that are too long."""
    parts: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), 1):
        parts.append(line.removesuffix("\\"))
        if line.endswith("\\"):
            continue
        joined = " ".join(parts)
        if len(joined) <= _LONG:
            yield joined, f"{where}:{first}"
        parts, first = [], number + 1


def _published(images: list[tuple[str, str, str]]) -> tuple[Clue | None, Clue | None, list[Clue]]:
    """Registry and repository by a Makefile's variables (name, value, place): REGISTRY first, then as they stand."""
    left_out: list[Clue] = []
    for name, value, location in sorted(images, key=lambda image: (image[0] != "REGISTRY", "_" in image[0])):
        registry, repository, refused = _image([value], location, whole="IM" in name)
        left_out += refused
        if registry:
            return registry, repository, left_out
    return None, None, left_out


def _unquoted(value: str) -> str:
    """A value without the quotes around all of it."""
    quote = value[:1]
    whole = len(value) > 1 and quote in "\"'" and value.endswith(quote) and quote not in value[1:-1]
    return value[1:-1] if whole else value


def _words(value: str) -> list[str]:
    words = [word.strip("\"'") for word in re.split(r"[\s,]+", value) if word]
    return [
        f"linux/{word}" if word in _ARCHITECTURES else re.sub(r"^(\w+)[-_](\w+)$", r"\1/\2", word) for word in words
    ]


def _matrix(build: Mapping[str, object]) -> Iterator[str]:
    """The platforms of a build of goreleaser, whose own defaults are Linux (and others) on amd64, arm64 and 386."""
    if isinstance(build.get("targets"), list):
        for target in texts(build.get("targets")):
            parts = target.split("_")
            yield "/".join([*parts[:2], *(f"v{part}" for part in parts[2:] if parts[1] == "arm")])
        return
    systems = list(dict.fromkeys(texts(build.get("goos"))))[:_MOST] or ["linux"]
    architectures = list(dict.fromkeys(texts(build.get("goarch"))))[:_MOST] or ["amd64", "arm64"]
    numbers = [number for number in listed(build.get("goarm")) if isinstance(number, (str, int))]
    variants = list(dict.fromkeys(map(str, numbers)))[:_MOST] or ["6"]
    ignored = [mapping(ignore) for ignore in listed(build.get("ignore"))[:_MOST]]
    for system, architecture in itertools.product(systems, architectures):
        for variant in variants if architecture == "arm" else [""]:
            named = {"goos": system, "goarch": architecture, "goarm": variant}
            if not any(_ignores(ignore, named) for ignore in ignored):
                yield f"{system}/{architecture}" + (f"/v{variant}" if variant else "")


def _ignores(ignore: Mapping[str, object], target: Mapping[str, str]) -> bool:
    """Whether an entry of goreleaser's `ignore` means a target; what it does not name is any."""
    named = {key: str(ignore[key]) for key in target if key in ignore}
    return bool(named) and all(target[key] == value for key, value in named.items())


def _tags(builds: list[Mapping[str, object]], where: str) -> tuple[Clue | None, list[Clue]]:
    """The build tags that all builds have; flags and variables that nobody takes are left out and said."""
    left_out: dict[str, Clue] = {}
    every: list[str] = []
    for build in builds:
        flags = " ".join(texts(build.get("flags"))[:_MOST])[:_LONG]
        tags = [*texts(build.get("tags")), *(match[1].strip("\"'") for match in _TAGS.finditer(flags))]
        for word in (*_TAGS.sub(" ", flags).split(), *texts(build.get("env"))):
            if word not in _USUAL:
                left_out.setdefault(word, Clue(f"{word}: GOFLAGS and GOENV take such", where))
        every.append(" ".join(dict.fromkeys(tag for text in tags for tag in re.split(r"[\s,]+", text) if tag)))
    if not any(every):
        return None, list(left_out.values())
    if len(set(every)) > 1 or not re.fullmatch(r"[\w. -]+", every[0], re.ASCII):
        return None, [*left_out.values(), Clue(f"tags {', '.join(filter(None, every))}: GOTAGS takes them", where)]
    return Clue(every[0], where), list(left_out.values())


def _split(text: str) -> list[str]:
    """The words of flags, also of those that are quoted for another program; [] when it cannot be told."""
    masked = _TEMPLATE.sub(lambda match: re.sub(r"\s", "", match[0]), text[:_LONG])
    try:
        words = shlex.split(masked) if len(text) <= _LONG else []
        inner = [word.removeprefix("-ldflags=") for word in words]
        return [part for word in inner for part in (shlex.split(word) if re.search(r"-X[\s=]", word) else [word])]
    except ValueError:
        return []


def _platforms(words: list[str], where: str) -> tuple[tuple[Clue, ...], tuple[Clue, ...]]:
    """The Linux platforms among words, each once; others are left out and said, but for what is no platform at all."""
    known: dict[str, Clue] = {}
    left_out: list[Clue] = []
    for word in words:
        if word == "all":
            left_out.append(Clue("platforms 'all': name those that there are base images for", where))
            continue
        try:
            platform = Platform.parse(word)
            platform.check_known(word)
        except MultiarchError:
            continue
        if platform.os == "linux":
            known.setdefault(str(platform), Clue(str(platform), where))
        elif platform.os == "windows":
            left_out.append(Clue(f"{platform}: write it with its Windows version into PLATFORMS", where))
    return tuple(known.values()), tuple(left_out)


def _linked(flags: list[str], where: str) -> tuple[tuple[Clue, ...], tuple[Clue, ...]]:
    """The `-X name=value` among linker flags, with our variables; `-s` and `-w` are set anyway."""
    known: dict[str, Clue] = {}
    left_out: list[Clue] = []
    for flag in flags:
        words = _split(flag)
        if not words and flag.strip():
            left_out.append(Clue(f"{flag[:80]}: its quotes do not match, or it is too long", where))
        for word, value in itertools.zip_longest(words, words[1:], fillvalue=""):
            if not (text := value if word == "-X" else word.removeprefix("-X=") if word.startswith("-X=") else ""):
                continue
            ours = _COMMIT.sub("${REVISION}", _VERSION.sub("${VERSION}", text))
            plain = ours.replace("${VERSION}", "").replace("${REVISION}", "")
            if not _DEFINED.match(ours) or re.search(r"[${}`\s\"'\\]", plain) or not plain.isprintable():
                left_out.append(Clue(f"-X {text}: it holds what is known only when it is built", where))
            else:
                known.setdefault(ours.partition("=")[0], Clue(f"-X {ours}", where))
    return tuple(known.values()), tuple(left_out)


def _image(names: list[str], where: str, *, whole: bool = True) -> tuple[Clue | None, Clue | None, list[Clue]]:
    """Registry and repository of the first name of an image that is one, without its tag."""
    left_out = []
    for name in filter(None, names):
        bare = re.sub(r":[^/]*$", "", name) if "/" in name else name
        first = bare.partition("/")[0]
        registry, _, last = bare.rpartition("/") if whole else (bare, "", "")
        if not registry or not ("." in first or ":" in first or first == "localhost"):
            continue
        try:
            Destination.parse(registry).reference(last or "image")
        except MultiarchError as error:
            left_out.append(Clue(f"a registry's name: {error.what}", where))
            continue
        return Clue(registry, where), Clue(last, where) if last else None, left_out
    return None, None, left_out


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
