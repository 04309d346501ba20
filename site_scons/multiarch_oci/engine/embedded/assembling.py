"""From an executed stage to a tarball: layers written or taken over, config, manifest, the entry in index.json."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from multiarch_oci import layer as layers
from multiarch_oci import windows
from multiarch_oci.config import ImageConfig
from multiarch_oci.descriptor import BASE_DIGEST, BASE_NAME, Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine.embedded.building import Stage
from multiarch_oci.engine.frontend.fingerprint import FORMAT
from multiarch_oci.engine.frontend.tree import LayerNames, Node
from multiarch_oci.errors import MultiarchError
from multiarch_oci.gzipstream import COMPRESSOR
from multiarch_oci.layer import Entry
from multiarch_oci.manifest import Manifest
from multiarch_oci.store.archive import Archive, ArchiveWriter

KEYS = "multiarch.layer.keys"
"""The annotation, in a tarball's index.json, that says what each of the image's own layers was made from."""

_Finished = Mapping[str, tuple[Descriptor, Digest]]


def assemble(stage: Stage, output: Path, *, epoch: int, doing: Callable[[str], object] = str) -> Descriptor:
    """Write the tarball of an executed stage; returns the manifest's descriptor with platform and annotations.

    A layer that the older `output` made from the same things is copied from there, not packed again. `output` is
    replaced at once or not at all. `doing` is told, in a few words, which layer is packed.
    """
    on_windows = stage.config.platform.os == "windows"
    keys = [_key(names, epoch, on_windows=on_windows) for names in stage.layers]
    old = Archive(output)
    finished = _finished(old)
    with ArchiveWriter(output) as archive:
        own = []
        for number, (key, names) in enumerate(zip(keys, stage.layers, strict=True), 1):
            doing(f"packing layer {number} of {len(keys)}")
            known = finished.get(key)
            if known is not None and archive.take_over(old, known[0]):
                own.append(known)
            else:
                own.append(_written(archive, names, epoch, on_windows=on_windows))
        base = stage.base
        below = () if base is None else base.layers
        config = replace(stage.config, diff_ids=(*stage.config.diff_ids, *(diff_id for _, diff_id in own)))
        content = _content(config)
        manifest = Manifest(config.descriptor(), (*below, *(descriptor for descriptor, _ in own)))
        archive.put(manifest.config, lambda: io.BytesIO(content))
        archive.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
        root = replace(manifest.descriptor(), platform=config.platform, annotations=_annotations(stage, keys))
        archive.root(root)
    return root


def _content(config: ImageConfig) -> bytes:
    try:
        return config.to_json()
    except UnicodeEncodeError:
        raise InvalidDockerfile(
            "holds text that is not UTF-8, which an image's config cannot say", hint="store the Dockerfile as UTF-8"
        ) from None


def _written(archive: ArchiveWriter, names: LayerNames, epoch: int, *, on_windows: bool) -> tuple[Descriptor, Digest]:
    entries: Iterable[Entry] = (node.entry(path) for path, node in names.by_folder())
    if on_windows:
        entries = windows.entries(entries)
    with archive.blob() as blob:
        written = layers.write(entries, blob.stream, epoch=epoch, ordered=not on_windows)
    return written.descriptor, written.diff_id


def _annotations(stage: Stage, keys: list[str]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = [(KEYS, " ".join(keys))] if keys else []
    if stage.base is not None and stage.base.reference.digest is not None:
        reference = stage.base.reference
        pairs += [(BASE_NAME, str(replace(reference, digest=None))), (BASE_DIGEST, str(reference.digest))]
    return tuple(sorted(pairs))


def _finished(old: Archive) -> _Finished:
    """The image's own layers in an older tarball, by key; nothing of a tarball that is damaged, absent or not ours."""
    try:
        image = old.image()
        keys = (image.descriptor.annotation(KEYS) or "").split()
        if not keys or len(keys) > len(image.layers):
            return {}
        own = zip(image.layers[-len(keys) :], image.config.diff_ids[-len(keys) :], strict=True)
        return dict(zip(keys, own, strict=True))
    except (MultiarchError, OSError):
        return {}


def _key(names: LayerNames, epoch: int, *, on_windows: bool) -> str:
    """The digest of everything that a layer is made from, as one JSON text, of which no more than a name is held."""
    running = hashlib.sha256(json.dumps((FORMAT, COMPRESSOR, epoch, on_windows))[:-1].encode("ascii"))
    between = b", ["
    for path, node in names:
        running.update(between + json.dumps(_described(path, node)).encode("ascii"))
        between = b", "
    running.update(b"]]" if between == b", " else b", []]")
    return running.hexdigest()


def _described(path: str, node: Node) -> tuple[object, ...]:
    return (
        path,
        node.kind.name,
        node.mode,
        node.uid,
        node.gid,
        node.target if node.device == (0, 0) else list(node.device),
        "" if node.content is None else node.content.key(),
        [(name, value.hex()) for name, value in node.records],
    )
