"""Image configurations (OCI image spec 1.1, config.md)."""

from __future__ import annotations

import datetime as dt

import msgspec
from msgspec.structs import replace

from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.document import Document, InvalidDocument, canonical
from multiarch_oci.mediatype import CONFIG
from multiarch_oci.platform import Platform


def instant(epoch: int) -> str:
    """Seconds since 1970 as the specification's time (RFC 3339)."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(seconds=epoch)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(len("1970-01-01T00:00:00Z"))


class History(msgspec.Struct, frozen=True):
    """One line of an image's history; `empty_layer` marks those that made no layer."""

    created: str | None = None
    created_by: str | None = None
    comment: str | None = None
    author: str | None = None
    empty_layer: bool = False

    @classmethod
    def from_json(cls, document: Document) -> History:
        """Read one element of `history`."""
        return cls(
            document.text("created"),
            document.text("created_by"),
            document.text("comment"),
            document.text("author"),
            document.members.get("empty_layer") is True,
        )

    def to_json(self) -> dict[str, object]:
        """The JSON object, what is absent left out."""
        named = (
            ("created", self.created),
            ("created_by", self.created_by),
            ("author", self.author),
            ("comment", self.comment),
            ("empty_layer", self.empty_layer or None),
        )
        return {key: value for key, value in named if value is not None}


class HealthCheck(msgspec.Struct, frozen=True):
    """Docker's extension of the config: how to ask a container if it is well; times in nanoseconds, 0 = inherit."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    _KEYS = (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
        ("retries", "Retries"),
    )

    @classmethod
    def from_json(cls, document: Document) -> HealthCheck:
        """Read the `Healthcheck` object."""
        numbers = {field: document.integer(key) or 0 for field, key in cls._KEYS}
        return cls(document.texts("Test"), **numbers)

    def to_json(self) -> dict[str, object]:
        """The JSON object, zeros left out as Docker does."""
        members: dict[str, object] = {"Test": list(self.test)} if self.test else {}
        return members | {key: getattr(self, field) for field, key in self._KEYS if getattr(self, field)}


class ImageConfig(msgspec.Struct, frozen=True):
    """What a runtime needs to start a container of the image, and the diff_ids of its layers in order.

    `entrypoint`, `cmd` and `shell` tell None (not set) from () (set to nothing). `others` and `config_others` keep, as
    decoded JSON in canonical form, members that no specification names, so that a base's own extensions survive.
    """

    platform: Platform
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()
    created: str | None = None
    author: str | None = None
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    healthcheck: HealthCheck | None = None
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    others: tuple[tuple[str, object], ...] = ()
    config_others: tuple[tuple[str, object], ...] = ()

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> ImageConfig:
        """Read a config blob; InvalidDocument names `where` and the member. Docker's volatile ones are dropped."""
        document = Document.parse(content, where=where)
        inner = document.nested("config") or Document({}, where)
        rootfs = document.nested("rootfs")
        if rootfs is None:
            raise InvalidDocument("has no 'rootfs', so it is no image configuration", where=where)
        health = inner.nested("Healthcheck")
        return cls(
            platform=Platform.from_json(document.members),
            diff_ids=tuple(Digest.parse(text) for text in rootfs.texts("diff_ids")),
            history=tuple(History.from_json(item) for item in document.objects("history")),
            created=document.text("created"),
            author=document.text("author"),
            user=inner.text("User") or "",
            exposed_ports=_keys(inner, "ExposedPorts"),
            env=inner.texts("Env"),
            entrypoint=_optional(inner, "Entrypoint"),
            cmd=_optional(inner, "Cmd"),
            volumes=_keys(inner, "Volumes"),
            working_dir=inner.text("WorkingDir") or "",
            labels=inner.pairs("Labels"),
            stop_signal=inner.text("StopSignal") or "",
            shell=_optional(inner, "Shell"),
            healthcheck=None if health is None else HealthCheck.from_json(health),
            on_build=inner.texts("OnBuild"),
            args_escaped=inner.members.get("ArgsEscaped") is True,
            others=_rest(document, _OUTER | _VOLATILE),
            config_others=_rest(inner, _INNER | _VOLATILE_INNER),
        )

    def to_json(self) -> bytes:
        """The config blob: canonical, so that equal configs have equal digests."""
        members: dict[str, object] = {}
        if self.created is not None:
            members["created"] = self.created
        if self.author is not None:
            members["author"] = self.author
        members |= self.platform.to_json()
        members["config"] = self._inner()
        members["rootfs"] = {"type": "layers", "diff_ids": [str(digest) for digest in self.diff_ids]}
        if self.history:
            members["history"] = [line.to_json() for line in self.history]
        return canonical(members | dict(self.others))

    def _inner(self) -> dict[str, object]:
        named: tuple[tuple[str, object], ...] = (
            ("User", self.user or None),
            ("ExposedPorts", {port: {} for port in sorted(self.exposed_ports)} or None),
            ("Env", list(self.env) or None),
            ("Entrypoint", None if self.entrypoint is None else list(self.entrypoint)),
            ("Cmd", None if self.cmd is None else list(self.cmd)),
            ("Healthcheck", None if self.healthcheck is None else self.healthcheck.to_json()),
            ("Volumes", {path: {} for path in sorted(self.volumes)} or None),
            ("WorkingDir", self.working_dir or None),
            ("Labels", dict(sorted(self.labels)) or None),
            ("StopSignal", self.stop_signal or None),
            ("Shell", None if self.shell is None else list(self.shell)),
            ("OnBuild", list(self.on_build) or None),
            ("ArgsEscaped", self.args_escaped or None),
        )
        return {key: value for key, value in named if value is not None} | dict(self.config_others)

    def descriptor(self) -> Descriptor:
        """The descriptor of `to_json()`."""
        return Descriptor.of(CONFIG, self.to_json())

    def variable(self, name: str) -> str | None:
        """The value of one environment variable; None when it is not set."""
        for line in self.env:
            key, _, value = line.partition("=")
            if key == name:
                return value
        return None

    def with_variable(self, name: str, value: str) -> ImageConfig:
        """The same config with one variable set, in its old place when it was there."""
        lines = [line for line in self.env if line.partition("=")[0] == name]
        new = f"{name}={value}"
        env = tuple(new if line in lines else line for line in self.env) if lines else (*self.env, new)
        return replace(self, env=env)


_OUTER = frozenset(
    ["created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history"],
)
# Docker's legacy members: the id of a parent, the host a build ran on. They change though the image does not.
_VOLATILE = frozenset(["container", "container_config", "docker_version", "id", "parent", "moby.buildkit.buildinfo.v1"])
_INNER = frozenset(
    [
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Healthcheck",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "Shell",
        "OnBuild",
        "ArgsEscaped",
    ],
)
_VOLATILE_INNER = frozenset(
    [
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Image",
        "MacAddress",
    ],
)


def _keys(document: Document, name: str) -> tuple[str, ...]:
    nested = document.nested(name)
    return () if nested is None else tuple(sorted(nested.members))


def _optional(document: Document, name: str) -> tuple[str, ...] | None:
    return None if document.members.get(name) is None else document.texts(name)


def _rest(document: Document, known: frozenset[str]) -> tuple[tuple[str, object], ...]:
    return tuple((key, value) for key, value in document.members.items() if key not in known and value is not None)
