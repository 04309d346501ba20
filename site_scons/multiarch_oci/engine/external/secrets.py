"""The secrets and SSH agents that RUN may use: where they are, never what they hold.

As the docker command line writes them: `id=token,src=file`, `id=token,env=TOKEN`, `id=TOKEN`; `default`, `name=path`.
Engines fail late or silently where one is missing (an empty secret, a RUN without an agent), so it is looked at first.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from multiarch_oci.engine import BuildPlan
from multiarch_oci.errors import MultiarchError

_KEYS = ("id", "src", "source", "env", "type")
_AGENT = "SSH_AUTH_SOCK"
_START = "start one and give it a key: eval $(ssh-agent); ssh-add"


class MissingSecret(MultiarchError):
    """A secret or an agent that RUN is to use is not there, or not named as the docker command line wants it."""


class Secret(msgspec.Struct, frozen=True):
    """One secret: a file, or a variable of the environment."""

    name: str
    file: Path | None
    variable: str

    def flag(self, *, typed: bool) -> str:
        """The value of `--secret`; Buildah wants the type said."""
        fields = [f"id={self.name}"]
        fields += [f"type={'file' if self.file is not None else 'env'}"] if typed else []
        fields.append(f"src={self.file}" if self.file is not None else f"env={self.variable}")
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(fields)
        return line.getvalue()


def secret_flags(plan: BuildPlan, environment: Mapping[str, str], *, where: str, typed: bool = False) -> list[str]:
    """The flags `--secret` and `--ssh` of a command line; MissingSecret for what is not there. Reads no content.

    `typed`: with the type of each secret, as Buildah wants it. `where` names the Dockerfile in errors.
    """
    flags = []
    for text in plan.secrets:
        secret = _secret(text, plan, environment, where)
        if secret.file is None and secret.variable not in environment:
            raise MissingSecret(f"secret '{secret.name}': the variable {secret.variable} is not set", where=where)
        if secret.file is not None and not secret.file.is_file():
            raise MissingSecret(f"secret '{secret.name}': there is no file {secret.file}", where=where)
        flags += ["--secret", secret.flag(typed=typed)]
    for text in plan.ssh:
        flags += ["--ssh", _ssh(text, plan, environment, where)]
    return flags


def secret_files(plan: BuildPlan, environment: Mapping[str, str]) -> Iterator[Path]:
    """The files that secrets are read from, there or not; a text that says no secret is the build's to refuse."""
    for text in plan.secrets:
        with suppress(MissingSecret):
            file = _secret(text, plan, environment, "").file
            if file is not None:
                yield file


def _secret(text: str, plan: BuildPlan, environment: Mapping[str, str], where: str) -> Secret:
    given = dict(_fields(text, where))
    name = given.get("id", "")
    source, variable = given.get("src") or given.get("source") or "", given.get("env", "")
    if given.get("type") == "env":
        source, variable = "", variable or source or name
    if not name or given.get("type", "file") not in ("file", "env"):
        raise _wrong(text, where)
    if not source and not variable:  # as BuildKit has it: the variable of that name, else the file
        source, variable = ("", name) if name in environment and given.get("type") != "file" else (name, "")
    return Secret(name, plan.context / source if source else None, variable)


def _fields(text: str, where: str) -> Iterator[tuple[str, str]]:
    for field in next(csv.reader([text]), []):
        key, equals, value = field.partition("=")
        if not equals or key.lower() not in _KEYS:
            raise _wrong(text, where)
        yield key.lower(), value


def _wrong(text: str, where: str) -> MissingSecret:
    hint = "write id=token,src=file or id=token,env=NAME"
    return MissingSecret(f"'{text}' says no secret", where=where, hint=hint)


def _ssh(text: str, plan: BuildPlan, environment: Mapping[str, str], where: str) -> str:
    name, equals, paths = text.partition("=")
    if not equals:
        address = environment.get(_AGENT)
        if address:
            paths = address
        elif os.name == "nt":
            return text  # there the agent has a pipe of a fixed name
        else:
            raise MissingSecret(f"ssh '{name}' needs an agent, but {_AGENT} is not set", where=where, hint=_START)
    for path in paths.split(","):
        if os.name != "nt" and not (plan.context / path).exists():
            hint = "it names the socket of an agent, or a private key" if equals else _START
            raise MissingSecret(f"ssh '{name}': there is no {path}", where=where, hint=hint)
    return text if not equals else f"{name}={','.join(str(plan.context / path) for path in paths.split(','))}"
