"""The signals of STOPSIGNAL (moby/sys/signal): a number, or a Linux name with or without SIG, in any case."""

from __future__ import annotations

from multiarch_oci.dockerfile.errors import InvalidDockerfile

_PLAIN = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM",
    "TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX",
)
_NAMES = frozenset(
    [*" ".join(_PLAIN).split(), *(f"RTMIN+{n}" for n in range(1, 16)), *(f"RTMAX-{n}" for n in range(1, 15))],
)


def check(signal: str) -> None:
    """Raise InvalidDockerfile unless this is a signal."""
    is_number = signal.isascii() and signal.isdigit()
    if int(signal) == 0 if is_number else signal.upper().removeprefix("SIG") not in _NAMES:
        raise InvalidDockerfile(f"STOPSIGNAL {signal}: there is no such signal", hint="e.g. SIGTERM, SIGQUIT or 15")
