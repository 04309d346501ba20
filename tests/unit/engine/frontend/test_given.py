"""Names of a context that lie elsewhere: alone in the place of a stage, and beside the files of a folder."""

from __future__ import annotations

import pytest

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.engine import GivenFile, NamedContext
from multiarch_oci.engine.frontend import covering
from multiarch_oci.engine.frontend.context import Context
from multiarch_oci.engine.frontend.given import FilledContext, GivenTree
from multiarch_oci.engine.frontend.inputs import NotGiven
from multiarch_oci.engine.frontend.tree import resolve
from multiarch_oci.errors import MultiarchError
from multiarch_oci.statcache import StatCache


@pytest.fixture
def digest(tmp_path):
    return StatCache(tmp_path / "stat.json").digest


@pytest.fixture
def folder(tmp_path):
    for path in ("dist/index.html", "dist/js/a.js", "own/other", "program", "replaced"):
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "link").symlink_to("program")
    return tmp_path


def tree(digest, *files: GivenFile) -> GivenTree:
    return GivenTree(files, lambda folder, _whole: Context(folder, digest, None))


def listed(given, path: str = "") -> list[str]:
    found = []
    for name in given.names(path):
        here = f"{path}/{name}".strip("/")
        found += listed(given, here) if given.lookup(here).is_directory else [here]
    return found


def text(given, path: str) -> str:
    with given.lookup(resolve(given, path)).content.open() as stream:
        return stream.read().decode()


def test_files_and_folders_stand_at_the_paths_that_they_are_given(folder, digest):
    given = tree(
        digest,
        GivenFile("app", folder / "program"),
        GivenFile("usr/bin/link", folder / "link"),
        GivenFile("srv", folder / "dist"),
        GivenFile("srv/js/a.js", folder / "replaced"),
        GivenFile("etc/passwd", content=b"root"),
        GivenFile("later", folder / "not-there-yet"),
    )
    assert listed(given, "etc") + listed(given, "srv") + listed(given, "usr") == [
        *("etc/passwd", "srv/index.html", "srv/js/a.js", "usr/bin/link"),
    ]
    assert given.names("") == ("app", "etc", "later", "srv", "usr")
    assert given.lookup("later") is None
    assert given.lookup("nothing") is None
    assert given.lookup("app/below") is None
    assert given.lookup("usr").is_directory
    assert [text(given, path) for path in ("app", "usr/bin/link", "srv/js/a.js", "etc/passwd")] == [
        *("program", "program", "replaced", "root"),
    ]


def test_a_folder_can_be_the_whole(folder, digest):
    given = tree(digest, GivenFile("", folder / "dist"), GivenFile("js/b.js", folder / "program"))
    assert listed(given) == ["index.html", "js/a.js", "js/b.js"]


def test_beside_a_folder_they_are_there_for_who_names_them(folder, digest):
    given = tree(digest, GivenFile("own/given", content=b"g"), GivenFile("elsewhere/x", folder / "program"))
    context = FilledContext(folder, digest, None, hidden=("dist",), given=given)
    assert text(context, "own/given") == "g"
    assert text(context, "own/other") == "own/other"
    assert listed(context, "elsewhere") == ["elsewhere/x"]
    assert listed(context, "own") == ["own/other"]
    assert "elsewhere" not in context.names("")
    assert context.lookup("dist") is None


def test_the_innermost_given_path_covers_another():
    files = (GivenFile("a"), GivenFile("a/b"), GivenFile("ab"))
    assert [covering(files, path) for path in ("a/b/c", "a/x", "ab", "abc", "")] == [
        files[1],
        files[0],
        files[2],
        None,
        None,
    ]


RECIPE = """\
FROM nowhere.invalid/$X AS build
RUN make
FROM nowhere.invalid/y AS assets
FROM scratch
ARG DIR=out
COPY --from=build /app /app
COPY --from=0 /$DIR/*.so /lib/
RUN --mount=from=assets,source=/css,target=/css true
COPY --from=assets /img /img
"""


def test_all_that_is_taken_and_not_given_is_one_error(shop):
    contexts = (
        NamedContext("build", files=(GivenFile("app", shop.folder / "not-there-yet"),)),
        NamedContext("assets", files=(GivenFile("img/logo.png", shop.folder / "logo"),)),
    )
    plan = shop.plan(RECIPE, contexts=contexts)
    assert shop.engine().inputs(plan).bases == ()
    with pytest.raises(NotGiven) as caught:
        shop.engine().build(plan, shop.output)
    assert str(caught.value) == (
        "Dockerfile.test:7: stage 'build' is replaced by stages=, which does not give /out/*.so; stage 'assets' is "
        "replaced by stages=, which does not give /css\n"
        "  hint: add the files to stages= (of 'build' it gives /app); add the files to stages= (of 'assets' it gives "
        "/img/logo.png)"
    )


def test_a_file_that_is_given_and_not_there_is_said_at_its_line(shop):
    plan = shop.plan(
        "FROM x AS build\nFROM scratch\nCOPY --from=build /app /\n",
        contexts=(NamedContext("build", files=(GivenFile("app", shop.folder / "not-there-yet"),)),),
    )
    with pytest.raises(
        Exception, match=r"Dockerfile.test:3: COPY: '/app' is not in stage 'build'\n  hint: is it built\?"
    ):
        shop.engine().build(plan, shop.output)


def test_a_file_that_is_given_may_lie_where_the_build_keeps_its_own(shop):
    shop.write(".multiarch/venv/ca.crt", "authorities")
    given = (GivenFile("etc/ca.crt", shop.folder / ".multiarch" / "venv" / "ca.crt"),)
    text = "FROM x AS build\nFROM scratch\nCOPY --from=build /etc/ca.crt /\n"
    contexts = (NamedContext("build", files=given),)
    assert sorted(shop.files(text, contexts=contexts, hidden=(".multiarch",))) == ["ca.crt"]
    assert sorted(shop.files("FROM scratch\nCOPY etc /\n", files=given, hidden=(".multiarch",))) == ["ca.crt"]
    folder = (GivenFile("etc", shop.folder / ".multiarch" / "venv"),)
    with pytest.raises(MultiarchError, match="holds what the build makes of images"):
        shop.files(text, contexts=(NamedContext("build", files=folder),), hidden=(".multiarch",))


def test_a_stage_that_nobody_has_is_an_error(shop):
    for context in (NamedContext("other", files=()), NamedContext("stage-3", files=(), stage=3)):
        with pytest.raises(InvalidDockerfile, match=r"there is no stage '(other|3)', and no --from= of that name"):
            shop.engine().inputs(shop.plan("FROM scratch AS build\nFROM scratch\n", contexts=(context,)))
