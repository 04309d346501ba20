"""The words of the command line: what `-h` prints, which words are targets, and what `clean` and `run` do."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import SCons.Action
import SCons.Node.Alias
import SCons.Node.FS
import SCons.Script

from multiarch_oci.errors import MultiarchError, public, quoted
from multiarch_oci.platform import Platform
from scons_multiarch import paths
from scons_multiarch.commands import COMMANDS
from scons_multiarch.installation import command
from scons_multiarch.report import check_sources
from scons_multiarch.step import fail, message_of
from scons_multiarch.targets import is_image, platform_of
from scons_multiarch.tracking.phases import default_lists
from scons_multiarch.variables import VARIABLES, UnknownWord, nearest

TARGETS = (
    ("bin", (), "the programs"),
    ("images", ("image",), "one image tarball a platform"),
    ("release", (), "self-contained archives for docker load, podman load, skopeo"),
    ("load", (), "the images of this machine into the local engine"),
    ("push", (), "every platform tag"),
    ("manifest", ("create-multi-archimages",), "the index as a file (default)"),
    ("push-manifest", ("push-multi-archimages",), "the main tag, and all that it needs"),
    ("clean", (), "empty _output but for folder registries"),
    ("run", (), "the program of PLATFORM, by default of this machine, has run"),
)


QUESTIONS = (
    ("plan [target …]", "what would become of every image and tag, and how much would be uploaded"),
    ("why target …", "why each step would run, or ran last"),
    ("dockerfile [target …]", "the Dockerfile of the images, also of those that have none"),
    ("verify [target …]", "whether all that was pushed is still there; with targets, what is wrong is repaired"),
    ("check-bases, update-bases", "bases that moved; renew images.lock"),
)


_LOCAL_DEFAULTS = 3
"""What SCons calls the option -U."""


class CannotRun(MultiarchError):
    """A program that this machine cannot start."""


def help_text(values: dict[str, str]) -> str:
    """What `scons -h` prints before SCons' own options line."""
    scons = command()
    lines = [f"Usage: {scons} [options] [target …] [NAME=value …]", "", "Targets:"]
    lines += [f"  {', '.join((name, *others)):40} {text}" for name, others, text in TARGETS]
    lines += ["", "Questions (the first word; the targets after it are not built, but for those of verify):"]
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


def finish_reading(env: Any, here: Any, *, own: bool) -> None:
    """Set the default, check the words of the command line, seen from the folder `here`, and answer a question."""
    env.Alias("clean", [], SCons.Action.Action(lambda target, source, env: wipe(env), cmdstr="Clean _output"))  # noqa: ARG005
    run = env["MULTIARCH_RUN"]
    declare_run(env, run.declarations.to_start)
    env.AlwaysBuild(env.Alias(["clean", "run"]))
    set_default(env, own=own)
    if SCons.Script.GetOption("help"):
        from scons_multiarch.engines import help_text as engines_text

        env.Help(engines_text(run, filter(is_image, run.declarations.targets)), append=True)
    words = list(map(str, SCons.Script.COMMAND_LINE_TARGETS))
    question = COMMANDS.get(words[0]) if words else None
    check_sources(env, run.settings.outputs, run.declarations.targets)
    arguments = words[1:] if question else words
    check_words(here, arguments)
    if "clean" in words and len(words) > 1:  # targets are made side by side
        fail(UnknownWord("clean goes alone", hint=f"{command()} clean, and then the build"))
    if question:
        try:
            targets = [env.Alias(word)[0] if is_alias(word) else node_of(here, word) for word in arguments]
            status = importlib.import_module(question).run(env, targets)
            if status is not None:
                SCons.Script.Exit(status)
        except (MultiarchError, OSError) as error:
            fail(message_of(error))


def set_default(env: Any, *, own: bool) -> None:
    """Make `manifest` a default, unless the user has an `own` one, said before Targets(); later ones join it.

    With `-U` those of the folder alone are built, where there are any.
    """
    if not own and not (SCons.Script.GetOption("climb_up") == _LOCAL_DEFAULTS and SCons.Script.DEFAULT_TARGETS):
        env.Default("manifest")
    for targets in default_lists():
        targets[:] = [named_by(node) for node in targets]
    if SCons.Script.GetOption("clean") and not SCons.Script.COMMAND_LINE_TARGETS:
        env.Default("clean")
        env.Clean("clean", [str(path) for path in leavings(Path(env["MULTIARCH_RUN"].tree.root, "_output"))])


def named_by(node: Any) -> Any:
    """The alias that Default("bin") means, which said so before Targets() did: SCons took it for a file."""
    name = paths.shown(node)
    file = isinstance(node, SCons.Node.FS.Base) and not node.has_builder() and not node.exists()
    return SCons.Node.Alias.default_ans[name] if file and is_alias(name) else node


def check_words(here: Any, words: list[str]) -> None:
    """End the run for a word that is no target, seen from the folder `here`."""
    known = [*(name for name, others, _ in TARGETS for name in (name, *others) if is_alias(name)), *COMMANDS]
    for word in words:
        if not is_target(here, word):
            question = f"it is a question and comes first: {command()} {word} …"
            hint = question if word in COMMANDS else nearest(word, known)
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
    """Remove what was built."""
    for path in leavings(Path(env["MULTIARCH_RUN"].tree.root, "_output")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def declare_run(env: Any, programs: list[Any]) -> None:
    """Declare the target `run`: the program of PLATFORM, by default of this machine, is built and started."""
    chosen = [node for node in programs if starts_on(node, env["PLATFORM_TO_RUN"])]
    # The action holds no values of its own: SCons would look through all of them for its signature, in every run.
    env.Alias("run", chosen[:1], SCons.Action.Action(_run_program, cmdstr=None))


def _run_program(target: list[Any], source: list[Any], env: Any) -> int:  # noqa: ARG001  # as SCons calls it
    made = env["MULTIARCH_RUN"].declarations.to_start
    hint = "add it to PLATFORMS" if made else f"this build makes no programs; run its image: {command()} load"
    return start(source, env["PLATFORM_TO_RUN"], hint)


def starts_on(program: Any, host: Platform) -> bool:
    """Whether a program is known to be of this very machine; a program of another builder may not say."""
    platform = platform_of(program)
    return platform is not None and platform.architecture == host.architecture and platform.matches(host)


def start(programs: list[Any], platform: Platform, hint: str) -> int:
    """Start a program and wait for its end; its exit status is SCons's when it is not 0. `hint` helps where none is."""
    if not programs:
        fail(UnknownWord(f"nothing is built for {platform}", where="PLATFORM", hint=hint))
    try:
        return subprocess.run([programs[0].get_abspath()], check=False).returncode
    except OSError as error:
        fail(
            CannotRun(
                f"cannot be started here: {error.strerror}",
                where=paths.shown(programs[0]),
                hint=f"for {platform} install qemu-user-static and binfmt-support, or run its image: {command()} load",
            )
        )
