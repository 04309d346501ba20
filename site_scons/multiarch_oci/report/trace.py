"""A run as a Chrome trace, which Perfetto and chrome://tracing open (Trace Event Format, JSON object form).

Steps stand in the rows of the threads that performed them, requests in rows of their registry, as many as there were at
a time; the bytes on their way are counters. Times are in microseconds from the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from multiarch_oci.output import FORMAT
from multiarch_oci.quoting import visible
from multiarch_oci.report.record import Node, Request, Run

_MICRO = 1_000_000
_STEPS, _REQUESTS = 1, 2
"""The process ids that stand for steps and for requests."""
_SLICES = 200
"""Into how many parts of equal length a run is cut for its counters."""


def trace(run: Run) -> dict[str, object]:
    """The trace, to be written as JSON; text of others has its control characters shown."""
    events = [_named("process_name", _STEPS, 0, "steps"), _named("process_name", _REQUESTS, 0, "registries")]
    events += _steps(run)
    events += _requests(run.requests)
    events += _counters(run)
    other = {"began": run.began, "seconds": run.seconds, "words": list(map(visible, run.words))}
    return {FORMAT: "multiarch trace 1", "displayTimeUnit": "ms", "otherData": other, "traceEvents": events}


def lanes(spans: Iterable[tuple[float, float]]) -> list[int]:
    """For each span (begin, length; by begin) the first row in which it overlaps none before it."""
    ends: list[float] = []
    rows = []
    for began, seconds in spans:
        row = next((number for number, end in enumerate(ends) if end <= began), len(ends))
        ends[row : row + 1] = [began + seconds]
        rows.append(row)
    return rows


def thread_rows(nodes: Iterable[Node]) -> dict[str, int]:
    """The threads that performed steps, numbered by when they began their first one."""
    ran = sorted((node for node in nodes if node.ran), key=lambda node: node.began or 0.0)
    return {thread: number for number, thread in enumerate(dict.fromkeys(node.thread for node in ran), start=1)}


def _steps(run: Run) -> Iterator[dict[str, object]]:
    rows = thread_rows(run.nodes)
    for row in rows.values():
        yield _named("thread_name", _STEPS, row, f"worker {row}")
    for node in run.nodes:
        if not node.ran:
            continue
        arguments: dict[str, object] = {
            "target": visible(node.key),
            "reasons": list(map(visible, node.reasons)),
            "outcome": node.outcome,
            "digest": node.digest,
            "size": node.size,
            "sent": node.sent,
            "received": node.received,
            "requests": node.requests,
            "error": visible(node.error, lines=True),
        }
        name = f"{node.verb} {visible(node.title)}".strip()
        yield _complete(name, "step", (_STEPS, rows[node.thread]), (node.began or 0.0, node.seconds or 0.0), arguments)


def _requests(requests: Iterable[Request]) -> Iterator[dict[str, object]]:
    """The requests of each registry in as many rows as it had at a time."""
    by_host: dict[str, list[Request]] = {}
    for request in requests:
        by_host.setdefault(request.host, []).append(request)
    first = 1
    for host, group in by_host.items():
        group.sort(key=lambda request: request.began)
        rows = lanes([(request.began, request.seconds) for request in group])
        for row in sorted(set(rows)):
            yield _named("thread_name", _REQUESTS, first + row, f"{visible(host) or 'waiting'} {row + 1}")
        for request, row in zip(group, rows, strict=True):
            arguments: dict[str, object] = {
                "target": visible(request.node),
                "status": request.status,
                "sent": request.sent,
                "received": request.received,
                "error": visible(request.error),
            }
            name = f"{request.method} {visible(request.path)}"
            kind = "request" if request.host else "wait"
            yield _complete(name, kind, (_REQUESTS, first + row), (request.began, request.seconds), arguments)
        first += max(rows) + 1


def _counters(run: Run) -> Iterator[dict[str, object]]:
    """Bytes a second to and from registries, each request's spread evenly over its time."""
    width = run.seconds / _SLICES
    if width <= 0 or not any(request.sent or request.received for request in run.requests):
        return
    sent, received = [0.0] * _SLICES, [0.0] * _SLICES
    for request in run.requests:
        first = min(_SLICES - 1, max(0, int(request.began / width)))
        last = min(_SLICES - 1, max(first, int((request.began + request.seconds) / width)))
        for number in range(first, last + 1):
            sent[number] += request.sent / (last - first + 1) / width
            received[number] += request.received / (last - first + 1) / width
    for number in range(_SLICES):
        rates = {"sent": round(sent[number]), "received": round(received[number])}
        moment = round(number * width * _MICRO)
        yield {"name": "bytes a second", "ph": "C", "pid": _REQUESTS, "tid": 0, "ts": moment, "args": rates}


def _named(what: str, process: int, thread: int, name: str) -> dict[str, object]:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def _complete(
    name: str, category: str, row: tuple[int, int], span: tuple[float, float], arguments: dict[str, object]
) -> dict[str, object]:
    """An event in a row (process, thread) with a beginning and a length; arguments that say nothing are left out."""
    known = {key: value for key, value in arguments.items() if value not in (None, "", 0, [])}
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "pid": row[0],
        "tid": row[1],
        "ts": round(span[0] * _MICRO),
        "dur": max(1, round(span[1] * _MICRO)),
        "args": known,
    }
