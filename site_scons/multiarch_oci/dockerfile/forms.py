"""What stands behind a keyword: flags (`bflag.go` of BuildKit), words, `name=value`, JSON (its `line_parsers.go`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.gotext import SPACE, WHITESPACE, byte_is_space, decode, encode, lower, quoted, runes


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


_QUOTES = "'\""


def split_command(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """Split a logical line into keyword, flags and the rest."""
    keyword, *rest = WHITESPACE.split(line.strip(SPACE), maxsplit=1)
    if not rest:
        return keyword, (), ""
    flags, arguments = _flags(encode(rest[0]), ord(escape))
    return keyword, flags, decode(arguments).strip(SPACE)


def _flags(line: bytes, escape: int) -> tuple[tuple[str, ...], bytes]:
    """Take the leading words that begin with `--`, resolving quotes and escapes; a lone `--` ends them.

    BuildKit reads bytes here and writes them as runes: what is not ASCII in a flag comes out as Latin-1. So here.
    """
    flags: list[str] = []
    position = 0
    while True:
        while position < len(line) and byte_is_space(line[position]):
            position += 1
        if line[position : position + 2] != b"--":
            return tuple(flags), line[position:]
        word, position, meant = _flag(line, position, escape)
        if word == "--":
            return tuple(flags), line[position:]
        if meant:
            flags.append(word)


def _flag(line: bytes, position: int, escape: int) -> tuple[str, int, bool]:
    """Read one flag: its text, where it ends, and whether it is one (it is empty and not quoted otherwise)."""
    word, quote, was_quoted = "", -1, False
    while position < len(line):
        byte = line[position]
        if quote < 0 and byte_is_space(byte):
            break
        position += 1
        if byte == quote:
            quote = -1
        elif quote < 0 and byte in b"'\"":
            quote, was_quoted = byte, True
        elif byte == escape:
            if position == len(line):  # an escape at the end is dropped
                break
            word += chr(line[position])
            position += 1
        else:
            word += chr(byte)
    return word, position, was_quoted or bool(word)


def words(rest: str, escape: str) -> tuple[str, ...]:
    """Split at blanks that are neither quoted nor escaped; quotes and escapes stay in the words."""
    split: list[str] = []
    word, quote = "", ""
    text = iter(runes(rest))
    for rune in text:
        if not quote and rune in SPACE:
            if word:
                split.append(word)
            word = ""
            continue
        if rune == escape and quote != "'":
            following = next(text, "")
            word += rune + following if following else ""  # an escape at the end is dropped
            continue
        if quote:
            quote = "" if rune == quote else quote
        elif rune in _QUOTES:
            quote = rune
        word += rune
    if word:
        split.append(word)
    return tuple(split)


def name_values(rest: str, keyword: str, escape: str) -> tuple[str, ...]:
    """ENV and LABEL: name, value and delimiter of each pair in one flat list; the old form has an empty delimiter."""
    pairs = words(rest, escape)
    if not pairs:
        return ()
    if "=" not in pairs[0]:
        parts = WHITESPACE.split(rest, maxsplit=1)
        if len(parts) < 2:  # noqa: PLR2004 - name and value
            raise InvalidDockerfile(f"{keyword} must have two arguments")
        return (*parts, "")
    return tuple(_triples(pairs))


def _triples(pairs: tuple[str, ...]) -> Iterator[str]:
    for word in pairs:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidDockerfile(
                f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value",
                hint="quote the value, or escape its blanks",
            )
        yield from (name, value, "=")


def listed(rest: str) -> tuple[str, ...]:
    """Split at blanks, whatever the quotes."""
    return tuple(WHITESPACE.split(rest)) if rest else ()


def whole(rest: str) -> tuple[str, ...]:
    """Take everything as one argument."""
    return (rest,) if rest else ()


def health(rest: str) -> tuple[tuple[str, ...], bool]:
    """HEALTHCHECK: the type, then a command; and whether the command is in JSON form."""
    line = encode(rest)
    end = next((at for at, byte in enumerate(line) if byte_is_space(byte)), len(line))
    if not end:
        return (), False
    start = next((at for at in range(end, len(line)) if not byte_is_space(line[at])), len(line))
    command = decode(line[start:])
    array = json_array(command)
    return (decode(line[:end]), *(whole(command) if array is None else array)), array is not None


def json_array(rest: str) -> tuple[str, ...] | None:
    """Read a JSON array of strings; None if it is no JSON array. Raises InvalidDockerfile if it holds others."""
    text = rest.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        array = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_finite)
    except RecursionError:
        array = [None]  # deeper than any array of strings
    except ValueError:
        return None
    if not all(isinstance(item, str) for item in array):
        raise InvalidDockerfile("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(map(runes, array))


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which JSON does not know."""
    raise ValueError(constant)


def _finite(number: str) -> float:
    """Refuse a number that Go's float64 cannot hold: to Go it is no JSON array then."""
    value = float(number)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(number)
    return value
