"""What an editor and a type checker know of an SConstruct: SCons has no types of its own.

`scons_multiarch.environment()` returns the `Environment` that is described here. Nodes are SCons' and have no type. A
test holds the parameters against those of the builders, and type-checks the SConstructs of this project.
"""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, overload

from typing_extensions import Unpack

from multiarch_oci.platform import Platform

_T = TypeVar("_T")

Node: TypeAlias = Any
"""A file, folder, alias or value of SCons."""

Path: TypeAlias = str | PathLike[str] | Node
Paths: TypeAlias = Path | Iterable[Path | Iterable[Path]]
Platforms: TypeAlias = str | Platform | Iterable[str | Platform]
Named: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
Texts: TypeAlias = str | Iterable[str]

OfPlatform: TypeAlias = _T | Callable[[Platform], _T] | Mapping[str, _T] | Mapping[Platform, _T]
"""One for all platforms, or a function of the platform, or a mapping from platforms."""

class Chain:
    """All nodes of one image; those that are made once a platform are in the order of `platforms`."""

    @property
    def name(self) -> str: ...
    @property
    def repositories(self) -> tuple[str, ...]: ...
    @property
    def platforms(self) -> tuple[Platform, ...]: ...
    @property
    def programs(self) -> tuple[Node, ...]: ...
    @property
    def images(self) -> tuple[Node, ...]: ...
    @property
    def archives(self) -> tuple[Node, ...]: ...
    @property
    def loads(self) -> tuple[Node, ...]: ...
    @property
    def pushes(self) -> tuple[Node, ...]: ...
    @property
    def pins(self) -> tuple[Node, ...]: ...
    @property
    def index(self) -> tuple[Node, ...]: ...
    @property
    def published(self) -> tuple[Node, ...]: ...
    @property
    def started(self) -> tuple[tuple[Platform, Node], ...]: ...
    @property
    def attests(self) -> tuple[Node, ...]: ...
    @property
    def sboms(self) -> tuple[tuple[Node, ...], ...]: ...
    @property
    def index_sbom(self) -> tuple[Node, ...]: ...
    def provenances(self) -> tuple[Node, ...]: ...
    @property
    def index_provenance(self) -> tuple[Node, ...]: ...

class _Chain(TypedDict, total=False):
    """Keywords of MultiarchImage: its own, variables of the command line in capitals, and those of Image."""

    dockerfile: OfPlatform[Paths | None]
    repository: str
    annotations: Named
    VERSION: str
    VERSION_TAG: str
    REGISTRY: str | Iterable[str]
    PLATFORMS: Platforms
    EXTERNAL: Texts
    TAGS: Texts
    LABELS: Named | str
    ANNOTATIONS: Named | str
    BASE_IMAGE: str
    BUILD_ARGS: Named | str
    ENGINE: str
    REBASE: bool | str
    engine: OfPlatform[str | None]
    build_args: Named | Callable[[Platform], Any] | Mapping[str, Named]
    labels: Named | Callable[[Platform], Any] | Mapping[str, Named]
    foreign: OfPlatform[Texts]
    stage: OfPlatform[str]
    endpoint: OfPlatform[str]
    builder: OfPlatform[str]
    secrets: OfPlatform[Texts]
    ssh: OfPlatform[Texts]
    network: OfPlatform[str]
    rebase: OfPlatform[bool | None]
    contexts: Any
    stages: OfPlatform[Mapping[str | int, Any]]
    base_image: OfPlatform[str | None]
    assets: OfPlatform[Path | None]
    zoneinfo: OfPlatform[bool]
    sbom: OfPlatform[Paths]

class _Go(TypedDict, total=False):
    """Keywords of GoBinary; for GoImage each may be of a platform."""

    GOFLAGS: OfPlatform[Texts]
    GOLDFLAGS: OfPlatform[Texts]
    GOTAGS: OfPlatform[Texts]
    GOENV: OfPlatform[Named]
    CC: OfPlatform[Texts]
    CXX: OfPlatform[Texts]
    GODIR: OfPlatform[Path]
    cgo: OfPlatform[bool]
    race: OfPlatform[bool]
    debug: OfPlatform[bool]

class _GoChain(_Chain, _Go, total=False):
    sources: OfPlatform[Paths]

class Environment:
    """An environment of SCons with the builders of this tool. SCons' own are there, too."""

    def GoImage(self, name: str, package: Path = ".", **keywords: Unpack[_GoChain]) -> Chain:
        """A Go program for every platform, and the whole chain of its images, up to the published index."""

    def MultiarchImage(self, name: str, contents: OfPlatform[Paths | None] = (), **keywords: Unpack[_Chain]) -> Chain:
        """The whole chain of an image: images, archives, loads, pushes, index, and its publication."""

    def Cached(self, *nodes: Paths) -> list[Node]:
        """Have what commands of other builders make kept in the shared cache."""

    def GoBinary(
        self, target: Path, package: Path = ".", *, platform: str | Platform, sources: Paths = (), **overrides: Any
    ) -> list[Node]:
        """A Go program."""

    def Image(
        self,
        target: Path,
        contents: Paths = (),
        *,
        dockerfile: Paths | None = None,
        platform: str | Platform | None = None,
        engine: str | None = None,
        build_args: Any = (),
        labels: Any = (),
        foreign: Texts = (),
        stage: str = "",
        endpoint: str = "",
        builder: str = "",
        secrets: Texts = (),
        ssh: Texts = (),
        network: str = "",
        rebase: bool | None = None,
        contexts: Any = (),
        stages: OfPlatform[Mapping[str | int, Any]] | None = None,
        base_image: OfPlatform[str | None] = None,
        assets: Path | None = None,
        zoneinfo: bool = False,
        sbom: Paths = (),
    ) -> list[Node]:
        """What a Dockerfile makes for one platform, as a tarball."""

    def Archive(self, target: Path, image: Paths, *, reference: str) -> list[Node]:
        """The self-contained archive of an image."""

    def Load(self, image: Paths, reference: str, *, main: str | None = None, into: str = "$LOAD_INTO") -> list[Node]:
        """An image in the local engine."""

    def Push(self, source: Paths, reference: str, *, children: Paths = (), also: Texts = ()) -> list[Node]:
        """An image, or an index after the pushes of its children, in a registry or folder."""

    def Pin(self, reference: str, *, platform: str | Platform) -> list[Node]:
        """A tag that somebody else pushes."""

    def Index(self, target: Path, members: Paths, *, platforms: Platforms, annotations: Named = ()) -> list[Node]:
        """The index of images and pins."""

    def Sbom(self, target: Path, image: Paths, *, name: str | None = None, version: str | None = None) -> list[Node]:
        """What an image or index is made of: SPDX and CycloneDX."""
    def Provenance(self, target: Path, image: Paths) -> list[Node]:
        """What an image or index was made from, as an in-toto Statement."""

    def Resolve(self, files: Paths, images: Any, *, paths: Texts = (), into: Path = "#/_output/deploy") -> list[Node]:
        """Deployment files with `repository:tag@digest` in the place of images' names."""

    def Attest(self, push: Paths, files: Paths = ()) -> list[Node]:
        """What is said of an image or index, and by whom it is signed, before a push writes its tag."""

    def Targets(self, **nodes: Paths | None) -> None:
        """Names the targets of a chain that is made by hand."""

    @overload
    def __getitem__(self, name: Literal["PLATFORMS"]) -> tuple[Platform, ...]: ...
    @overload
    def __getitem__(self, name: Literal["EXTERNAL"]) -> tuple[tuple[Platform, str], ...]: ...
    @overload
    def __getitem__(self, name: Literal["TAGS"]) -> tuple[str, ...]: ...
    @overload
    def __getitem__(
        self, name: Literal["VERSION", "REGISTRY", "REPOSITORY", "IMAGE", "IMAGE_FILE", "ENGINE"]
    ) -> str: ...
    @overload
    def __getitem__(self, name: str) -> Any: ...
    def __setitem__(self, name: str, value: Any) -> None: ...
    def __contains__(self, name: str) -> bool: ...
    def Clone(self, tools: Iterable[str] = (), **variables: Any) -> Environment: ...
    def Command(self, target: Paths, source: Paths, action: Any, **variables: Any) -> list[Node]: ...
    def Program(self, target: Paths, source: Paths = ..., **variables: Any) -> list[Node]: ...
    def Object(self, target: Paths, source: Paths = ..., **variables: Any) -> list[Node]: ...
    def Glob(self, pattern: str, ondisk: bool = True, source: bool = False, strings: bool = False) -> list[Node]: ...
    def Alias(self, target: Paths, source: Paths = ..., action: Any = None) -> list[Node]: ...
    def Default(self, *targets: Paths | None) -> None: ...
    def Depends(self, target: Paths, dependency: Paths) -> list[Node]: ...
    def SConscript(self, *scripts: Paths, **keywords: Any) -> Any: ...
    def Append(self, **variables: Any) -> None: ...
    def Replace(self, **variables: Any) -> None: ...
    def Help(self, text: str, append: bool = False) -> None: ...
    def subst(self, text: str) -> str: ...
    def File(self, name: Path) -> Node: ...
    def Dir(self, name: Path) -> Node: ...
    def Value(self, value: Any) -> Node: ...
    def __getattr__(self, name: str) -> Any: ...
