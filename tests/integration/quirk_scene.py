"""What a row of quirks is made of: a bent registry, what is done there, how it is bent, what is looked at after."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from machines.odd import BASIC, Bend, Call, OddRegistry, Reply, digest
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.index import Index
from multiarch_oci.manifest import Manifest
from multiarch_oci.mediatype import CONFIG, INDEX, LAYER_GZIP, MANIFEST
from multiarch_oci.reference import Reference
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.referrers import listing as listed
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.tags import resolve_all
from multiarch_oci.store.visible import Patience, Written

CHUNK = 64 << 10
SIZE = 4 * CHUNK - 7
QUICK = Settings(backoff=0.01, longest_pause=1.0, chunk=CHUNK, attempts=3, connect_timeout=3, read_timeout=5)
RANDOM = random.Random(7)  # noqa: S311  # the same content in every run
LAYER_BYTES, CONFIG_BYTES = RANDOM.randbytes(SIZE), b'{"architecture":"amd64","os":"linux"}'
LAYER, CONF = Descriptor.of(LAYER_GZIP, LAYER_BYTES), Descriptor.of(CONFIG, CONFIG_BYTES)
MANIFEST_BYTES = Manifest(CONF, (LAYER,)).to_json()
IMAGE = Manifest(CONF, (LAYER,)).descriptor()
NAME = "team/demo"
SCOPED = 'Bearer realm="{url}/token",service="tests"'
HTML = b"<html>\r\n<head><title>500</title></head>\r\n<body><center>nginx</center></body>\r\n</html>\r\n"


@dataclass
class Scene:
    """A bent registry, another host that shares what it holds, and we."""

    registry: OddRegistry
    beside: OddRegistry
    transport: Transport

    @property
    def store(self) -> Registry:
        written = Written(Patience(limit=1.0))  # a registry that says for ever that it lacks a part is an error soon
        return Registry(self.transport, Reference(self.registry.host, NAME), action="push", written=written)

    def fill(self) -> None:
        """Let the image be there, as v1."""
        state = self.registry.state
        state.blobs |= {str(LAYER.digest): LAYER_BYTES, str(CONF.digest): CONFIG_BYTES}
        state.manifests[str(IMAGE.digest)] = (MANIFEST_BYTES, MANIFEST)
        state.tags["v1"] = str(IMAGE.digest)


def push(scene: Scene) -> None:
    """Push the image and find it there, byte for byte."""
    store = scene.store
    assert store.resolve("v1") is None
    store.put(LAYER, lambda: io.BytesIO(LAYER_BYTES))
    store.put(CONF, lambda: io.BytesIO(CONFIG_BYTES))
    store.tag("v1", IMAGE, lambda: io.BytesIO(MANIFEST_BYTES))
    held = scene.registry.state
    assert held.blobs == {str(LAYER.digest): LAYER_BYTES, str(CONF.digest): CONFIG_BYTES}
    assert held.manifests[held.tags["v1"]] == (MANIFEST_BYTES, MANIFEST)
    assert store.resolve("v1") == IMAGE


def retag(scene: Scene) -> None:
    """Move a tag that names something else."""
    scene.fill()
    scene.registry.state.tags["v1"] = "sha256:" + "0" * 64
    scene.store.tag("v1", IMAGE, lambda: io.BytesIO(MANIFEST_BYTES))


def pull(scene: Scene) -> None:
    """Look at the tag, ask for all and read all."""
    scene.fill()
    store = scene.store
    assert store.resolve("v1") == IMAGE
    assert store.resolve("absent") is None
    assert store.has(LAYER)
    assert store.has(IMAGE)
    for descriptor, content in ((LAYER, LAYER_BYTES), (CONF, CONFIG_BYTES), (IMAGE, MANIFEST_BYTES)):
        with store.open(descriptor) as stream:
            assert stream.read() == content


def mount(scene: Scene) -> None:
    """Take the layer over from a repository beside it, or send it."""
    scene.fill()
    store = Registry(scene.transport, Reference(scene.registry.host, "team/another"), action="push")
    if not store.mount(LAYER, Reference(scene.registry.host, NAME)):
        store.put(LAYER, lambda: io.BytesIO(LAYER_BYTES))
    assert scene.registry.state.blobs[str(LAYER.digest)] == LAYER_BYTES


def listing(scene: Scene) -> None:
    assert scene.store.tags() == ("v1", "v2")


def referrers(scene: Scene) -> None:
    """Find what names the image as its subject, by the tag where the API is not there."""
    scene.fill()
    index = Index((IMAGE,))
    state = scene.registry.state
    state.manifests[str(index.descriptor().digest)] = (index.to_json(), INDEX)
    state.tags[f"sha256-{IMAGE.digest.hex}"] = str(index.descriptor().digest)
    assert listed(scene.store, IMAGE.digest).referrers == (IMAGE,)


def look_at_many(scene: Scene) -> None:
    """Ask for one tag in several repositories at once."""
    scene.fill()
    wanted = [Reference(scene.registry.host, f"team/{name}", "v1") for name in ("d", "b", "a", "c")]
    assert resolve_all(scene.transport, wanted) == dict.fromkeys(wanted, IMAGE)


def mount_and_put(scene: Scene) -> None:
    """Be refused a mount, and send what was not mounted."""
    mount(scene)
    assert scene.registry.of("PUT blob")


def grants_one(answer: Reply) -> Bend:
    """A token service that grants the last of several scopes; `answer` is what the registry says where it does not do."""

    def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
        if call.kind == "token":
            granted = call.query["scope"].split(":")[1]
            return Reply(200, {}, json.dumps({"token": f"for-{granted}", "expires_in": 300}).encode())
        repository = "/".join(call.path.split("/")[2:4])
        if call.authorization is None:
            return Reply(401, challenges=(SCOPED,))
        if call.authorization != f"Bearer for-{repository}" or call.kind == "mount":
            return answer
        return usual()

    return bend


def push_index(scene: Scene) -> None:
    scene.fill()
    index = Index((IMAGE,))
    scene.store.tag("v2", index.descriptor(), lambda: io.BytesIO(index.to_json()))


def on(kind: str, change: Callable[[Call, Reply], Reply]) -> Bend:
    """Change the usual answer to calls of one kind."""
    return lambda call, usual: change(call, usual()) if call.kind == kind else usual()


def instead(kind: str, reply: Reply, *, times: int = 10_000, after: int = 0) -> Bend:
    """Answer calls of one kind without doing what they ask."""

    def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
        return reply if call.kind == kind and after <= call.number < after + times else usual()

    return bend


def both(first: Bend, *others: Bend) -> Bend:
    """One after the other, the first one nearest to the client."""
    if not others:
        return first
    rest = both(*others)
    return lambda call, usual: first(call, lambda: rest(call, usual))


def everywhere(change: Callable[[Call, Reply], Reply]) -> Bend:
    return lambda call, usual: change(call, usual())


@dataclass(frozen=True)
class Quirk:
    """`error`: the whole text, with HOST and BESIDE for the two hosts; None, it works. `after` looks at the calls."""

    name: str
    source: str
    bend: Bend = lambda _, usual: usual()
    act: Callable[[Scene], None] = push
    error: str | None = None
    after: Callable[[Scene], bool] | None = None
    challenges: tuple[str, ...] = ()
    login: dict[str, str] | None = None
    tls: bool = False
    beside_tls: bool = False
    beside_challenges: tuple[str, ...] = ()


def located(shape: str) -> Callable[[Call, Reply], Reply]:
    """A Location of another shape; `{path}` is the session's usual one, `{beside}` the other host."""

    def change(_: Call, reply: Reply) -> Reply:
        path = reply.headers.get("Location", "")
        return reply.but(Location=shape.replace("{path}", path).replace("{name}", path.rpartition("/")[2]))

    return change


def ranged(spell: Callable[[Call, str], str]) -> Bend:
    """Another Range in the answers to PATCH."""
    return on("PATCH", lambda call, reply: reply.but(Range=spell(call, reply.headers.get("Range", ""))))


def takes(count: int) -> Bend:
    """So many bytes of each chunk are kept, and the Range says so."""

    def bend(call: Call, usual: Callable[[], Reply]) -> Reply:
        if call.kind == "PATCH":
            call.body = call.body[:count]
        return usual()

    return bend


def compressed(call: Call, reply: Reply) -> Reply:
    if call.kind == "GET blob":
        return reply
    body = gzip.compress(reply.body)
    length = str(len(body))
    return reply.but(Content_Encoding="gzip", Content_Length=length, body=body) if reply.body else reply


def labelled(call: Call, reply: Reply) -> Reply:
    return reply.but(Content_Encoding="x-gzip") if call.kind in ("GET blob", "HEAD blob") else reply


def sent(scene: Scene) -> list[int]:
    """The sizes of all bodies of the layer's upload."""
    return sent_to(scene.registry)


def sent_to(registry: OddRegistry) -> list[int]:
    calls = [call for call in registry.calls if call.kind in ("PATCH", "PUT blob")]
    return [len(call.body) for call in calls if call.body not in (b"", CONFIG_BYTES)]


def chunks_once(scene: Scene) -> bool:
    return sent(scene) == [CHUNK, CHUNK, CHUNK, SIZE - 3 * CHUNK]


def one_piece(scene: Scene) -> bool:
    return sent(scene)[-1] == SIZE


def nothing_to_strangers(scene: Scene) -> bool:
    ours = {call.authorization for call in scene.registry.calls}
    return {call.authorization for call in scene.beside.calls} == {None} and BASIC in ours


def nothing_to_strangers_at_all(scene: Scene) -> bool:
    return {call.authorization for call in scene.beside.calls} == {None}


def scope_of_the_token(scene: Scene) -> bool:
    return {call.query.get("scope") for call in scene.registry.of("token")} == {f"repository:{NAME}:pull,push"}


def untyped(scene: Scene) -> None:
    plain = json.dumps({k: v for k, v in json.loads(MANIFEST_BYTES).items() if k != "mediaType"}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    for name, content, media_type in (("v1", plain, MANIFEST), ("v2", index, INDEX)):
        scene.registry.state.manifests[digest(content)] = (content, media_type)
        scene.registry.state.tags[name] = digest(content)
        assert scene.store.resolve(name) == Descriptor(media_type, Digest.of(content), len(content))


def refreshes(scene: Scene) -> bool:
    calls = scene.registry.of("token")
    form = calls[0].body
    posted = {(call.method, call.authorization) for call in calls} == {("POST", None)}
    return posted and b"grant_type=refresh_token" in form and b"refresh_token=refresh-me" in form
