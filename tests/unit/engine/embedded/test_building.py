from __future__ import annotations

import hashlib
import os
import socket

import pytest
from msgspec.structs import replace

from multiarch_oci.engine import UnsupportedInstruction
from multiarch_oci.errors import MultiarchError
from multiarch_oci.layer import Entry
from multiarch_oci.platform import Platform
from unpacked import Found
from workshop import Workshop


def paths(shop: Workshop, dockerfile: str) -> list[str]:
    return list(shop.files(dockerfile))


def error(shop: Workshop, dockerfile: str, **more: object) -> str:
    with pytest.raises(MultiarchError) as caught:
        shop.build(dockerfile, **more)
    assert not shop.output.exists()
    return str(caught.value)


def test_modes_are_normalised_and_owners_dropped(shop):
    shop.write("d/run", "x", mode=0o700)
    shop.write("d/read", "x", mode=0o600)
    shop.write("d/suid", "x", mode=0o6777)
    (shop.folder / "d").chmod(0o2700)
    found = shop.files("FROM scratch\nCOPY d /d\n")
    assert {path: (each.mode, each.owner) for path, each in found.items()} == {
        "d": ("0o755", "0:0"),
        "d/read": ("0o644", "0:0"),
        "d/run": ("0o755", "0:0"),
        "d/suid": ("0o755", "0:0"),
    }


def test_hard_links_are_files_of_their_own(shop):
    shop.write("d/a", "same")
    os.link(shop.folder / "d/a", shop.folder / "d/b")
    image = shop.build("FROM scratch\nCOPY d /d\n")
    assert len(image.layers) == 1
    found = shop.files("FROM scratch\nCOPY d /d\n")
    assert found["d/a"] == found["d/b"]


def test_a_missing_source_names_line_and_file(shop):
    assert error(shop, "FROM scratch\n\nCOPY demo /demo\n") == (
        "Dockerfile.test:3: COPY: 'demo' is not in the context\n  hint: is it built? paths are relative to the project"
    )


def test_a_source_that_dockerignore_leaves_out_is_explained(shop):
    shop.write("demo")
    shop.write(".dockerignore", "demo\n")
    assert error(shop, "FROM scratch\nCOPY demo /demo\n") == (
        "Dockerfile.test:2: COPY: 'demo' is not in the context\n  hint: .dockerignore leaves it out"
    )


def test_the_ignore_file_of_the_dockerfile_comes_first(shop):
    shop.write("a")
    shop.write("b")
    shop.write(".dockerignore", "a\n")
    assert paths(shop, "FROM scratch\nCOPY ? /\n") == ["b"]
    shop.write("Dockerfile.test.dockerignore", "b\n")
    assert paths(shop, "FROM scratch\nCOPY ? /\n") == ["a"]


def test_run_is_refused_with_its_line_and_the_engines_that_can(shop):
    text = "FROM scratch\nRUN apk add x\n"
    assert error(shop, text) == (
        "Dockerfile.test:2: the embedded engine cannot execute RUN\n"
        "  hint: use ENGINE=buildx, podman or docker (engine= of env.Image); "
        "or make the file with env.Command and COPY it"
    )
    assert shop.engine().refusal(shop.plan(text)) == "Dockerfile.test:2: the embedded engine cannot execute RUN"


def test_a_run_in_a_stage_that_nobody_needs_is_no_matter(shop):
    text = "FROM scratch AS test\nRUN go test\nFROM scratch AS image\nENV A=1\nFROM image AS more\nRUN x\n"
    plan = shop.plan(text, target="image")
    assert shop.engine().refusal(plan) is None
    shop.engine().build(plan, shop.output)
    assert "cannot execute RUN" in (shop.engine().refusal(shop.plan(text)) or "")


@pytest.mark.parametrize(
    "source",
    ["https://example.org/x.tar", "http://a/b", "git@github.com:a/b.git", "git://a/b", "https://github.com/a/b.git#v1"],
)
def test_add_of_something_remote_is_refused(shop, source):
    with pytest.raises(UnsupportedInstruction, match="the embedded engine cannot fetch"):
        shop.build(f"FROM scratch\nARG S={source}\nADD $S /x\n")
    assert "cannot fetch" in (shop.engine().refusal(shop.plan(f"FROM scratch\nADD {source} /x\n")) or "")


def test_a_special_file_is_an_error(shop, monkeypatch):
    shop.write("d/a")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(shop.folder)  # the path of a socket has a short limit
        listener.bind("d/s")
        assert error(shop, "FROM scratch\nCOPY d /d\n") == (
            "Dockerfile.test:2: COPY: 'd/s' is a socket; only files, folders and links can be copied\n"
            "  hint: leave it out in .dockerignore"
        )


def test_of_several_sources_for_one_file_the_last_stays_as_with_buildkit(shop):
    shop.write("a", "1")
    shop.write("b", "2")
    found = shop.files("FROM scratch\nCOPY a b /x\n")
    assert {path: each.content for path, each in found.items()} == {"x": hashlib.sha256(b"2").hexdigest()}


@pytest.mark.parametrize(
    ("dockerfile", "text"),
    [
        ("COPY d /f/f\nCOPY f /f/", "'f' is a file, but '/f/f' in the image is a folder"),
        ("COPY f /x\nCOPY d /x", "'/x' in the image is a file, not a folder"),
        ("COPY f /x\nCOPY f /x/y", "'/x' in the image is a file, not a folder"),
        ("COPY --chown=nobody f /f", "the image's /etc/passwd has no user 'nobody'"),
        ("COPY --chown=1:staff f /f", "the image's /etc/group has no group 'staff'"),
        ("COPY --chmod=8 f /f", "invalid --chmod '8'"),
        ("COPY [z-a /f", "'[z-a' is not a valid pattern"),
        ("COPY --from=1 f /f\nFROM scratch\nCOPY --from=0 / /", "that stage comes later"),
        ("COPY --from=7 f /f", "there is no stage 7"),
        ("COPY --from=$X f /f", "variables are not expanded there"),
        ("COPY --link --chown=app f /f", "--chown=app with --link needs numbers"),
        ("COPY --from=nowhere/image f /f", "base nowhere/image for linux/amd64 is not resolved to a digest"),
        ("COPY nodir/* /x/", "'nodir/*' is not in the context"),
        ("COPY --parents nodir/./x* /x/", "'nodir/./x*' is not in the context"),
        (
            "COPY --parents . /x/",
            "COPY: '.' names nothing whose path could be kept\n  hint: write *, or leave out --parents",
        ),
        ("COPY --parents l/f /x/", "'l/f' is not in the context"),
        ("COPY https://a.b/c /x", "COPY: 'https://a.b/c' is not a path\n  hint: ADD fetches, COPY does not"),
        ("ADD --checksum=sha256:0 f /x", "ADD: --checksum is for what is fetched\n  hint: leave it out"),
        ("EXPOSE 99999", "EXPOSE 99999: '99999' is no port from 0 to 65535"),
        ("STOPSIGNAL SIGX", "STOPSIGNAL SIGX: there is no such signal"),
        ("COPY loop /x", "'loop' leads through more than 255 symbolic links"),
    ],
)
def test_an_error_has_its_line(shop, dockerfile, text):
    shop.write("d/f")
    shop.write("f")
    (shop.folder / "loop").symlink_to("loop")
    (shop.folder / "l").symlink_to("d")
    found = error(shop, f"FROM scratch\n{dockerfile}\n")
    assert text in found
    assert found.startswith("Dockerfile.test:")


def test_copy_goes_through_no_link_out_of_the_image(shop):
    (shop.folder / "d").mkdir()
    (shop.folder / "d/up").symlink_to("../../../../tmp")
    shop.write("f", "x")
    assert paths(shop, "FROM scratch\nCOPY d /d\nCOPY f /d/up/f\n") == ["d", "d/up", "tmp", "tmp/f"]


def test_a_link_of_the_context_cannot_lead_out_of_it(shop):
    shop.folder.parent.joinpath("outside").write_text("secret")
    (shop.folder / "l").symlink_to("../outside")
    assert "'l' is not in the context" in error(shop, "FROM scratch\nCOPY l /l\n")


def test_a_later_file_replaces_a_link(shop):
    shop.write("d/f", "x")
    (shop.folder / "l").mkdir()
    (shop.folder / "l/f").symlink_to("elsewhere")
    assert shop.files("FROM scratch\nCOPY l /d\nCOPY d /d\n")["d/f"].kind == "f"


def test_a_layer_stands_for_each_copy_and_workdir_also_an_empty_one(shop):
    shop.write("a")
    image = shop.build("FROM scratch\nCOPY nothing* /x/\nWORKDIR /\nCOPY a /\nWORKDIR /w\nWORKDIR /w\n")
    assert len(image.layers) == 4
    assert [line.empty_layer for line in image.config.history] == [False, True, False, False, False]
    assert image.layers[0] == image.layers[3]


def test_workdir_makes_its_folder_for_the_user(shop):
    shop.write("etc/passwd", "app:x:7:8::/:/x\n")
    found = shop.files("FROM scratch\nCOPY etc /etc\nUSER app\nWORKDIR /srv\nWORKDIR x\nUSER ghost\nWORKDIR /y\n")
    assert found["srv"] == found["srv/x"] == Found("d", "0o755", "7:8", "")
    assert found["y"].owner == "0:0"


def test_windows_paths_and_layers(shop):
    shop.write("demo.exe", b"MZ")
    shop.platform = Platform.parse("windows(10.0.20348.1)/amd64")
    found = shop.files(
        'FROM scratch\nWORKDIR C:\\\\app\nCOPY demo.exe .\nCOPY demo.exe C:/Tools/\nUSER app\nENTRYPOINT ["demo.exe"]\n'
    )
    assert [path for path in found if found[path].kind == "f"] == ["Files/app/demo.exe", "Files/Tools/demo.exe"]
    config = shop.build("FROM scratch\nWORKDIR C:\\\\app\\\\x\nWORKDIR ..\\\\y\nCMD demo\n").config
    assert config.working_dir == "\\app\\y"
    assert config.cmd == ("cmd", "/S", "/C", "demo")
    assert config.env == ()
    assert config.platform.os_version == "10.0.20348.1"


def test_windows_sources_are_found_by_backslashes_and_drive(shop):
    shop.write("out/app.exe", b"MZ")
    shop.platform = Platform.parse("windows(10.0.20348.1)/amd64")
    found = shop.files(
        "# escape=`\nFROM scratch AS build\nWORKDIR C:\\src\nCOPY out\\*.exe C:\\build\\\nFROM scratch\nWORKDIR app\n"
        'COPY --from=build C:\\build\\app.exe .\nCOPY --from=build ["C:\\\\build", "C:/q"]\n'
    )
    assert [path for path in found if found[path].kind == "f"] == ["Files/app/app.exe", "Files/q/app.exe"]


def test_a_linked_layer_does_not_look_at_what_is_below(shop):
    shop.write("f", "1")
    shop.base("b", (Entry.directory("usr"), Entry.symlink("bin", "usr"), Entry.directory("tmp", mode=0o1777)))
    found = shop.files("FROM b\nCOPY --link f /bin/\nCOPY --link f /tmp/\nCOPY --link --chmod=600 f /bin/g\n")
    assert found["bin"] == found["tmp"] == Found("d", "0o755", "0:0", "")
    assert sorted(found) == ["bin", "bin/f", "bin/g", "tmp", "tmp/f"]
    assert found["bin/g"].mode == "0o600"
    assert sorted(shop.files("FROM b\nCOPY f /bin/\n")) == ["usr", "usr/f"]
    assert sorted(shop.files("FROM b\nCOPY --link --chmod=600 f /bin/\n")) == ["usr", "usr/f"]


def test_with_parents_a_link_is_taken_as_a_link(shop):
    (shop.folder / "d").mkdir()
    (shop.folder / "d/gone").symlink_to("/nowhere")
    (shop.folder / "e1").mkdir()
    shop.write("e1/x/f")
    found = shop.files("FROM scratch\nCOPY --parents d/gone /x/\nCOPY --parents e*/./x/f /y/\n")
    assert found["x/d/gone"] == Found("l", "", "0:0", "/nowhere")
    assert sorted(found) == ["x", "x/d", "x/d/gone", "y", "y/x", "y/x/f"]


def test_a_heredoc_keeps_bytes_that_are_not_utf8(shop):
    found = shop.files(b"FROM scratch\nCOPY <<'EOF' /x\n\xff\nEOF\n")
    assert found["x"].content == hashlib.sha256(b"\xff\n").hexdigest()


def test_a_file_that_changes_while_it_is_copied_is_an_error(shop):
    shop.write("f", "old")
    plan = shop.plan("FROM scratch\nCOPY f /f\n")
    lying = replace(plan, file_digest=lambda _: "0" * 64)
    with pytest.raises(MultiarchError, match="changed while the image was built"):
        shop.engine().build(lying, shop.output)
    assert not shop.output.exists()
