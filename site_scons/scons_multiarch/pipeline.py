"""`env.MultiarchImage` and `env.GoImage`: a whole chain by one call (behaviour, sections 1 and 7).

Any number of calls, of any SConscripts, add up: each has words of its own on the command line, and its nodes join the
targets that all share. Variables in capitals are of that image alone, as with SCons' own builders.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import SCons.Node.FS

from multiarch_oci.architectures import KNOWN
from multiarch_oci.platform import Platform
from scons_multiarch import paths
from scons_multiarch.calls import Call, read_call
from scons_multiarch.cli import add_targets, check_when_read, declare_run, targets_of
from scons_multiarch.programs import KEYWORDS
from scons_multiarch.sources import dockerfile_of
from scons_multiarch.targets import Chain, SbomTarget, is_index

if TYPE_CHECKING:
    from scons_multiarch.documents import Documents

TOOLS = ("oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index", "oci_sbom", "oci_provenance")
"""What a chain needs; an environment that was not given one of them gets it."""


def multiarch_image(
    env: Any, name: Any, contents: Any = (), *, dockerfile: Any = (), repository: Any = None, **keywords: Any
) -> Chain:
    """Declare programs, images, archives, loads, pushes, index and its publication, for every platform of PLATFORMS.

    `contents` is a function of the platform, a mapping from platforms to nodes, or nodes that serve all platforms; so
    may be each keyword of `env.Image`. `name` names the files, the words of the command line and, unless `repository`
    does, the repository below REGISTRY. `dockerfile` is by default the first of the platform's names in the folder of
    the SConscript; where there is none, or with None, the image is the contents alone, which are one program then.
    """
    _need(env, *TOOLS)
    _need(env, *_of_promises(env))
    call = read_call(env, "MultiarchImage", name, repository, keywords)
    here = [env.fs.getcwd()]
    if isinstance(contents, Mapping):
        contents = {paths.platform_of("MultiarchImage: contents", key): value for key, value in contents.items()}

    def content(platform: Platform) -> Any:
        return paths.for_platform("MultiarchImage: contents", contents, platform)

    chain = _chain(call, content, dockerfile, here)
    return _join(call, chain)


def go_image(
    env: Any, name: Any, package: Any = ".", *, dockerfile: Any = (), repository: Any = None, **keywords: Any
) -> Chain:
    """Declare a Go program for every platform, and the chain of its images.

    `package` is as for `env.GoBinary`, and so are its keywords; any may be a function of the platform, or a mapping. A
    Dockerfile is looked for in the folder of the SConscript, then in the package's.
    """
    go = {word: keywords.pop(word) for word in ("sources", *KEYWORDS) if word in keywords}
    _need(env, "go_binary", *TOOLS)
    _need(env, *_of_promises(env))
    call = read_call(env, "GoImage", name, repository, keywords)

    def program(platform: Platform) -> Any:
        own = {word: paths.for_platform(f"GoImage: {word}", value, platform) for word, value in go.items()}
        target = f"#/_output/bin/{platform.directory}/{call.program}"
        return call.env.GoBinary(target, package, platform=platform, **own)

    folders = [env.fs.getcwd()]
    if "GODIR" not in go and not (isinstance(package, str) and not package.startswith("./")):
        folders.append(paths.folder(env, "GoImage: package", package))
    chain = _chain(call, program, dockerfile, folders)
    return _join(call, chain, chain.programs)


def _chain(call: Call, contents: Callable[[Platform], Any], dockerfile: Any, folders: list[Any]) -> Chain:
    """Declare all nodes of one image."""
    name, file, env, version = call.name, call.file, call.env, call.env["VERSION"]
    images, archives, loads, pushes, programs, started = [], [], [], [], [], []
    for platform in env["PLATFORMS"]:
        nodes = paths.nodes(env, f"{name}: contents", contents(platform))
        tag = f"$REPOSITORY:$VERSION-{platform.tag_suffix}"
        image = _image(call, platform, nodes, paths.for_platform("dockerfile", dockerfile, platform), folders)
        made = [node for node in nodes if node.has_explicit_builder()]  # SCons makes folders, too
        programs += [node for node in made if node not in programs]
        started += [(platform, node) for node in made if isinstance(node, SCons.Node.FS.File)][:1]
        images += image
        archives += env.Archive(f"#/_output/release/{file}-{version}-{platform.slug}.tar", image, reference=tag)
        loads += env.Load(image, tag)
        pushes += env.Push(image, tag)
    pins = [node for platform, reference in env["EXTERNAL"] for node in env.Pin(reference, platform=platform)]
    index = env.Index(
        f"#/_output/manifest/{file}-{version}.json",
        [images, pins],
        platforms=[*env["PLATFORMS"], *(platform for platform, _ in env["EXTERNAL"])],
        annotations=call.annotations,
    )
    published = env.Push(index, "$REPOSITORY:$VERSION", children=[pushes, pins], also=env["TAGS"])
    if call.not_moved is not None:
        for node in published:
            node.attributes.not_moved = call.not_moved
    members: list[Any] = [
        name,
        tuple(map(str, map(env.subst, env["REPOSITORIES"]))),
        tuple(env["PLATFORMS"]),
        *map(tuple, (programs, images, archives, loads, pushes, pins, index, published, started)),
        functools.cache(functools.partial(_sbom, call)),
        functools.cache(functools.partial(_provenance, call)),
    ]
    return Chain(*members)


def _sbom(call: Call, subject: Any) -> tuple[Any, ...]:
    """Declare the SBOM of an image or of the index; its files are called as that."""
    from scons_multiarch.documents import stem  # start-up

    target, record = f"#/{stem(subject, 'sbom')}", _sbom_record(call, subject)
    nodes = tuple(call.env.Sbom(target, subject, name=record.name, version=record.version))
    _name_alike(call, nodes)
    return nodes


def _sbom_record(call: Call, subject: Any) -> SbomTarget:
    return SbomTarget(call.env["IMAGE"], call.env["VERSION" if is_index(subject) else "RELEASE"])


def _provenance(call: Call, subject: Any) -> tuple[Any, ...]:
    """Declare the provenance of an image or of the index; its file is called as that."""
    from scons_multiarch.documents import stem  # start-up

    nodes = tuple(call.env.Provenance(f"#/{stem(subject, 'provenance')}.json", subject))
    _name_alike(call, nodes)
    return nodes


def _name_alike(call: Call, nodes: Iterable[Any]) -> None:
    """Have files called by the image that were declared when they were asked for."""
    named = call.env["MULTIARCH_RUN"].declarations.named_files.get(call.name)
    if named is not None:
        named.extend(nodes)


def _image(call: Call, platform: Platform, contents: list[Any], dockerfile: Any, folders: list[Any]) -> Any:
    return call.env.Image(
        f"#/_output/images/{call.file}-{platform.slug}.tar",
        contents,
        dockerfile=_dockerfile(call.env, dockerfile, platform, folders, contents),
        platform=platform,
        **{word: paths.for_platform(word, value, platform) for word, value in call.image.items()},
    )


def _join(call: Call, chain: Chain, named: Iterable[Any] = ()) -> Chain:
    """Let the nodes join the targets of the command line; `named` are programs whose files are called by the image."""
    env, declarations = call.env, call.env["MULTIARCH_RUN"].declarations
    declarations.chains[chain.name] = chain
    if call.program == chain.name.rpartition("/")[2]:  # and not the whole name
        both = chain.index[0].get_executor().get_all_targets()
        declarations.named_files[chain.name] = [*chain.images, *chain.archives, *both, *named]
    add_targets(env, targets_of(chain), chain.name)
    declare_run(env, [chain.started], f"{chain.name}:run")
    check_when_read(env)
    return _attested(call, chain) if _of_promises(env) else chain


def _of_promises(env: Any) -> tuple[str, ...]:
    """The Tools of what is said of images in their registries, where something is."""
    return ("oci_attest",) if env["ATTEST"] or env["SIGN"] else ()


def _attested(call: Call, chain: Chain) -> Chain:
    """Declare what ATTEST and SIGN promise of each image and of the index, in each registry."""
    several = len(chain.repositories)
    pushes = [chain.pushes[first : first + several] for first in range(0, len(chain.pushes), several)]
    subjects = (*chain.images, chain.index[0])
    attests = [
        call.env.Attest(pushed, _documents(call, chain, subject))
        for subject, pushed in zip(subjects, (*pushes, chain.published), strict=True)
    ]
    return msgspec.structs.replace(chain, attests=tuple(paths.flat(attests)))


def _documents(call: Call, chain: Chain, subject: Any) -> Documents:
    """What ATTEST promises of an image or of the index."""
    from scons_multiarch.documents import Documents  # start-up

    promised = call.env["ATTEST"]
    sbom, provenance = "sbom" in promised, "provenance" in promised

    def declare() -> list[Any]:
        return [*(chain.sbom_of(subject) if sbom else ()), *(chain.provenance_of(subject) if provenance else ())]

    return Documents(subject, _sbom_record(call, subject) if sbom else None, provenance, declare)


def _dockerfile(env: Any, given: Any, platform: Platform, folders: list[Any], contents: list[Any]) -> Any:
    """The Dockerfile that is named; else the first in these folders, or None, for an image of the contents alone.

    Where other platforms have a Dockerfile, one is missing for this one: another kind of image would be a surprise.
    """
    if given is None or list(paths.flat(given)):
        return given
    if contents and not any(map(_has_dockerfiles, folders)):
        return None
    return dockerfile_of(env, [folder.File(name) for folder in folders for name in platform.dockerfiles()], platform)


def _has_dockerfiles(folder: Any) -> bool:
    """Whether a Dockerfile of any platform lies in a folder, or is made there."""
    words = {"win", *(word for platform in KNOWN for word in platform)}
    for node in folder.glob("Dockerfile*"):
        name, dot, of = node.name.partition(".")
        if name != "Dockerfile" or (dot and of.partition("-")[0] not in words):
            continue
        if node.has_builder() or node.rexists() or node.srcnode().rexists():
            return True
    return False


def _need(env: Any, *tools: str) -> None:
    """Have Tools in an environment that was not given them."""
    for tool in tools:
        if tool not in env["TOOLS"]:
            env.Tool(tool)
