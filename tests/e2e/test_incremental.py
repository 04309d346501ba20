"""What a change causes: every row of that table, the steps that ran and, by equality, those that did not."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from machines.registry import Registry
from machines.small import DOCKERFILE, Tree

COMPILE = {arch: f"Compile _output/bin/{arch}/linux/demo" for arch in ("amd64", "arm64", "arm-v7")}
IMAGE = {arch: f"Image _output/images/demo-linux-{arch}.tar" for arch in ("amd64", "arm64", "arm-v7")}
FOLDER = "_output/registry"


def push(arch: str, version: str = "v1.0", registry: str = FOLDER) -> str:
    return f"Push {registry}/demo:{version}-{arch}"


def index(version: str = "v1.0") -> str:
    return f"Index _output/manifest/demo-{version}.json"


def publish(version: str = "v1.0", registry: str = FOLDER) -> str:
    return f"Publish {registry}/demo:{version}"


def chain(*archs: str, version: str = "v1.0", registry: str = FOLDER) -> list[str]:
    """Return the steps from the program on, of these architectures."""
    return [step for arch in archs for step in (COMPILE[arch], IMAGE[arch], push(arch, version, registry))] + [
        index(version),
        publish(version, registry),
    ]


def images(*archs: str) -> list[str]:
    """Return the steps from the image on."""
    return [step for arch in archs for step in (IMAGE[arch], push(arch))] + [index(), publish()]


PROGRAMS = [COMPILE["amd64"], COMPILE["arm64"]]
EVERYTHING = chain("amd64", "arm64")
NOTHING: list[str] = []


@dataclass(frozen=True)
class Row:
    """A change, and the steps that `push-manifest` then runs, in any order."""

    words: str
    change: Callable[[Tree], Any]
    steps: list[str]
    arguments: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def nothing(_: Tree) -> None:
    pass


def touch_all(tree: Tree) -> None:
    for path in sorted(tree.path.rglob("*")):
        if path.is_file() and "_output" not in path.parts and ".multiarch" not in path.parts:
            path.touch()


def commit(tree: Tree) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "main.go"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=tree.path, check=True, capture_output=True)


def become_link(tree: Tree) -> None:
    tree.edit("share/other.txt", "a note\n")
    tree.remove("share/note.txt")
    (tree.path / "share/note.txt").symlink_to("other.txt")


def before_entrypoint(arch: str, line: str) -> Callable[[Tree], None]:
    return lambda tree: tree.replace(f"Dockerfile.{arch}", "ENTRYPOINT", f"{line}\nENTRYPOINT")


def edited(path: str, text: str) -> Callable[[Tree], None]:
    return lambda tree: tree.edit(path, text)


def appended(path: str, text: str) -> Callable[[Tree], None]:
    return lambda tree: tree.append(path, text)


def replaced(path: str, old: str, new: str) -> Callable[[Tree], None]:
    return lambda tree: tree.replace(path, old, new)


def removed(path: str) -> Callable[[Tree], None]:
    return lambda tree: tree.remove(path)


def executable(path: str) -> Callable[[Tree], None]:
    return lambda tree: (tree.path / path).chmod(0o755)


def folder(path: str) -> Callable[[Tree], None]:
    return lambda tree: (tree.path / path).mkdir()


TABLE = [
    Row("nothing", nothing, NOTHING),
    Row("touch of every input", touch_all, NOTHING),
    Row("a git commit", commit, NOTHING),
    Row("a comment that leaves the bytes alone", appended("main.go", "// a remark\n"), PROGRAMS),
    Row("code of all platforms", replaced("main.go", '"demo "', '"Demo "'), EVERYTHING),
    Row("_linux_arm64.go", replaced("place_linux_arm64.go", '"arm64"', '"ARM64"'), chain("arm64")),
    Row("a new _linux_arm64.go", edited("x_linux_arm64.go", "package main\n\nfunc init() { version += `!` }\n"), chain("arm64")),
    Row("Dockerfile.arm64 copies to another place", replaced("Dockerfile.arm64", "/etc/demo/", "/etc/conf/"), images("arm64")),
    Row("a comment in Dockerfile.arm64", appended("Dockerfile.arm64", "# a remark\n"), [IMAGE["arm64"]]),
    Row("a file that only Dockerfile.arm64 copies", edited("arm64only/first.txt", "FIRST\n"), images("arm64")),
    Row("a file that both copy", edited("share/greeting", "HELLO\n"), images("amd64", "arm64")),
    Row("chmod +x", executable("arm64only/first.txt"), images("arm64")),
    Row("a file becomes a link", become_link, images("amd64", "arm64")),
    Row("a file is added to a copied folder", edited("arm64only/deep/er/new", ""), images("arm64")),
    Row("a file is taken from a copied folder", removed("arm64only/second.txt"), images("arm64")),
    Row("an empty folder is added to a copied folder", folder("arm64only/empty"), images("arm64")),
    Row("a file is added to a copied glob", edited("conf/three.conf", "three\n"), images("amd64", "arm64")),
    Row("a file beside a copied glob", edited("conf/README", "not taken\n"), NOTHING),
    Row("a label", before_entrypoint("arm64", "LABEL team=blue"), images("arm64")),
    Row("ENV", before_entrypoint("arm64", "ENV COLOUR=blue"), images("arm64")),
    Row("ENTRYPOINT", replaced("Dockerfile.arm64", '["/demo"]', '["/demo", "-v"]'), images("arm64")),
    Row("_test.go", appended("main_test.go", "\nfunc unused() {}\n"), NOTHING),
    Row("a new _test.go", edited("more_test.go", "package main\n"), NOTHING),
    Row("README", appended("README.md", "more\n"), NOTHING),
    Row("a file that .dockerignore leaves out", edited("share/left.tmp", "changed\n"), NOTHING),
    Row("a new file that .dockerignore leaves out", edited("arm64only/new.tmp", "new\n"), NOTHING),
    Row(".dockerignore takes a file from arm64", appended(".dockerignore", "arm64only/second.txt\n"), images("arm64")),
    Row(".dockerignore gives both a file", replaced(".dockerignore", "*/*.tmp\n", ""), images("amd64", "arm64")),
    Row(".dockerignore changes nothing", appended(".dockerignore", "# a remark\n*.bak\n"), NOTHING),
    Row("VERSION, stamped, as a file", edited("VERSION", "v2.0\n"), chain("amd64", "arm64", version="v2.0")),
    Row("VERSION, stamped, as a variable", nothing, chain("amd64", "arm64", version="v2.0"), ("VERSION=v2.0",)),
    Row("PLATFORMS gains one", nothing, chain("arm-v7"), ("PLATFORMS=linux/amd64,linux/arm64,linux/arm/v7",)),
    Row("PLATFORMS loses one", nothing, [index(), publish()], ("PLATFORMS=linux/arm64",)),
    Row("PLATFORMS in another order", nothing, [index(), publish()], ("PLATFORMS=linux/arm64,linux/amd64",)),
    Row("PLATFORMS in another spelling", nothing, NOTHING, ("PLATFORMS=linux/x86_64,linux/aarch64",)),
    Row(
        "REGISTRY",
        nothing,
        [push("amd64", registry="_output/elsewhere"), push("arm64", registry="_output/elsewhere"), publish(registry="_output/elsewhere")],
        ("REGISTRY=_output/elsewhere",),
    ),
    Row("GOFLAGS that leaves the bytes alone", nothing, PROGRAMS, env={"GOFLAGS": "-pgo=off"}),
    Row("GOFLAGS that can change no byte", nothing, NOTHING, env={"GOFLAGS": "-p=3 -buildvcs=false"}),
    Row("GOFLAGS that changes the bytes", nothing, EVERYTHING, env={"GOFLAGS": "-tags=nobody"}),
    Row("a variable that is not Go's", nothing, NOTHING, env={"SOMETHING": "else", "LANG": "C"}),
    Row("flags of the linker", replaced("SConstruct", "main.version=$VERSION", "main.version=x$VERSION"), EVERYTHING),
    Row("SConstruct, a remark", appended("SConstruct", "# a remark\n"), NOTHING),
    Row("go.work appears", edited("go.work", "go 1.21\n\nuse .\n"), PROGRAMS),
    Row("the go line of go.mod", replaced("go.mod", "go 1.21", "go 1.22"), EVERYTHING),
    Row("a godebug line of go.mod", appended("go.mod", "\ngodebug panicnil=1\n"), EVERYTHING),
    Row("SOURCE_DATE_EPOCH", nothing, images("amd64", "arm64"), env={"SOURCE_DATE_EPOCH": "1000000000"}),
    Row("LABELS", nothing, images("amd64", "arm64"), ("LABELS=team=blue",)),
    Row("ANNOTATIONS", nothing, [index(), publish()], ("ANNOTATIONS=team=blue",)),
    Row("TAGS gains one", nothing, [publish()], ("TAGS=latest",)),
]  # fmt: skip


def same_as_from_scratch(tree: Tree, clean: Tree, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Every file of a clean build elsewhere is here with the same bytes; a folder registry has its tags, and old ones."""
    clean.scons(*arguments, env=env)
    here = tree.digests()
    for path, digest in clean.digests().items():
        if path.endswith("/index.json"):
            for entry in entries(clean, path):
                assert entry in entries(tree, path)
        else:
            assert here[path] == digest, path


def entries(tree: Tree, layout: str) -> list[Any]:
    found: list[Any] = json.loads(tree.read(f"_output/{layout}"))["manifests"]
    return found


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.words)
def test_a_change_causes_its_row_and_nothing_else(row: Row, tree: Tree, tmp_path: Path):
    row.change(tree)
    run = tree.scons("push-manifest", *row.arguments, env=row.env)
    assert sorted(run.steps) == sorted(row.steps), run.text
    assert run.up_to_date == (not row.steps)
    tree.go_starts()
    again = tree.scons("push-manifest", *row.arguments, env=row.env)
    assert again.up_to_date, again.text
    assert tree.go_starts() == []
    if row.steps:
        same_as_from_scratch(
            tree, tree.copy(tmp_path / "clean", built=False), "push-manifest", *row.arguments, env=row.env
        )


def there_and_back(tree: Tree, *arguments: str, env: dict[str, str] | None = None) -> None:
    before = tree.digests()
    assert tree.scons("push-manifest", *arguments, env=env).steps
    tree.scons("push-manifest")
    after = tree.digests()
    assert {path: after[path] for path in before if "/index.json" not in path} == {
        path: digest for path, digest in before.items() if "/index.json" not in path
    }


def test_the_first_registry_again_is_a_no_op(tree: Tree):
    assert tree.scons("push-manifest", "REGISTRY=_output/elsewhere").steps
    assert tree.scons("push-manifest").up_to_date
    assert tree.scons("push-manifest", "REGISTRY=_output/elsewhere").up_to_date


def test_the_first_platforms_again_redo_the_index_and_no_chain(tree: Tree):
    tree.scons("push-manifest", "PLATFORMS=linux/amd64")
    run = tree.scons("push-manifest")
    assert sorted(run.steps) == sorted([index(), publish()])


@pytest.mark.parametrize(
    "env", [{"GOFLAGS": "-gcflags=-N"}, {"SOURCE_DATE_EPOCH": "5"}], ids=lambda env: next(iter(env))
)
def test_a_setting_there_and_back_ends_in_the_first_bytes(env: dict[str, str], tree: Tree):
    there_and_back(tree, env=env)


OUTPUTS = {
    "program": ("_output/bin/arm64/linux/demo", COMPILE["arm64"]),
    "image": ("_output/images/demo-linux-arm64.tar", IMAGE["arm64"]),
    "index": ("_output/manifest/demo-v1.0.json", index()),
    "digest of the index": ("_output/manifest/demo-v1.0.digest", index()),
}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip_quietly(path: Path) -> None:
    """Change one byte and leave size and mtime as they were."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    path.unlink()
    shutil.copy2(path.with_name("stand-in") if path.with_name("stand-in").exists() else __file__, path)


HARM = {"deleted": Path.unlink, "cut short": truncate, "one bit": flip_quietly, "replaced": replace_by_another}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("harm", HARM)
def test_a_harmed_output_is_made_again_and_nothing_else(harm: str, output: str, tree: Tree):
    if harm == "one bit":
        tree.scons("push-manifest")  # the signatures of files are known in this folder
    path, step = OUTPUTS[output]
    before = tree.digests()
    HARM[harm](tree.path / path)
    run = tree.scons("push-manifest")
    assert run.steps == [step], run.text
    assert tree.digests() == before
    assert tree.scons("push-manifest").up_to_date


@pytest.mark.parametrize("harm", HARM)
def test_a_harmed_receipt_is_written_again_and_no_blob(harm: str, tree: Tree):
    receipt = next((tree.path / "_output/receipts").rglob("v1.0-arm64.json"))
    before, blobs = tree.digests(), stamps(tree, "_output/registry/demo/blobs")
    HARM[harm](receipt)
    run = tree.scons("push-manifest")
    assert run.steps == [push("arm64")], run.text
    assert tree.digests() == before
    assert stamps(tree, "_output/registry/demo/blobs") == blobs


def test_a_program_that_lost_its_mode_is_made_again(tree: Tree):
    before = tree.digests()
    (tree.path / "_output/bin/arm64/linux/demo").chmod(0o644)
    tree.scons("push-manifest")
    assert tree.digests() == before
    assert (tree.path / "_output/bin/arm64/linux/demo").stat().st_mode & 0o111


def stamps(tree: Tree, folder: str) -> dict[str, tuple[int, int]]:
    """Return inode and mtime of every file below a folder: a rewrite shows, equal bytes or not."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted((tree.path / folder).rglob("*"))
        if path.is_file()
    }


def document(tree: Tree, image: str) -> Any:
    """Return the manifest of an image tarball."""
    with tarfile.open(tree.path / image) as tar:

        def read(name: str) -> Any:
            member = tar.extractfile(name)
            assert member is not None
            return json.load(io.TextIOWrapper(member, encoding="utf-8"))

        root = read("index.json")["manifests"][0]["digest"]
        return read(f"blobs/{root.replace(':', '/')}")


@pytest.mark.parametrize("line", ["LABEL team=blue", "ENV COLOUR=blue", 'CMD ["-v"]'])
def test_a_changed_setting_takes_the_finished_layers_over(line: str, tree: Tree, registry: Registry):
    where = f"REGISTRY={registry.host}"
    tree.scons("push-manifest", where)
    layers = document(tree, "_output/images/demo-linux-arm64.tar")["layers"]
    registry.requests()
    before_entrypoint("arm64", line)(tree)
    run = tree.scons("push-manifest", where)
    assert sorted(run.steps) == sorted(
        [IMAGE["arm64"], push("arm64", registry=registry.host), index(), publish(registry=registry.host)]
    )
    assert document(tree, "_output/images/demo-linux-arm64.tar")["layers"] == layers
    asked = registry.requests()
    uploads = [request for request in asked if request.method == "PUT" and "/blobs/" in request.path]
    assert len(uploads) == 1, asked  # the config
    puts = [request.path.rpartition("/")[2] for request in asked if request.method == "PUT"]
    assert sorted(name for name in puts if name.startswith("v1.0")) == ["v1.0", "v1.0-arm64"]


def test_asked_again_a_registry_gets_one_head_a_tag(tree: Tree, registry: Registry):
    tree.scons("push-manifest", f"REGISTRY={registry.host}")
    registry.requests()
    assert tree.scons("push-manifest", f"REGISTRY={registry.host}").up_to_date
    asked = [(request.method, request.path) for request in registry.requests() if request.path != "/v2/"]
    assert sorted(asked) == [("HEAD", f"/v2/demo/manifests/v1.0{suffix}") for suffix in ("", "-amd64", "-arm64")]


def unstamped(tree: Tree) -> None:
    tree.replace("SConstruct", 'GOLDFLAGS="-X main.version=$VERSION"', "")


def test_a_version_that_is_not_stamped_puts_the_same_manifests_under_new_tags(fresh: Tree, registry: Registry):
    unstamped(fresh)
    where = f"REGISTRY={registry.host}"
    fresh.scons("push-manifest", where)
    registry.requests()
    run = fresh.scons("push-manifest", where, "VERSION=v2.0")
    new = [push("amd64", "v2.0", registry.host), push("arm64", "v2.0", registry.host)]
    assert sorted(run.steps) == sorted([*new, index("v2.0"), publish("v2.0", registry.host)])
    assert not [request for request in registry.requests() if request.method in ("POST", "PATCH")]
    indexes = [json.loads(fresh.read(f"_output/manifest/demo-{version}.json")) for version in ("v1.0", "v2.0")]
    assert [index.pop("annotations") for index in indexes] == [
        {"org.opencontainers.image.version": version} for version in ("v1.0", "v2.0")
    ]
    assert indexes[0] == indexes[1]
    assert registry.tags("demo") == ["v1.0", "v1.0-amd64", "v1.0-arm64", "v2.0", "v2.0-amd64", "v2.0-arm64"]
    assert fresh.scons("push-manifest", where, "VERSION=v2.0").up_to_date
    assert fresh.scons("push-manifest", where).up_to_date


def test_old_tags_stay_when_a_stamped_version_changes(tree: Tree):
    tree.scons("push-manifest", "VERSION=v2.0")
    tags = {
        entry["annotations"]["org.opencontainers.image.ref.name"]
        for entry in json.loads(tree.read("_output/registry/demo/index.json"))["manifests"]
    }
    assert tags == {f"{version}{suffix}" for version in ("v1.0", "v2.0") for suffix in ("", "-amd64", "-arm64")}


def test_edits_of_the_same_size_within_one_second_are_all_seen(tree: Tree):
    path = tree.path / "share/greeting"
    digests = set()
    for text in ("aaaaa\n", "bbbbb\n", "ccccc\n"):
        tree.edit("share/greeting", text)
        os.utime(path, ns=(10**18, 10**18))
        assert sorted(tree.scons("push-manifest").steps) == sorted(images("amd64", "arm64"))
        digests.add(tree.read("_output/manifest/demo-v1.0.digest"))
    assert len(digests) == 3


def test_go_code_of_the_same_size_and_time_is_seen(tree: Tree):
    for text in ("Demo", "dEMO"):
        source = tree.read("main.go")
        tree.edit("main.go", source.replace(source[source.index('"demo') + 1 :][:4], text) if '"demo' in source
                  else source.replace("Demo", text))  # fmt: skip
        os.utime(tree.path / "main.go", ns=(10**18, 10**18))
        assert sorted(tree.scons("push-manifest").steps) == sorted(EVERYTHING)


MADE = 'env.Command("made/{name}", ["input.txt"], Copy("$TARGET", "$SOURCE"))\n'


@pytest.mark.parametrize(
    "copy", ["COPY made /made", "COPY made/*.txt /made/", "COPY made/one.txt /made.txt", "ADD ma[d]e /made"]
)
def test_a_generated_file_that_a_dockerfile_copies_is_made_first_and_again(copy: str, fresh: Tree, tmp_path: Path):
    fresh.edit("input.txt", "first\n")
    fresh.append("SConstruct", MADE.format(name="one.txt"))
    before_entrypoint("arm64", copy)(fresh)
    fresh.scons("manifest")
    assert fresh.read("made/one.txt") == "first\n"
    first = fresh.digests("_output/images")
    assert fresh.scons("manifest").up_to_date
    fresh.edit("input.txt", "other\n")
    assert sorted(fresh.scons("manifest").steps) == sorted([IMAGE["arm64"], index()])
    assert fresh.read("made/one.txt") == "other\n"
    changed = fresh.digests("_output/images")
    assert {path for path in first if first[path] != changed[path]} == {"demo-linux-arm64.tar"}
    assert fresh.scons("manifest").up_to_date
    clean = fresh.copy(tmp_path / "clean", built=False)
    clean.remove("made")
    same_as_from_scratch(fresh, clean, "manifest")


def test_a_generated_file_that_joins_a_copied_folder_is_made_first(fresh: Tree):
    fresh.edit("input.txt", "first\n")
    before_entrypoint("arm64", "COPY made /made")(fresh)
    fresh.append("SConstruct", MADE.format(name="one.txt"))
    fresh.scons("manifest", "-j8")
    fresh.append("SConstruct", MADE.format(name="two.txt"))
    assert sorted(fresh.scons("manifest", "-j8").steps) == sorted([IMAGE["arm64"], index()])
    assert fresh.read("made/two.txt") == "first\n"
    assert fresh.scons("manifest").up_to_date


GENERATED = """\
made = env.Command("gen/gen.go", ["words.txt"], "sh make.sh $SOURCE $TARGET")
"""


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.arm64.dockerignore"])
def test_a_generated_ignore_file_is_made_first_and_counts_by_what_it_leaves(name: str, fresh: Tree, tmp_path: Path):
    kept = fresh.read(".dockerignore")
    fresh.edit("ignore.in", kept)
    fresh.append("SConstruct", f'env.Command("{name}", "ignore.in", "cp $SOURCE $TARGET")\n')
    fresh.edit(name, f"{kept}!nothing\nshare/note.txt\n")  # of another build
    fresh.scons("manifest", "-j8")
    assert fresh.read(name) == kept
    assert fresh.scons("manifest", "-j8").up_to_date
    fresh.edit("ignore.in", f"{kept}# a comment\n")
    assert fresh.scons("manifest", "-j8").steps == []
    fresh.edit("ignore.in", f"{kept}share/note.txt\n")
    assert "share/note.txt removed" in fresh.scons("manifest", "-j8").text
    assert fresh.scons("manifest", "-j8").up_to_date
    clean = fresh.copy(tmp_path / "clean", built=False)
    clean.remove(name)
    same_as_from_scratch(fresh, clean, "manifest")


def test_a_secret_that_a_step_makes_is_made_first_and_remembered_nowhere(fresh: Tree):
    fresh.edit("secret.in", "opensesame\n")
    fresh.replace("SConstruct", 'env.GoImage("demo")', 'env.GoImage("demo", secrets="id=token,src=token")')
    fresh.append("SConstruct", 'env.Command("token", "secret.in", "cp $SOURCE $TARGET")\n')
    fresh.scons("manifest")
    assert fresh.read("token") == "opensesame\n"
    assert fresh.scons("manifest").up_to_date
    fresh.edit("secret.in", "hidden\n")
    assert fresh.scons("manifest").steps == []
    assert fresh.read("token") == "hidden\n"
    fresh.scons("provenance")
    digest = hashlib.sha256(b"hidden\n").hexdigest()
    assert not [path for path in (fresh.path / "_output/provenance").iterdir() if digest in path.read_text("utf-8")]


def test_a_file_that_comes_beside_what_a_step_makes_is_waited_for(fresh: Tree, tmp_path: Path):
    fresh.edit("input.txt", "first\n")
    made = 'made = env.Command("made/one.txt", "input.txt", "cp $SOURCE $TARGET; cp $SOURCE made/beside.txt")\n'
    fresh.append("SConstruct", f'{made}env.SideEffect("made/beside.txt", made)\n')
    before_entrypoint("arm64", "COPY made/beside.txt /made.txt")(fresh)
    fresh.scons("manifest", "-j8")
    assert fresh.scons("manifest", "-j8").up_to_date
    fresh.edit("input.txt", "other\n")
    assert sorted(fresh.scons("manifest", "-j8").steps) == sorted([IMAGE["arm64"], index()])
    assert fresh.scons("manifest", "-j8").up_to_date
    clean = fresh.copy(tmp_path / "clean", built=False)
    clean.remove("made")
    same_as_from_scratch(fresh, clean, "manifest")


def test_a_side_effect_that_only_keeps_steps_apart_is_no_input(fresh: Tree):
    before_entrypoint("arm64", "COPY share /again")(fresh)
    fresh.append("SConstruct", 'one = env.Command("conf/own.txt", "share/greeting", "cp $SOURCE $TARGET")\n')
    fresh.append("SConstruct", 'image = env.File("_output/images/demo-linux-arm64.tar")\n')
    fresh.append("SConstruct", 'other = env.Command("size", image, "wc -c < $SOURCE > $TARGET")\n')
    fresh.append("SConstruct", 'env.SideEffect("share/apart", [one, other])\n')
    fresh.scons("manifest", "size")
    fresh.edit("share/apart", "")
    assert "share/apart added" in fresh.scons("manifest", "size").text
    assert fresh.scons("manifest", "size").up_to_date


def test_a_generated_go_source_is_made_first_and_again(fresh: Tree, tmp_path: Path):
    fresh.edit("words.txt", "first\n")
    fresh.edit("make.sh", 'printf \'package gen\\n\\nconst Word = "%s"\\n\' "$(cat "$1")" > "$2"\n')
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'{GENERATED}env.GoImage("demo", sources=made)')
    fresh.replace("main.go", 'import "os"', 'import (\n\t"os"\n\n\t"example.com/demo/gen"\n)')
    fresh.replace("main.go", "+ place +", "+ place + gen.Word +")
    fresh.scons("manifest", "-j8")
    first = fresh.digests("_output/bin")
    assert fresh.scons("manifest", "-j8").up_to_date
    fresh.edit("words.txt", "other\n")
    assert sorted(fresh.scons("manifest", "-j8").steps) == sorted([*PROGRAMS, IMAGE["amd64"], IMAGE["arm64"], index()])
    assert all(first[path] != digest for path, digest in fresh.digests("_output/bin").items())
    assert fresh.scons("manifest", "-j8").up_to_date
    clean = fresh.copy(tmp_path / "clean", built=False)
    clean.remove("gen")
    same_as_from_scratch(fresh, clean, "manifest")


@pytest.mark.parametrize("declared", ['"gen/gen.go", ["words.txt"]', 'env.Dir("gen"), ["words.txt"]'])
@pytest.mark.parametrize("way", ["sources", "Depends"])
def test_a_generated_go_source_that_nothing_waits_for_is_an_error_not_an_old_program(
    declared: str, way: str, fresh: Tree
):
    fresh.edit("words.txt", "first\n")
    fresh.edit("make.sh", 'mkdir -p gen; printf \'package gen\\n\\nconst Word = "%s"\\n\' "$(cat "$1")" > gen/gen.go\n')
    made = f'made = env.Command({declared}, "sh make.sh $SOURCE")\n'
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'{made}env.GoImage("demo")')
    fresh.replace("main.go", 'import "os"', 'import (\n\t"os"\n\n\t"example.com/demo/gen"\n)')
    fresh.replace("main.go", "+ place +", "+ place + gen.Word +")
    name = "gen/gen.go" if "gen.go" in declared else "gen"
    hint = f"where the program is declared: sources=['#{name}']\n"
    run = fresh.scons(check=False)
    assert (run.status, f"  hint: name what another step makes {hint}" in run.text) == (2, name == "gen/gen.go")
    fresh.scons("gen/gen.go" if name == "gen/gen.go" else "gen")
    fresh.edit("words.txt", "second\n")
    run = fresh.scons(check=False)
    assert run.status == 2
    assert f"{name} is made by another step, which nothing waits for\n  hint: name it {hint}" in run.text
    assert not (fresh.path / "_output/manifest").exists()
    if way == "Depends":
        fresh.replace("SConstruct", 'env.GoImage("demo")', 'chain = env.GoImage("demo")')
        fresh.append("SConstruct", "env.Depends(chain.programs, made)\n")
    else:
        fresh.replace("SConstruct", 'env.GoImage("demo")', f'env.GoImage("demo", sources=["#{name}"])')
    fresh.scons()
    assert b"second" in (fresh.path / "_output/bin/amd64/linux/demo").read_bytes()
    assert fresh.scons().up_to_date


def test_a_go_source_that_comes_beside_what_a_step_makes_is_waited_for_or_an_error(fresh: Tree):
    fresh.edit("word.txt", "first")
    fresh.edit("make.sh", 'printf \'package main\\n\\nconst Word = "%s"\\n\' "$(cat "$1")" > word.go; touch done\n')
    made = 'made = env.Command("done", "word.txt", "sh make.sh $SOURCE")\nenv.SideEffect("word.go", made)\n'
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'{made}env.GoImage("demo")')
    fresh.replace("main.go", "+ place +", "+ place + Word +")
    assert "sources=['#word.go']" in fresh.scons(check=False).text
    fresh.scons("done")
    fresh.edit("word.txt", "second")
    assert "word.go is made by another step, which nothing waits for" in fresh.scons(check=False).text
    for sources in ("made", '"word.go"'):
        fresh.replace("SConstruct", 'env.GoImage("demo"', f'env.GoImage("demo", sources={sources}) or ("demo"')
        fresh.edit("word.txt", f"word of {sources}".replace('"', ""))
        fresh.scons()
        assert (
            f"word of {sources}".replace('"', "").encode() in (fresh.path / "_output/bin/amd64/linux/demo").read_bytes()
        )
        assert fresh.scons().up_to_date
        fresh.replace("SConstruct", f'env.GoImage("demo", sources={sources}) or ("demo"', 'env.GoImage("demo"')


BESIDE = {
    "overlay.json": ('\'{"Replace": {"place_other.go": "other.txt"}}\'', "GOFLAGS='-overlay=overlay.json'"),
    "other.txt": ('package main\nconst place = "other"\n', "GOFLAGS='-overlay=fixed.json'"),
    "made.pgo": ("", "GOFLAGS='-pgo=made.pgo'"),
    "wrap.sh": ('#!/bin/sh\nexec "$@"\n', "GOFLAGS=['-toolexec=' + env.File('wrap.sh').get_abspath()]"),
    "cc.sh": ('#!/bin/sh\nexec gcc "$@"\n', "cgo={'linux/amd64': True}, CC=env.File('cc.sh')"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_flags_name_and_a_step_makes_is_waited_for_or_an_error(name: str, fresh: Tree):
    text, flags = BESIDE[name]
    fresh.edit("made.in", text.strip("'"))
    fresh.edit("fixed.json", '{"Replace": {"place_other.go": "other.txt"}}')
    fresh.edit("other.txt", BESIDE["other.txt"][0]) if name != "other.txt" else None
    make = f'made = env.Command("{name}", "made.in", "cp $SOURCE $TARGET; chmod +x $TARGET")\n'
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'{make}env.GoImage("demo", PLATFORMS="linux/amd64", {flags})')
    fresh.scons(name)
    run = fresh.scons("bin", check=False)
    assert run.status == 2
    assert f"{name} is made by another step, which nothing waits for" in run.text
    fresh.replace("SConstruct", '"linux/amd64", ', '"linux/amd64", sources=made, ')
    fresh.scons("bin")
    assert fresh.scons("bin").up_to_date
    if name.endswith(".sh"):
        fresh.append("made.in", "# another\n")
        assert fresh.scons("bin").steps == [COMPILE["amd64"]]
        assert fresh.scons("bin").up_to_date


def test_a_program_that_wraps_tools_counts_by_its_content(fresh: Tree):
    fresh.edit("wrap.sh", '#!/bin/sh\nexec "$@"\n')
    (fresh.path / "wrap.sh").chmod(0o755)
    given = "GOFLAGS=['-toolexec=' + env.File('wrap.sh').get_abspath()]"
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'env.GoImage("demo", PLATFORMS="linux/amd64", {given})')
    fresh.scons("bin")
    assert fresh.scons("bin").up_to_date
    fresh.append("wrap.sh", "# another\n")
    assert "toolexec wrap.sh changed" in fresh.scons("bin").text
    assert fresh.scons("bin").up_to_date


def test_what_is_always_built_says_so_and_is_up_to_date_when_it_is_not_any_more(fresh: Tree):
    fresh.replace("SConstruct", 'env.GoImage("demo")', 'chain = env.GoImage("demo", PLATFORMS="linux/amd64")')
    fresh.append(
        "SConstruct", "always = env.AlwaysBuild(chain.programs, chain.images, chain.pushes, chain.published)\n"
    )
    fresh.scons("push-manifest")
    told = fresh.scons("why", "push-manifest").text
    steps = [line for line in fresh.scons("push-manifest").text.splitlines() if line.endswith(": AlwaysBuild")]
    assert [line.split()[0] for line in steps] == ["Compile", "Image", "Push", "Publish"]
    assert told.splitlines()[0] == steps[0]
    fresh.replace("SConstruct", "always = ", "always = None and ")
    assert "changed" not in fresh.scons("why", "push-manifest").text
    assert fresh.scons("push-manifest").up_to_date


def test_what_comes_out_of_the_step_of_a_named_source_is_waited_for(fresh: Tree):
    fresh.edit("words.txt", "first\n")
    fresh.edit("make.sh", 'echo "package main" > a.go; cat "$1" > b.txt\n')
    made = 'made = env.Command(["a.go", "b.txt"], "words.txt", "sh make.sh $SOURCE")\n'
    fresh.replace("SConstruct", 'env.GoImage("demo")', f'{made}env.GoImage("demo", sources="a.go")')
    fresh.replace("main.go", 'import "os"', 'import (\n\t_ "embed"\n\t"os"\n)\n\n//go:embed b.txt\nvar words string')
    fresh.replace("main.go", "+ place +", "+ place + words +")
    fresh.scons()
    assert fresh.scons().up_to_date


SECOND = """\
tool = env.GoBinary("_output/bin/amd64/linux/tool", "./tool", platform="linux/amd64")
tool_image = env.Image("_output/images/tool-linux-amd64.tar", tool, dockerfile="Dockerfile.tool")
env.Default("manifest", tool_image)  # a default of the user is the only one
"""


def test_two_programs_of_one_sconstruct_are_made_each_for_itself(fresh: Tree):
    fresh.append("SConstruct", SECOND)
    fresh.edit("tool/main.go", 'package main\n\nfunc main() { println("tool") }\n')
    fresh.edit("Dockerfile.tool", 'FROM scratch\nCOPY _output/bin/amd64/linux/tool /tool\nENTRYPOINT ["/tool"]\n')
    both = [COMPILE["amd64"], COMPILE["arm64"], IMAGE["amd64"], IMAGE["arm64"], index()]
    second = ["Compile _output/bin/amd64/linux/tool", "Image _output/images/tool-linux-amd64.tar"]
    assert sorted(fresh.scons().steps) == sorted([*both, *second])
    assert fresh.scons().steps == NOTHING
    fresh.replace("tool/main.go", '"tool"', '"TOOL"')
    assert fresh.scons().steps == second
    fresh.replace("main.go", '"demo "', '"Demo "')
    assert sorted(fresh.scons().steps) == sorted(both)
    assert fresh.scons().steps == NOTHING


def test_a_copied_input_goes_away_and_the_error_says_which(tree: Tree):
    tree.replace("Dockerfile.arm64", "COPY arm64only /arm64only", "COPY arm64only/first.txt /first.txt")
    tree.scons()
    before = tree.digests("_output/images")
    tree.remove("arm64only/first.txt")
    run = tree.scons(check=False)
    assert run.status == 2
    assert "Dockerfile.arm64:5: " in run.text
    assert "arm64only/first.txt" in run.text
    assert "Traceback" not in run.text
    assert tree.digests("_output/images") == before
    tree.edit("arm64only/first.txt", "first\n")
    run = tree.scons()
    assert tree.digests("_output/images") == before
    assert tree.scons().up_to_date


def test_a_new_dockerfile_for_one_platform_takes_over_from_the_general_one(fresh: Tree):
    fresh.remove("Dockerfile.arm64")
    fresh.edit("Dockerfile", DOCKERFILE.format(folder="arm64/linux", more=""))
    fresh.scons("push-manifest")
    fresh.edit("Dockerfile.arm64", DOCKERFILE.format(folder="arm64/linux", more="ENV NEW=yes\n"))
    assert sorted(fresh.scons("push-manifest").steps) == sorted(images("arm64"))
    fresh.remove("Dockerfile.arm64")
    assert sorted(fresh.scons("push-manifest").steps) == sorted(images("arm64"))


def test_two_pushes_of_one_reference_are_an_error(fresh: Tree):
    fresh.append("SConstruct", 'env.Push("_output/images/demo-linux-amd64.tar", "$REPOSITORY:$VERSION-arm64")\n')
    run = fresh.scons(check=False)
    assert run.status == 2
    assert (
        f"\nscons: *** SConstruct:{len(fresh.read('SConstruct').splitlines())}: _output/registry/demo:v1.0-arm64: is pushed twice in this build\n  hint: give each image a tag of its own\n"
        in run.text
    )
    assert "Traceback" not in run.text
    assert not (fresh.path / "_output").exists()
