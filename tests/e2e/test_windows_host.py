"""A Windows host, as a user there has it: `cmd` runs the wrapper, what comes out is what Linux makes."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import windows_layer_rules
from conftest import CACHE
from machines import bases, windows_host
from machines.engine import Tool
from machines.project import Project, copy_template
from machines.registry import Registry
from machines.windows_host import WindowsHost

VERSION = "10.0.20348.2849"
PLAIN = """\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "oci_image", "oci_index", "oci_push", "oci_targets"])
images = [
    env.Image(f"_output/images/{platform.slug}.tar", dockerfile="Dockerfile", platform=platform)
    for platform in env["PLATFORMS"]
]
index = env.Index("_output/manifest/all.json", images, platforms=env["PLATFORMS"])
env.Targets(images=images, manifest=index)
"""
DOCKERFILE = """\
FROM scratch
COPY app /app
COPY --chmod=750 app/note.txt /etc/
ENTRYPOINT ["/app/run.sh"]
"""


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsHost]:
    """Return the host; all its programs end with the module."""
    host = windows_host.start(tmp_path_factory.mktemp("windows"), CACHE)
    yield host
    host.stop()


@pytest.fixture(scope="module")
def checkout(windows: WindowsHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout on that host whose wrapper has set up what it needs."""
    folder = tmp_path_factory.mktemp("checkout") / "a b"
    windows.template(folder)
    told = windows.cmd(folder, "sconsw.bat -h").text
    assert "setting up" in told
    assert "push-manifest" in told
    assert "Usage: .\\sconsw [options]" in told
    return folder


def test_windows_pushes_its_image_and_linux_takes_it_in(
    windows: WindowsHost, checkout: Path, registry: Registry, skopeo: Tool, tmp_path: Path
) -> None:
    base = f"{registry.host}/nano:{VERSION}"
    bases.push_image(base, f"windows({VERSION})/amd64", {"Windows/System32/version.txt": b"one"}, env=("base=1",))
    line = f"sconsw.bat push REGISTRY={registry.host} PLATFORMS=windows/amd64 BUILD_ARGS=BASE={base}"

    first = windows.cmd(checkout, line)
    assert first.steps == [
        "Compile _output/bin/amd64/windows/demo.exe",
        "Image _output/images/demo-windows-amd64.tar",
        f"Push {registry.host}/demo:v1.0-windows-amd64",
    ]
    assert windows.cmd(checkout, line).up_to_date

    copy_template(tmp_path / "linux")
    linux = Project(tmp_path / "linux")
    linux.scons("push-manifest", f"REGISTRY={registry.host}", "EXTERNAL=v1.0-windows-amd64")
    found = json.loads(skopeo.run("inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/demo:v1.0"))[
        "manifests"
    ]
    assert [(entry["platform"]["os"], entry["platform"].get("os.version")) for entry in found] == [
        ("linux", None),
        ("linux", None),
        ("windows", VERSION),
    ]
    layers = registry.json("demo", found[2]["digest"])["layers"]
    layer = gzip.decompress(registry.blob(layers[-1]["digest"]).read_bytes())
    assert windows_layer_rules.broken_rules(io.BytesIO(layer)) == []


def test_the_program_built_on_windows_runs_there(windows: WindowsHost, checkout: Path) -> None:
    ran = windows.cmd(checkout, "sconsw.bat -s run PLATFORM=windows/amd64 PLATFORMS=windows/amd64")
    assert "demo v1.0 windows/amd64" in ran.text


def test_both_hosts_make_the_same_bytes(windows: WindowsHost, checkout: Path, tmp_path: Path) -> None:
    linux = Project(tmp_path / "linux")
    copy_template(linux.path)
    for name in ("main.go", "go.mod", ".dockerignore"):
        linux.remove(name)
    linux.edit("SConstruct", PLAIN)
    linux.edit("Dockerfile", DOCKERFILE)
    linux.edit("app/run.sh", "#!/bin/sh\necho hello\n")
    linux.edit("app/note.txt", "ünïcode\r\n")
    linux.edit("app/Ünï cödé/deep.txt", "deep\n")
    (linux.path / "app/empty").mkdir()
    (linux.path / "app/run.sh").chmod(0o755)
    other = tmp_path / "windows"
    shutil.copytree(linux.path, other)
    (other / "app/run.sh").chmod(0o644)  # no such bit there: the first line says that it is a program

    linux.scons()
    scons = windows_host.windows_path(checkout / ".multiarch/venv/Scripts/scons.exe")
    (other / "build.bat").write_text(f'@"{scons}"\n', encoding="utf-8")  # Wine's cmd takes no quoted program
    windows.cmd(other, "build.bat")
    assert Project(other).digests("_output") == linux.digests("_output")


def test_a_mistake_is_one_error_and_exit_2(windows: WindowsHost, checkout: Path) -> None:
    ran = windows.cmd(checkout, "sconsw.bat images PLATFORMS=linux/amd65", check=False)
    assert ran.status == 2
    assert "PLATFORMS: platform 'linux/amd65' is not known\n  hint: did you mean linux/amd64?" in ran.text
    assert "Traceback" not in ran.text
