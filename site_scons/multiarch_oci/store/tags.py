"""What many tags name now, all asked at once (OCI distribution spec 1.1: "Checking if content exists")."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.errors import MultiarchError
from multiarch_oci.reference import Reference
from multiarch_oci.store.http.auth import repository_scope
from multiarch_oci.store.http.errors import Unreachable
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.repository import Repository
from multiarch_oci.store.visible import Written

_TOGETHER = 10

Observed: TypeAlias = "Descriptor | MultiarchError | None"


def resolve_all(
    transport: Transport,
    references: Iterable[Reference],
    *,
    limit: float = 15.0,
    tell: Callable[[Reference, Observed], object] = lambda _reference, _answer: None,
    written: Written | None = None,
) -> dict[Reference, Observed]:
    """What every tag (or digest) names now, all asked at once; an error in place of an answer where there is none.

    At most `settings.heads` requests are under way at a host, each reference has `limit` seconds from the start, and
    the call returns by then. Nothing is raised for a single reference; references in the order given, which is that in
    which they are asked. `tell` is called for each in this thread, as soon as its answer is there.
    """
    distinct = list(dict.fromkeys(references))
    done: queue.SimpleQueue[tuple[Reference, Descriptor | Exception | None]] = queue.SimpleQueue()
    by_host: defaultdict[str, list[Reference]] = defaultdict(list)
    for reference in distinct:
        by_host[reference.registry].append(reference)
    for group in by_host.values():
        _ask_host(transport, group, limit, done, written)
    end = time.monotonic() + limit
    answers: dict[Reference, Observed] = {}
    while len(answers) < len(distinct):
        try:
            reference, answer = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Exception) and not isinstance(answer, MultiarchError):
            raise answer
        answers[reference] = answer
        tell(reference, answer)
    for reference in distinct:
        if reference not in answers:
            answers[reference] = _late(reference, limit)
            tell(reference, answers[reference])
    return {reference: answers[reference] for reference in distinct}


def _ask_host(
    transport: Transport,
    group: list[Reference],
    limit: float,
    done: queue.SimpleQueue[tuple[Reference, Descriptor | Exception | None]],
    written: Written | None,
) -> None:
    """Start the threads that ask one host."""
    # One token for all repositories, where the service grants that; not too many, as some limit a request's length.
    optional = tuple(dict.fromkeys(repository_scope(reference.repository, "pull") for reference in group))[:_TOGETHER]
    waiting: queue.SimpleQueue[Reference] = queue.SimpleQueue()
    for reference in group:
        waiting.put(reference)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                reference = waiting.get_nowait()
                done.put(
                    (reference, _observe(Repository(transport, reference, written=written), reference, limit, optional))
                )

    # Daemons, as a name server that does not answer can hold one longer than anybody wants to wait.
    for _ in range(min(len(group), transport.settings.heads)):
        threading.Thread(target=work, daemon=True).start()


def _observe(
    repository: Repository, reference: Reference, limit: float, optional: tuple[str, ...]
) -> Descriptor | Exception | None:
    name = str(reference.digest) if reference.digest is not None else reference.tag or "latest"
    try:
        return repository.look(name, limit=limit, optional=optional)
    except Exception as error:  # noqa: BLE001  # raised by `resolve_all`, not lost with its thread
        return error


def _late(reference: Reference, limit: float) -> Observed:
    return Unreachable(f"no answer within {limit:g} s", where=reference.registry)
