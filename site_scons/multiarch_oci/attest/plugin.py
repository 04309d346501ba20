"""Signing by a program of the user's (SIGN=plugin:<program>): for keys in a KMS or HSM, and for what else signs.

It is started without a shell and without arguments. On standard input it has one JSON object:
`{"version": 1, "subject": "sha256:…", "payloadType": "…", "payload": "<base64>"}`; on standard output it leaves a
sigstore bundle v0.3 with a DSSE envelope of that payload, and ends with status 0. What it says on standard error is
not read. Its bundle is believed no more than a stranger's.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from multiarch_oci.attest.dsse import InvalidEnvelope
from multiarch_oci.attest.verifying import NotVerified, Verifier, subject_of
from multiarch_oci.document import canonical
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.mediatype import IN_TOTO

LONGEST = 1 << 20
"""Bytes of the largest bundle that a plugin may give."""

TIME_S = 60.0
"""Seconds that a plugin has."""

_TURN_S = 0.1


class PluginFailed(MultiarchError):
    """A plugin that could not be started, did not end well, or gave what is no signature of what it was given."""


class PluginSigner:
    """Signer by a program; what it gives is verified before anybody else sees it."""

    def __init__(self, program: str, root: Path, environment: Mapping[str, str], verifier: Verifier) -> None:
        """`program` is a path from `root`, or a name in PATH; `environment` is the plugin's, passwords and all."""
        self._program = program
        self._root = root
        self._environment = environment
        self._verifier = verifier

    def verifier(self) -> Verifier:
        """As Signer says."""
        return self._verifier

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """As Signer says; raises PluginFailed, which names the program."""
        where = f"SIGN=plugin:{quoted(self._program)[1:-1]}"
        subject = subject_of(payload)
        request = {
            "version": 1,
            "subject": str(subject),
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
        }
        bundle = _answer(self._command(where), canonical(request), self._root, self._environment, where)
        try:
            verified = self._verifier.verify(bundle, subject=subject, where="its bundle")
        except (NotVerified, InvalidEnvelope) as error:
            hint = f"it has to sign as {self._verifier.identity} says"
            raise PluginFailed(f"{error.where}: {error.what}", where=where, hint=hint) from None
        if verified.payload != payload or payload_type != IN_TOTO:
            raise PluginFailed("signed something else than it was given", where=where, hint="nothing was written")
        return bundle

    def _command(self, where: str) -> str:
        """The path of the program: a name alone is looked for in PATH, then in the tree."""
        named = None
        if os.sep not in self._program and "/" not in self._program:
            named = shutil.which(self._program, path=self._environment.get("PATH", os.defpath))
        path = named or shutil.which(str(self._root / self._program))
        if path is None:
            hint = "a program in PATH, or the path of one from the SConstruct's folder; it gets no arguments"
            raise PluginFailed("there is no such program", where=where, hint=hint)
        return path


def _answer(program: str, request: bytes, folder: Path, environment: Mapping[str, str], where: str) -> bytes:
    """What a program says to a request; raises PluginFailed when that is too much, too late, or not well ended."""
    try:
        process = subprocess.Popen(
            [program],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        raise PluginFailed(f"could not be started: {error.strerror}", where=where) from None
    answer = bytearray()
    talk = threading.Thread(target=_talk, args=(process, request, answer), daemon=True, name="plugin")
    talk.start()
    deadline = time.monotonic() + TIME_S
    try:
        # In turns: an exception that another thread raises in this one, as for Ctrl-C, gets in between.
        while talk.is_alive() and time.monotonic() < deadline:
            talk.join(_TURN_S)
        while len(answer) <= LONGEST and process.poll() is None and time.monotonic() < deadline:
            time.sleep(_TURN_S / 10)
    finally:
        status = process.poll()
        _end(process)
    if len(answer) > LONGEST:
        raise PluginFailed(f"gave more than {LONGEST} bytes", where=where, hint="a bundle in JSON, and nothing else")
    if status is None:
        raise PluginFailed(f"did not end within {TIME_S:.0f} s, and was ended", where=where)
    if status:
        raise PluginFailed(f"ended with status {status}", where=where, hint="see what it said above")
    return bytes(answer)


def _talk(process: subprocess.Popen[bytes], request: bytes, answer: bytearray) -> None:
    """Hand a program its request while its answer is read: it may begin to answer before it has read all."""
    writing = threading.Thread(target=_hand, args=(process, request), daemon=True, name="plugin's request")
    writing.start()
    with suppress(OSError, ValueError):  # it was ended
        while process.stdout is not None and len(answer) <= LONGEST:
            block = os.read(process.stdout.fileno(), 1 << 16)
            if not block:
                break
            answer += block


def _hand(process: subprocess.Popen[bytes], request: bytes) -> None:
    with suppress(OSError, ValueError):  # it need not read it
        if process.stdin is not None:
            process.stdin.write(request)
            process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program, and what it started, where it has not ended."""
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TURN_S * 50)
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):
            if stream is not None:
                stream.close()
