"""What the Tools share: tracked files, nodes of inputs, and the decider.

Not a Tool. A *tracked* file has a content signature from the stat cache and is made again when its bytes are not those
that were made. The *inputs* of a target are one node, computed when the target is decided, so after whatever generates
its sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import SCons.Action
import SCons.Errors
import SCons.Node
import SCons.Node.Alias
import SCons.Node.FS
import SCons.Node.Python
import SCons.Script

from multiarch.why import Facts

Nodes = Sequence[Any]
Perform = Callable[[Nodes, Nodes, Any], None]
_MISSING = "absent"


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
        if type(node) is SCons.Node.FS.Entry:  # what Command makes; tracked too late, it had a signature of SCons first
            node.disambiguate()
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
    env["MULTIARCH_RUN"].report.declare(targets[0])


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
        reasons(target).append("it is not what was built")
        return True
    if made is None or not target.exists():
        return False  # SCons itself sees that; to ask the world outside would be a request too many
    told = target.attributes.drifted()
    if told:
        reasons(target).append(told)
    return bool(told)
