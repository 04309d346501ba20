"""What other tools' files say of a build: platforms, programs, registry, linker flags (ko, goreleaser, a Makefile).

Each answer is checked before it is taken: a platform is one, a registry is one, a flag is a name and a text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

import msgspec

from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Destination
from multiarch_oci.scaffold.files import Clue, Files, listed, mapping, texts

KO = (".ko.yaml", ".ko.yml")
GORELEASER = tuple(f"{dot}goreleaser.{ending}" for dot in (".", "") for ending in ("yaml", "yml"))
MAKEFILES = ("Makefile", "GNUmakefile", "makefile")

_ASSIGNED = re.compile(r"^(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[:?+]{0,2}=[ \t]*(.*?)[ \t]*(?:#.*)?$", re.MULTILINE)
_LOOP = re.compile(r"\bfor\s+\w+\s+in\s+([^;\n]+?)\s*;")
_ARCHITECTURES = frozenset({"amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"})
_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_DEFINED = re.compile(r"[\w./-]+\.\w+=")
_VERSION = re.compile(r"\{\{-?\s*\.(?:Version|Tag|Env\.VERSION)\s*-?\}\}|\$[({]\w*VERSION\w*[)}]|\$VERSION\b")
_COMMIT = re.compile(r"\{\{-?\s*\.(?:FullCommit|Commit|ShortCommit|Git\.\w*[Cc]ommit)\s*-?\}\}|\$[({]\w*COMMIT\w*[)}]")


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
    programs = [Named(_text(build.get("dir")), _text(build.get("main")), "", where) for build in builds]
    base = texts(file.get("defaultBaseImage"))
    more = [Clue(f"defaultBaseImage {base[0]}: BASE_IMAGE takes it", where)] if base else []
    return Clues(platforms, None, None, linked, tuple(programs), (*left_out, *others, *more))


def goreleaser(file: Mapping[str, object], where: str) -> Clues:
    """goreleaser.com/customization: `builds` (goos, goarch, goarm, main, binary, ldflags) and names of images."""
    builds = [mapping(build) for build in listed(file.get("builds"))]
    names = [name for build in builds for name in _matrix(build)]
    platforms, left_out = _platforms(list(dict.fromkeys(names)), where)
    linked, others = _linked([flag for build in builds for flag in texts(build.get("ldflags"))], where)
    programs = tuple(
        Named(_text(build.get("dir")), _text(build.get("main")), _text(build.get("binary")), where)
        for build in builds
        if "skip" not in build
    )
    templates = [
        *(name for image in listed(file.get("dockers")) for name in texts(mapping(image).get("image_templates"))),
        *(_text(mapping(image).get("name_template")) for image in listed(file.get("docker_manifests"))),
        *(name for image in listed(file.get("dockers_v2")) for name in texts(mapping(image).get("images"))),
        *(name for image in listed(file.get("kos")) for name in texts(mapping(image).get("repositories"))),
    ]
    registry, repository, refused = _image(templates, where)
    return Clues(platforms, registry, repository, linked, programs, (*left_out, *others, *refused))


def make(text: str, where: str) -> Clues:
    """A Makefile's variables whose names say what they are (REL_OSARCH, REGISTRY, LDFLAGS), and loops over GOARCH."""
    names: list[tuple[str, str]] = []
    registry = repository = None
    left_out: list[Clue] = []
    flags: list[str] = []
    for match in _ASSIGNED.finditer(text):
        name, value, line = match[1].upper(), match[2].strip().strip("\"'"), text.count("\n", 0, match.start()) + 1
        location = f"{where}:{line}"
        if re.search(r"OSARCH|PLATFORM|ARCHS|ARCHES|ARCHITECTURES|ALL_ARCH", name):
            names += [(word, location) for word in _words(value)]
        elif re.search(r"LDFLAGS", name):
            flags += [value]
        elif registry is None and re.fullmatch(r"(?:\w+_)?(?:REGISTRY|DOCKER_REPO|IMAGE|IMG|IMAGE_NAME)", name):
            registry, repository, refused = _image([value], location, whole="IM" in name)
            left_out += refused
    if "GOARCH" in text:
        for loop in _LOOP.finditer(text):
            line = text.count("\n", 0, loop.start()) + 1
            names += [(word, f"{where}:{line}") for word in _words(loop[1]) if "$" not in word]
    known: dict[str, Clue] = {}
    for word, location in names:
        for platform in _platforms([word], location)[0]:
            known.setdefault(platform.text, platform)
    linked, others = _linked(flags, where)
    return Clues(tuple(known.values()), registry, repository, linked, (), (*left_out, *others))


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
    for system in texts(build.get("goos")) or ["linux"]:
        for architecture in texts(build.get("goarch")) or ["amd64", "arm64"]:
            variants = [str(number) for number in listed(build.get("goarm"))] or ["6"]
            yield from (
                [f"{system}/arm/v{number}" for number in variants]
                if architecture == "arm"
                else [f"{system}/{architecture}"]
            )


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
        try:
            words = shlex.split(_TEMPLATE.sub(lambda match: re.sub(r"\s", "", match[0]), flag))
        except ValueError:
            continue
        for word, value in zip(words, [*words[1:], ""], strict=True):
            if not (text := value if word == "-X" else word.removeprefix("-X=") if word.startswith("-X=") else ""):
                continue
            ours = _COMMIT.sub("$REVISION", _VERSION.sub("$VERSION", text))
            plain = ours.replace("$VERSION", "").replace("$REVISION", "")
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
