"""Rust programs: what cargo compiles, as a function of the platform."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from multiarch_oci.document import mapping
from multiarch_oci.scaffold.clues import Clues
from multiarch_oci.scaffold.draft import Draft, by_dockerfile, image_name, is_plain, literal
from multiarch_oci.scaffold.files import Clue, Files, listed, texts

_CARGO = ("Cargo.lock", "build.rs", "rust-toolchain.toml", "rust-toolchain", ".cargo/config.toml")
"""What cargo reads beside Cargo.toml and the sources."""
_MOST_FOLDERS = 50
_RUST = """\
def program(platform):
    machine = {{"amd64": "x86_64", "arm64": "aarch64"}}[platform.architecture]
    flags = {{"CARGO_BUILD_RUSTFLAGS": f"-Ctarget-feature=+crt-static -Clinker={{machine}}-linux-gnu-gcc"}}
    build = f"cargo build --quiet --release{locked} --target {{machine}}-unknown-linux-gnu"
    copy = Copy("$TARGET", f"target/{{machine}}-unknown-linux-gnu/release/{name}")
    return env.Command(f"_output/bin/{{platform.directory}}/{name}", {sources}, [build, copy], ENV=os.environ | flags)

env.MultiarchImage({image!r}, program)"""
_RUST_NEEDS = (
    "rustup target add x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu (Debian: libstd-rust-dev of both)",
    "x86_64-linux-gnu-gcc and aarch64-linux-gnu-gcc (Debian: gcc-x86-64-linux-gnu gcc-aarch64-linux-gnu)",
)


def rust(draft: Draft, _hints: Clues) -> bool:
    """Declare the image of a Rust program; whether there is one."""
    if not draft.files.text("Cargo.toml"):
        return False
    cargo = draft.files.toml("Cargo.toml")
    programs = _programs(draft.files, cargo)
    if not programs:
        library = "a library" if cargo.get("package") else "a workspace: say which package is the program"
        draft.left_out.append(Clue(library, "Cargo.toml"))
        return False
    draft.left_out += [
        Clue(f"the program {name}, which is beside {programs[0]}", "Cargo.toml") for name in programs[1:]
    ]
    name = image_name(draft, programs[0], "Cargo.toml")
    draft.taken.append(Clue(f"the Rust program {programs[0]}", "Cargo.toml"))
    if by_dockerfile(draft, name):
        return True
    paths = (*_CARGO, *texts(mapping(cargo.get("package")).get("build")), *_targets(cargo))
    known = [path for path in dict.fromkeys(paths) if is_plain(path) and draft.files.first(path)]
    folders = _folders(draft, cargo)
    inside = [path for path in known if _inside(path) and not any(path.startswith(f"{folder}/") for folder in folders)]
    sources = ["Cargo.toml", *inside]
    listing = ", ".join([*map(literal, sources), *(f"Dir({literal(folder)})" for folder in folders)])
    locked = " --locked" if "Cargo.lock" in sources else ""
    draft.imports.insert(0, "import os")
    draft.needs += [Clue(need, "Cargo.toml") for need in _RUST_NEEDS]
    draft.body.append(_RUST.format(locked=locked, name=programs[0], sources=f"[{listing}]", image=name))
    return True


def _programs(files: Files, cargo: Mapping[str, object]) -> list[str]:
    """The names of the programs of a package: what `cargo run` starts, src/main.rs, then the others."""
    package = mapping(cargo.get("package"))
    binaries = [mapping(binary) for binary in listed(cargo.get("bin"))]
    main = [binary.get("name") for binary in binaries if _path(binary) == ["src/main.rs"]]
    if not main and files.first("src/main.rs"):
        main = [package.get("name")]
    scripts = [path.rpartition("/")[2].removesuffix(".rs") for path in files.named("src/bin") if path.endswith(".rs")]
    scripts += [
        match[1] for path in files.below("main.rs") if (match := re.fullmatch(r"src/bin/([^/]+)/main\.rs", path))
    ]
    names = [package.get("default-run"), *main, *(binary.get("name") for binary in binaries), *scripts]
    plain = [name for name in names if isinstance(name, str) and re.fullmatch(r"[\w-]+", name, re.ASCII)]
    return list(dict.fromkeys(plain))


def _path(table: object) -> list[str]:
    """The `path` of a table, as it is from the folder of its Cargo.toml; [] for none."""
    path = mapping(table).get("path")
    return [posixpath.normpath(path)] if isinstance(path, str) and path else []


def _targets(cargo: Mapping[str, object]) -> list[str]:
    """The files that a package's library and programs begin with, where it names them."""
    return [path for table in (cargo.get("lib"), *listed(cargo.get("bin"))) for path in _path(table)]


def _inside(path: str) -> bool:
    return not path.startswith(("/", "..")) and path != "."


def _folders(draft: Draft, cargo: Mapping[str, object]) -> list[str]:
    """The folders of the packages that a build reads beside its own; those outside are left out and said."""
    members = texts(mapping(cargo.get("workspace")).get("members"))
    pending = [posixpath.normpath(member.partition("*")[0] or ".") for member in members]
    pending += [*filter(None, map(posixpath.dirname, _targets(cargo))), *_dependencies(cargo, ".")]
    folders = {"src": None} if draft.files.first("src") else {}
    while pending and len(folders) < _MOST_FOLDERS:
        folder = pending.pop(0)
        if folder == "." or folder in folders:
            continue
        if not _inside(folder) or not is_plain(folder):
            draft.left_out.append(Clue(f"the package {folder}: a change in it is not seen", "Cargo.toml"))
        elif draft.files.first(folder):
            folders[folder] = None
            if draft.files.text(f"{folder}/Cargo.toml"):
                pending += _dependencies(draft.files.toml(f"{folder}/Cargo.toml"), folder)
    return [folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders)]


def _dependencies(cargo: Mapping[str, object], folder: str) -> list[str]:
    """The folders that the dependencies of a Cargo.toml name by `path`, from the top of the repository."""
    tables = [cargo, mapping(cargo.get("workspace")), *map(mapping, mapping(cargo.get("target")).values())]
    named = [mapping(table.get(kind)) for table in tables for kind in ("dependencies", "build-dependencies")]
    named += map(mapping, mapping(cargo.get("patch")).values())
    paths = [path for dependencies in named for dependency in dependencies.values() for path in _path(dependency)]
    return [posixpath.normpath(posixpath.join(folder, path)) for path in paths]
