"""Which manifest a base is: as images.lock has it, or asked for once and written there. Not a Tool."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec.structs import replace

from multiarch_oci.document import Document, InvalidDocument, UnreadableFile, content_of, readable
from multiarch_oci.engine import Base
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from scons_multiarch.session import PRIVATE, Run
from scons_multiarch.step import write

if TYPE_CHECKING:
    from multiarch_oci.baselock import BaseLock, Chosen, Locked
    from multiarch_oci.digest import Digest
    from multiarch_oci.engine import BuildPlan

FILE = "images.lock"
_LONGEST = 16 << 20
Words: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...]]"
"""What a base's config says that a Dockerfile's meaning depends on: its ENV, its ONBUILD."""


def lock_of(run: Run) -> BaseLock:
    """The lock as it stands now."""
    from multiarch_oci.baselock import BaseLock

    with run.guard:
        if run.bases is None:
            content = content_of(run.root / FILE, _LONGEST, where=FILE)
            run.bases = BaseLock.parse((content or b"").decode("utf-8", "replace"), where=FILE)
        return run.bases


def writable(run: Run) -> None:
    """Raise UnreadableFile where images.lock is a link: it may be read through one, and is not replaced."""
    if (run.root / FILE).is_symlink():
        hint = "put the file itself in its place, or build with bases that stand in it"
        raise UnreadableFile("is a link, which is not replaced", where=FILE, hint=hint)


def locked(run: Run, wanted: Any) -> Digest:
    """The digest of a base (`name`, `platform`) of a Dockerfile; a missing entry is resolved now, and kept by `keep`.

    Raises BaseNotLocked with LOCKED=yes, or what the registry raises.
    """
    from multiarch_oci.baselock import BaseNotLocked, choose

    name = _named(wanted.name)
    with run.guard:
        found = lock_of(run).find(name, wanted.platform)
        fresh = run.resolved.get((name, wanted.platform))
        if found is not None:
            return found
        if fresh is not None:
            return fresh.digest
        if run.locked:
            raise BaseNotLocked(
                f"{name} for {wanted.platform} is not there",
                where=FILE,
                hint="build once without LOCKED=yes, and commit it",
            )

    writable(run)

    def resolve() -> Digest:
        chosen = choose(run.places.source(name), name, wanted.platform)
        with run.guard:
            run.resolved[name, wanted.platform] = chosen
        return chosen.digest

    known: Digest = run.once(("base", name, wanted.platform), resolve)
    return known


@functools.lru_cache(1024)
def _named(text: str) -> Reference:
    """What FROM names; many Dockerfiles name the same."""
    return Reference.parse(text).with_default_tag()


def place_of(plan: BuildPlan, wanted: Any) -> str:
    """File and line in which a plan's Dockerfile names a base."""
    file = plan.dockerfile
    name = file.relative_to(plan.context).as_posix() if file.is_relative_to(plan.context) else str(file)
    return f"{name}:{wanted.line}"


def known(run: Run, plan: BuildPlan, wanted: Any) -> Base:
    """A base of a plan's Dockerfile as images.lock has it, with what its config says; asked for once, then kept.

    Raises what `locked` and the registry raise, with base, file and line, the second time in a run without asking.
    """
    try:
        return _known(run, wanted)
    except MultiarchError as error:
        from multiarch_oci.store.attributed import Subject

        if error.where == FILE:
            raise
        raise Subject.base(wanted.name, place_of(plan, wanted)).told(error) from error


def _known(run: Run, wanted: Any) -> Base:
    key = (wanted.name, wanted.platform)
    if key in run.unknown_bases:
        raise run.unknown_bases[key]
    try:
        base = Base(wanted.name, wanted.platform, locked(run, wanted))
        said = run.once(("words", base.name, base.digest), lambda: _remembered(run, base.digest) or _asked(run, base))
    except MultiarchError as error:
        run.unknown_bases[key] = error
        raise
    env, on_build = said
    return replace(base, env=env, on_build=on_build)


def _remembered(run: Run, digest: Digest) -> Words | None:
    path = _words_file(run, digest)
    try:
        document = Document.parse(path.read_bytes(), where=str(path))
        return document.texts("env"), document.texts("on_build")
    except (OSError, InvalidDocument):
        return None


def _asked(run: Run, base: Base) -> Words:
    from multiarch_oci.engine.frontend.bases import load

    config = load(base, run.places.source, where=base.name).config  # the caller says where it stands
    content = readable({"env": list(config.env), "on_build": list(config.on_build)})
    if run.keeps:
        write(_words_file(run, base.digest), content)
    return config.env, config.on_build


def _words_file(run: Run, digest: Digest) -> Path:
    return run.root / PRIVATE / "bases" / f"{digest.hex}.json"


def unlocked(run: Run, wanted: Iterable[Any]) -> bool:
    """Whether images.lock lacks one of these bases, which was asked for in this run and is to be kept."""
    with run.guard:
        return any((_named(w.name), w.platform) in run.resolved for w in wanted)


def keep(run: Run, bases: Iterable[Any]) -> None:
    """Write the bases over which an image has just been made into images.lock, and say so: none that was of no use."""
    with run.guard:
        for base in bases:
            name = _named(base.name)
            chosen = run.resolved.pop((name, base.platform), None)
            if chosen is not None:
                run.bases = lock_of(run).with_entry(name, base.platform, base.digest, chosen.version)
                write(run.root / FILE, str(run.bases).encode())
                line = f"  {FILE}: {name} for {base.platform} is {base.digest}"
                line += f" ({chosen.said})" if chosen.said else ""
                print(line, flush=True)  # noqa: T201  # a line the user must see


def moved(run: Run, plans: Iterable[Any]) -> Iterator[tuple[Reference, Any, Locked | None, Chosen]]:
    """Every base of the plans as it is now: name, platform, its line in images.lock, what its registry has."""
    from multiarch_oci.baselock import choose
    from multiarch_oci.store.attributed import Subject, attempt
    from scons_multiarch.engines import reader

    seen = set()
    for plan in plans:
        for wanted in reader(run).inputs(plan).bases:
            name = _named(wanted.name)
            if (name, wanted.platform) not in seen:
                seen.add((name, wanted.platform))
                subject = Subject.base(wanted.name, place_of(plan, wanted))
                now = attempt(subject, functools.partial(choose, run.places.source(name), name, wanted.platform))
                yield name, wanted.platform, lock_of(run).entry(name, wanted.platform), now


def update(run: Run, plans: Iterable[Any]) -> Iterator[str]:
    """Take every base as it is now into images.lock; a line each, old → new. The file is written when all are known."""
    writable(run)
    lock = lock_of(run)
    lines = []
    for name, platform, old, new in moved(run, plans):
        lock = lock.with_entry(name, platform, new.digest, new.version)
        lines.append(f"{name} for {platform}: {_change(old, new)}")
    if lock != lock_of(run):
        write(run.root / FILE, str(lock).encode())
    yield from lines or ["no Dockerfile names a base"]


def _change(old: Locked | None, new: Chosen) -> str:
    """The two digests, and what Windows they are where that was chosen."""
    if old is not None and old.digest == new.digest:
        return "unchanged"
    before = "not locked" if old is None else f"{old.digest}{f' (Windows {old.version})' if old.version else ''}"
    said = new.said or (f"Windows {new.version}" if new.version else "")
    return f"{before} → {new.digest}{f' ({said})' if said else ''}"


def check(run: Run, plans: Iterable[Any]) -> Iterator[str]:
    """A line for each base that is not as images.lock has it."""
    for name, platform, old, new in moved(run, plans):
        if old is None or old.digest != new.digest:
            yield f"{name} for {platform} is stale: {_change(old, new)}"
