"""How two images, or two indexes, differ: platforms, configs, files (OCI image spec 1.1, config.md and layer.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from multiarch_oci.config import ImageConfig
from multiarch_oci.contents.listing import File, Listing
from multiarch_oci.document import keyed
from multiarch_oci.layer import Kind
from multiarch_oci.quoting import size_in_words

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
REMOVING = (Kind.OPAQUE.value, Kind.WHITEOUT.value)
"""The kinds of entries that are no files, and remove what lies below them."""


class FileChange(msgspec.Struct, frozen=True):
    """One path that differs; `details` say how, in words: `mode 0644 → 0755`."""

    what: str
    path: str
    details: tuple[str, ...] = ()


class ValueChange(msgspec.Struct, frozen=True):
    """One member of a config that differs, as it would be written in a Dockerfile; empty: it is not there."""

    name: str
    before: str
    after: str


def file_system(listings: Iterable[Listing]) -> dict[str, File]:
    """What a container sees of layers, the lowest first, by path: later ones cover and remove what is below."""
    seen: dict[str, File] = {}
    for listing in listings:
        for file in listing.files:
            if file.kind == Kind.OPAQUE.value:
                _drop(seen, file.path, keep=True)
            elif file.kind == Kind.WHITEOUT.value:
                _drop(seen, file.path, keep=False)
        for file in listing.files:
            if file.kind in REMOVING:
                continue
            below = seen.get(file.path)
            if below is not None and Kind.DIRECTORY.value == below.kind != file.kind:
                _drop(seen, file.path, keep=False)
            seen[file.path] = file
    return seen


def _drop(seen: dict[str, File], path: str, *, keep: bool) -> None:
    """Remove all below a path, and the path itself unless it is kept."""
    below = "" if path == "." else f"{path}/"
    for name in [name for name in seen if name.startswith(below) or (name == path and not keep)]:
        del seen[name]


def file_changes(before: Iterable[Listing], after: Iterable[Listing]) -> tuple[FileChange, ...]:
    """The paths that differ between two stacks of layers, the lowest first, by path."""
    return tree_changes(file_system(before), file_system(after))


def tree_changes(old_tree: Mapping[str, File], new_tree: Mapping[str, File]) -> tuple[FileChange, ...]:
    """The paths that differ between two file systems, by path."""
    changes = []
    for path in sorted({*old_tree, *new_tree}):
        old, new = old_tree.get(path), new_tree.get(path)
        if old is None and new is not None:
            changes.append(FileChange(ADDED, path, _described(new)))
        elif new is None and old is not None:
            changes.append(FileChange(REMOVED, path, _described(old)))
        elif old is not None and new is not None and (details := _details(old, new)):
            changes.append(FileChange(CHANGED, path, details))
    return tuple(changes)


def _described(file: File) -> tuple[str, ...]:
    if file.kind == Kind.FILE.value:
        return (size_in_words(file.size),)
    return (f"{file.kind} to {file.target}" if file.target else file.kind,)


def _details(old: File, new: File) -> tuple[str, ...]:
    """How two entries of one path differ, in words; empty when they do not."""
    if old.kind != new.kind:
        return (f"{old.kind} → {new.kind}",)
    details = []
    if (old.digest, old.size) != (new.digest, new.size):
        same = "other content of the same size, " if old.size == new.size else f"{size_in_words(old.size)} → "
        details.append(f"{same}{size_in_words(new.size)}")
    if old.target != new.target:
        details.append(f"to {old.target} → {new.target}")
    if old.mode != new.mode:
        details.append(f"mode {old.mode:04o} → {new.mode:04o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        details.append(f"owner {old.uid}:{old.gid} → {new.uid}:{new.gid}")
    return tuple(details)


def config_changes(before: ImageConfig, after: ImageConfig) -> tuple[ValueChange, ...]:
    """What differs in two configs, beside their layers and times, by name."""
    old_members, new_members = _members(before), _members(after)
    names = [name for name in {**old_members, **new_members} if old_members.get(name, "") != new_members.get(name, "")]
    return tuple(ValueChange(name, old_members.get(name, ""), new_members.get(name, "")) for name in names)


def _members(config: ImageConfig) -> dict[str, str]:
    """A config by the names that its values have in a Dockerfile, variables and labels one by one."""
    members: dict[str, str] = {"platform": str(config.platform), "author": config.author or ""}
    for line in config.env:
        name, _, value = line.partition("=")
        members[f"ENV {name}"] = value
    members |= {f"LABEL {name}": value for name, value in config.labels}
    for name, words in (("ENTRYPOINT", config.entrypoint), ("CMD", config.cmd), ("SHELL", config.shell)):
        members[name] = "" if words is None else keyed(list(words)).decode()
    members |= {"USER": config.user, "WORKDIR": config.working_dir, "STOPSIGNAL": config.stop_signal}
    members |= {f"EXPOSE {port}": "yes" for port in config.exposed_ports}
    members |= {f"VOLUME {path}": "yes" for path in config.volumes}
    members |= {f"ONBUILD {line}": "yes" for line in config.on_build}
    if config.healthcheck is not None:
        members["HEALTHCHECK"] = keyed(config.healthcheck.to_json()).decode()
    members |= {name: keyed(value).decode() for name, value in (*config.others, *config.config_others)}
    return members
