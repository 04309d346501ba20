"""Random edits: after each, what is built in place is what a build from clean of a fresh copy makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soak import alone, attesting, edits, listings, shared, watching

STEPS = int(os.environ.get("SOAK_STEPS", "15"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
KINDS = (edits.EditRun, watching.WatchRun, listings.ListingRun, shared.SharedRun, attesting.AttestRun)


@pytest.mark.parametrize("kind", KINDS)
def test_after_every_random_edit_the_build_in_place_is_the_one_from_clean(kind: type[edits.EditRun], tmp_path: Path):
    # A step at the least, however slow the machine; every one raises when the two builds differ.
    enough = alone.limit(SECONDS)
    done = 0

    def count(_line: str) -> None:
        nonlocal done
        done += 1

    edits.run(tmp_path / "edits", SEED, STEPS, lambda: done > 0 and enough(), count, kind=kind)
    assert done >= 1
