"""What the Tools share: tracked files, nodes of inputs, the decider, and steps with their errors.

Not a Tool. A *tracked* file has a content signature from the stat cache and is made again when its bytes are not those
that were made. The *inputs* of a target are one node, computed when the target is decided, so after whatever generates
its sources. A *step* is an action that says why it runs and ends in one clear error.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import SCons.Action
import SCons.Errors
import SCons.Node
import SCons.Node.Alias
import SCons.Node.FS
import SCons.Node.Python
import SCons.Script

from multiarch.errors import MultiarchError
from multiarch.why import Facts, brief, changes

Nodes = Sequence[Any]
Perform = Callable[[Nodes, Nodes, Any], None]
_MISSING = "absent"


class TwoPushes(MultiarchError, ValueError):
    """One reference that two things of a build claim."""


class Tracked(SCons.Node.FS.File):
    """A file whose signature is the sha256 of its bytes, looked up by what `stat` says of it.

    SCons hashes every file again on each run once timestamps are not trusted, and they must not be (they are whole
    seconds there). Existing File nodes change to this class; it adds no slot, so the layout is the same.
    """

    __slots__ = ()

    def get_csig(self) -> str:
        """The sha256 of the file in hexadecimal; a word that is no digest when there is no file."""
        info = self.get_ninfo()
        try:
            return str(info.csig)
        except AttributeError:
            pass
        try:
            info.csig = self.attributes.run.stat.digest(self.get_abspath())
        except OSError:
            info.csig = _MISSING
        return str(info.csig)


class Inputs(SCons.Node.Python.Value):
    """Everything that decides one target's bytes beside its File sources, as one node.

    `find` gives the facts, once, when the target is decided. It may fail: a decider that raised would stop SCons for
    ever under `-j`, so the failure is kept, the target counts as out of date, and its step reports it.
    """

    def __init__(self, name: str, find: Callable[[], Facts]) -> None:
        super().__init__(name, name=name)
        self.attributes.find = find
        self.attributes.facts = None
        self.attributes.failure = None
        self.Decider(decide)

    def make_ready(self) -> None:
        """Wait: the sources of the target may not be built yet."""

    def get_csig(self) -> str:
        """The digest of the facts, in hexadecimal; empty when they could not be found."""
        info = self.get_ninfo()
        try:
            return str(info.csig)
        except AttributeError:
            pass
        try:
            self.attributes.facts = self.attributes.find()
            info.csig = self.attributes.facts.digest()
        except Exception as error:  # noqa: BLE001  # kept for the step, see the class
            self.attributes.failure = error
            info.csig = ""
        return str(info.csig)


def track(env: Any, nodes: Nodes) -> Nodes:
    """Turn File nodes into tracked ones; harmless when they are already."""
    for node in nodes:
        if type(node) is SCons.Node.FS.File:
            node.__class__ = Tracked
        node.attributes.run = env["MULTIARCH_RUN"]
    return nodes


def declare(
    env: Any, targets: Nodes, find: Callable[[], Facts], subject: str, drifted: Callable[[], str | None]
) -> None:
    """Make targets ours: tracked, precious, with a node of inputs; `drifted` says why the world outside differs."""
    track(env, targets)
    track(env, [source for target in targets for source in target.sources])
    inputs = Inputs(f"inputs of {targets[0]}", find)
    for target in targets:
        env.Depends(target, inputs)
        env.Precious(target)
        target.attributes.inputs = inputs
        target.attributes.subject = subject
        target.attributes.drifted = drifted


def undrifted() -> str | None:
    """Nothing outside the tree can differ."""
    return None


def decide(dependency: Any, target: Any, previous: Any, _repository: Any = None) -> bool:
    """Whether a target is out of date as far as one dependency tells; never raises."""
    changed = bool(dependency.get_csig() != getattr(previous, "csig", None))
    if not isinstance(target, Tracked) or not hasattr(target.attributes, "inputs"):
        return changed
    if changed and not isinstance(dependency, Inputs):
        reasons(target).append(f"{dependency} {'changed' if previous is not None else 'is new'}")
    return changed or _differs(target)


def reasons(target: Any) -> list[str]:
    """The reasons for which this target runs, as found so far."""
    attributes = target.attributes.__dict__
    found: list[str] = attributes.setdefault("reasons", [])
    return found


def _differs(target: Any) -> bool:
    """Whether the target's own bytes, or the world outside, are not what the last step left; asked once a run."""
    attributes = target.attributes.__dict__
    if "differs" not in attributes:
        attributes["differs"] = False
        try:
            attributes["differs"] = _look(target)
        except Exception as error:  # noqa: BLE001  # a decider never raises; the step will meet the same trouble
            reasons(target).append(f"its state is not known ({type(error).__name__})")
            attributes["differs"] = True
    return bool(attributes["differs"])


def _look(target: Any) -> bool:
    made = getattr(target.get_stored_info().ninfo, "csig", None)
    if target.exists() and made is not None and target.get_csig() != made:
        reasons(target).append(f"{target} is not what was built")
        return True
    if made is None or not target.exists():
        return False  # SCons itself sees that; to ask the world outside would be a request too many
    told = target.attributes.drifted()
    if told:
        reasons(target).append(told)
    return bool(told)


def ordered(targets: Iterable[Any]) -> list[Any]:
    """All nodes that the targets lead to, sources before what is made of them."""
    done: dict[Any, None] = {}

    def visit(node: Any) -> None:
        for child in node.children():
            if child not in done:
                visit(child)
        done.setdefault(node)

    for target in targets:
        visit(target)
    return list(done)


def reachable() -> list[Any]:
    """Every node with a remote tag that the targets of this run lead to."""
    left = _requested()
    seen: set[Any] = set()
    found = []
    while left:
        node = left.pop()
        if node in seen:
            continue
        seen.add(node)
        left += [*node.sources, *(node.depends or ()), *(node.prerequisites or ())]
        if node.check_attributes("remote"):
            found.append(node)
    return found


def _requested() -> list[Any]:
    """The nodes of the targets that this run was asked for."""
    fs = SCons.Node.FS.get_default_fs()
    wanted = SCons.Script.BUILD_TARGETS
    lookup = SCons.Node.Alias.default_ans.lookup
    return [t if isinstance(t, SCons.Node.Node) else lookup(t) or fs.Entry(t) for t in wanted]


class _StepAction(SCons.Action.FunctionAction):
    """A function action whose signature is its verb: bytecode differs from Python to Python, what is made does not."""

    def get_presig(self, _target: Nodes, _source: Nodes, _env: Any, _executor: Any = None) -> bytes:
        """The verb, and the number to raise when a step makes other bytes of the same facts."""
        return f"{self.execfunction.verb} 1".encode()


class Step:
    """An action of ours: `verb subject: reason` is its line; a MultiarchError is its failure, exit status 2."""

    def __init__(self, verb: str, perform: Perform) -> None:
        self.verb = verb
        self.perform = perform

    def action(self) -> Any:
        """As an SCons action."""
        return _StepAction(self, {"strfunction": self.announce})

    def announce(self, target: Nodes, _source: Nodes, _env: Any) -> str:
        """The line that SCons prints before the step, or instead of it under `-n`."""
        because = target[0].attributes.because = why(target[0])
        return f"{self.verb} {target[0].attributes.subject}" + (f": {because}" if because else "")

    def __call__(self, target: Nodes, source: Nodes, env: Any) -> None:
        """Perform the step; keep the facts it was made from."""
        inputs = target[0].attributes.inputs
        try:
            if inputs.attributes.failure is not None:
                raise inputs.attributes.failure
            self.perform(target, source, env)
            run = target[0].attributes.run
            run.remember(str(target[0]), inputs.attributes.facts, getattr(target[0].attributes, "because", None))
            run.report(self.verb, target[0])
        except (MultiarchError, OSError) as error:
            raise SCons.Errors.BuildError(node=target[0], errstr=told(error), status=2, exitstatus=2) from error


def why(target: Any) -> str | None:
    """The reason for which a target runs, in one line; None when there is none to tell."""
    known = target.get_stored_info().binfo.bactsig is not None
    if not target.exists():
        return f"{target} is not there" if known else None
    if not known:
        return "no record of the last build"
    facts = target.attributes.inputs.attributes.facts
    before = target.attributes.run.recall(str(target))
    found = [] if facts is None or before is None else list(changes(before, facts))
    # A file that the facts name, too, is told once.
    return brief([*found, *(reason for reason in reasons(target) if reason not in found)])


def told(error: Exception) -> str:
    """The words of an error for the person at the terminal."""
    if not isinstance(error, OSError) or isinstance(error, MultiarchError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    hints = {
        errno.ENOSPC: "free some space and run the same command again; nothing half-written was left",
        errno.EACCES: "the folder must be writable for you",
        errno.EROFS: "the folder must be writable",
    }
    hint = hints.get(error.errno or 0)
    return f"{where}{error.strerror or error}" + (f"\n  hint: {hint}" if hint else "")


def fail(error: Exception) -> NoReturn:
    """End SCons as it ends itself on a user's error: one message, status 2, no traceback."""
    sys.stderr.write(f"\nscons: *** {error}\n")
    sys.stderr.flush()
    SCons.Script.Exit(2)
    raise SystemExit(2)


def write(path: Path, content: bytes) -> None:
    """Replace a file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def readable_json(path: Path) -> dict[str, Any]:
    """A small JSON file of ours; empty when it is not there or not ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
