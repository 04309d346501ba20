"""Several places asked one after the other: where the layers of a base are found again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.store import BlobMissing, Source


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
                found = source.resolve(name)
            except MultiarchError as error:
                failed = failed or error
                continue
            if found is not None:
                return found
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
