"""The engine itself: the protocol's two methods, and the questions of a build system beside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from multiarch_oci.config import instant
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.engine import BuildPlan
from multiarch_oci.engine.embedded.assembling import assemble
from multiarch_oci.engine.embedded.building import Builder, unsupported
from multiarch_oci.engine.export.programs import check_programs, entrypoint_line
from multiarch_oci.engine.frontend import ContextInputs
from multiarch_oci.engine.frontend.bases import OpenSource
from multiarch_oci.engine.frontend.inputs import taken
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.frontend.tree import Tree
from multiarch_oci.errors import MultiarchError


def refusal(plan: BuildPlan, reader: Reader) -> str | None:
    """Why the embedded engine cannot build a plan; None = it can, or the Dockerfile is wrong."""
    try:
        needed = reader.recipe(plan)
        for _, command in taken(needed, plan):
            reason = unsupported(command, needed.where(command.line))
            if reason is not None:
                return f"{reason.where}: {reason.what}"
    except MultiarchError:
        pass
    return None


class EmbeddedEngine:
    """Builds images of Dockerfiles without RUN; implements Engine.

    `open_source` gives the place to read a base from, by its reference with digest. `warn` is told, in one line, what
    is suspicious and no error, `doing` what a build is at, by the thread that calls it. `reader` keeps what was parsed:
    hold one for a run. Any number of threads.
    """

    name = "embedded"

    def __init__(
        self,
        open_source: OpenSource,
        warn: Callable[[str], None],
        *,
        reader: Reader | None = None,
        doing: Callable[[str], object] = str,
    ) -> None:
        self._open_source = open_source
        self._doing = doing
        self._warn = warn
        self._reader = reader or Reader()

    def refusal(self, plan: BuildPlan) -> str | None:
        """As Engine says. A Dockerfile that is wrong is not refused: `build` says what is wrong with it."""
        return refusal(plan, self._reader)

    def inputs(self, plan: BuildPlan) -> ContextInputs:
        """What of the context the Dockerfile takes, and the bases that its target needs; `plan.bases` may be empty.

        Asks no network and reads no file of the context. Raises MultiarchError for a Dockerfile or .dockerignore that
        is absent or wrong; a missing source is none.
        """
        return self._reader.inputs(plan)

    def build(self, plan: BuildPlan, output: Path) -> Descriptor:
        """As Engine says; beside it BlobMissing and what a registry raises for a base."""
        settled = self._reader.settled(plan, self._open_source)
        plan = settled.plan
        stage = Builder(settled, partial(self._reader.context, plan), self._warn).target()
        labels = tuple((dict(stage.config.labels) | dict(plan.labels)).items())
        stage.config = replace(stage.config, platform=settled.platform(), created=instant(plan.epoch), labels=labels)
        declared_at = entrypoint_line(settled.recipe, stage.config)
        own = stage.own()

        def whole() -> Tree:
            if stage.config.platform.os != "windows":
                return stage.whole()
            from multiarch_oci.engine.export.whole import whole_windows  # seldom asked for

            return whole_windows(own, (), settled.base, self._warn)

        check_programs(
            own,
            stage.config,
            plan.foreign,
            self._warn,
            whole=whole,
            declared_at=declared_at,
            alone=stage.base is None,
        )
        return assemble(stage, output, epoch=plan.epoch, doing=self._doing)
