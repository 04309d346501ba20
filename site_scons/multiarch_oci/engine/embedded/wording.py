"""How BuildKit writes instructions into an image's history: Go's `%q`, `%v` and durations."""

from __future__ import annotations

from collections.abc import Iterable

from multiarch_oci.config import HealthCheck

COMMENT = "buildkit.dockerfile.v0"
"""The comment of every history line: what tools know a Dockerfile's history by."""
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {"\\": "\\\\", '"': '\\"'}
_UNITS = ((3_600_000_000_000, "h"), (60_000_000_000, "m"))
_SECOND = 1_000_000_000


def quoted(words: Iterable[str]) -> str:
    """`%q` of a list of strings."""
    return "[" + " ".join(f'"{"".join(map(_character, word))}"' for word in words) + "]"


def listed(words: Iterable[str]) -> str:
    """`%v` of a list of strings."""
    return "[" + " ".join(words) + "]"


def healthcheck(check: HealthCheck) -> str:
    """`%+v` of Docker's HealthcheckConfig."""
    return (
        f"{{Test:{listed(check.test)} Interval:{duration(check.interval)} Timeout:{duration(check.timeout)} "
        f"StartPeriod:{duration(check.start_period)} StartInterval:{duration(check.start_interval)} "
        f"Retries:{check.retries}}}"
    )


def duration(nanoseconds: int) -> str:
    """A Go `time.Duration` as text."""
    if 0 < nanoseconds < _SECOND:
        for size, unit in ((1_000_000, "ms"), (1_000, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return _decimal(nanoseconds, size) + unit
    text = ""
    for size, unit in _UNITS:
        if nanoseconds >= size or text:
            text += f"{nanoseconds // size}{unit}"
            nanoseconds %= size
    return f"{text}{_decimal(nanoseconds, _SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8 (surrogateescape)
        return f"\\x{ord(character) & 0xFF:02x}"
    if character.isascii():
        return f"\\x{ord(character):02x}"
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
