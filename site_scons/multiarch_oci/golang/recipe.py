"""What is declared about a program, and the exact command and environment that build it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from multiarch_oci.golang.toolchain import Toolchain
from multiarch_oci.golang.words import fields
from multiarch_oci.platform import Platform


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PROXIES = _names("HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy")
# What a process needs to find its way on this host: its caches, homes and credentials. None of it reaches a program.
_HOST = _PROXIES | _names(
    """APPDATA COMSPEC DEVELOPER_DIR HOME HOMEDRIVE HOMEPATH LANG LD_LIBRARY_PATH LOCALAPPDATA LOGNAME NETRC PATH
    PATHEXT PROGRAMDATA SSH_AUTH_SOCK SSL_CERT_DIR SSL_CERT_FILE SYSTEMDRIVE SYSTEMROOT TEMP TMP TMPDIR USER USERNAME
    USERPROFILE WINDIR"""
)
_HOST_PREFIXES = ("GIT_", "XDG_", "ZIG_")
# What only a C compiler reads.
_ONLY_CGO = _names(
    """AR CC CXX FC PKG_CONFIG CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH SDKROOT INCLUDE LIB
    MACOSX_DEPLOYMENT_TARGET"""
)
_ONLY_CGO_PREFIXES = ("CGO_", "PKG_CONFIG_")
_PASSED = _HOST | _ONLY_CGO
_PASSED_PREFIXES = (*_HOST_PREFIXES, *_ONLY_CGO_PREFIXES, "GO")
_DROPPED = _names("GOOS GOARCH GOROOT GOTOOLCHAIN GOTOOLDIR GOHOSTOS GOHOSTARCH GOBIN GOEXE")
# Go's own variables that cannot change a program. Those of _WHERE say where files are found: they count in a listing.
_WHERE = _names("GOCACHE GOENV GOMODCACHE GOPATH GOWORK HOME XDG_CONFIG_HOME APPDATA USERPROFILE")
_NEUTRAL = _HOST | _names(
    """GOAUTH GOBIN GOCACHE GOCACHEPROG GODEBUG GOENV GOGC GOINSECURE GOMAXPROCS GOMEMLIMIT GOMODCACHE GONOPROXY
    GONOSUMDB GOPATH GOPRIVATE GOPROXY GOSUMDB GOTELEMETRY GOTELEMETRYDIR GOTMPDIR GOTRACEBACK GOVCS GOWORK PWD"""
)
_HOW = _names("a modcacherw p v work x")
"""Flags of `go build` that say how it works."""

_OF_RELEASE = _names("GOPROXY GOSUMDB GOTOOLCHAIN")

_VARIANTS = {
    "386": "GO386",
    "amd64": "GOAMD64",
    "arm": "GOARM",
    "arm64": "GOARM64",
    "mips": "GOMIPS",
    "mipsle": "GOMIPS",
    "mips64": "GOMIPS64",
    "mips64le": "GOMIPS64",
    "ppc64": "GOPPC64",
    "ppc64le": "GOPPC64",
    "riscv64": "GORISCV64",
}


class GoBuild(msgspec.Struct, frozen=True):
    """All that is declared about one program for one platform.

    `directory` is where `go` runs, absolute; `package` is as in `go build PACKAGE`; `env` are variables that win over
    everything else; `sources` are the files that something else generates, absolute. A debug build keeps its symbols
    and is not optimised. `race` needs a C compiler, as `cgo` does; `cc` and `cxx` are commands, as in CC and CXX.
    """

    platform: Platform
    package: str = "."
    directory: Path = Path()
    flags: tuple[str, ...] = ()
    ldflags: str = ""
    tags: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cgo: bool = False
    cc: str | None = None
    cxx: str | None = None
    race: bool = False
    debug: bool = False
    sources: tuple[Path, ...] = ()


def environment(
    build: GoBuild, base: Mapping[str, str], toolchain: Toolchain, *, cache: Path | None = None
) -> dict[str, str]:
    """The exact environment of `go` for this build; `base` is that of the user, from which only known names pass.

    What the platform says wins over `base`, what `build.env` says wins over both. A platform without a variant leaves
    GOAMD64 and the like to the user. GOFLAGS is taken from `base`, else from the GOENV file, and is always set.
    Where `base` names no home (an empty container), Go's caches lie below `cache`.
    """
    upper = os.name == "nt"  # Windows: names of variables know no case
    made = {}
    for given, value in base.items():
        name = given.upper() if upper else given
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and name not in _DROPPED:
            made[name] = value
    made |= {"GOOS": build.platform.os, "GOARCH": build.platform.architecture, "GOTOOLCHAIN": "local"}
    made |= _variant(build.platform)
    made["CGO_ENABLED"] = "1" if build.cgo or build.race else "0"
    if build.cc is not None:
        made["CC"] = build.cc
    if build.cxx is not None:
        made["CXX"] = build.cxx
    made |= dict(build.env)
    made = {name: value for name, value in made.items() if _matters(name, made)}
    made["PWD"] = str(build.directory)
    made["GOFLAGS"] = made.get("GOFLAGS") or goenv(made, toolchain).get("GOFLAGS", "")
    if cache is not None and not _has_home(made):
        made.setdefault("GOCACHE", str(cache / "go-build"))
        made.setdefault("GOPATH", str(cache / "go-path"))
    return made


def command(build: GoBuild, output: Path, toolchain: Toolchain, environment: Mapping[str, str]) -> list[str]:
    """The command that makes the program `output`; equal inputs make equal bytes in every folder.

    What the variable GOFLAGS, `build.flags`, `build.ldflags`, `build.tags` and we ourselves hand on to Go's tools is
    merged, in this order after ours; of a flag that has one value `build.flags` wins. ConflictingFlags.
    """
    line = [str(toolchain.go), "build", *_flags(build, goflags(environment))]
    return [*line, "-o", str(output), build.package]


def check_flags(build: GoBuild) -> None:
    """Raise ConflictingFlags for what is wrong whatever the environment says."""
    _flags(build, ())


def _flags(build: GoBuild, variable: tuple[str, ...]) -> tuple[str, ...]:
    """All flags of the command line; `variable` is GOFLAGS, which Go reads as well."""
    debug = [("gcflags", "all", "-N -l")] if build.debug else []
    ours = (*debug, ("ldflags", "", "-buildid=" if build.debug else "-s -w -buildid="))
    fixed = ("-trimpath", "-buildvcs=false", *(["-race"] if build.race else []))
    if variable or build.flags or build.ldflags[:1] not in {"", "-"}:
        from multiarch_oci.golang.flags import arguments  # start-up; most programs have no flags of their own

        return arguments(fixed, ours, variable, build.flags, more_tags=build.tags, ldflags=build.ldflags)
    tagged = ["-tags=" + ",".join(build.tags)] if build.tags else []
    linked = " ".join(part for part in (ours[-1][2], build.ldflags) if part)
    return (*fixed, *(f"-{name}={pattern}={text}" for name, pattern, text in debug), *tagged, f"-ldflags={linked}")


def tags(build: GoBuild, environment: Mapping[str, str]) -> tuple[str, ...]:
    """All tags that the command line has to say: none where the variable GOFLAGS alone has some."""
    variable = goflags(environment)
    if not variable and not build.flags:
        return build.tags
    from multiarch_oci.golang.flags import all_tags  # start-up

    return all_tags(variable, build.flags, build.tags)


def affecting(environment: Mapping[str, str], toolchain: Toolchain) -> dict[str, str]:
    """The variables that can change the program, from the environment and from the GOENV file.

    That is all but those which say where caches, proxies and homes are, and those of other architectures.
    """
    merged = {**goenv(environment, toolchain), **environment}
    counting = (name for name, value in sorted(merged.items()) if value and not is_neutral(name))
    return {name: merged[name] for name in counting if _matters(name, merged)}


def is_neutral(name: str) -> bool:
    """Whether a variable says where things lie on a host, or how Go works, and can change no program."""
    return name in _NEUTRAL or name.startswith(_HOST_PREFIXES)


def locating(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say where Go looks for files: they cannot change a program, but the answer of `go list`."""
    return {name: value for name, value in sorted(environment.items()) if name in _WHERE}


def goenv_file(environment: Mapping[str, str]) -> Path | None:
    """The file of `go env -w`, whether or not it exists; None when there can be none (`GOENV=off`, no home)."""
    named = environment.get("GOENV", "")
    if named:
        return None if named == "off" else Path(named)
    for variable, below in (("APPDATA", ""), ("XDG_CONFIG_HOME", ""), ("HOME", ".config")):
        folder = environment.get(variable, "")
        if folder and os.name == "nt" and variable == "APPDATA":
            return Path(folder) / "go" / "env"
        if folder and os.name != "nt" and variable != "APPDATA":
            mac = Path(folder) / "Library" / "Application Support" / "go" / "env"
            return mac if variable == "HOME" and mac.is_file() else Path(folder) / below / "go" / "env"
    return None


def goenv(environment: Mapping[str, str], toolchain: Toolchain) -> dict[str, str]:
    """What `go env -w` and `$GOROOT/go.env` set, the former wins; neither sets what the environment sets.

    What every release says in its own file is left out: it changes no program and no listing, and a Go that is not
    installed yet has no such file.
    """
    variables: dict[str, str] = {}
    own = toolchain.goroot / "go.env"
    for path in (own, goenv_file(environment)):
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
        except OSError:
            continue
        for line in text.splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#") and (path != own or name not in _OF_RELEASE):
                variables[name] = value
    return {name: value for name, value in variables.items() if not environment.get(name)}


def goflags(environment: Mapping[str, str]) -> tuple[str, ...]:
    """GOFLAGS as the list of flags that it is (`go help environment`: blanks separate, quotes group)."""
    return fields(environment.get("GOFLAGS", ""))


def flags_of(build: GoBuild, environment: Mapping[str, str]) -> tuple[str, ...]:
    """All flags in the order in which `go` reads them: the last of a name wins."""
    return (*goflags(environment), *build.flags)


def flag_value(words: tuple[str, ...], name: str) -> str:
    """The value of the last `-name=value` or `-name value`; "" without one."""
    if not words:
        return ""
    from multiarch_oci.golang.flags import last, read  # start-up

    flag = last(read(words), name)
    return flag.value or "" if flag is not None else ""


def listing_flags(build: GoBuild, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Those flags of a build that can change what `go list` says; the others are not handed to it."""
    names = tags(build, environment)
    kept = [f"-tags={','.join(names)}"] if names else []
    if build.race:
        kept.append("-race")
    if not build.flags:
        return tuple(kept)
    from multiarch_oci.golang.flags import read  # start-up

    for name in ("mod", "modfile", "overlay", "installsuffix", "compiler"):
        value = flag_value(build.flags, name)
        if value:
            kept.append(f"-{name}={build.directory / value if name in ('modfile', 'overlay') else value}")
    switches = ("race", "msan", "asan", "modcacherw")
    kept += [word for flag in read(build.flags) if flag.name in switches for word in flag.words]
    return tuple(kept)


def counting_flags(words: tuple[str, ...], *others: str) -> tuple[str, ...]:
    """Flags without those that say how Go works, and not what it makes, and without `others` by name."""
    if not words:
        return ()
    from multiarch_oci.golang.flags import read  # start-up

    return tuple(word for flag in read(words) if flag.name not in _HOW | {*others} for word in flag.words)


def not_given_anyway(words: tuple[str, ...]) -> tuple[str, ...]:
    """GOFLAGS without what every command line of ours says: `-trimpath` and `-buildvcs=false`."""
    if not words:
        return ()
    from multiarch_oci.golang.flags import read  # start-up

    ours = {"trimpath": True, "buildvcs": False}
    return tuple(word for flag in read(words) if ours.get(flag.name) is not flag.on for word in flag.words)


def trims_paths(build: GoBuild, environment: Mapping[str, str]) -> bool:
    """Whether the program does not depend on the folder that it was built in."""
    words = flags_of(build, environment)
    if not words:
        return True
    from multiarch_oci.golang.flags import last, read  # start-up

    flag = last(read(words), "trimpath")
    return flag is None or flag.on


def is_of_facts_alone(build: GoBuild, environment: Mapping[str, str]) -> bool:
    """Whether equal facts make equal bytes in every checkout, on every machine.

    Not with the commit in the program (`-buildvcs`), paths of the machine (of the module cache, too), or `-toolexec`.
    """
    words = flags_of(build, environment)
    if not words:
        return True
    from multiarch_oci.golang.flags import HANDED_ON, last, read  # start-up

    flags = read(words)
    stamped = last(flags, "buildvcs")
    untrimmed = any("-trimpath" in (flag.value or "") for flag in flags if flag.name in HANDED_ON)
    if untrimmed or last(flags, "toolexec") is not None or not trims_paths(build, environment):
        return False
    return stamped is None or not stamped.on


def _variant(platform: Platform) -> dict[str, str]:
    variable = _VARIANTS.get(platform.architecture)
    if variable is None or not platform.variant:
        return {}
    value = platform.variant
    if platform.architecture == "arm":
        value = {"v5": "5", "v6": "6"}.get(value, "7")  # Go knows no 32-bit v8: v7 runs there
    elif platform.architecture == "arm64":
        value = value if "." in value else f"{value}.0"
    elif platform.architecture == "386":
        value = {"softfloat": "softfloat"}.get(value, "sse2")
    return {variable: value}


def _matters(name: str, environment: Mapping[str, str]) -> bool:
    """Whether Go looks at a variable at all: another architecture's and, without cgo, a C compiler's are ignored."""
    if name in _VARIANTS.values():
        return name == _VARIANTS.get(environment.get("GOARCH", ""))
    only_cgo = name in _ONLY_CGO or name.startswith(_ONLY_CGO_PREFIXES)
    return name == "CGO_ENABLED" or not only_cgo or environment.get("CGO_ENABLED") == "1"


def _has_home(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in ("HOME", "LOCALAPPDATA", "USERPROFILE", "GOCACHE"))
