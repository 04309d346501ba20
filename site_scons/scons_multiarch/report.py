"""REPORT: what a run built and pushed, and what it found unchanged; where it and PLAN are written."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node

from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError
from scons_multiarch.targets import ImageTarget, IndexTarget, LoadTarget, PinTarget, PushTarget, target_of

if TYPE_CHECKING:
    from multiarch_oci.output import Output

_COPIES = r"\s*(?:COPY|ADD|ONBUILD)\s"


class Report:
    """The steps of a run, in the order in which they ended."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Any]] = []

    def add(self, verb: str, target: Any) -> None:
        """Note a step that was performed; any thread may."""
        self._steps.append((verb, target))

    def to_json(self, declared: Iterable[Any]) -> bytes:
        """`steps` that ran, `unchanged`: what was asked for and was up to date, `not_moved`: tags of no pre-release."""
        from multiarch_oci.output import document

        all_targets = list(declared)
        steps = [{"step": verb} | _line(target) for verb, target in self._steps]
        same = [_line(target) for target in all_targets if target.get_state() == SCons.Node.up_to_date]
        done = (SCons.Node.up_to_date, SCons.Node.executed)
        members: dict[str, object] = {"steps": steps, "unchanged": same}
        not_moved = [line for target in all_targets if target.get_state() in done for line in _not_moved(target)]
        return document("report 1", members | ({"not_moved": not_moved} if not_moved else {}))


def _not_moved(target: Any) -> list[dict[str, str]]:
    from scons_multiarch.receipts import not_moved, spelled

    tags, because = not_moved(target)
    return [{"reference": spelled(str(tag), [target]), "because": because} for tag in tags]


def _line(target: Any) -> dict[str, str]:
    line = {"subject": str(target.attributes.state.subject), "target": Path(str(target)).as_posix()}
    digest = target.attributes.state.digest or _digest(target)
    return line | ({"digest": str(digest)} if digest else {})


def _digest(target: Any) -> str | None:
    """What a target of an earlier run is, by tarball, index or receipt; None for programs and archives."""
    path, record = Path(target.get_abspath()), target_of(target)
    try:
        if isinstance(record, ImageTarget):
            from multiarch_oci.store.archive import read_image

            return str(read_image(path).descriptor.digest)
        if isinstance(record, (PushTarget, PinTarget, LoadTarget)):
            from multiarch_oci.receipt import Receipt

            return str(Receipt.from_json(path.read_bytes(), where=str(path)).descriptor.digest)
        return str(Digest.of(path.read_bytes())) if isinstance(record, IndexTarget) else None
    except (OSError, MultiarchError):
        return None


def output_of(run: Any, name: str, text: str) -> Output:
    """Where REPORT or PLAN wants something written. Raises Refused before anything is built."""
    from multiarch_oci.output import Output, Refused

    output = Output.of(name, text, run.tree.root)
    for other in run.settings.outputs.values():
        if output.is_same(other) and other.name != name:
            raise Refused(f"{text} is the file of {other.name}, too", where=name, hint="name another file")
    output.check(_tracked)
    folder = output.path.parent
    if name == "REPORT" and output.descriptor is None and not folder.is_dir():  # a plan is short, and makes its folder
        raise Refused(f"there is no folder {folder}", where=name, hint="make it first")
    if output.below is not None:  # an image that copied it would be new with each run
        run.declarations.hide(output.below)
    return output


def check_sources(env: Any, outputs: dict[str, Output], targets: Iterable[Any]) -> None:
    """End the run, and write nothing, where a declared source or target of this build would be written over.

    Called when the SConstruct has declared everything, and before the build asks for any other file.
    """
    from multiarch_oci.output import Refused
    from scons_multiarch.step import fail

    plans = [record.plan for record in map(target_of, targets) if isinstance(record, ImageTarget)]
    for output in outputs.values():
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
