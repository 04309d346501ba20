"""`env.MultiarchImage` and `env.GoImage`: a whole chain by one call (behaviour, sections 1 and 7).

Any number of calls, of any SConscripts, add up: each has words of its own on the command line, and its nodes join the
targets that all share. Variables in capitals are of that image alone, as with SCons' own builders.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import SCons.Script

from multiarch_oci.engine import AUTO, NAMES
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.platform import InvalidPlatform, Platform, declared
from multiarch_oci.reference import Destination
from multiarch_oci.version import Version, expand, unmoved
from scons_multiarch import paths
from scons_multiarch.cli import add_targets, check_when_read, declare_run
from scons_multiarch.programs import KEYWORDS
from scons_multiarch.session import Declarations
from scons_multiarch.step import WrongCall
from scons_multiarch.targets import Chain, DeclaredTwice, IndexTarget, target_of
from scons_multiarch.tracking.phases import override, rename
from scons_multiarch.variables import (
    VARIABLES,
    destinations_of,
    external,
    items_of,
    literal,
    one_of,
    owner_of,
    pairs,
    text_of,
    truth_of,
)
from scons_multiarch.versions import version_of

if TYPE_CHECKING:
    from multiarch_oci.git import Described

TOOLS = ("oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index")
"""What a chain needs; an environment that was not given one of them gets it."""

COMMAND_LINE_FIRST = ("VERSION", "REGISTRY", "PLATFORMS")
"""What is said of these on the command line counts for every image, whatever its keywords say."""

OF_ONE_IMAGE = (
    *COMMAND_LINE_FIRST,
    *("VERSION_TAG", "EXTERNAL", "TAGS", "LABELS", "ANNOTATIONS", "BUILD_ARGS", "ENGINE", "REBASE"),
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


class NoContents(MultiarchError, ValueError):
    """A mapping of platforms that leaves one out."""


class SeveralImages(MultiarchError, ValueError):
    """What can be said of one image only, in a build of several."""


class Parts(NamedTuple):
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


def multiarch_image(
    env: Any, name: Any, contents: Any = (), *, dockerfile: Any = None, repository: Any = None, **keywords: Any
) -> Chain:
    """Declare programs, images, archives, loads, pushes, index and its publication, for every platform of PLATFORMS.

    `contents` is a function of the platform, a mapping from platforms to nodes, or nodes that serve all platforms; so
    may be each keyword of `env.Image`. `name` names the files, the words of the command line and, unless `repository`
    does, the repository below REGISTRY. `dockerfile` is by default the first of the platform's names in the folder of
    the SConscript.
    """
    parts = _parts(env, "MultiarchImage", name, repository, keywords)
    here = [env.fs.getcwd()]
    if isinstance(contents, Mapping):
        contents = {paths.platform_of("MultiarchImage: contents", key): value for key, value in contents.items()}
    chain = _chain(parts, lambda platform: _of(contents, platform, "MultiarchImage: contents"), dockerfile, here)
    return _join(parts, chain)


def go_image(
    env: Any, name: Any, package: Any = ".", *, dockerfile: Any = None, repository: Any = None, **keywords: Any
) -> Chain:
    """Declare a Go program for every platform, and the chain of its images.

    `package` is as for `env.GoBinary`, and so are its keywords; any may be a function of the platform, or a mapping. A
    Dockerfile is looked for in the folder of the SConscript, then in the package's.
    """
    go = {word: keywords.pop(word) for word in ("sources", *KEYWORDS) if word in keywords}
    parts = _parts(env, "GoImage", name, repository, keywords)
    _need(env, "go_binary")

    def program(platform: Platform) -> Any:
        own = {word: _of(value, platform, f"GoImage: {word}") for word, value in go.items()}
        target = f"#/_output/bin/{platform.directory}/{parts.program}"
        return parts.env.GoBinary(target, package, platform=platform, **own)

    folders = [env.fs.getcwd()]
    if isinstance(package, str) and package.startswith("./") and "GODIR" not in go:
        folders.append(env.fs.Dir(package))
    chain = _chain(parts, program, dockerfile, folders)
    return _join(parts, chain, chain.programs)


def _chain(parts: Parts, contents: Callable[[Platform], Any], dockerfile: Any, folders: list[Any]) -> Chain:
    """Declare all nodes of one image."""
    name, file, env, version = parts.name, parts.file, parts.env, parts.env["VERSION"]
    images, archives, loads, pushes, programs, started = [], [], [], [], [], []
    for platform in env["PLATFORMS"]:
        nodes = paths.nodes(env, f"{name}: contents", contents(platform))
        tag = f"$REPOSITORY:$VERSION-{platform.tag_suffix}"
        image = env.Image(
            f"#/_output/images/{file}-{platform.slug}.tar",
            nodes,
            dockerfile=_dockerfiles(_of(dockerfile, platform, "dockerfile"), platform, folders),
            platform=platform,
            **{word: _of(value, platform, word) for word, value in parts.image.items()},
        )
        made = [node for node in nodes if node.has_builder()]
        programs += [node for node in made if node not in programs]
        started += [(platform, node) for node in made[:1]]
        images += image
        archives += env.Archive(f"#/_output/release/{file}-{version}-{platform.slug}.tar", image, reference=tag)
        loads += env.Load(image, tag)
        pushes += env.Push(image, tag)
    pins = [node for platform, reference in env["EXTERNAL"] for node in env.Pin(reference, platform=platform)]
    index = env.Index(
        f"#/_output/manifest/{file}-{version}.json",
        [images, pins],
        platforms=[*env["PLATFORMS"], *(platform for platform, _ in env["EXTERNAL"])],
        annotations=parts.annotations,
    )
    published = env.Push(index, "$REPOSITORY:$VERSION", children=[pushes, pins], also=env["TAGS"])
    if parts.not_moved is not None:
        for node in published:
            node.attributes.not_moved = parts.not_moved
    made_once = *map(tuple, (pins, index, published)), tuple(started)
    destination = str(env.subst("$REPOSITORY"))
    return Chain(
        name,
        (destination,),
        tuple(env["PLATFORMS"]),
        *map(tuple, (programs, images, archives, loads, pushes)),
        *made_once,
    )


def _join(parts: Parts, chain: Chain, named: Iterable[Any] = ()) -> Chain:
    """Let the nodes join the targets of the command line; `named` are programs whose files are called by the image."""
    env, declarations = parts.env, parts.env["MULTIARCH_RUN"].declarations
    declarations.chains[chain.name] = chain
    if parts.program == chain.name.rpartition("/")[2]:  # and not the whole name
        both = chain.index[0].get_executor().get_all_targets()
        declarations.named_files[chain.name] = [*chain.images, *chain.archives, *both, *named]
    add_targets(env, chain.by_target(), chain.name)
    declare_run(env, [chain.started], f"{chain.name}:run")
    check_when_read(env)
    return chain


def _dockerfiles(given: Any, platform: Platform, folders: list[Any]) -> Any:
    return given or [folder.File(name) for folder in folders for name in platform.dockerfiles()]


def _of(given: Any, platform: Platform, parameter: str) -> Any:
    """What is for a platform: the answer of a function, the value of a mapping from platforms; else the thing itself.

    A key without a version of Windows serves all versions that have no key of their own.
    """
    if callable(given) and not isinstance(given, SCons.Node.Node):
        return given(platform)
    if not isinstance(given, Mapping) or not given:
        return given
    known = {key: _platform(key) for key in given}
    if not all(known.values()):
        return given
    for key in (platform, msgspec.structs.replace(platform, os_version="", os_features=())):
        for word, named in known.items():
            if named == key:
                return given[word]
    hint = "add it, or leave it out of PLATFORMS"
    raise NoContents(f"there is nothing for {platform}", where=parameter, hint=hint)


def _platform(key: Any) -> Platform | None:
    """The platform that a key of a mapping names; None for any other word."""
    if isinstance(key, Platform):
        return key.normalized()
    if not isinstance(key, str) or "/" not in key:
        return None
    try:
        platform = Platform.parse(key)
        platform.check_known(key)
    except InvalidPlatform:
        return None
    return platform


def _need(env: Any, tool: str) -> None:
    """Have a Tool in an environment that was not given it."""
    if tool not in env["TOOLS"]:
        env.Tool(tool)


def _parts(env: Any, builder: str, given: Any, repository: Any, keywords: dict[str, Any]) -> Parts:
    """Read what a call says. Raises MultiarchError for what is wrong with a name or a keyword."""
    for tool in TOOLS:
        _need(env, tool)
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
    names = {
        "VERSION": str(version),
        "IMAGE": path,
        "IMAGE_FILE": file,
        "REPOSITORY": literal(f"{destinations[0]}/{path}"),
    }
    own = override(env, {**_typed(env, builder, given_variables), **names})
    own["DESCRIBED"] = described
    own["REPOSITORIES"] = tuple(literal(f"{destination}/{path}") for destination in destinations)
    own["EXTERNAL"] = external(spelled["EXTERNAL"], destinations[0], path, words)
    for word in {"LABELS", "BUILD_ARGS"} & set(given_variables):
        own[word] = tuple((key, str(own.subst(value))) for key, value in own[word])
    unmoved_tags = None
    if {"VERSION", "VERSION_TAG", "TAGS"} & set(given_variables):
        own["TAGS"] = expand(spelled["TAGS"], version)
        unmoved_tags = unmoved(spelled["TAGS"], version), f"{version} is a pre-release"
    noted = (*own["ANNOTATIONS"], *(annotations.items() if isinstance(annotations, Mapping) else annotations))
    return Parts(name, file, name.replace("/", "-") if whole else last, own, noted, image, unmoved_tags)


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
    typed = {word: value for word, value in given_variables.items() if word not in OF_ONE_IMAGE}
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
    for item in items_of(text):
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
