from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.golang.compose import compiler_facts, package_facts
from multiarch_oci.golang.contents import Contents
from multiarch_oci.golang.inputs import Package
from multiarch_oci.golang.modules import Project
from multiarch_oci.statcache import StatCache


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    return Contents(None, StatCache(tmp_path / "stat.json"))


@pytest.mark.parametrize("folder", ["lib/python3.11/site-packages", "Lib/site-packages"])
def test_a_compiler_that_is_a_python_package_counts_by_its_version_and_record(tmp_path: Path, contents, folder: str):
    python = tmp_path / "venv/bin/python"
    record = tmp_path / "venv" / folder / "ziglang-0.17.1.dist-info/RECORD"
    for path in (python, record):
        path.parent.mkdir(parents=True)
        path.write_text("x", encoding="utf-8")
    python.chmod(0o755)
    found = compiler_facts({"CGO_ENABLED": "1", "CC": f"'{python}' -m ziglang cc -target x", "PATH": ""}, contents)
    assert found["CC package"].startswith("ziglang-0.17.1 2d711642")
    assert "CC program" in found
    assert "CC package" not in compiler_facts({"CGO_ENABLED": "1", "CC": f"{python} -m", "PATH": ""}, contents)
    assert compiler_facts({"CGO_ENABLED": "0", "CC": f"{python} -m ziglang cc", "PATH": ""}, contents) == {}


def test_lines_of_go_mod_about_modules_that_take_no_part_do_not_count():
    lines = {
        "go.mod go": "1.24",
        "go.mod require a.org/in": "v1",
        "go.mod require a.org/out": "v1",
        "go.mod replace a.org/in v1.0.0": "../in",
        "go.mod replace a.org/out": "../out",
        "go.work replace a.org/out": "../out",
        "go.work use ./x": "yes",
    }
    package = Package(
        "a.org/in/p", "p", "/x", (), (), "a.org/in", "v1", "", fixed=True, c_flags=(), ld_flags=(), embeds=(), error=""
    )
    project = Project(Path("/x"), (), (), (), lines, {})
    found = package_facts([package], project)
    assert found == {
        "go.mod go": "1.24",
        "go.mod require a.org/in": "v1",
        "go.mod replace a.org/in v1.0.0": "../in",
        "go.work use ./x": "yes",
        "module a.org/in": "v1",
        "package": "a.org/in/p",
    }
