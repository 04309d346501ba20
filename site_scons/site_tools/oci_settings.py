"""Tool: the variables of the command line, checked before anything is built (behaviour, section 2)."""

from __future__ import annotations

import atexit
import errno
import os
import platform
import sys
from pathlib import Path
from typing import Any

import SCons.Script

import oci_cache  # noqa: F401  # nodes load it where there is a cache: no path leads to this folder by then
from multiarch.engine import AUTO, NAMES
from multiarch.errors import MultiarchError
from multiarch.plan import Policy
from multiarch.platform import InvalidPlatform, Platform, declared
from multiarch.reference import Destination
from multiarch.version import Version, expand
from oci_records import Signatures
from oci_run import PRIVATE, Run
from oci_steps import fail, told

VARIABLES = (
    ("IMAGE", "demo", "repository name, may hold /"),
    ("VERSION", "", "version of this build, a valid tag; default: the file VERSION"),
    ("PLATFORMS", "linux/amd64,linux/arm64", "os/arch[/variant][:os.version], comma-separated"),
    ("REGISTRY", "_output/registry", "host[:port][/path], or a folder of OCI layouts"),
    ("ENGINE", AUTO, "who builds images: auto, embedded, buildx, podman, docker"),
    ("INSECURE", "", "hosts that may speak plain HTTP or show an unknown certificate; loopback always may"),
    ("EXTERNAL", "", "what somebody else pushed: [platform=]tag-or-reference[@digest], comma-separated"),
    ("TAGS", "", "further main tags; {major}, {minor}, {patch} come from the version"),
    ("LABELS", "", "name=value, comma-separated: labels of every image"),
    ("ANNOTATIONS", "", "name=value, comma-separated: annotations of the index"),
    ("BUILD_ARGS", "", "name=value, comma-separated: arguments of the Dockerfiles"),
    ("DRIFT", "repair", "a tag that somebody moved: repair it, or fail"),
    ("IMMUTABLE", "no", "yes: a tag with other content is never overwritten"),
    ("LOCKED", "no", "yes: a base that is not in images.lock is an error"),
    ("REBASE", "yes", "no: an engine builds an image again, too, when nothing but its base changed"),
    ("PLATFORM", "", "what `run` runs; default: this machine's"),
    ("REPORT", "", "JSON file of what was done, with digests"),
    ("PLAN", "", "JSON file for what `plan` tells"),
    ("VERIFY", "", "content: `verify` reads every blob through"),
)
WITHOUT_LOCK = ("plan", "why")
"""Verbs that change nothing, and so wait for nobody."""


class UnknownWord(MultiarchError, ValueError):
    """A variable, value or target of the command line that does not exist."""


def nearest(word: str, known: list[str]) -> str:
    """A hint: the nearest known word, else all of them."""
    import difflib  # start-up

    near = difflib.get_close_matches(word, known, 1, 0.5) or difflib.get_close_matches(word.upper(), known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there is: {', '.join(known)}"


def pairs(name: str, text: str) -> tuple[tuple[str, str], ...]:
    """Read `name=value,…`."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UnknownWord(f"{item!r} is not name=value", where=name, hint=f"for example {name}=team=blue,tier=web")
        found.append((key, value))
    return tuple(found)


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    """A value out of a fixed set."""
    if value not in known:
        raise UnknownWord(f"{value!r} is not a value of {name}", hint=nearest(value, list(known)))
    return value


def external(text: str, destination: Destination, image: str) -> tuple[tuple[Platform, str], ...]:
    """Read EXTERNAL: for each item its platform and the full reference."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        named, equals, name = item.rpartition("=")
        bare = name.partition("@")[0]
        tag = bare.rpartition(":")[2] if ":" in bare.rpartition("/")[2] else bare.rpartition("/")[2]
        known = outside_platform(named) if equals else Platform.from_tag(tag)
        if known is None:
            raise UnknownWord(
                f"{item!r} names no platform", where="EXTERNAL", hint=f"write it before: linux/riscv64={item}"
            )
        full = name if "/" in bare or ":" in bare else f"{destination}/{image}:{name}"
        found.append((known, full))
    return tuple(found)


def outside_platform(text: str) -> Platform:
    """A platform of EXTERNAL: one that some machine asks for, else nobody could pull its entry."""
    try:
        found = Platform.parse(text)
        found.check_known(text)
    except InvalidPlatform as error:
        raise InvalidPlatform(error.what, where="EXTERNAL", hint=error.hint) from None
    return found


def host() -> Platform:
    """The platform of this machine."""
    return Platform.of_machine(platform.system().lower(), platform.machine().lower())


def epoch(text: str) -> int:
    """SOURCE_DATE_EPOCH, in seconds; 0 when it is not set."""
    if not text.isascii() or not (text or "0").isdigit():
        raise UnknownWord(f"{text!r} is not a number of seconds", where="SOURCE_DATE_EPOCH")
    return int(text or 0)


def values(env: Any) -> dict[str, str]:
    """The texts of all variables: command line, custom.py, `DEFAULTS` of the SConstruct, ours; unknown ones are errors.

    `OWN_VARIABLES` of the SConstruct, as (name, default, help), join ours. A keyword of Environment of the same name
    would win over the command line, as SCons applies keywords last; so that is an error.
    """
    known = (*VARIABLES, *env.get("OWN_VARIABLES", ()))
    names = [name for name, _, _ in known]
    defaults = dict(env.get("DEFAULTS", {}))
    for name in [name for name in names if name in env and name != "PLATFORM"]:
        raise UnknownWord(
            f"{name} is a keyword of Environment()", where="SConstruct", hint=f'write DEFAULTS={{"{name}": "…"}}'
        )
    variables = SCons.Script.Variables("custom.py", SCons.Script.ARGUMENTS)
    for name, default, text in known:
        variables.Add(name, text, defaults.pop(name, default))
    scratch = env.Clone(tools=[])
    variables.Update(scratch)
    for name in [*defaults, *variables.UnknownVariables()]:
        raise UnknownWord(f"there is no variable {name}", hint=nearest(name, names))
    return {name: str(scratch[name]) for name in names}


def read(env: Any) -> None:
    """Turn the texts into typed values of the environment; raises MultiarchError for the first bad one."""
    given = values(env)
    run: Run = env["MULTIARCH_RUN"]
    version_file = Path(run.root, "VERSION")
    run.note_read(run.root / "custom.py")
    if not given["VERSION"]:
        run.note_read(version_file)
    if not given["VERSION"] and version_file.exists():
        given["VERSION"] = version_file.read_text(encoding="utf-8", errors="replace").removeprefix("\ufeff").strip()
    version = Version.parse(given["VERSION"])
    destination = Destination.parse(given["REGISTRY"])
    destination.reference(given["IMAGE"], version.tag())
    outside = external(given["EXTERNAL"], destination, given["IMAGE"])
    one_of("ENGINE", given["ENGINE"], (AUTO, *NAMES))
    run.policy = Policy(
        repair=one_of("DRIFT", given["DRIFT"], ("repair", "fail")) == "repair",
        immutable=one_of("IMMUTABLE", given["IMMUTABLE"], ("no", "yes")) == "yes",
    )
    run.places.insecure = tuple(filter(None, (host.strip() for host in given["INSECURE"].split(","))))
    run.locked = one_of("LOCKED", given["LOCKED"], ("no", "yes")) == "yes"
    one_of("VERIFY", given["VERIFY"], ("", "content"))
    run.epoch = epoch(run.environment.get("SOURCE_DATE_EPOCH", ""))
    outputs = [destination.path] if destination.registry is None else []
    outputs += filter(None, (given["REPORT"], given["PLAN"]))  # an image that copied them would be new with each run
    run.hidden = tuple(dict.fromkeys((*run.hidden, *(path.removeprefix("./") for path in outputs))))
    run.report_file = run.root / given["REPORT"] if given["REPORT"] else None
    if run.report_file is not None:
        if not run.report_file.parent.is_dir():
            raise UnknownWord(f"there is no folder {run.report_file.parent}", where="REPORT", hint="make it first")
        if run.report_file.is_dir():
            raise UnknownWord(f"{run.report_file} is a folder", where="REPORT", hint="name a file in it")
    env.Replace(
        **{name: value for name, value in given.items() if name != "PLATFORM"}
        | {
            "VERSION": str(version),
            "PLATFORMS": declared(given["PLATFORMS"]),
            "PLATFORM_TO_RUN": Platform.parse(given["PLATFORM"]) if given["PLATFORM"] else host(),
            "REPOSITORY": f"{destination}/{given['IMAGE']}",
            "IMAGE_FILE": given["IMAGE"].rpartition("/")[2],
            "EXTERNAL": outside,
            "TAGS": expand(given["TAGS"], version),
            "LABELS": pairs("LABELS", given["LABELS"]),
            "ANNOTATIONS": pairs("ANNOTATIONS", given["ANNOTATIONS"]),
            "BUILD_ARGS": pairs("BUILD_ARGS", given["BUILD_ARGS"]),
            "REBASE": one_of("REBASE", given["REBASE"], ("yes", "no")) == "yes",
            "TOLD": given,
        }
    )


def generate(env: Any) -> None:
    """Read the command line, take the tree's lock, and fill the environment."""
    top = env.Dir("#")
    first = not top.check_attributes("run")
    if first:  # a second environment of a build joins its run: it would wait for the lock of the first, for ever
        top.attributes.run = Run(Path(top.get_abspath()), dict(os.environ))
    run: Run = top.attributes.run
    env["MULTIARCH_RUN"] = run
    run.interactive = bool(SCons.Script.GetOption("interactive"))
    for stream in (sys.stdout, sys.stderr):
        # A log on Windows knows no arrow, and a file's name may be no text: what is said must not end the build.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    env.SetOption("max_drift", -1)  # timestamps are whole seconds in SCons: an edit within one would be lost
    env.SetOption("num_jobs", os.cpu_count() or 1)
    env.SetOption("diskcheck", "none")  # a folder in a file's place is the step's to tell, in words
    private = run.root / PRIVATE
    env.Decider("content")
    try:
        private.mkdir(exist_ok=True)
        env.SConsignFile(str(private / "sconsign"), Signatures)
        read(env)
        # A question is answered in a tree that cannot be written, too; what it found is not kept there then.
        run.keeps = SCons.Script.COMMAND_LINE_TARGETS[:1] != ["plan"] and os.access(private, os.W_OK)
        asking = any(SCons.Script.GetOption(option) for option in ("help", "no_exec", "question"))
        if run.interactive:
            env.Tool("oci_session")  # each of its builds takes the lock
        elif asking or set(map(str, SCons.Script.COMMAND_LINE_TARGETS[:1])) & set(WITHOUT_LOCK):
            run.report_file = None  # nothing is done that could be reported
        else:
            if not os.access(private, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(private))
            run.lock.acquire(lambda line: print(f"scons: {line}", flush=True))  # noqa: T201  # for the terminal
    except (MultiarchError, OSError) as error:
        fail(told(error))
    if first:
        run.watch_interrupts()
        atexit.register(run.finish, report=not run.interactive)  # each build of a session has a report


def exists(_env: Any) -> bool:
    """Always: nothing beside SCons and the library is needed."""
    return True
