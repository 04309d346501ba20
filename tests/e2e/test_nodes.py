"""Images with RUN on a builder of several nodes, two real BuildKits: what runs there, what runs here meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from machines.bases import push_image
from machines.builders import Nodes, busybox
from machines.listening import Meeting
from machines.project import Project, Run
from machines.registry import Registry

IMAGES = 4
SCONSTRUCT = """\
import scons_multiarch
env = scons_multiarch.environment()
for number in range({images}):
    image = env.Image(
        f"_output/images/{{number}}.tar", dockerfile="Dockerfile", platform="linux/amd64",
        engine="buildx", builder="pair", build_args={{"N": str(number)}},
    )
    env.Alias("images", image)
for number in range(6):
    env.Alias("local", env.Command(f"local/{{number}}", [], "{python} here.py {port} $TARGET"))
"""
HERE = """\
import socket, sys
socket.create_connection(("127.0.0.1", int(sys.argv[1]))).recv(1)
open(sys.argv[2], "w").close()
"""


@pytest.fixture
def local() -> Iterator[Meeting]:
    """What the commands of this machine come to."""
    with Meeting() as meeting:
        yield meeting
        meeting.open()


@pytest.fixture
def far() -> Iterator[Meeting]:
    """What the RUNs of images come to."""
    with Meeting() as meeting:
        yield meeting
        meeting.open()


@pytest.fixture
def project(tmp_path: Path, registry: Registry, nodes: Nodes, far: Meeting, local: Meeting) -> Project:
    base = f"{registry.host}/shell:v1"
    push_image(base, "linux/amd64", {"bin/sh": busybox()}, mode=0o755)
    nodes.builder("pair", a="", b="")
    text = f"FROM {base}\nARG N\nRUN echo $N-{far.port} > /n; nc 127.0.0.1 {far.port} < /dev/null\n"
    files = {
        "SConstruct": SCONSTRUCT.format(images=IMAGES, python=sys.executable, port=local.port),
        "here.py": HERE,
        "VERSION": "v1",
    }
    return Project.linked(tmp_path / "project", {**files, "Dockerfile": text})


@contextmanager
def started(project: Project, nodes: Nodes, *words: str, meetings: tuple[Meeting, ...]) -> Iterator[Future[Run]]:
    """Run SCons with `-j2` meanwhile; however the block ends, nobody is held any more then."""
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(project.scons, "-j2", *words, env=told(nodes))
        finally:
            for meeting in meetings:
                meeting.open()


def told(nodes: Nodes) -> dict[str, str]:
    return {"DOCKER_CONFIG": nodes.environment["DOCKER_CONFIG"]}


def test_more_images_are_built_at_once_than_steps_run_here(project: Project, nodes: Nodes, far: Meeting):
    with started(project, nodes, "images", meetings=(far,)) as ran:
        far.wait_for(IMAGES)
        far.open()
        run = ran.result()
    assert far.most == IMAGES
    lines = [line for line in run.text.splitlines() if line.startswith("  built on node ")]
    assert sorted(lines) == [f"  built on node '{node}' of builder 'pair'" for node in "aabb"]
    assert project.scons("images", env={"DOCKER_CONFIG": "/nowhere"}).up_to_date


def test_no_more_steps_run_here_than_j_says_while_images_are_elsewhere(
    project: Project, nodes: Nodes, far: Meeting, local: Meeting
):
    with started(project, nodes, "images", "local", meetings=(far, local)) as ran:
        far.wait_for(IMAGES)
        local.wait_for(2)
        far.open()  # four threads come back, while two steps are at work here
        while len(list(project.path.glob("_output/images/*.tar"))) < IMAGES:
            assert not ran.done()
            time.sleep(0.05)
        with pytest.raises(TimeoutError):
            local.wait_for(3, seconds=2)
        for _ in range(3):
            local.wait_for(2)
            local.release()
        ran.result()
    assert (local.most, local.met) == (2, 6)


def test_what_fails_elsewhere_ends_the_build_as_what_fails_here(project: Project, nodes: Nodes, far: Meeting):
    project.edit("Dockerfile", project.read("Dockerfile") + "RUN exit 3\n")
    far.open()
    run = project.scons("-j2", "images", env=told(nodes), check=False)
    assert run.status == 2
    assert "exit code: 3" in run.text
    assert "Traceback" not in run.text
