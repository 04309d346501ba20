"""Random Dockerfiles without RUN, and random contexts for them; the same seed draws the same."""

from __future__ import annotations

import base64
import io
import json
import os
import posixpath
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from dockerfile_cases import PACKED

LINUX, WINDOWS = "linux/amd64", "windows/amd64"
_FILES = (
    "a.txt", "b.txt", "c.md", "sp ace.txt", "ü.txt", "d/x", "d/y.txt", "d/.hidden", "d/e/f.txt", "d/e/g/h", "d2/x", "tool",
    "[odd].txt", "st*r", "q?", "-dash", "%41", "e/only", "web/index.html", "web/img/1.svg", "web/img/2.svg", "passwd",
)  # fmt: skip
_LINKS = (
    ("l-file", "a.txt"), ("l-dir", "d"), ("l-abs", "/d/x"), ("l-absdir", "/web/img"), ("l-gone", "nope"), ("d/up", "../a.txt"),
    ("d/e/here", "."), ("l-out", "../../../etc"), ("web/link", "../d/e"), ("l-l", "l-dir"), ("d2/abs", "/x"),
)  # fmt: skip
_ARCHIVES = (*(f"pack{suffix}" for suffix in PACKED), "pack.tar", "links.tar", "not.tar", "empty.tar", "pack.zip")
_SOURCES = (
    *_FILES, *(name for name, _ in _LINKS), *_ARCHIVES, "d", "d/", "./d", "/d", "d/.", "d/e", "web", "web/", "web/img", "e", "empty",
    "d/void", ".", "./", "/", "*", "*.txt", "?.txt", "[ab].txt", "[^a].txt", "d/*", "d*", "*/x", "*/*.txt", "d/e/*", "l-*", "l-*/x",
    "l-dir/x", "l-dir/e", "l-dir/*", "l-absdir/*.svg", "web/link/f.txt", "d/../a.txt", "../a.txt", "l-dir/../b.txt", "d/e/here/f.txt",
    "nope*", "empty/*", "*.none", "[[]odd].txt", "st\\*r", "d/e/..", "web/*/1.svg", "$N", "${N%.txt}.txt", "$D/x", "d//e//f.txt",
    "$FOLDER", "${FOLDER:-d}/x", "x/..", "*ü*", "d/.*",
)  # fmt: skip
_DEEP = (
    "**/*.txt",
    "**",
    "d/**",
    "**/x",
    "d/**/f.txt",
    "./d/./e/f.txt",
    "d/./e",
    "d/./e/*",
    "web/./img/*.svg",
    "./web/./",
    "d/e/./g/h",
)
_TARGETS = (
    "/", "/x", "/x/", "x", "x/", ".", "./", "/deep/er/", "/deep/er/file", "/bin/", "/bin/x", "/tmp/", "/tmp/y", "/var/run/q", "/home/app/",  # noqa: S108  # paths in an image
    "/home/app", "/opt/a", "/opt/a/", "/x/.", "/x/..", "/d/", "/d/e", "/d/e/", "/l-dir/", "/l-dir", "/l-file", "/ü/", "/$N/", "/web/", "..",
    "/x/../y/z", "/usr/bin/../lib/", "$D/", "/w/", "../up/", "/l-gone", "/l-gone/", "/x/l-dir/e/", "/x/l-dir", "/x/d/e/here/",
)  # fmt: skip
_WINDOWS_TARGETS = (
    "C:/", "C:/x", "C:/x/", "/x/", "xy/", ".", "c:/Windows/y", "C:\\\\x\\\\y\\\\", "\\\\q\\\\", "sub\\\\", "C:/Program Files/", "/deep/er/f", "C:x",
)  # fmt: skip
_CHOWNS = ("1000", "1000:2000", "0", "app", "app:staff", "root:root", "7:staff", "nobody:5", ":9", "$U", "app:50")
_CHMODS = (
    "600",
    "0750",
    "4755",
    "1777",
    "u=rwX,go=rX",
    "a+x",
    "g-w,o=",
    "go=u",
    "+x",
    "u+s",
    "a=r",
    "$M",
    "644",
    "o=g",
    "a-x+X",
    "711",
)
_EXCLUDES = (
    "*.txt",
    "e",
    "d/e",
    "**/*.txt",
    "!a.txt",
    "*",
    "**/x",
    "img",
    "img/*",
    "!img/1.svg",
    ".*",
    "d",
    "*/x",
    "y.txt",
    "e/g",
)
_IGNORED = (
    "*", "!a.txt", "d", "!d/e", "**/*.txt", "d/*", "!d/x", "*.md", "l-*", "# note", "/d/e", "!**/x", "d/e/", "web/img/?.svg", "!web",
    "*/*", "empty", "  b.txt  ", "!", "d/**/f.txt", "[a-c]*", "\\!x", "../a.txt", "./c.md", "**", "!**/*.txt", "!d/e/g/h",
)  # fmt: skip


@dataclass
class Case:
    """A Dockerfile, its context as (name, kind, content) and the platform that it is built for."""

    dockerfile: str
    platform: str
    context: list[tuple[str, str, bytes]] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Make the context and the Dockerfile, `Dockerfile.test`, in an empty folder. Modes are 0755 and 0644."""
        for name, kind, content in self.context:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                place.mkdir(exist_ok=True)
            elif kind == "link":
                place.symlink_to(os.fsdecode(content))
            elif kind == "hard":
                os.link(folder / os.fsdecode(content), place)
            else:
                place.write_bytes(content)
        for place in (folder, *folder.rglob("*")):
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() or place.name == "tool" else 0o644)
        (folder / "Dockerfile.test").write_text(self.dockerfile, encoding="utf-8", newline="")


def draw(random: Random) -> Case:
    """Draw a case."""
    platform = WINDOWS if random.random() < 0.12 else LINUX
    context = _context(random)
    case = Case(_Writer(random, context, windows=platform == WINDOWS).dockerfile(), platform, context)
    if random.random() < 0.3:
        case.arguments["N"] = random.choice(("b.txt", "d", "a.txt", "c.md"))
    return case


def _context(random: Random) -> list[tuple[str, str, bytes]]:
    found = [(name, "file", f"{name} {random.randrange(2)}\n".encode()) for name in _FILES if random.random() < 0.85]
    found = [each if each[0] != "passwd" else (*each[:2], b"root:x:0:0::/:/x\nnobody:x:9:8::/:/x\n") for each in found]
    found += [(name, "link", target.encode()) for name, target in _LINKS if random.random() < 0.7]
    found += [(name, "folder", b"") for name in ("empty", "d/void", "web/none/none") if random.random() < 0.8]
    found += [(name, "file", _packed(name)) for name in _ARCHIVES if random.random() < 0.6]
    if random.random() < 0.3 and any(name == "a.txt" for name, _, _ in found):
        found.append(("hard", "hard", b"a.txt"))
    if random.random() < 0.2:
        lines = [random.choice(_IGNORED) for _ in range(random.randint(1, 4))]
        found.append((".dockerignore", "file", ("\n".join(line for line in lines if line != "!") + "\n").encode()))
    return found


def _packed(name: str) -> bytes:
    if name in ("pack.tar", "links.tar", "empty.tar"):
        return _tar(name)
    if name == "not.tar":
        return b"this is no archive\n" * 60
    if name == "pack.zip":
        return b"PK\x03\x04" + bytes(60)
    return base64.b85decode(PACKED[name.removeprefix("pack")])


def _tar(name: str) -> bytes:
    members: dict[str, list[tuple[str, bytes, int, int, str]]] = {
        "empty.tar": [],
        "pack.tar": [
            ("./", tarfile.DIRTYPE, 0o755, 0, ""), ("d/", tarfile.DIRTYPE, 0o750, 7, ""), ("d/x", tarfile.REGTYPE, 0o4755, 7, "tar"),
            ("d/again", tarfile.LNKTYPE, 0o4755, 7, "d/x"), ("new/deep/file", tarfile.REGTYPE, 0o600, 3, "secret"),
        ],
        "links.tar": [
            ("t", tarfile.DIRTYPE, 0o711, 1, ""), ("t/l", tarfile.SYMTYPE, 0o777, 2, "../x"), ("abs", tarfile.SYMTYPE, 0o777, 0, "/d"),
            ("a.txt", tarfile.REGTYPE, 0o644, 0, "from the archive"), ("l-dir", tarfile.DIRTYPE, 0o700, 5, ""),
        ],
    }  # fmt: skip
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for path, kind, bits, owner, text in members[name]:
            member = tarfile.TarInfo(path)
            member.type, member.mode, member.uid, member.gid = kind, bits, owner, owner
            content = text.encode() if kind == tarfile.REGTYPE else b""
            member.linkname, member.size = ("" if content else text), len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def _is_likely(source: str, there: set[str]) -> bool:
    path = posixpath.normpath(f"/{source}").strip("/")
    return (
        path in there
        or path == ""
        or not set(path).isdisjoint("*?[$")
        or (path[:2] == "l-" and path.split("/")[0] in there)
    )


class _Writer:
    """Draws the lines of one Dockerfile."""

    def __init__(self, random: Random, context: list[tuple[str, str, bytes]], *, windows: bool) -> None:
        self.random, self.windows = random, windows
        self.named: list[str] = []
        self.targets: list[str] = []
        there = {name for name, _, _ in context}
        there |= {name[:at] for name in there for at, letter in enumerate(name) if letter == "/"}
        # What is not there ends a case at once: it comes, but not often.
        self.sources = (*(each for each in _SOURCES if _is_likely(each, there)), "d", ".")
        self.archives = tuple(each for each in _ARCHIVES if each in there) or ("*.txt",)

    def dockerfile(self) -> str:
        lines = ["ARG N=a.txt\n"] if self.random.random() < 0.5 else []
        count = self.random.choice((1, 1, 1, 2, 2, 3))
        for number in range(count):
            lines += [self.stage(number), "ARG N=a.txt D=/d\n", "ENV U=1000 M=0640\n"]
            lines += [self.instruction(number) for _ in range(self.random.randint(1, 6))]
        return "".join(lines)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def stage(self, number: int) -> str:
        # Over scratch BuildKit on Linux writes layers of Linux, also for Windows.
        below = ["base", *self.named] if self.windows else ["scratch", "scratch", "base", "base", *self.named]
        name = f"s{number}"
        text = f"FROM {self.random.choice(below)} AS {name}\n"
        self.named.append(name)
        return text

    def instruction(self, number: int) -> str:
        kinds = ("copy", "copy", "copy", "copy", "add", "add", "inline", "workdir", "user", "config", "config")
        return getattr(self, f"_{self.random.choice(kinds)}")(number) + "\n"

    def _flags(self, number: int, *, copy: bool) -> tuple[str, bool]:
        flags, parents = "", False
        if copy and number and self.chance(0.5):
            flags += f" --from={self.random.choice((*self.named[:-1], *map(str, range(number)), 'base'))}"
        elif copy and self.chance(0.1):
            flags += " --from=base"
        if self.chance(0.25):
            flags += f" --chown={self.random.choice(_CHOWNS)}"
        if self.chance(0.25):
            flags += f" --chmod={self.random.choice(_CHMODS)}"
        if self.chance(0.15):
            flags += " --link"
        if copy and self.chance(0.2):
            flags, parents = f"{flags} --parents", True
        while self.chance(0.15):
            flags += f" --exclude={self.random.choice(_EXCLUDES)}"
        return flags, parents

    def _target(self) -> str:
        # BuildKit's `x/` of one letter and `x/.` are files on Windows (`cleanPath` of util/system).
        pool = tuple(each for each in _TARGETS if each not in ("x/", "/x/.")) if self.windows else _TARGETS
        self.targets.append(self.random.choice(_WINDOWS_TARGETS if self.windows and self.chance(0.7) else pool))
        return self.targets[-1]

    def _copy(self, number: int, keyword: str = "COPY") -> str:
        flags, parents = self._flags(number, copy=keyword == "COPY")
        pool = (*self.sources, *_DEEP, *_DEEP) if parents else self.sources
        if "--from=base" in flags:
            pool = (
                "/bin/tool",
                "/opt/a",
                "/home",
                "/etc/*",
                "/var/run",
                "usr/bin/../bin/again",
                "gone",
                "/",
                "/*",
                "/b*",
                "/opt/*/*",
            )
        elif "--from=" in flags:
            pool = (
                "/",
                "*",
                "/*",
                "/[d-x]*",
                "/w*",
                "/x*",
                "/*/*",
                *self.targets[:5],
                *(("**", "x/./**", "/d*") if parents else ()),
            )
        if self.chance(0.05):
            pool = _SOURCES
        words = [self.random.choice(pool) for _ in range(self.random.choice((1, 1, 1, 2, 3)))] + [self._target()]
        if len(words) > 2 and self.chance(0.8) and not words[-1].endswith(("/", ".", "\\")):  # two sources
            words[-1] += "/"
        if self.chance(0.2) or any(" " in word for word in words):
            return f"{keyword}{flags} {json.dumps(words, ensure_ascii=self.chance(0.5))}"
        return f"{keyword}{flags} {' '.join(words)}"

    def _add(self, number: int) -> str:
        if self.chance(0.5):
            flags, _ = self._flags(number, copy=False)
            unpack = self.random.choice(("", "", " --unpack=false", " --unpack"))
            return f"ADD{flags}{unpack} {self.random.choice(self.archives)} {self._target()}"
        return self._copy(number, "ADD")

    def _inline(self, number: int) -> str:
        flags, _ = self._flags(0 * number, copy=False)
        names = self.random.choice((("EOF",), ("one", "two"), ("-E",)))
        quote = self.random.choice(("", "'", '"'))
        heads = " ".join(f"<<{'-' * name.startswith('-')}{quote}{name.lstrip('-')}{quote}" for name in names)
        bodies = "\n".join(f"\tbody $N ${{D:-none}} \\$x\n{name.lstrip('-')}" for name in names)
        target = self._target()
        return f"COPY{flags.replace(' --parents', '')} {heads} {target}\n{bodies}"

    def _workdir(self, _number: int) -> str:
        places = (
            "/w",
            "rel",
            "/w/../v",
            "sub/dir/",
            "/tmp/t",  # noqa: S108  # paths in an image
            "/bin",
            "/var/run/w",
            "$D",
            "/home/app/w",
            "/",
            "..",
            "/x",
            "/l-dir/w",
        )
        if self.windows:
            places = ("C:/w", "rel", "/w", "C:\\\\app\\\\sub", "sub\\\\dir", "c:/", "..\\\\up")
        return f"WORKDIR {self.random.choice(places)}"

    def _user(self, _number: int) -> str:
        return f"USER {self.random.choice(('1000', '1000:1001', 'app', 'app:staff', '0', 'nobody', '$U'))}"

    def _config(self, _number: int) -> str:
        return self.random.choice((
            'ENV A=$N B="$A c" PATH=/q:$PATH', "ENV legacy  two words", "LABEL a=$N 'b c'=d", "LABEL old  form of it", "EXPOSE 80 90-92/udp $U",
            "EXPOSE ${P:-81} 7", "VOLUME /v $D/v", 'VOLUME ["/x", "/y z"]', "STOPSIGNAL SIGTERM", "STOPSIGNAL ${S:-9}", 'SHELL ["/s", "-c"]',
            'CMD ["a", "$N"]', "CMD echo $N  'x'", 'ENTRYPOINT ["/e"]', "ENTRYPOINT e x", "HEALTHCHECK --interval=90s CMD x  y", "HEALTHCHECK NONE",
            "MAINTAINER me <a@b>", "ONBUILD COPY a.txt /onbuild/", "ONBUILD ENV OB=$N", "ONBUILD WORKDIR /ob", "ARG X=${N:+set} Y", "ARG N", "CMD []",
            "ENV FOLDER=web", "ARG D=web", "USER ${U:-5}:$U", 'ENV Q="${N#a}" R=${N%%.*} T=${N/a/z}', "ARG D", "ENV D=d",
        ))  # fmt: skip
