"""Make `buildkit_images.json`: what BuildKit makes of every Dockerfile in tests/dockerfile_cases.py.

`python tests/data/make_buildkit_images.py ADDRESS`, ADDRESS that of a buildkitd (`unix:///run/buildkit/buildkitd.sock`),
`buildctl` on PATH. Recorded with BuildKit v0.34.2.
"""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "site_scons")]

from dockerfile_cases import EVERY, make_base, make_context  # noqa: E402  # found by the line above
from multiarch_oci.manifest import Manifest  # noqa: E402  # as above
from multiarch_oci.store import copy  # noqa: E402  # as above
from multiarch_oci.store.archive import Archive  # noqa: E402  # as above
from multiarch_oci.store.layout import Layout  # noqa: E402  # as above
from unpacked import merged, of_tar  # noqa: E402  # as above
from workshop import Workshop  # noqa: E402  # as above


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = Workshop(make_context(_made(folder / "context")))
        base = make_base(shop)
        root = shop.store.resolve(str(base.digest))
        assert root is not None
        copy(shop.store, Layout(folder / "base"), root, tags=("latest",))
        found = {case: _built(folder, text, str(base.digest)) for case, text in EVERY.items()}
    HERE.joinpath("buildkit_images.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _built(folder: Path, text: str, digest: str) -> dict[str, Any]:
    """Build by BuildKit; return the files by path and the config without digests."""
    (folder / "context" / "Dockerfile.test").write_text(text, encoding="utf-8")
    out = folder / "out.tar"
    command = ["buildctl", "--addr", sys.argv[1], "build", "--frontend", "dockerfile.v0"]
    command += ["--local", f"context={folder / 'context'}", "--local", f"dockerfile={folder / 'context'}"]
    command += [
        "--opt",
        "filename=Dockerfile.test",
        "--opt",
        "platform=linux/amd64",
        "--opt",
        "build-arg:SOURCE_DATE_EPOCH=0",
    ]
    command += ["--oci-layout", f"base={folder / 'base'}", "--opt", f"context:base=oci-layout://base@{digest}"]
    ran = subprocess.run([*command, "--output", f"type=oci,dest={out}"], capture_output=True, text=True, check=False)
    if ran.returncode:
        return {"error": ran.stderr.strip().splitlines()[-1]}
    archive = Archive(out)
    manifest = Manifest.from_json(archive.open(archive.roots[0]).read(), where=str(out))
    config = json.loads(archive.open(manifest.config).read())
    layers = merged(of_tar(io.BytesIO(archive.open(layer).read())) for layer in manifest.layers)
    config["layers"] = len(config.pop("rootfs")["diff_ids"] or ())
    return {"files": {path: dataclasses.astuple(layers[path]) for path in sorted(layers)}, "config": config}


if __name__ == "__main__":
    main()
