"""The record of a run: what is counted, what the longest chain is, what is kept for the next run and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiarch_oci.contents.listing import File, Listing
from multiarch_oci.report.comparing import compare
from multiarch_oci.report.page import page
from multiarch_oci.report.record import Layer, Node, Request, Run, critical_path, kept, last_run
from multiarch_oci.report.summary import summary
from multiarch_oci.report.timeline import timeline
from multiarch_oci.report.trace import lanes, trace

HOSTILE = "</script><img src=x onerror=alert(1)>|`x`\n::error::no\x1b[31m"


def node(key: str, seconds: float | None = None, *sources: str, kind: str = "image", **more: object) -> Node:
    return Node(key, kind, key, "made" if seconds is not None else "up to date", seconds=seconds,
                began=None if seconds is None else 1.0, thread="one", sources=sources, **more)  # fmt: skip  # type: ignore[arg-type]


def run(*nodes: Node, **more: object) -> Run:
    return Run(1_700_000_000.0, 9.0, ("push-manifest",), nodes, **more)  # type: ignore[arg-type]


def test_the_longest_chain_is_of_steps_that_wait_for_each_other():
    nodes = (
        node("a", 1.0),
        node("b", 5.0),
        node("c", 2.0, "a"),
        node("d", 0.5, "c", "b"),
        node("e", 4.0),
        node("f", None, "d"),
    )
    assert [n.key for n in critical_path(nodes)] == ["b", "d"]
    assert critical_path([node("x"), node("y", None, "x")]) == ()


def test_a_graph_that_goes_in_a_circle_ends():
    assert critical_path([node("a", 1.0, "b"), node("b", 1.0, "a")])


def test_what_is_kept_is_read_again_and_anything_else_is_no_run(tmp_path: Path):
    layer = Layer("sha256:1", 5, "COPY", files=(File("a\udcff", "file", 3),), unpacked=3, count=1)
    made = run(node("a", 1.0, reasons=("b changed",), layers=("sha256:1",)), layers=(layer,),
               requests=(Request("GET", "h", "/", "t", 0.0, 1.0),))  # fmt: skip
    file = tmp_path / "run.json"
    file.write_bytes(kept(made))
    again = last_run(file)
    assert again is not None
    assert (again.nodes, again.layers, again.requests) == (made.nodes, made.layers, ())
    for content in (b"", b"[]", b"{}", b'{"format": 1}', kept(made).replace(b'"format":1', b'"format":999')):
        file.write_bytes(content)
        assert last_run(file) is None
    assert last_run(tmp_path / "none") is None


def test_two_runs_are_compared_by_digest_and_their_images_by_file():
    before = run(node("a", 1.0, digest="sha256:1", layers=("l1", "l2")), node("b", digest="sha256:2"), node("gone"))
    after = run(node("a", 3.0, digest="sha256:3", layers=("l1", "l3")), node("b", digest="sha256:2"), node("new"))
    listings = {
        "l2": Listing((File("etc/x", size=1, digest="1"), File("old", size=2, digest="2")), 3),
        "l3": Listing((File("etc/x", size=1, digest="9"), File("young", size=2, digest="2")), 3),
    }
    comparison = compare(before, after, listings.get)
    assert [(change.what, change.node.key) for change in comparison.changes] == [
        ("changed", "a"), ("new", "new"), ("gone", "gone"),
    ]  # fmt: skip
    assert [(file.what, file.path) for file in comparison.changes[0].files] == [
        ("changed", "etc/x"), ("removed", "old"), ("added", "young"),
    ]  # fmt: skip
    assert comparison.changes[0].files[0].details == ("other content of the same size, 1 B",)
    assert (comparison.same, comparison.again) == (1, 0)
    built = run(node("a", 3.0, digest="sha256:1"))
    assert compare(run(node("a", digest="sha256:1")), built, listings.get).again == 1
    assert comparison.slower(after.nodes[0]) == 2.0
    assert compare(before, after, lambda _: None).changes[0].files == ()


def test_a_run_that_was_asked_for_less_has_lost_nothing():
    before = run(node("a"), node("b"))
    after = Run(0.0, 1.0, ("images",), (node("a"),))
    assert compare(before, after, lambda _: None).changes == ()


@pytest.mark.parametrize("spans", [[(0, 2), (1, 2), (2, 1), (3, 5)]])
def test_spans_that_overlap_stand_in_rows_of_their_own(spans: list[tuple[float, float]]):
    assert lanes(spans) == [0, 1, 0, 0]


def test_a_trace_has_what_viewers_ask_for():
    requests = (
        Request("PUT", "h:1", "/v2/x", "t", 1.0, 2.0, "a", 201, 4000, 10),
        Request("wait", "", "", "t", 3.0, 1.0, "a", error="503"),
    )
    written = trace(run(node("a", 2.0, reasons=(HOSTILE,), verb="Push"), node("b"), requests=requests))
    assert json.loads(json.dumps(written)) == written
    events = written["traceEvents"]
    assert isinstance(events, list)
    steps = [event for event in events if event.get("cat") == "step"]
    assert [(e["name"], e["ph"], e["ts"], e["dur"]) for e in steps] == [("Push a", "X", 1_000_000, 2_000_000)]
    sent = [event for event in events if event.get("cat") == "request"]
    assert sent[0]["args"] == {"target": "a", "status": 201, "sent": 4000, "received": 10}
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"} <= named
    rates = [event for event in events if event["ph"] == "C"]
    assert sum(event["args"]["sent"] for event in rates) * 9 / 200 == pytest.approx(4000, rel=0.1)
    assert "\x1b" not in json.dumps(written, ensure_ascii=False)


def test_page_and_summary_of_hostile_text_have_no_markup_of_it():
    hostile = Node(
        HOSTILE,
        "image",
        HOSTILE,
        "failed",
        HOSTILE,
        HOSTILE,
        HOSTILE,
        (HOSTILE,),
        HOSTILE,
        HOSTILE,
        HOSTILE,
        "sha256:1",
        5,
        HOSTILE,
        ("sha256:1",),
        (HOSTILE,),
        "one",
        1.0,
        1.0,
    )
    layer = Layer("sha256:1", 5, HOSTILE, unpacked=5, count=1, files=(File(HOSTILE, HOSTILE, 1, target=HOSTILE),))
    made = run(hostile, layers=(layer,), failed=True, not_moved=((HOSTILE, HOSTILE),))
    for content in (page(made, compare(made, made, lambda _: None)), summary(made, None)):
        text = content.decode()
        assert "<img" not in text.lower()
        assert "\x1b" not in text
        assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert page(made, None).decode().count("</script>") == 2
    tables = [line for line in summary(made, None).decode().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {5}


def test_an_empty_run_has_a_page_a_summary_and_a_trace():
    empty = run()
    assert b"No step ran" in page(empty, None)
    assert b"nothing to do" in summary(empty, None)
    assert trace(empty)["traceEvents"]
    assert timeline(empty, {}).startswith("<div")
