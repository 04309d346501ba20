"""The commands `tree` and `diff`: layers, their files, and who put them there; how two outputs differ.

A word behind them names a target, a file or folder, or a reference; what it names is read, never written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SCons.Node.Alias
import SCons.Node.FS

from multiarch_oci.contents.lines import difference_lines, tree_lines
from multiarch_oci.contents.listing import Listing
from multiarch_oci.contents.reading import (
    ImageView,
    NoImage,
    Opened,
    file_at,
    folder_files,
    images_of,
    read_layer,
    reading_once,
)
from multiarch_oci.digest import Digest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.reference import Reference
from multiarch_oci.store.archive import Archive
from multiarch_oci.store.entries import MARKER
from multiarch_oci.store.layout import Layout
from scons_multiarch.installation import command
from scons_multiarch.naming import reference_of
from scons_multiarch.paths import shown
from scons_multiarch.receipts import is_json, receipt_at
from scons_multiarch.registries import location
from scons_multiarch.targets import PinTarget, PushTarget, is_index, target_of
from scons_multiarch.variables import UnknownWord, nearest

if TYPE_CHECKING:
    from multiarch_oci.descriptor import Descriptor
    from multiarch_oci.image import Image
    from multiarch_oci.platform import Platform
    from scons_multiarch.session import Run

_FOLDER = re.compile(r"(?:\.{0,2}/|~/|_|[A-Za-z]:[/\\])")
_ABOUT = re.compile(r"(sha256|sha512)-([0-9a-f]{64,128})(\.\w+)?")
"""A tag that lists referrers where a registry does not (OCI distribution spec 1.1); with an ending it is cosign's."""

_TWO = 2


class NotBuilt(MultiarchError):
    """A target that is not there yet."""


class NothingNamed(MultiarchError):
    """A question about nothing."""


class NotTwo(MultiarchError):
    """A comparison of other than two."""


def tree(env: Any, targets: list[Any]) -> int:
    """`tree what …`: print outputs, folders and references as trees; of several platforms PLATFORM chooses one."""
    if not targets:
        hint = "name an output (_output/images/….tar, manifest), a folder or a reference (localhost:5000/demo:v1.0)"
        raise NothingNamed("there is nothing to be shown", where="tree", hint=hint)
    for opened in open_all(env, targets):
        for line in tree_lines(opened):
            print(line)  # noqa: T201  # the answer
    return 0


def diff(env: Any, targets: list[Any]) -> int:
    """`diff one other`: print how they differ; that they do is no error, and the status is 0."""
    named = open_all(env, targets) if len(targets) == _TWO else []
    if len(named) != _TWO:
        count = f"{len(targets)} were named" if len(targets) != _TWO else f"these stand for {len(named)}"
        hint = "name two outputs, folders or references, as in _output/images/….tar localhost:5000/demo:v1.0"
        raise NotTwo(f"two are compared, and {count}", where="diff", hint=hint)
    for line in difference_lines(*named):
        print(line)  # noqa: T201  # the answer
    return 0


def open_all(env: Any, words: Iterable[Any]) -> list[Opened]:
    """What nodes and words name, in their order; a target that stands for several is several.

    Raises NotBuilt, NoImage, UnknownWord, and what the places raise.
    """
    run: Run = env["MULTIARCH_RUN"]
    wanted_platform: Platform | None = env["PLATFORM_TO_RUN"] if "PLATFORM" in env["SAID_VARIABLES"] else None
    named = [opened for word in words for opened in _of_word(run, word)]
    return [_chosen(opened, wanted_platform) for opened in named]


def _chosen(opened: Opened, platform: Platform | None) -> Opened:
    """What was opened with the image of this platform alone; all of them where none is said."""
    if platform is None or not opened.images:
        return opened
    images = tuple(view for view in opened.images if view.image.platform.normalized() == platform.normalized())
    if not images:
        there = ", ".join(view.platform for view in opened.images)
        raise NoImage(f"has no image for {platform}", where=opened.name, hint=f"there is: {there}")
    return Opened(opened.name, str(images[0].image.descriptor.digest), "image", images)


def _of_word(run: Run, word: Any) -> list[Opened]:
    if isinstance(word, str):
        return [_of_text(run, word)]
    if isinstance(word, SCons.Node.Alias.Alias):
        nodes = [node for source in word.sources for node in _targets_of(source)]
        if not nodes:
            raise NoImage("stands for no image", where=str(word), hint="name an image, an index or a reference")
        return [opened for node in dict.fromkeys(nodes) for opened in _of_word(run, node)]
    if isinstance(word, SCons.Node.FS.Dir):
        return [_of_folder(Path(word.get_abspath()), shown(word))]
    return [_of_node(run, word)]


def _targets_of(node: Any) -> list[Any]:
    if isinstance(node, SCons.Node.Alias.Alias):
        return [target for source in node.sources for target in _targets_of(source)]
    return [node]


def _of_node(run: Run, node: Any) -> Opened:
    record, path, name = target_of(node), Path(node.get_abspath()), shown(node)
    if isinstance(record, (PushTarget, PinTarget)):
        return _of_reference(run, reference_of(node), record.reference, record.folder)
    if not path.exists():
        hint = f"build it first: {command()} {name}"
        raise NotBuilt("is not there", where=name, hint=hint)
    if is_index(node):
        views = [view for member in node.sources for view in _of_member(run, member)]
        return Opened(name, str(Digest.of(path.read_bytes())), "index", tuple(views))
    return _of_file(run, path, name)


def _of_member(run: Run, node: Any) -> tuple[ImageView, ...]:
    """The images of one member of an index: a tarball's, or that of a pin."""
    receipt = receipt_at(Path(node.get_abspath())) if isinstance(target_of(node), PinTarget) else None
    if receipt is None:
        return _of_word(run, node)[0].images
    record = target_of(node)
    source = run.build.registries.store(record.reference, record.folder)
    return images_of(source, receipt.descriptor.bare(), reference_of(node))


def _of_file(run: Run, path: Path, name: str) -> Opened:
    """An archive with an image in it, an index with its images beside it, a receipt; else a plain file."""
    if is_json(path):
        return _of_json(run, path, name)
    try:
        archive = Archive(path)
        roots = archive.roots
    except (MultiarchError, OSError):
        file = file_at(path, path.name)
        return Opened(name, f"sha256:{file.digest}" if file.digest else "", "file", files={path.name: file})
    if len(roots) != 1:
        raise NoImage(f"holds {len(roots)} images", where=name)
    image = archive.image()
    return Opened(name, str(image.descriptor.digest), "image", (_local(run, image, archive, name),))


def _local(run: Run, image: Image, archive: Archive, name: str) -> ImageView:
    """An image of a tarball, whose base's layers are read where the base is, and kept there for builds."""
    base = image.base

    def read_it(descriptor: Descriptor) -> Listing:
        if descriptor.digest in image.own:
            return read_layer(archive, descriptor, name)
        if descriptor.digest in image.shared:
            from scons_multiarch.shared.origins import open_origin

            return read_layer(open_origin(run, image.shared_at, patient=True), descriptor, f"cache {image.shared_at}")
        if base is None:
            raise NoImage("lies elsewhere, and nothing says where", where=name)
        return read_layer(run.build.registries.source(base), descriptor, str(base))

    return ImageView(name, image, archive, reading_once(read_it))


def _of_json(run: Run, path: Path, name: str) -> Opened:
    """A receipt's reference, or an index whose images lie in the folder `images` beside its own."""
    from multiarch_oci.index import Index

    receipt = receipt_at(path)
    if receipt is not None:
        return _of_text(run, str(receipt.reference))
    content = path.read_bytes()
    index = Index.from_json(content, where=name)
    known: dict[Digest, ImageView] = {}
    for tarball in sorted(path.parent.parent.glob("images/*.tar")):
        opened = _of_file(run, tarball, tarball.as_posix())
        known |= {view.image.descriptor.digest: view for view in opened.images}
    views = tuple(known[member.digest] for member in index.manifests if member.digest in known)
    if len(views) < len(index.manifests):
        hint = f"name where it was pushed to, as in {command()} tree localhost:5000/demo:v1.0"
        raise NoImage("is an index whose images are not in the folder images beside its own", where=name, hint=hint)
    return Opened(name, str(Digest.of(content)), "index", views)


def _of_folder(folder: Path, name: str) -> Opened:
    """An OCI layout with all that it lists, or a plain folder."""
    if not (folder / MARKER).is_file():
        return Opened(name, "", "folder", files=folder_files(folder))
    layout = Layout(folder)
    roots = layout.listed()
    views = [view for root in roots for view in images_of(layout, root.bare(), name)]
    distinct = {view.image.descriptor.digest: view for view in views}
    digest = str(roots[0].digest) if len(roots) == 1 else ""
    return Opened(name, digest, "layout", tuple(distinct.values()))


def _of_text(run: Run, word: str) -> Opened:
    """A reference, also to a folder of layouts; UnknownWord for a word alone that is no target."""
    path = run.tree.root / os.path.expanduser(word)  # noqa: PTH111  # as shells do it where they see it
    if path.is_dir():
        return _of_folder(path, word)
    if path.is_file():
        return _of_file(run, path, word)
    if not any(character in word for character in "/:@"):
        known = [*run.declarations.chains, "images", "manifest", "push-manifest"]
        hint = f"{nearest(word, known)}; a reference has a tag: {word}:latest"
        raise UnknownWord(f"there is no target {quoted(word)[1:-1]}", hint=hint)
    reference, folder = _located(word)
    return _of_reference(run, word, reference, folder)


def _located(word: str) -> tuple[Reference, str | None]:
    """A reference, and the layout's folder if it is one; `alpine:3` is one of Docker Hub."""
    if _FOLDER.match(word) or "\\" in word:
        return location(word)
    first = word.partition("/")[0]
    if "/" in word and not ("." in first or ":" in first or first == "localhost"):
        reference, folder = location(word)
        if folder is not None and Path(folder).is_dir():
            return reference, folder
    return Reference.parse(word), None


def _of_reference(run: Run, name: str, reference: Reference, folder: str | None) -> Opened:
    source = run.build.registries.store(reference, folder)
    tag = str(reference.digest) if reference.digest is not None else reference.tag or "latest"
    root = source.resolve(tag)
    if root is None:
        hint = "see the name and the tag; credentials come from docker login"
        if folder is not None:
            hint = f"no file and no folder is called so, and no tag was pushed to the folder {quoted(folder)}"
        raise NoImage("is not there", where=name, hint=hint)
    about = _ABOUT.fullmatch(tag)
    try:
        views = images_of(source, root.bare(), name)
    except (InvalidDocument, NoImage):
        if about is None:
            raise
        views = ()
    if about is not None and not views:
        subject = f"{about[1]}:{about[2]}"
        what = f"holds no image: it {'is said of' if about[3] else 'lists what refers to'} {subject}"
        hint = f"{command()} tree {name.rpartition(':')[0]}@{subject} shows that"
        raise NoImage(what, where=name, hint=hint)
    return Opened(name, str(root.digest), "image" if is_single(views, root) else "index", views)


def is_single(views: tuple[ImageView, ...], root: Descriptor) -> bool:
    """Whether what was resolved is one image itself."""
    return len(views) == 1 and views[0].image.descriptor.digest == root.digest
