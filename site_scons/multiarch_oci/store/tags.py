"""What many tags name now, all asked at once (OCI distribution spec 1.1: "Checking if content exists")."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from multiarch_oci.store.http.errors import Unreachable
from multiarch_oci.store.http.exchange import repository_scope
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.repository import Repository, referrers_tag
from multiarch_oci.store.visible import Written

_TOGETHER = 10
_LIMITS = 10
_BY_TAG = "tag"


class ListingOf(msgspec.Struct, frozen=True):
    """What refers to the subject that `reference` names by digest; `by` is how it was listed there (`Listed`).

    `known` is a list that need not be read again where the tag still names it.
    """

    reference: Reference
    by: str
    known: Digest | None = None


class Referring(msgspec.Struct, frozen=True):
    """The digests of what refers to a subject, None where they are those of the list that is known.

    `state` is that list, where a tag has it.
    """

    digests: frozenset[str] | None
    state: Digest | None = None


Question: TypeAlias = "Reference | ListingOf"
Observed: TypeAlias = "Descriptor | Referring | MultiarchError | None"
"""What a tag names, or what refers to a subject."""


def resolve_all(
    transport: Transport,
    questions: Iterable[Question],
    *,
    limit: float = 15.0,
    tell: Callable[[Question, Observed], object] = lambda _question, _answer: None,
    written: Written | None = None,
) -> dict[Question, Observed]:
    """What every tag (or digest) names now, all asked at once; an error in place of an answer where there is none.

    At most `settings.heads` requests are under way at a host. Each question has `limit` seconds, and the call returns
    when no answer came for so long: thousands of questions to a registry far away take longer, and are answered; ten
    times as long at the most. Nothing is raised for a single one; the answers are in the order given, which is that
    in which they are asked. `tell` is called for each in this thread, as soon as its answer is there.
    """
    distinct = list(dict.fromkeys(questions))
    done: queue.SimpleQueue[tuple[Question, Observed | Exception]] = queue.SimpleQueue()
    by_host: defaultdict[str, list[Question]] = defaultdict(list)
    for question in distinct:
        by_host[_reference(question).registry].append(question)
    for group in by_host.values():
        _ask_host(transport, group, limit, done, written)
    end, last = (time.monotonic() + times * limit for times in (1, _LIMITS))
    answers: dict[Question, Observed] = {}
    while len(answers) < len(distinct):
        try:
            question, answer = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Exception) and not isinstance(answer, MultiarchError):
            raise answer
        answers[question] = answer
        tell(question, answer)
        if not isinstance(answer, Unreachable):
            end = min(time.monotonic() + limit, last)
    for question in distinct:
        if question not in answers:
            answers[question] = _late(_reference(question), limit)
            tell(question, answers[question])
    return {question: answers[question] for question in distinct}


def _reference(question: Question) -> Reference:
    return question.reference if isinstance(question, ListingOf) else question


def _ask_host(
    transport: Transport,
    group: list[Question],
    limit: float,
    done: queue.SimpleQueue[tuple[Question, Observed | Exception]],
    written: Written | None,
) -> None:
    """Start the threads that ask one host."""
    # One token for all repositories, where the service grants that; not too many, as some limit a request's length.
    scopes = (repository_scope(_reference(question).repository, "pull") for question in group)
    optional = tuple(dict.fromkeys(scopes))[:_TOGETHER]
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    for question in group:
        waiting.put(question)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                question = waiting.get_nowait()
                repository = Repository(transport, _reference(question), written=written)
                done.put((question, _observe(repository, question, limit, optional)))

    # Daemons, as a name server that does not answer can hold one longer than anybody wants to wait.
    for _ in range(min(len(group), transport.settings.heads)):
        threading.Thread(target=work, daemon=True).start()


def _observe(
    repository: Repository, question: Question, limit: float, optional: tuple[str, ...]
) -> Observed | Exception:
    try:
        if isinstance(question, ListingOf):
            return _listed(repository, question, limit)
        name = str(question.digest) if question.digest is not None else question.tag or "latest"
        return repository.look(name, limit=limit, optional=optional)
    except Exception as error:  # noqa: BLE001  # raised by `resolve_all`, not lost with its thread
        return error


def _listed(repository: Repository, question: ListingOf, limit: float) -> Referring:
    """The digests in the list of what refers to a subject; nothing is read of them but that."""
    subject = question.reference.digest
    if subject is None:
        return Referring(frozenset())
    if question.by != _BY_TAG:
        referrers = repository.referrers_by_api(subject, limit=limit)
        return Referring(frozenset(str(referrer.digest) for referrer in referrers or ()))
    tagged = repository.tagged(referrers_tag(subject), limit=limit, unless=question.known)
    if tagged is None:
        return Referring(frozenset())
    state = tagged.descriptor.digest
    if state == question.known:
        return Referring(None, state)
    items = Document.parse(tagged.content, where=str(subject)).objects("manifests")
    return Referring(frozenset(str(item.members.get("digest")) for item in items), state)


def _late(reference: Reference, limit: float) -> Observed:
    return Unreachable(f"no answer within {limit:g} s", where=reference.registry)
