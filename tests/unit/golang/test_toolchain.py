from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from multiarch_oci.golang.toolchain import GoNotFound, find_go, minimum_version, release, toolchain_at

GO = "go.exe" if os.name == "nt" else "go"
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links and scripts")


def install(root: Path, version: str = "go1.26.8") -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / GO).write_bytes(b"")
    (root / "bin" / GO).chmod(0o755)
    (root / "VERSION").write_text(f"{version}\ntime 2026-01-01\n", encoding="utf-8")
    return root


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_first_on_the_path_that_is_new_enough_is_taken(tmp_path: Path):
    old, new = install(tmp_path / "old", "go1.9.7"), install(tmp_path / "new", "go1.26.8")
    search = os.pathsep.join(["", str(tmp_path / "absent"), str(old / "bin"), str(new / "bin")])
    assert find_go(search).goroot == old
    found = find_go(search, minimum="1.10")
    assert (found.goroot, found.go, found.version, found.release) == (new, new / "bin" / GO, "go1.26.8", "1.26.8")


def test_a_package_in_a_virtual_environment_is_the_last_resort(tmp_path: Path):
    old = install(tmp_path / "old", "go1.20")
    packaged = install(tmp_path / "venv" / "lib" / "python3.12" / "site-packages" / "go", "go1.27.3")
    found = find_go(str(old / "bin"), (tmp_path / "none", tmp_path / "venv"), "1.24")
    assert found.goroot == packaged


@posix
def test_a_link_is_followed_to_the_installation(tmp_path: Path):
    root = install(tmp_path / "lib" / "go-1.26")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").symlink_to(root / "bin" / "go")
    assert find_go(str(tmp_path / "bin")).goroot == root


@posix
def test_the_launcher_of_a_virtual_environment_is_not_started(tmp_path: Path):
    script(tmp_path / "venv" / "bin" / "go", "exit 1")
    root = install(tmp_path / "venv" / "lib" / "python3.12" / "site-packages" / "go")
    assert find_go(str(tmp_path / "venv" / "bin")).goroot == root


@posix
def test_a_version_managers_script_is_asked_once(tmp_path: Path):
    root = install(tmp_path / "managed")
    shim = script(tmp_path / "shims" / "go", f'echo asked >> "{tmp_path}/log"\necho "{root}"')
    for _ in range(2):
        found = find_go(
            str(shim.parent), directory=tmp_path, environment={"PATH": os.defpath}, cache=tmp_path / "cache" / "go.json"
        )
        assert found.goroot == root
    assert (tmp_path / "log").read_text() == "asked\n"
    (tmp_path / ".tool-versions").write_text("golang 1.27\n", encoding="utf-8")
    find_go(
        str(shim.parent), directory=tmp_path, environment={"PATH": os.defpath}, cache=tmp_path / "cache" / "go.json"
    )
    assert (tmp_path / "log").read_text() == "asked\n" * 2


@posix
@pytest.mark.parametrize(
    "text",
    [
        'echo "$@" >> log\nexec {root}/bin/go "$@"',
        "printf '%s\\n' \"$*\" >> log\nGOROOT='{root}' exec '{root}/bin/go' \"$@\"",
        '{root}/bin/go "$@"',
    ],
)
def test_a_script_that_just_calls_one_go_is_not_started(tmp_path: Path, text: str):
    root = install(tmp_path / "go")
    (root / "bin" / GO).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n", encoding="utf-8")
    script(tmp_path / "bin" / "go", text.format(root=root))
    assert find_go(str(tmp_path / "bin")).goroot == root
    assert not (tmp_path / "started").exists()


@posix
@pytest.mark.parametrize(
    "text",
    [
        'if test -f old; then exec {old}/bin/go "$@"; fi\nexec {root}/bin/go "$@"',
        'test -f old && exec {root}/bin/go "$@"\necho {old}',
        'exec {root}/bin/go "$1"\n',
        'cd /\nexec {root}/bin/go "$@"',
        'echo {old}\n# {root}/bin/go "$@"',
    ],
)
def test_a_script_that_chooses_is_asked(tmp_path: Path, text: str):
    root, old = install(tmp_path / "go"), install(tmp_path / "old", "go1.20")
    for installed in (root, old):
        (installed / "bin" / GO).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho {old}\n", encoding="utf-8")
    script(tmp_path / "bin" / "go", text.format(root=root, old=old))
    assert find_go(str(tmp_path / "bin"), environment={"PATH": os.defpath}).goroot == old


@posix
@pytest.mark.parametrize("text", ["exit 1", "true", "echo /nowhere"])
def test_a_script_that_knows_no_go_is_passed_over(tmp_path: Path, text: str):
    script(tmp_path / "shims" / "go", text)
    with pytest.raises(GoNotFound):
        find_go(str(tmp_path / "shims"))


def test_no_go_at_all_says_what_to_do():
    with pytest.raises(GoNotFound) as caught:
        find_go("", minimum="1.24")
    assert str(caught.value) == ("Go 1.24 or newer is not on PATH\n  hint: https://go.dev/dl has it")


def test_a_go_that_is_too_old_is_named(tmp_path: Path):
    root = install(tmp_path / "old", "go1.23.9")
    with pytest.raises(GoNotFound) as caught:
        find_go(str(root / "bin"), minimum="1.24")
    assert str(caught.value).splitlines()[0] == f"Go 1.24 or newer is needed, {root / 'bin' / GO} is 1.23.9"


@pytest.mark.parametrize(
    ("version", "minimum"),
    [
        ("go1.26.8", "1.26.8"),
        ("go1.26", "1.9"),
        ("go1.26", "1.26.0"),
        ("go1.26.10", "1.26.9"),
        ("go1.26.8", "1"),
        ("go1.26rc1", "1.26"),
        ("go1.26.8 X:loopvar", "1.26"),
        ("devel go1.28-abc", "1.27"),
        ("go1.26", "?"),
    ],
)
def test_new_enough(tmp_path: Path, version: str, minimum: str):
    root = install(tmp_path / "go", version)
    assert find_go(str(root / "bin"), minimum=minimum).version == version


@pytest.mark.parametrize(
    ("version", "minimum"),
    [("go1.9.7", "1.10"), ("go1.26", "1.26.1"), ("go1.26.8", "1.26.9"), ("go1.26.8", "2"), ("go1.26rc1", "1.26.0")],
)
def test_too_old(tmp_path: Path, version: str, minimum: str):
    root = install(tmp_path / "go", version)
    with pytest.raises(GoNotFound):
        find_go(str(root / "bin"), minimum=minimum)


@pytest.mark.parametrize(
    ("version", "number"),
    [("go1.26.8", "1.26.8"), ("go1.27rc2", "1.27rc2"), ("go1.26.8-corp", "1.26.8"), ("devel +abc", "")],
)
def test_a_release_is_a_number(version: str, number: str):
    assert release(version) == number


def test_the_minimum_is_that_of_the_nearest_go_mod(tmp_path: Path):
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.24 // why\n", encoding="utf-8")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert minimum_version(tmp_path / "a" / "b") == "1.24"
    (tmp_path / "a" / "go.mod").write_text("module y\n", encoding="utf-8")
    assert minimum_version(tmp_path / "a" / "b") is None


def test_a_folder_without_a_version_or_a_program_is_no_installation(tmp_path: Path):
    root = install(tmp_path / "go")
    (root / "VERSION").write_bytes(b"")
    assert toolchain_at(root) is None
    (root / "VERSION").write_text("go1.26\n", encoding="utf-8")
    (root / "bin" / GO).unlink()
    assert toolchain_at(root) is None
