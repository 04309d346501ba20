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

from pathlib import Path
from typing import Any

import SCons.Node
import SCons.Node.FS
import SCons.SConsign
import SCons.Script
import SCons.Script.Main

from multiarch_oci.errors import MultiarchError
from scons_multiarch.installation import command
from scons_multiarch.process import say
from scons_multiarch.session import Run, content_of
from scons_multiarch.tracking.folders import all_nodes
from scons_multiarch.tracking.phases import after_reading


class Outdated(MultiarchError):
    """A session whose SConstruct, or a file that decides what it declares, is not as it was read."""


def hold_builds_apart(run: Run, env: Any) -> None:
    """Let each `build` and `clean` of this session take the tree's lock, find everything out anew, and save."""
    build_targets = SCons.Script.Main._build_targets  # noqa: SLF001  # see above

    def build(fs: Any, options: Any, targets: Any, target_top: Any) -> Any:
        asking = bool(options.no_exec or options.question)
        try:
            check_declarations(run)
            if not asking:
                run.tree.lock.acquire(lambda line: say(f"scons: {line}"))
        except (MultiarchError, OSError) as error:
            say(f"scons: *** {error}")
            return None
        try:
            forget(run)
            if options.clean and not targets:
                SCons.Script.BUILD_TARGETS = targets = _whole_clean(run, env)
            return build_targets(fs, options, targets, target_top)
        finally:
            run.finish(report=not asking and not options.clean)

    SCons.Script.Main._build_targets = build  # noqa: SLF001


def forget(run: Run) -> None:
    """Let the next build find out everything anew: the state of targets, SCons' records, what it knows of files."""
    run.renew()
    for target in run.declarations.targets:
        target.attributes.state.renew()
    SCons.SConsign.Reset()
    SCons.SConsign.DataBase.clear()
    for node in all_nodes():
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
    for path in changed:
        raise Outdated(
            "changed since this session read what there is to build",
            where=path.relative_to(run.tree.root).as_posix() if path.is_relative_to(run.tree.root) else str(path),
            hint=f"leave by exit, and start {command()} --interactive again",
        )


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
    hold_builds_apart(run, env)
