"""None"""

from __future__ import annotations

import pytest

from multiarch_oci.config import HealthCheck, instant
from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine.embedded import configuring
from multiarch_oci.engine.embedded.configuring import check_signal, exposed_ports
from workshop import Workshop

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def config(shop: Workshop, text: str, **more: object):
    return shop.build(f"FROM scratch\n{text}\n", **more).config


def created_by(shop: Workshop, text: str) -> list[str | None]:
    return [line.created_by for line in config(shop, text).history]


def test_scratch_begins_as_buildkit_has_it(shop):
    found = config(shop, "")
    assert found.env == (PATH,)
    assert found.working_dir == "/"
    assert found.created == "1970-01-01T00:00:00Z"
    assert found.history == ()


def test_every_member_is_set(shop):
    found = config(
        shop,
        "ENV A=1 B='x y'\nENV A=2\nLABEL l=1 m='a b'\nUSER 1:2\nEXPOSE 80 90-91/udp\nVOLUME /v /w\n"
        'STOPSIGNAL SIGQUIT\nSHELL ["/bin/bash", "-c"]\nHEALTHCHECK --interval=5s --retries=2 CMD true\n'
        'MAINTAINER Somebody\nONBUILD COPY . /src\nENTRYPOINT run it\nCMD ["a"]\nWORKDIR /w\nWORKDIR ../x',
    )
    assert found.env == (PATH, "A=2", "B=x y")
    assert dict(found.labels) == {"l": "1", "m": "a b"}
    assert found.user == "1:2"
    assert set(found.exposed_ports) == {"80/tcp", "90/udp", "91/udp"}
    assert found.volumes == ("/v", "/w")
    assert found.stop_signal == "SIGQUIT"
    assert found.shell == ("/bin/bash", "-c")
    assert found.healthcheck == HealthCheck(("CMD-SHELL", "true"), interval=5_000_000_000, retries=2)
    assert found.author == "Somebody"
    assert found.on_build == ("COPY . /src",)
    assert found.entrypoint == ("/bin/bash", "-c", "run it")
    assert found.cmd == ("a",)
    assert found.working_dir == "/x"


@pytest.mark.parametrize(
    ("text", "cmd"),
    [
        ('CMD ["a"]\nENTRYPOINT ["b"]', ("a",)),
        ('CMD ["a"]\nFROM s\nENTRYPOINT ["b"]', None),
        ('CMD ["a"]\nFROM s\nENTRYPOINT ["b"]\nCMD ["c"]', ("c",)),
        ('CMD ["a"]\nFROM s\nCMD ["c"]\nENTRYPOINT ["b"]', ("c",)),
        ("CMD a", ("/bin/sh", "-c", "a")),
        ("CMD []", None),
    ],
)
def test_entrypoint_forgets_the_cmd_of_what_the_stage_stands_on(shop, text, cmd):
    assert shop.build(f"FROM scratch AS s\n{text}\n").config.cmd == cmd


def test_history_is_written_as_buildkit_does(shop):
    shop.write("a")
    assert created_by(
        shop,
        'ARG X=1 Y\nENV A=$X B="c d"\nLABEL l="1 2"\nUSER u\nEXPOSE 80\nVOLUME /a /b\nSTOPSIGNAL 9\nSHELL ["/s", "-c"]\n'
        'CMD ["a", "b\\"c"]\nENTRYPOINT x\nHEALTHCHECK NONE\nMAINTAINER me\nONBUILD ENV A=1\nWORKDIR /w\n'
        "COPY --chown=1:1 --chmod=644 a /x/\nADD a ./",
    ) == [
        "ARG X=1 Y",
        "ENV A=1 B=c d",
        "LABEL l=1 2",
        "USER u",
        "EXPOSE [80/tcp]",
        "VOLUME [/a /b]",
        "STOPSIGNAL 9",
        "SHELL [/s -c]",
        'CMD ["a" "b\\"c"]',
        'ENTRYPOINT ["/s" "-c" "x"]',
        "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        "MAINTAINER me",
        "WORKDIR /w",
        "COPY --chown=1:1 --chmod=644 a /x/ # buildkit",
        "ADD a ./ # buildkit",
    ]


def test_labels_of_the_plan_come_after_those_of_the_dockerfile(shop):
    found = config(shop, "LABEL a=1 b=2", labels=(("b", "3"), ("c", "4")))
    assert dict(found.labels) == {"a": "1", "b": "3", "c": "4"}


def test_the_time_stamp_is_the_plans(shop):
    shop.write("a")
    found = config(shop, "COPY a /", epoch=1_700_000_000)
    assert found.created == found.history[0].created == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("signal", ["SIGTERM", "sigquit", "KILL", "9", "RTMIN+3", "SIGRTMAX-14", "99"])
def test_a_signal_is_a_name_or_a_number(signal):
    check_signal(signal)
    with pytest.raises(InvalidDockerfile):
        check_signal(f"{signal}?")


@pytest.mark.parametrize("signal", ["", "0", "SIGNOPE", "RTMIN+16", "-9"])
def test_anything_else_is_an_error(signal):
    with pytest.raises(InvalidDockerfile, match="there is no such signal"):
        check_signal(signal)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", ("80/tcp",)),
        ("80/UDP", ("80/udp",)),
        ("80/", ("80/tcp",)),
        ("80-82/sctp", ("80/sctp", "81/sctp", "82/sctp")),
        ("80-80", ("80/tcp",)),
        ("8080:80", ("80/tcp",)),
        ("8000-8010:80", ("80/tcp",)),
        ("127.0.0.1:8080:80", ("80/tcp",)),
        ("[::1]:8080:80", ("80/tcp",)),
        ("0", ("0/tcp",)),
    ],
)
def test_a_port_is_read_as_buildkit_does(text, wanted):
    assert exposed_ports(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "/tcp", "x", "65536", "80/http", "82-80", "-1", "1.1.1:1:80", "1-2:80-90", "80:", "8 0"]
)
def test_what_is_no_port_is_an_error_that_quotes_it(text):
    with pytest.raises(InvalidDockerfile, match="EXPOSE"):
        exposed_ports(text)


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
    assert configuring.duration(nanoseconds) == wanted


def test_words_are_quoted_as_go_does():
    assert configuring.quoted(["/a b", 'x"y\\', "\n\t\x01\x7f", "ä\u200b", "\U000e0001", "\udcff"]) == (
        '["/a b" "x\\"y\\\\" "\\n\\t\\x01\\x7f" "ä\\u200b" "\\U000e0001" "\\xff"]'
    )


def test_a_time_is_written_as_rfc_3339():
    assert instant(0) == "1970-01-01T00:00:00Z"
    assert instant(1_700_000_000) == "2023-11-14T22:13:20Z"


def test_a_healthcheck_is_written_as_go_prints_the_struct():
    assert configuring.healthcheck(HealthCheck(("CMD", "a"), 5_000_000_000, retries=3)) == (
        "{Test:[CMD a] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}"
    )
