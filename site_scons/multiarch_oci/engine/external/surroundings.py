"""What an engine that is somebody else's program is given, and what all of them do around a build."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import msgspec
from msgspec.structs import replace

from multiarch_oci.dockerfile.instructions import Arg
from multiarch_oci.engine.external.calling import Programs
from multiarch_oci.engine.frontend.bases import OpenSource
from multiarch_oci.engine.frontend.reader import Reader, Settled

_EPOCH = "SOURCE_DATE_EPOCH"
_PLATFORMS = frozenset(
    f"{side}{part}" for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
)


class Surroundings(msgspec.Struct, frozen=True):
    """`open_source` gives the place to read a base from; `warn` is told what is suspicious and no error.

    `programs` runs command lines with the user's environment; `insecure` are the hosts that may speak plain HTTP.
    `say` is given lines for the user, `doing` what a build is at, in a few words. `elsewhere` is entered while another
    machine builds, with how many images such machines take at once; `jobs` is how many one machine takes.
    """

    open_source: OpenSource
    warn: Callable[[str], None]
    programs: Programs
    reader: Reader
    insecure: tuple[str, ...] = ()
    say: Callable[[str], object] = str
    doing: Callable[[str], object] = str
    elsewhere: Callable[[int], AbstractContextManager[object]] = nullcontext
    jobs: int = 2


def temporary_name() -> str:
    """A name for an image that lives as long as one build."""
    return f"localhost/multiarch-build:{secrets.token_hex(8)}"


def build_args(settled: Settled) -> tuple[tuple[str, str], ...]:
    """The plan's arguments, and SOURCE_DATE_EPOCH for a Dockerfile that declares it, as BuildKit has it."""
    given = settled.plan.build_args
    if _EPOCH in dict(given) or not _declares(settled, _EPOCH):
        return given
    return (*given, (_EPOCH, str(settled.plan.epoch)))


def platform_args(settled: Settled) -> tuple[tuple[str, str], ...]:
    """BuildKit's own arguments (`TARGETARCH`) that a Dockerfile declares: an older builder has to be given them."""
    given = dict(settled.plan.build_args)
    return tuple(
        (name, value)
        for name, value in settled.recipe.variables.items()
        if name in _PLATFORMS and name not in given and _declares(settled, name)
    )


def flags(settled: Settled) -> list[str]:
    """The flags that every engine's command line takes alike."""
    plan = settled.plan
    words = ["--platform", str(replace(plan.platform, os_version="", os_features=()))]
    for name, value in build_args(settled):
        words += ["--build-arg", f"{name}={value}"]
    if plan.target:
        words += ["--target", plan.target]
    if plan.network:
        words += ["--network", plan.network]
    return words


def _declares(settled: Settled, name: str) -> bool:
    return any(
        argument.name == name
        for number in settled.recipe.needed
        for command in settled.recipe.commands(number)
        if isinstance(command, Arg)
        for argument in command.arguments
    )
