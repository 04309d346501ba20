"""What the Tools share: tracked files, their inputs, and how a target is decided.

A *tracked* file has a content signature from the stat cache and is made again when its bytes are not those
that were made. The facts about a target are found when the target is decided, so after whatever generates its
sources. Of what SCons does for every node on every run, tracked ones leave out what is of no use for them.
"""

from __future__ import annotations

import stat
from typing import Any

import SCons.Action
import SCons.Builder
import SCons.CacheDir
import SCons.Executor
import SCons.Node
import SCons.Node.FS
import SCons.Util

from scons_multiarch.interrupts import Interrupted
from scons_multiarch.tracking.folders import (
    SAME_LAYOUT,
    Plain,
    above,
    all_nodes,
    as_file,
    as_made,
    is_folder,
    with_folders,
)
from scons_multiarch.tracking.held import by_name, differs, held_file, is_kept_back, mark, recorded_key, why_outdated
from scons_multiarch.tracking.phases import after_reading
from scons_multiarch.tracking.state import Nodes, State, is_ours, reasons, state_of

REVISION = 1
"""To be raised when a step makes other bytes of the same facts; in SCons' records, and in the keys of shared caches."""
_MISSING = "absent"


class Kept(Plain):
    """A file that comes out of SCons' cache only whole. Existing File nodes of other builders change to this class."""

    __slots__ = SAME_LAYOUT

    def _is_cached(self) -> bool:
        """Whether SCons' cache may hold this file."""
        if not self.has_builder() or self.nocache:
            return False
        env = self.env or self.get_build_env()  # that of the executor is put together anew for each target
        return bool(env.get_CacheDir().is_enabled())

    def retrieve_from_cache(self) -> bool:
        """Take the file out of SCons' cache when it is there, and whole."""
        if not self._is_cached():
            return False
        from scons_multiarch.tracking import cache

        retrieved = cache.prepare(self) and bool(super().retrieve_from_cache())
        if retrieved:
            cache.finish(self)
        return retrieved

    def push_to_cache(self) -> None:
        """Put the file that was just made into SCons' cache, when it is what it will be called there."""
        if self._is_cached() and not is_folder(self):
            from scons_multiarch.tracking.cache import keep

            keep(self, super().push_to_cache)


class Tracked(Kept):
    """A file whose signature is the sha256 of its bytes, looked up by what `stat` says of it.

    SCons would hash each file in each run, as whole seconds are not to be trusted. File nodes change to this class.

    A target is *ours* when `declare` gave it a state. Ours are decided here, and what is up to date is not recorded
    again: its records stand. Files of other builders, which images copy, are left to SCons but for their signature.
    """

    __slots__ = SAME_LAYOUT

    executor: Any
    implicit: Any
    implicit_set: Any

    def get_csig(self) -> str:
        """The sha256 of the file in hexadecimal; a word that is no digest when there is no file."""
        info = self.get_ninfo()
        if hasattr(info, "csig"):
            return str(info.csig)
        if is_folder(self):
            return super().get_csig()
        cache = self.attributes.run.tree.stat
        try:
            # What has just been made nobody writes any more; images and the next run need not read it again.
            known = cache.finished if self.get_state() == SCons.Node.executed else cache.digest
            with self.attributes.run.interrupts.performing():
                info.csig = known(self.get_abspath())
        except OSError:
            info.csig = self._elsewhere()
        except Interrupted:
            info.csig = _MISSING
        return str(info.csig)

    def srcnode(self) -> Any:
        """Its source, when it lies in a variant folder; SCons itself asks for one of this very class."""
        folders = self.dir.srcdir_list()
        if not folders:
            return self
        source = folders[0].Entry(self.name)
        source.must_be_same(SCons.Node.FS.File)
        return source

    def missing(self) -> bool:
        """Whether it is not there, and nothing makes it; with `-n` what is in a made folder is to be made with it."""
        return bool(super().missing()) and (SCons.Action.execute_actions or above(self) is None)

    def is_up_to_date(self) -> bool:
        """Whether it is as made; a target that a cache holds, and whose bytes nobody needs, by its digest alone."""
        if is_ours(self) and not self.exists() and is_kept_back(self):
            return not self.changed()
        return bool(super().is_up_to_date())

    def remove(self) -> bool:
        """Remove the file, for `-c`; what a cache holds of it is forgotten, too."""
        held = held_file(self) is not None
        self.attributes.run.tree.held.drop(self.get_abspath())
        return bool(super().remove()) or held

    def retrieve_from_cache(self) -> bool:
        """Take what the step would make out of SCons' cache, or else out of the shared one.

        Not out of SCons' where what came out of the shared one counts no more: it may be the same.
        """
        if not why_outdated(self) and super().retrieve_from_cache():
            return True
        state = state_of(self)
        if state is None and self.check_attributes("cached_with") is not None:
            from scons_multiarch.shared import others

            return others.take(self)
        if state is None or not state.kind:
            return False
        if self.attributes.run.settings.cache is None and held_file(self) is None:
            return False
        from scons_multiarch.shared.taking import take

        return take(self)

    def push_to_cache(self) -> None:
        """Put the file into SCons' cache, and what a command made that `env.Cached` was told of into the shared one."""
        super().push_to_cache()
        is_made = self.get_state() == SCons.Node.executing  # and not put into SCons' by --cache-force, when it is done
        if is_made and self.check_attributes("cached_with") is not None and self.attributes.run.settings.cache:
            from scons_multiarch.shared import others

            others.keep(self)

    def _elsewhere(self) -> str:
        """The signature of a source that lies in a Repository, or beside a variant folder that gets no copies.

        Of a target that a shared cache holds it is the digest there.
        """
        held = held_file(self)
        if held is not None:
            return held.digest
        try:
            return str(self.attributes.run.tree.stat.digest(self.rfile().get_abspath()))
        except OSError:
            return _MISSING

    def scan(self) -> None:
        """Find what only the Dockerfile knows of; SCons' scanners (of C, say) have no say in what is made of a file."""
        if self.implicit is not None:
            return
        if self.has_builder() and not is_ours(self):
            super().scan()
            return
        self.implicit, self.implicit_set = [], set()
        self._memo.pop("_children_get", None)
        self.add_to_implicit([folder for folder in map(above, self.sources) if folder is not None])
        state = state_of(self)
        if state is not None and state.scan is not None:
            self.add_to_implicit(state.scan())

    def make_ready(self) -> None:
        """Nothing, but for what is always built: it is decided here, as SCons does not ask.

        This is correctness, not speed. SCons asks here, before the target is decided, for what the build will record
        (`Node.get_binfo`), the action's signature among it, which the executor keeps (`Executor.get_contents`). It
        holds the facts, which are found only when the target is decided: signed as of no facts, every target would
        differ from its record, and be made in every run.
        """
        if self.has_builder() and not is_ours(self):
            super().make_ready()
        elif self.always_build:
            self.changed()

    def changed(self, node: Any = None, allowcache: bool = False) -> bool:  # noqa: FBT001, FBT002  # as SCons calls it
        """Whether the target is out of date; decided once a run, never raises. All reasons are noted."""
        if node is not None or not is_ours(self):
            return bool(super().changed(node, allowcache)) or self._is_outdated(node)
        if "changed" not in self._memo:
            try:
                with self.attributes.run.interrupts.performing():
                    self._memo["changed"] = _decided(self)
            except Interrupted:
                self._memo["changed"] = True
        return bool(self._memo["changed"])

    def _is_outdated(self, node: Any) -> bool:
        """Whether it is a target of `env.Cached` that another CACHE_KEY, or none, let count."""
        return node is None and self.check_attributes("cached_with") is not None and bool(why_outdated(self))

    def visited(self) -> None:
        """Record what was made. Of anything else no record is needed, but by another builder's targets its times."""
        if SCons.CacheDir.cache_force and self.has_builder() and self.executor is not None and self.exists():
            self.push_to_cache()
        if self.get_state() == SCons.Node.executed or (self.has_builder() and not is_ours(self)):
            super().visited()
            return
        if self.exists():  # a variant folder gets its copy by this question
            info, status = self.get_ninfo(), self.stat()
            info.timestamp, info.size = status[stat.ST_MTIME], status.st_size

    def release_target_info(self) -> None:
        """Give up the executor, as SCons does; it would decide the target again for this."""
        if self.has_builder() and not is_ours(self):
            super().release_target_info()
        elif not SCons.Node.interactive and not hasattr(self.attributes, "keep_targetinfo"):
            if self._is_cached():
                self.get_contents_sig()  # is kept, and asked for when what is made of it is looked for in the cache
            self.executor = None
            self.released_target_info = True

    def get_build_env(self) -> Any:
        """The environment of the step; of one whose executor was given up, the one that it was declared in."""
        if getattr(self, "executor", self) is None:
            return self.env
        return super().get_build_env()

    def get_cachedir_csig(self) -> str:
        """The content signature; under `-n` that of the file in SCons' cache, when it is to be taken from there."""
        if self.exists() or not self._is_cached():
            return self.get_csig()
        from scons_multiarch.tracking.cache import cached_file

        cached, stats = cached_file(self), self.attributes.run.tree.stat
        return stats.digest(cached) if cached is not None and cached.exists() else self.get_csig()

    def get_binfo(self) -> Any:
        """What is recorded: of what came out of a shared cache also by which key it counts."""
        if not hasattr(self, "binfo") and self.has_builder():
            mark(self, super().get_binfo())
        return super().get_binfo()

    def built(self) -> None:
        """Record what was made; of what came out of SCons' cache the facts, too, though no step ran."""
        retrieved, before = self.cached, recorded_key(self)
        if retrieved and before is not None:  # the same, as a file, or as it was left in SCons' cache
            self.attributes.run.build.by_key.setdefault(self, before)
        super().built()
        state = state_of(self)
        if retrieved and not (state is not None and state.shared):
            from scons_multiarch.tracking.cache import note

            note(self)


class StepBuilder(SCons.Builder.BuilderBase):
    """A builder that is given nodes, and nothing else: there is no prefix, suffix or emitter to be looked for."""

    def _create_nodes(self, _env: Any, target: Nodes, source: Nodes) -> tuple[Nodes, Nodes]:
        """What is given. SCons looks through its lists four times, a twentieth of a run with hundreds of images."""
        return target, source


class StepExecutor(SCons.Executor.Executor):
    """Of a step, which has no command line. An Executor changes to this class."""

    __slots__ = SAME_LAYOUT

    def get_action_targets(self) -> Nodes:
        """All. SCons takes them from the variables of a command line, a thirtieth of a run with hundreds of images."""
        return self.get_all_targets()  # type: ignore[no-any-return]


class StepAction(SCons.Action.FunctionAction):
    """A function action signed by its verb and the target's inputs, not by bytecode, which differs between Pythons.

    `execfunction` is the step, which has a `verb`.
    """

    execfunction: Any

    def __call__(self, target: Nodes, source: Nodes, env: Any, **options: Any) -> Any:
        """As SCons; the line of a step that is performed is printed when it has ended, by `lines`."""
        if options.get("execute", SCons.Action.execute_actions):
            options["show"] = False
        return super().__call__(target, source, env, **options)

    def get_presig(self, _target: Nodes, _source: Nodes, _env: Any, _executor: Any = None) -> bytes:
        """Empty."""
        return b""

    def get_contents(self, target: Nodes, _source: Nodes, _env: Any) -> bytes:
        """The verb, the revision of steps, and the facts' digest."""
        state = state_of(target[0])  # none yet while the target is being declared
        return f"{self.execfunction.verb} {REVISION} {state.digest_of_facts() if state is not None else ''}".encode()


def track(env: Any, nodes: Nodes) -> Nodes:
    """Turn File nodes into tracked ones; harmless when they are already."""
    run: Any = env["MULTIARCH_RUN"] if nodes else None
    for node in nodes:
        if type(node) is SCons.Node.FS.Entry:  # what Command makes; tracked too late, it had a signature of SCons first
            as_file(node, Tracked, run) if node.has_builder() else node.disambiguate()
        if type(node) in (SCons.Node.FS.File, Kept):
            node.__class__ = Tracked
        node.attributes.run = run
    return nodes


def _take_over(run: Any) -> None:
    """Have what other builders make, folders among it, decided as made, and looked at when it is in SCons' cache.

    To be called when all SConscripts were read: what is made of it, and whether something makes it, is known then.
    """
    for node in all_nodes():
        if isinstance(node, SCons.Node.FS.Dir):
            as_made(node, run)
        elif not is_ours(node) and node.has_builder():
            as_file(node, Kept, run)


def declare(env: Any, targets: Nodes, record: Any, state: State) -> None:
    """Make targets ours: tracked, precious, with their state; the first of them has the record."""
    nodes = list(targets)  # iterating over SCons' own lists is slow
    first, run = nodes[0], env["MULTIARCH_RUN"]
    first.executor.__class__ = StepExecutor
    track(env, nodes)
    track(env, first.sources)
    state.targets = nodes
    state.find = with_folders(state.find, first)
    after_reading(lambda _: _take_over(run), name="nodes")
    for target in nodes:
        target.set_precious()
        target.attributes.state = state
    first.attributes.target = record
    run.declarations.targets.append(first)


def _decided(target: Any) -> bool:
    """Whether sources, inputs, the target's own bytes or the world outside are not what the last step left."""
    made = target.get_stored_info().binfo
    count = len(target.depends) if target.attributes.state.spares else None
    before, children = [*made.bsourcesigs, *made.bdependsigs[:count], *made.bimplicitsigs], target.children()
    if changed := len(children) != len(before):
        before, lost = by_name(made, children)
        reasons(target).extend(f"{name} has no part in it any more" for name in lost)
    for child, previous in zip(children, before, strict=True):
        if _is_changed(child, target, previous):
            reasons(target).append(f"{child} {'changed' if previous is not None else 'is new'}")
            changed = True
    for outdated in filter(None, (why_outdated(target), "AlwaysBuild" if target.always_build else "")):
        reasons(target).append(outdated)
        changed = True
    target.attributes.state.decide()
    signature = SCons.Util.hash_signature(_contents(target))
    if differs(target):
        target.attributes.state.repairs = not changed and signature == made.bactsig
        return True
    return changed or signature != made.bactsig


def _contents(target: Any) -> bytes:
    """What SCons signs of a target's actions. A step alone needs no environment, which SCons puts together for each."""
    executor = target.get_executor()
    actions = executor.get_action_list()
    if [type(action) for action in actions] == [StepAction]:
        return bytes(actions[0].get_contents(executor.get_all_targets(), (), None))
    return bytes(executor.get_contents())


def _is_changed(child: Any, target: Any, previous: Any) -> bool:
    """Whether a dependency is not what it was; aliases and values have their own ideas of that.

    What of a folder counts is among the facts, and so is what an ignore file leaves.
    """
    if is_folder(child):
        return False
    if child in target.attributes.state.waited_for:
        return previous is None
    if isinstance(child, Tracked):
        return bool(child.get_csig() != getattr(previous, "csig", None))
    decider = SCons.Node._decider_map[child.changed_since_last_build]  # noqa: SLF001  # as Node.changed does
    return bool(decider(child, target, previous, target))
