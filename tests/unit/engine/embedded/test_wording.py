from __future__ import annotations

import pytest

from multiarch_oci.config import HealthCheck, instant
from multiarch_oci.engine.embedded import wording


@pytest.mark.parametrize(
    ("nanoseconds", "wanted"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (2_000_000, "2ms"),
        (1_500_000_000, "1.5s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)
def test_a_duration_is_written_as_go_does(nanoseconds, wanted):
    assert wording.duration(nanoseconds) == wanted


def test_words_are_quoted_as_go_does():
    assert wording.quoted(["/a b", 'x"y\\', "\n\t\x01\x7f", "ä\u200b", "\U000e0001", "\udcff"]) == (
        '["/a b" "x\\"y\\\\" "\\n\\t\\x01\\x7f" "ä\\u200b" "\\U000e0001" "\\xff"]'
    )


def test_a_time_is_written_as_rfc_3339():
    assert instant(0) == "1970-01-01T00:00:00Z"
    assert instant(1_700_000_000) == "2023-11-14T22:13:20Z"


def test_a_healthcheck_is_written_as_go_prints_the_struct():
    assert wording.healthcheck(HealthCheck(("CMD", "a"), 5_000_000_000, retries=3)) == (
        "{Test:[CMD a] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}"
    )
