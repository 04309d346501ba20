"""Random Dockerfiles without RUN by the embedded engine and by BuildKit: the same files, the same config.

Run by hand: python tests/soak/builds.py --seed 1 --cases 500; a case that differs is shown, with the seed that draws it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "site_scons"))

from dockerfile_cases import make_base
from machines import builders, required
from multiarch_oci.config import History, ImageConfig
from multiarch_oci.errors import MultiarchError
from multiarch_oci.layer import Entry
from multiarch_oci.manifest import Manifest
from multiarch_oci.platform import Platform
from multiarch_oci.store import copy
from multiarch_oci.store.archive import Archive
from multiarch_oci.store.layout import Layout
from multiarch_oci.windows import entries
from soak import alone
from soak.dockerfiles import LINUX, WINDOWS, Case, draw
from unpacked import Found, merged, of_tar, unzipped
from workshop import Workshop


@dataclasses.dataclass(frozen=True)
class Built:
    """What an engine made: files by path and config without digests; or the error that it gave."""

    files: Mapping[str, Found] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    error: str = ""


class Bench:
    """A BuildKit, the bases of the cases as folders, and one case after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.refused = 0
        self.digests = {platform: self._base(platform) for platform in (LINUX, WINDOWS)}

    def workshop(self, platform: str, folder: Path) -> Workshop:
        """A workshop with the base of a platform in it."""
        shop = Workshop(folder, Platform.parse(platform))
        make_base(shop) if platform == LINUX else _windows_base(shop)
        return shop

    def _base(self, platform: str) -> str:
        shop = self.workshop(platform, self.folder)
        root = shop.store.resolve(str(shop.bases[0].digest))
        assert root is not None
        copy(shop.store, Layout(self._layout(platform)), root, tags=("latest",))
        return str(root.digest)

    def _layout(self, platform: str) -> Path:
        return self.folder / f"base-{platform.partition('/')[0]}"

    def differences(self, case: Case) -> list[str]:
        """Build by both, and say where they differ; nothing when they do not."""
        shutil.rmtree(self.folder / "context", ignore_errors=True)
        (self.folder / "context").mkdir()
        case.write(self.folder / "context")
        ours, theirs = self.embedded(case), self.buildkit(case)
        if ours.error or theirs.error:
            self.refused += 1
            if bool(ours.error) == bool(theirs.error) or is_known(ours.error, theirs.error, case):
                return []
            return [f"error: ours {ours.error!r}, BuildKit's {theirs.error!r}"]
        return [*differ(ours.files, theirs.files), *differ(ours.config, theirs.config)]

    def embedded(self, case: Case) -> Built:
        """Build by the embedded engine."""
        shop = self.workshop(case.platform, self.folder / "context")
        text = (self.folder / "context" / "Dockerfile.test").read_bytes()
        try:
            image = shop.build(text, build_args=tuple(case.arguments.items()))
        except MultiarchError as error:
            return Built(error=str(error))
        archive = Archive(shop.output)
        stores = [shop.store if layer in image.missing else archive for layer in image.layers]
        layers = [store.open(layer).read() for store, layer in zip(stores, image.layers, strict=True)]
        return _built(layers, json.loads(image.config.to_json()), case.platform)

    def buildkit(self, case: Case) -> Built:
        """Build by BuildKit."""
        out = self.folder / "out.tar"
        command = ["docker", "buildx", "build", "--builder", "tests", "--platform", case.platform, "--provenance=false"]
        command += ["--file", str(self.folder / "context" / "Dockerfile.test"), "--output", f"type=oci,dest={out}"]
        base = f"base=oci-layout://{self._layout(case.platform)}@{self.digests[case.platform]}"
        command += ["--build-context", base, "--build-arg", "SOURCE_DATE_EPOCH=0", "--progress=plain"]
        command += [f"--build-arg={name}={value}" for name, value in case.arguments.items()]
        ran = subprocess.run(
            [*command, str(self.folder / "context")], env=self.environment, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            return Built(error=ran.stderr.strip().splitlines()[-1])
        archive = Archive(out)
        manifest = Manifest.from_json(archive.open(archive.roots[0]).read(), where=str(out))
        layers = [archive.open(layer).read() for layer in manifest.layers]
        return _built(layers, json.loads(archive.open(manifest.config).read()), case.platform)


def is_known(ours: str, theirs: str, case: Case) -> bool:
    """Whether one error is among the differences that docs/howto/engines.md lists."""
    if not theirs:
        # With --parents BuildKit misses what is not in the context, but not what is not in an image or a stage.
        silent = "--parents" in case.dockerfile and re.search("is not in (?:image|stage) ", ours) is not None
        return silent or any(text in ours for text in KNOWN)
    # BuildKit wants what each link means where --parents or --exclude stands, and does not use it; it does not send a folder in which
    # a wildcard finds nothing, and then misses it.
    filtered = "--parents" in case.dockerfile or "--exclude" in case.dockerfile
    dangling = filtered and re.search(r'"/[^"]*": not found', theirs) is not None
    nameless = "invalid user index" in theirs  # WORKDIR for a USER by name over scratch
    return dangling or nameless or re.search(r"lstat /\S+: no such file", theirs) is not None


KNOWN = (
    "has no user '",  # a name that nobody knows is root for BuildKit
    "has no group '",
    "cannot be in a Windows image",  # a name that Windows cannot have
    "leads out of the image",
    "names nothing whose path could be kept",
)


def _built(layers: list[bytes], config: dict[str, Any], platform: str) -> Built:
    files = merged(of_tar(io.BytesIO(unzipped(layer))) for layer in layers)
    if platform == WINDOWS:  # owners and modes are nothing there, what counts lies below Files
        files = {
            path: dataclasses.replace(found, mode="", owner="", content=found.content if found.kind == "f" else "")
            for path, found in files.items()
            if path.startswith("Files/")
        }
    config["layers"] = len(config.pop("rootfs")["diff_ids"] or ())
    return Built(files, config)


def differ(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Say, one by one, what is not the same."""
    for key in sorted({*ours, *theirs}):
        if isinstance(ours.get(key), dict) and isinstance(theirs.get(key), dict):
            yield from (f"{key}.{line}" for line in differ(ours[key], theirs[key]))
        elif ours.get(key) != theirs.get(key):
            yield f"{key}: ours {ours.get(key)}, BuildKit's {theirs.get(key)}"


def _windows_base(shop: Workshop) -> None:
    files = (
        *(Entry.directory(path) for path in ("Windows", "Windows/System32", "Users", "Program Files")),
        Entry.of_bytes("Windows/System32/x.dll", b"dll"),
    )
    platform = msgspec.structs.replace(shop.platform, os_version="10.0.20348.1")
    config = ImageConfig(platform, history=(History("2020-01-01T00:00:00Z", "base"),), env=("B=1",), cmd=("cmd",))
    shop.base("base", entries(files), config=config)


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Run a BuildKit while the block lasts; ends the test where it cannot be."""
    (folder / "daemon").mkdir()
    with builders.buildx_environment(folder / "daemon", required.cache_folder()) as environment:
        yield Bench(folder, environment)


def soak(ready: Bench, seed: int, count: int, enough: Callable[[], bool], say: Callable[[str], None]) -> list[str]:
    """Build the cases of `count` seeds from `seed` on; return those that differ, said one by one."""
    failures = []
    for number in range(seed, seed + count):
        if enough():
            break
        case = draw(Random(number))  # noqa: S311  # a seed that replays is the point
        found = ready.differences(case)
        if found:
            failures.append(f"seed {number}, {case.platform}, {case.arguments}\n{case.dockerfile}\n" + "\n".join(found))
            say(failures[-1])
    return failures


def main() -> int:
    """Run by hand; each failure is shown when it is met."""
    told = alone.arguments("cases", 500)
    with alone.surroundings() as folder, bench(folder) as ready:
        failures = soak(ready, told.seed, told.count, told.enough, alone.say)
    alone.say(f"{told.count} cases, {ready.refused} refused by one or both, {len(failures)} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
