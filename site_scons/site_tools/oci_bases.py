"""Which manifest a base is: as images.lock has it, or asked for once and written there. Not a Tool."""

from __future__ import annotations

from typing import Any

from multiarch.baselock import BaseLock, BaseNotLocked, choose
from multiarch.digest import Digest
from multiarch.reference import Reference
from oci_run import Run

FILE = "images.lock"


def lock_of(run: Run) -> BaseLock:
    """The lock as it stands now, with what this run has found."""
    with run.guard:
        if run.bases is None:
            path = run.root / FILE
            run.bases = BaseLock.parse(path.read_text(encoding="utf-8") if path.exists() else "", where=FILE)
        return run.bases


def locked(run: Run, wanted: Any) -> Digest:
    """The digest of a base (`name`, `platform`) of a Dockerfile; a missing entry is resolved now, and written later.

    Raises BaseNotLocked with LOCKED=yes, or what the registry raises.
    """
    name = Reference.parse(wanted.name).with_default_tag()
    with run.guard:
        found = lock_of(run).find(name, wanted.platform)
        if found is not None:
            return found
        if run.locked:
            raise BaseNotLocked(
                f"{name} for {wanted.platform} is not there",
                where=FILE,
                hint="build once without LOCKED=yes, and commit it",
            )
        source = run.source(name)
        digest = choose(source, name, wanted.platform)
        run.bases = lock_of(run).with_entry(name, wanted.platform, digest)
        run.new_bases.append(f"{name} for {wanted.platform} is {digest}")
        return digest
