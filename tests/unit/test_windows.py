"""Windows layers, judged by the independent rules of `windows_layer_rules`."""

from __future__ import annotations

import base64
import io
import tarfile

import pytest

from multiarch_oci import layer, windows
from multiarch_oci.layer import Compression, Entry, InvalidEntry
from multiarch_oci.windows import InvalidWindowsPath, normalise
from windows_layer_rules import broken_rules


def archive(*entries: Entry) -> io.BytesIO:
    sink = io.BytesIO()
    layer.write(windows.entries(entries), sink, compression=Compression.NONE)
    sink.seek(0)
    return sink


def members(*entries: Entry) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=archive(*entries)) as read:
        return {member.name: member for member in read}


PROGRAM = Entry.of_bytes("app/demo.exe", b"MZ", mode=0o755, uid=7, gid=8)


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (PROGRAM,),
        (PROGRAM, Entry.directory("app")),
        (Entry.of_bytes("Program Files/Demo/a/b/c.dll", b"x"), Entry.of_bytes("Program Files/Demo/a.txt", b"")),
        (PROGRAM, Entry.of_bytes("APP/lib.dll", b"x")),
        (PROGRAM, Entry.hardlink("aaa.exe", "app/demo.exe")),
        (PROGRAM, Entry.hardlink("aaa.exe", "APP/Demo.exe")),
        (PROGRAM, Entry.symlink("current", "app"), Entry.symlink("demo.exe", "app/demo.exe")),
        (Entry.whiteout("old/gone.txt"),),
        (Entry.of_bytes("größe/日本.txt", b"x"),),
        (Entry.of_bytes("d" * 200 + "/" + "f" * 200, b"x"),),
    ],
)
def test_a_layer_breaks_no_rule_of_windows(entries: tuple[Entry, ...]) -> None:
    assert broken_rules(archive(*entries)) == []


def test_the_rules_notice_a_linux_layer() -> None:
    sink = io.BytesIO()
    layer.write([PROGRAM], sink, compression=Compression.NONE)
    sink.seek(0)
    assert broken_rules(sink) == [
        "app/demo.exe: is neither below Files nor below Hives",
        "app/demo.exe: its parent is no entry before it",
        "app/demo.exe: no security descriptor, nobody may run it",
        "Files/ is missing",
        "Hives/ is missing",
    ]


def test_the_rules_notice_the_descriptor_without_an_access_list() -> None:
    everybody = b"AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA=="
    sink = io.BytesIO()
    open_to_all = Entry(
        "Files/a", open=io.BytesIO, records=(("MSWINDOWS.rawsd", everybody), ("MSWINDOWS.fileattr", b"32"))
    )
    layer.write([Entry.directory("Files"), Entry.directory("Hives"), open_to_all], sink, compression=Compression.NONE)
    sink.seek(0)
    assert broken_rules(sink) == ["Files/a: neither owned by the administrators nor of the system's group"]


def test_everything_stands_below_files_parents_first_and_once() -> None:
    assert list(members(PROGRAM, Entry.of_bytes("app/x/y", b""))) == [
        "Files", "Files/app", "Files/app/demo.exe", "Files/app/x", "Files/app/x/y", "Hives",
    ]  # fmt: skip


def test_attributes_and_descriptors_stand_in_pax_records_and_the_top_has_no_descriptor() -> None:
    found = members(PROGRAM, Entry.symlink("current", "app"), Entry.symlink("demo", "app\\demo.exe"))
    attributes = {name: member.pax_headers["MSWINDOWS.fileattr"] for name, member in found.items()}
    assert attributes == {
        "Files": "16", "Hives": "16", "Files/app": "16", "Files/app/demo.exe": "32", "Files/current": "1040", "Files/demo": "1056",
    }  # fmt: skip
    assert [name for name, member in found.items() if "MSWINDOWS.rawsd" not in member.pax_headers] == ["Files", "Hives"]
    assert len(base64.b64decode(found["Files/app"].pax_headers["MSWINDOWS.rawsd"])) == 216
    assert len(base64.b64decode(found["Files/app/demo.exe"].pax_headers["MSWINDOWS.rawsd"])) == 124
    assert found["Files/demo"].linkname == "app/demo.exe"


def test_owners_modes_and_records_of_linux_are_dropped() -> None:
    entry = Entry("a", open=io.BytesIO, mode=0o4711, uid=5, gid=6, records=(("SCHILY.xattr.user.a", b"1"),))
    found = members(entry)["Files/a"]
    assert (found.mode, found.uid, found.gid) == (0o644, 0, 0)
    assert set(found.pax_headers) == {"MSWINDOWS.fileattr", "MSWINDOWS.rawsd"}


def test_the_order_of_the_entries_does_not_matter() -> None:
    entries = [PROGRAM, Entry.directory("App"), Entry.of_bytes("APP/b", b"1"), Entry.whiteout("z")]
    assert archive(*entries).getvalue() == archive(*reversed(entries)).getvalue()


def test_a_folder_in_another_case_is_the_same_folder() -> None:
    assert list(members(Entry.of_bytes("App/a", b""), Entry.of_bytes("app/b", b"")))[:4] == [
        "Files", "Files/App", "Files/App/a", "Files/App/b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (
            (Entry.of_bytes("app/Demo.exe", b""), Entry.of_bytes("App/demo.exe", b"")),
            "'App/Demo.exe' stands twice in a Windows layer, as file and file (one path for Windows: 'App/demo.exe')",
        ),
        (
            (Entry.of_bytes("a", b""), Entry.of_bytes("a", b"")),
            "'a' stands twice in a Windows layer, as file and file (the same path)",
        ),
        (
            (Entry.of_bytes("a", b""), Entry.of_bytes("A/b", b"")),
            "'a' stands twice in a Windows layer, as directory and file (one path for Windows: 'A')",
        ),
        ((Entry.opaque("app"),), "'app' cannot be emptied: Windows layers remove files one by one"),
        ((Entry.of_bytes("app/aux.c", b""),), "'app/aux.c' cannot be in a Windows image: 'aux.c' names a device there"),
        ((Entry.whiteout("a:b"),), "'a:b' cannot be in a Windows image: a name may not hold ':'"),
    ],
)
def test_what_cannot_be_in_a_windows_layer_is_an_error(entries: tuple[Entry, ...], text: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        windows.entries(entries)
    assert str(caught.value) == text


def test_a_hard_link_to_nothing_is_an_error() -> None:
    with pytest.raises(InvalidEntry, match=r"^hard link 'Files/a' needs the file 'Files/b' in its layer$"):
        archive(Entry.hardlink("a", "b"))


@pytest.mark.parametrize(
    "path",
    [
        "C:\\app\\demo.exe",
        "c:/app/demo.exe",
        "\\app\\demo.exe",
        "/app/demo.exe",
        "app\\demo.exe",
        "C:\\x\\..\\app/./demo.exe",
    ],
)
def test_every_way_to_write_a_path_is_one_path(path: str) -> None:
    assert normalise(path) == "app/demo.exe"


@pytest.mark.parametrize("path", ["C:\\", "C:", "/", "\\", "", ".", "C:/a/.."])
def test_the_root_is_empty(path: str) -> None:
    assert normalise(path) == ""


@pytest.mark.parametrize("name", ["console", "com10", "nul1", "lpt0", "auxiliary.c", ".con", "-con", "Ωcon", "a b"])
def test_names_that_only_look_reserved_are_fine(name: str) -> None:
    assert normalise(f"C:\\{name}") == name


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("D:\\app", "'D:\\app' is on drive D:, an image has only drive C:"),
        ("e:/", "'e:/' is on drive E:, an image has only drive C:"),
        ("\\\\host\\x", "'\\\\host\\x' is on another machine\n  hint: a path in a Windows image begins with C:\\ or /"),
        ("C:\\..\\x", "'C:\\..\\x' leads out of the image"),
        ("C:app", "'C:app' cannot be in a Windows image: a name may not hold ':'"),
        ("a<b", "'a<b' cannot be in a Windows image: a name may not hold '<'"),
        ("a\x01b", "'a\x01b' cannot be in a Windows image: a name may not hold '\\x01'"),
        ("x/NUL", "'x/NUL' cannot be in a Windows image: 'NUL' names a device there"),
        ("com1.tar.gz", "'com1.tar.gz' cannot be in a Windows image: 'com1.tar.gz' names a device there"),
        ("lpt³", "'lpt³' cannot be in a Windows image: 'lpt³' names a device there"),
        ("con .txt", "'con .txt' cannot be in a Windows image: 'con .txt' names a device there"),
        ("a./b", "'a./b' cannot be in a Windows image: a name may not end in a dot or a blank"),
        ("a ", "'a ' cannot be in a Windows image: a name may not end in a dot or a blank"),
    ],
)
def test_a_path_that_windows_has_not_is_an_error(path: str, text: str) -> None:
    with pytest.raises(InvalidWindowsPath) as caught:
        normalise(path)
    assert str(caught.value) == text
