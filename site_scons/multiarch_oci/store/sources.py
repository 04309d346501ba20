"""Sources made of others: whose failures name what is read (a base, an external tag), or asked one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO, TypeVar

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Filter
from multiarch_oci.errors import MultiarchError, without_login
from multiarch_oci.store import BlobMissing, Source
from multiarch_oci.store.http.errors import Cancelled, Unreachable

_T = TypeVar("_T")


class Subject(msgspec.Struct, frozen=True):
    """What is read: `name` as the user knows it (`base alpine:3`), `where` it stands, `look` at what when it fails."""

    name: str
    where: str | None
    look: str

    @classmethod
    def base(cls, name: str, where: str | None) -> Subject:
        """An image that a line of a Dockerfile names; a login in its name is not shown."""
        return cls(
            f"base {without_login(name)}",
            where,
            "check the name in that line, and the network" if where else "see the network",
        )

    def restated(self, error: MultiarchError) -> MultiarchError:
        """An error of the same class as one of this; the end of the run, and what says all that, stay as they are."""
        if isinstance(error, Cancelled) or (self.where is not None and error.where == self.where):
            return error
        what, hint = error.what, error.hint
        if not what.startswith(self.name):
            what = f"{self.name} cannot be read: {what if error.where is None else f'{error.where}: {what}'}"
        if isinstance(error, Unreachable) and (hint is None or "REGISTRY" in hint):
            hint = self.look  # REGISTRY is where this build pushes to, and has no part in it
        restated = type(error).__new__(type(error), *error.args)  # the same one may be raised elsewhere, for another
        restated.__dict__.update(error.__dict__)
        restated.what, restated.hint = what, hint
        restated.where = self.where or (error.where if what == error.what else None)
        return restated


class Lender(Subject, frozen=True):
    """A place that may lose anything at any time: whatever it fails with, the answer is another place, or none."""

    def restated(self, error: MultiarchError) -> MultiarchError:
        """BlobMissing, with the reason; the end of the run stays what it is."""
        if isinstance(error, (Cancelled, BlobMissing)):
            return error
        return BlobMissing(f"{self.name} does not give it: {error.what}", where=error.where)


class Attributed:
    """A Source as another one, but for the errors it raises; those of its streams, too."""

    def __init__(self, source: Source, subject: Subject) -> None:
        self._source = source
        self._subject = subject

    def resolve(self, name: str) -> Descriptor | None:
        """As the protocol says."""
        return attempt(self._subject, lambda: self._source.resolve(name))

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """As the protocol says."""
        below = attempt(self._subject, lambda: self._source.open(descriptor))
        return _Stream(below, self._subject)  # type: ignore[return-value]  # it reads and closes; nobody asks for more


def attempt(subject: Subject, read: Callable[[], _T]) -> _T:
    """What `read` returns; its errors are raised as those of `subject`."""
    try:
        return read()
    except MultiarchError as error:
        restated = subject.restated(error)
        if restated is error:
            raise
        raise restated from error


class _Stream(Filter):
    """Bytes on their way in."""

    def __init__(self, below: BinaryIO, subject: Subject) -> None:
        super().__init__(below)
        self._subject = subject

    def take(self, size: int) -> bytes:
        return attempt(self._subject, lambda: self._below.read(size))


class Chain:
    """A Source that answers with the first of `sources` that can.

    A place that fails (down, refused, damaged) is passed over while another has the content; when none has, the first
    failure is raised, for then nobody knows. `base` and `missing_hint` name in the error whose blob it is that is
    nowhere, and what to do.
    """

    def __init__(self, sources: Iterable[Source], *, base: str | None = None, missing_hint: str | None = None) -> None:
        self._sources = tuple(sources)
        self._base = base
        self._missing_hint = missing_hint

    def resolve(self, name: str) -> Descriptor | None:
        """The first descriptor that a place knows; None when all know that they have none."""
        failed: MultiarchError | None = None
        for source in self._sources:
            try:
                descriptor = source.resolve(name)
            except MultiarchError as error:
                failed = failed or error
                continue
            if descriptor is not None:
                return descriptor
        if failed is not None:
            raise failed
        return None

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The content from the first place that holds it, verified there; BlobMissing names base and digest."""
        failed: MultiarchError | None = None
        for source in self._sources:
            try:
                return source.open(descriptor)
            except BlobMissing:  # noqa: PERF203  # the next place is the answer to it
                continue
            except MultiarchError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        raise BlobMissing(
            f"{descriptor.digest} is in no registry and no cache at hand", where=self._base, hint=self._missing_hint
        )
