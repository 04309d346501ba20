from __future__ import annotations

import io
import tarfile

import pytest

from multiarch_oci.engine.external.staging import DOCKERFILE, context_flags, staged, write_context
from multiarch_oci.engine.frontend.named import named_contexts
from multiarch_oci.engine.frontend.reader import Reader
from multiarch_oci.engine.frontend.tree import CannotCopy

TEXT = "FROM scratch\nCOPY src/*.c through/real.txt /x/\nRUN --mount=source=mounted,target=/m true\n"


@pytest.fixture
def filled(shop):
    shop.write("src/a.c", "a", mode=0o600)
    shop.write("src/run.c", "r", mode=0o700)
    shop.write("src/no.txt", "no")
    shop.write("deep/real.txt", "real")
    (shop.folder / "through").symlink_to("deep")
    shop.write("mounted/m", "m")
    (shop.folder / "mounted/empty").mkdir()
    shop.write("mounted/secret", "s")
    shop.write("other/file", "o")
    shop.write(".dockerignore", "mounted/secret\n")
    return shop


def settled(shop, text=TEXT, **more):
    return Reader().settled(shop.plan(text, **more), lambda _: shop.store)


def test_the_folder_holds_what_the_dockerfile_reaches_and_no_more(filled):
    with staged(settled(filled), Reader()) as there:
        found = sorted(path.relative_to(there.context).as_posix() for path in there.context.rglob("*"))
        assert found == [
            *["deep", "deep/real.txt", "mounted", "mounted/empty", "mounted/m"],
            *["src", "src/a.c", "src/run.c", "through"],
        ]
        assert (there.context / "through").readlink().as_posix() == "deep"
        assert (there.context / "src/a.c").stat().st_mode & 0o777 == 0o644
        assert (there.context / "src/run.c").stat().st_mode & 0o777 == 0o755
        assert there.dockerfile.parent == there.context.parent
    assert not there.context.exists()


def test_a_files_time_says_whether_its_content_changed(filled):
    def time():
        with staged(settled(filled, epoch=1000), Reader()) as there:
            return (there.context / "src/a.c").stat().st_mtime

    before = time()
    (filled.folder / "src/a.c").touch()
    assert time() == before > 1000
    filled.write("src/a.c", "b")
    assert time() != before


def test_the_tar_is_equal_for_equal_files_and_hides_what_is_ours(filled):
    def written():
        sink = io.BytesIO()
        write_context(settled(filled, epoch=7), Reader(), sink)
        return sink.getvalue()

    first = written()
    (filled.folder / "src/a.c").touch()
    assert written() == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        members = {member.name: member for member in archive}
        ignored = archive.extractfile(".dockerignore")
        assert ignored is not None
        assert ignored.read().decode().split() == [DOCKERFILE, ".dockerignore"]
    assert sorted(members) == [
        *[".dockerignore", DOCKERFILE, "deep", "deep/real.txt", "mounted", "mounted/empty", "mounted/m"],
        *["src", "src/a.c", "src/run.c", "through"],
    ]
    assert {member.mtime for member in members.values()} == {7}
    assert members["through"].linkname == "deep"


def test_a_missing_file_is_an_error_before_the_engine_is_asked(filled):
    with pytest.raises(CannotCopy) as caught, staged(settled(filled, "FROM scratch\nCOPY nothing /\n"), Reader()):
        pass
    assert str(caught.value) == "Dockerfile.test: 'nothing' is not in the context\n  hint: is it built?"
    text = "FROM scratch\nCOPY mounted/secret /\n"
    with pytest.raises(CannotCopy, match="dockerignore leaves it out"), staged(settled(filled, text), Reader()):
        pass


def test_what_is_fetched_from_elsewhere_is_not_missing(filled):
    with staged(settled(filled, "FROM scratch\nADD https://example.com/x /\n"), Reader()) as there:
        assert not list(there.context.iterdir())


def test_named_folders_are_staged_beside_the_context(filled):
    for path in ("a/one", "a/left", "b"):
        filled.write(f"../lib/{path}", path)
    filled.write("../lib/.dockerignore", "**/left\n")
    text = "FROM scratch\nCOPY --from=lib a /\nRUN --mount=from=lib,source=b,target=/b true\nCOPY src/a.c /\n"
    contexts = named_contexts({"lib": "../lib", "unused": "../lib", "x": "docker-image://example.com/x"}, filled.folder)
    plan = settled(filled, text, contexts=contexts, epoch=1000)
    with staged(plan, Reader()) as there:
        ((name, folder),) = there.named.items()
        assert name == "lib"
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == ["a", "a/one", "b"]
        assert (folder / "a").stat().st_mtime == 1000
        assert context_flags(plan, there) == ["--build-context", f"lib={folder}"]
        assert not folder.is_relative_to(there.context)
    assert not folder.exists()


def test_what_a_named_folder_does_not_have_is_an_error(filled):
    filled.write("../lib/left", "x")
    filled.write("../lib/.dockerignore", "left\n")
    contexts = named_contexts({"lib": "../lib"}, filled.folder)
    plan = settled(filled, "FROM scratch\nCOPY --from=lib left /\n", contexts=contexts)
    with pytest.raises(CannotCopy) as caught, staged(plan, Reader()):
        pass
    assert str(caught.value) == "Dockerfile.test: 'left' is not in context 'lib'\n  hint: .dockerignore leaves it out"
