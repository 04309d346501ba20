"""Which Dockerfile an image has, and which files and folders of this build it copies."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node.FS
from msgspec.structs import replace

from multiarch_oci.engine.frontend import may_be_pattern
from multiarch_oci.errors import MultiarchError
from scons_multiarch import paths
from scons_multiarch.context import There, made_below, made_in_tree
from scons_multiarch.graph import nodes_below
from scons_multiarch.images import with_bases
from scons_multiarch.tracking.folders import is_made
from scons_multiarch.tracking.nodes import track
from scons_multiarch.tracking.state import is_ours

if TYPE_CHECKING:
    from multiarch_oci.engine import BuildPlan
    from multiarch_oci.platform import Platform


IGNORE = ".dockerignore"


class NoDockerfile(MultiarchError, ValueError):
    """A platform for which no Dockerfile is there."""


def generated(env: Any, reached: Any, target: Any) -> list[Any]:
    """The nodes of generated files and folders that a COPY or ADD takes; `reached` is the Dockerfile's inputs."""
    run = env["MULTIARCH_RUN"]
    nodes = _taken(made_in_tree(run), reached, target)
    nodes += [node for node in _led_to(run, reached, target) if node not in nodes]
    for named in reached.named:
        if named.folder is None:
            nodes += [node for node in _in_given(env, named, target) if node not in nodes]
            continue
        there = _made_in(env, named.folder, target)
        nodes += [node for node in _taken(there, named.inputs, target) if node not in nodes]
    return nodes


def _made_in(env: Any, folder: Path, target: Any) -> There:
    """What builders make in a folder that is named, without what no image may hold; looked for once."""
    plan = target.attributes.target.plan
    there: There = env["MULTIARCH_RUN"].build.once(("generated", folder), partial(_named, env, folder, plan))
    return there


def _led_to(run: Any, reached: Any, target: Any) -> Iterator[Any]:
    """What builders make that links lead to, in the folders whose links are followed."""
    plan = target.attributes.target.plan
    for folder in plan.followed:
        for file in reached.files:
            link = run.tree.root / file.path
            if not f"{file.path}/".startswith(f"{folder}/") or not link.is_symlink():
                continue
            end = Path(os.path.realpath(link))
            for path, node in made_in_tree(run).nodes.items():
                if node is not target and (run.tree.root / path).is_relative_to(end):
                    yield node


def _in_given(env: Any, named: Any, target: Any) -> Iterator[Any]:
    """What builders make in the folders of the project that are given in the place of a stage."""
    for file in named.context.files:
        node = None if file.origin is None else env.fs.Entry(str(file.origin)).disambiguate()
        if isinstance(node, SCons.Node.FS.Dir) and not node.has_builder():
            yield from _named(env, file.origin, target.attributes.target.plan).nodes.values()


def _named(env: Any, folder: Path, plan: BuildPlan) -> There:
    from multiarch_oci.engine.frontend.named import hidden_in

    node = env.fs.Entry(str(folder))
    if node.has_builder() and not isinstance(node, SCons.Node.FS.Dir):
        return There([], {"": node}, [""])  # a folder, though its declaration does not say so
    node = env.fs.Dir(node)
    there = made_below(node, hidden_in(folder, replace(plan, hidden=env["MULTIARCH_RUN"].declarations.hidden)))
    return there if not is_made(node) else There(there.paths, {**there.nodes, "": node}, [*there.folders, ""])


def _taken(there: There, reached: Any, target: Any) -> list[Any]:
    paths, nodes, folders = there.paths, there.nodes, there.folders
    taken = {}
    for pattern in reached.patterns:
        prefix = _fixed(pattern)
        at = bisect.bisect_left(paths, prefix)
        while at < len(paths) and paths[at].startswith(prefix):
            path = paths[at]
            node = nodes[path]
            is_taken = reached.reaches(path) or (_may_be_folder(node) and reached.enters(path))
            if is_taken and node is not target:
                taken[path] = node
            at += 1
        # What is in a folder is not known before it is made.
        above = [path for path in _above(pattern) if path in nodes and path not in taken and nodes[path] is not target]
        taken.update((path, nodes[path]) for path in above if reached.enters(path))
    taken.update((path, nodes[path]) for path in folders if path not in taken and (not path or reached.enters(path)))
    return [taken[path] for path in sorted(taken)]


def _may_be_folder(node: Any) -> bool:
    """Whether a builder that does not say so makes, or made, a folder of this name."""
    return type(node) is SCons.Node.FS.Entry or Path(node.get_abspath()).is_dir()


def _above(pattern: str) -> Iterator[str]:
    """The paths of the folders that a pattern lies in."""
    slash = pattern.find("/")
    while slash >= 0:
        yield pattern[:slash]
        slash = pattern.find("/", slash + 1)


def _fixed(pattern: str) -> str:
    """What stands before the first wildcard of a pattern."""
    if not may_be_pattern(pattern) and "\\" not in pattern:
        return pattern
    return next((pattern[:end] for end, sign in enumerate(pattern) if sign in "*?[\\"), pattern)


def dockerfile_of(env: Any, candidates: Any, platform: Platform) -> Any:
    """The first Dockerfile that exists or is generated; ends the run when there is none."""
    nodes = [paths.file(env, "Image: dockerfile", name) for name in paths.flat(candidates)]
    for node in nodes:
        env["MULTIARCH_RUN"].note_looked_for(node.srcnode().get_abspath())
        if node.has_builder() or node.rexists() or node.srcnode().rexists():  # under -n no variant folder gets copies
            return node
    names = ", ".join(map(paths.shown, nodes))
    hint = f"write one of: {names}; or say dockerfile=None, for an image of the program alone"
    hint = hint if names else 'dockerfile="Dockerfile"'
    raise NoDockerfile(f"there is no Dockerfile for {platform}", hint=hint)


def recipe_path(node: Any) -> Path:
    """Where to read a Dockerfile: one that nothing makes where it was written, its ignore file beside it.

    That is the folder of the sources for one in a variant folder, or a Repository.
    """
    if not node.has_builder() and node.srcnode().rexists():
        node = node.srcnode()
    return Path(node.rfile().get_abspath())


def scan(node: Any, env: Any, around: list[Any]) -> list[Any]:
    """The files of the image that something in this build makes, found in what its Dockerfile copies.

    With them what is made in the folders `around` the image, which are its contents.
    """
    for source in node.sources:
        if not source.has_builder():
            source.exists()  # a variant folder gets its copy by this question
    plan, run = node.attributes.target.plan, env["MULTIARCH_RUN"]
    beside = _beside(run, plan)
    node.add_prerequisite(_secrets(run, plan))
    if not plan.text and not plan.dockerfile.exists():
        return _waited_for(env, node, beside)
    run.declarations.hide_cache(env)
    try:
        # Kept for the decision, which comes next: when something before the image is made, SCons scans again.
        node.attributes.state.seen = _, inputs = with_bases(run, plan)
    except MultiarchError:
        return _waited_for(env, node, beside)  # the step says what is wrong with the Dockerfile
    made = [other for other in generated(env, inputs, node) if not other.side_effect or _is_input(other, inputs, node)]
    for named in inputs.named:
        if named.folder is not None:
            beside += filter(None, [_made_in(env, named.folder, node).nodes.get(IGNORE)])
    for folder in around:
        inside = _made_in(env, Path(folder.get_abspath()), node).nodes.values()
        made += [other for other in inside if other is not node and not other.side_effect]
    made = [other for other in dict.fromkeys(made) if other not in beside]
    return _waited_for(env, node, beside) + list(track(env, made))


def _beside(run: Any, plan: BuildPlan) -> list[Any]:
    """The ignore files of the context that something makes; a Dockerfile of ours names what it takes, and has none."""
    return [] if plan.text else _made(run, (f"{plan.dockerfile}{IGNORE}", f"{plan.context}{os.sep}{IGNORE}"))


def _secrets(run: Any, plan: BuildPlan) -> list[Any]:
    """The files of secrets that something makes: they come first, and no digest of them is kept."""
    if not plan.secrets:
        return []
    from multiarch_oci.engine.external.secrets import secret_files

    return _made(run, map(os.path.normpath, secret_files(plan, run.settings.environment)))


def _made(run: Any, files: Iterable[str]) -> list[Any]:
    made, top = made_in_tree(run).nodes, f"{run.tree.root}".rstrip(os.sep) + os.sep  # as text: asked of every image
    names = [file[len(top) :].replace(os.sep, "/") for file in files if file.startswith(top)]
    return [made[name] for name in names if name in made]


def _waited_for(env: Any, target: Any, nodes: list[Any]) -> list[Any]:
    """What is made before an image is decided, while its own contents do not count: what ignore files leave does."""
    target.attributes.state.waited_for = frozenset(nodes).difference(target.sources, target.depends or ())
    return list(track(env, nodes))


def _is_input(node: Any, reached: Any, target: Any) -> bool:
    """Whether a file that comes beside what a step makes is one of an image: it is there, or named.

    As such a file may stand for nothing but that steps are not performed at once, there may never be one; and the steps
    may be those of images.
    """
    if any(map(is_ours, node.sources)) or target in nodes_below([node]):
        return False
    path = paths.shown(node)
    named = [
        pattern for patterns in (reached, *(named.inputs for named in reached.named)) for pattern in patterns.patterns
    ]
    return os.path.lexists(node.get_abspath()) or any(f"/{path}".endswith(f"/{pattern}") for pattern in named)
