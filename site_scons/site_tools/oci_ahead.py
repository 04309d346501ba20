"""While a compiler runs: what the steps after it need is loaded, and the registry is met. Not a Tool."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from oci_kinds import is_image, is_remote, target_of

if TYPE_CHECKING:
    from multiarch.reference import Reference

OF_IMAGES = ("multiarch.engine.embedded", "multiarch.engine.harvest.normalising", "deflate")
OF_PUSHES = (
    *("multiarch.store.registry", "multiarch.store.upload", "multiarch.publish", "multiarch.store.chain"),
    "multiarch.store.http.pool",
)


class Ahead:
    """One thread of a run that loads modules; whoever else loads one of them waits until it has.

    Our own modules could be loaded by any number of threads at once (`multiarch.rooms`); of those of others who knows.
    Then it has the registries met that pushes of this run go to, for which nobody waits.
    """

    def __init__(self, meet: Callable[[Reference], object]) -> None:
        self._meet = meet
        self._loaded: threading.Event | None = None
        self._ended = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def load(self, node: Any) -> None:
        """Begin to load what the steps need that wait for this node in this run; only the first call does."""
        with self._lock:
            if self._loaded is not None:
                return
            loaded = self._loaded = threading.Event()
        try:
            waiting = parents(node)
            arguments = (loaded, wanted(waiting), destinations(waiting))
            self._thread = threading.Thread(target=self._prepare, args=arguments, daemon=True, name="ahead")
            self._thread.start()
        except BaseException:
            loaded.set()
            raise

    def wait(self) -> None:
        """Return when no module is loaded here any more."""
        if self._loaded is not None:
            self._loaded.wait()

    def end(self) -> list[threading.Thread]:
        """Begin nothing more; the thread, while it is under way."""
        self._ended = True
        return [self._thread] if self._thread is not None and self._thread.is_alive() else []

    def _prepare(self, loaded: threading.Event, names: list[str], registries: list[Reference]) -> None:
        try:
            for name in names:
                if self._ended:
                    return
                with suppress(ImportError, RuntimeError):  # told by whoever needs it; the interpreter may be ending
                    importlib.import_module(name)
        finally:
            loaded.set()
        for reference in registries:
            if self._ended:
                return
            self._meet(reference)


def parents(node: Any) -> list[Any]:
    """What waits for a node in this run, directly or not."""
    seen: dict[Any, None] = {}
    left = [node]
    while left:
        for parent in left.pop().waiting_parents.copy():
            if parent not in seen:
                seen[parent] = None
                left.append(parent)
    return list(seen)


def wanted(waiting: list[Any]) -> list[str]:
    """The modules that images and pushes need, of those that wait."""
    images = OF_IMAGES if any(map(is_image, waiting)) else ()
    pushes = OF_PUSHES if any(map(is_remote, waiting)) else ()
    return [*images, *pushes]


def destinations(waiting: list[Any]) -> list[Reference]:
    """A tag to be pushed in each registry of those that wait."""
    tags = (target_of(node) for node in waiting if is_remote(node))
    return list({tag.reference.registry: tag.reference for tag in tags if tag.folder is None}.values())
