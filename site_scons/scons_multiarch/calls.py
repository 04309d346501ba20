"""What a call of `env.MultiarchImage` or `env.GoImage` says: names, and variables that are of that image alone.

Some of it depends on what other calls say: IMAGE and EXTERNAL, and the names of files where names end alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import SCons.Script

from multiarch_oci.engine import AUTO, NAMES
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.origin import Origin
from multiarch_oci.platform import declared
from multiarch_oci.reference import Destination
from multiarch_oci.version import Version, expand, unmoved
from scons_multiarch import paths
from scons_multiarch.destinations import destinations_of
from scons_multiarch.programs import KEYWORDS
from scons_multiarch.session import Declarations, Run
from scons_multiarch.step import WrongCall
from scons_multiarch.targets import DeclaredTwice, IndexTarget, target_of
from scons_multiarch.tracking.phases import override, rename
from scons_multiarch.variables import (
    VARIABLES,
    external,
    literal,
    one_of,
    owner_of,
    pairs,
    text_of,
    truth_of,
)
from scons_multiarch.versions import revision, version_of

if TYPE_CHECKING:
    from multiarch_oci.git import Described

COMMAND_LINE_FIRST = ("VERSION", "REGISTRY", "PLATFORMS")
"""What is said of these on the command line counts for every image, whatever its keywords say."""

OF_ONE_IMAGE = (
    *COMMAND_LINE_FIRST,
    *("VERSION_TAG", "EXTERNAL", "TAGS", "LABELS", "ANNOTATIONS", "BASE_IMAGE", "BUILD_ARGS", "ENGINE", "REBASE"),
)
"""The variables that may be keywords. All others are of the whole build."""

MEANT = {
    "ldflags": "GOLDFLAGS",
    "tags": "GOTAGS (of Go) or TAGS (of the image)",
    "flags": "GOFLAGS",
    "gcflags": 'GOFLAGS="-gcflags=…"',
    "asmflags": 'GOFLAGS="-asmflags=…"',
    "env": "GOENV",
    "goos": "PLATFORMS",
    "goarch": "PLATFORMS",
    "goarm": "PLATFORMS",
    "cgo_enabled": "cgo",
}
"""Keywords that Go or other tools have, and what they are called here."""


class SeveralImages(MultiarchError, ValueError):
    """What can be said of one image only, in a build of several."""


class Call(NamedTuple):
    """What a call says.

    `file` begins the names of files, `program` is that of a Go program; `env` is the environment with what is this
    image's own; `image` are keywords of `env.Image`; `not_moved` are tags that stay where they are, and why.
    """

    name: str
    file: str
    program: str
    env: Any
    annotations: tuple[Any, ...]
    image: Mapping[str, Any]
    not_moved: tuple[tuple[str, ...], str] | None


def read_call(env: Any, builder: str, given: Any, repository: Any, keywords: dict[str, Any]) -> Call:
    """Read what a call says. Raises MultiarchError for what is wrong with a name or a keyword."""
    declarations, texts = env["MULTIARCH_RUN"].declarations, env["VARIABLE_TEXTS"]
    name = paths.text(env, f"{builder}: name", given)
    annotations = keywords.pop("annotations", None) or {}
    paths.named(env, f"{builder}: annotations", annotations)
    given_variables, image = _sorted(env, builder, keywords)
    _check_single(env, name)
    spelled = {
        **texts,
        **{word: text_of(word, value) for word, value in given_variables.items() if word in OF_ONE_IMAGE},
    }
    version, described = _version(env, given_variables)
    destinations, path = _destinations(env, builder, name, repository, spelled["REGISTRY"])
    for destination in destinations:
        destination.reference(path, version.tag())
    words = None if "EXTERNAL" in given_variables else _take_external(declarations, name, path, texts["EXTERNAL"])
    whole, last = _rename_alike(declarations, name), name.rpartition("/")[2]
    called = path if "IMAGE" in env["SAID_VARIABLES"] else name.lower()
    file = called.replace("/", "-") if whole else called.rpartition("/")[2]
    repositories = tuple(literal(f"{destination}/{path}") for destination in destinations)
    names = {"VERSION": str(version), "IMAGE": path, "IMAGE_FILE": file, "REPOSITORY": repositories[0]}
    own = override(env, {**_typed(env, builder, given_variables), **names})
    own["DESCRIBED"] = described
    own["RELEASE"] = str(version) if described is None else described.release
    own["REPOSITORIES"] = repositories
    own["EXTERNAL"] = external(spelled["EXTERNAL"], destinations[0], path, words)
    for word in {"LABELS", "BUILD_ARGS"} & set(given_variables):
        own[word] = tuple((key, str(own.subst(value))) for key, value in own[word])
    if {"VERSION", "VERSION_TAG", "TAGS"} & set(given_variables):
        own["TAGS"] = expand(spelled["TAGS"], version)
    unmoved_tags = unmoved(spelled["TAGS"], version), f"{version} is a pre-release"
    noted = (
        *_annotations(own, version),
        *own["ANNOTATIONS"],
        *(annotations.items() if isinstance(annotations, Mapping) else annotations),
    )
    return Call(name, file, name.replace("/", "-") if whole else last, own, noted, image, unmoved_tags)


def _annotations(env: Any, version: Version) -> tuple[tuple[str, str], ...]:
    """What the index says of itself, unless the user's own annotations do (OCI image-spec, annotations.md).

    The revision is there where the version is git's, or with REVISION=yes: with it each commit makes another index.
    """
    run: Run = env["MULTIARCH_RUN"]
    with_revision = env["DESCRIBED"] is not None or truth_of("REVISION", env["VARIABLE_TEXTS"]["REVISION"])
    run.declarations.names_commit |= with_revision
    origin = run.build.once("origin", lambda: Origin.of(run.tree.root))
    known = {
        "version": str(version),
        "revision": revision(env) if with_revision else "",
        "source": origin.source,
        "url": origin.url,
    }
    return tuple((f"org.opencontainers.image.{name}", literal(text)) for name, text in known.items() if text)


def _version(env: Any, given_variables: Mapping[str, Any]) -> tuple[Version, Described | None]:
    """The version of an image, and git's answer where it is git's: as a call says, else the whole build's."""
    if "VERSION" in given_variables:
        return Version.parse(text_of("VERSION", given_variables["VERSION"])), None
    if "VERSION_TAG" in given_variables and "VERSION" not in env["SAID_VARIABLES"]:
        return version_of(env["MULTIARCH_RUN"], "", text_of("VERSION_TAG", given_variables["VERSION_TAG"]))
    described: Described | None = env["DESCRIBED"]
    return (Version.parse(env["VARIABLE_TEXTS"]["VERSION"]) if described is None else described.version), described


def _typed(env: Any, builder: str, given_variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a call says in capitals, as the variables of the command line stand in an environment."""
    typed = {word: value for word, value in given_variables.items() if word not in OF_ONE_IMAGE or word == "BASE_IMAGE"}
    typed |= {
        word: pairs(word, given_variables[word])
        for word in ("LABELS", "ANNOTATIONS", "BUILD_ARGS")
        if word in given_variables
    }
    if "PLATFORMS" in given_variables:
        platforms = paths.platforms_of(env, f"{builder}: PLATFORMS", given_variables["PLATFORMS"])
        typed["PLATFORMS"] = declared(",".join(map(str, platforms)))
    if "ENGINE" in given_variables:
        typed["ENGINE"] = one_of("ENGINE", str(given_variables["ENGINE"]), (AUTO, *NAMES))
    if "REBASE" in given_variables:
        typed["REBASE"] = truth_of("REBASE", str(given_variables["REBASE"]))
    return typed


def _sorted(env: Any, builder: str, keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables that the command line leaves to a call, and keywords of `env.Image`. Raises WrongCall."""
    taken = inspect.signature(env.Image.method).parameters
    image = [
        word for word, of in taken.items() if of.kind is of.KEYWORD_ONLY and word not in ("dockerfile", "platform")
    ]
    go = ("package", "sources", *KEYWORDS) if builder == "GoImage" else ()
    known = [*OF_ONE_IMAGE, *go, "dockerfile", "repository", "annotations", *image]
    variables, others = {}, {}
    for word, value in keywords.items():
        capital = word.upper()
        if word in image:
            others[word] = value
        elif capital in OF_ONE_IMAGE and word != "tags":
            variables[capital] = value
        elif word != "tags" and capital in (name for name, _, _ in VARIABLES):
            hint = "the name says it, or repository=" if capital == "IMAGE" else f"environment({capital}=…)"
            raise WrongCall(f"{capital} is of the whole build, not of one image", where=builder, hint=hint)
        elif word.isupper() and (word in env or not _like(word, known)):
            variables[word] = value
        else:
            raise WrongCall.unknown(builder, word, known, MEANT.get(word.lower(), ""))
    line = [word for word in COMMAND_LINE_FIRST if word in SCons.Script.ARGUMENTS]
    return {word: value for word, value in variables.items() if value is not None and word not in line}, others


def _like(word: str, known: list[str]) -> bool:
    """Whether a name in capitals is one of Go's, or nearly one of ours; any other may be a variable of the user's."""
    from difflib import get_close_matches  # start-up

    return word.lower() in MEANT or bool(get_close_matches(word, [*known, *KEYWORDS], 1, 0.8))


def _check_single(env: Any, name: str) -> None:
    """Raise SeveralImages for a second image, when IMAGE says what the only one is called."""
    names = list(dict.fromkeys([*env["MULTIARCH_RUN"].declarations.chains, name]))
    if len(names) > 1 and "IMAGE" in env["SAID_VARIABLES"]:
        hint = "leave it out: the names stand in the SConscripts"
        raise SeveralImages(f"IMAGE names one image, and there are several: {', '.join(names)}", hint=hint)


def _destinations(env: Any, builder: str, name: str, given: Any, registry: str) -> tuple[tuple[Destination, ...], str]:
    """Where an image goes: REGISTRY and the repository below it; a repository with a host or folder says both."""
    path = name.lower()
    if given is not None and "IMAGE" not in SCons.Script.ARGUMENTS:
        path = paths.text(env, f"{builder}: repository", given)
        whole = Destination.parse(path, where=f"{builder}: repository")
        if whole.registry is not None:
            where, path = whole.registry, whole.path
        elif path.startswith((".", "/", "_", "~")) or "\\" in path:
            where, _, path = path.replace("\\", "/").rpartition("/")
        else:
            where = registry
        registry = registry if "REGISTRY" in SCons.Script.ARGUMENTS else where
    elif "IMAGE" in env["SAID_VARIABLES"]:
        path = str(env["VARIABLE_TEXTS"]["IMAGE"])
    return destinations_of(env["MULTIARCH_RUN"], registry, path), path


def _take_external(declarations: Declarations, name: str, path: str, text: str) -> set[str]:
    """Note which items of EXTERNAL are of this image; the words that it is called by there. Raises SeveralImages."""
    words = {name, path, name.rpartition("/")[2]}
    for item in paths.items_of(text):
        owner, takers = owner_of(item)[0], declarations.outside.setdefault(item, set())
        takers |= {name} if owner in ("", *words) else set()
        if not owner and len(takers) > 1:
            what = f"{quoted(item)} does not say which of several images it is of"
            hint = " or ".join(f"{taker}:{item}" for taker in sorted(takers))
            raise SeveralImages(what, where="EXTERNAL", hint=hint)
    return words


def _rename_alike(declarations: Declarations, name: str) -> bool:
    """Whether another image's name ends as this one; then that has its whole name in its files from now on, too."""
    last = name.rpartition("/")[2].lower()
    alike = [chain for chain in declarations.chains.values() if chain.name != name]
    alike = [chain for chain in alike if chain.name.rpartition("/")[2].lower() == last]
    for chain in alike:
        old, new = chain.name.rpartition("/")[2], chain.name.replace("/", "-")
        for node in declarations.named_files.pop(chain.name, ()) if old != new else ():
            _rename(node, (new if node in chain.programs else new.lower()) + node.name[len(old) :])
    return bool(alike)


def _rename(node: Any, name: str) -> None:
    if not rename(node, name):
        what = f"would be called {name}, which this build knows already"
        raise DeclaredTwice(what, where=paths.shown(node), hint="give the images names that end differently")
    record, state = target_of(node), node.attributes.state
    if record is not None:
        state.subject = paths.shown(node)
    elif isinstance(index := target_of(state.targets[0]), IndexTarget):
        state.targets[0].attributes.target = msgspec.structs.replace(index, digest_file=paths.shown(node))
