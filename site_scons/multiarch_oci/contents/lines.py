"""What is in images, and how they differ, as lines for a terminal; text of others is shown, never sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from multiarch_oci.contents.comparing import (
    ADDED,
    CHANGED,
    REMOVED,
    REMOVING,
    FileChange,
    config_changes,
    file_system,
    tree_changes,
)
from multiarch_oci.contents.listing import File, Listing
from multiarch_oci.contents.reading import ImageView, LayerView, NoImage, Opened
from multiarch_oci.layer import Kind
from multiarch_oci.quoting import counted, size_in_words, visible

_MARKS = {ADDED: "+", REMOVED: "-", CHANGED: "~"}


def tree_lines(opened: Opened) -> Iterator[str]:
    """What was opened, as a tree: its images, their layers with who made them, and the files of each."""
    if not opened.images:
        yield visible(f"{opened.name}  {opened.kind}  {opened.digest}".rstrip())
        yield from _branches([[_file(file)] for file in opened.files.values()])
        return
    if len(opened.images) == 1 and opened.kind == "image":
        view = opened.images[0]
        yield visible(f"{opened.name}  {_described(view)}")
        yield from _branches(map(_layer, _numbered(view)))
        return
    yield visible(f"{opened.name}  {opened.kind}  {opened.digest}  {counted(len(opened.images), 'platform')}")
    for number, view in enumerate(opened.images, start=1):
        last = number == len(opened.images)
        yield f"{'└─' if last else '├─'} {visible(_described(view))}"
        for line in _branches(map(_layer, _numbered(view))):
            yield f"{'   ' if last else '│  '}{line}"


def _described(view: ImageView) -> str:
    image = view.image
    base = f"  on {image.base}" if image.base is not None else ""
    return f"{view.platform}  {image.descriptor.digest}  {size_in_words(image.size)}{base}"


def _numbered(view: ImageView) -> Iterator[tuple[int, int, LayerView]]:
    for number, layer in enumerate(view.layers(), start=1):
        yield number, len(view.image.layers), layer


def _layer(numbered: tuple[int, int, LayerView]) -> list[str]:
    """The head of a layer and a line for each of its files."""
    number, count, layer = numbered
    size = size_in_words(layer.descriptor.size)
    unpacked = f", {size_in_words(layer.files.size)} unpacked" if layer.files is not None else ""
    base = ", of the base" if layer.from_base else ""
    made_by = layer.made_by or "no history says by what"
    head = f"layer {number} of {count}  {layer.descriptor.digest}  {size}{unpacked}{base}: {made_by}"
    if layer.files is None:
        return [visible(head), visible(f"its files are not known: {layer.why}")]
    more = [f"and {layer.files.more} more"] if layer.files.more else []
    return [visible(head), *map(_file, layer.files.files), *more]


def _file(file: File) -> str:
    if file.kind == Kind.FILE.value:
        return visible(f"/{file.path}  {size_in_words(file.size)}  {file.mode:04o}{_owner(file)}")
    if file.kind == Kind.DIRECTORY.value:
        return visible(f"/{file.path}/  {file.mode:04o}{_owner(file)}")
    target = f" → {file.target}" if file.target else ""
    return visible(f"/{file.path}{target}  {file.kind}")


def _owner(file: File) -> str:
    return f"  {file.uid}:{file.gid}" if file.uid or file.gid else ""


def _branches(groups: Iterable[Sequence[str]]) -> Iterator[str]:
    """Groups of a head and what belongs to it, as branches of a tree; one is drawn when the next one is known."""
    pending: Sequence[str] | None = None
    for group in groups:
        if pending is not None:
            yield from _branch(pending, last=False)
        pending = group
    if pending is not None:
        yield from _branch(pending, last=True)


def _branch(group: Sequence[str], *, last: bool) -> Iterator[str]:
    yield f"{'└─' if last else '├─'} {group[0]}"
    for number, line in enumerate(group[1:], start=1):
        yield f"{'   ' if last else '│  '}{'└─' if number == len(group) - 1 else '├─'} {line}"


def difference_lines(before: Opened, after: Opened) -> Iterator[str]:
    """How two places differ: platforms, configs and files; one line where they do not."""
    yield visible(f"--- {before.name}  {before.digest}".rstrip())
    yield visible(f"+++ {after.name}  {after.digest}".rstrip())
    if before.digest and before.digest == after.digest:
        yield "no difference: the same digest"
        return
    lines = list(_of_images(before, after) if before.images and after.images else _of_files(before, after))
    if not lines:
        other = (
            "; the digests differ by annotations, or by how layers are packed" if before.digest and after.digest else ""
        )
        lines = [f"no difference in platforms, configs and files{other}"]
    yield from lines


def _of_images(before: Opened, after: Opened) -> Iterator[str]:
    old, new = _by_platform(before), _by_platform(after)
    if len(old) == len(new) == 1:  # of two images that were named nobody has to ask which is compared with which
        yield from _of_image(next(iter(old.values())), next(iter(new.values())))
        return
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    if gone:
        yield visible(f"- {', '.join(gone)}: only in {before.name}")
    if added:
        yield visible(f"+ {', '.join(added)}: only in {after.name}")
    for platform in [platform for platform in old if platform in new]:
        yield from _of_image(old[platform], new[platform])


def _by_platform(opened: Opened) -> dict[str, ImageView]:
    return {view.platform: view for view in opened.images}


def _of_image(old: ImageView, new: ImageView) -> Iterator[str]:
    """The lines of one platform; none where its image is the same."""
    if old.image.descriptor.digest == new.image.descriptor.digest:
        return
    yield visible(f"{new.platform}: {old.image.descriptor.digest} → {new.image.descriptor.digest}")
    changed = False
    for change in config_changes(old.image.config, new.image.config):
        changed = True
        yield visible(f"  {change.name}: {_value(change.before)} → {_value(change.after)}")
    old_files, new_files, unknown = _file_systems(old, new)
    for file in tree_changes(old_files, new_files):
        changed = True
        yield _changed(file)
    yield from (visible(f"  {line}") for line in unknown)
    if not changed and not unknown:
        yield "  the same config and files; layers, history or times differ"


def _file_systems(old: ImageView, new: ImageView) -> tuple[Mapping[str, File], Mapping[str, File], list[str]]:
    """What a container sees of each, and which layers could not be read.

    The lowest layers, which both have, are left unread where the ones above hold the same paths and remove none.
    """
    shared = 0
    for ours, theirs in zip(old.image.layers, new.image.layers):  # noqa: B905  # one may have more
        if ours.digest != theirs.digest:
            break
        shared += 1
    uppers = [[layer.files for layer in view.layers(shared) if layer.files is not None] for view in (old, new)]
    first = shared if _paths(uppers[0]) == _paths(uppers[1]) and not any(map(_removes, uppers)) else 0
    unknown: list[str] = []
    systems = []
    for view in (old, new):
        layers = list(view.layers(first))
        systems.append(file_system(layer.files for layer in layers if layer.files is not None))
        unread = [layer for layer in layers if layer.files is None]
        unknown += [f"files of layer {layer.descriptor.digest} are not compared: {layer.why}" for layer in unread]
    return systems[0], systems[1], list(dict.fromkeys(unknown))


def _paths(listings: Iterable[Listing]) -> set[str]:
    return {file.path for listing in listings for file in listing.files}


def _removes(listings: Iterable[Listing]) -> bool:
    """Whether layers remove what is below them, so that it is to be known what that is."""
    return any(file.kind in REMOVING for listing in listings for file in listing.files)


def _of_files(before: Opened, after: Opened) -> Iterator[str]:
    """The lines of two file systems: plain folders or files, or one of them an image."""
    for change in tree_changes(_files_of(before), _files_of(after)):
        yield _changed(change)


def _files_of(opened: Opened) -> Mapping[str, File]:
    if not opened.images:
        return opened.files
    if len(opened.images) > 1:
        platforms = ", ".join(view.platform for view in opened.images)
        hint = "say which: PLATFORM=linux/amd64"
        raise NoImage(f"has several platforms: {platforms}", where=opened.name, hint=hint)
    layers = [layer.files for layer in opened.images[0].layers() if layer.files is not None]
    return file_system(layers)


def _changed(change: FileChange) -> str:
    details = f"  {', '.join(change.details)}" if change.details else ""
    return visible(f"  {_MARKS[change.what]} /{change.path}{details}")


def _value(text: str) -> str:
    return f"'{text}'" if text else "nothing"
