"""The command `shards`: writes shards.json, what each program and image took, out of reports; SHARD divides by it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch_oci.document import LIMIT, content_of
from multiarch_oci.errors import MultiarchError
from multiarch_oci.output import Output
from multiarch_oci.plan.shards import FILE, file_of, measured, seconds_of
from multiarch_oci.quoting import counted, seconds_in_words
from scons_multiarch.installation import command
from scons_multiarch.paths import shown

if TYPE_CHECKING:
    from scons_multiarch.session import Run

_LARGEST = 64 << 20
"""Bytes of a report."""


class NoReport(MultiarchError, ValueError):
    """A word that names no report."""


def run(env: Any, reports: list[Any]) -> int:
    """`shards report.json …`: take over what these reports measured; what they did not stays as it was.

    The reports are those of builds with a cache, of any machine; later ones count. Raises MultiarchError, and writes
    nothing then.
    """
    run: Run = env["MULTIARCH_RUN"]
    run.keep_nothing()
    if not reports:
        hint = f"{command()} shards report.json, as REPORT=report.json wrote it"
        raise NoReport("names no report", where="shards", hint=hint)
    before = content_of(run.tree.root / FILE, LIMIT, where=FILE)
    known = {} if before is None else seconds_of(before, where=FILE)
    new: dict[str, float] = {}
    for report in reports:
        new |= _read(report)
    seconds = known | new
    Output.of("shards", FILE, run.tree.root).write(file_of(seconds))
    sum_of = seconds_in_words(sum(seconds.values()))
    print(f"{FILE}: {counted(len(seconds), 'step')}, {len(new)} of them by these reports; {sum_of} in all")  # noqa: T201
    return 0


def _read(report: Any) -> dict[str, float]:
    """What a report measured; a word that is no node is a file that is not there."""
    where = report if isinstance(report, str) else shown(report)
    content = None if isinstance(report, str) else content_of(Path(report.get_abspath()), _LARGEST, where=where)
    if content is None:
        raise NoReport("there is no such file", where=where)
    return measured(content, where=where)
