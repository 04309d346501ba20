"""BuildKit's own libraries, asked: a Go program that answers one question a line (tests/oracle/dockerfile)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "oracle" / "dockerfile"


class Oracle:
    """The Go program, one question a line."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, op: str, **question: object) -> dict:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"op": op, **question}).encode() + b"\n")
        self.process.stdin.flush()
        return _read(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def sent(text: bytes | str) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return data.decode("latin-1")


def _read(value: object) -> object:
    if isinstance(value, str):
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return tuple(map(_read, value))
    return {key: _read(each) for key, each in value.items()} if isinstance(value, dict) else value
