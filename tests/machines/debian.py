"""Debian's packages for any machine, unpacked into a folder: nothing of the system changes, and nobody needs root.

So tests have what no registry here serves: a base with an interpreter for each platform, a compiler with the standard
library of another machine. The packages come from the mirror that the system has, signed as always.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import LAYER_TAR
from multiarch_oci.platform import Platform
from multiarch_oci.reference import Reference

from .bases import push_index, store_of
from .required import missing, required

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/include", "var")

SYSTEM = ("gcc", "cpp", "binutils", "libc6", "libc-", "libgcc", "libstdc++", "linux-", "libasan", "liblsan", "libtsan")


def packages(names: tuple[str, ...], architecture: str, cache: Path) -> list[Path]:
    """Return the files of these packages and of all that they depend on, for `architecture` as Debian calls it.

    They are fetched at first use and kept in `cache`; without apt, or a mirror, the test ends as `missing` does.
    """
    apt = required("apt-get")
    kept = cache / f"debian-{architecture}-{'+'.join(names)}"
    if not kept.is_dir():
        state = Path(f"{kept}.{os.getpid()}")
        for folder in ("lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True)
        (state / "status").touch()  # nothing is installed there, so every dependency is fetched
        options = (
            f"Dir::State={state}",
            f"Dir::State::status={state / 'status'}",
            f"Dir::Cache={state / 'cache'}",
            f"APT::Architecture={architecture}",
            f"APT::Architectures={architecture}",
            f"APT::Architectures::={architecture}",
            "APT::Sandbox::User=",
            "Acquire::Retries=3",
            "Debug::NoLocking=true",
        )
        told = [word for option in options for word in ("-o", option)]
        for command in (["update"], ["--download-only", "--no-install-recommends", "--yes", "install", *names]):
            ran = subprocess.run([apt, "-qq", *told, *command], capture_output=True, text=True, check=False)
            if ran.returncode:
                shutil.rmtree(state)
                missing(f"Debian's {' '.join(names)} for {architecture}", ran.stderr.strip())
        with contextlib.suppress(OSError):  # another process was first
            (state / "cache" / "archives").rename(kept)
        shutil.rmtree(state)
    return sorted(kept.glob("*.deb"))


def unpack(files: list[Path], folder: Path) -> Path:
    """Unpack packages into `folder`; their scripts do not run."""
    folder.mkdir(parents=True)
    for file in files:
        subprocess.run([required("dpkg-deb"), "--extract", str(file), str(folder)], check=True)
    return folder


def push_base(name: str, members: dict[str, Path]) -> None:
    """Push the index `name` (`host/repository:tag`) of images, by platform, that hold a folder each."""
    push_index(name, {platform: _push_folder(name, platform, folder) for platform, folder in members.items()})


def _push_folder(name: str, platform: str, folder: Path) -> Digest:
    store = store_of(Reference.parse(name))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for entry in sorted(folder.iterdir()):
            archive.add(entry, entry.name, filter=_as_root)
    layer = Descriptor.of(LAYER_TAR, raw.getvalue())
    config = ImageConfig(Platform.parse(platform), diff_ids=(layer.digest,), env=(PATH,))
    manifest = Manifest(config.descriptor(), (layer,))
    contents = {layer: raw.getvalue(), manifest.config: config.to_json(), manifest.descriptor(): manifest.to_json()}
    for descriptor, content in contents.items():
        store.put(descriptor, lambda content=content: io.BytesIO(content))  # type: ignore[misc]
    return manifest.descriptor().digest


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no program looks at; the rest is root's, whoever unpacked it."""
    if member.name.startswith(NOT_NEEDED):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def rust(folder: Path, cache: Path) -> Path:
    """Return a folder for PATH with cargo and rustc, which compile static programs for amd64 and arm64."""
    # The system has the C library and the linker itself: another build of them beside it would only be in the way.
    own = [file for file in packages(("rustc", "cargo"), "amd64", cache) if not file.name.startswith(SYSTEM)]
    foreign = [file for file in packages(("libstd-rust-dev",), "arm64", cache) if "libstd-rust-dev" in file.name]
    root = unpack([*own, *foreign], folder / "rust")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("cargo", "rustc"):
        script = programs / name
        libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
        script.write_text(
            f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{root}/usr/bin/{name}" "$@"\n', encoding="utf-8"
        )
        script.chmod(0o755)
    return programs
