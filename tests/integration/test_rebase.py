"""An image over a moved base: what is taken over without the engine is what the engine itself makes from clean."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from machines.bases import store_of
from machines.builders import busybox
from machines.registry import Registry
from multiarch_oci import layer
from multiarch_oci.config import HealthCheck, History, ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest
from multiarch_oci.engine import Base, Engine
from multiarch_oci.engine.buildx import BuildxEngine
from multiarch_oci.engine.docker import DockerEngine
from multiarch_oci.engine.external.calling import Programs
from multiarch_oci.engine.external.surroundings import Surroundings
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.podman import PodmanEngine
from multiarch_oci.engine.rebase.independence import Dependent
from multiarch_oci.engine.rebase.rebasing import rebase
from multiarch_oci.layer import Entry
from multiarch_oci.manifest import Manifest
from multiarch_oci.reference import Reference
from multiarch_oci.store.archive import Archive
from workshop import AMD64, Workshop, elf

EPOCH = 1_700_000_000
MAKERS: dict[str, Callable[[Surroundings], Engine]] = {
    "buildx": BuildxEngine,
    "podman": PodmanEngine,
    "docker": DockerEngine,
    "docker without BuildKit": DockerEngine,
}
OLD = ImageConfig(
    AMD64,
    env=("PATH=/usr/bin:/bin", "OWN=theirs", "AGE=old", "GONE=1"),
    entrypoint=("/bin/sh", "-c"),
    cmd=("old",),
    labels=(("age", "old"), ("gone", "1"), ("name", "base")),
    exposed_ports=("1/tcp",),
    user="7",
    stop_signal="SIGINT",
)
NEW = ImageConfig(
    AMD64,
    env=("PATH=/opt/bin:/usr/bin:/bin", "OWN=theirs", "AGE=new"),
    entrypoint=("/init",),
    cmd=("new", "er"),
    labels=(("age", "new"), ("name", "base"), ("own", "theirs"), ("more", "2")),
    exposed_ports=("2/tcp",),
    user="8",
    stop_signal="SIGQUIT",
    healthcheck=HealthCheck(("CMD", "/bin/sh"), interval=5_000_000_000),
)
FOLDERS = ("bin", "etc", "usr", "usr/local", "usr/local/bin")
Files = dict[str, bytes]


def entries(files: Files) -> list[Entry]:
    """Return a base's files, in folders that are older than the image."""
    shell = Entry.of_bytes("bin/sh", busybox(), mode=0o755)
    return [
        *(Entry.directory(name) for name in FOLDERS), shell,
        *(Entry.of_bytes(path, content) for path, content in files.items()),
    ]  # fmt: skip


@dataclass
class Bench:
    """A workshop over a base in a registry, and the engine that builds there."""

    shop: Workshop
    registry: Registry
    engine: Engine
    network: str
    is_legacy: bool

    def push(self, config: ImageConfig, *layers: list[Entry], name: str = "base") -> Digest:
        reference = Reference.parse(f"{self.registry.host}/{name}:v1")
        store = store_of(reference)
        descriptors, ids = [], []
        for each in layers:
            sink = io.BytesIO()
            written = layer.write(each, sink, epoch=EPOCH - 1000)
            store.put(written.descriptor, partial(io.BytesIO, sink.getvalue()))
            descriptors.append(written.descriptor)
            ids.append(written.diff_id)
        lines = tuple(History(created_by=f"layer {number}") for number, _ in enumerate(layers))
        content = replace(config, diff_ids=tuple(ids), history=lines).to_json()
        manifest = Manifest(Descriptor.of(ImageConfig(AMD64).descriptor().media_type, content), tuple(descriptors))
        store.put(manifest.config, lambda: io.BytesIO(content))
        store.put(manifest.descriptor(), lambda: io.BytesIO(manifest.to_json()))
        store.tag("v1", manifest.descriptor())
        self.shop.bases = (
            *(base for base in self.shop.bases if base.name != str(reference)),
            Base(str(reference), AMD64, manifest.descriptor().digest, config.env, config.on_build),
        )
        return manifest.descriptor().digest

    def plan(self, text: str, **more: Any) -> Any:
        base = f"{self.registry.host}/base:v1"
        text = text.replace("BASE", base).replace("OTHER", f"{self.registry.host}/other:v1")
        return self.shop.plan(text, epoch=EPOCH, network=self.network, **more)

    def rebase(self, text: str, output: Path, **more: Any) -> Any:
        return rebase(
            self.plan(text, **more),
            output,
            reader=Reader(),
            open_source=store_of,
            warn=self.shop.warnings.append,
            engine=self.engine.name,
        )


@pytest.fixture(params=MAKERS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, registry: Registry) -> Bench:
    folder = tmp_path / "context"
    folder.mkdir()
    shop = Workshop(folder)
    shop.write("demo", elf("amd64"), mode=0o755)
    shop.write("conf/a.conf", "a")
    environment = dict(request.getfixturevalue(f"{request.param.split()[0]}_environment"))
    if " " in request.param:
        environment["PATH"] = ""  # no docker command line: docker-py, and so the legacy builder
    given = Surroundings(store_of, shop.warnings.append, Programs(environment, print), Reader(), ("127.0.0.0/8",))
    return Bench(
        shop, registry, MAKERS[request.param](given), "" if request.param == "podman" else "none", " " in request.param
    )


def told(path: Path) -> dict[str, object]:
    """Return what a tarball is, field by field, for a comparison that says where two differ."""
    image = Archive(path).image()
    fields = {name: getattr(image.config, name) for name in ImageConfig.__struct_fields__}
    return fields | {"layers": image.layers, "root": image.descriptor}


CONFIG = """FROM BASE
LABEL own=1
ENV OWN=ours SAID="$AGE and more" PATH=/mine:$PATH
CMD ["x"]
"""
COPIED = """FROM OTHER AS build
RUN mkdir /out && echo built > /out/demo.txt && mkdir /out/d && echo x > /out/d/x && ln -s d /out/l
FROM BASE AS middle
COPY conf /srv/conf
COPY --from=build /out/demo.txt /srv/demo.txt
FROM middle
ENV OWN=ours
COPY --from=build /out /srv/out
COPY demo /usr/local/bin/
USER 9
WORKDIR /srv/work
COPY --chown=5:6 conf/*.conf .
ENTRYPOINT ["/usr/local/bin/demo"]
"""


@pytest.mark.parametrize("text", [CONFIG, COPIED], ids=["config alone", "files too"])
def test_a_rebased_image_is_the_one_that_the_engine_makes_from_clean(bench: Bench, tmp_path: Path, text: str):
    bench.push(ImageConfig(AMD64), entries({}), name="other")
    before = bench.push(OLD, entries({"etc/motd": b"old"}))
    output, clean = tmp_path / "image.tar", tmp_path / "clean.tar"
    bench.engine.build(bench.plan(text, labels=(("more", "said"),)), output)
    own = [each for each in Archive(output).image().layers if each.digest in Archive(output).held]
    after = bench.push(NEW, entries({"etc/motd": b"new", "usr/new": b"1"}), [Entry.of_bytes("opt/bin/x", b"2")])
    if bench.is_legacy and text == CONFIG:  # its history has the ENV of the base in it
        with pytest.raises(Dependent, match="its history speaks of the base"):
            bench.rebase(text, output, labels=(("more", "said"),))
        return
    found = bench.rebase(text, output, labels=(("more", "said"),))
    assert (found.before, found.after) == (before, after)
    bench.engine.build(bench.plan(text, labels=(("more", "said"),)), clean)
    assert told(output) == told(clean)
    assert output.read_bytes() == clean.read_bytes()
    taken = [each for each in Archive(output).image().layers if each.digest in Archive(output).held]
    assert taken == own
    assert bench.rebase(text, output, labels=(("more", "said"),)) is None


FORMS = """FROM BASE
COPY conf /app/conf
COPY demo /usr/local/bin/demo
ENTRYPOINT run $AGE
"""


@pytest.mark.parametrize(
    "change",
    [
        {"working_dir": "/etc"},
        {"shell": ("/bin/sh", "-xc")},
        {"volumes": ("/data",)},
        {"author": "somebody"},
        {"healthcheck": HealthCheck(("CMD", "/bin/sh"), retries=2)},
        {"entrypoint": ("/x",), "cmd": ("y",)},
        {"env": ("AGE=old", "PATH=/x")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_property_of_a_base_is_as_from_clean_or_the_engines(bench: Bench, tmp_path: Path, change: dict[str, Any]):
    bench.push(OLD, entries({"etc/motd": b"old"}))
    output, clean = tmp_path / "image.tar", tmp_path / "clean.tar"
    bench.engine.build(bench.plan(FORMS), output)
    bench.push(replace(OLD, **change), entries({"etc/motd": b"new"}))
    if bench.engine.name != "buildx" and change.keys() & {"shell", "author"}:
        with pytest.raises(Dependent, match="the configs of the bases differ in"):
            bench.rebase(FORMS, output)
        return
    assert bench.rebase(FORMS, output) is not None
    bench.engine.build(bench.plan(FORMS), clean)
    assert told(output) == told(clean)
    assert output.read_bytes() == clean.read_bytes()
