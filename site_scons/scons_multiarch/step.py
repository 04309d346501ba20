"""Actions of ours, which say why they run and end in one clear error. Not a Tool."""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import SCons.Errors
import SCons.Node
import SCons.Script

from multiarch_oci.errors import MultiarchError, visible
from multiarch_oci.why import Facts, brief, changes
from scons_multiarch.destinations import failed
from scons_multiarch.interrupts import Interrupted
from scons_multiarch.paths import file as file_of
from scons_multiarch.paths import flat, shown
from scons_multiarch.targets import ProgramTarget, WrongSource, check_source, target_of
from scons_multiarch.tracking.held import DAMAGED, held_file
from scons_multiarch.tracking.nodes import StepAction, StepBuilder
from scons_multiarch.tracking.phases import StepFailed
from scons_multiarch.tracking.state import Nodes, reasons

if TYPE_CHECKING:
    from scons_multiarch.recorder import StepRecord

Perform = Callable[[list[Any], list[Any], Any], None]
"""What a step does, given the nodes of its targets and sources, and the environment."""


class WrongCall(MultiarchError, TypeError):
    """A call of a builder that does not fit its parameters."""

    @classmethod
    def unknown(cls, builder: str, keyword: str, known: Sequence[str], near: str = "") -> WrongCall:
        """A keyword that the builder does not know; `near` is the one that is meant, where that is clear."""
        import difflib  # start-up

        named = {name.lower(): name for name in known}
        near = near or next(map(named.__getitem__, difflib.get_close_matches(keyword.lower(), named, 1, 0.6)), "")
        hint = f"did you mean {near}?" if near else f"there is: {', '.join(known)}"
        return cls(f"there is no parameter '{keyword}'", where=builder, hint=hint)


class Step:
    """An action of ours: `verb subject: reason` is its line; a MultiarchError is its failure, exit status 2."""

    def __init__(self, verb: str, perform: Perform) -> None:
        self.verb = verb
        self.perform = perform

    def action(self) -> Any:
        """As an SCons action."""
        return StepAction(self, {"strfunction": self.announce})

    def builder(self, *, single_source: bool = False) -> Any:
        """As an SCons builder; it takes nodes."""
        return StepBuilder(action=self.action(), single_source=single_source)

    def announce(self, target: Nodes, _source: Nodes, _env: Any) -> str:
        """The line that SCons prints before the step, or instead of it under `-n`."""
        state = target[0].attributes.state
        if state.because is None:  # else what SCons' cache had is shown, and was looked at before it was taken
            explain(target[0])
        return f"{self.verb} {state.subject}" + (f": {state.because}" if state.because else "")

    def __call__(self, target: list[Any], source: list[Any], env: Any) -> None:
        """Perform the step. One line: SCons looks through its code for a signature that `StepAction` has no use of."""
        self._run(target, source, env)

    def _run(self, target: list[Any], source: list[Any], env: Any) -> None:
        """Perform the step, which ends at Ctrl-C; keep the facts it was made from."""
        run = target[0].attributes.run
        try:
            with run.interrupts.performing(), run.build.recorder().step(self.verb, target[0]) as record:
                self._perform(target, source, env, record)
        except Interrupted:
            words = "was interrupted"
            raise SCons.Errors.BuildError(node=target[0], errstr=words, status=2, exitstatus=2) from None

    def _perform(self, target: list[Any], source: list[Any], env: Any, record: StepRecord) -> None:
        from multiarch_oci.store.atomic import clear_unfinished
        from scons_multiarch.recorder import FAILED, INTERRUPTED, MADE, REPAIRED  # start-up

        state, run = target[0].attributes.state, target[0].attributes.run
        try:
            state.decide()  # with AlwaysBuild nobody did
            if state.because is None:
                explain(target[0])
            record.reason = state.because
            if state.failure is not None:
                raise state.failure
            for node in target:
                clear_unfinished(Path(node.get_abspath()))
            self._make(target, source, env)
            run.tree.records.remember(str(target[0]), state.facts, state.because)
            record.outcome = REPAIRED if state.repairs else MADE
        except (MultiarchError, OSError) as error:
            words = record.error = state.spell(message_of(error, [node.get_abspath() for node in source]))
            record.outcome = INTERRUPTED if run.interrupts.cancelled.is_set() else FAILED
            failed(target[0], words)
            words = _without_log(words, record.log)
            # Many pushes at once, and one registry that is down; compilers' errors are compared when all have ended.
            if not isinstance(target_of(target[0]), ProgramTarget) and not run.build.is_new(words):
                words = "failed for the same reason"
            tell = partial(run.build.lines().fail, target=target[0], words=words)
            raise StepFailed(target[0], words, tell) from error

    def _make(self, target: list[Any], source: list[Any], env: Any) -> None:
        """Perform the step over what is on this machine, and leave what it made where a shared cache is written."""
        node, run = target[0], target[0].attributes.run
        if run.tree.held.is_empty() and run.settings.cache is None:
            self._perform_over(node, lambda: self.perform(target, source, env))
            return
        from scons_multiarch.shared.fetching import bring

        bring(node)
        self._perform_over(node, lambda: self.perform(target, source, env))
        for made in target:
            run.tree.held.drop(made.get_abspath())
        if node.attributes.state.kind:
            from scons_multiarch.shared.keeping import leave

            leave(node)

    @staticmethod
    def _perform_over(node: Any, perform: Callable[[], None]) -> None:
        """Perform a step; where a shared cache has lost a layer that it reads, that image is made here first."""
        from multiarch_oci.store import BlobMissing

        try:
            perform()
        except BlobMissing:
            from scons_multiarch.shared.fetching import remake_lost

            if not remake_lost(node):
                raise
            perform()


def _without_log(words: str, log: Sequence[str]) -> str:
    """An error without the end of a program's output, which is printed whole before it."""
    printed = {f"  | {line}" for line in log}
    return "\n".join(line for line in words.split("\n") if line not in printed)


def step_of(node: Any) -> Step:
    """The step that makes a target of ours."""
    actions = getattr(node.builder.action, "list", None) or [node.builder.action]
    step: Step = actions[0].execfunction
    return step


def why(target: Any) -> str | None:
    """The reason for which a target runs, in one line; None when there is none to tell."""
    return brief(all_reasons(target))


def explain(target: Any) -> None:
    """Note for which reasons a target runs, all of them and in one line, while the facts of the last time are there."""
    state = target.attributes.state
    state.sentences = tuple(all_reasons(target))
    state.because = brief(state.sentences)


def all_reasons(target: Any) -> list[str]:
    """Every reason for which a target runs; none when there is none to tell."""
    known = target.get_stored_info().binfo.bactsig is not None
    if not target.exists():
        if held_file(target) is not None and not target.changed():
            return ["a cache holds it, and its bytes are asked for"]
        former = target.check_attributes("former")
        if former is not None and former.exists():
            return [f"its receipt moves here from {shown(former)}"]
        return ["it is not there"] if known else []
    if not known:
        return ["no record of the last build"]
    facts = target.attributes.state.facts
    before = target.attributes.run.tree.records.recall(str(target))
    differences = [] if facts is None or before is None else list(changes(before, facts))
    # A file that the facts name, too, is told once.
    sentences = [*differences, *(reason for reason in reasons(target) if reason not in differences), *_beside(target)]
    unknown = None if sentences or facts is None else _unknown(before, facts)
    return sentences if unknown is None else [unknown]


def _unknown(before: Facts | None, facts: Facts) -> str | None:
    """The reason where nothing that may be shown differs: the record is lost, or it is a password that changed."""
    if before is None:
        return "no record of what it was made from"
    return None if before == facts else "what it is made from changed"


def _beside(target: Any) -> Iterator[str]:
    """What is wrong with the other files that a step makes."""
    for other in target.get_executor().get_all_targets():
        if other is not target and not other.exists():
            yield f"{other} is not there"
        elif other is not target and DAMAGED in reasons(other):
            yield f"{other} is not what was built"


def message_of(error: Exception, sources: Iterable[str] = ()) -> str:
    """The words of an error for the person at the terminal; `sources` are paths that are read, and not written."""
    if not isinstance(error, OSError) or isinstance(error, MultiarchError):
        return str(error)
    name = error.filename2 or error.filename
    where = f"{name}: " if name else ""
    hint = (_OF_A_SOURCE if name in sources else _OF_AN_OUTPUT).get(error.errno or 0)
    return f"{where}{error.strerror or error}" + (f"\n  hint: {hint}" if hint else "")


_IN_THE_WAY = "something else is in the way; move it aside"
_OF_AN_OUTPUT = {
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOSPC: "free some space and run the same command again; nothing half-written was left",
    errno.EACCES: "the folder must be writable for you",
    errno.EROFS: "the folder must be writable",
}
_OF_A_SOURCE = {errno.EISDIR: "name a file in it", errno.EACCES: "it must be readable for you"}


def source_of(env: Any, given: Any, builder: str, *kinds: type) -> Any:
    """The one source that a builder takes, of these kinds when it is a target of ours. Raises WrongSource."""
    nodes = list(flat(given))
    if len(nodes) != 1:
        raise WrongSource(f"{builder} takes one source, and has {len(nodes)}", hint="call it once for each of them")
    node = file_of(env, builder, nodes[0])
    check_source(node, builder, kinds)
    return node


def fail(error: Exception | str) -> NoReturn:
    """End SCons as it ends itself on a user's error: one message, status 2, no traceback."""
    sys.stderr.write(f"\nscons: *** {visible(str(error))}\n")
    sys.stderr.flush()
    SCons.Script.Exit(2)
    raise SystemExit(2)


def add_method(env: Any, builder: Callable[..., Any] | str, name: str) -> None:
    """Add a builder; what is wrong with its arguments is a user's error, told with the line of the SConstruct.

    As a text it is `module:function`, loaded by the first call.
    """

    def checked(*arguments: Any, **keywords: Any) -> Any:
        function = _loaded(builder) if isinstance(builder, str) else builder
        try:
            try:
                return function(*arguments, **keywords)
            except TypeError as error:
                raise _misfit(function, name, arguments, keywords) or error from None
        except MultiarchError as error:
            return fail(f"{_line(Path(arguments[0].Dir('#').get_abspath()))}{error}")

    env.AddMethod(checked if isinstance(builder, str) else functools.wraps(builder)(checked), name)


def _loaded(builder: str) -> Callable[..., Any]:
    module, _, name = builder.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _misfit(
    builder: Callable[..., Any], name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> WrongCall | None:
    """Why a call does not fit the builder's parameters; None when it does, and something else is wrong."""
    signature = inspect.signature(builder)
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        known = list(signature.parameters)[1:]
        for unknown in [keyword for keyword in keywords if keyword not in known]:
            return WrongCall.unknown(name, unknown, known)
        return WrongCall(str(error), where=name, hint=f"see env.{name} in docs/reference.md")
    return None


def _line(root: Path) -> str:
    """`SConstruct:31: ` for the line that is being read, which is in no module; empty when there is none."""
    calls = [frame for frame in traceback.extract_stack() if not frame.filename.endswith((".py", ">"))]
    if not calls:
        return ""
    file = Path(calls[-1].filename)
    return f"{file.relative_to(root) if file.is_relative_to(root) else file}:{calls[-1].lineno}: "


def write(path: Path, content: bytes) -> None:
    """Replace a file at once or not at all; its folder is made."""
    from multiarch_oci.store.atomic import replacing

    with replacing(path) as file:
        file.write(content)
