"""The plan of a whole build: a table of what is declared and what was observed."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.mediatype import LAYER_GZIP, MANIFEST
from multiarch_oci.plan.forecast import Content, ImagePlan, PinState, Plan, PlannedTag, Rebuild, TagState, forecast
from multiarch_oci.plan.policy import Move, Policy
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

NAME = Reference.parse("localhost:5000/demo")
TAG, LATEST = NAME.with_tag("v1"), NAME.with_tag("latest")
PIN = Reference.parse("localhost:5000/theirs:v1-windows-amd64")
WINDOWS = Platform.parse("windows/amd64")
OLD, NEW, OTHER = (Digest.of(text) for text in (b"old", b"new", b"other"))
MANIFEST_ = Descriptor(MANIFEST, NEW, 500)
CONFIG, LAYER, BASE = (
    Descriptor(LAYER_GZIP, Digest.of(text), size)
    for text, size in ((b"config", 1_000), (b"layer", 2_000_000), (b"base", 30_000_000))
)
DOWN = MultiarchError("no connection", where="localhost:5000", hint="is it on?")
STRICT = Policy(repair=False)
IMMUTABLE = Policy(immutable=True)


def contents(*there: Descriptor, unknown: tuple[Descriptor, ...] = ()) -> tuple[Content, ...]:
    return tuple(Content(each, None if each in unknown else each in there) for each in (MANIFEST_, BASE, LAYER, CONFIG))


def one(policy: Policy | None = None, **state: object) -> PlannedTag:
    """Return what becomes of the one tag of a build."""
    facts = {"reference": TAG, "digest": NEW, "receipted": None, "observed": None} | state
    return forecast([], [], [TagState(**facts)], policy or Policy()).tags[0]


@pytest.mark.parametrize(
    ("state", "planned", "line"),
    [
        (
            {"observed": NEW, "contents": contents()},
            PlannedTag(TAG, Move.KEEP, NEW, NEW),
            f"tag localhost:5000/demo:v1: unchanged, {NEW}",
        ),
        (
            {"contents": contents(BASE, unknown=(LAYER,))},
            PlannedTag(TAG, Move.CREATE, None, NEW, 2_001_500, bound=True),
            f"tag localhost:5000/demo:v1: create, {NEW}, at most 2.0 MB to upload",
        ),
        (
            {"contents": contents()},
            PlannedTag(TAG, Move.CREATE, None, NEW, 32_001_500),
            f"tag localhost:5000/demo:v1: create, {NEW}, 32.0 MB to upload",
        ),
        (
            {"observed": OLD, "receipted": OLD, "contents": contents(BASE, LAYER)},
            PlannedTag(TAG, Move.OVERWRITE, OLD, NEW, 1_500),
            f"tag localhost:5000/demo:v1: move, {OLD} → {NEW}, 1.5 kB to upload",
        ),
        (
            {"observed": OLD, "contents": contents(MANIFEST_)},
            PlannedTag(TAG, Move.OVERWRITE, OLD, NEW, 0),
            f"tag localhost:5000/demo:v1: move, {OLD} → {NEW}, 0 bytes to upload",
        ),
        (
            {"digest": None, "contents": contents(BASE, MANIFEST_)},
            PlannedTag(TAG, Move.CREATE, None, None, 2_001_000, bound=True),
            "tag localhost:5000/demo:v1: create, digest known after the build, at most 2.0 MB to upload",
        ),
        (
            {"digest": None, "observed": OLD},
            PlannedTag(TAG, Move.OVERWRITE, OLD, None, None),
            f"tag localhost:5000/demo:v1: move, {OLD} → known after the build, nobody knows how much to upload",
        ),
        (
            {"observed": DOWN, "contents": contents()},
            PlannedTag(TAG, Move.UNKNOWN, None, NEW, None, error="localhost:5000: no connection"),
            "tag localhost:5000/demo:v1: unreachable: localhost:5000: no connection",
        ),
        (
            {"refused": "declared linux/arm64 is missing"},
            PlannedTag(TAG, Move.CREATE, None, NEW, 0, fails="declared linux/arm64 is missing"),
            (
                f"tag localhost:5000/demo:v1: create, {NEW}, 0 bytes to upload;"
                " this would fail: declared linux/arm64 is missing"
            ),
        ),
    ],
    ids=[
        "unchanged",
        "created, one blob not known",
        "created, nothing there",
        "moved, layers there",
        "moved, manifest there",
        "to be built, an image is there",
        "to be built, nothing there",
        "unreachable",
        "an error already",
    ],
)
def test_what_becomes_of_a_tag(state, planned, line):
    assert one(**state) == planned
    assert Plan((), (), (planned,)).lines()[0] == line


@pytest.mark.parametrize(
    ("policy", "wanted", "receipted", "fails"),
    [
        (STRICT, NEW, None, f"was pushed by somebody else ({OTHER} → {NEW}), and DRIFT=fail"),
        (STRICT, NEW, OLD, f"was moved by somebody ({OTHER} → {NEW}), and DRIFT=fail"),
        (STRICT, NEW, OTHER, None),
        (STRICT, None, OTHER, None),
        (
            STRICT,
            None,
            OLD,
            "was pushed by somebody else, and DRIFT=fail: an error unless the build makes what it holds",
        ),
        (IMMUTABLE, NEW, OTHER, f"exists with other content ({OTHER} → {NEW}), and IMMUTABLE=yes"),
        (IMMUTABLE, None, OTHER, "exists, and IMMUTABLE=yes: an error unless the build makes what it holds"),
    ],
)
def test_what_the_policy_forbids_is_foretold(policy, wanted, receipted, fails):
    found = one(policy, digest=wanted, receipted=receipted, observed=OTHER, contents=contents())
    assert (found.move, found.fails) == (Move.OVERWRITE, fails)
    assert (found.upload == 0) == (fails is not None and wanted is not None)
    assert one(policy, digest=wanted, receipted=receipted, observed=OTHER, policed=False).fails is None


def test_what_two_tags_of_a_repository_share_is_counted_once():
    second = TagState(
        NAME.with_tag("v1-b"), OTHER, None, None, (Content(Descriptor(MANIFEST, OTHER, 7)), Content(BASE))
    )
    elsewhere = TagState(Reference.parse("localhost:5000/b:v1"), NEW, None, None, contents())
    plan = forecast([], [], [TagState(TAG, NEW, None, None, contents()), second, elsewhere], Policy())
    assert [tag.upload for tag in plan.tags] == [32_001_500, 7, 32_001_500]
    assert (plan.upload, plan.bound, plan.complete) == (64_003_007, True, True)


@pytest.mark.parametrize(
    ("observed", "receipted", "held", "move"),
    [
        (None, None, None, Move.CREATE),
        (None, None, OTHER, Move.OVERWRITE),
        (OLD, OLD, OTHER, Move.OVERWRITE),
        (NEW, NEW, OTHER, Move.KEEP),
        (NEW, NEW, None, Move.CREATE),
        (OTHER, NEW, OLD, Move.KEEP),
        (None, NEW, OLD, Move.KEEP),
        (DOWN, NEW, OLD, Move.UNKNOWN),
        (NEW, NEW, DOWN, Move.UNKNOWN),
    ],
)
def test_further_tags_move_with_a_new_index_only(observed, receipted, held, move):
    state = TagState(TAG, NEW, receipted, observed, contents(), also=((LATEST, held),))
    _, found = forecast([], [], [state], Policy()).tags
    assert (found.reference, found.move, found.fails) == (LATEST, move, None)
    if move is Move.KEEP:
        assert found.old == found.new == held
    if move is Move.UNKNOWN:
        assert found.error == "localhost:5000: no connection"


def test_a_further_tag_fails_with_the_main_tag_or_by_itself():
    state = TagState(TAG, NEW, None, OTHER, contents(), also=((LATEST, None),))
    main, further = forecast([], [], [state], IMMUTABLE).tags
    assert main.fails == further.fails
    free = TagState(TAG, NEW, None, None, contents(), also=((LATEST, OTHER),))
    main, further = forecast([], [], [free], IMMUTABLE).tags
    assert (main.fails, further.fails) == (None, f"exists with other content ({OTHER} → {NEW}), and IMMUTABLE=yes")


@pytest.mark.parametrize(
    ("seen", "observed", "line", "fails"),
    [
        (OLD, OLD, f"unchanged, {OLD}", None),
        (None, OLD, f"seen for the first time, {OLD}", None),
        (OLD, NEW, f"moved, {OLD} → {NEW}", None),
        (
            OLD,
            None,
            "is not in the registry; nothing is published without it",
            f"{PIN} is not in the registry; nothing is published without it",
        ),
        (
            OLD,
            DOWN,
            "unreachable: localhost:5000: no connection",
            f"{PIN} cannot be asked for; nothing is published without it",
        ),
    ],
)
def test_pins_and_what_waits_for_them(seen, observed, line, fails):
    waits, free = TagState(TAG, None, None, None, needs=(PIN,)), TagState(LATEST, NEW, None, None)
    plan = forecast([], [PinState(PIN, WINDOWS, seen, observed)], [waits, free], Policy())
    assert plan.lines()[0] == f"pin {PIN} (windows/amd64): {line}"
    assert [tag.fails for tag in plan.tags] == [fails, None]


IMAGES = [
    ImagePlan("a.tar", Rebuild.NO, None, NEW),
    ImagePlan("b.tar", Rebuild.YES, "main.go changed", engine="podman", because="embedded: it has RUN"),
    ImagePlan("c.tar", Rebuild.PERHAPS, "if bin/demo changes"),
]


def test_images_are_told_with_their_reasons_and_the_sum_comes_last():
    tags = [TagState(TAG, NEW, None, DOWN), TagState(LATEST, NEW, None, OTHER, contents(unknown=(BASE,)))]
    assert forecast(IMAGES, [], tags, Policy()).lines()[:3] == (
        "image a.tar: unchanged",
        "image b.tar: made again, main.go changed; engine: podman (embedded: it has RUN)",
        "image c.tar: perhaps made again, if bin/demo changes",
    )
    last = forecast(IMAGES, [], tags, Policy()).lines()[-1]
    assert last == "tags: 1 move, 1 unreachable; at most 32.0 MB to upload, and what nobody can tell yet"
    assert forecast([], [], [], Policy()).lines() == ("tags: none; 0 bytes to upload",)
    failing = forecast([], [], tags, IMMUTABLE).lines()[-1]
    assert (
        failing == "tags: 1 move, 1 unreachable, 1 of them would fail; 0 bytes to upload, and what nobody can tell yet"
    )


def test_an_image_that_no_engine_can_build_says_why():
    image = ImagePlan("b.tar", Rebuild.YES, "new", because="embedded: it has RUN; podman: is not there")
    told = forecast([image], [], [], Policy()).lines()[0]
    assert told == "image b.tar: made again, new; no engine can: embedded: it has RUN; podman: is not there"


def test_the_json_leaves_no_key_out():
    states = [TagState(TAG, None, OLD, OLD, contents()), TagState(LATEST, NEW, None, DOWN)]
    plan = forecast(IMAGES[:2], [PinState(PIN, WINDOWS, OLD, DOWN)], states, Policy())
    assert json.loads(plan.to_json()) == {
        "format": "multiarch plan 1",
        "images": [
            {"target": "a.tar", "rebuild": "no", "why": None, "digest": str(NEW), "engine": None, "because": ""},
            {
                "target": "b.tar",
                "rebuild": "yes",
                "why": "main.go changed",
                "digest": None,
                "engine": "podman",
                "because": "embedded: it has RUN",
            },
        ],
        "pins": [
            {
                "reference": str(PIN),
                "platform": "windows/amd64",
                "state": "unreachable",
                "old": str(OLD),
                "new": None,
                "error": "localhost:5000: no connection",
            }
        ],
        "tags": [
            {
                "reference": "localhost:5000/demo:v1",
                "action": "move",
                "old": str(OLD),
                "new": None,
                "upload": {"bytes": 32_001_500, "bound": True},
                "fails": None,
                "error": None,
            },
            {
                "reference": "localhost:5000/demo:latest",
                "action": "unreachable",
                "old": None,
                "new": str(NEW),
                "upload": {"bytes": None, "bound": False},
                "fails": None,
                "error": "localhost:5000: no connection",
            },
        ],
        "upload": {"bytes": 32_001_500, "bound": True, "complete": False},
    }
    assert plan.to_json() == forecast(IMAGES[:2], [PinState(PIN, WINDOWS, OLD, DOWN)], states, Policy()).to_json()


def test_what_our_own_unfinished_push_left_is_nobody_elses():
    left = {"observed": OTHER, "receipted": OLD, "contents": contents(MANIFEST_, BASE, LAYER, CONFIG)}
    assert one(STRICT, **left).fails is not None
    assert one(STRICT, **left, unfinished=frozenset([OTHER])).fails is None
    state = TagState(TAG, NEW, NEW, NEW, also=((LATEST, OTHER),), unfinished=frozenset([OTHER]))
    assert [tag.move for tag in forecast([], [], [state], STRICT).tags] == [Move.KEEP, Move.OVERWRITE]


def test_tags_that_a_pre_release_leaves_alone_are_told_last():
    state = TagState(TAG, NEW, None, None, contents(), not_moved=(LATEST,), not_moved_because="v1-rc1 is a pre-release")
    plan = forecast([], [], [state], Policy())
    assert plan.lines()[1:] == (
        f"tag {LATEST}: not moved, v1-rc1 is a pre-release",
        "tags: 1 create, 1 not moved; 32.0 MB to upload",
    )
    told = json.loads(plan.to_json())["tags"][1]
    assert (told["action"], told["because"]) == ("not moved", "v1-rc1 is a pre-release")
