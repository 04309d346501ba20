"""Programs of others: found in the PATH that is given, run to their end, the end of their output kept for the error."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from multiarch_oci.errors import MultiarchError

_LAST = 20
_FOREIGN = "exec format error"
_ANSWER_S = 20
_TURN_S = 0.2
_POLL_S = 0.02
_GRACE_S = 0.7
_PLUGINS = ("lib", "libexec")
_SOCKETS = ("/var/run/docker.sock", "//./pipe/docker_engine")


class EngineFailed(MultiarchError):
    """An engine that was asked to build, and did not."""


def hint_of(lines: Iterable[str]) -> str | None:
    """What to do about words that the kernel has for a program of another machine."""
    if not any(_FOREIGN in line.lower() for line in lines):
        return None
    return (
        "the engine's machine does not start programs of this platform: install qemu-user-static and binfmt-support "
        "there (or: docker run --privileged --rm tonistiigi/binfmt --install all)"
    )


class Programs:
    """Runs programs with `environment`, and only that; `tell` hears every line that they print."""

    def __init__(self, environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self.environment = dict(environment)
        self.tell = tell

    def find(self, name: str) -> str | None:
        """The full path of a program; None when it is not there."""
        return shutil.which(name, path=self.environment.get("PATH", ""))

    def ask(
        self, command: Sequence[str], more: Mapping[str, str] | None = None, *, seconds: float = _ANSWER_S
    ) -> tuple[bool, str]:
        """Whether a short question succeeded, and what was printed, in one line; a silent program is a no."""
        printed: list[str] = []
        try:
            process = self._started(command, more)
        except OSError as error:
            return False, " ".join(str(error).split())
        try:
            printed.extend(_lines(process, seconds))
            status = _status(process)
        except subprocess.TimeoutExpired as error:
            _end(process)
            return False, " ".join(str(error).split())
        except BaseException:
            _end(process)
            raise
        return status == 0, " ".join("".join(printed).split())

    def run(self, command: Sequence[str], *, where: str, doing: str, more: Mapping[str, str] | None = None) -> None:
        """Run to the end; EngineFailed with the last lines that were printed."""
        last: deque[str] = deque(maxlen=_LAST)
        try:
            process = self._started(command, more)
        except OSError as error:
            raise EngineFailed(f"{command[0]} cannot be started: {error.strerror}", where=where) from None
        try:
            for line in _lines(process):
                text = line.rstrip()
                if text:
                    last.append(text)
                    self.tell(text)
            status = _status(process)
        except BaseException:
            _end(process)
            raise
        if status:
            output = "".join(f"\n  | {line}" for line in last)
            what = f"{doing} failed (status {status}){output}"
            raise EngineFailed(what, where=where, hint=hint_of(last))

    def _started(self, command: Sequence[str], more: Mapping[str, str] | None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment | dict(more or {}),
            text=True,
            encoding="utf-8",
            errors="replace",
        )


def _lines(process: subprocess.Popen[str], seconds: float | None = None) -> Iterator[str]:
    """What a process prints, in turns: an exception that another thread raises in this one gets in between.

    Raises TimeoutExpired where a process still prints, or says nothing, after so many seconds.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with process.stdout or nullcontext(()) as printed:  # closed here: who closes it waits for who reads it
            for line in printed:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        if deadline is not None and time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(process.args, seconds or 0)
        try:
            line = lines.get(timeout=_TURN_S)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line


def _status(process: subprocess.Popen[str]) -> int:
    """The status of a process that prints nothing more, waited for in turns, too."""
    while process.poll() is None:
        time.sleep(_POLL_S)
    return process.returncode


def _end(process: subprocess.Popen[str]) -> None:
    """End a process: by a request, and soon without. Whom it started may still hold its output: nobody waits for it."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        _kill(process)
    except BaseException:
        _kill(process)
        raise


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TURN_S)


def absent(name: str, environment: Mapping[str, str], endpoint: str = "") -> str | None:
    """Why the engine of this name is not there, in the words of its refusal; None = it seems to be.

    A look at files: nothing is started, and nobody is asked. `auto` asks the engines themselves when it builds, and may
    then find that one is there, but does not work.
    """

    def find(*programs: str) -> bool:
        return any(shutil.which(program, path=environment.get("PATH", "")) for program in programs)

    if name == "buildx":
        if find("buildx", "docker-buildx") or (find("docker") and _has_plugin(environment)):
            return None
        return "docker has no buildx plugin" if find("docker") else "there is no docker in PATH"
    if name == "podman":
        return None if find("podman", "buildah") else "there is neither podman nor buildah in PATH"
    if name == "docker":
        address = endpoint or environment.get("DOCKER_HOST") or environment.get("DOCKER_CONTEXT") or find("docker")
        return None if address or any(map(os.path.exists, _SOCKETS)) else "there is no Docker engine"
    return None


def _has_plugin(environment: Mapping[str, str]) -> bool:
    """Whether the docker command line finds buildx (docker/cli, cli-plugins/manager)."""
    home = environment.get("HOME") or environment.get("USERPROFILE") or ""
    folders = [Path(environment.get("DOCKER_CONFIG") or Path(home, ".docker"))]
    folders += [Path(top, library, "docker") for top in ("/usr/local", "/usr") for library in _PLUGINS]
    folders += [Path(folder, "Docker") for name in ("ProgramData", "ProgramFiles") if (folder := environment.get(name))]
    names = ("docker-buildx", "docker-buildx.exe")
    return any((folder / "cli-plugins" / name).exists() for folder in folders for name in names)
