"""Random Dockerfiles without RUN by the embedded engine and by a BuildKit that runs here: the same image, or both refuse.

RANDOM_BUILDS_SEED and RANDOM_BUILDS ask for others, or more; longer by hand: `python tests/soak/builds.py --seed 1 --cases 500`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from soak import builds
from soak.dockerfiles import LINUX, WINDOWS, Case

SEED = int(os.environ.get("RANDOM_BUILDS_SEED", "1"))
COUNT = int(os.environ.get("RANDOM_BUILDS", "25"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[builds.Bench]:
    with builds.bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


def test_random_images_are_those_of_buildkit(ready: builds.Bench) -> None:
    said: list[str] = []
    failures = builds.soak(ready, SEED, COUNT, lambda: False, said.append)
    assert not failures, "\n\n".join(failures)
    assert ready.refused < COUNT


@pytest.mark.parametrize(
    ("platform", "dockerfile"),
    [
        (LINUX, "FROM base\nCOPY --link --chown=5 f /bin/\nCOPY f /tmp/\nWORKDIR q\nEXPOSE ${P:-80}\n"),
        (WINDOWS, "FROM base\nWORKDIR C:/app\nCOPY f data\\\\\nCOPY --from=base C:/Windows/System32 /s/\nCMD x\n"),
    ],
)
def test_the_comparison_sees_another_file_and_another_config(
    ready: builds.Bench, platform: str, dockerfile: str
) -> None:
    case = Case(dockerfile, platform, [("f", "file", b"1")])
    assert ready.differences(case) == []
    theirs = ready.buildkit(case)
    assert theirs.files
    (ready.folder / "context" / "f").write_bytes(b"2")
    assert list(builds.differ(ready.embedded(case).files, theirs.files)) != []
    (ready.folder / "context" / "Dockerfile.test").write_text(f"{dockerfile}LABEL a=b\n", encoding="utf-8")
    assert any("Labels" in line for line in builds.differ(ready.embedded(case).config, theirs.config))
