"""What is found out about the targets of a step while a build decides and makes them.

It stands in the attributes of their nodes; what they were declared as stands beside it, and does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from multiarch_oci.errors import MultiarchError
from multiarch_oci.why import Facts
from scons_multiarch.interrupts import Interrupted

if TYPE_CHECKING:
    from multiarch_oci.digest import Digest
    from multiarch_oci.publish import Published

Nodes = Sequence[Any]


class State:
    """How the targets of one step are decided, and what this build found out about them.

    `find` gives the facts, everything that decides the bytes beside File sources; once, when the target is decided. It
    may fail: a decision that raised would stop SCons for ever under `-j`, so the failure is kept, the target counts as
    out of date, and its step reports it. `drifted` says why the world outside differs from what the last step left.
    `scan` finds sources that no declaration names; `spell` puts a message into the user's words; `taken` does what is
    left to do where a cache had the file. `retrieved`: one had, in this build; `shared`: it was the shared one.
    `kind` is what the step is called in the shared cache, empty for one that is not there; `kept_at` is the place where
    this build put what the step made.
    """

    __slots__ = (
        *("_facts_digest", "because", "digest", "drifted", "facts", "failure", "find", "mend", "published"),
        *("reasons", "repairs", "retrieved", "scan", "seen", "sentences", "spell", "subject", "taken", "targets"),
        *("decided_by", "kept_at", "kind", "shared", "spares", "waited_for"),
    )

    def __init__(
        self,
        subject: str,
        find: Callable[[], Facts],
        drifted: Callable[[], str | None],
        *,
        scan: Callable[[], Nodes] | None = None,
        spell: Callable[[str], str] = str,
        taken: Callable[[], None] | None = None,
        kind: str = "",
    ) -> None:
        self.targets: Nodes = ()
        self.subject = subject
        self.drifted = drifted
        self.scan = scan
        self.spell = spell
        self.taken = taken
        self.kind = kind
        self.find = find
        self.renew()

    def renew(self) -> None:
        """Forget what was found out: another build begins."""
        self._facts_digest = ""
        self.facts: Facts | None = None
        self.failure: Exception | None = None
        self.reasons: dict[Any, list[str]] = {}  # by target
        self.retrieved = self.shared = False
        self.decided_by = ""  # of a receipt, what decides the documents that it may depend on (`documents`)
        self.spares = False  # what it depends on by its record, at the end, is not asked for (`late`)
        self.kept_at = ""
        self.repairs = False  # its bytes, or the world outside, are all that differs
        self.because: str | None = None  # the reason on the step's line
        self.sentences: tuple[str, ...] = ()  # all reasons
        self.digest: Digest | None = None  # of the image or index, when a step made or pushed it
        self.published: Published | None = None  # what a push did, when its step has ended
        self.seen: Any = None  # what the scan found, for the decision that comes next
        self.waited_for: frozenset[Any] = frozenset()  # found by the scan, too: what of them counts is among the facts
        self.mend: frozenset[Digest] | None = None  # of `verify`: the tag is written again, and these blobs

    def decide(self) -> None:
        """Find the facts; only the first call does."""
        if self.facts is not None or self.failure is not None:
            return
        try:
            with self.targets[0].attributes.run.interrupts.performing():
                self.facts = self.find()
            self._facts_digest = self.facts.digest()
        except Exception as error:  # noqa: BLE001  # kept for the step, see the class
            self.failure = error
        except Interrupted:  # SCons has noted the signal, too, and begins nothing more
            self.failure = MultiarchError("was interrupted")

    def find_again(self) -> None:
        """Find the facts anew: what they were found of has been made anew, and is not what it was."""
        self.facts, self.failure = None, None
        self.decide()
        if self.failure is not None:
            raise self.failure

    def still_holds(self) -> bool:
        """Whether the facts, found anew, are those that were found; raises what finding them raises."""
        return self.find().digest() == self._facts_digest

    def digest_of_facts(self) -> str:
        """The digest of the facts, in hexadecimal; empty when they were not asked for yet, or could not be found."""
        return self._facts_digest


def is_ours(node: Any) -> bool:
    """Whether `declare` made this node a target of ours."""
    return "state" in node.attributes.__dict__


def state_of(node: Any) -> State | None:
    """The state of a target of ours; None for every other node."""
    state: State | None = node.attributes.__dict__.get("state")
    return state


def undrifted() -> str | None:
    """Nothing outside the tree can differ."""
    return None


def reasons(target: Any) -> list[str]:
    """The reasons for which this target runs, as found so far."""
    of_target: list[str] = target.attributes.state.reasons.setdefault(target, [])
    return of_target
