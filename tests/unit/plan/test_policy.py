from __future__ import annotations

import pytest

from multiarch_oci.digest import Digest
from multiarch_oci.plan.policy import Move, Policy, TagImmutable, TagMoved, plan_tag
from multiarch_oci.reference import Reference

TAG = Reference.parse("localhost:5000/demo:v1")
OLD, NEW, OTHER = (Digest.of(text) for text in (b"old", b"new", b"other"))


def plan(observed: Digest | None, receipted: Digest | None, policy: Policy | None = None):
    return plan_tag(TAG, digest=NEW, observed=observed, receipted=receipted, policy=policy or Policy())


@pytest.mark.parametrize("receipted", [None, OLD, NEW], ids=["first push", "pushed before", "as published"])
@pytest.mark.parametrize("policy", [Policy(), Policy(repair=False, immutable=True)], ids=["repair", "strict"])
def test_a_tag_that_holds_what_is_wanted_is_kept_whoever_put_it_there(receipted, policy):
    assert plan(NEW, receipted, policy).move is Move.KEEP


@pytest.mark.parametrize("receipted", [None, OLD, NEW])
def test_an_absent_tag_is_created_without_a_word(receipted):
    found = plan(None, receipted, Policy(repair=False, immutable=True))
    assert (found.move, found.remark) == (Move.CREATE, None)


def test_our_own_older_content_is_overwritten_without_a_word():
    found = plan(OLD, OLD, Policy(repair=False))
    assert (found.move, found.remark) == (Move.OVERWRITE, None)


def test_a_tag_that_somebody_moved_is_repaired_with_one_line():
    found = plan(OTHER, OLD)
    assert found.move is Move.OVERWRITE
    assert found.remark == f"localhost:5000/demo:v1 was moved by somebody, it is overwritten: {OTHER} → {NEW}"


def test_a_first_push_over_other_content_says_so():
    remark = plan(OTHER, None).remark
    assert remark == f"localhost:5000/demo:v1 was pushed by somebody else, it is overwritten: {OTHER} → {NEW}"


@pytest.mark.parametrize(
    ("receipted", "story"), [(None, "was pushed by somebody else"), (OLD, "was moved by somebody")]
)
def test_drift_fail_makes_somebody_elses_content_an_error(receipted, story):
    with pytest.raises(TagMoved) as caught:
        plan(OTHER, receipted, Policy(repair=False))
    assert str(caught.value) == (
        f"localhost:5000/demo:v1: {story} ({OTHER} → {NEW}), and DRIFT=fail\n"
        "  hint: look at what it holds; DRIFT=repair overwrites it"
    )


@pytest.mark.parametrize("receipted", [None, OLD, OTHER], ids=["first", "moved", "our own"])
def test_an_immutable_tag_is_never_overwritten(receipted):
    with pytest.raises(TagImmutable) as caught:
        plan(OTHER, receipted, Policy(immutable=True))
    assert str(caught.value) == (
        f"localhost:5000/demo:v1: exists with other content ({OTHER} → {NEW}), and IMMUTABLE=yes\n"
        "  hint: raise VERSION, or remove the tag by hand"
    )


def test_an_immutable_tag_that_moves_with_each_release_is_told_apart():
    with pytest.raises(TagImmutable) as caught:
        plan_tag(
            TAG.with_tag("latest"),
            digest=NEW,
            observed=OLD,
            receipted=OLD,
            policy=Policy(immutable=True),
            further=True,
        )
    assert str(caught.value) == (
        f"localhost:5000/demo:latest: exists with other content ({OLD} → {NEW}), and IMMUTABLE=yes\n"
        "  hint: this tag moves with each release: leave latest out of TAGS, or leave out IMMUTABLE=yes"
    )
