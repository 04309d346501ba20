"""The command `cache`: how many entries and bytes the shared cache holds; `cache prune OLDER=30d` makes it smaller."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.quoting import counted, size_in_words
from scons_multiarch.installation import command
from scons_multiarch.shared.origins import open_origin, place_named, repository_of
from scons_multiarch.variables import UnknownWord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multiarch_oci.actioncache.upkeep import Pruned
    from scons_multiarch.session import Run

_UNITS = {"d": 1, "w": 7}


class NoCache(MultiarchError, ValueError):
    """A question for a cache where none is named."""


def run(env: Any, words: list[Any]) -> int:
    """`cache`: count; `cache prune`: delete what no list of the last OLDER days names. Status 1 where it may not."""
    run: Run = env["MULTIARCH_RUN"]
    if run.settings.cache is None:
        raise NoCache("there is no cache", where="cache", hint=f"name it: {command()} cache CACHE=host/repository")
    given = [str(word) for word in words]
    if given not in ([], ["prune"]):
        raise UnknownWord(f"{quoted(' '.join(given))} is no word of cache", where="cache", hint="cache prune OLDER=30d")
    oldest = days_of(env["VARIABLE_TEXTS"]["OLDER"]) if given else None
    statuses = [_look(run, origin, oldest) for origin in _origins(env, run)]
    return max(statuses)


def _origins(env: Any, run: Run) -> Iterable[str]:
    """The places of this build: one, or with CACHE=REGISTRY the repository of each image."""
    assert run.settings.cache is not None  # noqa: S101  # `run` looked
    if run.settings.cache.origin:
        return [run.settings.cache.origin]
    names = [name for chain in run.declarations.chains.values() for name in chain.repositories[:1]]
    return dict.fromkeys(map(place_named, names or [str(env.subst("$REPOSITORY"))]))


def days_of(text: str) -> dt.date:
    """The first day that counts: OLDER=30d is thirty days ago, 4w four weeks. Raises UnknownWord."""
    match = re.fullmatch(r"(\d{1,4})([dw])", text)
    if match is None:
        raise UnknownWord(f"{quoted(text)} is no time", where="OLDER", hint="days or weeks: OLDER=30d, OLDER=4w")
    return today() - dt.timedelta(days=int(match[1]) * _UNITS[match[2]])


def today() -> dt.date:
    """The day in UTC, as lists are dated."""
    return dt.datetime.now(dt.timezone.utc).date()


def _look(run: Run, origin: str, oldest: dt.date | None) -> int:
    from multiarch_oci.actioncache.upkeep import usage

    store = open_origin(run, origin, patient=True)
    if oldest is None:
        held = usage(store)
        _print(f"{origin}: {counted(held.entries, 'entry')}, {counted(held.lists, 'list')}, {size_in_words(held.size)}")
        return 0
    return _prune(run, origin, oldest)


def _prune(run: Run, origin: str, oldest: dt.date) -> int:
    from multiarch_oci.actioncache.upkeep import blobs, prune
    from multiarch_oci.store.layout import Layout

    store = open_origin(run, origin, action="push", patient=True)
    done = prune(store, oldest, say=lambda words: _print(f"{origin}: {words}"))
    if done.refused:
        _refused(origin, done, oldest)
        return 1
    gone = f"{counted(done.entries, 'entry')} and {counted(done.lists, 'list')} deleted, {counted(done.kept, 'other')}"
    _print(f"{origin}: {gone} kept, {size_in_words(done.size)} named by nothing any more")
    if isinstance(store, Layout):
        _print(f"{origin}: {size_in_words(store.sweep(blobs(store)))} removed")
    elif done.entries:
        _print("  the registry frees the space when it next collects garbage")
    return 0


def _refused(origin: str, done: Pruned, oldest: dt.date) -> None:
    days = (today() - oldest).days
    _print(f"{origin}: the registry deletes nothing ({counted(done.refused, 'manifest')} refused)")
    _print(
        f"  hint: set a retention rule there: in {repository_of(origin)} remove tags `cache-*` that were pushed more "
        f"than {days} days ago and not pulled since; whatever it removes is made again"
    )


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer
