"""The values of `RUN --mount` and `RUN --device`: one line of CSV each, as BuildKit reads it."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.forms import nearest
from multiarch_oci.dockerfile.gotext import boolean, lower, quoted, size, unsigned

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_TYPES = frozenset({"bind", "cache", "tmpfs", "secret", "ssh"})
_WITH_MODE = frozenset({"secret", "ssh", "cache"})
_SHARING = frozenset({"shared", "private", "locked"})
_TEXTS = {
    "from": "from_",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "id": "id",
    "env": "env",
}
_NUMBERS = {"mode": 8, "uid": 10, "gid": 10}
_SWITCHES = {"readonly": True, "ro": True, "readwrite": False, "rw": False}
_KEYS = frozenset({"type", "sharing", "size", "required", *_TEXTS, *_NUMBERS, *_SWITCHES})


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One `--mount`. A bind mount with an empty `from_` reads the build context at `source`; `size` is in bytes."""

    type: str = "bind"
    from_: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def parse_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """Read the value of one `--mount`, its values expanded by `expand`. Raises InvalidDockerfile."""
    draft = _Draft()
    for entry in fields(text):
        key, equals, value = entry.partition("=")
        draft.set(lower(key), expand(value) if equals else None, entry)
    return draft.finished()


def origin(text: str) -> str:
    """What stands in `from` of one `--mount`, which holds no variable; "" without one. Raises InvalidDockerfile.

    The rest is not read: `type=$NAME` says what it is only when the stage's variables are known.
    """
    source = ""
    for entry in fields(text):
        key, _, value = entry.partition("=")
        source = value if lower(key) == "from" else source
    return source


def check_mount(text: str) -> None:
    """Refuse what BuildKit refuses before it knows any variable. Raises InvalidDockerfile."""
    for entry in fields(text):
        key, _, value = entry.partition("=")
        if lower(key) == "from" and "$" in value and value.index("$") != len(value) - 1:
            raise InvalidDockerfile(
                "'from' doesn't support variable expansion, define alias stage instead",
                hint="write FROM image:$NAME AS name above, and from=name here",
            )


def check_device(text: str) -> None:
    """Refuse a `--device` that BuildKit refuses. Raises InvalidDockerfile."""
    name = ""
    for entry in fields(text):
        key, equals, value = entry.partition("=")
        key = lower(key)
        if key == "required":
            if equals and boolean(value) is None:
                raise InvalidDockerfile(f"invalid value for required: {value}")
        elif key == "name" and equals:
            if name:
                raise InvalidDockerfile(f"device name already set to {name}")
            name = value
        elif name:
            raise InvalidDockerfile(
                f"unexpected key '{key}' in '{entry}'"
                if equals
                else f"invalid field '{entry}' must be a key=value pair"
            )
        else:
            name = entry


def fields(line: str) -> list[str]:
    """Split one line of CSV. Raises InvalidDockerfile."""
    values: list[str] = []
    rest = line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line
    if not rest:
        raise InvalidDockerfile("an empty value where a list of key=value is wanted")
    while True:
        match = _QUOTED.match(rest)
        if match:
            values.append(match[1].replace('""', '"'))
            rest = rest[match.end() :]
        else:
            plain = rest.partition(",")[0]
            if '"' in plain:
                raise InvalidDockerfile(f"stray quote in {quoted(line)}")
            values.append(plain)
            rest = rest[len(plain) :]
        if not rest:
            return values
        if not rest.startswith(","):
            raise InvalidDockerfile(f"stray quote in {quoted(line)}")
        rest = rest[1:]


class _Draft(msgspec.Struct):
    """A mount while its keys are read: what a key means depends on the `type` before it."""

    type: str = "bind"
    readonly: bool | None = None
    required: bool = False
    size: int = 0
    sharing: str = ""
    texts: dict[str, str] = msgspec.field(default_factory=dict)
    numbers: dict[str, int] = msgspec.field(default_factory=dict)

    def set(self, key: str, value: str | None, entry: str) -> None:
        if value is None:
            if key not in _SWITCHES and key != "required":
                raise InvalidDockerfile(f"invalid field '{entry}' must be a key=value pair")
            value = "true"
        if key not in _KEYS:
            raise InvalidDockerfile(f"unexpected key '{key}' in '{entry}'", hint=nearest(key, _KEYS))
        if key in _TEXTS:
            self.texts[_TEXTS[key]] = value
        elif key in _NUMBERS:
            number = unsigned(value, _NUMBERS[key])
            if number is None:
                raise InvalidDockerfile(f"invalid value {value} for {key}")
            self.numbers[key] = number
        elif key in _SWITCHES:
            self.readonly = self.switch(key, value) is _SWITCHES[key]
        else:
            self.set_typed(key, value)

    def set_typed(self, key: str, value: str) -> None:
        if key == "type":
            if lower(value) not in _TYPES:
                raise InvalidDockerfile(f"unsupported mount type {quoted(value)}", hint=nearest(value, _TYPES))
            self.type = lower(value)
        elif key == "sharing":
            if lower(value) not in _SHARING:
                raise InvalidDockerfile(f"unsupported sharing value {quoted(value)}", hint=nearest(value, _SHARING))
            self.sharing = lower(value)
        elif self.type not in ({"secret", "ssh"} if key == "required" else {"tmpfs"}):
            raise InvalidDockerfile(f"unexpected key '{key}' for mount type '{self.type}'")
        elif key == "required":
            self.required = self.switch(key, value)
        else:
            number = size(value)
            if number is None:
                raise InvalidDockerfile(f"invalid value for size: {value}")
            self.size = number

    def switch(self, key: str, value: str) -> bool:
        on = boolean(value)
        if on is None:
            raise InvalidDockerfile(f"invalid value for {key}: {value}")
        return on

    def finished(self) -> Mount:
        self.check()
        return Mount(
            type=self.type,
            from_=self.texts.get("from_", ""),
            source=self.texts.get("source", ""),
            target=self.texts.get("target", ""),
            id=self.texts.get("id", ""),
            env=self.texts.get("env"),
            readonly=self.type not in {"cache", "tmpfs"} if self.readonly is None else self.readonly,
            size=self.size,
            sharing=self.sharing,
            required=self.required,
            mode=self.numbers.get("mode"),
            uid=self.numbers.get("uid"),
            gid=self.numbers.get("gid"),
        )

    def check(self) -> None:
        if self.type not in _WITH_MODE:
            for key in self.numbers:
                raise InvalidDockerfile(f"{key} not allowed for {quoted(self.type)} type mounts")
        if self.type == "secret":
            if self.texts.get("from_"):
                raise InvalidDockerfile("secret mount should not have a from")
            if not any(self.texts.get(key) for key in ("source", "target", "id")):
                raise InvalidDockerfile("invalid secret mount. one of source, target required")
            if self.texts.get("source") and self.texts.get("id"):
                raise InvalidDockerfile("both source and id can't be set")
        if self.sharing and self.type != "cache":
            raise InvalidDockerfile(f"invalid cache sharing set for {self.type} mount")
