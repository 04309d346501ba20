"""The flags of an instruction (`--chown=…`), as BuildKit's `bflag.go` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.dockerfile.gotext import lower


class Flags(msgspec.Struct, frozen=True):
    """The flags of one instruction, by name."""

    strings: Mapping[str, str]
    switches: Mapping[str, bool]
    lists: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """Give the value of a flag, empty if it was not given."""
        return self.strings.get(name, "")

    def on(self, name: str) -> bool:
        """Tell whether a switch was given, and not as `=false`."""
        return self.switches.get(name, False)

    def all(self, name: str) -> tuple[str, ...]:
        """Give every value of a flag that may be repeated."""
        return self.lists.get(name, ())


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Name the known word that was probably meant, as a hint."""
    import difflib  # only errors need it

    names = {lower(name): name for name in sorted(known)}
    matches = difflib.get_close_matches(lower(word), names, n=1)
    return f"did you mean {names[matches[0]]}?" if matches else None


def flags(
    given: Iterable[str], *, strings: Iterable[str] = (), switches: Iterable[str] = (), lists: Iterable[str] = ()
) -> Flags:
    """Read flags, each of a known kind. Raises InvalidDockerfile: unknown, repeated, no value, no boolean."""
    kinds = {**dict.fromkeys(strings, "s"), **dict.fromkeys(switches, "b"), **dict.fromkeys(lists, "l")}
    texts: dict[str, str] = {}
    bools: dict[str, bool] = {}
    many: dict[str, tuple[str, ...]] = {}
    for word in given:
        if word == "--":
            break
        if not word.startswith("--"):
            raise InvalidDockerfile(f"arg should start with -- : {word}")
        flag, equals, value = word.partition("=")
        name = flag[2:]
        kind = kinds.get(name)
        if kind is None:
            raise InvalidDockerfile(f"unknown flag: {flag}", hint=nearest(name, kinds))
        if name in texts or name in bools:
            raise InvalidDockerfile(f"duplicate flag specified: {flag}")
        if (not equals and kind != "b") or (equals and not value and kind == "b"):
            raise InvalidDockerfile(f"missing a value on flag: {flag}")
        if kind == "s":
            texts[name] = value
        elif kind == "l":
            many[name] = (*many.get(name, ()), value)
        elif lower(value) not in {"", "true", "false"}:
            raise InvalidDockerfile(f"expecting boolean value for flag {flag}, not: {value}")
        else:
            bools[name] = lower(value) != "false"
    return Flags(texts, bools, many)
