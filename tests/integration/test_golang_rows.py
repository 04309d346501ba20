"""Changes beyond the table: whose inputs each one touches, forth and back, and that the reason is told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from integration.golang_repository import Repository, explain, toolchain_of
from integration.golang_rows import PLATFORMS, ROWS, Row
from multiarch_oci.golang.answers import run_process
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


class Left(dict[str, bytes]):
    """Listings that machines leave to each other."""

    def put(self, key: str, content: bytes) -> None:
        self[key] = content


@pytest.fixture(scope="module")
def left() -> Left:
    return Left()


def no_go(_line: Sequence[str], _folder: Path, _environment: Mapping[str, str]) -> tuple[int, str, str]:
    """A machine on which no Go can be started."""
    return 127, "", "there is no Go"


class Seen:
    """What one run sees, with nothing of the run before but what stands on disk; `left` is what others left to it.

    With `kept` it is another machine, on which no Go can be started.
    """

    def __init__(
        self,
        repository: Repository,
        toolchain: Toolchain,
        row: Row | None = None,
        *,
        left: Left | None = None,
        kept: Path | None = None,
    ) -> None:
        elsewhere, kept = kept is not None, kept or repository.path(".multiarch")
        cache = os.environ.get("GOCACHE") or str(Path("~/.cache/go-build").expanduser())
        base = {"PATH": os.environ["PATH"], "HOME": str(kept / "home"), "GOCACHE": cache}
        base["GOENV"] = str(repository.path("goenv"))
        stats = StatCache(kept / "stats")
        skip = [repository.path(".multiarch"), repository.path("_output")]
        lister = Lister(
            toolchain,
            base | dict(row.base if row else {}),
            kept / "go",
            stats,
            skip=skip,
            run=no_go if elsewhere else run_process,
            shared=left,
            top=repository.folder,
        )
        declared = dict(row.declared) if row else {}
        builds = {
            name: GoBuild(Platform.parse(name), package="./cmd/a", directory=repository.path("app"), **declared)
            for name in PLATFORMS
        }
        lister.declare(*builds.values())
        self.inputs: dict[str, Inputs] = {name: lister.inputs(build) for name, build in builds.items()}
        self.started = lister.started
        lister.offer()
        lister.save()
        stats.save()

    def differing(self, other: Seen) -> set[str]:
        return {name for name, found in self.inputs.items() if found.digest != other.inputs[name].digest}


# A package behind a link to a folder: no walk reaches it, so the checkout alone does not answer.
OWN = frozenset(("linked package folder, another target", "linked package folder, target edited"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_a_change_touches_what_it_says_forth_and_back(
    repository: Repository, toolchain: Toolchain, row: Row, left: Left, tmp_path: Path
):
    with repository.edited():
        row.prepare(repository)
        before = Seen(repository, toolchain, left=left)
        assert [found.error for found in before.inputs.values()] == [None] * len(PLATFORMS)
        with repository.edited():
            row.change(repository)
            after = Seen(repository, toolchain, row)
            errors = [found.error or "" for found in after.inputs.values()]
            assert all((row.fails or "") in error and bool(error) == bool(row.fails) for error in errors), errors
            assert before.differing(after) == set(row.touched)
            cold = Seen(repository, toolchain, row, left=left, kept=tmp_path / "cold")
            assert cold.started or after.differing(cold) == set()  # what was left of before counts where it is right
            again = Seen(repository, toolchain, row, left=left)
            assert after.differing(again) == set()
            assert again.started == 0 or row.fails
            later = Seen(repository, toolchain, row, left=left, kept=tmp_path / "later")
            assert bool(later.started) == (row.words in OWN or bool(row.fails))
            assert later.started or after.differing(later) == set()
            reasons = [explain(before.inputs[name], after.inputs[name]) for name in sorted(row.touched)]
            assert "nothing changed" not in reasons
            assert not reasons or any(row.why in reason for reason in reasons), reasons
        back = Seen(repository, toolchain)
        assert back.differing(before) == set()
        assert Seen(repository, toolchain).started == 0


def test_every_row_has_a_name_of_its_own():
    assert len({row.words for row in ROWS}) == len(ROWS)
