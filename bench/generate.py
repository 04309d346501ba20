"""Write a repository of many images, to see how the build grows: `python bench/generate.py FOLDER [--images 300]`.

Of N images: N/3 Go commands over N/5 shared packages, three Dockerfiles a command, two platforms; so 300 images are
100 commands, 60 packages, 200 programs, 600 image tarballs, 300 indexes and 900 tags. Packages stand in three layers:
a third are *leaves* that import nothing, the next third import two leaves each, the last third two of the middle.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAVOURS = ("app", "debug", "tools")
PLATFORMS = ("linux/amd64", "linux/arm64")

SCONSTRUCT = """\
\"\"\"Many images of one Go module, each for two platforms.\"\"\"

DefaultEnvironment(tools=[])
env = Environment(
    tools=[
        "oci_settings", "go_binary", "oci_image", "oci_archive", "oci_load", "oci_push", "oci_pin", "oci_index",
        "oci_targets",
    ],
)  # fmt: skip

programs, images, pushes, indexes, published = [], [], [], [], []
for command in range({commands}):
    name = f"c{{command:03}}"
    program = {{
        platform: env.GoBinary(f"_output/bin/{{platform.directory}}/{{name}}", f"./cmd/{{name}}", platform=platform)
        for platform in env["PLATFORMS"]
    }}
    programs += env.Flatten(program.values())
    for flavour in {flavours}[: {images} - {per} * command]:
        made, pushed = [], []
        for platform in env["PLATFORMS"]:
            made += env.Image(
                f"_output/images/{{name}}-{{flavour}}-{{platform.slug}}.tar",
                program[platform],
                dockerfile=f"cmd/{{name}}/Dockerfile.{{flavour}}",
                platform=platform,
            )
            pushed += env.Push(made[-1], f"$REGISTRY/{{name}}-{{flavour}}:$VERSION-{{platform.tag_suffix}}")
        listing = f"_output/manifest/{{name}}-{{flavour}}-${{{{VERSION}}}}.json"
        index = env.Index(listing, made, platforms=env["PLATFORMS"])
        published += env.Push(index, f"$REGISTRY/{{name}}-{{flavour}}:$VERSION", children=pushed)
        images, pushes, indexes = images + made, pushes + pushed, indexes + index

env.Targets(bin=programs, images=images, push=pushes, manifest=indexes, push_manifest=published)
"""
CHAINS = """\
\"\"\"Many images of one Go module, each for two platforms, each a chain of its own, as ATTEST and SIGN want it.\"\"\"

DefaultEnvironment(tools=[])
env = Environment(tools=["oci_settings", "go_binary", "oci_targets"])

for command in range({commands}):
    name = f"c{{command:03}}"
    program = {{
        platform: env.GoBinary(f"_output/bin/{{platform.directory}}/{{name}}", f"./cmd/{{name}}", platform=platform)
        for platform in env["PLATFORMS"]
    }}
    for flavour in {flavours}[: {images} - {per} * command]:
        env.MultiarchImage(f"{{name}}-{{flavour}}", program, dockerfile=f"cmd/{{name}}/Dockerfile.{{flavour}}")
"""
DOCKERFILE = """\
FROM scratch
ARG TARGETARCH
LABEL flavour={flavour}
COPY _output/bin/${{TARGETARCH}}/linux/{name} /{name}
COPY cmd/{name}/{flavour}.conf /etc/{name}.conf
ENTRYPOINT ["/{name}"]
"""


@dataclass(frozen=True)
class Shape:
    """How many of everything; `imports` of packages and commands are known from the numbers alone."""

    images: int
    a_command: int = len(FLAVOURS)

    @property
    def commands(self) -> int:
        """One for every `a_command` images."""
        return -(-self.images // self.a_command)

    @property
    def packages(self) -> int:
        """A fifth of the images, three at least."""
        return max(3, self.images // 5)

    def package_imports(self, package: int) -> tuple[int, ...]:
        """The packages that a package imports: none, or two of the layer below."""
        third = self.packages // 3
        layer = min(package // third, 2)
        if layer == 0:
            return ()
        below = (layer - 1) * third
        return tuple(sorted({below + package % third, below + (package * 7 + 3) % third}))

    def command_imports(self, command: int) -> tuple[int, ...]:
        """The packages that a command imports itself: a leaf, one of the middle, two of the top."""
        third = self.packages // 3
        top = range(2 * third, self.packages)
        return tuple(sorted({
            command % third, third + (command * 5) % third, top[command % len(top)], top[(command * 11 + 1) % len(top)]
        }))  # fmt: skip

    def dependents(self, package: int) -> list[int]:
        """The commands that a package is linked into."""

        def reaches(start: int) -> bool:
            return start == package or any(map(reaches, self.package_imports(start)))

        return [c for c in range(self.commands) if any(map(reaches, self.command_imports(c)))]

    def flavours(self, command: int) -> tuple[str, ...]:
        """The images of a command; the last command may have less than the others."""
        return FLAVOURS[: min(self.a_command, self.images - self.a_command * command)]


def package_source(shape: Shape, package: int) -> str:
    """The Go file of a package: a value that everything it imports goes into."""
    imported = shape.package_imports(package)
    lines = [f"package p{package:02}", ""]
    lines += [f'import "example.com/many/internal/p{i:02}"' for i in imported]
    terms = " + ".join([f'"p{package:02};"', *(f"p{i:02}.Value()" for i in imported)])
    return "\n".join([*lines, "", "// Value says what is linked in.", f"func Value() string {{ return {terms} }}", ""])


def command_source(shape: Shape, command: int) -> str:
    """The Go file of a command: it prints the values of what it imports."""
    imported = shape.command_imports(command)
    lines = ["package main", "", 'import "os"', *(f'import "example.com/many/internal/p{i:02}"' for i in imported)]
    terms = " + ".join([f'"c{command:03}: "', *(f"p{i:02}.Value()" for i in imported)])
    return "\n".join([*lines, "", f'func main() {{ _, _ = os.Stdout.WriteString({terms} + "\\n") }}', ""])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def generate(folder: Path, images: int, *, chains: bool = False, a_command: int = len(FLAVOURS)) -> Shape:
    """Write the repository into a new folder; the Tools are copied from this tree.

    With `chains` each image is made by `env.MultiarchImage`, and may be attested. Of a command `a_command` images are
    made, at most one of each flavour.
    """
    shape = Shape(images, a_command)
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "site_scons", folder / "site_scons")
    write(folder / "SConstruct", (CHAINS if chains else SCONSTRUCT).format(
        commands=shape.commands, images=images, flavours=FLAVOURS[:a_command], per=a_command
    ))  # fmt: skip
    write(folder / "VERSION", "v1.0\n")
    write(folder / "go.mod", "module example.com/many\n\ngo 1.21\n")
    for package in range(shape.packages):
        name = f"p{package:02}"
        write(folder / "internal" / name / f"{name}.go", package_source(shape, package))
    for command in range(shape.commands):
        name = f"c{command:03}"
        write(folder / "cmd" / name / "main.go", command_source(shape, command))
        for flavour in shape.flavours(command):
            write(folder / "cmd" / name / f"Dockerfile.{flavour}", DOCKERFILE.format(name=name, flavour=flavour))
            write(folder / "cmd" / name / f"{flavour}.conf", f"{name} {flavour}\n")
    return shape


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a repository of many images.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--chains", action="store_true", help="by env.MultiarchImage, for ATTEST and SIGN")
    parser.add_argument("--a-command", type=int, default=len(FLAVOURS), choices=range(1, len(FLAVOURS) + 1),
                        help="images of each command; 1: each has a program of its own")  # fmt: skip
    arguments = parser.parse_args()
    shape = generate(arguments.folder, arguments.images, chains=arguments.chains, a_command=arguments.a_command)
    print(f"{arguments.folder}: {shape.images} images, {shape.commands} commands, {shape.packages} packages")


if __name__ == "__main__":
    main()
