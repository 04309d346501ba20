"""What this run did, as the record that reports are made of: gathered from the targets when it ends. Not a Tool."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node
import SCons.Script
from msgspec.structs import replace

from multiarch_oci.contents.listing import Listings, made_by
from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from multiarch_oci.report import record as records
from multiarch_oci.report.record import Layer, Node, Request
from scons_multiarch.graph import children_of, is_done, made_below, requested, steps_before
from scons_multiarch.naming import clean, groups, key_of, kind_of, platform_shown, reference_of, title_of
from scons_multiarch.receipts import not_moved, receipt_at, spelled
from scons_multiarch.recorder import Pause, StepRecord
from scons_multiarch.targets import IndexTarget, LoadTarget, PinTarget, PushTarget, is_remote, target_of
from scons_multiarch.tracking.state import state_of

if TYPE_CHECKING:
    from multiarch_oci.image import Image
    from multiarch_oci.store.http.recording import RequestRecord
    from scons_multiarch.session import Run

MOST_FILES = 40
"""Files of one layer that a report names."""
_PUBLIC = r"(?:base |label |module |context |go|engine|platform|reference|package|tags|compressor|stage|missing)"
"""How the names of facts begin whose values anybody may see; of others (arguments, flags, variables) none is told."""
_VALUE = re.compile(rf"^(?!{_PUBLIC})([^':]+): '.*", re.DOTALL)
_VALUES = re.compile(rf"(^|, |; )(?!{_PUBLIC})([^',;:]+): '.*", re.DOTALL)


def gathered(run: Run) -> records.Run:
    """The record of this run as it stands."""
    return _Gathering(run).record()


def listings(run: Run) -> Listings:
    """What is known of the layers of this tree."""
    return Listings(run.tree.private / "layers")


class _Gathering:
    """What is read once for all targets of a record."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._recorder = run.build.recorder()
        self._steps = {step.target: step for step in self._recorder.steps}
        self._nodes = dict.fromkeys(made_below(requested()))
        self._groups = groups(run)
        self._layers: dict[str, Layer] = {}

    def record(self) -> records.Run:
        """All of it."""
        nodes = tuple(self._node(node) for node in self._nodes)
        failed = any(node.outcome in (records.FAILED, records.INTERRUPTED, records.NOT_REACHED) for node in nodes)
        return records.Run(
            began=round(self._recorder.wall, 3),
            seconds=round(time.monotonic() - self._recorder.began, 4),
            words=tuple(clean(str(word)) for word in (*SCons.Script.COMMAND_LINE_TARGETS, *self._shard())),
            nodes=nodes,
            layers=tuple(self._layers.values()),
            requests=tuple(self._requests()),
            failed=failed,
            not_moved=tuple(self._not_moved()),
        )

    def _shard(self) -> list[str]:
        shard = self._run.settings.shard
        return [] if shard is None else [f"SHARD={shard}"]

    def _node(self, node: Any) -> Node:
        record, state, step = target_of(node), state_of(node), self._steps.get(node)
        kind = kind_of(node)
        platform = platform_shown(node, kind)
        group = self._groups.get(node, "")
        made = Node(
            key=key_of(node),
            kind=kind,
            title=clean(title_of(node, kind, group, str(platform or ""))),
            outcome=_outcome(node, step),
            group=clean(group),
            platform=str(platform or ""),
            reference=clean(reference_of(node)),
            sources=tuple(key_of(source) for source in steps_before(node) if source in self._nodes),
        )
        if state is not None:
            last = self._run.tree.records.last_reason(str(node)) or ""
            sentences = tuple(map(_without_value, state.sentences)) if step is not None else ()
            made = replace(made, reasons=sentences, last_reason=_without_values(last))
        if step is not None:
            made = self._with_step(made, step)
        return self._with_contents(made, node, record)

    def _with_step(self, made: Node, step: StepRecord) -> Node:
        ended = step.ended if step.ended is not None else time.monotonic()
        took = None if step.outcome == records.CACHED else round(ended - step.began, 4)
        return replace(
            made,
            verb=step.verb,
            thread=step.thread,
            began=round(step.began - self._recorder.began, 4),
            seconds=took,
            sent=step.sent,
            received=step.received,
            not_sent=step.not_sent,
            not_fetched=step.spared,
            requests=len(step.requests),
            error=clean(step.error or "", lines=True),
        )

    def _with_contents(self, made: Node, node: Any, record: Any) -> Node:
        """With digest and size, and the layers of an image, where they can be read."""
        path = Path(node.get_abspath())
        try:
            if made.kind == "image":
                return self._with_layers(made, path)
            if isinstance(record, (PushTarget, PinTarget, LoadTarget)):
                receipt = receipt_at(path)
                return made if receipt is None else replace(made, digest=str(receipt.descriptor.digest))
            size = path.stat().st_size if path.is_file() else None
            if isinstance(record, IndexTarget):
                return replace(made, digest=str(Digest.of(path.read_bytes())), size=size)
            digest = "" if size is None else f"sha256:{self._run.tree.stat.digest(str(path))}"
            return replace(made, digest=digest, size=size)
        except (MultiarchError, OSError):
            return made

    def _with_layers(self, made: Node, path: Path) -> Node:
        from multiarch_oci.store.archive import Archive

        archive = Archive(path)
        image = archive.image()
        for number, line in enumerate(made_by(image.config)):
            digest = str(image.layers[number].digest)
            if digest not in self._layers or self._layers[digest].unpacked is None:
                self._layers[digest] = self._layer(image, number, line, archive)
        return replace(
            made,
            digest=str(image.descriptor.digest),
            size=image.size,
            base="" if image.base is None else clean(str(image.base)),
            layers=tuple(str(layer.digest) for layer in image.layers),
        )

    def _layer(self, image: Image, number: int, line: str, archive: Any) -> Layer:
        descriptor = image.layers[number]
        from_base = image.is_of_base(descriptor)
        layer = Layer(str(descriptor.digest), descriptor.size, clean(line), from_base)
        if from_base:
            return layer
        with suppress(MultiarchError, OSError):
            listing = listings(self._run).of(descriptor.bare(), archive, str(archive.path))
            files = tuple(
                replace(file, path=clean(file.path), target=clean(file.target)) for file in listing.largest(MOST_FILES)
            )
            return replace(layer, unpacked=listing.size, count=len(listing.files) + listing.more, files=files)
        return layer

    def _requests(self) -> Iterator[Request]:
        for step in self._recorder.steps:
            yield from self._made_for(key_of(step.target), step.requests, step.pauses, step.thread)
        yield from self._made_for("", self._recorder.requests, self._recorder.pauses, "")

    def _made_for(
        self, node: str, requests: Iterable[RequestRecord], pauses: Iterable[Pause], thread: str
    ) -> Iterator[Request]:
        start, now = self._recorder.began, time.monotonic()
        for request in list(requests):
            yield Request(
                method=request.method,
                host=clean(request.host),
                path=clean(request.path),
                thread=request.thread,
                began=round(request.began - start, 4),
                seconds=round((request.ended or now) - request.began, 4),
                node=node,
                status=request.status,
                sent=request.sent,
                received=request.received,
                error=request.error or "",
            )
        for pause in list(pauses):
            began = round(pause.began - start, 4)
            yield Request("wait", "", "", thread, began, round(pause.seconds, 4), node, error=clean(pause.error))

    def _not_moved(self) -> Iterator[tuple[str, str]]:
        for node in self._nodes:
            if is_remote(node) and is_done(node):
                tags, because = not_moved(node)
                yield from ((clean(spelled(str(tag), [node])), because) for tag in tags)


def _outcome(node: Any, step: StepRecord | None) -> str:
    if step is not None:
        return step.outcome if step.outcome in records.OUTCOMES else records.INTERRUPTED
    state = node.get_state()
    if state == SCons.Node.executed:
        return records.CACHED if getattr(node, "cached", 0) else records.MADE
    if state == SCons.Node.up_to_date:
        return records.CURRENT
    # SCons calls failed what is to be made of something that failed, too.
    itself = state == SCons.Node.failed and state_of(node) is None
    below = any(child.get_state() == SCons.Node.failed for child in children_of(node))
    return records.FAILED if itself and not below else records.NOT_REACHED


def _without_value(sentence: str) -> str:
    """A reason without the values of build arguments and of variables of the environment."""
    return clean(_VALUE.sub(r"\1 changed", sentence))


def _without_values(line: str) -> str:
    """A line of several reasons without such values: cut where the first of them begins."""
    return clean(_VALUES.sub(r"\1\2 changed …", line))
