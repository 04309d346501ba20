"""Which machine makes which images: balanced, whole, and the same everywhere (behaviour, section 9)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from multiarch_oci.document import InvalidDocument
from multiarch_oci.plan.shards import Work, divided, file_of, measured, seconds_of

PLATFORMS = ("linux/amd64", "linux/arm64")


def many(images: int, per_program: int = 3) -> list[Work]:
    """Images for two platforms, some of which share a program."""
    return [
        Work(platform, f"i{number:03}-{platform}.tar", (f"bin/{number // per_program}-{platform}",))
        for number in range(images)
        for platform in PLATFORMS
    ]


def load(part: Sequence[str], works: Sequence[Work], costs: Mapping[str, float]) -> float:
    """What a machine has to do: its images, and each program that they need once."""
    images = set(part)
    own = [work for work in works if work.image in images]
    names = {work.image for work in own} | {name for work in own for name in work.needs}
    return sum(costs.get(name, 1.0) for name in names)


def within(parts: Sequence[Sequence[str]], works: Sequence[Work], costs: Mapping[str, float], limit: float) -> bool:
    loads = [load(part, works, costs) for part in parts]
    return max(loads) <= limit * sum(loads) / len(loads)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("per_program", [1, 3, 300])
def test_each_image_is_in_one_part_and_the_parts_are_alike(count: int, per_program: int):
    works = many(300, per_program)
    parts = divided(works, count, {})
    assert sorted(image for part in parts for image in part) == sorted(work.image for work in works)
    assert within(parts, works, {}, 1.15)


def test_images_of_one_program_stay_together():
    works = many(60)
    machine = {image: number for number, part in enumerate(divided(works, 5, {})) for image in part}
    programs = {(work.needs, machine[work.image]) for work in works}
    assert len(programs) == len({work.needs for work in works})


def test_a_program_of_all_images_is_made_by_several_where_the_images_are_most_of_the_work():
    works = [Work("linux/amd64", f"i{number}.tar", ("bin/one",)) for number in range(60)]
    assert [len(part) for part in divided(works, 5, {})] == [12] * 5
    costs = {"bin/one": 60.0, **{work.image: 0.1 for work in works}}
    assert sorted(map(len, divided(works, 5, costs))) == [0, 0, 0, 0, 60]


def test_what_was_measured_counts():
    works = many(40, 1)
    chance = random.Random(7)  # noqa: S311  # the same in each run
    costs = {name: chance.expovariate(1 / 20) for work in works for name in (work.image, *work.needs)}
    parts = divided(works, 5, costs)
    assert within(parts, works, costs, 1.3)
    assert not within(divided(works, 5, {}), works, costs, 1.05)
    first = [costs[image] for image in parts[0]]
    assert max(first) in first[:4]


def test_every_platform_is_on_every_machine():
    for part in divided(many(30, 1), 2, {}):
        assert [sum(platform in image for image in part) for platform in PLATFORMS] == [15, 15]


def test_the_order_of_declarations_is_no_matter():
    works = many(30)
    shuffled = list(works)
    random.Random(1).shuffle(shuffled)  # noqa: S311  # the same in each run
    costs = {work.image: 1.5 + len(work.image) for work in works[::3]}
    assert divided(works, 4, costs) == divided([*shuffled, *works], 4, costs)


def test_more_machines_than_images():
    assert sorted(map(len, divided(many(1), 5, {}))) == [0, 0, 0, 1, 1]
    assert divided([], 3, {}) == ((), (), ())


def test_costs_of_targets_that_are_gone_or_nothing_are_no_matter():
    works = many(6, 1)
    assert divided(works, 3, {"gone.tar": 1e6}) == divided(works, 3, {})
    assert sorted(map(len, divided(works, 3, dict.fromkeys([work.image for work in works], 0.0)))) == [4, 4, 4]


def test_what_is_written_is_read():
    content = file_of({"b.tar": 2.00049, "a.tar": 1})
    assert seconds_of(content, where="shards.json") == {"a.tar": 1.0, "b.tar": 2.0}
    assert content == file_of(seconds_of(content, where="shards.json"))
    assert content.startswith(b'{\n  "format": "multiarch shards 1"')


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"format": 1}',
    b'{"format": "multiarch report 1"}',
    *(
        b'{"format": "multiarch shards 1", "seconds": ' + value + b"}"
        for value in (
            *(b"[]", b"1", b'{"a": -1}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": true}'),
            *(b'{"a": null}', b'{"a": "1"}', b'{"a": [1]}', b'{"a": 1' + b"0" * 400 + b"}", b'{"a": 10000001}'),
            *(b'{"a": 1' + b"0" * 5000 + b"}", b"[" * 100_000, b'{"a\\u001b[31m": -1}'),
        )
    ),
    b'{"format": "multiarch shards 1", "seconds": {' + b" " * (4 << 20) + b"}}",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_that_holds_no_costs_is_an_error_in_one_line(content: bytes):
    with pytest.raises(InvalidDocument) as caught:
        seconds_of(content, where="shards.json")
    assert str(caught.value).startswith("shards.json")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_name_that_no_target_has_is_no_matter_whatever_it_is():
    content = b'{"format": "multiarch shards 1", "seconds": {"../../etc/passwd": 1, "\\ud800": 2, "": 3}}'
    assert divided(many(2, 1), 2, seconds_of(content, where="shards.json")) == divided(many(2, 1), 2, {})


def test_a_report_says_what_was_made():
    report = (
        b'{"format": "multiarch report 1", "steps": [{"step": "Image", "target": "a.tar", "seconds": 1.5},'
        b' {"step": "Push", "target": "receipt.json", "seconds": 9},'
        b' {"step": "Image", "target": "b.tar", "outcome": "cached"}], "unchanged": []}'
    )
    assert measured(report, where="report.json") == {"a.tar": 1.5}


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"x",
        b'{"format": "multiarch report 1", "steps": [{"step": "Image", "seconds": 1}]}',
        b'{"format": "multiarch plan 1"}',
    ],
)
def test_what_is_no_report_is_an_error(content: bytes):
    with pytest.raises(InvalidDocument):
        measured(content, where="report.json")
