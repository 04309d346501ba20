"""The variables of the command line, of custom.py and of the SConstruct, checked before anything is built."""

from __future__ import annotations

import platform
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import SCons.Script

from multiarch_oci.engine import AUTO, NAMES
from multiarch_oci.errors import MultiarchError, quoted
from multiarch_oci.plan.policy import Policy
from multiarch_oci.platform import InvalidPlatform, Platform, declared
from multiarch_oci.reference import Destination, insecure_hosts, login_hint
from multiarch_oci.version import Version, expand, unmoved
from scons_multiarch.destinations import destinations_of
from scons_multiarch.paths import TRUTHS, items_of
from scons_multiarch.session import Run
from scons_multiarch.signatures import check_words, hide_signer
from scons_multiarch.versions import revision, version_if_any

if TYPE_CHECKING:
    from multiarch_oci.git import Described

VARIABLES = (
    ("IMAGE", "demo", "repository name, may hold /; default: the name of the program"),
    ("VERSION", "", "version of this build, a valid tag; default: the file VERSION, else git's nearest tag"),
    ("VERSION_TAG", "", "the tags of git that a version comes from, a glob: api/v*; then the file VERSION is not read"),
    ("REVISION", "no", "yes: the index names git's commit also where the version stands in a file"),
    ("PLATFORMS", "linux/amd64,linux/arm64", "os/arch[/variant][:os.version], comma-separated"),
    (
        "REGISTRY",
        "_output/registry",
        "host[:port][/path], or a folder of OCI layouts: ./name; or several, by commas",
    ),
    ("ENGINE", AUTO, "who builds images: auto, embedded, buildx, podman, docker"),
    ("INSECURE", "", "hosts that may speak plain HTTP or show an unknown certificate; loopback always may"),
    ("EXTERNAL", "", "what somebody else pushed: [platform=]tag-or-reference[@digest], comma-separated"),
    ("COPY_REFERRERS", "no", "yes: what refers to images of EXTERNAL, as signatures do, is copied with them"),
    ("TAGS", "", "further main tags; {major}, {minor}, {patch} come from the version"),
    ("LABELS", "", "name=value, comma-separated (a comma in a value: \\,): labels of every image"),
    ("ANNOTATIONS", "", "name=value, comma-separated (a comma in a value: \\,): annotations of the index"),
    ("BASE_IMAGE", "", "FROM of images without a Dockerfile; default: scratch with certificates; Windows: nanoserver"),
    ("BUILD_ARGS", "", "name=value, comma-separated (a comma in a value: \\,): arguments of the Dockerfiles"),
    ("DRIFT", "repair", "a tag that somebody moved: repair it, or fail"),
    ("IMMUTABLE", "no", "yes: a tag with other content is never overwritten"),
    ("LOCKED", "no", "yes: a base that is not in images.lock is an error"),
    ("REBASE", "yes", "no: an engine builds an image again, too, when nothing but its base changed"),
    ("PROVENANCE", "", "full: beside each statement one with times and the id of its run, which is not tracked"),
    ("CACHE", "", "where steps are kept for other machines: host/repository, a folder, or REGISTRY (each image's own)"),
    ("CACHE_MODE", "read", "read, readwrite or write"),
    ("CACHE_SCOPE", "", "part of each key: builds of different scopes share nothing"),
    ("CACHE_KEY", "", "key file: only entries with its signature count; a private one signs what is written"),
    ("SHARD", "", "i/n: of n machines with this CACHE, this one makes part i of the images; the last one publishes"),
    ("OLDER", "30d", "for `cache prune`: what no list of so many days (30d) or weeks (4w) names is deleted"),
    ("ATTEST", "", "what is said of images in their registry: sbom, provenance, or both, by a comma"),
    ("TRUST", "", "who must have signed which bases, a JSON file; default: trust.json beside the SConstruct"),
    ("SIGN", "", "who signs: a private key's file, plugin:<program> or keyless"),
    ("SIGN_KEY", "", "the public key that signatures of SIGN are verified against; default: the .pub beside the key"),
    ("SIGN_IDENTITY", "", "identity,issuer that they are verified against, where no key signs"),
    ("SIGN_ROOT", "", "trusted_root.json for SIGN_IDENTITY; default: sigstore's own, from the network"),
    ("PLATFORM", "", "what `run` runs; default: this machine's"),
    (
        "FROM",
        ".",
        "where `reproduce` takes the revision from: a clone's folder, https://… or ssh://…; command line only",
    ),
    ("REPORT", "", "files of what was done: report.html, summary.md, trace.json, report.json; - is standard output"),
    ("PLAN", "", "JSON file for what `plan` tells; - is standard output"),
    ("FORMAT", "", "of `graph`: mermaid, dot, svg; default: as OUTPUT ends, else mermaid"),
    ("OUTPUT", "", "file that `graph` writes: .svg, .dot, .mmd, .md; default: standard output"),
    ("PRINT", "", "digest: standard output holds only repository@digest of what was pushed, a line an image"),
    ("QUIET", "no", "yes: nothing is printed unless it fails"),
    ("VERIFY", "", "content: `verify` reads every blob through"),
)


_LAST_SECOND = 253_402_300_799
"""The last second of the year 9999, after which the time stamps of images (RFC 3339) have no form."""


WITHOUT_LOCK = ("plan", "why", "dockerfile", "cache", "shards", "reproduce", "graph", "tree", "diff")
"""Verbs that change nothing, and so wait for nobody."""


class UnknownWord(MultiarchError, ValueError):
    """A variable, value or target of the command line that does not exist."""


def nearest(word: str, known: list[str]) -> str:
    """A hint: the nearest known word, else all of them."""
    import difflib  # start-up

    near = difflib.get_close_matches(word, known, 1, 0.5) or difflib.get_close_matches(word.upper(), known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there is: {', '.join(filter(None, known))}"


Pairs: TypeAlias = "tuple[tuple[str, str], ...]"


_PAIRS = ("LABELS", "ANNOTATIONS", "BUILD_ARGS")


def pairs(name: str, given: object) -> Pairs:
    r"""Read `name=value,…`, or a dict, or a list of `name=value`, as custom.py and the SConstruct may have it.

    In a text `\,` is a comma that separates nothing, and of backslashes before a comma every two are one; elsewhere a
    backslash is one.
    """
    if isinstance(given, Mapping):
        return tuple(_pair(name, key, value) for key, value in given.items())
    named: list[tuple[str, str]] = []
    items = map(str, given) if isinstance(given, (list, tuple)) else (part.strip() for part in _items(str(given)))
    for item in filter(None, items):
        key, equals, value = item.partition("=")
        if not equals or not key:
            cut = named and isinstance(given, str)
            hint = f"for example {name}=team=blue,tier=web" + (r"; a comma in a value is \," if cut else "")
            raise UnknownWord(f"{quoted(item)} is not name=value", where=name, hint=hint)
        named.append((key, value))
    return tuple(named)


def _pair(name: str, key: object, value: object) -> tuple[str, str]:
    if not isinstance(key, str) or not key or "=" in key or not isinstance(value, (str, int, float)):
        what = f"{quoted(str(key))}: {type(value).__name__} is no name with a text"
        raise UnknownWord(what, where=name, hint=f'for example {name} = {{"team": "blue, or red"}}')
    return key, str(value)


def _items(text: str) -> Iterator[str]:
    """The parts of a text between its commas, but for those that a backslash keeps together."""
    item = ""
    for part, slashes, comma in re.findall(r"([^\\,]*)(\\*)(,|)", text):
        if not comma:
            item += part + slashes
            continue
        item += part + "\\" * (len(slashes) // 2)
        if len(slashes) % 2:
            item += ","
        else:
            yield item
            item = ""
    yield item


def text_of(name: str, value: object) -> str:
    """The value of a variable as it is written on the command line; custom.py may have a list or a dict."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_kept(str(member))}" for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(_kept if name in _PAIRS else str, map(str, value)))
    return str(value)


def _kept(text: str) -> str:
    return re.sub(r"(\\*)(,|\Z)", lambda match: match[1] * 2 + ("\\," if match[2] else ""), text)


def one_of(name: str, value: str, known: tuple[str, ...], *, shown: str = "") -> str:
    """A value out of a fixed set; an error shows it as it was written, `shown`."""
    if value not in known:
        raise UnknownWord(f"{quoted(shown or value)} is not a value of {name}", hint=nearest(value, list(known)))
    return value


def truth_of(name: str, value: str) -> bool:
    """A yes or no."""
    return TRUTHS[one_of(name, value.lower(), tuple(TRUTHS), shown=value)]


def external(
    text: str, destination: Destination, image: str, words: Collection[str] | None = None
) -> tuple[tuple[Platform, str], ...]:
    """Read EXTERNAL: for each item its platform and the full reference.

    `words` are what the image is called by: items of other images are left out, and a name of this one falls away.
    None is for an image that has no such words: then a name is part of a reference.
    """
    items = []
    for item in items_of(text):
        if login := login_hint(item):
            raise UnknownWord(f"{quoted(item)} holds a login", where="EXTERNAL", hint=login)
        owner, own = owner_of(item)
        if owner and (
            owner not in words if words is not None else item.startswith(f"{owner}:{own.partition('=')[0]}=")
        ):
            continue
        named, equals, name = (item if words is None else own).rpartition("=")
        bare = name.partition("@")[0]
        tag = bare.rpartition(":")[2] if ":" in bare.rpartition("/")[2] else bare.rpartition("/")[2]
        known = outside_platform(named) if equals else Platform.from_tag(tag)
        if known is None:
            raise UnknownWord(
                f"{quoted(item)} names no platform",
                where="EXTERNAL",
                hint=f"write it before: linux/riscv64={quoted(item)[1:-1]}",
            )
        full = name if "/" in bare or ":" in bare else f"{destination}/{image}:{name}"
        items.append((known, full))
    return tuple(items)


def owner_of(item: str) -> tuple[str, str]:
    """The image that an item of EXTERNAL says it is of, and the item without that; empty where it says none.

    `api:v1-windows-amd64`, `api:linux/riscv64=nightly` and `linux/riscv64=api:nightly` are of `api`. So is what may be
    an image of Docker Hub: that one is written with its host.
    """
    named, equals, name = item.rpartition("=")
    owner, colon, platform = named.partition(":")
    if "/" in platform:
        return owner, f"{platform}={name}"
    owner, colon, tag = name.partition(":")
    first = owner.partition("/")[0]
    outside = "." in first or first in ("localhost", "") or first.startswith(("_", "~")) or "@" in owner
    if not colon or outside or "\\" in name or "/" in tag.partition("@")[0]:
        return "", item
    return owner, f"{named}{equals}{tag}"


def outside_platform(text: str) -> Platform:
    """A platform of EXTERNAL: one that some machine asks for, else nobody could pull its entry."""
    try:
        parsed = Platform.parse(text)
        parsed.check_known(text)
    except InvalidPlatform as error:
        raise InvalidPlatform(error.what, where="EXTERNAL", hint=error.hint) from None
    return parsed


def host() -> Platform:
    """The platform of this machine."""
    return Platform.of_machine(platform.system().lower(), platform.machine().lower())


def epoch(text: str) -> int:
    """SOURCE_DATE_EPOCH, in seconds; 0 when it is not set."""
    hint = "seconds since 1970, for example 1700000000"
    if not text.isascii() or not (text or "0").isdigit():
        raise UnknownWord(f"{quoted(text)} is not a number of seconds", where="SOURCE_DATE_EPOCH", hint=hint)
    digits = text.lstrip("0")
    if len(digits) > len(str(_LAST_SECOND)) or int(digits or 0) > _LAST_SECOND:
        raise UnknownWord(f"{quoted(text)} is beyond the year 9999", where="SOURCE_DATE_EPOCH", hint=hint)
    return int(digits or 0)


def values(env: Any) -> dict[str, object]:
    """The value of each variable: command line, custom.py, `DEFAULTS` of the SConstruct, ours; unknown are errors.

    `OWN_VARIABLES` of the SConstruct, as (name, default, help), join ours. A keyword of Environment of the same name
    would win over the command line, as SCons applies keywords last; so that is an error. `SAID_VARIABLES` of the
    environment are those of the command line and of custom.py.
    """
    known = (*VARIABLES, *env.get("OWN_VARIABLES", ()))
    names = [name for name, _, _ in known]
    # The program's name is the image's, too; repositories have no capitals.
    defaults = {"IMAGE": str(env.subst("$PROGRAM")).lower() or "demo"} | dict(env.get("DEFAULTS", {}))
    for name in [name for name in names if name in env and name != "PLATFORM"]:
        raise UnknownWord(
            f"{name} is a keyword of Environment()", where="SConstruct", hint=f'write DEFAULTS={{"{name}": "…"}}'
        )
    check_words(SCons.Script.ARGUMENTS)
    variables = SCons.Script.Variables("custom.py", SCons.Script.ARGUMENTS)
    for name, default, text in known:
        variables.Add(name, text, defaults.pop(name, default))
    scratch = env.Clone(tools=[])
    variables.Update(scratch)
    check_words(variables.UnknownVariables())
    for name in [*defaults, *variables.UnknownVariables()]:
        raise UnknownWord(f"there is no variable {quoted(name)[1:-1]}", hint=nearest(name, names))
    env["SAID_VARIABLES"] = frozenset(names) - frozenset(variables.defaulted)
    return {name: scratch[name] for name in names}


def check_text(given: Mapping[str, str]) -> None:
    """Raise UnknownWord for a value that is no text, but for those that name files, whose names may be any bytes."""
    for name, text in given.items():
        if not text.isascii() and name not in ("REGISTRY", "REPORT", "PLAN", "OUTPUT"):
            try:
                text.encode()
            except UnicodeEncodeError:
                what = f"{quoted(text)} is not UTF-8"
                raise UnknownWord(
                    what, where=name, hint="write it in UTF-8, as the terminal's locale should be"
                ) from None


def literal(text: str) -> str:
    """A text that is itself once SCons has replaced its variables."""
    return text.replace("$", "$$")


def _read_settings(run: Run, given: Mapping[str, str]) -> None:
    """Read what is of the whole build; raises MultiarchError for the first bad one."""
    run.settings.policy = Policy(
        # What one environment forbids, another one does not allow.
        repair=one_of("DRIFT", given["DRIFT"], ("repair", "fail")) == "repair" and run.settings.policy.repair,
        immutable=truth_of("IMMUTABLE", given["IMMUTABLE"]) or run.settings.policy.immutable,
    )
    run.settings.insecure = tuple(dict.fromkeys((*run.settings.insecure, *insecure_hosts(given["INSECURE"]))))
    run.settings.locked = truth_of("LOCKED", given["LOCKED"]) or run.settings.locked
    hide_signer(run, given["SIGN"])
    if given["TRUST"]:
        run.settings.trust = tuple(dict.fromkeys((*run.settings.trust, given["TRUST"])))
    one_of("VERIFY", given["VERIFY"], ("", "content"))
    one_of("PRINT", given["PRINT"], ("", "digest"))
    if given["CACHE"] or given["CACHE_MODE"] != "read" or given["CACHE_SCOPE"] or given["CACHE_KEY"]:
        from scons_multiarch.shared.origins import read_settings

        run.settings.cache = read_settings(run, given)
    if given["SHARD"]:
        from scons_multiarch.shared.sharding import read_shard

        run.settings.shard = read_shard(run, given)
    run.settings.epoch = epoch(run.settings.environment.get("SOURCE_DATE_EPOCH", ""))
    one_of("FORMAT", given["FORMAT"], ("", "mermaid", "dot", "svg"))
    for name in ("REPORT", "PLAN", "OUTPUT"):
        if given[name]:
            from scons_multiarch.report import outputs_of

            run.settings.outputs[name] = outputs_of(run, name, given[name])
            if given["PRINT"] and any(output.is_stdout for output in run.settings.outputs[name]):
                raise UnknownWord(f"{name} and PRINT both want standard output", where=name, hint="name a file")
    if truth_of("QUIET", given["QUIET"]):
        SCons.Script.SetOption("silent", value=True)
    if given["PRINT"] and run.settings.digests_to is None:
        from scons_multiarch.published import divert

        run.settings.digests_to = divert()


def read(env: Any, *, versioned: bool) -> None:
    """Turn the texts into typed values of the environment; raises MultiarchError for the first bad one.

    A build without a version has no `VERSION` then, and is an error where it is `versioned` or has TAGS.
    """
    settings = values(env)
    given = {name: text_of(name, value) for name, value in settings.items()}
    check_text(given)
    run: Run = env["MULTIARCH_RUN"]
    run.note_read(run.tree.root / "custom.py")
    version, described = version_if_any(run, given, needed=versioned)
    given["VERSION"] = str(version or "")
    one_of("REVISION", given["REVISION"], ("no", "yes"))
    destinations = destinations_of(run, given["REGISTRY"], given["IMAGE"])
    for destination in destinations:
        destination.reference(given["IMAGE"], version.tag() if version else None)
    of_destinations = _of_destinations(given, destinations)
    one_of("ENGINE", given["ENGINE"], (AUTO, *NAMES))
    one_of("PROVENANCE", given["PROVENANCE"], ("", "full"))
    promised = tuple(one_of("ATTEST", item, ("sbom", "provenance")) for item in items_of(given["ATTEST"]))
    run.settings.not_moved = unmoved(given["TAGS"], version) if version else ()
    run.settings.not_moved_because = f"{version} is a pre-release"
    _read_settings(run, given)
    unset = ("PLATFORM", "REVISION") if version else ("PLATFORM", "REVISION", "VERSION")  # PLATFORM is SCons' own
    env.Replace(
        **{name: value for name, value in given.items() if name not in unset}
        | of_destinations
        | _of_version(given, version, described)
        | {
            "PLATFORMS": declared(given["PLATFORMS"]),
            "PLATFORM_TO_RUN": Platform.parse(given["PLATFORM"]) if given["PLATFORM"] else host(),
            "ATTEST": promised,
            "COPY_REFERRERS": truth_of("COPY_REFERRERS", given["COPY_REFERRERS"]),
            "LABELS": pairs("LABELS", settings["LABELS"]),
            "ANNOTATIONS": tuple((name, literal(text)) for name, text in pairs("ANNOTATIONS", settings["ANNOTATIONS"])),
            "BUILD_ARGS": pairs("BUILD_ARGS", settings["BUILD_ARGS"]),
            "REBASE": truth_of("REBASE", given["REBASE"]),
            "VARIABLE_TEXTS": given,
        }
    )


def _of_destinations(given: Mapping[str, str], destinations: tuple[Destination, ...]) -> dict[str, object]:
    """What follows from REGISTRY and IMAGE."""
    repositories = tuple(literal(f"{destination}/{given['IMAGE']}") for destination in destinations)
    return {
        "REPOSITORY": repositories[0],
        "REPOSITORIES": repositories,
        "IMAGE_FILE": given["IMAGE"].rpartition("/")[2],
        "EXTERNAL": external(given["EXTERNAL"], destinations[0], given["IMAGE"]),
    }


def _of_version(given: Mapping[str, str], version: Version | None, described: Described | None) -> dict[str, object]:
    """What follows from VERSION, where the tree has one."""
    return {
        "TAGS": expand(given["TAGS"], version) if version else (),
        "DESCRIBED": described,
        "RELEASE": given["VERSION"] if described is None else described.release,
        "REVISION": lambda target, source, env, for_signature: revision(env),  # noqa: ARG005  # SCons calls it so
    }
