from __future__ import annotations

import pytest

from multiarch_oci.engine import AUTO, EngineUnavailable, choose


class Fake:
    """A second implementation: it builds nothing, and refuses as it is told."""

    def __init__(self, name, reason=None):
        self.name = name
        self.reason = reason

    def refusal(self, _plan):
        return self.reason


def engines(asked, **reasons):
    def maker(name):
        def make():
            asked.append(name)
            return Fake(name, reasons[name])

        return make

    return {name: maker(name) for name in reasons}


@pytest.mark.parametrize(
    ("reasons", "before", "chosen", "because", "asked"),
    [
        ({"embedded": None, "podman": None}, None, "embedded", "", ["embedded"]),
        ({"embedded": None, "podman": None}, "podman", "embedded", "", ["embedded"]),
        ({"embedded": "f:2: RUN", "buildx": "none", "podman": None, "docker": None}, None, "podman",
         "embedded: f:2: RUN; buildx: none", ["embedded", "buildx", "podman"]),
        ({"embedded": "RUN", "buildx": None, "docker": None}, "docker", "docker", "embedded: RUN",
         ["embedded", "docker"]),
        ({"embedded": "RUN", "buildx": None, "docker": "gone"}, "docker", "buildx", "embedded: RUN; docker: gone",
         ["embedded", "docker", "buildx"]),
    ],
)  # fmt: skip
def test_auto_takes_the_first_that_can_and_stays_with_it(shop, reasons, before, chosen, because, asked):  # noqa: PLR0917  # a row of the table
    seen: list[str] = []
    found = choose(engines(seen, **reasons), AUTO, shop.plan("FROM scratch\n"), before=before)
    assert (found.engine.name, found.because, seen) == (chosen, because, asked)


def test_a_named_engine_is_taken_unasked(shop):
    found = choose(engines([], embedded=None, docker="gone"), "docker", shop.plan("FROM scratch\n"))
    assert (found.engine.name, found.because) == ("docker", "")


def test_all_reasons_are_told_when_none_can(shop):
    plan = shop.plan("FROM scratch\n")
    with pytest.raises(EngineUnavailable) as caught:
        choose(engines([], embedded="f:2: RUN", podman="not there"), AUTO, plan)
    assert str(caught.value) == (
        f"{plan.dockerfile}: no engine can build this image\n  hint: embedded: f:2: RUN; podman: not there"
    )


def test_an_unknown_engine_is_an_error(shop):
    with pytest.raises(EngineUnavailable) as caught:
        choose(engines([], embedded=None), "kaniko", shop.plan("FROM scratch\n"))
    assert str(caught.value) == "there is no engine 'kaniko'\n  hint: there is: auto, embedded"
