"""`multiarch init`: what others named and wrote is data, and no image holds another program than its name says."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

from multiarch_oci.scaffold.draft import NotWritten, literal
from multiarch_oci.scaffold.files import Files
from multiarch_oci.scaffold.proposal import NothingToDo, Proposal, propose
from scons_multiarch.init import main

MAIN = "package main\n\nfunc main() {}\n"
GO = {"go.mod": "module a\n", "main.go": MAIN}
TWO = {"go.mod": "module a\n", "cmd/api/main.go": MAIN, "tools/gen/main.go": MAIN}
CODE = "${__import__('os').system('id>pwned')}"


def proposed(top: Path, files: dict[str, str]) -> Proposal:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    proposal = propose(top)
    ast.parse(proposal.sconstruct)
    assert proposal.sconstruct.count("\n") <= 15
    for node in ast.walk(ast.parse(proposal.sconstruct)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "$TARGET":
            assert "$" not in node.value.replace("${VERSION}", "").replace("${REVISION}", "")
    return proposal


def left_out(proposal: Proposal) -> str:
    return "\n".join(map(str, proposal.left_out))


@pytest.mark.parametrize(
    "files",
    [
        {**GO, "go.mod": f"module m/{CODE}\n", f"Dockerfile.{CODE}": "FROM scratch\nCOPY _output/bin/a /\n"},
        {**GO, "go.mod": f"module m/{CODE}\n", f"{CODE}.Dockerfile": "FROM a\nRUN go build\n"},
        {**GO, f"cmd/{CODE}/main.go": MAIN, f"{CODE}/go.mod": "module b\n", f"{CODE}/main.go": MAIN},
        {**GO, "Makefile": f"LDFLAGS = -X main.a={CODE.replace(' ', '')} -X main.b=$$VERSION\nREGISTRY = a.b/{CODE}\n"},
        {**GO, ".goreleaser.yml": f'builds:\n- binary: "{CODE}"\n  tags: ["{CODE}"]\n'},
        {**GO, "Dockerfile": f"FROM a AS b\nRUN go build\nFROM scratch\nCOPY --from=b /{CODE} /a\n"},
        {"Cargo.toml": f'[package]\nname = "a"\n[dependencies]\nb = {{path = "{CODE}"}}\n', "src/main.rs": ""},
        {"package.json": '{"name": "a"}', f"Dockerfile.{CODE}": "FROM a\n", "Dockerfile": "FROM a\n"},
    ],
)
def test_no_text_that_scons_substitutes_holds_code(tmp_path: Path, files: dict[str, str]):
    assert "pwned" not in proposed(tmp_path, files).sconstruct


def test_a_c_file_whose_name_is_code_is_said(tmp_path: Path):
    with pytest.raises(NothingToDo):
        proposed(tmp_path, {"main.c": "int main() {}\n", "${1+1}.c": ""})


def test_a_literal_has_no_other_variable():
    assert literal("-X main.version=${VERSION}") == "'-X main.version=${VERSION}'"
    for text in ("$VERSION", "${VERSION.x}", "a\nb", "$$", CODE):
        with pytest.raises(NotWritten):
            literal(text)


@pytest.mark.parametrize("path", ["/etc/ssl", "/etc/ssl/cert", "/etc/ca-certificates", "/src/tls/server.pem"])
def test_what_is_not_surely_the_certificates_stays_a_stage(tmp_path: Path, path: str):
    assert "CA_CERTIFICATES" not in _staged(tmp_path, GO, "RUN go build -o /app .", f"COPY --from=build {path} /x\n")


@pytest.mark.parametrize("path", ["/etc/ssl/certs", "/etc/ssl/certs/"])
def test_the_folder_of_certificates_has_a_slash(tmp_path: Path, path: str):
    text = _staged(tmp_path, GO, "RUN go build -o /app .", f"COPY --from=build {path} /etc/ssl/certs/\n")
    assert "'/etc/ssl/certs/': scons_multiarch.CA_CERTIFICATES" in text


def test_a_certificate_of_somebodys_own_is_not_lost(tmp_path: Path):
    own = "COPY corp.crt /usr/local/share/ca-certificates/\nRUN update-ca-certificates && go build -o /app ."
    assert "stages" not in _staged(tmp_path, GO, own, "COPY --from=build /etc/ssl/certs/ /etc/ssl/certs/\n")


def _staged(top: Path, files: dict[str, str], steps: str, more: str = "", before: str = "") -> str:
    staged = f"{before}FROM golang AS build\nWORKDIR /src\nCOPY . .\n{steps}\nFROM scratch\n"
    return proposed(top, {**files, "Dockerfile": f"{staged}COPY --from=build /app /app\n{more}"}).sconstruct


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        (TWO, "RUN go build -o /app ./tools/gen"),
        (TWO, "RUN go build -o /app ./..."),
        (TWO, "RUN cd tools/gen && go build -o /app ."),
        (TWO, "WORKDIR /src/tools/gen\nRUN go build -o /app"),
        (GO, "RUN go build -tags netgo -o /app ."),
        (GO, "ENV GOFLAGS=-tags=netgo\nRUN go build -o /app ."),
        (GO, "RUN go generate ./... && go build -o /app ."),
        (GO, "RUN npm ci\nRUN go build -o /app ."),
        (GO, "RUN go install example.org/tool@v1.2.3 && go build -o /app ."),
        (GO, "RUN GOBIN=/ go install example.org/app@latest"),
        (GO, "RUN git clone https://example.org/x && go build -o /app ."),
        (GO, "ENV CGO_ENABLED=1\nRUN go build -o /app ."),
        (GO, "COPY --from=web /dist ./dist\nRUN go build -o /app ."),
    ],
)
def test_a_stage_that_makes_more_or_another_program_is_not_replaced(tmp_path: Path, files: dict[str, str], steps: str):
    text = _staged(tmp_path, files, steps, before="FROM node AS web\nRUN npm ci\n")
    assert "stages" not in text
    assert "env.MultiarchImage(" in text


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        (TWO, 'RUN CGO_ENABLED=0 go build -ldflags="-s -w" -o /app ./cmd/api'),
        (TWO, "RUN go build -o /app cmd/api/main.go"),
        (GO, "RUN apk add --no-cache git make curl\nRUN go mod download && go build -trimpath -o /app"),
        (GO, "RUN --mount=type=cache,target=/root/.cache go build -o /app ./"),
        (GO, "COPY --from=tonistiigi/xx / /\nRUN xx-go build -o /app . && xx-verify /app"),
    ],
)
def test_a_stage_that_compiles_the_program_is_replaced(tmp_path: Path, files: dict[str, str], steps: str):
    assert "stages={'build': '/app'}" in _staged(tmp_path, files, steps)


def test_a_file_of_the_context_is_of_no_stage_without_a_name(tmp_path: Path):
    dockerfile = "FROM golang\nCOPY . .\nRUN go build -o /app .\nFROM scratch\nCOPY run.sh /\n"
    text = proposed(tmp_path, {**GO, "Dockerfile": dockerfile}).sconstruct
    assert "env.MultiarchImage('a')" in text
    text = proposed(tmp_path, {"Dockerfile": f"{dockerfile}COPY --from=0 /app /app\n"}).sconstruct
    assert "stages={'0': '/app'}" in text


def test_what_a_replaced_stage_gave_the_linker_is_said(tmp_path: Path):
    steps = 'RUN go build -ldflags="-s -X main.built=$BUILT" -o /app .'
    assert "stages={'build': '/app'}" in _staged(tmp_path, GO, steps)
    assert "-X of its go build" in left_out(propose(tmp_path))


def test_a_dockerfile_of_a_nested_module_that_copies_its_own_files_is_said(tmp_path: Path):
    dockerfile = "FROM golang AS build\nCOPY . .\nRUN go build -o /app .\nFROM scratch\n"
    dockerfile += "COPY config.yaml /etc/\nCOPY --from=build /app /app\n"
    files = {**GO, "mail/go.mod": "module mail\n", "mail/main.go": MAIN, "mail/Dockerfile": dockerfile}
    proposal = proposed(tmp_path, files)
    assert "env.GoImage('mail', GODIR='mail', dockerfile=None)" in proposal.sconstruct
    assert "its own folder" in left_out(proposal)


@pytest.mark.parametrize("name", ["BUILDER_IMAGE", "BASE_IMAGE", "GO_IMAGE", "TEST_REGISTRY", "RUNTIME_IMAGE_NAME"])
def test_what_a_makefile_takes_is_no_place_to_publish_to(tmp_path: Path, name: str):
    assert "REGISTRY" not in proposed(tmp_path, {**GO, "Makefile": f"{name} = docker.io/library/x\n"}).sconstruct


@pytest.mark.parametrize("name", ["REGISTRY", "DOCKER_REPO", "KO_DOCKER_REPO", "IMAGE", "IMG", "IMAGE_REPOSITORY"])
def test_a_makefile_says_where_it_publishes(tmp_path: Path, name: str):
    makefile = f"GO_IMAGE = docker.io/library/golang\n{name} ?= quay.io/acme/x:dev\n".replace(
        ":dev", ":dev" if name.startswith("IM") else ""
    )
    assert "REGISTRY='quay.io/acme" in proposed(tmp_path, {**GO, "Makefile": makefile}).sconstruct


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("-X 'main.version=$(VERSION)'", "main.version=${VERSION}"),
        ('-ldflags "-s -w -X main.version=v$(GIT_VERSION)"', "main.version=${VERSION}"),
        ('-s -w \\\n\t-X "main.version=$(TAG)-x"', "main.version=${VERSION}-x"),
        ("-X main.version=${APP_VERSION}x", "main.version=${VERSION}x"),
    ],
)
def test_flags_of_a_makefile(tmp_path: Path, value: str, written: str):
    text = proposed(tmp_path, {**GO, "Makefile": f"LDFLAGS = {value}\n"}).sconstruct
    assert f"GOLDFLAGS='-X {written}'" in text


@pytest.mark.parametrize("value", ["-X main.v=$(GO_VERSION)", "-X main.v=$(VERSION_DATE)", "-X 'main.v=$(VERSION)"])
def test_flags_that_mean_another_thing_or_do_not_end_are_said(tmp_path: Path, value: str):
    proposal = proposed(tmp_path, {**GO, "Makefile": f"LDFLAGS = {value}\n"})
    assert "GOLDFLAGS" not in proposal.sconstruct
    assert "main.v" in left_out(proposal)


def test_goreleasers_tags_ignore_and_skip(tmp_path: Path):
    goreleaser = """
builds:
- skip: false
  goos: [linux]
  goarch: [amd64, arm64, arm]
  goarm: [6, 7]
  tags: [netgo, osusergo]
  flags: [-trimpath, -tags=static, -race]
  env: [CGO_ENABLED=0, GOAMD64=v3]
  ldflags: ["", "-X main.version=v{{.Version}}"]
  ignore: [{goos: linux, goarch: arm64}, {goarch: arm, goarm: 6}]
- skip: true
  goarch: [s390x]
"""
    proposal = proposed(tmp_path, {**GO, ".goreleaser.yml": goreleaser})
    assert "PLATFORMS='linux/amd64,linux/arm/v7'" in proposal.sconstruct
    assert "GOTAGS='netgo osusergo static'" in proposal.sconstruct
    assert "GOLDFLAGS='-X main.version=${VERSION}'" in proposal.sconstruct
    for word in ("-race", "GOAMD64=v3"):
        assert word in left_out(proposal)


@pytest.mark.parametrize(
    "files",
    [
        {**GO, "go.mod": "\n" * 500_000},
        {**GO, "main.go": MAIN + "var (\n" * 100_000},
        {**GO, "Makefile": "GOARCH" + " for x in " * 90_000},
        {**GO, "Makefile": "A =" + " " * 500_000 + "x\nGOARCH\nfor a in" + " " * 500_000},
        {**GO, ".goreleaser.yml": f"builds:\n- goos: {['linux'] * 50_000}\n  goarch: {['arm'] * 50_000}\n"},
        {**GO, ".goreleaser.yml": "builds:\n- ldflags: ['" + "{{" * 300_000 + "']\n"},
    ],
)  # fmt: skip
def test_large_files_take_no_longer_than_they_are_large(tmp_path: Path, files: dict[str, str]):
    started = time.monotonic()
    for name, text in {**files, "Dockerfile": "FROM a\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    propose(tmp_path)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "text", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "? [a]\n: b", "%YAML 9.9\n---\n"]
)
def test_a_broken_yaml_file_is_said(tmp_path: Path, text: str):
    assert "it is no YAML" in left_out(proposed(tmp_path, {**GO, ".ko.yaml": text}))


def test_a_folder_outside_is_not_listed(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "main.c").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "src").symlink_to(tmp_path / "outside")
    assert Files(tmp_path / "top").named("src") == Files(tmp_path / "top").named("../outside") == []


def test_programs_of_one_name_are_called_otherwise(tmp_path: Path):
    files = {
        "go.mod": "module a\n",
        "API/main.go": MAIN,
        "api/main.go": MAIN,
        "x/api/main.go": MAIN,
        "x-api/main.go": MAIN,
    }
    tree = ast.parse(proposed(tmp_path, files).sconstruct)
    names = [ast.literal_eval(node.args[0]) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    assert len(set(names)) == len(names) == len(list(tmp_path.rglob("main.go")))


@pytest.mark.parametrize(
    ("declared", "is_set"),
    [
        ('var version = "dev"\n', True),
        ('var (\n\tcommit = ""\n\tversion string = "dev"\n)\n', True),
        ("var version string\n", True),
        ('const version = "1"\n', False),
        ('const (\n\tversion = "1"\n)\n', False),
        ('func f() {\n\tversion = "1"\n}\n', False),
    ],
)
def test_only_a_variable_is_set_by_the_linker(tmp_path: Path, declared: str, is_set: bool):
    assert ("GOLDFLAGS" in proposed(tmp_path, {**GO, "main.go": MAIN + declared}).sconstruct) is is_set


MAKEFILE = "PLATFORMS = linux/amd64 linux/arm64 linux/s390x\nREGISTRY = quay.io/a-long-name-of-a-team/and-more-of-it\n"


def test_c_stays_short_and_has_platforms_that_it_compiles_for(tmp_path: Path):
    proposal = proposed(tmp_path, {"main.c": "int main(void) {}\n", "Makefile": MAKEFILE})
    assert "PLATFORMS='linux/amd64,linux/arm64'" in proposal.sconstruct
    assert "s390x" in left_out(proposal)


def test_what_rust_reads_are_sources(tmp_path: Path):
    cargo = """
[package]
name = "web"
[[bin]]
name = "other"
path = "extra/other.rs"
[lib]
path = "lib/x.rs"
[workspace]
members = ["crates/*"]
[dependencies]
core = {path = "libs/core"}
far = {path = "../far"}
"""
    files = {
        "Cargo.toml": cargo, "build.rs": "", "src/main.rs": "", "src/bin/more.rs": "", "extra/other.rs": "", "src/bin/tool/main.rs": "",
        "libs/core/Cargo.toml": '[dependencies]\nbase = {path = "../base"}\n', "libs/base/Cargo.toml": "",
        "crates/x/Cargo.toml": "", "lib/x.rs": "", "Makefile": MAKEFILE,
    }  # fmt: skip
    proposal = proposed(tmp_path, files)
    folders = ("src", "crates", "lib", "extra", "libs/core", "libs/base")
    sources = f"['Cargo.toml', 'build.rs', {', '.join(f'Dir({folder!r})' for folder in folders)}]"
    assert sources in proposal.sconstruct
    assert "env.MultiarchImage('web', program)" in proposal.sconstruct
    for words in ("program other", "program more", "program tool", "far: a change", "s390x"):
        assert words in left_out(proposal)


def test_a_rust_program_outside_src_has_no_folder_that_is_not_there(tmp_path: Path):
    files = {"Cargo.toml": '[[bin]]\nname = "a"\npath = "main.rs"\n[package]\nname = "b"\n', "main.rs": ""}
    assert "['Cargo.toml', 'main.rs']" in proposed(tmp_path, files).sconstruct


def test_a_rust_library_is_no_program(tmp_path: Path):
    with pytest.raises(NothingToDo):
        proposed(tmp_path, {"Cargo.toml": '[package]\nname = "a"\n', "src/lib.rs": ""})


def test_a_dockerfile_that_is_advised_has_its_dockerignore(tmp_path: Path):
    assert ".dockerignore" in proposed(tmp_path, {"package.json": '{"name": "a"}'}).lines


def test_a_workflow_is_not_written_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "outside").mkdir()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / ".github").symlink_to(tmp_path / "outside")
    monkeypatch.chdir(tmp_path / "top")
    assert main(["--ci", "github-machines"]) == 2
    assert not list((tmp_path / "outside").iterdir())
    assert main(["--ci", "gitlab-machines"]) == 0
    assert "images.lock" in capsys.readouterr().err
