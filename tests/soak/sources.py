"""A small tree with every kind of input, and the edits that its developers make to it, chosen by a seed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from machines.small import Tree

ARCHS = ("amd64", "arm64", "arm-v7")
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
MAIN = """\
package main

import (
	"embed"
	"os"

	"example.com/demo/inner"
	"example.com/lib"
)

//go:embed assets/*.txt all:kept
var assets embed.FS

var version = "unknown"

func main() {
	entries, _ := assets.ReadDir("assets")
	for _, entry := range entries {
		version += entry.Name()
	}
	_, _ = os.Stdout.WriteString("demo " + version + place + inner.Word + lib.Word + "\\n")
}
"""
# Files that hold one word of six letters, so that an edit keeps their size.
WORDS = {
    "inner/inner.go": 'package inner\n\nconst Word = "{}"\n',
    "lib/lib.go": 'package lib\n\nconst Word = "{}"\n',
    "place_linux_arm64.go": 'package main\n\nconst place = "{}"\n',
    "place_other.go": '//go:build !(linux && arm64)\n\npackage main\n\nconst place = "{}"\n',
    "assets/first.txt": "{}\n",
    "kept/first": "{}\n",
    "share/greeting": "{}\n",
    "conf/one.conf": "{}\n",
    "arm64only/first.txt": "{}\n",
    "main_test.go": "package main\n\n// {}\n",
    "README.md": "# {}\n",
}
GO = 'package {package}\n\nimport "os"\n\nfunc init() {{\n\tif len(os.Args) > 99 {{\n\t\tpanic("{word}")\n\t}}\n}}\n'
PACKAGES = {"": "main", "inner/": "inner", "lib/": "lib"}
SUFFIXES = ("", "", "_linux_arm64", "_amd64", "_arm", "_windows", "_test", "_linux")
CONSTRAINTS = ("", "", "", "//go:build special\n\n", "//go:build !arm64\n\n", "//go:build ignore\n\n")
EMBEDDED = ("assets/", "kept/", "kept/deep/")
COPIED = ("share/", "share/deep/", "conf/", "arm64only/", "elsewhere/")
ENDS = (".txt", ".conf", ".tmp", "")
IGNORED = "*\n!_output/bin\n!share\n!conf\n!arm64only\n"
IGNORE_LINES = (
    "*/*.tmp",
    "share/note.txt",
    "arm64only/second.txt",
    "share/deep",
    "!share/left.tmp",
    "# a remark",
    "**/.x*",
)
LINES = (
    "LABEL team={}",
    "ENV COLOUR={}",
    "COPY share/greeting /{}",
    "# {}",
    "WORKDIR /{}",
    "USER 65532:65532",
    "ARG WHO={}",
    "LABEL who=$WHO",
    "COPY --chmod=0700 conf /{}/",
    'CMD ["{}"]',
)
GO_LINES = (
    "godebug panicnil=1",
    "toolchain go1.99.9",
    "exclude example.com/nobody v1.0.0",
    "retract v0.0.9",
    "replace example.com/nobody => ../nobody",
    "// a remark",
)
PATTERNS = (
    "assets/*.txt all:kept",
    "assets all:kept",
    "assets/*.txt kept",
    "assets/first.txt all:kept",
    '"assets/*.txt" all:kept',
)
ROUTINE = """\
#include "textflag.h"
#include "../tables/table.inc"

TEXT ·Routine(SB), NOSPLIT, $0-8
	MOVQ NUMBER, AX
	MOVQ AX, ret+0(FP)
	RET
"""
GOFLAGS = ("", "-tags=special", "-p=3", "-gcflags=-l", "-tags=special,other")


@dataclass
class Sources:
    """A tree under edit. `settings` and `env` are what the next build is started with, `recipes` what Dockerfiles say."""

    tree: Tree
    bases: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    recipes: dict[str, list[str]] = field(default_factory=lambda: {arch: ["FROM scratch"] for arch in ARCHS})
    added: list[str] = field(default_factory=list)
    broken: bool = False
    count: int = 0
    go_line: str = "1.21"
    go_lines: tuple[str, ...] = ()
    lib_version: str = "v0.0.0"
    stages: dict[str, str] = field(default_factory=dict)  # what the last stage copies from others, by machine

    def plant(self) -> Sources:
        """Write the first state of everything."""
        for path, text in WORDS.items():
            self.tree.edit(path, text.format("begins"))
        self.tree.edit("main.go", MAIN)
        self.tree.edit("lib/go.mod", "module example.com/lib\n\ngo 1.21\n")
        self.tree.edit(".dockerignore", IGNORED + "*/*.tmp\n")
        self.tree.edit("VERSION", "v1.0\n")
        self.write_go_mod()
        for arch in ARCHS:
            self.write_recipe(arch)
        return self

    def write_go_mod(self) -> None:
        """Write go.mod as it is meant now."""
        text = f"module example.com/demo\n\ngo {self.go_line}\n\nrequire example.com/lib {self.lib_version}\n"
        self.tree.edit(
            "go.mod", text + "\nreplace example.com/lib => ./lib\n" + "".join(f"\n{line}\n" for line in self.go_lines)
        )

    def write_recipe(self, arch: str) -> None:
        """Write the Dockerfile of one platform as it is meant now."""
        first, *lines = self.recipes[arch]
        own = ["COPY arm64only /arm64only"] if arch == "arm64" else []
        copied = [f"COPY _output/bin/{arch}/linux/demo /demo", "COPY share /share", "COPY conf/*.conf /etc/demo/"]
        staged = self.stages.get(arch, "")
        before = ["FROM scratch AS side", "COPY share /side/", "COPY conf /side/conf"] if "=side" in staged else []
        last = [staged, 'ENTRYPOINT ["/demo"]', ""]
        self.tree.edit(f"Dockerfile.{arch}", "\n".join([*before, first, *copied, *own, *lines, *last]))

    def arguments(self) -> list[str]:
        """Return the variables of the command line."""
        return [f"{name}={value}" for name, value in self.settings.items()]

    def platforms(self) -> list[str]:
        """Return the platforms declared now."""
        return self.settings.get("PLATFORMS", "linux/amd64,linux/arm64").split(",")

    def name(self) -> str:
        """Return a part of a file name that was not used yet."""
        self.count += 1
        return f"x{self.count}"

    def edit(self, random: Random) -> str:
        """Change something; return what, in words. A tree that does not compile is mended first."""
        if self.broken:
            return self.mend()
        chosen = random.choices(EDITS, [weight for _, weight in WEIGHTED])[0]
        return f"{chosen.__name__}: {chosen(self, random)}"

    def mend(self) -> str:
        """Take away what does not compile."""
        if self.broken:
            self.tree.remove("broken.go")
            self.broken = False
        return "mend: broken.go is gone"


def word(random: Random) -> str:
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=6))


def write_quietly(path: Path, text: str, *, anew: bool) -> None:
    """Write a text of the same size and leave the mtime as it was; `anew` puts another inode in its place."""
    status = path.stat()
    target = path.with_name(f"{path.name}.new") if anew else path
    target.write_bytes(text.encode())
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    target.replace(path)


def a_word(s: Sources, random: Random) -> str:
    path = random.choice([path for path in WORDS if (s.tree.path / path).exists()])
    text, how = (
        WORDS[path].format(word(random)),
        random.choice(("plainly", "in place, mtime set back", "by another file of the same mtime")),
    )
    if how == "plainly" or (s.tree.path / path).is_symlink():
        s.tree.edit(path, text)
    else:
        write_quietly(s.tree.path / path, text, anew="another" in how)
    return f"{path} {how}"


def a_go_file(s: Sources, random: Random) -> str:
    folder = random.choice(list(PACKAGES))
    path = f"{folder}{s.name()}{random.choice(SUFFIXES)}.go"
    s.tree.edit(path, random.choice(CONSTRAINTS) + GO.format(package=PACKAGES[folder], word=word(random)))
    s.added.append(path)
    return path


def a_data_file(s: Sources, random: Random) -> str:
    folder = random.choice(EMBEDDED + COPIED)
    path = f"{folder}{random.choice(('', '', '.', '_'))}{s.name()}{random.choice(ENDS)}"
    s.tree.edit(path, random.choice(("", word(random))))
    s.added.append(path)
    return path


def added_edited(s: Sources, random: Random) -> str:
    if not s.added:
        return a_go_file(s, random)
    path = random.choice(s.added)
    if path.endswith(".go"):
        package = PACKAGES[path[: path.rfind("/") + 1]]
        s.tree.edit(path, random.choice(CONSTRAINTS) + GO.format(package=package, word=word(random)))
    else:
        (s.tree.path / path).unlink()  # it may be a link
        s.tree.edit(path, word(random))
    return path


def removed(s: Sources, random: Random) -> str:
    if not s.added:
        return a_data_file(s, random)
    path = s.added.pop(random.randrange(len(s.added)))
    s.tree.remove(path)
    return path


def renamed(s: Sources, random: Random) -> str:
    if not s.added:
        return a_go_file(s, random)
    old = s.added.pop(random.randrange(len(s.added)))
    folder = old[: old.rfind("/") + 1]
    if old.endswith(".go"):
        new = f"{folder}{s.name()}{random.choice(SUFFIXES)}.go"
    else:
        linked = (s.tree.path / old).is_symlink()
        folders = tuple(set(COPIED) - {"conf/"}) if linked else EMBEDDED + COPIED
        new = f"{random.choice(sorted(folders))}{s.name()}{random.choice(ENDS)}"
    (s.tree.path / new).parent.mkdir(parents=True, exist_ok=True)
    (s.tree.path / old).rename(s.tree.path / new)
    s.added.append(new)
    return f"{old} → {new}"


def swapped(s: Sources, random: Random) -> str:
    """Two files change names; sizes, mtimes and the set of names stay."""
    one, other = random.choice(
        [
            ("share/greeting", "conf/one.conf"),
            ("assets/first.txt", "kept/first"),
            ("arm64only/first.txt", "share/greeting"),
        ]
    )
    first, second = s.tree.path / one, s.tree.path / other
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    return f"{one} ↔ {other}"


def mode(s: Sources, random: Random) -> str:
    names = ("share/greeting", "conf/two.conf", "arm64only/second.txt", "share/note.txt")
    path = random.choice([path for path in map(s.tree.path.joinpath, names) if path.exists()])
    path.chmod(path.stat().st_mode ^ 0o111)
    return f"{path.name} {path.stat().st_mode:o}"


def link(s: Sources, random: Random) -> str:
    path = f"{random.choice(COPIED)}{s.name()}{random.choice(ENDS)}"
    (s.tree.path / path).parent.mkdir(parents=True, exist_ok=True)
    to = random.choice(("greeting", "nowhere", "../conf/one.conf", "first.txt"))
    if path.startswith("conf/"):
        to = "../share/greeting"  # what a glob matches is followed: a link to nowhere is an error
    (s.tree.path / path).symlink_to(to)
    s.added.append(path)
    return f"{path} → {to}"


def folder(s: Sources, random: Random) -> str:
    path = f"{random.choice(COPIED)}{s.name()}"
    (s.tree.path / path).mkdir(parents=True)
    return path


def emptied(s: Sources, random: Random) -> str:
    """A whole folder goes, with all that was added below it."""
    path = random.choice(("share/deep", "kept/deep", "elsewhere"))
    shutil.rmtree(s.tree.path / path, ignore_errors=True)
    s.added = [name for name in s.added if not name.startswith(f"{path}/")]
    return path


def dockerignore(s: Sources, random: Random) -> str:
    lines = random.sample(IGNORE_LINES, random.randint(0, 3))
    s.tree.edit(".dockerignore", IGNORED + "".join(f"{line}\n" for line in lines))
    return ", ".join(lines)


def dockerfile(s: Sources, random: Random) -> str:
    arch = random.choice(ARCHS)
    lines = s.recipes[arch]
    if len(lines) > 5 or (len(lines) > 1 and random.random() < 0.4):
        gone = lines.pop(random.randrange(1, len(lines)))
        done = f"{arch} loses {gone}"
    else:
        lines.insert(random.randint(1, len(lines)), random.choice(LINES).format(word(random)))
        done = f"{arch} is now {lines}"
    s.write_recipe(arch)
    return done


def base(s: Sources, random: Random) -> str:
    arch = random.choice(ARCHS)
    s.recipes[arch][0] = f"FROM {random.choice(('scratch', *s.bases))}"
    s.write_recipe(arch)
    return f"{arch} {s.recipes[arch][0]}"


def stages(s: Sources, random: Random) -> str:
    """A stage, or another image, that files are copied from; there is no RUN."""
    arch = random.choice(ARCHS)
    borrowed = (f"COPY --from={name} /etc/base /etc/platform /borrowed/" for name in s.bases)
    kinds = ("", "COPY --from=side /side /{}", "COPY --from=side --chmod=0600 /side/conf/one.conf /{}/", *borrowed)
    s.stages[arch] = random.choice(kinds).format(word(random))
    s.write_recipe(arch)
    return f"{arch} {s.stages[arch] or 'has one'}"


def absent(s: Sources, random: Random) -> str:
    """A file that was there from the beginning goes, or is there again."""
    path = random.choice(("conf/two.conf", "arm64only/second.txt", "share/note.txt", "main_test.go", "README.md"))
    if (s.tree.path / path).exists():
        s.tree.remove(path)
        return f"{path} goes"
    s.tree.edit(path, WORDS.get(path, "{} again\n").format(word(random)))
    return f"{path} is there again"


def package(s: Sources, random: Random) -> str:
    """A package appears, with a file that it embeds, and another one imports it; or such a file changes."""
    known = sorted(s.tree.path.glob("x*/data.txt"))
    if known and random.random() < 0.5:
        known[-1].write_text(word(random), encoding="utf-8")
        return f"{known[-1].parent.name} embeds something else"
    name, into = s.name(), random.choice(("", "inner/"))
    s.tree.edit(f"{name}/data.txt", word(random))
    text = 'package {}\n\nimport _ "embed"\n\n//go:embed data.txt\nvar Data string\n'
    s.tree.edit(f"{name}/{name}.go", text.format(name))
    use = f'import "example.com/demo/{name}"\n\nfunc init() {{\n\tif {name}.Data == "" {{\n\t\tpanic(0)\n\t}}\n}}\n'
    s.tree.edit(f"{into}{name}_use.go", f"package {PACKAGES[into]}\n\n{use}")
    s.added.append(f"{into}{name}_use.go")
    return f"{name} for {into or 'main'}"


def go_mod(s: Sources, random: Random) -> str:
    s.go_line, s.lib_version = random.choice(("1.21", "1.22", "1.23")), random.choice(("v0.0.0", "v0.0.0", "v0.0.1"))
    s.go_lines = tuple(random.sample(GO_LINES, random.choice((0, 0, 1, 2))))
    s.write_go_mod()
    return f"{s.go_line} {s.lib_version} {', '.join(s.go_lines)}"


def patterns(s: Sources, random: Random) -> str:
    """What main.go embeds: files of added names begin or cease to match, or stay what they were."""
    text = s.tree.read("main.go")
    start = text.index("//go:embed ")
    new = f"//go:embed {random.choice(PATTERNS)}"
    s.tree.edit("main.go", text[:start] + new + text[text.index("\n", start) :])
    return new


def assembly(s: Sources, random: Random) -> str:
    """A routine for one architecture, or the file outside its package that it includes; Go's cache knows not of it."""
    if not (s.tree.path / "inner/zz_amd64.s").exists():
        s.tree.edit(
            "inner/zz_amd64.go",
            "package inner\n\nfunc Routine() int64\n\nvar Kept = Routine\n\nfunc init() { Kept() }\n",
        )
        s.tree.edit("inner/zz_amd64.s", ROUTINE)
    s.tree.edit("tables/table.inc", f"#define NUMBER ${random.randint(0, 9)}\n")
    return s.tree.read("tables/table.inc").strip()


def go_work(s: Sources, _random: Random) -> str:
    if (s.tree.path / "go.work").exists():
        s.tree.remove("go.work")
        return "gone"
    s.tree.edit("go.work", "go 1.23\n\nuse .\n")
    return "appears"


def version(s: Sources, random: Random) -> str:
    s.tree.edit("VERSION", random.choice(("v1.0", "v1.1", "v2.0-rc.1")) + "\n")
    return s.tree.read("VERSION").strip()


def platforms(s: Sources, random: Random) -> str:
    s.settings["PLATFORMS"] = ",".join(random.sample(PLATFORMS, random.randint(1, len(PLATFORMS))))
    return s.settings["PLATFORMS"]


def setting(s: Sources, random: Random) -> str:
    name, value = random.choice((("LABELS", "team={}"), ("ANNOTATIONS", "note={}"), ("BUILD_ARGS", "WHO={}")))
    s.settings[name] = random.choice(("", value.format(word(random))))
    return f"{name}={s.settings[name]}"


def environment(s: Sources, random: Random) -> str:
    name, values = random.choice((("GOFLAGS", GOFLAGS), ("SOURCE_DATE_EPOCH", ("", "5", "1000000000"))))
    s.env[name] = random.choice(values)
    return f"{name}={s.env[name]}"


def linker(s: Sources, random: Random) -> str:
    text = s.tree.read("SConstruct")
    start = text.index("main.version=") + len("main.version=")
    new = random.choice(("", "v", word(random)))
    s.tree.edit("SConstruct", text[:start] + new + text[text.index("$VERSION", start) :])
    return new


def remark(s: Sources, random: Random) -> str:
    path, sign = random.choice((("main.go", "//"), ("inner/x_remark.go", "package inner //"), ("SConstruct", "#")))
    s.tree.edit(path, (s.tree.read(path) if path in ("main.go", "SConstruct") else "") + f"{sign} {word(random)}\n")
    return path


def touched(s: Sources, random: Random) -> str:
    when = random.choice((None, (10**9, 10**9)))
    for path in sorted(s.tree.path.iterdir()):
        if path.name not in ("_output", ".multiarch", "site_scons"):
            for file in [path, *path.rglob("*")]:
                if file.is_file():
                    os.utime(file, when)
    return "everything"


def broken(s: Sources, _random: Random) -> str:
    s.tree.edit("broken.go", "package main\n\nfunc {\n")
    s.broken = True
    return "broken.go"


WEIGHTED: tuple[tuple[Callable[[Sources, Random], str], int], ...] = (
    (a_word, 8),
    (a_go_file, 4),
    (a_data_file, 5),
    (added_edited, 4),
    (removed, 4),
    (renamed, 4),
    (swapped, 2),
    (mode, 2),
    (link, 2),
    (folder, 1),
    (emptied, 1),
    (dockerignore, 2),
    (dockerfile, 4),
    (base, 2),
    (stages, 3),
    (absent, 3),
    (package, 2),
    (go_mod, 2),
    (patterns, 2),
    (assembly, 2),
    (go_work, 1),
    (version, 2),
    (platforms, 3),
    (setting, 3),
    (environment, 2),
    (linker, 1),
    (remark, 2),
    (touched, 1),
    (broken, 1),
)
EDITS = tuple(edit for edit, _ in WEIGHTED)
