"""The image of one program without a Dockerfile of its own: the Dockerfile that it is, and what that takes of us.

As ko's images, on nothing: `scratch` with CA certificates, two users and a `/tmp`; a numeric user without rights, the
program at the root, assets where ko has them. What is not the project's own lies below `OURS` of the context.
"""

from __future__ import annotations

import importlib.util
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import msgspec

from multiarch_oci.engine import OURS, GivenFile
from multiarch_oci.errors import MultiarchError
from multiarch_oci.platform import Platform
from multiarch_oci.tarheader import DIRECTORY, END, Header

SCRATCH = "scratch"
USER = "65532:65532"
"""As in the images of distroless: `nonroot`."""
ASSETS = "/var/run/ko"
"""Where ko has `kodata`; programs find it by KO_DATA_PATH."""
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
"""Where Go and most others look for the certificates of authorities, from the root of an image."""
ZONES = "usr/share/zoneinfo"
_PASSWD = f"""\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:{USER}:nonroot:/tmp:/sbin/nologin
"""
_GROUP = """\
root:x:0:
nobody:x:65534:
nonroot:x:65532:
"""
_NANOSERVER = "mcr.microsoft.com/windows/nanoserver"
_WINDOWS = MappingProxyType(
    {
        "10.0.17763": "1809",
        "10.0.18362": "1903",
        "10.0.18363": "1909",
        "10.0.19041": "2004",
        "10.0.19042": "20H2",
        "10.0.20348": "ltsc2022",
        "10.0.26100": "ltsc2025",
    }
)
"""The tags of nanoserver by the build of Windows, as its registry has them."""
_WINDOWS_DEFAULT = "ltsc2022"
_UNFIT = re.compile(r"[\"'\\*?\[\]\x00-\x1f]")
_VERSION = re.compile(r"^__version__\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


class NoProgramImage(MultiarchError, ValueError):
    """An image that cannot be made without a Dockerfile."""


class WrongPlace(MultiarchError, ValueError):
    """A path at which certificates or time zones would be something else than programs look for there."""


class Packaged(msgspec.Struct, frozen=True):
    """Files that a Python package brings: where they are, and the package's version."""

    path: Path
    version: str


class ProgramImage(msgspec.Struct, frozen=True):
    """What an image without a Dockerfile holds; paths are those in the context, with `/`.

    `base` is what stands behind FROM; empty: the default of the platform. `assets` is a folder; `zoneinfo` says whether
    the time zones are wanted.
    """

    platform: Platform
    program: str
    base: str = ""
    assets: str = ""
    zoneinfo: bool = False

    @property
    def name(self) -> str:
        """The program's file name."""
        return self.program.rpartition("/")[2]

    def base_image(self) -> str:
        """What stands behind FROM. NoProgramImage for a Windows that nanoserver has no tag for."""
        if self.base or self.platform.os != "windows":
            return self.base or SCRATCH
        build = ".".join(self.platform.os_version.split(".")[:3])
        tag = _WINDOWS.get(build) if build else _WINDOWS_DEFAULT
        if tag is None:
            raise NoProgramImage(
                f"nanoserver has no image of Windows {self.platform.os_version}",
                where="BASE_IMAGE",
                hint=f"name the base in BASE_IMAGE, or one of these versions in PLATFORMS: {', '.join(_WINDOWS)}",
            )
        return f"{_NANOSERVER}:{tag}"

    def dockerfile(self) -> str:
        """The text of the Dockerfile: the same one for all platforms whose programs lie side by side.

        Raises NoProgramImage for names that no Dockerfile can say, and for a program that is called as a folder.
        """
        for path in filter(None, (self.program, self.assets)):
            if _UNFIT.search(path):
                raise NoProgramImage(
                    f"'{path}' cannot be copied by its name", hint="name it without quotes and wildcards"
                )
        if (self.name.casefold() if self.platform.os == "windows" else self.name) in self._folders():
            raise NoProgramImage(
                f"the program is to be /{self.name}, which is a folder of the image",
                where="Image: contents",
                hint="give the program another name; env.GoImage calls it as its first argument",
            )
        return "\n".join([*self._lines(), ""])

    def _folders(self) -> Iterator[str]:
        """The names at the root of the image that are folders by what is added; the base may have more."""
        if not self.base and self.platform.os != "windows":
            yield from ("etc", "tmp")
        if self.zoneinfo:
            yield ZONES.partition("/")[0]
        if self.assets:
            yield ASSETS.split("/")[1]

    def _lines(self) -> Iterator[str]:
        windows = self.platform.os == "windows"
        yield f"FROM {self.base_image()}"
        if not self.base and not windows:
            yield f"COPY {OURS}/etc /etc"
            yield f"ADD {OURS}/folders.tar /"  # whose mode not every engine can be told
        if self.zoneinfo:
            yield f"COPY {OURS}/{ZONES} /{ZONES}"
        if self.assets:
            yield _copy(self.assets, ASSETS)
            yield f"ENV KO_DATA_PATH={_in_image(ASSETS, self.platform, escaped=True)}"
        program = _for_all(self.program, self.platform)
        if program != _literal(self.program):
            yield "ARG TARGETOS TARGETARCH TARGETVARIANT"
        yield _copied(program, _literal(f"/{self.name}"))
        yield "USER ContainerUser" if windows else f"USER {USER}"
        yield "WORKDIR /"
        yield f"ENTRYPOINT {json.dumps([_in_image(f'/{self.name}', self.platform)], ensure_ascii=False)}"

    def given(self, certificates: Packaged, zones: Packaged | None = None) -> tuple[GivenFile, ...]:
        """What `dockerfile` takes that is not in the project, by paths in the context."""
        return (*given(certificates), *(zone_files(zones) if self.zoneinfo and zones is not None else ()))

    def remarks(self, certificates: Packaged, zones: Packaged | None = None) -> tuple[tuple[str, str], ...]:
        """What the image's bytes come from, in values: they say why it is made again."""
        values = [("BASE_IMAGE", self.base_image())]
        if not self.base and self.platform.os != "windows":
            values.append(("certifi", certificates.version))
        if self.zoneinfo and zones is not None:
            values.append(("tzdata", zones.version))
        return tuple(values)


def given(certificates: Packaged) -> tuple[GivenFile, ...]:
    """What `scratch` lacks, below OURS: certificates, users, groups, a folder for what is temporary."""
    return (
        GivenFile(f"{OURS}/{CERTIFICATES}", certificates.path),
        GivenFile(f"{OURS}/etc/group", content=_GROUP.encode()),
        GivenFile(f"{OURS}/etc/passwd", content=_PASSWD.encode()),
        GivenFile(f"{OURS}/folders.tar", content=Header("tmp/", DIRECTORY, 0o1777, 0, 0, 0, 0).to_bytes() + END),
    )


def zone_files(zones: Packaged, folder: str = f"{OURS}/{ZONES}") -> tuple[GivenFile, ...]:
    """The compiled time zones, file by file: none of the package's own modules."""
    paths = sorted(path for path in zones.path.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return tuple(
        GivenFile(f"{folder}/{path.relative_to(zones.path).as_posix()}".lstrip("/"), path)
        for path in paths
        if path.suffix != ".py"
    )


def zone_files_at(zones: Packaged, path: str, *, into: bool) -> Iterator[GivenFile]:
    """The time zones for a path of an image (relative), or `into` that folder.

    A folder above /usr/share/zoneinfo has them there; a path below it is one zone, or a folder of some. Raises
    WrongPlace for what is a file everywhere, and for a zone that is not there.
    """
    if path == ZONES or f"{ZONES}/".startswith(f"{path}/"):
        yield from zone_files(zones, ZONES)
    elif path.startswith(f"{ZONES}/"):
        files = [file for file in zone_files(zones, ZONES) if f"{file.path}/".startswith(f"{path}/")]
        if not files:
            hint = f'say "/{ZONES}": all zones are there'
            raise WrongPlace(f"tzdata {zones.version} has no /{path}", hint=hint)
        yield from files
    elif not into and (path.endswith(".zip") or path in ("etc/localtime", "etc/timezone")):
        hint = f'say "/{ZONES}" and COPY from there, or give a file of the project'
        raise WrongPlace(f"the time zones are a folder, and '/{path}' is a file", hint=hint)
    else:
        yield from zone_files(zones, f"{path}/zoneinfo".lstrip("/") if into else path)


def certificates_at(path: str, *, into: bool) -> str:
    """Where the certificates are for a path of an image (relative), or `into` that folder.

    A folder above /etc/ssl/certs/ca-certificates.crt has them there. Raises WrongPlace for a name without an ending,
    which cannot be told from a folder's.
    """
    if path and f"{CERTIFICATES}/".startswith(f"{path}/"):
        return CERTIFICATES
    name = posixpath.basename(CERTIFICATES)
    if into:
        return f"{path}/{name}".lstrip("/")
    if "." not in posixpath.basename(path).lstrip("."):
        what = f"the certificates are one file, and '/{path}' may be a folder"
        raise WrongPlace(what, hint=f'say the file, as "{posixpath.join("/", path, name)}", or "/{CERTIFICATES}"')
    return path


def certificates() -> Packaged:
    """The certificates of `certifi`; NoProgramImage where it is not installed."""
    return _packaged("certifi", "cacert.pem", hint="pip install certifi")


def zones() -> Packaged:
    """The time zones of `tzdata`; NoProgramImage where it is not installed."""
    hint = "pip install 'scons-multiarch[zoneinfo]', or tzdata into the environment that runs SCons"
    return _packaged("tzdata", "zoneinfo", hint=hint)


def _packaged(name: str, path: str, *, hint: str) -> Packaged:
    """A path of a package, which is not imported: a build with nothing to do would wait for that."""
    spec = importlib.util.find_spec(name)
    origin = None if spec is None or spec.origin is None else Path(spec.origin)
    if origin is None or not origin.with_name(path).exists():
        raise NoProgramImage(f"the Python package {name} is not installed, or not with its files", hint=hint)
    version = _VERSION.search(origin.read_text("utf-8", "replace"))
    return Packaged(origin.with_name(path), version[1] if version else "")


def _for_all(path: str, platform: Platform) -> str:
    """A path with the platform's own folder (`arm-v7/linux`) said by BuildKit's arguments; else as it is."""
    before, folder, after = f"/{path}".partition(f"/{platform.directory}/")
    if not folder:
        return _literal(path)
    target = "${TARGETARCH}${TARGETVARIANT:+-${TARGETVARIANT}}/${TARGETOS}"
    return f"{_literal(before)}/{target}/{_literal(after)}".lstrip("/")


def _literal(path: str) -> str:
    return path.replace("$", "\\$")


def _copy(source: str, destination: str) -> str:
    return _copied(_literal(source), _literal(destination))


def _copied(source: str, destination: str) -> str:
    """A COPY of expandable words; as JSON where a word is not one otherwise."""
    if re.search(r"\s", source + destination) or source.startswith(("--", "<<", "[")):
        words = ", ".join('"' + word.replace("\\", "\\\\") + '"' for word in (source, destination))
        return f"COPY [{words}]"
    return f"COPY {source} {destination}"


def _in_image(path: str, platform: Platform, *, escaped: bool = False) -> str:
    r"""An absolute path as programs of the platform read it: `C:\demo.exe`; `escaped` for a Dockerfile's word."""
    if platform.os != "windows":
        return path
    return "C:" + path.replace("/", r"\\" if escaped else "\\")
