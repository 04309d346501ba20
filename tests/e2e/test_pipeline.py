"""A whole chain by one call: `env.MultiarchImage` and `env.GoImage`, one or many, of one SConscript or of several."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from machines.project import Project
from machines.registry import Registry
from machines.required import required

HEAD = """\
DefaultEnvironment(tools=[])
env = Environment(tools=["oci_targets"], DEFAULTS={"PLATFORMS": "linux/amd64,linux/arm64"})
def made(name):
    return lambda platform: env.Command(
        f"#/_output/made/{platform.slug}/{name}", "#/in.txt", Copy("$TARGET", "$SOURCE"))
"""
DOCKERFILE = "FROM scratch\nARG TARGETARCH\nCOPY _output/made/linux-${{TARGETARCH}}/{name} /\n"
MACHINES = ("amd64", "arm64")


@pytest.fixture
def tree(tmp_path: Path, clean_environment: Path) -> Project:  # noqa: ARG001
    files = {
        "in.txt": "one\n",
        "Dockerfile": DOCKERFILE.format(name="hello"),
        "SConstruct": HEAD + 'env.MultiarchImage("hello", made("hello"))\n',
    }
    return Project.of(tmp_path / "tree", files)


def declare(tree: Project, text: str) -> None:
    """Give the tree an SConstruct of these lines."""
    tree.edit("SConstruct", HEAD + text)


def steps(name: str, *words: str, machines: tuple[str, ...] = MACHINES, version: str = "1.0") -> set[str]:
    """Return the steps of an image's chain in the folder registry: of `images`, `push`, `release`, `index`."""
    file = name.rpartition("/")[2]
    chain = {
        "images": [f"Image _output/images/{file}-linux-{machine}.tar" for machine in machines],
        "release": [f"Archive _output/release/{file}-{version}-linux-{machine}.tar" for machine in machines],
        "push": [f"Push _output/registry/{name}:{version}-{machine}" for machine in machines],
        "manifest": [f"Index _output/manifest/{file}-{version}.json"],
        "publish": [f"Publish _output/registry/{name}:{version}"],
    }
    return {step for word in words for step in chain[word]}


def refused(tree: Project, *words: str) -> str:
    """Run SCons, which ends with an error before anything is built, and return what it says."""
    ran = tree.scons(*words, check=False)
    assert (ran.status, ran.steps) == (2, []), ran.text
    assert "Traceback" not in ran.text
    return ran.text.partition("scons: *** ")[2]


def test_one_call_declares_the_whole_chain(tree: Project) -> None:
    ran = tree.scons("release", "push-manifest")
    assert set(ran.steps) == steps("hello", "images", "release", "push", "manifest", "publish")
    for word in ("images", "image", "release", "push", "manifest", "push-manifest", "push-multi-archimages", "bin"):
        assert tree.scons(word, f"hello:{word}").up_to_date, word
    assert tree.scons("hello").up_to_date
    assert tree.scons().up_to_date
    assert tree.scons("-Q", "plan").text.count("unchanged") == 6
    assert tree.scons("-Q", "why", "hello:push-manifest").text.count("up to date") == 6
    assert "everything is there" in tree.scons("verify", "hello:push-manifest").text
    tree.remove("_output/images/hello-linux-arm64.tar")
    assert tree.scons("hello").steps == ["Image _output/images/hello-linux-arm64.tar"]
    index = json.loads(tree.read("_output/manifest/hello-1.0.json"))
    assert [member["platform"]["architecture"] for member in index["manifests"]] == list(MACHINES)


CONTENTS = {
    "function": 'made("hello")',
    "mapping": '{"linux/amd64": made("hello")(env["PLATFORMS"][0]), env["PLATFORMS"][1]: made("hello")(env["PLATFORMS"][1])}',
    "of another spelling": '{"linux/x86_64": made("hello")(env["PLATFORMS"][0]), "linux/aarch64": made("hello")(env["PLATFORMS"][1])}',
    "nodes": '[made("hello")(platform) for platform in env["PLATFORMS"]]',
}


def test_contents_are_a_function_a_mapping_or_nodes(tree: Project) -> None:
    images = set()
    for form, contents in CONTENTS.items():
        declare(tree, f'env.MultiarchImage("hello", {contents})\n')
        ran = tree.scons()
        assert form == "function" or set(ran.steps) <= steps("hello", "images"), form  # another order of sources
        images.add(tree.read("_output/manifest/hello-1.0.digest"))
    assert len(images) == 1
    tree.edit("Dockerfile", "FROM scratch\nCOPY in.txt /\n")
    declare(tree, 'env.MultiarchImage("hello", "in.txt")\n')
    assert tree.scons().status == 0
    tree.edit("in.txt", "two\n")
    assert set(tree.scons().steps) == steps("hello", "images", "manifest")
    declare(tree, 'env.MultiarchImage("hello")\n')
    tree.scons()
    tree.edit("in.txt", "three\n")
    assert set(tree.scons().steps) == steps("hello", "images", "manifest")
    assert "there is no target bin" in refused(tree, "bin")
    declare(tree, 'env.MultiarchImage("hello", {"linux/amd64": "in.txt"})\n')
    assert "contents: there is nothing for linux/arm64\n  hint: add it, or leave it out of PLATFORMS" in refused(tree)
    assert tree.scons("PLATFORMS=linux/amd64").status == 0


FUNCTIONS = {
    "MultiarchImage: contents": 'env.MultiarchImage("hello", lambda platform: FILES[platform.architecture])',
    "dockerfile": 'env.MultiarchImage("hello", "in.txt", dockerfile=lambda platform: FILES[platform.directory])',
    "build_args": 'env.MultiarchImage("hello", "in.txt", build_args=lambda platform: {"A": FILES[str(platform)]})',
}


@pytest.mark.parametrize("parameter", FUNCTIONS)
def test_a_function_that_does_not_know_a_platform_is_an_error_of_one_line(tree: Project, parameter: str) -> None:
    declare(tree, 'FILES = {"amd64": "in.txt"}\n' + FUNCTIONS[parameter] + "\n")
    text = refused(tree, "PLATFORMS=linux/arm/v7")
    assert f"{parameter}: there is nothing for linux/arm/v7\n  hint: add it, or leave it out of PLATFORMS" in text
    declare(tree, 'env.MultiarchImage("hello", lambda platform: {}["own"])\n')
    assert "KeyError: 'own'" in tree.scons(check=False).text  # a fault of another kind keeps its lines


def test_it_returns_all_its_nodes_for_those_who_go_on_by_hand(tree: Project) -> None:
    declare(
        tree,
        'chain = env.MultiarchImage("hello", made("hello"))\n'
        "print([len(nodes) for nodes in (chain.programs, chain.images, chain.archives, chain.loads, chain.pushes)])\n"
        "print([str(node) for node in (*chain.index, *chain.pins)], len(chain.published), chain.platforms[0].slug)\n"
        'env.Alias("sums", env.Command("sums.txt", [chain.images, chain.index], "cat $SOURCES | sha256sum > $TARGET"))\n'
        "chain.name = 'other'\n",
    )
    ran = tree.scons(check=False)
    assert "[2, 2, 2, 2, 2]\n['_output/manifest/hello-1.0.json'] 1 linux-amd64\n" in ran.text
    assert "AttributeError" in ran.text  # it is frozen
    declare(tree, tree.read("SConstruct").removeprefix(HEAD).replace("chain.name = 'other'\n", ""))
    assert set(tree.scons("sums").steps) == steps("hello", "images", "manifest")


KEYWORDS = {
    'VERSION="v2"': ("hello:v2", {"VERSION=v3"}, "hello:v3"),
    'version="v2"': ("hello:v2", {"VERSION=v3"}, "hello:v3"),
    'REGISTRY="./there"': ("./there/hello:1.0", {"REGISTRY=./elsewhere"}, "./elsewhere/hello:1.0"),
    'registry="./there"': ("./there/hello:1.0", {"REGISTRY=./elsewhere"}, "./elsewhere/hello:1.0"),
    'PLATFORMS="linux/s390x"': ("hello:1.0-s390x", {"PLATFORMS=linux/ppc64le"}, "hello:1.0-ppc64le"),
    'platforms=["linux/s390x"]': ("hello:1.0-s390x", {"PLATFORMS=linux/ppc64le"}, "hello:1.0-ppc64le"),
    'repository="team/other"': ("registry/team/other:1.0", {"REGISTRY=./elsewhere"}, "./elsewhere/team/other:1.0"),
    'repository="./there/other"': ("./there/other:1.0", {"REGISTRY=./elsewhere"}, "./elsewhere/other:1.0"),
    'repository="example.com/team/other"': (
        "example.com/team/other:1.0",
        {"REGISTRY=./elsewhere"},
        "./elsewhere/team/other:1.0",
    ),
    "": ("hello:1.0", {"IMAGE=team/other"}, "team/other:1.0"),
}

CUSTOM = {"VERSION": "v0", "REGISTRY": "./custom", "PLATFORMS": "linux/arm/v7"}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_keywords_override_variables_and_the_command_line_overrides_both(tree: Project, keyword: str) -> None:
    keywords, words, command_line = KEYWORDS[keyword]
    name = keyword.partition("=")[0].upper()
    tree.edit("custom.py", "".join(f"{word} = {value!r}\n" for word, value in CUSTOM.items() if word == name))
    declare(tree, f'env.MultiarchImage("hello", made("hello"), {keyword})\n')
    tags = [line.partition(": ")[0] for line in tree.scons("-Q", "-n", "push-manifest").text.splitlines()]
    assert any(line.endswith(keywords) for line in tags), tags
    tags = [line.partition(": ")[0] for line in tree.scons("-Q", "-n", "push-manifest", *words).text.splitlines()]
    assert any(line.endswith(command_line) for line in tags), tags
    assert not any(line.endswith(keywords) for line in tags), tags


def test_labels_annotations_and_arguments_of_one_image_and_of_one_platform(tree: Project) -> None:
    tree.edit("Dockerfile", "FROM scratch\nARG WHO\nARG TARGETARCH\nLABEL who=$WHO\nCOPY in.txt /\n")
    declare(
        tree,
        'env.MultiarchImage("hello", labels={"a": "$VERSION"}, annotations={"b": "$VERSION"}, TAGS="latest",\n'
        '    build_args=lambda platform: {"WHO": platform.architecture}, VERSION="2.0")\n',
    )
    tree.scons("push-manifest", "LABELS=c=d", "ANNOTATIONS=e=f")
    folder = tree.path / "_output/registry/hello"
    index = json.loads(tree.read("_output/manifest/hello-2.0.json"))
    assert index["annotations"] == {"org.opencontainers.image.version": "2.0", "e": "f", "b": "2.0"}
    tags = {
        entry["annotations"]["org.opencontainers.image.ref.name"]
        for entry in json.loads((folder / "index.json").read_bytes())["manifests"]
    }
    assert tags == {"2.0-amd64", "2.0-arm64", "2.0", "latest"}
    for member in index["manifests"]:
        blob = lambda digest: json.loads((folder / "blobs" / digest.replace(":", "/")).read_bytes())  # noqa: E731
        labels = blob(blob(member["digest"])["config"]["digest"])["config"]["Labels"]
        assert labels == {"who": member["platform"]["architecture"], "a": "2.0", "c": "d"}


def test_a_pre_release_of_one_image_moves_no_further_tag_of_that_image(tree: Project) -> None:
    declare(
        tree,
        'env.MultiarchImage("hello", made("hello"), VERSION="2.0-rc1")\n'
        'env.MultiarchImage("other", made("hello"), VERSION="2.0")\n',
    )
    ran = tree.scons("-Q", "push-manifest", "TAGS=latest")
    assert "_output/registry/hello:latest is not moved: 2.0-rc1 is a pre-release" in ran.text
    assert "other:latest is not moved" not in ran.text
    layout = json.loads(tree.read("_output/registry/other/index.json"))["manifests"]
    assert "latest" in {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in layout}


WRONG = {
    'MultiarchImage("hello", ldflags="-s")': "SConstruct:LINE: MultiarchImage: there is no parameter 'ldflags'\n  hint: did you mean GOLDFLAGS?",
    'GoImage("hello", ldflags="-s")': "SConstruct:LINE: GoImage: there is no parameter 'ldflags'\n  hint: did you mean GOLDFLAGS?",
    'GoImage("hello", tags="netgo")': "there is no parameter 'tags'\n  hint: did you mean GOTAGS (of Go) or TAGS (of the image)?",
    'GoImage("hello", GOLDFLAG="-s")': "there is no parameter 'GOLDFLAG'\n  hint: did you mean GOLDFLAGS?",
    'GoImage("hello", dockerfil="x")': "there is no parameter 'dockerfil'\n  hint: ",
    'GoImage("hello", GOOS="linux")': "did you mean PLATFORMS?",
    'MultiarchImage("hello", cgo=True)': "there is no parameter 'cgo'\n  hint: ",
    'MultiarchImage("hello", labls={})': "there is no parameter 'labls'\n  hint: did you mean labels?",
    'MultiarchImage("hello", IMAGE="x")': "IMAGE is of the whole build, not of one image\n  hint: the name says it, or repository=",
    'MultiarchImage("hello", DRIFT="fail")': "DRIFT is of the whole build",
    'MultiarchImage("Hel lo")': "'hel lo' is not the name of a repository",
    'MultiarchImage("")': "is not the name of a repository",
    "MultiarchImage(None)": "MultiarchImage: name: takes a text, and None is an empty value",
    'MultiarchImage("hello", PLATFORMS="linux/amd46")': "linux/amd64",
    'MultiarchImage("hello", VERSION="v 1")': "'v 1'",
    'MultiarchImage("hello", ENGINE="dokcer")': "did you mean docker?",
    'MultiarchImage("hello", repository="team/x:v1")': "team/x:v1",
    'MultiarchImage("hello", {"linux/amd46": "in.txt"})': "linux/amd64",
    'MultiarchImage("hello", ["in.txt", 3])': "contents: takes a path, and 3 is an int",
    'MultiarchImage("hello", dockerfile="none")': "there is no Dockerfile for linux/amd64",
}


@pytest.mark.parametrize("call", WRONG)
def test_what_is_wrong_with_a_call_is_said(tree: Project, call: str) -> None:
    declare(tree, f"env.{call}\n")
    line = str(len(tree.read("SConstruct").splitlines()))
    assert WRONG[call].replace("LINE", line) in refused(tree)


GO = {
    "go.mod": "module example.com/shop\n\ngo 1.21\n",
    "cmd/api/main.go": 'package main\n\nvar version = "none"\n\nfunc main() { println("api " + version) }\n',
    "cmd/worker/main.go": 'package main\n\nvar version = "none"\n\nfunc main() { println("worker " + version) }\n',
    "cmd/worker/Dockerfile": 'FROM scratch\nARG TARGETARCH\nCOPY _output/bin/$TARGETARCH/linux/worker /worker\nENTRYPOINT ["/worker"]\n',
    "tool/go.mod": "module example.com/tool\n\ngo 1.21\n",
    "tool/main.go": 'package main\n\nfunc main() { println("tool") }\n',
    "tool/Dockerfile.amd64": 'FROM scratch\nCOPY _output/bin/amd64/linux/tool /tool\nENTRYPOINT ["/tool"]\n',
    "tool/Dockerfile.arm64": 'FROM scratch\nCOPY _output/bin/arm64/linux/tool /tool\nENTRYPOINT ["/tool"]\n',
    "tool/SConscript": 'Import("env")\nenv.GoImage("tool")\n',
    "cmd/worker/SConscript": 'Import("env")\nenv.GoImage("shop/worker", GOLDFLAGS="-X main.version=w$VERSION", VERSION="2.0")\n',
    "Dockerfile": 'FROM scratch\nARG TARGETARCH\nCOPY _output/bin/$TARGETARCH/linux/api /api\nENTRYPOINT ["/api"]\n',
    "SConstruct": HEAD + 'env["GOLDFLAGS"] = "-X main.version=$VERSION"\nExport("env")\n'
    'env.GoImage("shop/api", "./cmd/api")\nSConscript(["tool/SConscript", "cmd/worker/SConscript"])\n',
}


@pytest.fixture
def shop(tree: Project) -> Project:
    """Return a Go repository with three SConscripts and a module in a module."""
    required("go")
    for name, text in GO.items():
        tree.edit(name, text)
    return tree


def programs(*names: str) -> set[str]:
    return {f"Compile _output/bin/{machine}/linux/{name}" for machine in MACHINES for name in names}


def test_images_of_several_sconscripts_share_targets_and_have_words_of_their_own(
    shop: Project, registry: Registry
) -> None:
    ran = shop.scons("push-manifest", f"REGISTRY={registry.host}")
    assert programs("api", "tool", "worker") < set(ran.steps)
    assert len(ran.steps) == 3 * (2 + 2 + 2 + 1 + 1)
    assert shop.scons("push-manifest", f"REGISTRY={registry.host}").up_to_date
    for name, tag in (("shop/api", "1.0"), ("shop/worker", "2.0"), ("tool", "1.0")):
        assert len(registry.json(name, tag)["manifests"]) == 2
    for word in ("api", "shop/api", "api:manifest", "shop/api:manifest", "worker:push-manifest", "tool:images"):
        assert shop.scons(word, f"REGISTRY={registry.host}").up_to_date
    assert shop.scons("-Q", "why", "worker").text.count("up to date") == 2 + 2 + 1
    told = shop.scons("-h").text
    assert "\n  shop/api, tool, shop/worker\n" in told
    text = refused(shop, "api:pusch")
    assert "there is no target api:pusch\n  hint: did you mean shop/api:push?" in text


def test_a_folder_that_scons_is_started_in_has_images_of_its_own(shop: Project) -> None:
    here = {"cwd": shop.path / "cmd/worker"}
    shop.scons("-U", **here)
    assert {path.name for path in (shop.path / "_output/manifest").iterdir()} == {
        "worker-2.0.json",
        "worker-2.0.digest",
    }
    assert shop.scons("-U", cwd=shop.path / "tool").steps[-1] == "Index _output/manifest/tool-1.0.json"
    for words in (["-u", "worker"], ["-D", "worker:manifest"], ["-U", "#/cmd/worker"]):
        assert shop.scons(*words, **here).steps == []
    assert shop.scons("-D", **here).steps[-1] == "Index _output/manifest/api-1.0.json"
    assert shop.scons().up_to_date


@pytest.mark.parametrize("duplicate", [False, True])
def test_a_variant_folder_and_another_environment_have_chains_of_their_own(shop: Project, duplicate: bool) -> None:
    shop.edit(
        "cmd/worker/SConscript",
        'Import("env")\nenv.GoImage("worker")\nenv.Clone(GOFLAGS="-gcflags=all=-N").GoImage("debug")\n',
    )
    shop.edit("cmd/worker/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY _output/bin/$TARGETARCH/linux /\n")
    declare(shop, f'SConscript("cmd/worker/SConscript", exports="env", variant_dir="build", duplicate={duplicate})\n')
    shop.scons()
    debug, plain = (shop.path / f"_output/bin/amd64/linux/{name}" for name in ("debug", "worker"))
    assert debug.read_bytes() != plain.read_bytes()
    assert shop.scons().up_to_date
    shop.replace("cmd/worker/main.go", '"worker ', '"Worker ')
    assert programs("debug", "worker") < set(shop.scons().steps)
    assert "Worker none" in shop.scons("worker:run").text


def test_run_starts_the_program_of_each_image_or_of_one(shop: Project) -> None:
    assert {"api 1.0", "worker w2.0", "tool"} <= set(shop.scons("run").text.splitlines())
    ran = shop.scons("worker:run")
    assert "worker w2.0" in ran.text
    assert "api 1.0" not in ran.text
    assert ran.steps == []
    text = shop.scons("worker:run", "PLATFORM=linux/riscv64", check=False).text
    assert "nothing is built for linux/riscv64\n  hint: add it to PLATFORMS" in text


def test_a_program_of_go_has_keywords_of_its_own_and_of_each_platform(shop: Project) -> None:
    declare(
        shop,
        'env.GoImage("shop/api", "./cmd/api", GOLDFLAGS={"linux/amd64": "-X main.version=x86", "linux/arm64": ""},\n'
        '    GOTAGS=lambda platform: [platform.architecture], race=False, dockerfile="Dockerfile")\n',
    )
    assert "api x86" in shop.scons("run", "PLATFORM=linux/amd64").text


def test_a_chain_by_hand_and_the_call_are_the_same_chain(shop: Project) -> None:
    """Files, tags and bytes of what the template declared by hand before there was a call for it."""
    calls = shop.read("SConstruct")
    shop.edit(
        "SConstruct",
        'DefaultEnvironment(tools=[])\nenv = Environment(tools=["oci_settings", "go_binary", "oci_image", "oci_archive", '
        '"oci_load", "oci_push", "oci_pin", "oci_index", "oci_targets"], DEFAULTS={"IMAGE": "shop/api"}, PROGRAM="api", '
        'GOLDFLAGS="-X main.version=$VERSION")\n' + BY_HAND,
    )
    shop.scons("release", "push-manifest")
    before = shop.digests()
    shop.edit("SConstruct", calls.replace("SConscript(", "0 and SConscript("))
    assert shop.scons("release", "push-manifest").steps == []
    assert shop.digests() == before


BY_HAND = """
programs, images, archives, loads, pushes = [], [], [], [], []
for platform in env["PLATFORMS"]:
    tag = f"$REPOSITORY:$VERSION-{platform.tag_suffix}"
    program = env.GoBinary(f"_output/bin/{platform.directory}/$PROGRAM", "./cmd/api", platform=platform)
    image = env.Image(
        f"_output/images/${{IMAGE_FILE}}-{platform.slug}.tar",
        program,
        dockerfile=platform.dockerfiles(),
        platform=platform,
    )
    programs += program
    images += image
    archives += env.Archive(f"_output/release/${{IMAGE_FILE}}-${{VERSION}}-{platform.slug}.tar", image, reference=tag)
    loads += env.Load(image, tag)
    pushes += env.Push(image, tag)

pins = [env.Pin(reference, platform=platform) for platform, reference in env["EXTERNAL"]]
index = env.Index(
    "_output/manifest/${IMAGE_FILE}-${VERSION}.json",
    [images, pins],
    platforms=[*env["PLATFORMS"], *(platform for platform, _ in env["EXTERNAL"])],
    annotations=[("org.opencontainers.image.version", "$VERSION"), *env["ANNOTATIONS"]],
)
published = env.Push(index, "$REPOSITORY:$VERSION", children=[pushes, pins], also=env["TAGS"])
env.Targets(
    bin=programs, images=images, release=archives, load=loads, push=pushes, manifest=index, push_manifest=published
)
"""


def test_a_chain_by_hand_joins_those_of_calls(shop: Project) -> None:
    shop.edit(
        "SConstruct",
        HEAD + 'env.Tool("go_binary")\nenv.Replace(PROGRAM="api", IMAGE="by-hand", IMAGE_FILE="by-hand")\n'
        'env.Replace(REPOSITORY="_output/registry/by-hand")\n'
        'Export("env")\nSConscript("tool/SConscript")\n' + BY_HAND + 'SConscript("cmd/worker/SConscript")\n',
    )
    ran = shop.scons()
    assert len([step for step in ran.steps if step.startswith("Index ")]) == 3
    assert shop.scons("-Q", "plan").text.count("\nimage ") + 1 == 6
    assert {"api none", "worker w2.0", "tool"} <= set(shop.scons("run").text.splitlines())
    assert refused(shop, "imagse").startswith("there is no target imagse\n  hint: did you mean image?")
    for text in ('env.Default("tool:images")', 'env.Default("tool")'):
        shop.edit("cmd/worker/SConscript", f'Import("env")\n{text}\n')
        assert shop.scons().status == 0


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_default_of_the_users_is_the_only_one(tree: Project, place: str) -> None:
    call = 'env.MultiarchImage("hello", made("hello"))\n'
    for default, made in {
        "images": "images",
        "hello:images": "images",
        "hello": "manifest",
        "hello:push": "push",
    }.items():
        said = f'Default("{default}")\n'
        declare(tree, said + call if place == "before" else call + said)
        shutil.rmtree(tree.path / "_output", ignore_errors=True)
        wanted = steps("hello", "images", *([made] if made != "images" else []))
        assert set(tree.scons().steps) == wanted, default


def test_the_text_of_an_image_is_a_file_in_sconscripts_as_ever(tree: Project) -> None:
    declare(
        tree,
        'env.MultiarchImage("hello", made("hello"))\nhello = env.Command("hello", "in.txt", Copy("$TARGET", "$SOURCE"))\n'
        'env.Command("copied", "hello", Copy("$TARGET", "$SOURCE"))\nenv.Alias("taken", "copied")\n'
        'env.MultiarchImage("taken", made("hello"))\nenv.MultiarchImage("push", made("hello"))\n',
    )
    assert tree.scons("copied").steps == []
    assert tree.read("hello") == "one\n"
    assert set(tree.scons("hello").steps) == steps("hello", "images", "manifest")
    assert tree.scons("taken").steps == []  # an alias of the user's
    assert "Push _output/registry/hello:1.0-amd64" in tree.scons("push").steps
    assert tree.scons("push:manifest").status == 0


@pytest.mark.parametrize("order", [1, -1])
def test_images_whose_last_parts_are_equal_have_their_whole_names_in_files(shop: Project, order: int) -> None:
    shop.edit(
        "Dockerfile",
        'FROM scratch\nARG TARGETARCH\nARG NAME\nCOPY _output/bin/$TARGETARCH/linux/$NAME /api\nENTRYPOINT ["/api"]\n',
    )
    calls = [
        'env.GoImage("api", "./cmd/api", dockerfile="Dockerfile", build_args={"NAME": "api"})\n',
        'env.GoImage("team/api", "./cmd/worker", dockerfile="Dockerfile", build_args={"NAME": "team-api"})\n',
        'env.GoImage("web/api", "./cmd/api", dockerfile="Dockerfile", build_args={"NAME": "web-api"})\n',
    ][::order]
    declare(shop, "".join(calls))
    ran = shop.scons("release", "push-manifest")
    assert len(set(ran.steps)) == 3 * (2 + 2 + 2 + 2 + 1 + 1)
    assert programs("api", "team-api", "web-api") < set(ran.steps)
    files = {path.name.partition("-linux")[0] for path in (shop.path / "_output/images").iterdir()}
    assert files == {"api", "team-api", "web-api"}
    named = {path.name for path in (shop.path / "_output/manifest").iterdir()}
    assert named == {f"{name}-1.0.{end}" for name in files for end in ("json", "digest")}
    assert {path.name.partition("-1.0-")[0] for path in (shop.path / "_output/release").iterdir()} == files
    assert shop.scons("release", "push-manifest").up_to_date
    assert {"api none", "worker none"} <= set(shop.scons("run").text.splitlines())
    planned = shop.scons("-Q", "plan", "team/api:push-manifest").text
    assert planned.count("image _output/images/team-api-linux-") == 2
    assert set(shop.scons("-Q", "why", "web/api").text.splitlines()[-1].split(":")[0].split()) == {
        "Index",
        "_output/manifest/web-api-1.0.json",
    }
    shop.remove("_output/manifest/team-api-1.0.digest")
    ran = shop.scons("team/api:manifest")
    assert "Index _output/manifest/team-api-1.0.json: _output/manifest/team-api-1.0.digest is not there" in ran.text
    shop.scons("-c", "team/api")
    assert not (shop.path / "_output/manifest/team-api-1.0.digest").exists()


def test_a_name_in_files_that_is_taken_is_an_error(tree: Project) -> None:
    declare(
        tree,
        'env.MultiarchImage("a/x", made("hello"))\nenv.Command("_output/images/a-x-linux-amd64.tar", "in.txt", "")\n'
        'env.MultiarchImage("b/x", made("hello"))\n',
    )
    assert (
        "_output/images/x-linux-amd64.tar: would be called a-x-linux-amd64.tar, which this build knows already\n  hint: "
        in refused(tree)
    )


def test_what_can_be_said_of_one_image_only(tree: Project) -> None:
    declare(tree, "".join(f'env.MultiarchImage("{name}", made("hello"))\n' for name in ("team/api", "web", "team/api")))
    assert "IMAGE names one image, and there are several: team/api, web\n  hint: " in refused(tree, "IMAGE=x")
    tree.edit("custom.py", 'IMAGE = "x"\n')
    assert "IMAGE names one image" in refused(tree)
    tree.remove("custom.py")
    words = (
        "'1.0-riscv64' does not say which of several images it is of\n  hint: team/api:1.0-riscv64 or web:1.0-riscv64"
    )
    assert words in refused(tree, "EXTERNAL=1.0-riscv64")
    assert (
        "'other:1.0-riscv64' is of no image\n  hint: there is: team/api, web; what lies elsewhere is written "
        in refused(tree, "EXTERNAL=other:1.0-riscv64")
    )
    assert "is of no image\n  hint: did you mean web?" in refused(tree, "EXTERNAL=wbe:linux/riscv64=localhost:1/x:1")
    declare(tree, "".join(f'env.MultiarchImage("{name}", made("hello"))\n' for name in ("a/api", "b/api")))
    assert "'api:1.0-riscv64' is of several images: a/api, b/api\n  hint: " in refused(tree, "EXTERNAL=api:1.0-riscv64")


EXTERNAL = {
    "api:1.0-riscv64": "Pin {folder}/team/api:1.0-riscv64",
    "team/api:1.0-riscv64": "Pin {folder}/team/api:1.0-riscv64",
    "api:linux/riscv64=nightly": "Pin {folder}/team/api:nightly",
    "linux/riscv64=api:nightly": "Pin {folder}/team/api:nightly",
    "api:linux/riscv64=example.com/x/y:1": "Pin example.com/x/y:1",
    "api:windows/amd64:10.0.20348=example.com/x/y:1": "Pin example.com/x/y:1",
    "api:linux/riscv64=localhost:5/x:1": "Pin localhost:5/x:1",
    "api:linux/riscv64=./there/x:1": "Pin ./there/x:1",
}


@pytest.mark.parametrize("item", EXTERNAL)
def test_what_others_push_says_which_image_it_is_of(tree: Project, item: str) -> None:
    declare(tree, "".join(f'env.MultiarchImage("{name}", made("hello"))\n' for name in ("web", "team/api")))
    wanted = EXTERNAL[item].format(folder="_output/registry")
    assert wanted in tree.scons("-n", "team/api", f"EXTERNAL={item}").steps
    assert not [step for step in tree.scons("-n", "web", f"EXTERNAL={item}").steps if step.startswith("Pin ")]
    declare(
        tree,
        'env.MultiarchImage("web", made("hello"))\nenv.MultiarchImage("team/api", made("hello"), EXTERNAL="linux/riscv64=other/x:1")\n',
    )
    steps = tree.scons("-n", "manifest", "EXTERNAL=linux/riscv64=nightly").steps
    assert {step for step in steps if step.startswith("Pin ")} == {"Pin other/x:1", "Pin _output/registry/web:nightly"}


def test_an_image_of_somebody_else_joins_the_one_it_is_of(shop: Project, registry: Registry) -> None:
    where = f"REGISTRY={registry.host}"
    shop.scons("tool:push", "worker:push", where, "PLATFORMS=linux/arm64")
    external = f"EXTERNAL=tool:1.0-arm64,api:linux/arm64={registry.host}/shop/worker:2.0-arm64"
    ran = shop.scons("push-manifest", where, "PLATFORMS=linux/amd64", external)
    assert ran.status == 0
    members = registry.json("tool", "1.0")["manifests"]
    assert [member["platform"]["architecture"] for member in members] == list(MACHINES)
    assert len(registry.json("shop/worker", "2.0")["manifests"]) == 1


def test_a_dockerfile_is_that_of_the_sconscript_else_of_the_package_else_none_is_needed(shop: Project) -> None:
    shop.edit("cmd/api/Dockerfile", "FROM scratch\nCOPY nowhere /\n")
    calls = "".join(
        f'env.GoImage("{name}", {package})\n'
        for name, package in (("api", '"./cmd/api"'), ("worker", 'Dir("cmd/worker")'))
    )
    declare(shop, calls)
    assert "Dockerfile:3: COPY: '_output/bin/amd64/linux/api'" not in shop.scons("api").text  # the one at the top
    shop.remove("Dockerfile")
    shop.remove("cmd/api/Dockerfile")
    shop.edit("Dockerfile.s390x", "FROM scratch\n")
    assert "there is no Dockerfile for linux/amd64\n  hint: write one of: " in refused(shop, "api")
    shop.remove("Dockerfile.s390x")
    shop.edit("Dockerfile.dev", "FROM golang\n")
    declare(shop, calls.replace('"./cmd/api"', '"./cmd/api", BASE_IMAGE="scratch"'))
    shop.scons("images")
    shown = shop.scons("-Q", "dockerfile", "api").text
    assert "FROM scratch\n" in shown
    assert 'ENTRYPOINT ["/api"]' in shown
    shop.edit("cmd/worker/Dockerfile", shop.read("cmd/worker/Dockerfile") + "LABEL a=b\n")
    assert set(shop.scons("images").steps) == steps("worker", "images")
    declare(shop, calls.replace('Dir("cmd/worker")', '"./cmd/worker", dockerfile=None'))
    assert 'ENTRYPOINT ["/worker"]' in shop.scons("-Q", "dockerfile", "worker").text
