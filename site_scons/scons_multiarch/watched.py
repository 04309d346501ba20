"""Which files and folders the targets of a build are made from: what `scons watch` waits for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import SCons.Node.FS
from msgspec.structs import replace

from multiarch_oci.engine import BuildPlan
from multiarch_oci.engine.frontend import ContextInputs, may_be_pattern
from multiarch_oci.errors import MultiarchError
from multiarch_oci.golang.tree import may_be_source
from multiarch_oci.store.atomic import is_unfinished
from multiarch_oci.watching import Watched, below, signature
from scons_multiarch.context import overlays
from scons_multiarch.graph import nodes_below
from scons_multiarch.images import inputs_of, with_bases
from scons_multiarch.session import Globbed, Run, content_of
from scons_multiarch.targets import ImageTarget, IndexTarget, ProgramTarget, target_of
from scons_multiarch.tracking.state import state_of
from scons_multiarch.trusted import paths_of


class _Collected:
    """What was collected by now; the fields of Watched."""

    def __init__(self, skip: tuple[str, ...]) -> None:
        self.files: set[str] = set()
        self.made: dict[str, str] = {}
        self.folders: set[str] = set()
        self.counts: list[Callable[[str], bool]] = []
        self.skip = skip

    def take_whole(self, folder: str) -> None:
        """Let everything in a folder count, there or not."""
        self.files.add(folder)
        self.folders.update(below(folder, self.skip))
        inside, skip = folder.rstrip(os.sep) + os.sep, tuple(f"{path}{os.sep}" for path in self.skip)
        self.counts.append(lambda path: path.startswith(inside) and not f"{path}{os.sep}".startswith(skip))


def watched(run: Run, roots: Iterable[Any]) -> Watched:
    """What the nodes `roots` and all that leads to them are made from, as the build that just ended knows it."""
    hidden = tuple(os.path.join(run.tree.root, *path.split("/")) for path in run.declarations.hidden)  # noqa: PTH118
    collected = _Collected(hidden)
    nodes = list(nodes_below(roots))
    for node in nodes:
        if isinstance(node, SCons.Node.FS.Base):
            _take_node(node, collected)
    for node in nodes:
        record = target_of(node)
        if isinstance(record, ProgramTarget):
            _take_program(run, record, collected)
        elif isinstance(record, ImageTarget):
            _take_image(run, record, collected)
        elif isinstance(record, IndexTarget):
            path = os.path.join(run.tree.root, *record.digest_file.split("/"))  # noqa: PTH118
            collected.made[path] = signature(path)
    _take_declarations(run, collected)
    collected.files |= run.tree.stat.consulted or set()
    collected.files.update(map(str, paths_of(run)))
    lock = str(run.tree.root / "images.lock")  # a build may write to it
    collected.made[lock] = signature(lock)
    made = collected.made
    outside = (str(run.tree.private) + os.sep, str(run.tree.root / "_output") + os.sep)
    files = {path for path in collected.files if path not in made and not path.startswith(outside)}
    return Watched(frozenset(files), made, frozenset(collected.folders), tuple(collected.counts), _is_ours)


def library_files(root: Path) -> dict[str, str]:
    """The files of this library and the tree's own modules that are loaded, with what `stat` says of each."""
    own = Path(__file__).parent
    library = [str(path) for folder in (own, own.parent / "multiarch_oci") for path in folder.rglob("*.py")]
    loaded = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    private = f"{root / '.multiarch'}{os.sep}"
    of_tree = [path for path in loaded if path.startswith(f"{root}{os.sep}") and not path.startswith(private)]
    return {path: signature(path) for path in (*library, *of_tree)}


def _is_ours(path: str) -> bool:
    """Whether a file is one that a build has not finished yet, or what this process prints to."""
    if is_unfinished(os.path.basename(path)):  # noqa: PTH119
        return True
    try:
        status = os.stat(path)  # noqa: PTH116
        return any(os.path.samestat(status, os.fstat(descriptor)) for descriptor in (1, 2))
    except OSError:
        return False


def _take_node(node: Any, collected: _Collected) -> None:
    path = node.get_abspath()
    state = state_of(node)
    if state is not None or node.has_builder():
        targets = state.targets if state is not None else [node]
        collected.made.update({target.get_abspath(): signature(target.get_abspath()) for target in targets})
    elif isinstance(node, SCons.Node.FS.Dir):
        collected.take_whole(path)
    else:
        collected.files |= {path, node.srcnode().get_abspath(), node.rfile().get_abspath()}


def _take_program(run: Run, record: ProgramTarget, collected: _Collected) -> None:
    try:
        locations = run.build.lister().locations(record.build)
    except MultiarchError:  # no Go is there, say
        collected.take_whole(str(record.build.directory))
        return
    collected.files |= {*locations.files, *locations.embeds}
    collected.folders |= locations.packages
    packages = locations.packages
    collected.counts.append(
        lambda path: os.path.dirname(path) in packages and may_be_source(os.path.basename(path))  # noqa: PTH119,PTH120
    )
    for embedded in locations.embeds:
        if os.path.isdir(embedded):  # noqa: PTH112
            collected.take_whole(embedded)


def _take_image(run: Run, record: ImageTarget, collected: _Collected) -> None:
    plan = record.plan
    if not plan.text:
        collected.files |= {str(plan.dockerfile), f"{plan.dockerfile}.dockerignore"}
    collected.files.add(str(plan.context / ".dockerignore"))
    try:
        plan, inputs = _inputs(run, plan)
    except (MultiarchError, OSError):
        return  # whatever is in the context: the Dockerfile has to change first
    _take_context(plan, plan.context, inputs, collected)
    for named in inputs.named:
        if named.folder is not None:
            _take_context(plan, named.folder, named.inputs, collected)
    for file in plan.files:
        if file.origin is not None and file.origin.is_dir():
            collected.take_whole(str(file.origin))


def _inputs(run: Run, plan: BuildPlan) -> tuple[BuildPlan, ContextInputs]:
    """What a Dockerfile takes; without what its bases say of it, where these cannot be had."""
    try:
        return with_bases(run, plan)
    except MultiarchError:
        plan = replace(plan, hidden=run.declarations.hidden, overlays=overlays(run))
        return plan, inputs_of(run, plan)


def _take_context(plan: BuildPlan, context: Path, inputs: ContextInputs, collected: _Collected) -> None:
    """The files that are taken of a folder, and the folders in which more may appear that would be."""
    for pattern in inputs.patterns:
        names = pattern.split("/")
        fixed = [name for number, name in enumerate(names) if not any(map(may_be_pattern, names[: number + 1]))]
        for path in plan.real_paths(context, "/".join(fixed)):
            collected.files.add(path)
            if fixed != names or not pattern:
                collected.folders.add(path)
    skip = plan.hidden
    for file in inputs.files:
        if not f"{file.path}/".startswith(tuple(f"{path}/" for path in skip)):
            for path in plan.real_paths(context, file.path):
                collected.files.add(path)
                if file.kind == "DIRECTORY":
                    collected.folders.add(path)
    top = f"{context}{os.sep}"
    hidden = tuple(f"{path}/" for path in skip)

    def counts(path: str) -> bool:
        if not path.startswith(top):
            return False
        relative = path[len(top) :].replace(os.sep, "/")
        return not f"{relative}/".startswith(hidden) and inputs.reaches(relative)

    collected.counts.append(counts)


def _is_new_for(glob: Globbed, path: str) -> bool:
    """Whether a Glob of an SConscript would find this path, and did not."""
    folder, name = os.path.split(path)
    return folder == str(glob.folder) and name not in glob.there | glob.known and fnmatch(name, glob.pattern)


def _take_declarations(run: Run, collected: _Collected) -> None:
    """What the SConscripts were read from, and all that decided what they declare."""
    declarations = run.declarations
    seen = {str(path): there for path, there in declarations.presence_seen.items()}
    read = {str(path): content for path, content in declarations.contents_read.items()}
    collected.folders |= {os.path.dirname(path) for path in (*seen, *read)}  # noqa: PTH120
    collected.counts += [
        lambda path: path in seen and os.path.exists(path) != seen[path],  # noqa: PTH110
        lambda path: path in read and content_of(Path(path)) != read[path],
    ]
    collected.folders |= {str(glob.folder) for glob in declarations.globbed}
    collected.counts += [partial(_is_new_for, glob) for glob in declarations.globbed]
    if declarations.refs is None:
        return
    repository, state = declarations.refs
    tops = {str(repository.git_dir), str(repository.common_dir)}
    for top in tops:
        collected.folders |= {top, *below(f"{top}/refs")}
    inside = tuple(f"{top}{os.sep}" for top in tops)
    collected.counts.append(lambda path: path.startswith(inside) and repository.state() != state)
