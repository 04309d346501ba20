"""Tool: `env.Push`, an image or an index under a tag, of which a receipt is kept (behaviour, section 4)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiarch.document import InvalidDocument
from multiarch.errors import MultiarchError
from multiarch.reference import Reference
from multiarch.why import Facts
from oci_graph import reachable
from oci_nodes import declare
from oci_places import place
from oci_run import Run
from oci_steps import Step, add_method, write

if TYPE_CHECKING:
    from multiarch.descriptor import Descriptor
    from multiarch.digest import Digest
    from multiarch.receipt import Receipt
    from multiarch.store import Source


class TwoPushes(MultiarchError, ValueError):
    """One reference that two things of a build claim."""


def receipt_path(env: Any, reference: Reference, kind: str = "receipts") -> str:
    """Where the receipt of a reference lies; `:` of a port is no character of a file name everywhere."""
    registry = reference.registry.replace(":", "_").replace("[", "").replace("]", "")
    return str(env.subst(f"_output/{kind}/{registry}/{reference.repository}/{reference.tag}.json"))


def receipt_at(path: Path) -> Receipt | None:
    """The receipt of the last push; None when there is none that can be read."""
    from multiarch.receipt import Receipt

    try:
        return Receipt.from_json(path.read_bytes(), where=str(path))
    except (OSError, InvalidDocument, ValueError):
        return None


def content_of(run: Run, path: Path, reference: Reference) -> tuple[Source, Descriptor, Mapping[Digest, Reference]]:
    """Where to read an image or an index from, what it is, and which of its blobs other repositories may hold."""
    from multiarch.index import Index

    if path.suffix == ".json":
        from multiarch.store.memory import Memory

        content = path.read_bytes()
        descriptor = Index.from_json(content, where=str(path)).descriptor()
        memory = Memory(str(path))
        memory.put(descriptor, lambda: io.BytesIO(content))
        return memory, descriptor, {}
    from multiarch.store.archive import Archive, read_image
    from multiarch.store.chain import Chain

    image = read_image(path)
    archive = Archive(path)
    mountable = {d: r for d, r in image.mountable.items() if r.registry == reference.registry}
    if image.base is None:
        return archive, image.descriptor.bare(), mountable
    return Chain((archive, run.places.source(image.base)), base=str(image.base)), image.descriptor.bare(), mountable


def perform(target: list[Any], source: list[Any], env: Any) -> None:
    """Publish the source and write the receipt; remarks go to the terminal."""
    from multiarch.mediatype import is_index
    from multiarch.publish import publish

    node, run = target[0], env["MULTIARCH_RUN"]
    reference, folder = node.attributes.remote
    path = Path(node.get_abspath())
    content, root, mountable = content_of(run, Path(source[0].get_abspath()), reference)
    mend = node.attributes.mend
    run.places.forget(reference)
    done = publish(
        content,
        run.places.store(reference, folder, action="push"),
        root,
        reference,
        previous=receipt_at(path),
        policy=run.policy,
        also=node.attributes.also,
        mountable=mountable,
        deep=mend is not None and not is_index(root.media_type),  # what an index names is the work of its children
        again=mend or frozenset(),
    )
    for remark in done.remarks:
        print(f"  {spelled(remark, target)}", flush=True)  # noqa: T201  # a line the user must see
    node.attributes.digest = root.digest
    write(path, done.receipt.to_json())


def drifted(node: Any) -> str | None:
    """Why the registry is not as this push left it; None when it is."""
    run = node.attributes.run
    reference, folder = node.attributes.remote
    ask_all(run)
    receipt = receipt_at(Path(node.get_abspath()))
    found = run.places.observed(reference, folder)
    if receipt is None or found is None:
        return "it is not in the registry"
    if found != receipt.descriptor.digest:
        # By somebody, or by a run of this tree that was killed before it wrote its receipt.
        return f"it is not as pushed last: {receipt.descriptor.digest} → {found}"
    for tag in node.attributes.also:
        if run.places.observed(reference.with_tag(tag), folder) is None:
            return f"the tag {tag} is not in the registry"
    return None


def ask_all(run: Run) -> None:
    """Ask for every tag that the targets of this run lead to, all at once; only the first call of a run does."""
    run.once("asked", lambda: run.places.prefetch(pair for node in reachable() for pair in tags_of(node)))


def tags_of(node: Any) -> list[tuple[Reference, str | None]]:
    """Every tag that a push or pin looks at or writes, and the folder it is in."""
    reference, folder = node.attributes.remote
    copied = [node.attributes.copy_to] if node.check_attributes("copy_to") and node.attributes.copy_to[0] else []
    return [(reference, folder), *((reference.with_tag(tag), folder) for tag in node.attributes.also), *copied]


def spelled(text: str, nodes: list[Any], *, quote: Callable[[str], str] = str) -> str:
    """A text in which folder registries are called as on the command line, not by the host that stands for them."""
    for reference, folder in (pair for node in nodes for pair in tags_of(node)):
        if folder is not None:
            text = text.replace(reference.name, quote(Path(folder).as_posix()))
    return text


STEP = Step("Push", perform)
PUBLISH = Step("Publish", perform)


def push(env: Any, source: Any, reference: str, *, children: Any = (), also: Any = ()) -> Any:
    """Declare the push of an image, or of an index after its `children`; `also` are further tags."""
    text = env.subst(reference)
    where, folder = place(text)
    path = receipt_path(env, where)
    further = tuple(tag for tag in dict.fromkeys(also) if tag != where.tag)
    run: Run = env["MULTIARCH_RUN"]
    taken = run.claim(where, *map(where.with_tag, further))
    if taken is not None:
        name = f"{text.rpartition(':')[0]}:{taken.tag}"
        raise TwoPushes("is pushed twice in this build", where=name, hint="give each image a tag of its own")
    node = env.Flatten([source])[0]
    make = env.OciPublish if str(node).endswith(".json") else env.OciPush
    receipt = make(path, node)
    attributes = receipt[0].attributes
    attributes.remote, attributes.also = (where, folder), further
    attributes.spell = lambda words: spelled(words, receipt)
    attributes.mend = None  # of `verify`: what the registry holds damaged, when it lost something below a living tag
    values = {"reference": text}  # a further tag is no input: an absent one is drift, one that is there stays
    declare(env, receipt, lambda: Facts(values, {}), text, lambda: drifted(receipt[0]))
    env.Depends(receipt, env.Flatten([children]))
    env.NoCache(receipt)
    return receipt


def generate(env: Any) -> None:
    """Add `env.Push`."""
    env["BUILDERS"]["OciPush"] = env.Builder(action=STEP.action(), single_source=True)
    env["BUILDERS"]["OciPublish"] = env.Builder(action=PUBLISH.action(), single_source=True)
    add_method(env, push, "Push")


def exists(_env: Any) -> bool:
    """Always."""
    return True
