"""`multiarch init`: repositories as they are, and the SConstruct that follows."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from multiarch_oci.scaffold.files import LIMIT
from multiarch_oci.scaffold.proposal import AlreadyThere, NothingToDo, Proposal, propose, write

MAIN = "package main\n\nfunc main() {}\n"
MOST_LINES = 15


def repository(top: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    return top


def proposed(top: Path, files: dict[str, str]) -> Proposal:
    proposal = propose(repository(top, files))
    compile(proposal.sconstruct, "SConstruct", "exec")
    assert proposal.sconstruct.count("\n") <= MOST_LINES
    assert proposal.sconstruct.count("\n") + sum(map(len, proposal.lines.values())) <= 2 * MOST_LINES
    return proposal


def calls(proposal: Proposal) -> list[str]:
    """The calls of the SConstruct, in their order: of `environment`, and of builders."""
    tree = ast.parse(proposal.sconstruct)
    statements = [statement.value for statement in tree.body if isinstance(statement, (ast.Assign, ast.Expr))]
    return [ast.unparse(call) for call in statements if isinstance(call, ast.Call)]


def left_out(proposal: Proposal) -> str:
    return "\n".join(f"{clue.text} ({clue.where})" for clue in proposal.left_out)


def test_a_go_program_is_one_call(tmp_path: Path):
    proposal = proposed(tmp_path, {"go.mod": "module github.com/acme/whoami/v2\n", "main.go": MAIN})
    assert calls(proposal) == ["scons_multiarch.environment()", "env.GoImage('whoami')"]
    assert proposal.lines == {".gitignore": ("/_output/", "/.multiarch/")}
    assert proposal.arguments == ("VERSION=v0.1.0", "REGISTRY=ghcr.io/<you>")


def test_a_variable_called_version_is_set(tmp_path: Path):
    files = {"go.mod": "module a\n", "main.go": MAIN + 'var version = "dev"\n', "VERSION": "v1.0\n"}
    proposal = proposed(tmp_path, files)
    assert calls(proposal)[0] == "scons_multiarch.environment(GOLDFLAGS='-X main.version=${VERSION}')"
    assert proposal.arguments == ("REGISTRY=ghcr.io/<you>",)


def test_several_commands_and_nested_modules_are_calls_each_and_examples_are_said(tmp_path: Path):
    files = {
        "go.mod": "module example.org/shop\n",
        "cmd/api/main.go": MAIN,
        "cmd/worker/main.go": MAIN,
        "services/mail/go.mod": "module example.org/mail\n",
        "services/mail/main.go": MAIN,
        "examples/hello/main.go": MAIN,
        "vendor/example.org/x/main.go": MAIN,
        "cmd/api/gen.go": "//go:build ignore\n\npackage main\n\nfunc main() {}\n",
        "lib/lib_test.go": MAIN,
    }
    proposal = proposed(tmp_path, files)
    assert calls(proposal)[1:] == [
        "env.GoImage('api', './cmd/api')",
        "env.GoImage('worker', './cmd/worker')",
        "env.GoImage('mail', GODIR='services/mail')",
    ]
    assert "examples/hello" in left_out(proposal)


def test_ko_says_platforms_programs_and_flags(tmp_path: Path):
    ko = """
defaultBaseImage: cgr.dev/chainguard/static
defaultPlatforms:
- linux/arm64
- linux/amd64
- windows/amd64
builds:
- id: web
  dir: .
  main: ./cmd/web
  ldflags:
  - -s -w
  - -X main.version={{.Env.VERSION}}
  - -X main.date={{.Date}}
"""
    files = {"go.mod": "module a\n", "cmd/web/main.go": MAIN, "cmd/other/main.go": MAIN, ".ko.yaml": ko}
    proposal = proposed(tmp_path, files)
    assert calls(proposal) == [
        "scons_multiarch.environment(GOLDFLAGS='-X main.version=${VERSION}', PLATFORMS='linux/arm64,linux/amd64')",
        "env.GoImage('web', './cmd/web')",
    ]
    for words in ("main.date", "windows/amd64", "defaultBaseImage", "cmd/other"):
        assert words in left_out(proposal)


def test_goreleaser_says_matrix_names_and_registry(tmp_path: Path):
    goreleaser = """
version: 2
builds:
- main: ./cmd/tool
  binary: tool
  goos: [linux, darwin, windows]
  goarch: [amd64, arm64, arm]
  goarm: [7]
  ldflags: ["-s -w -X main.version={{ .Version }} -X main.commit={{ .Commit }}"]
dockers:
- image_templates: ["ghcr.io/acme/tools/{{ .ProjectName }}:latest", "ghcr.io/acme/tools/hammer:{{ .Tag }}-amd64"]
"""
    files = {"go.mod": "module a\n", "cmd/tool/main.go": MAIN, ".goreleaser.yml": goreleaser}
    proposal = proposed(tmp_path, files)
    assert calls(proposal) == [
        (
            "scons_multiarch.environment(GOLDFLAGS='-X main.version=${VERSION} -X main.commit=${REVISION}', "
            "PLATFORMS='linux/amd64,linux/arm64,linux/arm/v7', REGISTRY='ghcr.io/acme/tools')"
        ),
        "env.GoImage('tool', './cmd/tool', repository='hammer')",
    ]


@pytest.mark.parametrize(
    ("makefile", "platforms"),
    [
        ("REL_OSARCH := linux/amd64 linux/arm64\n", "linux/amd64,linux/arm64"),
        ('REL_OSARCH="linux/amd64,linux/s390x" # released\n', "linux/amd64,linux/s390x"),
        ("ALL_ARCH ?= amd64 arm64 ppc64le\n", "linux/amd64,linux/arm64,linux/ppc64le"),
        (
            "all:\n\tfor arch in amd64 arm64; do \\\n\t GOOS=linux GOARCH=$$arch go build; done\n",
            "linux/amd64,linux/arm64",
        ),
        ("PLATFORMS = linux-amd64 linux-arm64 darwin-arm64 $(MORE)\n", "linux/amd64,linux/arm64"),
    ],
)
def test_a_makefile_says_platforms(tmp_path: Path, makefile: str, platforms: str):
    files = {"go.mod": "module a\n", "main.go": MAIN, "Makefile": makefile}
    assert f"PLATFORMS='{platforms}'" in calls(proposed(tmp_path, files))[0]


def test_a_makefile_says_registry_and_flags(tmp_path: Path):
    makefile = (
        "REGISTRY ?= quay.io/acme\nGOARCH ?= amd64\nVERSION := $(shell git describe)\n"
        "LDFLAGS := -ldflags \"-X main.version=$(VERSION) -X 'main.when=$(DATE)'\"\n"
    )
    files = {"go.mod": "module a\n", "main.go": MAIN, "Makefile": makefile}
    proposal = proposed(tmp_path, files)
    assert "REGISTRY='quay.io/acme'" in calls(proposal)[0]


def test_what_a_later_file_says_otherwise_is_said(tmp_path: Path):
    goreleaser = "builds:\n- goarch: [amd64]\n  goos: [linux]\ndockers:\n- image_templates: ['quay.io/acme/a:1']\n"
    makefile = "REL_OSARCH = linux/amd64 linux/arm/v7\nREGISTRY = ghcr.io/acme\n"
    files = {"go.mod": "module a\n", "main.go": MAIN, ".goreleaser.yml": goreleaser, "Makefile": makefile}
    proposal = proposed(tmp_path, files)
    assert "PLATFORMS='linux/amd64', REGISTRY='quay.io/acme'" in calls(proposal)[0]
    assert [str(clue) for clue in proposal.left_out] == [
        "platform linux/arm/v7, as .goreleaser.yml says another  (Makefile:1)",
        "registry ghcr.io/acme, as .goreleaser.yml says another  (Makefile:2)",
    ]


STAGED = "FROM golang:1.24 AS build\nWORKDIR /src\nCOPY . .\nRUN go build -o /out/app .\nFROM scratch\n"


def test_a_stage_that_compiles_go_is_replaced_when_it_gives_the_program_alone(tmp_path: Path):
    files = {"go.mod": "module a\n", "main.go": MAIN, "Dockerfile": STAGED + "COPY --from=build /out/app /app\n"}
    proposal = proposed(tmp_path, files)
    assert calls(proposal)[1] == "env.GoImage('a', stages={'build': '/out/app'})"
    assert proposal.lines[".dockerignore"] == (".git", ".multiarch", "_output", "SConstruct")


def test_certificates_and_zones_of_stages_are_known(tmp_path: Path):
    staged = (
        "FROM alpine AS certs\nRUN apk add ca-certificates tzdata\n"
        + STAGED
        + "COPY --from=certs /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n"
        + "COPY --from=certs /usr/share/zoneinfo /usr/share/zoneinfo\nCOPY --from=build /out/app /app\n"
    )
    files = {"go.mod": "module a\n", "main.go": MAIN, "Dockerfile": staged}
    assert calls(proposed(tmp_path, files))[1] == (
        "env.GoImage('a', stages={'certs': {'/etc/ssl/certs/ca-certificates.crt': scons_multiarch.CA_CERTIFICATES, "
        "'/usr/share/zoneinfo': scons_multiarch.ZONEINFO}, 'build': '/out/app'})"
    )


def test_a_dockerfile_of_several_programs_is_left_out_and_said(tmp_path: Path):
    staged = STAGED + "COPY --from=build /out/worker /worker\n"
    files = {"go.mod": "module a\n", "cmd/api/main.go": MAIN, "cmd/worker/main.go": MAIN, "Dockerfile": staged}
    proposal = proposed(tmp_path, files)
    assert calls(proposal)[1:] == [
        "env.GoImage('api', './cmd/api', dockerfile=None)",
        "env.GoImage('worker', './cmd/worker', dockerfile=None)",
    ]
    assert "compiles several programs" in left_out(proposal)
    (tmp_path / "Dockerfile").rename(tmp_path / "cmd/worker/Dockerfile")
    assert calls(propose(tmp_path))[2] == "env.GoImage('worker', './cmd/worker', stages={'build': '/out/worker'})"


def test_a_dockerfile_that_needs_more_of_its_stage_stays_as_it_is(tmp_path: Path):
    more = "COPY --from=build /out/app /app\nCOPY --from=build /etc/motd /etc/\n"
    files = {"go.mod": "module a\n", "main.go": MAIN, "docker/Dockerfile": STAGED + more}
    assert calls(proposed(tmp_path, files))[1] == "env.MultiarchImage('a', dockerfile='docker/Dockerfile')"


def test_a_dockerfile_that_copies_another_ones_program_is_said(tmp_path: Path):
    files = {"go.mod": "module a\n", "main.go": MAIN, "Dockerfile": 'FROM scratch\nCOPY a /\nENTRYPOINT ["/a"]\n'}
    proposal = proposed(tmp_path, files)
    assert calls(proposal)[1] == "env.GoImage('a', dockerfile=None)"
    assert "_output/bin" in left_out(proposal)


def test_a_rust_program_without_a_dockerfile_is_compiled_by_cargo(tmp_path: Path):
    files = {"Cargo.toml": '[package]\nname = "Hello_World"\n', "Cargo.lock": "", "src/main.rs": "fn main() {}\n"}
    text = proposed(tmp_path, files).sconstruct
    assert "cargo build --quiet --release --locked --target {machine}-unknown-linux-gnu" in text
    assert 'f"_output/bin/{platform.directory}/Hello_World"' in text
    assert "env.MultiarchImage('hello_world', program)" in text
    assert len(text.splitlines()) <= 15


@pytest.mark.parametrize(
    ("files", "call"),
    [
        ({"package.json": '{"name": "@acme/web"}', "Dockerfile": "FROM node\nCOPY . .\n"}, "env.MultiarchImage('web')"),
        ({"pyproject.toml": '[project]\nname = "api"\n', "Dockerfile": "FROM python\n"}, "env.MultiarchImage('api')"),
        (
            {"pyproject.toml": '[tool.poetry]\nname = "api"\n', "Dockerfile": "FROM python\n"},
            "env.MultiarchImage('api')",
        ),
        ({"main.c": "int main(void) { return 0; }\n"}, None),
    ],
)
def test_other_languages(tmp_path: Path, files: dict[str, str], call: str | None):
    proposal = proposed(tmp_path, files)
    assert call is None or call in calls(proposal)


def test_a_program_that_needs_a_dockerfile_is_told_so_with_one(tmp_path: Path):
    assert "FROM node" in left_out(proposed(tmp_path, {"package.json": '{"name": "web"}'}))


def test_what_is_no_name_is_left_out_and_said(tmp_path: Path):
    files = {"package.json": '{"name": "x\\"); import os; os.system(\\"id"}', "Dockerfile": "FROM node\n"}
    proposal = proposed(tmp_path, files)
    assert "env.MultiarchImage('app')" in calls(proposal)
    assert "it is no repository's" in left_out(proposal)


HOSTILE = "'''\"); __import__('os').system('touch owned') #"


@pytest.mark.parametrize(
    "files",
    [
        {"go.mod": f"module {HOSTILE}\n", "main.go": MAIN},
        {"go.mod": "module a\n", "main.go": MAIN, "Makefile": f"REGISTRY = ghcr.io/{HOSTILE}\nREL_OSARCH = {HOSTILE}\n"},
        {"go.mod": "module a\n", "main.go": MAIN, "Makefile": f"LDFLAGS = -X main.a={HOSTILE}\nREGISTRY=u:pw@ghcr.io/a\n"},
        {"go.mod": "module a\n", "main.go": MAIN, ".ko.yaml": "a: &a [*a, *a]\nbuilds: *a\ndefaultPlatforms: 3\n"},
        {"go.mod": "module a\n", "main.go": MAIN, ".ko.yaml": "!!python/object/apply:os.system ['touch owned']\n"},
        {"go.mod": "module a\n", "main.go": MAIN, ".goreleaser.yaml": "[" * 5000},
        {"go.mod": "module a\n", "main.go": MAIN, ".goreleaser.yaml": "builds: 2024-99-99\n"},
        {"go.mod": "module a\n", "main.go": MAIN, "cmd/$x/main.go": MAIN, "cmd/a b'/main.go": MAIN},
        {"go.mod": "module a\n", "main.go": MAIN, "Dockerfile": STAGED + f"COPY --from=build {HOSTILE} /\n"},
        {"Cargo.toml": "[[[[", "Dockerfile": "FROM a\n"},
        {"Cargo.toml": f'[package]\nname = "{HOSTILE[3:6]}"\n', "main.c": "int main() {}"},
        {"package.json": "[" * 100_000, "Dockerfile": "FROM a\n"},
        {"pyproject.toml": 'project = "x"\n', "Dockerfile": "FROM a\n"},
    ],
)  # fmt: skip
def test_what_files_say_is_data(tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    top = repository(tmp_path / "app", files)
    proposal = propose(top)
    compile(proposal.sconstruct, "SConstruct", "exec")
    assert "import os;" not in proposal.sconstruct
    assert "pw" not in proposal.sconstruct
    assert not any(path.name == "owned" for path in tmp_path.rglob("*"))
    names = {node.id for node in ast.walk(ast.parse(proposal.sconstruct)) if isinstance(node, ast.Name)}
    assert "__import__" not in names


def test_large_files_pipes_and_links_out_are_not_read(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_text("REGISTRY=ghcr.io/secret\n", encoding="utf-8")
    top = repository(tmp_path / "app", {"go.mod": "module a\n", "main.go": MAIN, ".ko.yaml": "#" * (LIMIT + 1)})
    (top / "Makefile").symlink_to(outside)
    (top / ".goreleaser.yml").symlink_to(".goreleaser.yml")
    if hasattr(os, "mkfifo"):
        os.mkfifo(top / "GNUmakefile")
    proposal = propose(top)
    assert "secret" not in proposal.sconstruct
    for words in ("Makefile was not read: it is a link out", ".ko.yaml was not read: it is larger than 1 MiB"):
        assert words in left_out(proposal)


def test_nothing_is_overwritten_and_asked_again_nothing_changes(tmp_path: Path):
    files = {"go.mod": "module a\n", "main.go": MAIN, ".gitignore": "*.o\n/_output"}
    written = write(proposed(tmp_path, files), tmp_path)
    assert written == ("SConstruct (6 lines)", ".gitignore (1 line more)")
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "*.o\n/_output\n/.multiarch/\n"
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(AlreadyThere):
        propose(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_empty_folder_is_told_of_the_template(tmp_path: Path):
    with pytest.raises(NothingToDo, match="init --template") as error:
        propose(tmp_path)
    assert not error.value.is_done
