"""Where the trees of a soak push to, what happens to that place, and what must be in it at the end."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError

import conftest
from faults import WRONG_DIGEST, FaultProxy
from machines import bases, small
from machines.places import Folder, Remote
from machines.project import Project
from machines.registry import Registry, registry_program
from machines.small import Tree
from soak.sources import PLATFORMS, Sources

KINDS = ("HEAD blob", "POST", "PATCH", "PUT blob", "HEAD manifest", "GET manifest", "PUT manifest", "GET blob", "mount")
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 500},
    {"status": 503},
    {"status": 429, "headers": (("Retry-After", "1"),)},
    {"status": 403},
    {"cut_request": 0},
    {"cut_request": 100},
    {"cut_answer": -1},
    {"cut_answer": 10},
    {"digest": WRONG_DIGEST},
    {"corrupt": True},
    {"stall": 0.4},
    {"refuse": 0.3},
)


class Base:
    """An image that the trees build on; somebody else moves it now and then."""

    def __init__(self, registry: Registry) -> None:
        self.name = f"{registry.host}/base:1"
        self.move(b"first")

    def move(self, content: bytes) -> None:
        """Let the tag name another image, of all platforms."""
        images = {
            platform: bases.push_image(self.name, platform, {"etc/base": content, "etc/platform": platform.encode()})
            for platform in PLATFORMS
        }
        bases.push_index(self.name, images)


@dataclass(frozen=True)
class World:
    """The servers of a soak, and the tree that every sequence starts from."""

    folder: Path
    registry: Registry
    proxy: FaultProxy
    base: Base
    planted: Sources


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Start a registry behind a proxy, and one for bases, and plant a tree."""
    made: list[Registry] = []
    program = registry_program(conftest.CACHE, "debian")
    try:
        made += [Registry(program, folder / "bases"), Registry(program, folder / "registry")]
        with FaultProxy(made[1].host) as proxy:
            base = Base(made[0])
            planted = Sources(small.plant(folder / "planted", folder / "go.log"), (base.name,)).plant()
            planted.tree.copy(folder / "warm").scons("bin", f"PLATFORMS={','.join(PLATFORMS)}")
            yield World(folder, made[1], proxy, base, planted)
    finally:
        for registry in made:
            registry.stop()


def order_faults(proxy: FaultProxy, random: Random) -> str:
    """Order up to three faults; return them in words."""
    ordered = []
    for _ in range(random.randint(1, 3)):
        fault = random.choice(FAULTS)
        when = {
            "after": random.choice((0, 0, 1, 2)),
            "times": random.choice((1, 1, 2, 3, 20 if "stall" not in fault else 2)),
        }
        kind = random.choice(KINDS)
        proxy.order(kind, **fault, **(when | ({"times": 1} if "refuse" in fault else {})))
        ordered.append(f"{kind} {fault} {when}")
    return "; ".join(ordered)


Place = Folder | Remote


def collect_garbage(place: Place) -> None:
    """Let the registry collect its garbage, manifests without a tag included."""
    if isinstance(place, Folder):
        return
    registry = place.registry
    registry.stop()
    command = [*registry._program, "garbage-collect", "-m", str(registry.folder / "config.yml")]
    subprocess.run(command, capture_output=True, check=False)  # it fails where there is nothing at all
    registry.start()


def change_place(place: Place, random: Random) -> str:
    """Do what somebody else does to tags; return what, in words."""
    tags = sorted(place.tags())
    what = random.choice(
        ("delete", "delete", "move", "move", "move", "collect", "collect", "empty", "garbage", "foreign")
    )
    if not tags:
        return "there is nothing to change"
    one, other = random.choice(tags), random.choice(tags)
    try:
        _change(place, what, one, other)
    except HTTPError as error:
        if error.code != HTTPStatus.BAD_REQUEST:  # it takes no index whose members are gone
            raise
        return f"{what} {one} {other}: the registry refuses"
    return f"{what} {one} {other}"


def _change(place: Place, what: str, one: str, other: str) -> None:
    if what == "empty":
        place.empty()
    elif what == "delete":
        place.delete(one)
    elif what == "move":
        place.move(one, other)
    elif what == "collect":
        place.collect(one)
    elif what == "garbage":
        place.delete(one)
        collect_garbage(place)
    elif isinstance(place, Remote):
        content, media_type = place.registry.manifest("demo", other)
        text = content.replace(b"{", b"{ ", 1)  # an equal document of another digest: what another tool would push
        place.registry.put_manifest("demo", one, text, media_type)


HARM: dict[str, Callable[[bytes, Random], bytes | None]] = {
    "delete": lambda _content, _random: None,
    "empty": lambda _content, _random: b"",
    "cut": lambda content, random: content[: random.randrange(len(content) + 1)],
    "noise": lambda content, random: random.randbytes(min(len(content), 4096)),
    "bit": lambda content, random: (
        content[: (at := random.randrange(len(content) or 1))]
        + bytes(byte ^ 1 for byte in content[at : at + 1])
        + content[at + 1 :]
    ),
}


def damage(tree: Tree, random: Random) -> str:
    """Delete or damage one or more files that a build left; return which, in words."""
    done = []
    for _ in range(random.choice((1, 1, 2, 4))):
        root = tree.path / random.choice(("_output", ".multiarch"))
        # Not the registry, and not Python's compiled modules: Python itself trusts these, here as anywhere.
        files = sorted(
            path for path in root.rglob("*") if path.is_file() and not {"registry", "pycache"} & {*path.parts}
        )
        if not files:
            continue
        path = random.choice(files)
        # What is remembered holds no checksums: it need not survive a bit that makes it say something else.
        how = random.choice([how for how in HARM if how != "bit" or root.name == "_output"])
        status, after = path.stat(), HARM[how](path.read_bytes(), random)
        if after is None:
            path.unlink()
        else:
            path.write_bytes(after)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        done.append(f"{how} {path.relative_to(tree.path)}")
    return ", ".join(done) or "nothing to damage"


class Wrong(AssertionError):
    """What must not be."""


def read_document(place: Place, name: str) -> bytes:
    """Read a manifest or index, by digest, without our library."""
    if isinstance(place, Folder):
        return place._blob(name).read_bytes()
    return place.registry.manifest(place.repository, name)[0]


def read_blob(place: Place, digest: str) -> bytes:
    if isinstance(place, Folder):
        return place._blob(digest).read_bytes()
    return place.registry.ask("GET", f"/v2/{place.repository}/blobs/{digest}")[0]


def genuine(content: bytes, descriptor: dict[str, Any], what: str) -> bytes:
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if (found, len(content)) != (descriptor["digest"], descriptor["size"]):
        raise Wrong(f"{what}: {descriptor} is {found}, {len(content)} bytes")
    return content


def check_whole(place: Place, main: str, digest: str, platforms: list[str]) -> None:
    """Read everything below the main tag: exactly these platforms, every blob there and genuine. Raises Wrong."""
    content = read_document(place, digest)
    index = json.loads(genuine(content, {"digest": digest, "size": len(content)}, main))
    held = [
        "/".join(filter(None, (one["platform"]["os"], one["platform"]["architecture"], one["platform"].get("variant"))))
        for one in index["manifests"]
    ]
    if sorted(held) != sorted(set(platforms)) or len(held) != len(platforms):
        raise Wrong(f"{main} holds {held}, declared are {platforms}")
    for child in index["manifests"]:
        manifest = json.loads(genuine(read_document(place, child["digest"]), child, main))
        for blob in (manifest["config"], *manifest["layers"]):
            genuine(read_blob(place, blob["digest"]), blob, main)


def blobs_below(place: Place, digest: str) -> list[str]:
    """Return the configs and layers of an index, sorted."""
    children = [one["digest"] for one in json.loads(read_document(place, digest))["manifests"]]
    manifests = [json.loads(read_document(place, child)) for child in children]
    return sorted({blob["digest"] for manifest in manifests for blob in (manifest["config"], *manifest["layers"])})


def check_as_from_clean(tree: Project, clean: Project, place: Place, declared: list[str]) -> None:
    """Compare the tags in the registry, and the outputs in the tree, with those of a clean build. Raises Wrong."""
    wanted, held = Folder(clean.path).tags(), place.tags()
    main = tree.read("VERSION").strip()
    wrong = {tag: (held.get(tag), digest) for tag, digest in wanted.items() if held.get(tag) != digest}
    if wrong or main not in wanted or len(wanted) != len(declared) + 1:
        raise Wrong(f"tags (held, wanted): {wrong}; from clean: {sorted(wanted)}")
    check_whole(place, main, wanted[main], declared)
    mine = tree.digests()
    differ = [
        path
        for path, digest in clean.digests().items()
        if not path.startswith(("registry/", "receipts/")) and mine.get(path) != digest
    ]
    if differ:
        raise Wrong(f"outputs differ from those of a clean build: {differ}")


def python() -> list[str]:
    """Return the command that starts SCons."""
    return [sys.executable, "-m", "SCons"]
