"""multiarch_oci.once: each thing is made once, and nobody waits for another one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from multiarch_oci.once import Once

LONG = 30  # seconds after which something that should happen did not


def test_a_value_is_made_once_for_all_who_want_it() -> None:
    once: Once[str] = Once()
    made: list[int] = []
    begun = threading.Barrier(8, timeout=LONG)

    def make() -> str:
        made.append(1)
        return "it"

    def want() -> str:
        begun.wait()
        return str(once.get("key", make))

    with ThreadPoolExecutor(8) as pool:
        assert [done.result() for done in [pool.submit(want) for _ in range(8)]] == ["it"] * 8
    assert made == [1]


def test_while_one_thing_is_made_others_are_made_and_had() -> None:
    once: Once[object] = Once()
    going, gone = threading.Event(), threading.Event()

    def slow() -> str:
        going.set()
        assert gone.wait(LONG)
        return "slow"

    once.get("old", lambda: "kept")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(once.get, "slow", slow)
        assert going.wait(LONG)
        assert once.get("quick", lambda: "quick") == "quick"
        assert once.get("old", lambda: "made again") == "kept"
        assert (once.peek("slow"), once.peek("old")) == (None, "kept")
        gone.set()
        assert waiting.result(LONG) == "slow"


def test_one_thing_may_be_made_of_another() -> None:
    once: Once[int] = Once()
    assert once.get("outer", lambda: once.get("inner", lambda: 1) + 1) == 2


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    once: Once[object] = Once()
    going, gone = threading.Event(), threading.Event()

    def fail() -> None:
        going.set()
        assert gone.wait(LONG)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once.get, "key", fail)
        assert going.wait(LONG)
        second = pool.submit(once.get, "key", fail)
        gone.set()
        for waiting in (first, second):
            with pytest.raises(ValueError, match="no"):
                waiting.result(LONG)
    assert once.get("key", lambda: "now") == "now"
