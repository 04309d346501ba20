"""What a tree publishes to, looked at and changed as somebody else would: a registry, or a folder of layouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Protocol

from .registry import Registry

TAG = "org.opencontainers.image.ref.name"


class Place(Protocol):
    """One repository somewhere; `name` is what REGISTRY is set to."""

    name: str

    def tags(self) -> dict[str, str]:
        """Return the digest of every tag."""
        ...

    def move(self, tag: str, to: str) -> str:
        """Let a tag name what another tag names; return that digest."""
        ...

    def delete(self, tag: str) -> None:
        """Take away one tag, and leave what it named."""
        ...

    def collect(self, tag: str) -> None:
        """Take away the manifest that a tag names, as a garbage collection does, and leave the rest as it is."""
        ...

    def empty(self) -> None:
        """Take away everything."""
        ...


class Remote:
    """A repository of a registry."""

    def __init__(self, registry: Registry, repository: str = "demo") -> None:
        self.registry, self.repository, self.name = registry, repository, registry.host

    def tags(self) -> dict[str, str]:
        found = {tag: self.registry.digest(self.repository, tag) for tag in self.registry.tags(self.repository)}
        return {tag: digest for tag, digest in found.items() if digest is not None}

    def attached(self) -> set[str]:
        """Return the digests of what refers to other manifests, as fallback tags list it."""
        tags = [tag for tag in self.registry.tags(self.repository) if tag.startswith("sha256-")]
        return {one["digest"] for tag in tags for one in self.registry.json(self.repository, tag)["manifests"]}

    def move(self, tag: str, to: str) -> str:
        return self.registry.move_tag(self.repository, tag, to)

    def delete(self, tag: str) -> None:
        self.registry.delete_tag(self.repository, tag)

    def collect(self, tag: str) -> None:
        digest = self.registry.digest(self.repository, tag)
        assert digest is not None, f"{tag} is not there"
        self.registry.delete_manifest(self.repository, digest)

    def empty(self) -> None:
        self.registry.empty()


class Folder:
    """A layout in the tree's own folder registry."""

    name = "_output/registry"

    def __init__(self, tree: Path, image: str = "demo") -> None:
        self.root, self.layout = tree / self.name, tree / self.name / image

    def _entries(self) -> list[dict[str, Any]]:
        path = self.layout / "index.json"
        found: list[dict[str, Any]] = json.loads(path.read_bytes())["manifests"] if path.exists() else []
        return found

    def _write(self, entries: list[dict[str, Any]]) -> None:
        content = {"schemaVersion": 2, "manifests": entries}
        (self.layout / "index.json").write_text(json.dumps(content), encoding="utf-8")

    def tags(self) -> dict[str, str]:
        return {
            _tag(entry): entry["digest"]
            for entry in self._entries()
            if _tag(entry) and self._blob(entry["digest"]).exists()
        }

    def attached(self) -> set[str]:
        """Return the digests of what refers to other manifests."""
        return {entry["digest"] for entry in self._entries() if not _tag(entry)}

    def move(self, tag: str, to: str) -> str:
        named = next(entry for entry in self._entries() if _tag(entry) == to)
        others = [entry for entry in self._entries() if _tag(entry) != tag]
        self._write([*others, {**named, "annotations": {TAG: tag}}])
        return str(named["digest"])

    def delete(self, tag: str) -> None:
        self._write([entry for entry in self._entries() if _tag(entry) != tag])

    def collect(self, tag: str) -> None:
        self._blob(self.tags()[tag]).unlink()

    def empty(self) -> None:
        shutil.rmtree(self.root)

    def _blob(self, digest: str) -> Path:
        return self.layout / "blobs" / digest.replace(":", "/")


def _tag(entry: dict[str, Any]) -> str:
    """The tag of a descriptor in a layout; empty for what only refers to another manifest."""
    return str(entry.get("annotations", {}).get(TAG, ""))
