"""The programs in an image against its platform (behaviour §5): the one it starts must be right, others are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from multiarch_oci.config import ImageConfig
from multiarch_oci.dockerfile.instructions import Cmd, Entrypoint
from multiarch_oci.engine import GENERATED
from multiarch_oci.engine.export.started import starts
from multiarch_oci.engine.frontend.recipe import Recipe
from multiarch_oci.engine.frontend.tree import Node, Tree
from multiarch_oci.errors import MultiarchError
from multiarch_oci.executable import Machine, agrees, check, identify, read_head
from multiarch_oci.layer import Kind
from multiarch_oci.platform import Platform
from multiarch_oci.wildcard import Wildcard

_MENTIONED = 5


class NoInterpreter(MultiarchError):
    """A program that an image starts, and cannot: what would load or read it is not there."""


class StartsFolder(MultiarchError):
    """An image without a Dockerfile whose program is called as a folder of its base, into which it was copied."""


def entrypoint_line(recipe: Recipe, config: ImageConfig) -> str:
    """File and line of the ENTRYPOINT, or else CMD, that says what the image starts; empty when its base says it."""
    kind = Entrypoint if config.entrypoint else Cmd
    number: int | None = recipe.target
    while number is not None:
        for command in reversed(recipe.commands(number)):
            if isinstance(command, kind):
                return recipe.where(command.line)
        number = recipe.stages[number].below
    return ""


def check_programs(
    own: Mapping[str, Node],
    config: ImageConfig,
    foreign: tuple[str, ...],
    warn: Callable[[str], None],
    *,
    whole: Callable[[], Tree],
    declared_at: str = "",
    alone: bool = False,
) -> None:
    """Raise WrongMachine when the image starts a program of its own layers that is of another machine than its config.

    `own` is what the image's own layers leave, by path; of a content no more than its head is read. `whole` gives all
    files of the image, those of its base, too: it is asked for only when there is a program of another machine, and
    a path that is started leads through something that is not the image's own. `declared_at` is where a Dockerfile says
    what is started. What a glob of `foreign` matches may be of another machine, also when it is started; every other
    such file that is not goes to `warn`, in words.

    Over nothing (`alone`) an interpreter or loader that is in no layer is in no image either: a program of the image's
    own that needs one cannot start. That raises NoInterpreter for an image without a Dockerfile; whoever wrote one may
    mean to mount it, and is warned. StartsFolder where what an image without a Dockerfile starts is a folder.
    """
    if declared_at.startswith(GENERATED):
        _check_no_folder(own, config, declared_at)
    platform = config.platform
    let_in = [Wildcard(glob.replace("\\", "/").strip("/")) for glob in foreign]
    wrong = _of_other_machines(own, platform, let_in)
    if not wrong and not alone:
        return
    for path, named, of in starts(config, own, whole):
        if any(glob.matches(of or named) for glob in let_in):
            wrong.pop(path or "", None)
        elif path is None:
            if alone and of in own and platform.os != "windows":
                _say_missing(_without_interpreter(own[of], named, _where(declared_at, of)), declared_at, warn)
        elif path in wrong:
            hint = f'or let it in where it is meant to be there: foreign=["{path}"] of env.Image'
            check(wrong[path], platform, where=_where(declared_at, path), also=hint)
    if wrong:
        warn(f"the image is {platform}, but holds {_some(wrong)}")


def _of_other_machines(own: Mapping[str, Node], platform: Platform, let_in: Sequence[Wildcard]) -> dict[str, Machine]:
    """The machines of the programs that are not of the platform, and not let in."""
    wrong = {path: machine for path, node in own.items() if (machine := _wrong(node, platform)) is not None}
    return {path: machine for path, machine in sorted(wrong.items()) if not any(glob.matches(path) for glob in let_in)}


def _some(wrong: Mapping[str, Machine]) -> str:
    mentioned = [f"/{path} ({machine})" for path, machine in wrong.items()]
    more = f" and {len(mentioned) - _MENTIONED} more" if len(mentioned) > _MENTIONED else ""
    return ", ".join(mentioned[:_MENTIONED]) + more


def _where(declared_at: str, path: str) -> str:
    return f"{declared_at}: /{path}" if declared_at else f"/{path}"


def _say_missing(missing: NoInterpreter, declared_at: str, warn: Callable[[str], None]) -> None:
    """Raise where nobody wrote the Dockerfile; whoever wrote one is warned."""
    if declared_at.startswith(GENERATED):
        raise missing
    warn(f"{missing.where}: {missing.what}")


def _check_no_folder(own: Mapping[str, Node], config: ImageConfig, declared_at: str) -> None:
    """Raise StartsFolder where the program, which a generated Dockerfile copies to the root, landed in a folder there.

    That may be a link of the base (`/bin`), so it is asked whether the program is at its path and, if not, elsewhere.
    """
    name = config.entrypoint[0].replace("\\", "/").rpartition("/")[2] if config.entrypoint else ""
    node = own.get(name)
    if not name or (node is not None and node.kind is Kind.FILE):
        return
    inside = [path for path, other in own.items() if path.endswith(f"/{name}") and other.kind is Kind.FILE]
    if inside:
        what = f"the program is to be /{name}, which is a folder of the base: it would be /{inside[0]}"
        raise StartsFolder(what, where=declared_at, hint="give the program another name")


def _without_interpreter(node: Node, interpreter: str, where: str) -> NoInterpreter:
    head = b"" if node.content is None else read_head(node.content.open)
    if head.startswith(b"#!"):
        what, hint = f"is a script for {interpreter}", "take a base image that has it (FROM, or BASE_IMAGE)"
    else:
        what = f"is a dynamically linked program, whose interpreter is {interpreter}"
        hint = (
            "link it statically (Go: CGO_ENABLED=0; C: -static; Rust: a musl target), or take a base image that has it "
            "(FROM, or BASE_IMAGE)"
        )
    also = f'; where something mounts it: foreign=["{where.rpartition(": /")[2].lstrip("/")}"] of env.Image'
    return NoInterpreter(f"{what}, which is not in the image", where=where, hint=hint + also)


def _wrong(node: Node, platform: Platform) -> Machine | None:
    """The machine of a program that the platform cannot run; None for everything else."""
    if node.kind is not Kind.FILE or node.content is None:
        return None
    if platform.os != "windows" and not node.mode & 0o111:
        return None
    machine = identify(read_head(node.content.open))
    return None if machine is None or agrees(machine, platform) else machine
