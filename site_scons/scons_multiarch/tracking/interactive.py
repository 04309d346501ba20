"""Sessions of `scons --interactive`, in which what one build found out ends with it. Only loaded for one.

SCons keeps for the process what it knows of files, and clears after a build only the nodes which that build led to.
Between two builds of a session anything may change: files, tags, the records that another run in this tree writes. So
each build begins as a new run does, but for the SConstruct, which a session reads once: when it changes, or a file that
decides what it declares, a build is refused.

What this leans on (SCons is pinned, tests/e2e/test_session.py fails when it changes): `Interactive.do_build` calls
`SCons.Script.Main._build_targets(fs, options, targets, target_top)`, which nothing else does in a session. Records are
opened through `SConsign.DataBase`, and each folder has its own in `_sconsign`.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import SCons.Node
import SCons.Node.Alias
import SCons.Node.FS
import SCons.SConsign
import SCons.Script
import SCons.Script.Interactive
import SCons.Script.Main

from multiarch_oci.errors import MultiarchError
from multiarch_oci.watching import signature
from scons_multiarch.installation import command
from scons_multiarch.process import say
from scons_multiarch.session import Globbed, Run, content_of
from scons_multiarch.tracking.folders import all_nodes
from scons_multiarch.tracking.phases import after_reading


class Outdated(MultiarchError):
    """A session whose SConstruct, or a file that decides what it declares, is not as it was read."""


def hold_builds_apart(run: Run, env: Any) -> None:
    """Let each `build` and `clean` of this session take the tree's lock, find everything out anew, and save.

    A session of `scons watch` gets the Outdated, and whatever else is in the way of a build.
    """
    build_targets = SCons.Script.Main._build_targets  # noqa: SLF001  # see above
    records, last = str(run.tree.private / "sconsign.dblite"), None

    def build(fs: Any, options: Any, targets: Any, target_top: Any) -> Any:
        nonlocal last
        asking = bool(options.no_exec or options.question)
        try:
            check_declarations(run)
            if not asking:
                run.tree.lock.acquire(lambda line: say(f"scons: {line}"))
            if run.settings.watching and last not in (None, signature(records)):
                raise Outdated("was written by another build meanwhile", where=".multiarch/sconsign.dblite")
        except (MultiarchError, OSError) as error:
            run.tree.lock.release()
            if run.settings.watching:
                raise
            say(f"scons: *** {error}")
            return None
        try:
            forget(run)
            if options.clean and not targets:
                SCons.Script.BUILD_TARGETS = targets = _whole_clean(run, env)
            return build_targets(fs, options, targets, target_top)
        finally:
            last = signature(records)
            run.finish(report=not asking and not options.clean)

    SCons.Script.Main._build_targets = build  # noqa: SLF001


def build_again_by(loop: Callable[[Callable[[], None]], int]) -> None:
    """Have `loop` called in the place of the build that SCons is about to begin; its answer is the exit status.

    It is given what builds the targets once. To be called before SCons builds, after the SConscripts were read.
    """

    def interact(fs: Any, _parser: Any, options: Any, targets: Any, target_top: Any) -> None:
        def build() -> None:
            SCons.Script.Main._build_targets(fs, options, targets, target_top)  # noqa: SLF001

        SCons.Script.Main.exit_status = loop(build)

    SCons.Node.interactive = True  # nodes keep what they know of their sources
    SCons.Script.Main.OptionsParser.values.interactive = True
    SCons.Script.Main.OptionsParser.values.no_progress = True
    SCons.Script.Main.display = _NoDisplay()  # "is up to date"
    SCons.Script.Interactive.interact = interact


class _NoDisplay:
    """In the place of SCons' `display` of lines that say what is not done."""

    def __call__(self, text: str, append_newline: int = 1) -> None:
        """Print nothing."""

    def set_mode(self, mode: object) -> None:
        """Print nothing in any mode."""


def forget(run: Run) -> None:
    """Let the next build find out everything anew: the state of targets, SCons' records, what it knows of files."""
    run.renew()
    for target in run.declarations.targets:
        target.attributes.state.renew()
    SCons.SConsign.Reset()
    SCons.SConsign.DataBase.clear()
    for node in (*all_nodes(), *SCons.Node.Alias.default_ans.values()):
        node.clear()
        node.set_state(SCons.Node.no_state)
        node.implicit = None
        if isinstance(node, SCons.Node.FS.Dir):
            node._sconsign = None  # noqa: SLF001  # see above
            executor = getattr(node, "executor", None)
            if executor is not None and not getattr(executor, "_do_execute", 1):
                # SCons makes a folder once, and then never again: it may be gone by now.
                executor._do_execute = executor._execute_str = 1  # noqa: SLF001  # what Executor.nullify set to 0


def check_declarations(run: Run) -> None:
    """Raise Outdated when a file that decided what is declared is not as it was read."""
    changed = [path for path, content in run.declarations.contents_read.items() if content_of(path) != content]
    if run.declarations.refs is not None:
        repository, state = run.declarations.refs
        changed += [] if repository.state() == state else [repository.git_dir / "HEAD"]
    changed += [path for path, there in run.declarations.presence_seen.items() if path.exists() != there]
    changed += [glob.folder for glob in run.declarations.globbed if _differs(glob)]
    for path in changed:
        raise Outdated(
            "changed since this session read what there is to build",
            where=path.relative_to(run.tree.root).as_posix() if path.is_relative_to(run.tree.root) else str(path),
            hint=f"leave by exit, and start {command()} --interactive again",
        )


def note_globs(run: Run) -> None:
    """Note what `Glob` finds while SConscripts are read: another file would be another answer."""
    glob = SCons.Node.FS.Dir.glob

    def noting(folder: Any, pathname: str, *arguments: Any, **keywords: Any) -> Any:
        nodes = glob(folder, pathname, *arguments, **keywords)
        if SCons.Script.sconscript_reading:
            above, _, pattern = pathname.rpartition("/")
            where = Path(folder.Dir(above).srcnode().get_abspath()) if above else Path(folder.srcnode().get_abspath())
            known = frozenset(node if isinstance(node, str) else node.name for node in nodes)
            run.declarations.globbed.append(Globbed(where, pattern, known, _matching(where, pattern)))
        return nodes

    SCons.Node.FS.Dir.glob = noting


def _matching(folder: Path, pattern: str) -> frozenset[str]:
    try:
        return frozenset(fnmatch.filter(map(str, os.listdir(folder)), pattern))  # noqa: PTH208  # names alone
    except OSError:
        return frozenset()


def _differs(glob: Globbed) -> bool:
    """Whether a name is there now that was not, or a source is gone; what is made comes and goes."""
    there = _matching(glob.folder, glob.pattern)
    entry = SCons.Node.FS.get_default_fs().Entry
    gone = [entry(str(glob.folder / name)) for name in glob.there - there]
    return bool(there - glob.there - glob.known) or not all(node.has_builder() for node in gone)


def _whole_clean(run: Run, env: Any) -> list[str]:
    """The target of `clean` without a word: what was built, as `scons -c` does."""
    from scons_multiarch.cli import leavings

    env.Clean("clean", [str(path) for path in leavings(Path(run.tree.root, "_output"))])
    return ["clean"]


def begin_session(env: Any) -> None:
    """Hold the builds of this process apart; to be called once."""
    run: Run = env["MULTIARCH_RUN"]

    def note_scripts() -> None:
        for script in SCons.Node.SConscriptNodes:
            run.note_read(Path(script.srcnode().get_abspath()))

    after_reading(lambda _: note_scripts())
    note_globs(run)
    hold_builds_apart(run, env)
