"""The words of the command line: what `-h` prints, which words are targets, and what `clean` and `run` do."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import SCons.Action
import SCons.Node.Alias
import SCons.Node.FS
import SCons.Script

from multiarch_oci.errors import MultiarchError, public, quoted
from multiarch_oci.platform import Platform
from scons_multiarch import paths
from scons_multiarch.commands import COMMANDS
from scons_multiarch.installation import command
from scons_multiarch.session import Declarations
from scons_multiarch.step import fail, message_of
from scons_multiarch.targets import Chain, is_image, platform_of
from scons_multiarch.tracking.phases import after_reading, default_lists, has_default
from scons_multiarch.variables import VARIABLES, UnknownWord, nearest, owner_of

TARGETS = (
    ("bin", (), "the programs"),
    ("images", ("image",), "one image tarball a platform"),
    ("release", (), "self-contained archives for docker load, podman load, skopeo"),
    ("load", (), "the images of this machine into the local engine"),
    ("push", (), "every platform tag"),
    ("manifest", ("create-multi-archimages",), "the index as a file (default)"),
    ("push-manifest", ("push-multi-archimages",), "the main tag, and all that it needs"),
    ("sbom", (), "what the images are made of, as SPDX and CycloneDX in _output/sbom"),
    ("provenance", (), "what every image and index was made from, as in-toto statements"),
    ("resolve", (), "deployment files with digests, below _output/deploy (env.Resolve)"),
    ("clean", (), "empty _output but for folder registries"),
    ("run", (), "the program of PLATFORM, by default of this machine, has run"),
)


QUESTIONS = (
    ("plan [target …]", "what would become of every image and tag, and how much would be uploaded"),
    ("why target …", "why each step would run, or ran last"),
    ("dockerfile [target …]", "the Dockerfile of the images, also of those that have none"),
    ("graph [target …]", "what is made of what, as mermaid, DOT or SVG: FORMAT=, OUTPUT="),
    ("tree what", "the layers of an output or a reference, their files, sizes, and who put them there"),
    ("diff one other", "platforms, configs and files that differ in two outputs, folders or references"),
    ("verify [target …]", "whether all that was pushed is still there; with targets, what is wrong is repaired"),
    ("watch [target …]", "builds, and again whenever an input of the targets changes, until Ctrl-C"),
    ("cache, cache prune", "what the shared cache holds; delete what no list of OLDER days names"),
    ("shards report.json …", "write shards.json: what each image took, so that SHARD divides evenly"),
    (
        "reproduce reference [FROM=.]",
        "whether a tag in a registry is what its revision makes; runs the build of that revision",
    ),
    ("check-bases, update-bases", "bases that moved; renew images.lock"),
)

OF_REFERENCES = ("tree", "diff", "reproduce", "shards")
"""Questions behind which references, folders and files may stand beside targets."""

Programs: TypeAlias = "Sequence[tuple[Platform | None, Any]]"
"""Programs of one image, each with its platform, where that is known."""

_OWN_WORDS = {"cache": ("prune",)}
"""Words that are no targets where they follow a question."""

_LOCAL_DEFAULTS = 3
"""What SCons calls the option -U."""


class CannotRun(MultiarchError):
    """A program that this machine cannot start."""


def help_text(values: Mapping[str, str], images: Sequence[str] = ()) -> str:
    """What `scons -h` prints before SCons' own options line; `images` are those that calls declare."""
    scons = command()
    lines = [f"Usage: {scons} [options] [target …] [NAME=value …]", "", "Targets:"]
    lines += [f"  {', '.join((name, *others)):40} {text}" for name, others, text in TARGETS]
    if images:
        example = f"{images[0]}:push-manifest"
        lines += [
            "",
            f"Images, each a target by its name, and by name and target ({example}):",
            f"  {', '.join(images)}",
        ]
    lines += ["", "Questions (the first word; the targets after it are not built, but for those of verify and watch):"]
    lines += [f"  {words:40} {text}" for words, text in QUESTIONS]
    lines += ["", "Variables, with their present values:"]
    lines += [f"  {public(f'{name}={values[name]}'):40} {text}" for name, _, text in VARIABLES]
    lines += [
        "",
        "Examples:",
        f"  {scons}                                     build everything, up to the manifest",
        f"  {scons} push-manifest REGISTRY=localhost:5000   publish to a registry",
        f"  {scons} images PLATFORMS=linux/arm64,windows/amd64   two platforms only",
        "",
    ]
    return "\n".join(lines)


def add_targets(env: Any, nodes: Mapping[str, Sequence[Any]], image: str = "") -> None:
    """Let nodes join targets of the command line; of an `image`, which has targets of its own, too."""
    aliases = {name: (name, *others) for name, others, _ in TARGETS}
    for name, members in nodes.items():
        for alias in aliases[name]:
            if members or not is_alias(alias):
                env.Alias(alias, members)
            if image:
                env.Alias(f"{image}:{alias}", members)


def is_asked_for(target: str) -> bool:
    """Whether the command line may lead to nodes of a target that are declared only then: each costs every run.

    A word says it (`sbom`, `api:sbom`, `_output/sbom/…`), or the whole tree; what a session will build nobody knows.
    """
    words = [str(word) for word in SCons.Script.COMMAND_LINE_TARGETS]
    whole = any(word.strip("/#") in ("", ".", "_output") for word in words)
    return whole or any(target in word for word in words) or bool(SCons.Script.GetOption("interactive"))


def targets_of(chain: Chain) -> dict[str, tuple[Any, ...]]:
    """The nodes of a chain by the target that they belong to; what is declared later only where it is asked for."""
    targets = chain.by_target()
    if is_asked_for("sbom"):
        targets["sbom"] = tuple(paths.flat((chain.sboms, chain.index_sbom)))
    if is_asked_for("provenance"):
        targets["provenance"] = (*chain.provenances, *chain.index_provenance)
    return targets


def check_when_read(env: Any) -> None:
    """Have the words checked, questions answered and the default set when all SConscripts have been read."""
    after_reading(lambda here: finish_reading(env, here), name="targets")


def name_images(env: Any, chains: Mapping[str, Chain]) -> None:
    """Let a word mean an image's index, and each of its targets by the last part of its name, where no other has it.

    A word that is a target of all images, a question, or an alias of the user's is that. Only now, as the text `api` in
    an SConscript is a file or folder until an alias has that name.
    """
    taken = {*(word for name, others, _ in TARGETS for word in (name, *others)), *COMMANDS}
    last = Counter(name.rpartition("/")[2] for name in chains)
    for name, chain in chains.items():
        short = name.rpartition("/")[2]
        if short != name and last[short] == 1 and short not in chains:
            add_targets(env, targets_of(chain), short)
            declare_run(env, [chain.started], f"{short}:run")
        for word in dict.fromkeys((name, short) if last[short] == 1 else (name,)):
            if word not in taken and not is_alias(word):
                env.Alias(word, chain.index)


def check_external(declarations: Declarations, text: str) -> None:
    """End the run for an item of EXTERNAL that is of no image, or of several, of those that calls declare."""
    for item in paths.items_of(text):
        owner, takers = owner_of(item)[0], sorted(declarations.outside.get(item, ()))
        by_hand = (
            declarations.own_default is not None and item.partition("=")[0] != f"{owner}:"
        )  # a reference to a folder
        if not owner or len(takers) == 1 or by_hand:
            continue
        where = "; what lies elsewhere is written host/… or ./folder/…"
        what = (
            f"{quoted(item)} is of several images: {', '.join(takers)}" if takers else f"{quoted(item)} is of no image"
        )
        fail(UnknownWord(what, where="EXTERNAL", hint=nearest(owner, list(declarations.chains)) + where))


def finish_reading(env: Any, here: Any) -> None:
    """Set the default, check the words of the command line, seen from the folder `here`, and answer a question."""
    run = env["MULTIARCH_RUN"]
    declarations, chains = run.declarations, run.declarations.chains
    name_images(env, chains)
    env.Alias("clean", [], SCons.Action.Action(lambda target, source, env: wipe(env), cmdstr="Clean _output"))  # noqa: ARG005
    by_hand = [(platform_of(node), node) for node in declarations.to_start]
    declare_run(env, [by_hand, *(chain.started for chain in chains.values())])
    env.AlwaysBuild(env.Alias(["clean"]))
    check_external(declarations, env["VARIABLE_TEXTS"]["EXTERNAL"])
    set_default(env, own=has_default() if declarations.own_default is None else declarations.own_default)
    if SCons.Script.GetOption("help"):
        _complete_help(env, declarations)
    words = list(map(str, SCons.Script.COMMAND_LINE_TARGETS))
    question = COMMANDS.get(words[0]) if words else None
    if run.settings.outputs:
        from scons_multiarch.report import check_sources

        check_sources(env, run.settings.outputs, declarations.targets)
    own = [word for word in words[1:] if word in _OWN_WORDS.get(words[0], ())]
    arguments = [word for word in words[1:] if word not in own] if question else words
    if not (question and words[0] in OF_REFERENCES):
        check_words(here, arguments, chains)
    if "clean" in words and len(words) > 1:  # targets are made side by side
        fail(UnknownWord("clean goes alone", hint=f"{command()} clean, and then the build"))
    if not question and declarations.attests:
        _check_signers(run)
    if not question and run.settings.shard is not None and not SCons.Script.GetOption("clean"):
        _divide(env, words)
    if question:
        try:
            targets = [named_node(here, word) for word in arguments]
            module, function = question.split(":")
            status = getattr(importlib.import_module(module), function)(env, [*own, *targets])
            if status is not None:
                SCons.Script.Exit(status)
        except (MultiarchError, OSError) as error:
            fail(message_of(error))


def _divide(env: Any, words: Sequence[str]) -> None:
    """Have this machine's part of the images built first (SHARD)."""
    from scons_multiarch.shared.sharding import build_part

    try:
        build_part(env, words)
    except MultiarchError as error:
        fail(error)


def _complete_help(env: Any, declarations: Declarations) -> None:
    """Let the text of `-h` name the images that were declared, and the engines that are there."""
    from scons_multiarch.engines import help_text as engines_text

    if declarations.chains:
        texts = env["VARIABLE_TEXTS"]
        names = texts["IMAGE"] if "IMAGE" in env["SAID_VARIABLES"] else ", ".join(declarations.chains)
        named = help_text({**texts, "IMAGE": names}, list(declarations.chains))
        SCons.Script.help_text = SCons.Script.help_text.replace(help_text(texts), named)
    env.Help(engines_text(env["MULTIARCH_RUN"], filter(is_image, declarations.targets)), append=True)


def _check_signers(run: Any) -> None:
    """End the run before its first step where who signs cannot; a session asks later."""
    if SCons.Script.GetOption("help") or SCons.Script.GetOption("clean") or run.settings.interactive:
        return
    from scons_multiarch.attestations import check_signers

    try:
        check_signers(run)
    except MultiarchError as error:
        fail(error)


def set_default(env: Any, *, own: bool) -> None:
    """Make `manifest` a default, unless the user has an `own` one; before Targets(), as later ones join that.

    With `-U` those of the folder alone are built, where there are any; else its indexes.
    """
    local = SCons.Script.GetOption("climb_up") == _LOCAL_DEFAULTS
    if not own and not (local and SCons.Script.DEFAULT_TARGETS):
        # An alias that several SConscripts add to is, to SCons, of the folder of the last.
        env.Default(env.Alias("manifest")[0].sources if local else "manifest")
    for targets in default_lists():
        targets[:] = [named_by(node, env["MULTIARCH_RUN"].declarations.chains) for node in targets]
    if SCons.Script.GetOption("clean") and not SCons.Script.COMMAND_LINE_TARGETS:
        env.Default("clean")
        env.Clean("clean", [str(path) for path in leavings(Path(env["MULTIARCH_RUN"].tree.root, "_output"))])


def named_by(node: Any, images: Container[str] = ()) -> Any:
    """The alias that Default("bin") means, which was not there when it was said: SCons took it for a file.

    That was seen from the SConscript. The name of an image is that image, though a folder is called alike.
    """
    if not isinstance(node, SCons.Node.FS.Base) or node.has_builder():
        return node
    parts = paths.shown(node).split("/")
    for name in ("/".join(parts[start:]) for start in range(len(parts))):
        if is_alias(name) and (name in images or not node.exists()):
            return SCons.Node.Alias.default_ans[name]
    return node


def check_words(here: Any, words: list[str], images: Iterable[str] = ()) -> None:
    """End the run for a word that is no target, seen from the folder `here`; `images` are the names of images."""
    names = [name for target, others, _ in TARGETS for name in (target, *others)]
    own = [f"{image}:{name}" for image in images for name in names]
    known = [*filter(is_alias, [*names, *images]), *COMMANDS]
    for word in words:
        if not is_target(here, word):
            question = f"it is a question and comes first: {command()} {word} …"
            if word.rpartition(":")[2] == "resolve":
                question = 'env.Resolve("deployment.yaml", image) in the SConstruct declares what it makes'
            near = list(filter(is_alias, own)) if ":" in word else []
            hint = (
                question if word in COMMANDS or word.rpartition(":")[2] == "resolve" else nearest(word, near or known)
            )
            fail(UnknownWord(f"there is no target {quoted(word)[1:-1]}", hint=hint))


def is_target(here: Any, word: str) -> bool:
    """Whether a word of the command line is an alias, a target, or something on disk."""
    if is_alias(word):
        return True
    try:
        node = node_of(here, word)
    except TypeError:  # a path through a file
        return False
    inside = isinstance(node, SCons.Node.FS.Dir) and len(node.entries) > len((".", ".."))
    return bool(node.rexists() or node.has_builder() or inside)


def named_node(here: Any, word: str) -> Any:
    """The node that a word behind a question names; the word itself where it is none, and where it may be none."""
    if is_alias(word):
        return SCons.Node.Alias.default_ans[word]
    return node_of(here, word) if is_target(here, word) else word


def node_of(here: Any, word: str) -> Any:
    """The node that SCons takes a word for that is no alias."""
    return here.fs.Entry(word, directory=here).disambiguate()


def is_alias(word: str) -> bool:
    """Whether an alias has this name."""
    return SCons.Node.Alias.default_ans.lookup(word) is not None


def leavings(output: Path) -> list[Path]:
    """Everything in the output folder but folder registries, which hold what was published."""
    if output.is_symlink():
        hint = "remove by hand what the build made there"
        fail(UnknownWord("is a link, and what it leads to is not emptied", where=output.name, hint=hint))
    entries = sorted(output.iterdir()) if output.is_dir() else []
    return [entry for entry in entries if not any(entry.glob("oci-layout")) and not any(entry.glob("**/oci-layout"))]


def wipe(env: Any) -> None:
    """Remove what was built, and forget what a shared cache holds of it."""
    env["MULTIARCH_RUN"].tree.held.clear()
    for path in leavings(Path(env["MULTIARCH_RUN"].tree.root, "_output")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def declare_run(env: Any, images: Iterable[Programs], word: str = "run") -> None:
    """Declare the target `run`: of each image the program of PLATFORM, by default of this machine, is started."""
    host = env["PLATFORM_TO_RUN"]
    chosen = [first for programs in images for first in [n for of, n in programs if starts_on(of, host)][:1]]
    # The action holds no values of its own: SCons would look through all of them for its signature, in every run.
    env.AlwaysBuild(env.Alias(word, chosen, SCons.Action.Action(_run_programs, cmdstr=None)))


def _run_programs(target: list[Any], source: list[Any], env: Any) -> int:  # noqa: ARG001  # as SCons calls it
    run = env["MULTIARCH_RUN"]
    declarations = run.declarations
    made = declarations.to_start or any(chain.started for chain in declarations.chains.values())
    hint = "add it to PLATFORMS" if made else f"this build makes no programs; run its image: {command()} load"
    with run.build.lines().aside():
        return start(source, env["PLATFORM_TO_RUN"], hint)


def starts_on(platform: Platform | None, host: Platform) -> bool:
    """Whether a program is known to be of this very machine; one of another builder may not say."""
    return platform is not None and platform.architecture == host.architecture and platform.matches(host)


def start(programs: list[Any], platform: Platform, hint: str) -> int:
    """Start programs, each when the one before ended; the first exit status that is not 0 ends that, and is SCons's.

    `hint` helps where there is none to start.
    """
    if not programs:
        fail(UnknownWord(f"nothing is built for {platform}", where="PLATFORM", hint=hint))
    for program in programs:
        try:
            status = subprocess.run([program.get_abspath()], check=False).returncode
        except OSError as error:
            run_image = f"run its image: {command()} load"
            fail(
                CannotRun(
                    f"cannot be started here: {error.strerror}",
                    where=paths.shown(program),
                    hint=f"for {platform} install qemu-user-static and binfmt-support, or {run_image}",
                )
            )
        if status:
            return status
    return 0
