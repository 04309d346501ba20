"""REPORT: what a run built and pushed, and what it found unchanged; where it and PLAN are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node

from multiarch_oci.digest import Digest
from multiarch_oci.document import canonical
from multiarch_oci.errors import MultiarchError
from scons_multiarch.graph import is_done
from scons_multiarch.step import message_of
from scons_multiarch.targets import (
    AttestTarget,
    ImageTarget,
    IndexTarget,
    LoadTarget,
    PinTarget,
    PushTarget,
    SbomTarget,
    target_of,
)
from scons_multiarch.tracking.state import state_of

if TYPE_CHECKING:
    from multiarch_oci.output import Output
    from multiarch_oci.report import record as records
    from multiarch_oci.report.comparing import Comparison
    from scons_multiarch.recorder import StepRecord
    from scons_multiarch.session import Run

HTML, MARKDOWN, TRACE, JSON = "html", "markdown", "trace", "json"
_COPIES = r"\s*(?:COPY|ADD|ONBUILD)\s"


def format_of(output: Output, environment: Mapping[str, str]) -> str:
    """How a report is written there, by the name: HTML, MARKDOWN, TRACE, else JSON.

    The file that GitHub's steps are summed up in has no ending.
    """
    name = output.path.name.lower()
    if name.endswith((".html", ".htm")):
        return HTML
    if name.endswith((".md", ".markdown")) or output.text == environment.get("GITHUB_STEP_SUMMARY"):
        return MARKDOWN
    return TRACE if name.endswith(("trace.json", ".trace")) else JSON


def write(run: Run, outputs: Iterable[Output]) -> None:
    """Write the reports of this run; what cannot be written is said for each, and the others are written."""
    contents = _Contents(run)
    for output in outputs:
        try:
            output.write(contents.of(format_of(output, run.settings.environment)))
        except (MultiarchError, OSError) as error:  # SCons has ended already, with the status of the build
            words = message_of(error)
        except KeyboardInterrupt:
            words = "interrupted"
        else:
            continue
        with suppress(OSError):
            sys.stderr.write(f"scons: REPORT was not written: {words}\n")
            sys.stderr.flush()
    contents.keep()


class _Contents:
    """The bytes of the reports of one run; what several need is made once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._last = run.tree.private / "last-run.json"

    def of(self, kind: str) -> bytes:
        """One report."""
        if kind == JSON:
            return to_json(self._run)
        if kind == TRACE:
            from multiarch_oci.quoting import json_in_log
            from multiarch_oci.report.trace import trace

            return json_in_log(canonical(trace(self._record)) + b"\n")
        if kind == MARKDOWN:
            from multiarch_oci.report.summary import summary

            return summary(self._record, self._comparison)
        from multiarch_oci.report.page import page

        return page(self._record, self._comparison)

    @cached_property
    def _record(self) -> records.Run:
        from scons_multiarch.run_record import gathered

        return gathered(self._run)

    @cached_property
    def _comparison(self) -> Comparison | None:
        from multiarch_oci.report.comparing import compare
        from multiarch_oci.report.record import last_run
        from scons_multiarch.run_record import listings

        before = last_run(self._last)
        return None if before is None else compare(before, self._record, listings(self._run).kept)

    def keep(self) -> None:
        """Keep the record for the next run, where one was made; what cannot be kept is not compared with."""
        if "_record" not in self.__dict__ or not self._record.nodes:
            return
        from multiarch_oci.report.record import kept
        from multiarch_oci.store.atomic import replacing
        from scons_multiarch.run_record import listings

        with suppress(OSError):
            with replacing(self._last) as file:
                file.write(kept(self._record))
            listings(self._run).forget_others({layer.digest for layer in self._record.layers})


def to_json(run: Run) -> bytes:
    """`steps` that ran, `unchanged`: what was asked for and was up to date, `not_moved`: tags of no pre-release."""
    from multiarch_oci.output import document
    from scons_multiarch.recorder import CACHED, MADE, REPAIRED

    all_targets = run.declarations.targets
    ours = [step for step in run.build.recorder().steps if state_of(step.target) is not None]
    last = {step.target: step for step in ours}  # a cache may have been asked before in vain
    performed = [step for step in last.values() if step.outcome in (CACHED, MADE, REPAIRED)]
    performed.sort(key=lambda step: step.ended or 0.0)
    cached = run.settings.cache is not None
    steps = [{"step": step.verb} | _line(step.target) | (_spared(step) if cached else {}) for step in performed]
    same = [_line(target) for target in all_targets if target.get_state() == SCons.Node.up_to_date]
    members: dict[str, object] = {"steps": steps, "unchanged": same} | _shard(run)
    not_moved = [line for target in all_targets if is_done(target) for line in _not_moved(target)]
    return document("report 1", members | ({"not_moved": not_moved} if not_moved else {}))


def _spared(step: StepRecord) -> dict[str, object]:
    """What became of a step in a build with a shared cache, and the bytes that were neither sent nor fetched for it.

    Of one that was performed the seconds, too, which `shards` reads.
    """
    outcome = {"outcome": step.outcome, "not_sent": step.not_sent, "not_fetched": step.spared}
    if step.outcome == "cached" or step.ended is None:
        return outcome
    return outcome | {"seconds": round(step.ended - step.began, 3)}


def _shard(run: Run) -> dict[str, object]:
    """Which machine this was, of how many, its images, and whether it went on to the `whole`; {} without SHARD."""
    part = run.declarations.part
    return {} if part is None else {"shard": part.to_json()}


def _not_moved(target: Any) -> list[dict[str, str]]:
    from scons_multiarch.receipts import not_moved, spelled

    tags, because = not_moved(target)
    return [{"reference": spelled(str(tag), [target]), "because": because} for tag in tags]


def _line(target: Any) -> dict[str, Any]:
    line = {"subject": str(target.attributes.state.subject), "target": Path(str(target)).as_posix()}
    digest = target.attributes.state.digest or _digest(target)
    return line | ({"digest": str(digest)} if digest else {}) | _attached(target)


def _attached(target: Any) -> dict[str, Any]:
    """What was attached to an image or index, each by digest, with its type and what it says."""
    if not isinstance(target_of(target), AttestTarget):
        return {}
    from scons_multiarch.attestations import receipt_of

    receipt = receipt_of(target)
    referrers = () if receipt is None else receipt.referrers
    return {"attestations": [referrer.to_json() for referrer in referrers]}


def _digest(target: Any) -> str | None:
    """What a target of an earlier run is, by tarball, index or receipt; None for programs and archives."""
    path, record = Path(target.get_abspath()), target_of(target)
    try:
        if isinstance(record, ImageTarget):
            from multiarch_oci.store.archive import read_image

            return str(read_image(path).descriptor.digest)
        if isinstance(record, AttestTarget):
            from scons_multiarch.attestations import receipt_of

            attested = receipt_of(target)
            return None if attested is None else str(attested.subject.digest)
        if isinstance(record, (PushTarget, PinTarget, LoadTarget)):
            from scons_multiarch.receipts import receipt_at

            receipt = receipt_at(path)
            return None if receipt is None else str(receipt.descriptor.digest)
        return str(Digest.of(path.read_bytes())) if isinstance(record, (IndexTarget, SbomTarget)) else None
    except (OSError, MultiarchError):
        return None


def outputs_of(run: Run, name: str, text: str) -> tuple[Output, ...]:
    """Where REPORT (several, by commas) or PLAN wants something written. Raises Refused before anything is built."""
    from multiarch_oci.output import Output, Refused

    texts = [part.strip() for part in text.split(",")] if name == "REPORT" else [text]
    outputs: list[Output] = []
    others = [other for which, group in run.settings.outputs.items() if which != name for other in group]
    for part in filter(None, texts):
        output = Output.of(name, part, run.tree.root)
        for other in (*others, *outputs):
            if output.is_same(other) or (output.is_stdout and other.is_stdout and other.name == name):
                twice = "is named twice" if other.name == name else f"is the file of {other.name}, too"
                raise Refused(f"{part} {twice}", where=name, hint="name another file")
        _check(run, output)
        outputs.append(output)
    return tuple(outputs)


def _check(run: Run, output: Output) -> None:
    from multiarch_oci.output import Refused

    if output.is_stdout and sys.__stdout__ is None:  # its number may be that of another file by now
        raise Refused(f"{output.text} is not open for writing", where=output.name, hint="name a file")
    output.check(_tracked)
    folder = output.path.parent
    # A plan is short, and makes its folder.
    if output.name in ("REPORT", "OUTPUT") and output.descriptor is None and not folder.is_dir():
        raise Refused(f"there is no folder {folder}", where=output.name, hint="make it first")
    if output.below is not None:  # an image that copied it would be new with each run
        run.declarations.hide(output.below)


def check_sources(env: Any, outputs: dict[str, tuple[Output, ...]], targets: Iterable[Any]) -> None:
    """End the run, and write nothing, where a declared source or target of this build would be written over.

    Called when the SConstruct has declared everything, and before the build asks for any other file.
    """
    from multiarch_oci.output import Refused
    from scons_multiarch.step import fail

    plans = [record.plan for record in map(target_of, targets) if isinstance(record, ImageTarget)]
    for output in [output for group in outputs.values() for output in group]:
        below = output.below
        if below is not None:
            why = "is a file of this build" if _declared(env.Dir("#"), below) else _copied(below, plans)
            if why is None and _is_empty(output.path):
                why = _taken(output.path, plans, env["MULTIARCH_RUN"])
            if why is not None:
                outputs.clear()
                fail(Refused(f"{output.text} {why}", where=output.name, hint="name another file"))


def _tracked(path: Path) -> str | None:
    """Whether git knows this file, where there is one."""
    if not path.is_file():
        return None
    from multiarch_oci.git import OF_ANOTHER

    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "ls-files", "--error-unmatch", "--"]
    try:
        environment = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER}
        ended = subprocess.run(
            [*command, path.name], cwd=path.parent, env=environment, capture_output=True, check=False
        )
    except OSError:
        return None
    return "is tracked by git, and is not replaced" if ended.returncode == 0 else None


def _declared(folder: Any, path: str) -> bool:
    """Whether the SConstruct named this file: a node of it is there, and nothing is looked up that would make one."""
    *above, name = path.split("/")
    for part in above:
        folder = getattr(folder, "entries", {}).get(part)
    return getattr(folder, "entries", {}).get(name) is not None


def _copied(path: str, plans: Iterable[Any]) -> str | None:
    """Why not, where a Dockerfile copies the file by its name."""
    word = re.compile(rf"(?<![^\s\"'\[,/])(?:\./)*{re.escape(path)}(?![^\s\"'\],])")
    for plan in plans:
        try:
            text = plan.read().decode("utf-8", "replace").replace("\\\n", " ")
        except OSError:
            continue
        if any(re.match(_COPIES, line, re.IGNORECASE) and word.search(line) for line in text.splitlines()):
            return f"is copied by {plan.name}"
    return None


def _is_empty(path: Path) -> bool:
    """Whether there is a file with nothing in it, which may be a source."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _taken(path: Path, plans: Iterable[Any], run: Any) -> str | None:
    """Why not, where a Dockerfile copies a folder, or a pattern, that this file is in."""
    from scons_multiarch.engines import reader

    real = Path(os.path.abspath(path))  # noqa: PTH100  # links are no matter here
    for plan in plans:
        try:
            inputs = reader(run).inputs(plan)
        except MultiarchError:  # that image's own step says it
            continue
        for named in inputs.named:
            if any(file.origin is not None and real.is_relative_to(file.origin) for file in named.context.files or ()):
                return f"is copied by {plan.name}"
        for folder, part in [(plan.context, inputs), *((named.folder, named.inputs) for named in inputs.named)]:
            if folder and real.is_relative_to(folder) and part.reaches(real.relative_to(folder).as_posix()):
                return f"is copied by {plan.name}"
    return None
