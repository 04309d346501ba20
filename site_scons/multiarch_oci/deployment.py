"""Deployment files with digests in the place of image names: Kubernetes, kustomize, Helm values, Compose.

`ruamel.yaml` says where each scalar stands; the text is changed there alone, so that comments, order, quotes, blank
lines and line ends are those of the file. JSON is YAML, too. Templates (`{{ … }}`) are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from multiarch_oci.digest import Digest
from multiarch_oci.errors import MultiarchError, one_line, quoted
from multiarch_oci.reference import Reference

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

SCHEME = "multiarch://"
"""Before an image's name: a value that can mean nothing else."""
LIMIT = 16 << 20
"""The most bytes of a file that is read."""

_KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_PLAIN = re.compile(r"[A-Za-z][\w./:@-]*[\w]")
_OTHERWISE = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null")


class NotResolved(MultiarchError, ValueError):
    """A deployment file that is no YAML, or that names an image which the build does not make."""


class Published(msgspec.Struct, frozen=True):
    """An image as it was published: `reference` has a tag, `digest` is what it holds."""

    reference: Reference
    digest: Digest

    @property
    def pinned(self) -> str:
        """`repository:tag@digest`."""
        return str(self.reference.with_digest(self.digest))


class Resolved(msgspec.Struct, frozen=True):
    """A file in which names are references with digests; `names` are those of the images that it named."""

    content: bytes
    names: frozenset[str]


def resolve(
    content: bytes, images: Mapping[str, Published], *, name: str, paths: Sequence[str] = (), where: str | None = None
) -> Resolved:
    """Let every image in a file be `repository:tag@digest`.

    `images` are by the name that files give them: `demo`, `multiarch://demo`, also with another tag or digest, or the
    repository that they were published to. `name` is the file's, which says what a kustomization is. What counts as an
    image: of Kubernetes' objects the `image` of containers of each kind and of image volumes, and what lies at `paths`
    (`spec.image`; lists are gone through); `images` of a kustomization (newName, newTag, digest); `image` of Compose's
    services; of all other files, Helm's values among them, `image`, and `repository` with `tag` and `digest` beside it.
    Raises NotResolved for what is no YAML, and for `multiarch://` before a name that is not in `images`.
    """
    if len(content) > LIMIT:
        raise NotResolved(f"is larger than {LIMIT >> 20} MiB", where=where, hint="no deployment file is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotResolved("is not UTF-8", where=where, hint="store it as UTF-8") from None
    file = _File(text, images, where)
    for document in _documents(text, where, file.aliases):
        file.document(document, name.rpartition("/")[2], paths)
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    return Resolved(mark + file.edited().encode(), frozenset(file.names))


def _documents(text: str, where: str | None, aliases: list[tuple[ScalarNode, ScalarNode]]) -> list[Node]:
    """The documents of a text; `aliases` gets each alias of a scalar, a node of its own, with what it stands for."""
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import Composer
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent
    from ruamel.yaml.nodes import ScalarNode

    class Marking(Composer):
        """Says where an alias stands; ruamel gives the node that it stands for, with that one's marks."""

        warn_double_anchors = False  # the last one counts

        def compose_node(self, parent: object, index: object) -> object:
            event = self.parser.peek_event()
            node = super().compose_node(parent, index)
            if not (isinstance(event, AliasEvent) and isinstance(node, ScalarNode)):
                return node
            value = node.value.strip() if _is_block(node) else node.value
            alias = ScalarNode(node.tag, value, event.start_mark, event.end_mark)
            aliases.append((alias, node))
            return alias

    yaml = YAML(typ="rt", pure=True)
    yaml.Composer = Marking
    try:
        return [document for document in yaml.compose_all(text) if document is not None]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f"line {mark.line + 1}: "
        problem = " ".join(filter(None, (error.context, error.problem)))
        hint = "a Helm template is none: give its values.yaml" if "{{" in text else "correct it there"
        raise NotResolved(f"{line}is no YAML: {problem}", where=where, hint=hint) from None
    except (YAMLError, RecursionError, ValueError) as error:
        raise NotResolved(f"is no YAML: {one_line(error)}", where=where, hint="correct it") from None


class _File:
    """A text, and what is to stand in the place of parts of it."""

    def __init__(self, text: str, images: Mapping[str, Published], where: str | None) -> None:
        self._text = text
        self._images = images
        self._where = where
        self._repositories = {str(image.reference.name): name for name, image in images.items()}
        self._edits: dict[tuple[int, int], str] = {}
        self._names_of_others: set[tuple[int, int]] = set()  # by which a kustomization knows images in other files
        self.names: set[str] = set()
        self.aliases: list[tuple[ScalarNode, ScalarNode]] = []

    def edited(self) -> str:
        """The text with all changes; an alias that names no image stands for what it stood for."""
        text = self._text
        for alias, node in self.aliases:
            start, end = self._span(node)
            if (start, end) in self._edits:
                before = json.dumps(node.value) if _is_block(node) else text[start:end]
                self._edits.setdefault(self._span(alias), before)
        for (start, end), new in sorted(self._edits.items(), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def document(self, root: Node, name: str, paths: Sequence[str]) -> None:
        """Change one document."""
        keys = {key.value: value for key, value in _pairs(root)}
        kind = getattr(keys.get("kind"), "value", None)
        if name in _KUSTOMIZATION or kind in ("Kustomization", "Component"):
            self._kustomization(keys.get("images"))
        elif "kind" in keys and "apiVersion" in keys:
            self._objects(root)
            for path in paths:
                self._at(root, [part for part in re.split(r"[.\[\]*]+", path) if part])
        elif "services" in keys:
            for _, service in _pairs(keys["services"]):
                self._image(_members(service).get("image"))
        else:
            self._values(root)
        self._rest(root)

    # -- what files are made of --------------------------------------------------------------------------------------

    def _objects(self, root: Node) -> None:
        for mapping in _mappings(root):
            for key, value in _pairs(mapping):
                if key.value in _CONTAINERS:
                    for container in _items(value):
                        self._image(_members(container).get("image"))
                elif key.value == "volumes":
                    for volume in _items(value):
                        image = _members(volume).get("image")
                        self._image(_members(image).get("reference"))

    def _at(self, node: Node, path: list[str]) -> None:
        for item in _items(node) or [node]:
            if not path:
                self._repository(item)
                self._image(item)
            else:
                for key, value in _pairs(item):
                    if key.value == path[0]:
                        self._at(value, path[1:])

    def _values(self, root: Node) -> None:
        for mapping in _mappings(root):
            self._repository(mapping)
            for key, value in _pairs(mapping):
                if key.value == "image":
                    self._image(value)
        for mapping in _mappings(root):
            self._keep_merged(mapping)

    def _kustomization(self, images: Node | None) -> None:
        for entry in _items(images):
            known = _members(entry)
            image = self._named(known.get("name")) or self._named(known.get("newName"))
            if "name" in known:
                self._names_of_others.add(self._span(known["name"]))
            if image is not None:
                self._set(entry, "newName", str(image.reference.name), after="name")
                self._set(entry, "newTag", image.reference.tag or "latest", after="newName")
                self._set(entry, "digest", str(image.digest), after="newTag")

    def _repository(self, mapping: Node) -> None:
        """`repository` of Helm's values, with its tag and digest, and its registry where that stands apart."""
        known, own = _members(mapping), _own(mapping)
        repository, registry = known.get("repository"), known.get("registry")
        image = self._named(repository, before=_text(registry))
        if image is None:
            return
        reference, tag = image.reference, image.reference.tag or "latest"
        values = {"repository": str(reference.name), "tag": tag}
        if registry is not None:
            values |= {"repository": reference.repository, "registry": reference.registry}
        if "digest" in known:
            values["digest"] = str(image.digest)
        else:  # a chart that knows no digest joins repository and tag
            values["tag"] += f"@{image.digest}"
        for key, text in values.items():
            if "repository" in own or key in own:  # what is merged changes where it stands
                self._set(mapping, key, text, after="repository")

    def _keep_merged(self, mapping: Node) -> None:
        """Let somebody else's repository keep the tag that it merges from one of ours."""
        own = _own(mapping)
        if "repository" in own and self._span(own["repository"]) not in self._edits:
            for key, value in _members(mapping).items():
                if key in ("registry", "tag", "digest") and key not in own and self._span(value) in self._edits:
                    self._set(mapping, key, _text(value) or "", after="repository")

    def _rest(self, root: Node) -> None:
        """Whatever begins with the scheme is an image, wherever it stands."""
        for scalar in _scalars(root):
            if scalar.value.startswith(SCHEME) and self._span(scalar) not in {*self._edits, *self._names_of_others}:
                self._image(scalar)

    # -- which image is meant, and what is written -------------------------------------------------------------------

    def _image(self, node: Node | None) -> None:
        image = self._named(node)
        if image is not None and node is not None:
            self._replace(node, image.pinned)

    def _named(self, node: Node | None, *, before: str | None = None) -> Published | None:
        """The image that a scalar names, None for one of somebody else; `before` is the registry that stands apart."""
        text = _text(node)
        if text is None or node is None:
            return None
        text = text.strip() if _is_block(node) else text  # which ends in a line end
        bare = _without_tag(text.removeprefix(SCHEME))
        if text.startswith(SCHEME):
            if bare not in self._images:
                known = ", ".join(self._images) or "none"
                what = f"line {node.start_mark.line + 1}: {quoted(text)} is no image of this build"
                raise NotResolved(what, where=self._where, hint=f"there is: {known}")
            name = bare
        elif bare in self._images and before in (None, "", self._images[bare].reference.registry):
            name = bare
        else:
            name = self._repositories.get(f"{before}/{bare}" if before else bare, "")
        if name not in self._images:
            return None
        self.names.add(name)
        return self._images[name]

    def _set(self, mapping: Node, key: str, text: str, *, after: str = "") -> None:
        """Let a key of a mapping have a value; a new one stands after another, or first."""
        pairs = _own(mapping)
        keys = {name.value: name for name, _ in _pairs(mapping)}
        if key in pairs and _text(pairs[key]) == "" and getattr(pairs[key], "style", None) is None:  # `tag:`
            end = self._text.index(":", keys[key].end_mark.index) + 1
            self._edits[end, end] = f" {_written(text, None)}"
            return
        if key in pairs:
            self._replace(pairs[key], text)
            return
        anchor = after if after in keys else next(iter(keys))
        head, value = keys[anchor], pairs[anchor]
        end = self._span(value)[1]
        if getattr(mapping, "flow_style", False):
            quote = '"' if self._text[head.start_mark.index] == '"' else ""
            new = f", {quote}{key}{quote}: {_written(text, quote or None)}"
        else:
            newline = "\r\n" if "\r\n" in self._text else "\n"
            line_end = self._text.find(newline, end)
            end = line_end if line_end >= 0 else len(self._text)
            new = f"{newline}{' ' * head.start_mark.column}{key}: {_written(text, None)}"
        self._edits[end, end] = self._edits.get((end, end), "") + new

    def _replace(self, node: Node, text: str) -> None:
        start, end = self._span(node)
        self._edits[start, end] = _written(text, getattr(node, "style", None))

    def _span(self, node: Node) -> tuple[int, int]:
        """Where a scalar stands, without its anchor and tag, and without the line ends after a literal one."""
        start, end = node.start_mark.index, node.end_mark.index
        end = start + len(self._text[start:end].rstrip()) if _is_block(node) else end
        head = re.compile(r"(?:[&!]\S*\s+)*").match(self._text, start, end)
        return (start if head is None else head.end()), end


def _written(text: str, style: str | None) -> str:
    """A scalar; in quotes where it stood in some, or where YAML would take it for something else than a text."""
    if style in ("'", '"'):
        return f"{style}{text}{style}"
    return text if _PLAIN.fullmatch(text) and not _OTHERWISE.fullmatch(text) else f'"{text}"'


def _is_block(node: Node) -> bool:
    return getattr(node, "style", None) in ("|", ">")


def _without_tag(text: str) -> str:
    """An image's name without its tag and digest; the colon of a port is none of a tag."""
    bare = text.partition("@")[0]
    head, colon, tag = bare.rpartition(":")
    return head if colon and "/" not in tag else bare


def _text(node: Node | None) -> str | None:
    value = getattr(node, "value", None)
    return value if isinstance(value, str) else None


def _pairs(node: Node | None) -> Iterable[tuple[ScalarNode, Node]]:
    """The members of a mapping whose keys are scalars; none of anything else."""
    from ruamel.yaml.nodes import MappingNode, ScalarNode

    return [pair for pair in node.value if isinstance(pair[0], ScalarNode)] if isinstance(node, MappingNode) else []


def _own(node: Node | None) -> dict[str, Node]:
    """The members of a mapping by their keys."""
    return {key.value: value for key, value in _pairs(node)}


def _members(node: Node | None) -> dict[str, Node]:
    """The members of a mapping by their keys, and those that `<<` merges into it."""
    members: dict[str, Node] = {}
    pending: list[Node | None] = [node]
    seen: set[int] = set()
    while pending:
        mapping = pending.pop(0)
        if id(mapping) not in seen:
            seen.add(id(mapping))
            own = _own(mapping)
            merged = own.pop("<<", None)
            members = own | members
            pending = [*_items(merged), merged, *pending]
    return members


def _items(node: Node | None) -> list[Node]:
    """The items of a sequence; none of anything else."""
    from ruamel.yaml.nodes import SequenceNode

    return list(node.value) if isinstance(node, SequenceNode) else []


def _all(root: Node) -> Iterator[Node]:
    """A node and all below it, each once, as anchors lead to some from several places."""
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        pending += _items(node)
        pending += [value for _, value in _pairs(node)]


def _mappings(root: Node) -> Iterator[MappingNode]:
    from ruamel.yaml.nodes import MappingNode

    return (node for node in _all(root) if isinstance(node, MappingNode))


def _scalars(root: Node) -> Iterator[ScalarNode]:
    from ruamel.yaml.nodes import ScalarNode

    return (node for node in _all(root) if isinstance(node, ScalarNode))
