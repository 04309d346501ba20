"""Make `executable_heads.json`: the first 512 bytes of a Go program for every platform that Go builds without C.

`python tests/data/make_executable_heads.py`; wants `go` on PATH, takes some minutes the first time.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path

HEAD = 512
NEEDS_C = ("android", "ios")


def main() -> None:
    listed = subprocess.run(["go", "tool", "dist", "list"], check=True, capture_output=True, text=True).stdout.split()
    heads = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "go.mod").write_text("module demo\n\ngo 1.21\n", encoding="utf-8")
        (folder / "main.go").write_text('package main\n\nfunc main() { println("demo") }\n', encoding="utf-8")
        for platform in listed:
            system, _, architecture = platform.partition("/")
            if system in NEEDS_C:
                continue
            environment = {**os.environ, "GOOS": system, "GOARCH": architecture, "CGO_ENABLED": "0"}
            flags = ["-trimpath", "-ldflags=-s -w -buildid=", "-o", "demo"]
            subprocess.run(["go", "build", *flags, "."], check=True, cwd=folder, env=environment)
            heads[platform] = base64.b64encode((folder / "demo").read_bytes()[:HEAD]).decode()
    text = json.dumps(heads, indent=1, sort_keys=True) + "\n"
    Path(__file__).with_name("executable_heads.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
