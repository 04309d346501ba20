from __future__ import annotations

from pathlib import Path

from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.tags import Observed, resolve_all


def transport(**settings: float) -> Transport:
    return Transport(Settings(attempts=1, **settings), Credentials({}, Path("/nowhere")))  # type: ignore[arg-type]


def test_no_references_are_no_questions() -> None:
    assert resolve_all(transport(), []) == {}


def test_each_answer_is_told_once_and_returned_in_the_order_of_asking() -> None:
    told: list[tuple[Reference, Observed]] = []
    wanted = [Reference(f"127.0.0.1:{port}", "demo", "v1") for port in (1, 2, 1)]
    answers = resolve_all(transport(), wanted, tell=lambda reference, answer: told.append((reference, answer)))
    assert list(answers) == wanted[:2]
    assert all(isinstance(answer, MultiarchError) for answer in answers.values())
    assert dict(told) == answers
    assert len(told) == 2


def test_what_is_late_is_told_as_well() -> None:
    told: list[Reference] = []
    wanted = [Reference("127.0.0.1:1", "demo", name) for name in ("v1", "v2")]
    answers = resolve_all(transport(), wanted, limit=0.0, tell=lambda reference, _answer: told.append(reference))
    assert sorted(told, key=str) == wanted
    assert all(isinstance(answer, MultiarchError) for answer in answers.values())
