"""What an image starts: every way to a program of another machine is found, and nothing that is not started."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from multiarch_oci.config import ImageConfig
from multiarch_oci.engine.export.started import started
from multiarch_oci.engine.export.whole import names_of
from multiarch_oci.engine.frontend.tree import Content, Node, Overlay
from multiarch_oci.executable import WrongMachine, essential, identify, interpreter, read_head
from multiarch_oci.layer import Entry, Kind
from multiarch_oci.platform import Platform
from workshop import AMD64, elf, tar

LINUX_OWN = {"app/demo": b"", "app/run.sh": b"#!/bin/x -e\n", "bin/x": b"", "app/env.sh": b"#! /usr/bin/env -S  x -q\n"}
LINUX_OWN |= {"app/by-env": b"#!/usr/bin/env x\n", "app/loop": b"#!/app/loop\n"}


def content(data: bytes) -> Content:
    return Content(len(data), lambda: io.BytesIO(data), str)


def files(paths: dict[str, bytes], links: dict[str, str] | None = None) -> dict[str, Node]:
    found = {path: Node(Kind.FILE, 0o755, content=content(data)) for path, data in paths.items()}
    return found | {path: Node(Kind.SYMLINK, 0o777, target=target) for path, target in (links or {}).items()}


def found(config: ImageConfig, own: dict[str, Node], base: dict[str, Node] | None = None) -> list[str]:
    below = Overlay()
    for path, node in (base or {}).items():
        below.put(path, node)
    whole = Overlay()
    for path, node in own.items():
        whole.put(path, node)
    return [path for path, _ in started(config, own, lambda: whole.upon(below))]


DEMO = [
    '["/app/demo"]',
    '["//app/./demo", "-x"]',
    '["/bin/sh", "-c", "/app/demo"]',
    '["sh", "-c", "/app/demo --flag $X"]',
    '["sh", "-c", "exec /app/demo \\"$@\\"", "--", "x"]',
    '["sh", "-ec", "  exec  \'/app/demo\'"]',
    '["sh", "-c", "\\"/app/demo\\" ;"]',
    '["sh", "-c", "/a\\\\pp/demo"]',
    '["sh", "-c", "A=1 B=\'2 3\' C=$D /app/demo"]',
    '["sh", "-c", "PATH=/app demo"]',
    '["sh", "-c", "exec env A=1 /app/demo"]',
    '["sh", "-c", "exec -a name /app/demo"]',
    '["sh", "-c", "command /app/demo # and a remark"]',
    '["sh", "-c", "exec /app/demo >/dev/null 2>&1"]',
    '["sh", "-c", "A=1 /app/demo<\\"/x y\\" >> \'/z\' 3>&- 4<> /q"]',
    '["sh", "-c", ">| /log 2> $LOG /app/demo"]',
    '["sh", "-c", "1>&2 exec /app/demo \\"$@\\" ;"]',
    '["sh", "-c", "exec \\"$@\\"", "--", "/app/demo", "x"]',
    '["sh", "-c", "$0 $@", "/app/demo", "x"]',
    '["sh", "-c", "sh -c \'exec /app/demo\'"]',
    '["/bin/bash", "-lc", "/app/demo"]',
    '["/bin/bash", "-l", "-c", "/app/demo"]',
    '["bash", "--norc", "--rcfile", "/x", "-o", "pipefail", "-c", "/app/demo"]',
    '["bash", "+x", "-euo", "pipefail", "-c", "/app/demo"]',
    '["/bin/busybox", "sh", "-c", "/app/demo"]',
    '["/usr/bin/env", "/app/demo"]',
    '["/usr/bin/env", "-i", "A=1", "/app/demo"]',
    '["/usr/bin/env", "-u", "A", "--", "/app/demo"]',
    '["/usr/bin/env", "-C", "/app", "./demo"]',
    '["/usr/bin/env", "--chdir=/app", "./demo"]',
    '["/usr/bin/env", "-S", "A=1 /app/demo -x"]',
    '["/usr/bin/env", "-S/app/demo -x"]',
    '["/usr/bin/env", "PATH=/app", "demo"]',
    '["/sbin/tini", "--", "/app/demo"]',
    '["tini", "-g", "-p", "SIGTERM", "-e", "143", "-vv", "--", "/app/demo"]',
    '["/tini", "/app/demo"]',
    '["/usr/bin/dumb-init", "--rewrite", "15:3", "--", "sh", "-c", "/app/demo"]',
    '["dumb-init", "-c", "/app/demo"]',
    '["gosu", "nobody", "/app/demo"]',
    '["su-exec", "1:1", "/app/demo"]',
    '["nice", "-n", "5", "nohup", "/app/demo"]',
    '["timeout", "-s", "KILL", "5", "/app/demo"]',
    '["/lib64/ld-linux-x86-64.so.2", "--library-path", "/lib", "/app/demo"]',
]
NOT_DEMO = [
    '["sh", "/app/demo"]',
    '["sh", "-c", "true; /app/demo"]',
    '["sh", "-c", "/app/demo | cat"]',
    '["sh", "-c", "test -e /x && /app/demo"]',
    '["sh", "-c", "$(/app/demo)"]',
    '["sh", "-c", "\\"`/app/demo`\\""]',
    '["sh", "-c", "$DEMO"]',
    '["sh", "-c", "/app/d*"]',
    '["sh", "-c", "echo /app/demo"]',
    '["sh", "-c", "echo x > /app/demo"]',
    '["sh", "-c", "> /app/demo"]',
    '["sh", "-c", "/app/demo << x"]',
    '["sh", "-c", "/app/demo < <(x)"]',
    '["sh", "-c", "/app/demo >"]',
    '["sh", "-c", "/app/demo2>x"]',
    '["sh", "-c", "/app/demo > x & wait"]',
    '["sh", "-c", "\'/app/demo"]',
    '["sh", "-c"]',
    '["/usr/bin/env", "A=/app/demo"]',
    '["/usr/bin/env", "-i", "demo"]',
    '["/usr/bin/env"]',
    '["tini"]',
    '["demo"]',
    '["app/demox"]',
    '["/app/demo/x"]',
    '["exec", "/app/demo"]',
]


@pytest.mark.parametrize("entry", DEMO)
@pytest.mark.parametrize("split", [False, True], ids=["whole", "the last words by CMD"])
def test_what_is_started_is_found(entry: str, split: bool):
    words = tuple(json.loads(entry))
    config = ImageConfig(AMD64, entrypoint=words[:1] if split else words, cmd=words[1:] if split else None)
    assert "app/demo" in found(config, files(LINUX_OWN))


@pytest.mark.parametrize("entry", NOT_DEMO)
def test_what_cannot_be_known_is_not_guessed(entry: str):
    assert "app/demo" not in found(ImageConfig(AMD64, entrypoint=tuple(json.loads(entry))), files(LINUX_OWN))


@pytest.mark.parametrize("script", ["/app/run.sh", "/app/by-env", "/app/env.sh"])
def test_the_interpreter_of_a_script_is_started(script: str):
    config = ImageConfig(AMD64, entrypoint=(script,), env=("PATH=/usr/bin:/bin",))
    assert "bin/x" in found(config, files(LINUX_OWN))
    ours_is_below = {**files({}), "usr/bin/env": Node(Kind.FILE, 0o755)}
    assert "bin/x" in found(config, files({"bin/x": b""}), {**files(LINUX_OWN), **ours_is_below})


def test_a_script_that_interprets_itself_ends():
    assert found(ImageConfig(AMD64, entrypoint=("/app/loop",)), files(LINUX_OWN)).count("app/loop") > 1


LINKS: list[tuple[dict[str, str], str, str]] = [
    ({"bin": "usr/bin"}, "/bin/d", "usr/bin/d"),
    ({"bin": "/usr/bin"}, "/bin/d", "usr/bin/d"),
    ({"bin": "../../usr/bin"}, "/bin/d", "usr/bin/d"),
    ({"a": "b", "b": "c", "c": "usr/bin/d"}, "/a", "usr/bin/d"),
    ({"x/y": "../usr"}, "/x/y/bin/d", "usr/bin/d"),
    ({"x/y": "/usr/bin"}, "/x/y/../bin/./d", "usr/bin/d"),
    ({"x": "usr/bin", "usr/bin/e": "d"}, "/x/e", "usr/bin/d"),
    ({"opt/current": "../usr", "start": "/opt/current/bin/d"}, "/start", "usr/bin/d"),
]


@pytest.mark.parametrize(("links", "word", "path"), LINKS)
@pytest.mark.parametrize("of_base", [True, False], ids=["links of the base", "links of our own"])
def test_links_are_followed_in_every_part_of_a_path(links: dict[str, str], word: str, path: str, of_base: bool):
    config = ImageConfig(AMD64, entrypoint=(word,))
    linked = files({}, links)
    assert found(config, files({path: b""}) | ({} if of_base else linked), linked if of_base else {}) == [path]


def test_ours_lies_over_the_base():
    config = ImageConfig(AMD64, entrypoint=("/bin/d",))
    base = files({"usr/bin/d": b"", "bin/d": b""})
    assert found(config, files({"usr/bin/d": b""}, {"bin": "usr/bin"}), base) == ["usr/bin/d"]
    assert found(config, files({"bin": b""}), base) == []
    assert found(ImageConfig(AMD64, entrypoint=("/l",)), files({}, {"l": "l"})) == []


def test_names_without_a_folder_are_looked_for_in_path_as_the_base_has_it():
    own, first = files({"usr/bin/d": b""}), files({"usr/local/bin/d": b""})
    assert found(ImageConfig(AMD64, entrypoint=("d",)), own) == ["usr/bin/d"]
    assert found(ImageConfig(AMD64, entrypoint=("d",)), own, first) == ["usr/local/bin/d"]
    plain = {"usr/local/bin/d": Node(Kind.FILE, 0o644)}
    assert found(ImageConfig(AMD64, entrypoint=("d",)), own, plain) == ["usr/bin/d"]
    assert found(ImageConfig(AMD64, entrypoint=("d",), env=("PATH=/opt:bin",), working_dir="/usr"), own) == [
        "usr/bin/d"
    ]
    assert found(ImageConfig(AMD64, entrypoint=("d",), env=("PATH=/opt",)), own) == []
    assert found(ImageConfig(AMD64, entrypoint=("bin/d",), working_dir="/usr"), own) == ["usr/bin/d"]
    assert found(ImageConfig(AMD64, entrypoint=("./d",), working_dir="l"), own, files({}, {"l": "usr/bin"})) == [
        "usr/bin/d"
    ]


WINDOWS = Platform.parse("windows/amd64")
ON_WINDOWS = [
    ('["d.exe"]', {}),
    ('["D.EXE", "x"]', {"working_dir": "C:\\"}),
    ('["d"]', {"working_dir": "/"}),
    ('["C:\\\\d.exe"]', {}),
    ('["c:/d"]', {}),
    ('["\\\\d.exe"]', {"working_dir": "C:\\other"}),
    ('[".\\\\d.exe"]', {}),
    ('["C:d.exe"]', {}),
    ('["..\\\\D.exe"]', {"working_dir": "C:\\other"}),
    ('["d"]', {"working_dir": "C:\\other", "env": ("Path=C:\\Windows;C:\\",)}),
    ('["d.exe"]', {"working_dir": "C:\\other", "env": ("PATH=c:/;C:\\Windows",)}),
    ('["d"]', {"env": ("PATHEXT=.BAT;.EXE",)}),
    ('["C:\\\\link\\\\D"]', {}),
    ('["cmd", "/c", "d.exe"]', {}),
    ('["cmd", "/S", "/C", "d"]', {}),
    ('["cmd", "/S", "/C", "\\"C:\\\\d.exe\\" -x"]', {}),
    ('["cmd.exe", "/d", "/s", "/c", "\\"\\"C:\\\\d.exe\\" -x\\""]', {}),
    ('["C:\\\\Windows\\\\System32\\\\CMD.EXE", "/C", "d.exe", "%X"]', {}),
    ('["cmd /S /C d.exe -x"]', {"args_escaped": True}),
    ('["d.exe -x"]', {}),
    ('["cmd", "/c", "call d.exe"]', {}),
    ('["cmd", "/c", "d.exe -x > nul 2>&1"]', {}),
    ('["cmd", "/c", "d.exe>>\\"C:\\\\a b.log\\""]', {}),
    ('["powershell", "-Command", "d.exe -x"]', {}),
    ('["powershell.exe", "-NoLogo", "-ExecutionPolicy", "Bypass", "-c", "& \'C:\\\\d.exe\' -x $X"]', {}),
    ('["powershell", "-Command", "$ErrorActionPreference = \'Stop\';", ".\\\\d.exe"]', {}),
    ('["powershell", "C:/d.exe"]', {}),
    ('["pwsh", "-NoProfile", "-Command", "d"]', {}),
]


@pytest.mark.parametrize(("entry", "more"), ON_WINDOWS)
def test_windows_finds_its_programs_in_its_own_way(entry: str, more: dict[str, object]):
    config = ImageConfig(WINDOWS, **more, entrypoint=tuple(json.loads(entry)))  # type: ignore[arg-type]
    assert "D.exe" in found(config, files({"D.exe": b""}, {"Link": "C:\\"}))


@pytest.mark.parametrize(
    "entry",
    [
        '["cmd", "/c", "d.exe & x"]',
        '["cmd", "/c", "%X%"]',
        '["cmd", "/c", "x | d.exe"]',
        '["cmd", "/c", "echo d.exe"]',
        '["cmd", "/c", "echo x > d.exe"]',
        '["cmd", "/c", "d.exe > x & y"]',
        '["cmd", "/c", "d.exe1>x"]',
        '["powershell", "-Command", "\'d.exe\'"]',
        '["powershell", "-Command", "x; d.exe"]',
        '["powershell", "-EncodedCommand", "d.exe"]',
        '["powershell", "-Command", "$x = 1"]',
        '["D:\\\\d.exe"]',
        '["\\\\\\\\host\\\\d.exe"]',
        '["e.exe"]',
    ],
)
def test_on_windows_too_nothing_is_guessed(entry: str):
    assert "D.exe" not in found(ImageConfig(WINDOWS, entrypoint=tuple(json.loads(entry))), files({"D.exe": b""}))


LINK, HARD = b"2", b"1"
OF_WINDOWS = tar(
    ("Files/Windows/System32/cmd.exe", {}, b"MZ"),
    ("Files/Bin", {"type": LINK, "linkname": "C:\\Tools"}, b""),
    ("Files/tools", {"type": b"5"}, b""),
    ("Files/Short", {"type": LINK, "linkname": "tools"}, b""),
    ("Files/deep/Er", {"type": LINK, "linkname": "..\\BIN"}, b""),
    ("Files/Junction", {"type": LINK, "linkname": "\\??\\C:\\tools"}, b""),
    ("Files/Device", {"type": LINK, "linkname": "\\\\?\\C:\\tools\\"}, b""),
    ("Files/Start.exe", {"type": LINK, "linkname": "/Tools/d.EXE"}, b""),
    ("Files/Gone", {"type": LINK, "linkname": "tools"}, b""),
    ("UtilityVM/Files/real", {"type": LINK, "linkname": "C:\\tools"}, b""),
)
OVER_WINDOWS = tar(
    ("Files/.wh.Gone", {}, b""),
    ("Files/Copy.exe", {"type": HARD, "linkname": "Files/Windows/System32/cmd.exe"}, b""),
    ("Files/kept", {"type": b"5"}, b""),
    ("Hives/DefaultUser_Delta", {}, b"hive"),
)


@pytest.mark.parametrize(
    "start",
    [
        'ENTRYPOINT ["C:\\\\bin\\\\d.exe"]',
        'ENTRYPOINT ["c:/BIN/D"]',
        'ENTRYPOINT ["C:\\\\short\\\\d.exe"]',
        'ENTRYPOINT ["C:/deep/er/d.exe"]',
        'ENTRYPOINT ["C:/junction/d"]',
        'ENTRYPOINT ["C:/device/d"]',
        'ENTRYPOINT ["C:/start"]',
        'WORKDIR C:/x\nENTRYPOINT ["cmd", "/S", "/C", "C:\\\\bin\\\\d.exe -x"]',
        "ENTRYPOINT C:/bin/d.exe -x",
        'ENV PATH="C:\\\\Windows;C:\\\\bin"\nENTRYPOINT ["d"]',
        'SHELL ["C:/x.exe", "-c"]\nCMD C:/short/d.exe',
    ],
)
def test_links_of_a_windows_base_are_followed(shop, start: str):
    shop.platform = WINDOWS
    shop.write("d.exe", elf("arm64"))
    shop.base("base:1", OF_WINDOWS, OVER_WINDOWS, config=ImageConfig(WINDOWS))
    with pytest.raises(WrongMachine, match=r"/tools/d\.exe: is an ARM64 ELF, but the image is windows/amd64"):
        shop.build(f"FROM base:1\nCOPY d.exe C:/tools/d.exe\n{start}\n")


@pytest.mark.parametrize("start", ["C:/gone/d.exe", "C:/real/d.exe", "C:/copy.exe", "C:/kept/d.exe", "C:/nowhere/d"])
def test_what_is_no_link_of_a_windows_base_leads_nowhere(shop, start: str):
    shop.platform = WINDOWS
    shop.write("d.exe", elf("arm64"))
    shop.base("base:1", OF_WINDOWS, OVER_WINDOWS, config=ImageConfig(WINDOWS))
    shop.build(f'FROM base:1\nCOPY d.exe C:/tools/d.exe\nENTRYPOINT ["{start}"]\n')
    assert shop.warnings == ["the image is windows/amd64, but holds /tools/d.exe (ARM64 ELF)"]


def test_hard_links_of_a_windows_base_are_files(shop):
    shop.platform = WINDOWS
    base = shop.base("base:1", OF_WINDOWS, OVER_WINDOWS, config=ImageConfig(WINDOWS))
    from multiarch_oci.engine.frontend.bases import load

    names = names_of(load(base, shop._source, where="x"))
    assert names.lookup("COPY.EXE") == names.lookup("WINDOWS/SYSTEM32/CMD.EXE") is not None
    assert names.lookup("GONE") is names.lookup("REAL") is None


def test_a_windows_base_whose_layers_cannot_be_had_is_said_and_no_error(shop):
    shop.platform = WINDOWS
    shop.write("d.exe", elf("arm64"))
    shop.base("base:1", OF_WINDOWS, config=ImageConfig(WINDOWS))
    shop.store._blobs = {digest: blob for digest, blob in shop.store._blobs.items() if blob[:2] != b"\x1f\x8b"}
    shop.build('FROM base:1\nCOPY d.exe C:/tools/d.exe\nENTRYPOINT ["C:/bin/d.exe"]\n')
    unread, foreign = shop.warnings
    assert unread.startswith("base base:1 cannot be read: memory: has no sha256:")
    assert unread.endswith("; its links are not followed")
    assert foreign == "the image is windows/amd64, but holds /tools/d.exe (ARM64 ELF)"


def test_the_layers_of_a_windows_base_are_not_read_for_what_every_windows_starts(shop):
    shop.platform = WINDOWS
    shop.write("d.exe", elf("arm64"))
    shop.base("base:1", OF_WINDOWS, config=ImageConfig(WINDOWS))
    for start in ('["cmd", "/c", "%X%"]', '["powershell", "-Command", "x; y"]'):
        shop.build(f"FROM base:1\nWORKDIR C:/tools\nCOPY d.exe C:/tools/d.exe\nCMD {start}\n")
    assert not [each for each in shop.store.opened if "rootfs" in each.media_type]


def dynamic(architecture: str, loader: str) -> bytes:
    """Return the head of a program with one program header, PT_INTERP."""
    head = bytearray(elf(architecture).ljust(64, b"\0"))
    head[32:40], head[54:58] = (64).to_bytes(8, "little"), (56).to_bytes(2, "little") + (1).to_bytes(2, "little")
    name = loader.encode() + b"\0"
    header = (3).to_bytes(4, "little") + bytes(4) + (120).to_bytes(8, "little") + bytes(16)
    return bytes(head) + header + len(name).to_bytes(8, "little") + bytes(16) + name


def test_the_loader_of_a_dynamic_program_is_started(shop):
    shop.write("demo", dynamic("amd64", "/lib64/ld-linux-x86-64.so.2"), mode=0o755)
    shop.write("ld", elf("arm64"), mode=0o755)
    text = 'FROM scratch\nCOPY demo /demo\nCOPY ld /lib64/ld-linux-x86-64.so.2\nENTRYPOINT ["/demo"]\n'
    with pytest.raises(WrongMachine, match=r"/lib64/ld-linux-x86-64.so.2: is an ARM64 ELF"):
        shop.build(text)


BASE = (Entry.directory("usr"), Entry.directory("usr/bin"), Entry.symlink("bin", "usr/bin"))


@pytest.mark.parametrize(
    ("copies", "start", "path"),
    [
        ("COPY arm /bin/d", 'ENTRYPOINT ["/bin/d"]', "usr/bin/d"),
        ("COPY arm /usr/bin/d", 'ENTRYPOINT ["/bin/d"]', "usr/bin/d"),
        ("COPY arm /usr/bin/d", 'WORKDIR /bin\nENTRYPOINT ["./d"]', "usr/bin/d"),
        ("COPY arm /bin/d", 'ENV PATH=/bin\nENTRYPOINT ["d"]', "usr/bin/d"),
        ("COPY arm /srv/real", 'ENTRYPOINT ["/entry"]', "srv/real"),
        ("COPY arm /srv/real", "", "srv/real"),
        ("COPY amd /srv/real\nCOPY arm /srv/real", "", "srv/real"),
        ("COPY arm /usr/bin/x\nCOPY script /srv/real", "", "usr/bin/x"),
        ("COPY arm /opt/d", 'ENTRYPOINT ["/sbin/tini", "--"]\nCMD ["/opt/d"]', "opt/d"),
        ("COPY arm /opt/d", "ENTRYPOINT exec /opt/d $X", "opt/d"),
        ("COPY arm /opt/d", 'SHELL ["/bin/bash", "-euo", "pipefail", "-c"]\nENTRYPOINT "/opt/d" --x', "opt/d"),
    ],
)
def test_over_a_base_with_links_the_wrong_machine_is_an_error(shop, copies: str, start: str, path: str):
    shop.write("arm", elf("arm64"), mode=0o755)
    shop.write("amd", elf("amd64"), mode=0o755)
    shop.write("script", "#!/bin/x\n", mode=0o755)
    base = (*BASE, Entry.symlink("entry", "srv/real"), Entry.of_bytes("srv/real", elf("amd64"), mode=0o755))
    shop.base("base:1", base, config=ImageConfig(AMD64, entrypoint=("/entry",)))
    with pytest.raises(WrongMachine, match=rf"/{path}: is an ARM64 ELF, but the image is linux/amd64"):
        shop.build(f"FROM base:1\n{copies}\n{start}\n")


def test_the_layers_of_a_base_are_read_only_where_the_answer_depends_on_them(shop):
    shop.write("amd", elf("amd64"), mode=0o755)
    shop.write("arm", elf("arm64"), mode=0o755)
    shop.base("base:1", BASE, config=ImageConfig(AMD64))
    layer = shop.store.opened
    for text in (
        'COPY amd /data/d\nENTRYPOINT ["/bin/x"]',
        'COPY amd /data/d\nCOPY arm /data/e\nENTRYPOINT ["/data/d"]',
    ):
        layer.clear()
        shop.build(f"FROM base:1\n{text}\n")
        assert not [each for each in layer if "layer" in each.media_type or "rootfs" in each.media_type]
    layer.clear()
    shop.build('FROM base:1\nCOPY arm /data/e\nENTRYPOINT ["/bin/x"]\n')
    assert [each for each in layer if "layer" in each.media_type or "rootfs" in each.media_type]
    layer.clear()
    shop.build('FROM base:1\nCOPY arm /data/e\nENTRYPOINT ["/bin/x"]\n', foreign=("data/*",))
    assert not [each for each in layer if "layer" in each.media_type or "rootfs" in each.media_type]


def test_whiteouts_and_hard_links_of_the_base_count(shop):
    first = tar(
        ("bin/old", {"mode": 0o755}, elf("amd64")),
        ("bin/gone", {"mode": 0o755}, b"#!/bin/old\n"),
        ("opt/a", {}, b""),
        ("bin/link", {"type": b"2", "linkname": "old"}, b""),
        ("bin/same", {"type": b"1", "linkname": "bin/old"}, b""),
    )
    second = tar(
        ("bin/.wh.gone", {}, b""),
        ("opt/b", {}, b""),
        ("opt/.wh..wh..opq", {}, b""),
        ("again", {"type": b"1", "linkname": "bin/old"}, b""),
    )
    base = shop.base("base:1", first, second)
    shop.plan("FROM base:1\n")
    from multiarch_oci.engine.frontend.bases import load

    names = names_of(load(base, shop._source, where="x"))
    assert sorted(names.names("bin")) == ["link", "old", "same"]
    assert names.names("opt") == ("b",)
    assert names.lookup("again") == names.lookup("bin/old") == names.lookup("bin/same")


@pytest.mark.parametrize("way", ["whiteout", "opaque", "file over folder"])
def test_what_our_layers_took_away_is_not_followed(way: str):
    below, own = Overlay(), Overlay()
    below.put("bin", Node(Kind.SYMLINK, 0o777, target="usr/bin"))
    below.put("x/bin", Node(Kind.SYMLINK, 0o777, target="/usr/bin"))
    steps: dict[str, Callable[[], object]] = {
        "whiteout": lambda: own.whiteout("x/.wh.bin"),
        "opaque": lambda: own.whiteout("x/.wh..wh..opq"),
        "file over folder": lambda: own.put("x", Node(Kind.FILE, 0o644)),
    }
    steps[way]()
    whole = own.upon(below)
    assert whole.lookup("x/bin") is None
    assert whole.lookup("bin") is not None
    assert "bin" not in whole.names("x")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"#!/bin/sh\nx", ("/bin/sh",)),
        (b"#! /usr/bin/env  -S a b\r\n", ("/usr/bin/env", "-S a b")),
        (b"#!", ()),
        (b"#!\n/bin/sh", ()),
        (dynamic("amd64", "/lib/ld"), ("/lib/ld",)),
        (dynamic("amd64", "/lib/ld")[:-1], ()),
        (dynamic("amd64", "/lib/ld")[:100], ()),
        (elf("amd64"), ()),
        (b"\x7fELF" + b"\xff" * 90, ()),
        (b"\x7fELF\x02\x01" + b"\xff" * 90, ()),
        (b"\x7fELF\x01\x02" + b"\xff" * 90, ()),
        (b"", ()),
    ],
)
def test_the_interpreter_that_a_head_names(head: bytes, words: tuple[str, ...]):
    assert interpreter(head) == words


def test_a_script_of_the_base_is_read_by_ours(shop):
    shop.write("arm", elf("arm64"), mode=0o755)
    base = (
        *BASE,
        Entry.of_bytes("usr/bin/start", b"#!/bin/env x\n", mode=0o755),
        Entry.of_bytes("usr/bin/env", b"", mode=0o755),
    )
    shop.base("base:1", base, config=ImageConfig(AMD64, entrypoint=("/bin/start",), env=("PATH=/opt:/bin",)))
    with pytest.raises(WrongMachine, match=r"^/opt/x: is an ARM64 ELF"):
        shop.build("FROM base:1\nCOPY arm /opt/x\n")


def heads() -> list[bytes]:
    """Return heads of every kind, those of this machine's own programs too."""
    found = [elf("arm64"), dynamic("amd64", "/lib64/ld-linux-x86-64.so.2"), b"#!/bin/sh\n" + b"x" * 9000, b"text", b""]
    found.append(dynamic("amd64", "/lib/ld") + b"\0" * 9000)
    places = [Path(sys.executable), *sorted(Path("/usr/bin").glob("[a-c]*"))[:200]]
    return found + [read_head(partial(place.open, "rb")) for place in places if place.is_file()]


def test_what_is_kept_of_a_head_says_the_same():
    for head in heads():
        short = essential(head)
        assert (identify(short), interpreter(short)) == (identify(head), interpreter(head))
        assert not head.startswith((b"#!", b"\x7fELF")) or len(short) <= 1024
