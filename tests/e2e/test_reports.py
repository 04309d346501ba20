"""REPORT takes several files, each in the format of its name; nothing secret is in any of them, and all text is data."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from faults import FaultProxy
from machines.registry import Registry
from machines.small import Tree

ALL = ("report.html", "summary.md", "out/trace.json", "report.json")
SECRET = "hunter2-secret"  # noqa: S105  # of nobody


def build(tree: Tree, *words: str, env: dict[str, str] | None = None, check: bool = True) -> dict[str, str]:
    """Publish with all reports; return their texts by name."""
    tree.path.joinpath("out").mkdir(exist_ok=True)
    tree.scons("push-manifest", f"REPORT={','.join(ALL)}", *words, env=env, check=check)
    return {name: tree.read(name) for name in ALL}


def test_all_four_tell_the_same_run(tree: Tree, registry: Registry):
    texts = build(tree, f"REGISTRY={registry.host}")
    told = json.loads(texts["report.json"])
    assert set(told) == {"format", "steps", "unchanged"}
    assert sorted(step["step"] for step in told["steps"]) == ["Publish", "Push", "Push"]
    digest = next(step["digest"] for step in told["steps"] if step["step"] == "Publish")
    for name in ("report.html", "summary.md", "out/trace.json"):
        assert digest in texts[name], name
    summary = texts["summary.md"]
    assert summary.startswith("<!-- multiarch summary 1 -->\n")
    assert f"| `{registry.host}/demo:v1.0` | `{digest}` | linux/amd64 " in summary
    assert "```mermaid\nflowchart LR\n" in summary


def test_a_trace_knows_threads_steps_requests_and_bytes(fresh: Tree, registry: Registry):
    trace = json.loads(build(fresh, f"REGISTRY={registry.host}")["out/trace.json"])
    events: list[dict[str, Any]] = trace["traceEvents"]
    steps = [event for event in events if event.get("cat") == "step"]
    assert sorted({event["name"].partition(" ")[0] for event in steps}) == [
        "Compile",
        "Image",
        "Index",
        "Publish",
        "Push",
    ]
    assert len(steps) == 8
    assert {event["args"]["outcome"] for event in steps} == {"made"}
    requests = [event for event in events if event.get("cat") == "request"]
    assert {event["name"].partition(" ")[0] for event in requests} >= {"HEAD", "POST", "PUT"}
    sent = sum(event["args"].get("sent", 0) for event in requests)
    layers = sum(event["args"].get("size", 0) for event in steps if event["name"].startswith("Image "))
    assert layers < sent < 2 * layers
    by_name = {event["name"]: event for event in steps}
    push = by_name["Push demo:v1.0-arm64"]
    inside = [event for event in requests if event["args"].get("target") == push["args"]["target"]]
    assert inside
    assert all(push["ts"] - 1000 <= event["ts"] <= push["ts"] + push["dur"] for event in inside)
    names = [event["args"]["name"] for event in events if event["ph"] == "M"]
    assert f"{registry.host} 1" in names
    assert "worker 1" in names


def test_each_run_replaces_its_own_files_and_leaves_those_of_others(tree: Tree):
    build(tree)
    build(tree)
    tree.edit("summary.md", "# mine\n")
    ran = tree.scons("manifest", "REPORT=report.html,summary.md", check=False)
    assert ran.status == 2
    assert "REPORT: summary.md was not written by this tool, and is not replaced" in ran.text
    assert tree.read("summary.md") == "# mine\n"
    ran = tree.scons("manifest", "REPORT=a.html,./a.html", check=False)
    assert ran.status == 2
    assert "REPORT: ./a.html is named twice\n  hint: name another file" in ran.text


def test_reports_are_in_no_image_and_make_nothing_new(tree: Tree):
    tree.edit(".dockerignore", "")
    tree.edit("Dockerfile.amd64", "FROM scratch\nCOPY . /\n")
    build(tree)
    assert "up to date" in build(tree)["summary.md"]
    assert json.loads(tree.read("report.json"))["steps"] == []


def test_the_file_of_a_github_step_is_a_summary(tree: Tree):
    file = tree.path / "step_summary_1"
    file.touch()
    tree.scons("manifest", f"REPORT={file}", env={"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text(encoding="utf-8").startswith("<!-- multiarch summary 1 -->")


def test_no_value_of_the_environment_no_argument_and_no_login_is_in_a_report(tree: Tree, registry: Registry):
    with FaultProxy(registry.host) as proxy:
        words = (f"REGISTRY={proxy.host}", f"INSECURE={proxy.host}")
        tree.edit("Dockerfile.amd64", tree.read("Dockerfile.amd64") + "ARG TOKEN\nENV SHOWN=$TOKEN\n")
        build(tree, *words, f"BUILD_ARGS=TOKEN=before-{SECRET}")
        environment = {
            "GOFLAGS": f"-ldflags=-X=main.version={SECRET}",
            "API_KEY": SECRET,
            "GOPROXY": f"https://u:{SECRET}@x.test",
        }
        texts = build(tree, *words, f"BUILD_ARGS=TOKEN={SECRET}", env=environment)
    texts["kept"] = tree.read(".multiarch/last-run.json")
    for name, text in texts.items():
        assert SECRET not in text, f"{name}: {text[max(0, text.find(SECRET) - 200) :][:400]}"
    assert "build argument TOKEN changed" in texts["report.html"]


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not to be had there")
def test_text_of_others_is_data_in_each_of_them(tree: Tree, registry: Registry):
    hostile = "</script><img src=x onerror=alert(1)>"
    for folder in ("share",):
        tree.edit(f"{folder}/{hostile}", "x\n")
    labels = "LABELS=note=`a` | b <img src=y>,other=::error::x ##[error]y ##vso[z]"
    with FaultProxy(registry.host) as proxy:
        body = b"::error::owned\n\x1b[31m##[error]owned <img src=z>\n| `pipe` |"
        for kind in ("POST", "PUT manifest", "mount"):
            proxy.order(kind, status=400, body=body, headers=(("Content-Type", "text/html"),), times=99)
        texts = build(tree, labels, f"REGISTRY={proxy.host}", f"INSECURE={proxy.host}", check=False)
    for name, text in texts.items():
        assert "\x1b" not in text, name
        assert not re.search(r"^\s*::", text, re.MULTILINE), name
        if name in ("report.html", "summary.md"):
            assert "<img" not in text, name
            assert "##[" not in text, name
            assert "##vso[" not in text, name
    assert "Build failed" in texts["summary.md"]
    assert "400" in texts["summary.md"]


def test_a_run_that_ends_before_a_step_still_reports(tree: Tree):
    tree.edit("main.go", "package main\n\nfunc main() { no }\n")
    texts = build(tree, check=False)
    assert "undefined: no" in texts["report.html"]
    assert "Build failed" in texts["summary.md"]
    assert '"outcome":"failed"' in texts["out/trace.json"]
    assert "2 failed, 6 not reached; " in texts["summary.md"]
    assert "### Published" not in texts["summary.md"], "nobody asked what the registry has"


def test_what_the_last_run_failed_to_make_is_new(fresh: Tree):
    fresh.edit("main.go", "package main\n\nfunc main() { no }\n")
    fresh.scons("images", "REPORT=report.html,summary.md", check=False)
    fresh.edit("main.go", "package main\n\nfunc main() {}\n")
    fresh.scons("images", "REPORT=report.html,summary.md")
    assert "| image demo linux/amd64 | new | `sha256:" in fresh.read("summary.md")


def test_what_is_made_by_scons_and_its_cache_is_told_as_such(tree: Tree, tmp_path: Path):
    cache = tmp_path / "cache"
    tree.edit("SConstruct", tree.read("SConstruct") + f"\nCacheDir({str(cache)!r})\n")
    tree.edit("main.go", tree.read("main.go") + "\n// one\nvar _ = 1\n")
    build(tree)
    tree.remove("_output")
    summary = build(tree)["summary.md"]
    assert "| cached | program demo linux/amd64 |" in summary


def test_what_a_builder_of_others_makes_has_its_time(tree: Tree):
    command = 'env.Command("_output/made.txt", "VERSION", ["sleep 0.3", Copy("$TARGET", "$SOURCE")])\n'
    failing = 'env.Command("_output/none.txt", "VERSION", "false")\n'
    tree.edit("SConstruct", f"{tree.read('SConstruct')}\n{command}{failing}")
    ran = tree.scons(
        "_output/made.txt", "_output/none.txt", "-k", f"REPORT={','.join(ALL[:2])},trace.json,report.json", check=False
    )
    assert ran.status == 2
    events = {event["name"]: event for event in json.loads(tree.read("trace.json"))["traceEvents"]}
    assert events["Make made.txt"]["dur"] > 300_000
    assert events["Make made.txt"]["args"]["outcome"] == "made"
    assert events["Make none.txt"]["args"]["outcome"] == "failed"
    assert re.search(r"^\| made \| file made.txt \|.*\| 0\.\d+ s \|", tree.read("summary.md"), re.MULTILINE)
    assert "Make made.txt" in tree.read("report.html")
    assert json.loads(tree.read("report.json"))["steps"] == []
    assert "Make" not in ran.text
    tree.scons("_output/made.txt", "REPORT=trace.json")
    assert "Make" not in tree.read("trace.json")
