"""Write a bare SCons graph of the same shape as bench/generate.py's: `python bench/bare.py FOLDER [--images 300]`.

The same targets and sources, one Value a target where ours have their node of inputs, no Tool, no work: what it costs
is what SCons costs. `push-manifest` asks no registry.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from generate import FLAVOURS, Shape, write

SCONSTRUCT = """\
\"\"\"A graph and nothing else.\"\"\"

DefaultEnvironment(tools=[])
env = Environment(tools=[])
env.SetOption("num_jobs", 2)


def make(target, source, env):
    with open(str(target[0]), "w") as file:
        file.write(str(target[0]))


def command(target, sources):
    made = env.Command(target, sources, Action(make, "Make $TARGET"))
    env.Depends(made, env.Value("inputs of " + target))
    return made


programs, images, pushes, indexes, published = [], [], [], [], []
for number in range({commands}):
    name = f"c{{number:03}}"
    program = {{arch: command(f"_output/bin/{{arch}}/linux/{{name}}", "go.mod") for arch in ("amd64", "arm64")}}
    programs += [*program.values()]
    for flavour in {flavours}[: {images} - {per} * number]:
        made, pushed = [], []
        for arch in ("amd64", "arm64"):
            recipe = f"cmd/{{name}}/Dockerfile.{{flavour}}"
            made += command(f"_output/images/{{name}}-{{flavour}}-linux-{{arch}}.tar", [recipe, program[arch]])
            pushed += command(f"_output/receipts/{{name}}-{{flavour}}/v1.0-{{arch}}.json", made[-1])
        index = command(f"_output/manifest/{{name}}-{{flavour}}-v1.0.json", made)
        published += command(f"_output/receipts/{{name}}-{{flavour}}/v1.0.json", index)
        env.Depends(published[-1], pushed)
        images, pushes, indexes = images + made, pushes + pushed, indexes + index

env.Alias("bin", programs)
env.Alias("images", images)
env.Alias("push", pushes)
env.Alias("manifest", indexes)
env.Alias("push-manifest", published)
"""


def bare(folder: Path, images: int) -> Shape:
    """Write the graph and its sources into a new folder."""
    shape = Shape(images)
    write(folder / "go.mod", "module example.com/many\n\ngo 1.21\n")
    write(folder / "SConstruct", SCONSTRUCT.format(
        commands=shape.commands, images=images, flavours=FLAVOURS, per=len(FLAVOURS)
    ))  # fmt: skip
    for command in range(shape.commands):
        for flavour in shape.flavours(command):
            write(folder / "cmd" / f"c{command:03}" / f"Dockerfile.{flavour}", f"c{command:03} {flavour}\n")
    return shape


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a bare SCons graph.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    shape = bare(arguments.folder, arguments.images)
    print(f"{arguments.folder}: the graph of {shape.images} images")


if __name__ == "__main__":
    main()
