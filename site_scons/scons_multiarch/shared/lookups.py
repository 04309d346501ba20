"""The entries of a build's steps: each is asked for once, those of all programs together, and never again in a run."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from multiarch_oci.actioncache import Entry, Key, NoEntry
from multiarch_oci.actioncache.cache import ActionCache
from multiarch_oci.digest import DigestMismatch
from multiarch_oci.document import InvalidDocument, key_of
from multiarch_oci.errors import MultiarchError, one_line
from multiarch_oci.golang import recipe
from scons_multiarch.graph import reachable_nodes
from scons_multiarch.process import say
from scons_multiarch.receipts import root_of
from scons_multiarch.shared.origins import open_origin, origin_of
from scons_multiarch.shared.troubles import Troubles
from scons_multiarch.targets import ProgramTarget, is_image, target_of
from scons_multiarch.tracking.nodes import REVISION
from scons_multiarch.tracking.state import state_of

if TYPE_CHECKING:
    from multiarch_oci.actioncache.cache import Contents, Seal
    from scons_multiarch.session import Run

_BY_FACTS = ("program", "image")
_TOGETHER = 8
_DAMAGE = (NoEntry, InvalidDocument, DigestMismatch)


class Lookups:
    """What the cache of a build has; any number of threads. One a build."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._guard = threading.Lock()
        self._answers: dict[tuple[str, str], Future[Entry | None]] = {}
        self._began = False
        self.troubles = Troubles(run.build.is_new)
        self.used: dict[str, dict[str, None]] = {}  # by place, the keys that counted or were written

    def cache(self, origin: str, *, action: str = "pull") -> ActionCache:
        """The entries of a place."""
        return ActionCache(open_origin(self._run, origin, action=action), seal=self._seal())

    def _seal(self) -> Seal | None:
        settings = self._run.settings.cache
        if settings is None or not settings.key:
            return None
        from scons_multiarch.shared.sealing import KeySeal

        return self._run.build.once("seal of the cache", lambda: KeySeal(self._run, settings))

    def key(self, node: Any) -> Key | None:
        """The key of a step that was decided; None where its facts are not known, or it is not shared."""
        state, settings = state_of(node), self._run.settings.cache
        if state is None or not state.kind or settings is None:
            return None
        state.decide()
        if state.facts is None or state.facts.values.get("error"):
            return None
        if isinstance(target_of(node), ProgramTarget) and not self._is_of_facts_alone(target_of(node)):
            return None
        facts: list[Any] = [REVISION, state.digest_of_facts()]
        if state.kind not in _BY_FACTS:  # whose facts do not hold what is in their sources
            facts += [str(root_of(source)) if is_image(source) else source.get_csig() for source in node.sources]
        return Key(state.kind, key_of(facts), settings.scope)

    def _is_of_facts_alone(self, program: ProgramTarget) -> bool:
        environment = self._run.build.lister().environment(program.build)
        return recipe.is_of_facts_alone(program.build, environment)

    def look(self, node: Any) -> Entry | None:
        """The entry of a step; None where there is none that counts, and where the cache is not read."""
        settings, key = self._run.settings.cache, self.key(node)
        if settings is None or not settings.reads or key is None:
            return None
        if isinstance(target_of(node), ProgramTarget):
            self._begin_programs()
        return self.find(key, origin_of(self._run, node))

    def find(self, key: Key, origin: str) -> Entry | None:
        """The entry of a key at a place, asked for once."""
        return self._ask(key, origin).result()

    def _ask(self, key: Key, origin: str, pool: ThreadPoolExecutor | None = None) -> Future[Entry | None]:
        with self._guard:
            known = self._answers.get((origin, key.hex))
            if known is not None:
                return known
            future: Future[Entry | None] = Future()
            self._answers[origin, key.hex] = future

        def answer() -> None:
            try:
                future.set_result(self._read(key, origin))
            except BaseException as error:  # noqa: BLE001  # raised by whoever waits
                future.set_exception(error)

        if pool is None:
            answer()
        else:
            pool.submit(answer)
        return future

    def _read(self, key: Key, origin: str) -> Entry | None:
        if self.troubles.is_closed(origin):
            return None
        try:
            entry = self.cache(origin).look(key)
        except _DAMAGE as error:
            self.troubles.left_out(error)
            return None
        except (MultiarchError, OSError) as error:
            self.troubles.failed(origin, error)
            return None
        except Exception as error:  # noqa: BLE001  # what somebody else wrote there fails no build
            self.troubles.left_out(error)
            return None
        if entry is not None:
            self.note(origin, key)
        return entry

    def note(self, origin: str, key: Key) -> None:
        """Note that a key was used or written, for the list that a writer leaves."""
        with self._guard:
            self.used.setdefault(origin, {})[key.hex] = None

    def keep(self, origin: str, make: Callable[[], tuple[Entry, Contents] | None], *, subject: str) -> bool:
        """Put an entry into a place; whether it is there now. Never raises.

        `make` gives it, and from where its outputs are read; None for nothing that is to be kept. Where something
        fails the place is written to no more: whatever comes next would meet the same trouble.
        """
        if self.is_closed(origin):
            return False
        try:
            made = make()
            if made is None:
                return False
            entry, contents = made
            self.cache(origin, action="push").keep(entry, contents)
        except (NoEntry, UnicodeError) as error:  # too large, or a name that no JSON holds
            say(f"  warning: not kept in the cache: {subject}: {one_line(error)}")
            return False
        except (MultiarchError, OSError) as error:
            self.troubles.failed(origin, error, writing=True)
            return False
        self.note(origin, entry.key)
        return True

    def is_closed(self, origin: str) -> bool:
        """Whether nothing is put into a place any more."""
        return self.troubles.is_closed(origin, writing=True)

    def leave_lists(self) -> None:
        """Leave in each place, where it is written to, the keys that this run wrote or used; never raises."""
        settings = self._run.settings.cache
        if settings is None or not settings.writes or self._run.settings.asks:
            return
        if self.used:
            self._run.build.offer_listings()
        used, self.used = self.used, {}
        from multiarch_oci.actioncache.upkeep import leave_list

        day = dt.datetime.now(dt.timezone.utc).date()
        for origin, keys in used.items():
            if self.is_closed(origin):
                continue
            try:
                leave_list(open_origin(self._run, origin, action="push"), keys, day)
            except (MultiarchError, OSError) as error:
                self.troubles.failed(origin, error, writing=True)

    def _begin_programs(self) -> None:
        """Ask for the entries of all programs that this run leads to and whose facts can be known by now."""
        with self._guard:
            began, self._began = self._began, True
        if began:
            return
        nodes = [node for node in reachable_nodes() if self._may_be_asked(node)]
        if len(nodes) <= 1:
            return
        with ThreadPoolExecutor(_TOGETHER) as pool:
            for node in nodes:
                key = self.key(node)
                if key is not None:
                    self._ask(key, origin_of(self._run, node), pool)

    def _may_be_asked(self, node: Any) -> bool:
        """Whether a program is not here, and nothing that it is made from is still to be made."""
        if not isinstance(target_of(node), ProgramTarget) or any(source.has_builder() for source in node.sources):
            return False
        path = node.get_abspath()
        return not os.path.lexists(path) and self._run.tree.held.get(path) is None


def lookups(run: Run) -> Lookups:
    """Those of the present build."""
    return run.build.once("shared cache", lambda: Lookups(run))
