"""Changes beyond the table: whose inputs each one touches, forth and back, and that the reason is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration.golang_repository import Repository, explain, toolchain_of
from integration.golang_rows import PLATFORMS, ROWS, Row
from multiarch_oci.golang.inputs import Inputs
from multiarch_oci.golang.lister import Lister
from multiarch_oci.golang.recipe import GoBuild
from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.platform import Platform
from multiarch_oci.statcache import StatCache


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return toolchain_of("1.25")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("rows") / "repo")


class Seen:
    """What one run sees, with nothing of the run before but what stands on disk."""

    def __init__(self, repository: Repository, toolchain: Toolchain, row: Row | None = None) -> None:
        kept = repository.path(".multiarch")
        cache = os.environ.get("GOCACHE") or str(Path("~/.cache/go-build").expanduser())
        base = {"PATH": os.environ["PATH"], "HOME": str(kept / "home"), "GOCACHE": cache}
        base["GOENV"] = str(repository.path("goenv"))
        stats = StatCache(kept / "stats")
        skip = [kept, repository.path("_output")]
        lister = Lister(toolchain, base | dict(row.base if row else {}), kept / "go", stats, skip=skip)
        declared = dict(row.declared) if row else {}
        builds = {
            name: GoBuild(Platform.parse(name), package="./cmd/a", directory=repository.path("app"), **declared)
            for name in PLATFORMS
        }
        lister.declare(*builds.values())
        self.inputs: dict[str, Inputs] = {name: lister.inputs(build) for name, build in builds.items()}
        self.started = lister.started
        lister.save()
        stats.save()

    def differing(self, other: Seen) -> set[str]:
        return {name for name, found in self.inputs.items() if found.digest != other.inputs[name].digest}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_a_change_touches_what_it_says_forth_and_back(repository: Repository, toolchain: Toolchain, row: Row):
    with repository.edited():
        row.prepare(repository)
        before = Seen(repository, toolchain)
        assert [found.error for found in before.inputs.values()] == [None] * len(PLATFORMS)
        with repository.edited():
            row.change(repository)
            after = Seen(repository, toolchain, row)
            errors = [found.error or "" for found in after.inputs.values()]
            assert all((row.fails or "") in error and bool(error) == bool(row.fails) for error in errors), errors
            assert before.differing(after) == set(row.touched)
            again = Seen(repository, toolchain, row)
            assert after.differing(again) == set()
            assert again.started == 0 or row.fails
            reasons = [explain(before.inputs[name], after.inputs[name]) for name in sorted(row.touched)]
            assert "nothing changed" not in reasons
            assert not reasons or any(row.why in reason for reason in reasons), reasons
        back = Seen(repository, toolchain)
        assert back.differing(before) == set()
        assert Seen(repository, toolchain).started == 0


def test_every_row_has_a_name_of_its_own():
    assert len({row.words for row in ROWS}) == len(ROWS)
