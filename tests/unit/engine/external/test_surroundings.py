from __future__ import annotations

import pytest

from multiarch_oci.engine.external.surroundings import build_args, flags, temporary_name
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.platform import Platform


def settled(shop, text, **more):
    return Reader().settled(shop.plan(text, **more), lambda _: shop.store)


def test_flags_are_the_plans(shop):
    found = settled(
        shop,
        "FROM scratch AS a\n",
        platform=Platform.parse("linux/arm/v7"),
        build_args=(("A", "x=y z"),),
        target="a",
        ssh=("default",),
        secrets=("id=t,src=/t",),
        network="none",
    )
    assert flags(found) == [
        *("--platform", "linux/arm/v7", "--build-arg", "A=x=y z", "--target", "a", "--network", "none"),
    ]


@pytest.mark.parametrize(
    ("text", "given", "args"),
    [
        ("FROM scratch\n", (), ()),
        ("FROM scratch\nARG SOURCE_DATE_EPOCH\n", (), (("SOURCE_DATE_EPOCH", "5"),)),
        ("FROM scratch\nARG SOURCE_DATE_EPOCH\n", (("SOURCE_DATE_EPOCH", "9"),), (("SOURCE_DATE_EPOCH", "9"),)),
        ("FROM scratch AS no\nARG SOURCE_DATE_EPOCH\nFROM scratch\n", (), ()),
    ],
)
def test_a_dockerfile_that_asks_for_the_time_stamp_gets_it(shop, text, given, args):
    assert build_args(settled(shop, text, build_args=given, epoch=5)) == args


def test_no_two_builds_share_a_name():
    assert temporary_name() != temporary_name()
