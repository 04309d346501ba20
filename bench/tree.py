"""The repository that all tools build, and what is changed in it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from servers import OPENER

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("amd64", "arm64")
INDEX = "application/vnd.oci.image.index.v1+json"

SCONSTRUCT = """\
\"\"\"Programs of one Go module, an image of each for two platforms.\"\"\"

DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index",
           "oci_targets"],
    GOLDFLAGS="-X main.version=$VERSION",
    DEFAULTS={{"IMAGE": "{first}"}},
)
programs, images, pushes, indexes, published = [], [], [], [], []
for name in {names}:
    built, pushed = [], []
    for platform in env["PLATFORMS"]:
        program = env.GoBinary(f"_output/bin/{{platform.directory}}/{{name}}", f"./cmd/{{name}}", platform=platform)
        dockerfile = f"cmd/{{name}}/Dockerfile.{{platform.architecture}}"
        image = f"_output/images/{{name}}-{{platform.slug}}.tar"
        built += env.Image(image, program, dockerfile=dockerfile, platform=platform)
        pushed += env.Push(built[-1], f"$REGISTRY/{{name}}:$VERSION-{{platform.tag_suffix}}")
        programs += program
    index = env.Index(f"_output/manifest/{{name}}-${{{{VERSION}}}}.json", built, platforms=env["PLATFORMS"])
    published += env.Push(index, f"$REGISTRY/{{name}}:$VERSION", children=pushed)
    images, pushes, indexes = images + built, pushes + pushed, indexes + index
env.Targets(bin=programs, images=images, push=pushes, manifest=indexes, push_manifest=published)
"""
SOURCE = """\
package main

import (
	"fmt"
	"net/http"
	"os"
)

var version = "unknown"

const change = 0

func main() {
	fmt.Println(version, change, place, http.MethodGet, os.Args)
	if len(os.Args) > 1 {
		_ = http.ListenAndServe(os.Args[1], nil)
	}
}
"""
BAKE = """\
variable "VERSION" {{}}
group "default" {{ targets = {targets} }}
"""
BAKE_TARGET = """\
target "{name}" {{
  context = "."
  dockerfile = "cmd/{name}/Dockerfile"
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["{registry}/{name}:${{VERSION}}"]
}}
"""


@dataclass
class Tree:
    """One tool's own copy; every change is a new one, so that no cache knows it."""

    path: Path
    names: tuple[str, ...]
    changes: int = 0

    def _edit(self, path: str, edit: Callable[[str], str]) -> None:
        file = self.path / path
        text = file.read_text(encoding="utf-8")
        changed = edit(text)
        if changed == text:
            raise RuntimeError(f"{file} did not change")
        file.write_text(changed, encoding="utf-8")

    def nothing(self) -> None:
        """Change nothing."""

    def source(self) -> None:
        """Change Go code of the first program, for all platforms."""
        self.changes += 1
        lines = f"const change = {self.changes}"
        self._edit(f"cmd/{self.names[0]}/main.go", lambda text: replaced(text, "const change", lines))

    def comment(self) -> None:
        """Add a comment at the end of the first program: its code stays."""
        self.changes += 1
        self._edit(f"cmd/{self.names[0]}/main.go", lambda text: f"{text}\n// {self.changes}\n")

    def one_architecture(self) -> None:
        """Change Go code that only arm64 has."""
        self.changes += 1
        line = f'const place = "arm64 {self.changes}"'
        name = f"cmd/{self.names[0]}/place_linux_arm64.go"
        self._edit(name, lambda text: replaced(text, "const place", line))

    def label(self) -> None:
        """Change a label of arm64's image; of both where a tool has one Dockerfile."""
        self.changes += 1
        for suffix in (".arm64", ""):
            name = f"cmd/{self.names[0]}/Dockerfile{suffix}"
            self._edit(name, lambda text: replaced(text, "LABEL", f"LABEL change={self.changes}"))

    def version(self) -> None:
        """Bump VERSION, which is stamped into the programs."""
        self.changes += 1
        (self.path / "VERSION").write_text(f"v1.{self.changes}\n", encoding="utf-8")

    def clean(self) -> None:
        """Remove every output; Go's cache stays."""
        shutil.rmtree(self.path / "_output", ignore_errors=True)

    def pristine(self) -> None:
        """Remove every output and everything that this build remembers of it."""
        self.clean()
        shutil.rmtree(self.path / ".multiarch", ignore_errors=True)


def replaced(text: str, start: str, line: str) -> str:
    """The text with the one line that starts so replaced."""
    return "\n".join(line if old.startswith(start) else old for old in text.split("\n"))


def plant(path: Path, names: tuple[str, ...], registry: str, base: str) -> Tree:
    """Write the repository into a new folder, with what each tool wants."""
    path.mkdir(parents=True)
    shutil.copytree(ROOT / "site_scons", path / "site_scons", ignore=shutil.ignore_patterns("__pycache__"))
    files = {
        "SConstruct": SCONSTRUCT.format(names=list(names), first=names[0]),
        "VERSION": "v1.0\n",
        "go.mod": "module example.com/bench\n\ngo 1.21\n",
        ".dockerignore": "*\n!_output/bin\n",
        ".ko.yaml": 'defaultLdflags: ["-s", "-w", "-X", "main.version={{.Env.VERSION}}"]\n',
        "docker-bake.hcl": BAKE.format(targets=json.dumps(names))
        + "".join(BAKE_TARGET.format(name=name, registry=registry) for name in names),
    }
    for name in names:
        folder = f"cmd/{name}"
        files[f"{folder}/main.go"] = SOURCE
        files[f"{folder}/place_linux_arm64.go"] = 'package main\n\nconst place = "arm64"\n'
        files[f"{folder}/place.go"] = '//go:build !arm64\n\npackage main\n\nconst place = "elsewhere"\n'
        recipe = f'FROM {base}\nLABEL change=0\nCOPY _output/bin/{{}}/linux/{name} /{name}\nENTRYPOINT ["/{name}"]\n'
        files[f"{folder}/Dockerfile"] = recipe.format("${TARGETARCH}").replace("LABEL", "ARG TARGETARCH\nLABEL")
        for architecture in ARCHITECTURES:
            files[f"{folder}/Dockerfile.{architecture}"] = recipe.format(architecture)
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Tree(path, names)


def push_base(host: str, tag: str, size: int) -> str:
    """Put a base of one layer of noise into the registry, an image of it for each platform; return its reference.

    The layer is never whole in memory: what this process held would count as the memory of the programs it starts.
    """
    children = []
    for number, architecture in enumerate(ARCHITECTURES):
        with tempfile.TemporaryFile() as layer:
            noise = _Noise(random.Random(size + number), size)  # noqa: S311  # the same every time
            with tarfile.open(fileobj=layer, mode="w") as archive:
                entry = tarfile.TarInfo("base/noise")
                entry.size = size
                archive.addfile(entry, noise)  # type: ignore[arg-type]  # enough of a file
            children.append(push_image(host, layer, architecture))
    put(host, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
    return f"{host}/base:{tag}"


def push_image(host: str, layer: BinaryIO, architecture: str, name: str = "") -> dict[str, object]:
    """Put an image of one layer, a tar, beside the bases; by its digest without a name. What an index says of it."""
    described = _uploaded(host, "application/vnd.oci.image.layer.v1.tar", layer)
    config = {
        "architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/usr/local/go/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [described["digest"]]},
        "history": [{"created_by": "bench"}],
    }  # fmt: skip
    own = _uploaded(host, "application/vnd.oci.image.config.v1+json", io.BytesIO(json.dumps(config).encode()))
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": own, "layers": [described]}
    child = put(host, name or digest_of(json.dumps(manifest).encode()), manifest)
    return child | {"platform": {"architecture": architecture, "os": "linux"}}


@dataclass
class _Noise:
    """So many random bytes, to be read once."""

    source: random.Random
    left: int

    def read(self, size: int) -> bytes:
        """The next bytes."""
        size = min(size, self.left)
        self.left -= size
        return self.source.randbytes(size)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _uploaded(host: str, kind: str, blob: BinaryIO) -> dict[str, object]:
    """Upload a blob, block by block; return its descriptor."""
    running, size = hashlib.sha256(), blob.seek(0, os.SEEK_END)
    blob.seek(0)
    while block := blob.read(1 << 20):
        running.update(block)
    blob.seek(0)
    digest = f"sha256:{running.hexdigest()}"
    start = urllib.request.Request(f"http://{host}/v2/base/blobs/uploads/", method="POST", data=b"")
    with OPENER.open(start) as answer:
        place = str(answer.headers["Location"])
    place = place if place.startswith("http") else f"http://{host}{place}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    request = urllib.request.Request(f"{place}&digest={digest}", method="PUT", data=blob, headers=headers)  # noqa: S310  # loopback
    with OPENER.open(request):
        return descriptor(kind, digest, size)


def put(host: str, name: str, document: dict[str, object]) -> dict[str, object]:
    content = json.dumps(document).encode()
    kind = str(document["mediaType"])
    request = urllib.request.Request(
        f"http://{host}/v2/base/manifests/{name}", method="PUT", data=content, headers={"Content-Type": kind}
    )
    with OPENER.open(request):
        pass
    return descriptor(kind, digest_of(content), len(content))
