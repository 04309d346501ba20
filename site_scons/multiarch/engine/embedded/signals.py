"""The signals of STOPSIGNAL (moby/sys/signal): a number, or a Linux name with or without SIG, in any case."""

from __future__ import annotations

from multiarch.dockerfile import InvalidDockerfile

_NAMES = frozenset(
    ["ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"]
) | {*(f"RTMIN+{n}" for n in range(1, 16)), *(f"RTMAX-{n}" for n in range(1, 15))}


def check(signal: str) -> None:
    """Raise InvalidDockerfile unless this is a signal."""
    if signal.isascii() and signal.isdigit():
        known = int(signal) != 0
    else:
        known = signal.upper().removeprefix("SIG") in _NAMES
    if not known:
        raise InvalidDockerfile(f"STOPSIGNAL {signal}: there is no such signal", hint="e.g. SIGTERM, SIGQUIT or 15")
