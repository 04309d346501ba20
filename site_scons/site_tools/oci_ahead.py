"""While a compiler runs, the modules are loaded that the steps after it need. Not a Tool."""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress
from typing import Any

OF_IMAGES = ("multiarch.engine.embedded", "multiarch.engine.harvest.normalising", "deflate")
OF_PUSHES = ("multiarch.store.registry", "multiarch.publish", "multiarch.store.chain", "multiarch.store.http.pool")


class Ahead:
    """One thread of a run that loads modules; whoever else loads one of them waits for its end first.

    Else two threads that begin at different ends of a package could wait for each other, which Python makes an error.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def load(self, node: Any) -> None:
        """Begin to load what the steps need that wait for this node in this run; only the first call does."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=_load, args=(wanted(node),), daemon=True, name="ahead")
                self._thread.start()

    def wait(self) -> None:
        """Return when nothing is loaded here any more."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()


def wanted(node: Any) -> list[str]:
    """The modules that images and pushes need, of those that wait for a node, directly or not."""
    seen: set[Any] = set()
    left = [node]
    found: dict[str, None] = {}
    while left:
        for parent in left.pop().waiting_parents.copy():
            if parent not in seen:
                seen.add(parent)
                left.append(parent)
                found |= dict.fromkeys(OF_IMAGES if parent.check_attributes("plan") else ())
                found |= dict.fromkeys(OF_PUSHES if parent.check_attributes("remote") else ())
    return sorted(found, key=[*OF_IMAGES, *OF_PUSHES].index)


def _load(names: list[str]) -> None:
    for name in names:
        with suppress(ImportError):  # told by whoever needs it
            importlib.import_module(name)
