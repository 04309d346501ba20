"""Bases: which manifest each one is, by `images.lock` (`baselock`) or its registry, and whether it may be used."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from multiarch_oci.baselock import FILE, LONGEST, OS_VERSION, BaseLock, Chosen, Locked
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument, UnreadableFile, content_of, readable
from multiarch_oci.engine import Base, BuildPlan
from multiarch_oci.errors import MultiarchError, without_login
from multiarch_oci.mediatype import is_index
from multiarch_oci.once import Once
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

if TYPE_CHECKING:
    from multiarch_oci.attest.verdicts import Use, Verdicts
    from multiarch_oci.store import Source


class BaseNotLocked(MultiarchError):
    """A base without an entry, where that is declared to be an error."""


class BaseNotFound(MultiarchError):
    """A base that its registry does not have, or not for the wanted platform."""


def choose(source: Source, name: Reference, platform: Platform) -> Chosen:
    """The manifest that a base is for a platform, now; of an index, its entry is taken, of Windows ones the newest.

    That the image really is of this platform is the engine's to check, as it reads the config. Raises BaseNotFound.
    """
    from multiarch_oci.index import Index, serves
    from multiarch_oci.store import read
    from multiarch_oci.store.selecting import select, there

    descriptor = source.resolve(str(name.digest) if name.digest is not None else name.tag or "latest")
    if descriptor is None:
        raise BaseNotFound(
            "is not in the registry", where=str(name), hint="check the name in FROM, or push the base first"
        )
    if not is_index(descriptor.media_type):
        return Chosen(descriptor.digest)
    index = Index.from_json(read(source, descriptor), where=str(name), media_type=descriptor.media_type)
    chosen = select(source, index, platform, serves=serves, where=str(name))
    if chosen is None:
        platforms = there(source, index, where=str(name)) or "none at all"
        raise BaseNotFound(f"has no image for {platform}", where=str(name), hint=f"it has {platforms}")
    by_choice = platform.os == "windows" and not platform.os_version
    version = chosen.platform.os_version if by_choice and re.fullmatch(OS_VERSION, chosen.platform.os_version) else ""
    return Chosen(chosen.descriptor.digest, version, chosen.version if version else "", descriptor.digest)


class Named(Protocol):
    """An image that a Dockerfile names, for which platform, and in which line."""

    @property
    def name(self) -> str: ...  # noqa: D102  # the class says it
    @property
    def platform(self) -> Platform: ...  # noqa: D102
    @property
    def line(self) -> int: ...  # noqa: D102


class Current(msgspec.Struct, frozen=True):
    """A base: its entry in images.lock, None when it has none, and what its registry has now."""

    name: Reference
    platform: Platform
    entry: Locked | None
    chosen: Chosen
    untrusted: MultiarchError | None = None  # why it may not be used

    def is_stale(self) -> bool:
        """Whether the entry is not what the registry has."""
        return self.entry is None or self.entry.digest != self.chosen.digest

    def __str__(self) -> str:
        """The two digests, and what Windows they are where that was chosen."""
        if not self.is_stale():
            return "unchanged"
        version = self.entry.version if self.entry is not None else ""
        old = "not locked" if self.entry is None else f"{self.entry.digest}{f' (Windows {version})' if version else ''}"
        new = self.chosen.description or (f"Windows {self.chosen.version}" if self.chosen.version else "")
        return f"{old} → {self.chosen.digest}{f' ({new})' if new else ''}"


class Bases:
    """The bases of one build, each asked for once; any number of threads.

    A base without an entry in images.lock is resolved by its registry, and written there by `keep`, once an image was
    made over it. What configs say (ENV, ONBUILD) is kept as JSON files in `cache`, one a digest.
    """

    def __init__(
        self,
        root: Path,
        cache: Path,
        open_source: Callable[[Reference], Source],
        *,
        locked: bool = False,
        caches: bool = True,
        verdicts: Verdicts | None = None,
    ) -> None:
        """`root` is the folder of images.lock; with `locked` it must have every base; `caches`: `cache` is written.

        `verdicts` say which bases may be used; None: all.
        """
        self._root = root
        self._cache = cache
        self._open_source = open_source
        self._locked = locked
        self._caches = caches
        self._verdicts = verdicts
        self._guard = threading.RLock()  # never held while a registry is asked
        self._lock: BaseLock | None = None
        self._resolved: dict[tuple[Reference, Platform], Chosen] = {}  # what is not in images.lock yet
        self._failures: dict[tuple[str, Platform], MultiarchError] = {}
        self._choices: Once[Chosen] = Once()
        self._configs: Once[tuple[tuple[str, ...], tuple[str, ...]]] = Once()

    def lock(self) -> BaseLock:
        """The lock as it stands now. Raises InvalidLock, UnreadableFile."""
        with self._guard:
            if self._lock is None:
                content = content_of(self._root / FILE, LONGEST, where=FILE)
                self._lock = BaseLock.parse((content or b"").decode("utf-8", "replace"), where=FILE)
            return self._lock

    def resolve(self, plan: BuildPlan, named: Named) -> Base:
        """A base of a plan's Dockerfile with its digest, and what its config says.

        Raises BaseNotLocked, BaseNotFound or what the registry raises, with base, file and line; the second time
        without asking.
        """
        key = named.name, named.platform
        try:
            if key in self._failures:
                raise self._failures[key]
            return self._resolve(plan, named)
        except MultiarchError as error:
            from multiarch_oci.store.sources import Subject

            self._failures[key] = error
            if error.where == FILE:
                raise
            raise Subject.base(named.name, _where(plan, named)).restated(error) from error

    def _resolve(self, plan: BuildPlan, named: Named) -> Base:
        name, platform = named.name, named.platform
        use = None if self._verdicts is None else _use(name, platform, _where(plan, named))
        if self._verdicts is not None and use is not None:
            self._verdicts.denial(use)
        base = Base(name, platform, self._digest(_parsed(name), platform))
        if self._verdicts is not None and use is not None:
            self._verdicts.check(use, base.digest, self._index(use.name, platform))
        env, on_build = self._configs.get((name, base.digest), lambda: self._cached(base.digest) or self._load(base))
        return replace(base, env=env, on_build=on_build)

    def _digest(self, name: Reference, platform: Platform) -> Digest:
        with self._guard:
            digest = self.lock().find(name, platform)
            resolved = self._resolved.get((name, platform))
            if digest is not None:
                return digest
            if resolved is not None:
                return resolved.digest
            if self._locked:
                raise BaseNotLocked(
                    f"{name} for {platform} is not there",
                    where=FILE,
                    hint="build once without LOCKED=yes, and commit it",
                )
        self._check_writable()
        return self._choices.get((name, platform), lambda: self._choose(name, platform)).digest

    def _index(self, name: Reference, platform: Platform) -> Digest | None:
        """The index that named a base, as images.lock or its registry says it."""
        with self._guard:
            entry: Locked | Chosen | None = self.lock().entry(name, platform) or self._resolved.get((name, platform))
        return None if entry is None else entry.index

    def _choose(self, name: Reference, platform: Platform) -> Chosen:
        chosen = choose(self._open_source(name), name, platform)
        with self._guard:
            self._resolved[name, platform] = chosen
        return chosen

    def _check_writable(self) -> None:
        """Raise UnreadableFile where images.lock is a link: it may be read through one, and is not replaced."""
        if (self._root / FILE).is_symlink():
            hint = "put the file itself in its place, or build with bases that stand in it"
            raise UnreadableFile("is a link, which is not replaced", where=FILE, hint=hint)

    def _cached(self, digest: Digest) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The ENV and ONBUILD of a config that was read in an earlier run."""
        path = self._cache / f"{digest.hex}.json"
        try:
            document = Document.parse(path.read_bytes(), where=str(path))
            return document.texts("env"), document.texts("on_build")
        except (OSError, InvalidDocument):
            return None

    def _load(self, base: Base) -> tuple[tuple[str, ...], tuple[str, ...]]:
        from multiarch_oci.engine.frontend.bases import load

        config = load(base, self._open_source, where=base.name).config  # `resolve` says file and line
        if self._caches:
            content = readable({"env": list(config.env), "on_build": list(config.on_build)})
            _write(self._cache / f"{base.digest.hex}.json", content)
        return config.env, config.on_build

    def has_new(self) -> bool:
        """Whether this build resolved a base that `keep` has not written to images.lock yet."""
        return bool(self._resolved)

    def are_new(self, named: Iterable[Named]) -> bool:
        """Whether one of these was resolved in this build, and is not in images.lock yet."""
        with self._guard:
            return any((_parsed(base.name), base.platform) in self._resolved for base in named)

    def keep(self, bases: Iterable[Base]) -> list[str]:
        """Write the bases over which an image has just been made into images.lock; a line each that was not there."""
        lines = []
        with self._guard:
            for base in bases:
                name = _parsed(base.name)
                chosen = self._resolved.pop((name, base.platform), None)
                if chosen is not None:
                    self._lock = self.lock().with_entry(name, base.platform, chosen)
                    _write(self._root / FILE, str(self._lock).encode())
                    description = f" ({chosen.description})" if chosen.description else ""
                    lines.append(f"{FILE}: {name} for {base.platform} is {base.digest}{description}")
        return lines

    def current(self, named: Iterable[tuple[BuildPlan, Named]]) -> Iterator[Current]:
        """Every base that the plans' Dockerfiles name, once, as its registry has it now. Raises what `resolve` does."""
        from multiarch_oci.store.sources import Subject, attempt

        seen = set()
        for plan, base in named:
            name, platform = _parsed(base.name), base.platform
            if (name, platform) not in seen:
                seen.add((name, platform))
                subject = Subject.base(base.name, _where(plan, base))
                chosen = attempt(subject, functools.partial(choose, self._open_source(name), name, platform))
                untrusted = self._untrusted(base, chosen, _where(plan, base))
                yield Current(name, platform, self.lock().entry(name, platform), chosen, untrusted)

    def _untrusted(self, base: Named, chosen: Chosen, where: str) -> MultiarchError | None:
        """Why a base may not be used; None when it may."""
        if self._verdicts is None:
            return None
        from multiarch_oci.attest.trust import Untrusted

        try:
            self._verdicts.check(_use(base.name, base.platform, where), chosen.digest, chosen.index)
        except Untrusted as error:
            return error
        return None

    def update(
        self,
        named: Iterable[tuple[BuildPlan, Named]],
        sbom_of: Callable[[Current], Digest | None] = lambda _: None,
    ) -> list[str]:
        """Write every base as it is now into images.lock, when all are known and trusted; a line each, old → new.

        `sbom_of` says which SBOM was published with a base.
        """
        self._check_writable()
        lock, lines = self.lock(), []
        for base in self.current(named):
            if base.untrusted is not None:
                raise base.untrusted
            sbom = sbom_of(base)
            lock = lock.with_entry(base.name, base.platform, base.chosen, sbom=sbom)
            lines.append(f"{base.name} for {base.platform}: {base}{'' if sbom is None else f'; its SBOM: {sbom}'}")
        with self._guard:
            if lock != self.lock():
                _write(self._root / FILE, str(lock).encode())
                self._lock = lock
        return lines


@functools.lru_cache(1024)
def _parsed(name: str) -> Reference:
    """What FROM names; many Dockerfiles name the same."""
    return Reference.parse(name).with_default_tag()


def _use(name: str, platform: Platform, where: str) -> Use:
    """A base for its verdict; in words as `Subject.base` begins them."""
    from multiarch_oci.attest.verdicts import Use

    return Use(_parsed(name), f"base {without_login(name)} for {platform}", where)


def _where(plan: BuildPlan, named: Named) -> str:
    """File and line in which a plan's Dockerfile names a base."""
    return f"{plan.name}:{named.line}"


def _write(path: Path, content: bytes) -> None:
    from multiarch_oci.store.atomic import replacing

    with replacing(path) as file:
        file.write(content)
