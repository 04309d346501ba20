"""Images over a moved base, as an engine that writes what BuildKit writes would make them: the same, or refused."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from multiarch_oci.config import History, ImageConfig
from multiarch_oci.engine.export.made import Made
from multiarch_oci.engine.export.normalising import normalise
from multiarch_oci.engine.frontend.fingerprint import apart_from
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.rebase.independence import Dependent
from multiarch_oci.engine.rebase.rebasing import candidate, promising, rebase
from multiarch_oci.errors import MultiarchError
from multiarch_oci.executable import WrongMachine
from multiarch_oci.layer import Entry
from multiarch_oci.platform import Platform
from multiarch_oci.store import BlobMissing
from multiarch_oci.store.archive import Archive
from workshop import AMD64, elf

NAME = "example.com/base:v1"
FOLDERS = tuple(map(Entry.directory, ("etc", "srv", "usr", "usr/bin")))
LINK = Entry.symlink("bin", "usr/bin")
OLD = ImageConfig(AMD64, env=("PATH=/bin", "AGE=old"), cmd=("old",), labels=(("age", "old"),))
NEW = ImageConfig(AMD64, env=("AGE=new", "PATH=/sbin", "MORE=1"), entrypoint=("/init",), working_dir="/")


def file(path, content=b"x", **more):
    return Entry.of_bytes(path, content, **more)


def based(shop, *layers, config=OLD, name=NAME, told=True):
    """Put a base under the one name; it is what the plans find from now on."""
    lines = tuple(History(created_by=f"layer {number}") for number, _ in enumerate(layers)) if told else ()
    shop.bases = tuple(base for base in shop.bases if base.name != name)
    base = shop.base(name, *layers, config=replace(config, history=lines))
    shop.bases = (*shop.bases[:-1], replace(base, env=config.env, on_build=config.on_build))
    return base.digest


def engine_made(shop, text, output, *, engine="buildx", change=None, said=None, **more):
    """Make what an engine makes: the embedded one's image is BuildKit's, and is normalised."""
    plan = shop.plan(text, **more)
    aside = shop.folder.parent / "aside.tar"
    shop.engine().build(plan, aside)
    archive = Archive(aside)
    image = archive.image()
    places = [partial((archive if layer.digest in image.own else shop.store).open, layer) for layer in image.layers]
    config = image.config if change is None else change(image.config)
    reader = Reader()
    settled = reader.settled(plan, lambda _: shop.store)
    first = settled.recipe.base_stage
    told = settled.plan if said is None else replace(shop.plan(said, **more), bases=settled.plan.bases)
    key = apart_from(told, reader.inputs(told), first.base, first.platform)
    made = Made(config.to_json(), tuple(places))
    normalise(made, settled, output, engine=engine, warn=shop.warnings.append, made_from=key)


def rebased(shop, text, *, engine="buildx", **more):
    return rebase(
        shop.plan(text, **more),
        shop.output,
        reader=Reader(),
        open_source=lambda _: shop.store,
        warn=shop.warnings.append,
        engine=engine,
    )


@pytest.fixture(autouse=True)
def _context(shop):
    shop.write("demo", elf("amd64"), mode=0o755)
    shop.write("conf/a.conf", "a")
    shop.write("conf/b.conf", "b")


FILES = """FROM scratch AS build
COPY conf /out/conf
FROM example.com/base:v1 AS middle
COPY --from=build /out/conf/a.conf /srv/a.conf
FROM middle
COPY --from=build /out /app
COPY conf/*.conf /app/conf/
COPY demo /demo
USER 5
WORKDIR /app/work
COPY --chown=6:7 conf .
"""
CONFIG = """FROM example.com/base:v1
ENV AGE2=$AGE MORE=2
LABEL of=$AGE
CMD run
HEALTHCHECK CMD x
EXPOSE 80
"""
ENTRY = 'FROM example.com/base:v1\nENTRYPOINT ["/x"]\n'


@pytest.mark.parametrize("text", [FILES, CONFIG, ENTRY], ids=["files", "config", "an entrypoint over a base's command"])
def test_it_is_the_image_of_a_clean_build_byte_for_byte(shop, tmp_path, text):
    before = based(shop, FOLDERS, (file("etc/age", b"old"), LINK), config=OLD)
    engine_made(shop, text, shop.output, labels=(("l", "1"),))
    after = based(shop, FOLDERS, (file("etc/age", b"new"), LINK, file("usr/bin/more")), config=NEW)
    found = rebased(shop, text, labels=(("l", "1"),))
    assert (found.before, found.after) == (before, after)
    engine_made(shop, text, tmp_path / "clean.tar", labels=(("l", "1"),))
    assert shop.output.read_bytes() == (tmp_path / "clean.tar").read_bytes()
    assert found.descriptor.bare() == Archive(shop.output).image().descriptor.bare()
    assert rebased(shop, text, labels=(("l", "1"),)) is None


def test_bases_are_read_only_where_files_are_written(shop):
    based(shop, FOLDERS, (file("etc/age", b"old"),))
    engine_made(shop, CONFIG, shop.output)
    based(shop, FOLDERS, (file("etc/age", b"new"),))
    layers = Archive(shop.output).image().layers
    shop.store.opened.clear()
    assert rebased(shop, CONFIG) is not None
    assert not {each.digest for each in shop.store.opened} & {layer.digest for layer in layers}


HEAD = "FROM example.com/base:v1\n"
BUILD = "FROM scratch AS build\nCOPY conf /out\nFROM example.com/base:v1\n"
PASSWD = b"me:x:1000:1000::/:/bin/sh\n"


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        pytest.param(
            BUILD + "COPY --from=build /out /usr/\n", (), (file("usr/new"),),
            "Dockerfile.test:4: COPY: '/usr/new' of the bases differs, and may decide what is written to '/usr'\n"
            "  hint: name the file in the destination, or a folder that the base does not have",
            id="an unknown source into a folder of the base",
        ),
        pytest.param(
            HEAD + "COPY demo /bin/demo\n", (LINK,), (Entry.directory("bin"),),
            "Dockerfile.test:2: COPY: '/bin' of the bases differs", id="a destination through a link",
        ),
        pytest.param(
            HEAD + "COPY demo /opt/demo\n", (), (Entry.directory("opt", mode=0o700),),
            "Dockerfile.test:2: COPY: '/opt' of the bases differs", id="a folder that one base has",
        ),
        pytest.param(
            HEAD + "COPY demo /opt/demo\n", (Entry.directory("opt"),), (Entry.directory("opt", mode=0o700),),
            "Dockerfile.test:2: COPY: '/opt' of the bases differs", id="the mode of a folder",
        ),
        pytest.param(
            HEAD + "COPY conf /opt\n", (), (file("opt/a.conf", b"z", mode=0o644),),
            "Dockerfile.test:2: COPY: '/opt/a.conf' may be in the new base already",
            id="a folder that one base has, and files in it",
        ),
        pytest.param(
            HEAD + "COPY demo /demo\n", (), (file("demo", elf("amd64"), mode=0o755),),
            "Dockerfile.test:2: COPY: '/demo' may be in the new base already", id="a file that the new base may have just so",
        ),
        pytest.param(
            HEAD + "COPY demo /demo\n", (), (Entry.symlink("demo", "etc/demo"),),
            "Dockerfile.test:2: COPY: '/demo' is something else in the other base", id="a link where the file goes",
        ),
        pytest.param(
            HEAD + "WORKDIR /work\n", (), (Entry.directory("work"),),
            "Dockerfile.test:2: WORKDIR: '/work' of the bases differs", id="a WORKDIR that one base has",
        ),
        pytest.param(
            HEAD + "COPY --chown=me demo /demo\n",
            (file("etc/passwd", PASSWD),), (file("etc/passwd", PASSWD.replace(b"1000", b"1001")),),
            "Dockerfile.test:2: COPY: names users, and '/etc/passwd' of the bases differs\n"
            "  hint: name them by number",
            id="a user by name",
        ),
        pytest.param(
            HEAD + "USER me\nWORKDIR /work\n",
            (file("etc/passwd", PASSWD),), (file("etc/passwd", PASSWD.replace(b"1000", b"1001")),),
            "Dockerfile.test:3: WORKDIR: names users, and '/etc/passwd' of the bases differs\n"
            "  hint: name them by number",
            id="a WORKDIR of a user by name",
        ),
    ],
)  # fmt: skip
def test_layers_that_may_depend_on_the_base_are_the_engines(shop, text, old, new, words):
    based(shop, FOLDERS, old)
    engine_made(shop, text, shop.output)
    kept = shop.output.read_bytes()
    based(shop, FOLDERS, new)
    with pytest.raises(Dependent) as caught:
        rebased(shop, text)
    assert str(caught.value) == words
    assert shop.output.read_bytes() == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "COPY --from=example.com/base:v1 /etc/age /age\n", "Dockerfile.test:2: copies from the base"),
        ("FROM example.com/base:v1 AS one\nFROM one\nCOPY --from=one /etc /x\n", "Dockerfile.test:3: copies from the base"),
        (
            "FROM example.com/base:v1 AS one\nCOPY demo /d\n" + HEAD + "COPY --from=one /d /d\n",
            "Dockerfile.test:1: another stage stands on example.com/base:v1, too",
        ),
        (
            "FROM example.com/base:v1 AS one\nFROM one AS two\nCOPY demo /d\nFROM one\nCOPY --from=two /d /d\n",
            "Dockerfile.test:2: another stage stands on example.com/base:v1, too",
        ),
    ],
)  # fmt: skip
def test_stages_that_ask_for_the_base_are_the_engines(shop, text, words):
    based(shop, FOLDERS, (file("etc/age", b"old"),))
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, (file("etc/age", b"new"),))
    plan = shop.plan(text)
    assert candidate(plan, shop.output, Reader(), engine="buildx") is not None
    assert not promising(plan, shop.output, Reader(), engine="buildx")
    with pytest.raises(Dependent) as caught:
        rebased(shop, text)
    assert str(caught.value) == words


def test_what_the_base_says_to_copy_or_run_is_the_engines(shop):
    text = HEAD + "COPY demo /demo\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=replace(NEW, on_build=("ENV X=1",)))
    with pytest.raises(Dependent, match=r"^Dockerfile.test:1: ONBUILD of a base$"):
        rebased(shop, text)
    based(shop, FOLDERS, config=replace(NEW, on_build=("ENV X=1",)))
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=NEW)
    with pytest.raises(Dependent, match=r"^Dockerfile.test:1: ONBUILD of a base$"):
        rebased(shop, text)


def test_an_instruction_that_means_something_else_is_the_engines(shop):
    text = HEAD + "COPY demo /$AGE/demo\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=NEW)
    with pytest.raises(Dependent, match=r"^Dockerfile.test:2: COPY: means something else over the new base$"):
        rebased(shop, text)
    text = HEAD + "COPY demo sub/demo\n"
    based(shop, FOLDERS, config=replace(OLD, working_dir="/srv"))
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=replace(OLD, working_dir="/etc"))
    with pytest.raises(Dependent, match=r"^Dockerfile.test:2: COPY: means something else over the new base$"):
        rebased(shop, text)


@pytest.mark.parametrize(
    ("change", "config", "words"),
    [
        (lambda made: replace(made, user="nobody"), OLD, None),
        (lambda made: replace(made, user="nobody"), NEW, "what the engine makes of 'user' is not known"),
        (lambda made: made, replace(OLD, others=(("variant.x", 1),)), "the configs of the bases differ in 'others'"),
        (lambda made: made, replace(OLD, args_escaped=True), "the configs of the bases differ in 'args_escaped'"),
        (
            lambda made: replace(made, history=(*made.history[:-1], replace(made.history[-1], created_by="so"))),
            OLD,
            "its history speaks of the base",
        ),
    ],
    ids=["alike", "a field", "an extension", "escaped arguments", "history"],
)
def test_an_engine_that_makes_another_config_is_asked(shop, tmp_path, change, config, words):
    text = HEAD + "COPY demo /demo\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output, change=change)
    based(shop, FOLDERS, (file("etc/new"),), config=config)
    if words is None:
        rebased(shop, text)
        engine_made(shop, text, tmp_path / "clean.tar", change=change)
        assert shop.output.read_bytes() == (tmp_path / "clean.tar").read_bytes()
        return
    with pytest.raises(Dependent) as caught:
        rebased(shop, text)
    assert caught.value.what == words


def test_where_an_engine_puts_a_variable_has_to_be_known(shop):
    """Buildah moves a variable that the Dockerfile sets to the end; that the old base had none of it hides this."""
    text = HEAD + "ENV OWN=1\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output, engine="podman")
    based(shop, FOLDERS, config=replace(OLD, env=("OWN=0", *OLD.env)))
    with pytest.raises(Dependent, match="what the engine makes of 'env' is not known"):
        rebased(shop, text, engine="podman")


def test_a_history_that_does_not_tell_all_layers_is_the_engines(shop):
    text = HEAD + "COPY demo /demo\n"
    based(shop, FOLDERS, told=False)
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, (file("etc/new"),), told=False)
    with pytest.raises(Dependent, match="a history that does not tell all layers"):
        rebased(shop, text)


def test_an_old_base_that_is_gone_is_an_error_that_leaves_the_image(shop):
    text = HEAD + "COPY demo /demo\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output)
    kept = shop.output.read_bytes()
    shop.store = type(shop.store)()
    based(shop, FOLDERS, (file("etc/new"),))
    with pytest.raises(BlobMissing, match=f"base {NAME} is gone"):
        rebased(shop, text)
    assert shop.output.read_bytes() == kept


def test_files_of_a_windows_base_are_the_engines_and_its_config_is_not(shop, tmp_path):
    shop.platform = Platform.parse("windows/amd64")
    shop.write("demo.exe", "no program")
    config = replace(OLD, platform=Platform.parse("windows(10.0.20348.1)/amd64"), env=())
    newer = replace(config, platform=Platform.parse("windows(10.0.20348.2)/amd64"))
    text = HEAD + "COPY demo.exe C:/demo.exe\n"
    based(shop, config=config)
    engine_made(shop, text, shop.output)
    based(shop, config=newer)
    with pytest.raises(Dependent, match="the files of a Windows base are not compared"):
        rebased(shop, text)
    text = HEAD + "ENV A=1\n"
    based(shop, config=config)
    engine_made(shop, text, shop.output)
    based(shop, config=newer)
    assert rebased(shop, text).descriptor.platform.os_version == "10.0.20348.2"
    engine_made(shop, text, tmp_path / "clean.tar")
    assert shop.output.read_bytes() == (tmp_path / "clean.tar").read_bytes()


def test_a_base_of_another_platform_is_an_error(shop):
    text = HEAD + "ENV A=1\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=replace(OLD, platform=Platform.parse("linux/arm64")))
    with pytest.raises(WrongMachine, match="is linux/arm64, but the image is linux/amd64"):
        rebased(shop, text)


def test_only_the_base_may_differ(shop):
    text = HEAD + "ARG A\nCOPY conf /app\n"
    based(shop, FOLDERS)
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=NEW)

    def found(text=text, engine="buildx", **more):
        return candidate(shop.plan(text, **more), shop.output, Reader(), engine=engine)

    assert found() is not None
    assert found(HEAD + "COPY conf /other\n") is None
    assert found(engine="podman") is None
    assert found(engine="auto") is None  # the embedded engine, which can build it, would
    assert found(epoch=1) is None
    assert found(build_args=(("A", "1"),)) is None
    assert found(labels=(("A", "1"),)) is None
    shop.write("conf/a.conf", "changed")
    assert found() is None
    shop.write("conf/a.conf", "a")
    assert found() is not None
    shop.write("conf/c.conf", "new")
    assert found() is None


def test_another_base_that_moved_too_is_a_change(shop):
    text = "FROM example.com/other:v1 AS build\nFROM example.com/base:v1\nCOPY --from=build /o /o\n"
    based(shop, FOLDERS)
    based(shop, (file("o", b"1"),), name="example.com/other:v1")
    engine_made(shop, text, shop.output)
    based(shop, FOLDERS, config=NEW)
    assert candidate(shop.plan(text), shop.output, Reader(), engine="buildx") is not None
    based(shop, (file("o", b"2"),), name="example.com/other:v1")
    assert candidate(shop.plan(text), shop.output, Reader(), engine="buildx") is None


def test_nothing_and_what_is_no_image_and_what_the_embedded_engine_made_are_no_candidates(shop):
    text = HEAD + "COPY demo /demo\n"
    based(shop, FOLDERS)
    for content in (None, b"", b"no tar at all"):
        if content is not None:
            shop.output.write_bytes(content)
        assert candidate(shop.plan(text), shop.output, Reader(), engine="buildx") is None
    shop.build(text)
    based(shop, FOLDERS, config=NEW)
    assert candidate(shop.plan(text), shop.output, Reader(), engine="buildx") is None


def test_a_run_over_the_base_is_the_engines(shop, tmp_path):
    """Only an engine makes such an image: one of another Dockerfile stands in, said to be made from this one."""
    text = HEAD + "RUN true\n"
    based(shop, FOLDERS)
    other = tmp_path / "other"
    engine_made(shop, HEAD + "ENV A=1\n", other, said=text)
    other.replace(shop.output)
    based(shop, FOLDERS, config=NEW)
    assert not promising(shop.plan(text), shop.output, Reader())
    with pytest.raises(Dependent) as caught:
        rebased(shop, text, engine="auto")
    assert str(caught.value) == "Dockerfile.test:2: RUN may use anything of the base"


def test_what_is_fetched_is_the_engines(shop, tmp_path):
    text = HEAD + "ADD https://example.com/x /x\n"
    based(shop, FOLDERS)
    engine_made(shop, HEAD + "COPY demo /x\n", tmp_path / "other", said=text)
    (tmp_path / "other").replace(shop.output)
    based(shop, FOLDERS, config=NEW)
    with pytest.raises(Dependent) as caught:
        rebased(shop, text)
    assert str(caught.value) == "Dockerfile.test:2: ADD: fetches something from elsewhere"


ENTRIES = (
    LINK,
    Entry.directory("bin"),
    Entry.directory("srv", mode=0o700),
    Entry.directory("srv/in"),
    Entry.symlink("srv/in", "/etc"),
    Entry.symlink("usr/l", "../etc"),
    file("etc/passwd", PASSWD),
    file("etc/passwd", PASSWD.replace(b"1000", b"1001")),
    file("srv/a.conf", b"a"),
    file("srv/a.conf", b"other"),
    file("usr/bin/demo", b"old demo"),
    file("usr/more", b"1"),
    Entry.whiteout("etc/age"),
    Entry.whiteout("srv"),
)
INSTRUCTIONS = (
    "COPY demo /bin/demo",
    "COPY demo /bin/",
    "COPY conf /srv",
    "COPY conf /srv/in",
    "COPY conf/*.conf /usr/l/",
    "COPY --from=build /out /srv/in",
    "COPY --from=build /out/a.conf /srv/a.conf",
    "COPY --from=build /out/a.conf /srv",
    "COPY --from=build /out/a.conf /new/",
    "COPY --from=build /links /srv",
    "COPY --chown=me demo /opt/demo",
    "COPY demo relative/demo",
    "WORKDIR /srv/in/deep",
    "WORKDIR sub",
    "USER me",
    "ENV AGE=mine PATH=/x:$PATH",
    "LABEL age=$AGE",
    "CMD run $AGE",
    'ENTRYPOINT ["/x"]',
    "COPY demo /$AGE",
)
CONFIGS = (OLD, NEW, replace(OLD, working_dir="/srv"), replace(NEW, user="me", stop_signal="SIGQUIT"))
LAYERS = st.lists(st.sampled_from(ENTRIES), max_size=4, unique_by=lambda each: each.path).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(st.sampled_from(INSTRUCTIONS), min_size=1, max_size=5),
    old=st.tuples(LAYERS, st.sampled_from(CONFIGS)),
    new=st.tuples(LAYERS, st.sampled_from(CONFIGS)),
    epoch=st.sampled_from([0, 1_700_000_000]),
)
def test_whatever_is_rebased_is_what_a_clean_build_makes(shop, text, old, new, epoch):
    shop.bases = ()
    whole = "FROM scratch AS build\nCOPY conf /out\nCOPY conf /links/in\n" + HEAD + "\n".join(text)
    always = (*FOLDERS[:2], Entry.directory("usr"), Entry.directory("usr/bin"), file("etc/age", b"1"))
    based(shop, always, old[0], config=old[1])
    try:
        engine_made(shop, whole, shop.output, epoch=epoch)
    except MultiarchError:
        return  # not every one of these can be built
    based(shop, always, new[0], config=new[1])
    try:
        found = rebased(shop, whole, epoch=epoch)
    except Dependent:
        return
    if found is not None:
        clean = shop.folder.parent / "clean.tar"
        engine_made(shop, whole, clean, epoch=epoch)
        assert shop.output.read_bytes() == clean.read_bytes()
