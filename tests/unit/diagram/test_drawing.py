"""A graph laid out, and as SVG, mermaid and DOT: whatever its labels are, they are labels."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET

from machines.required import required
from multiarch_oci.diagram.drawing import cut, svg
from multiarch_oci.diagram.layout import HEIGHT, Box, columns, lay_out, sources_first
from multiarch_oci.diagram.texts import as_dot, as_mermaid

HOSTILE = '</script><img src=x onerror=alert(1)>"];evil[label="`|\\'


def chain(name: str) -> list[Box]:
    boxes = []
    for platform in ("linux/amd64", "linux/arm64"):
        key = f"{name} {platform}"
        boxes.append(Box(f"{key} program", "program", group=name, row=platform))
        boxes.append(Box(f"{key} image", "image", group=name, row=platform, sources=(f"{key} program",)))
        boxes.append(Box(f"{key} push", "push", group=name, row=platform, sources=(f"{key} image",)))
    images = tuple(box.key for box in boxes if box.label == "image")
    boxes.append(Box(f"{name} index", "index", group=name, sources=images))
    pushes = tuple(box.key for box in boxes if box.label == "push")
    boxes.append(Box(f"{name} tag", "tag", group=name, sources=(f"{name} index", *pushes)))
    return boxes


def test_sources_stand_before_what_is_made_of_them_and_nothing_on_another():
    boxes = [*chain("a"), *chain("b"), Box("loose", "file"), Box("circle", "x", sources=("circle",))]
    depth = columns(boxes)
    assert (depth["a linux/amd64 program"], depth["a linux/amd64 image"], depth["a index"], depth["a tag"]) == (
        0,
        1,
        2,
        3,
    )
    drawing = lay_out(boxes)
    corners = list(drawing.corners.values())
    assert len(set(corners)) == len(boxes)
    for x, y in corners:
        assert not [other for other in corners if other[0] == x and 0 < abs(other[1] - y) < HEIGHT]
        assert 0 <= x < drawing.width
        assert 0 <= y < drawing.height
    rows = {key: y for key, (_, y) in drawing.corners.items()}
    assert rows["a linux/arm64 program"] == rows["a linux/arm64 image"] == rows["a linux/arm64 push"]
    assert max(y for key, y in rows.items() if key.startswith("a ")) < min(
        y for key, y in rows.items() if key.startswith("b ")
    )


def test_a_long_way_and_a_circle_are_walked_once():
    sources = {number: [number + 1] for number in range(50_000)} | {50_000: []}
    assert sources_first([0], sources.__getitem__) == list(range(50_000, -1, -1))
    assert sources_first("ab", {"a": "b", "b": "a"}.__getitem__) == ["b", "a"]


def test_an_svg_is_xml_with_labels_as_text():
    drawn = svg([Box(HOSTILE, HOSTILE, HOSTILE, title=HOSTILE), Box("b", "b", sources=(HOSTILE,))], name=HOSTILE)
    root = ET.fromstring(drawn)  # noqa: S314  # our own
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "style", "g", "path", "rect", "text"}
    assert HOSTILE in [element.text for element in root.iter() if element.tag.endswith("title")]


def test_mermaid_has_one_line_a_node_and_an_edge():
    drawn = as_mermaid([Box(HOSTILE, HOSTILE, "x", "image", "up to date"), Box("b", "b", sources=(HOSTILE, "no node"))])
    lines = drawn.splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[2:4] == ['    n1["b"]', "    n0 --> n1"]
    assert not set("<>`|") & set(lines[1].replace("<br>", ""))
    assert lines[1].count('"') == 2
    assert lines[-1].startswith("    classDef up_to_date ")


def test_dot_is_taken_by_graphviz_and_its_labels_are_labels():
    drawn = as_dot(
        [Box(HOSTILE, HOSTILE, "line two", "image", "made", title=HOSTILE), Box("b", "b", sources=(HOSTILE,))]
    )
    assert drawn.count("->") == 1
    assert len(drawn.splitlines()) == 8
    ran = subprocess.run([required("dot"), "-Tplain"], input=drawn, capture_output=True, text=True, check=True)
    assert ran.stdout.count("\nnode ") == 2


def test_a_label_is_cut_in_its_middle():
    assert cut("linux/amd64 of a service with a long name", 20) == "linux/amd… long name"
    assert len(cut("x" * 50, 20)) == 20
    assert cut("short", 20) == "short"
