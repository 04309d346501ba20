"""Image configurations."""

from __future__ import annotations

import json

import pytest

from multiarch_oci.config import HealthCheck, History, ImageConfig
from multiarch_oci.descriptor import Descriptor
from multiarch_oci.digest import Digest, InvalidDigest
from multiarch_oci.document import InvalidDocument
from multiarch_oci.mediatype import CONFIG
from multiarch_oci.platform import InvalidPlatform, Platform

LAYER = Digest.of(b"layer")
FULL: dict[str, object] = {
    "created": "1970-01-01T00:00:00Z",
    "author": "somebody",
    "architecture": "arm",
    "os": "linux",
    "variant": "v7",
    "config": {
        "User": "1000:1000",
        "ExposedPorts": {"443/tcp": {}, "80/tcp": {}},
        "Env": ["PATH=/bin", "A=b=c", "EMPTY="],
        "Entrypoint": ["/demo"],
        "Cmd": [],
        "Healthcheck": {
            "Test": ["CMD", "x"],
            "Interval": 5,
            "Timeout": 4,
            "StartPeriod": 3,
            "StartInterval": 2,
            "Retries": 1,
        },
        "Volumes": {"/a": {}, "/b": {}},
        "WorkingDir": "/work",
        "Labels": {"a": "1", "b": "2"},
        "StopSignal": "SIGTERM",
        "Shell": ["sh", "-c"],
        "OnBuild": ["RUN x"],
        "ArgsEscaped": True,
        "Their": {"own": [1]},
    },
    "rootfs": {"type": "layers", "diff_ids": [str(LAYER)]},
    "history": [
        {"created": "1970-01-01T00:00:00Z", "created_by": "COPY", "author": "a", "comment": "c"},
        {"created_by": "ENV", "empty_layer": True},
    ],
    "other": [1, {"x": None}],
}


def read(members: dict[str, object]) -> ImageConfig:
    return ImageConfig.from_json(json.dumps(members).encode(), where="file")


def test_every_member_is_read():
    assert read(FULL) == ImageConfig(  # noqa: S604  # `shell` is a field of the config
        platform=Platform("linux", "arm", "v7"),
        diff_ids=(LAYER,),
        history=(
            History("1970-01-01T00:00:00Z", "COPY", "c", "a"),
            History(created_by="ENV", empty_layer=True),
        ),
        created="1970-01-01T00:00:00Z",
        author="somebody",
        user="1000:1000",
        exposed_ports=("443/tcp", "80/tcp"),
        env=("PATH=/bin", "A=b=c", "EMPTY="),
        entrypoint=("/demo",),
        cmd=(),
        volumes=("/a", "/b"),
        working_dir="/work",
        labels=(("a", "1"), ("b", "2")),
        stop_signal="SIGTERM",
        shell=("sh", "-c"),  # a field of the config
        healthcheck=HealthCheck(("CMD", "x"), 5, 4, 3, 2, 1),
        on_build=("RUN x",),
        args_escaped=True,
        others=(("other", [1, {"x": None}]),),
        config_others=(("Their", {"own": [1]}),),
    )


def test_every_member_is_written_back():
    assert json.loads(read(FULL).to_json()) == FULL


def test_the_smallest_config_has_exact_bytes():
    config = ImageConfig(Platform("linux", "amd64"))
    expected = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
    assert config.to_json() == expected
    assert config.descriptor() == Descriptor(CONFIG, Digest.of(expected), len(expected))
    assert read(json.loads(expected)) == config


def test_the_os_version_of_windows_is_kept():
    config = ImageConfig(Platform("windows", "amd64", os_version="10.0.20348.2849", os_features=("win32k",)))
    assert json.loads(config.to_json())["os.version"] == "10.0.20348.2849"
    assert ImageConfig.from_json(config.to_json(), where="x") == config


def test_equal_configs_are_equal_bytes_in_whatever_order_things_were_said():
    one = ImageConfig(
        Platform("linux", "amd64"),
        labels=(("b", "2"), ("a", "1")),
        exposed_ports=("9/tcp", "1/tcp"),
        volumes=("/z", "/a"),
    )
    other = ImageConfig(
        Platform("linux", "amd64"),
        labels=(("a", "1"), ("b", "2")),
        exposed_ports=("1/tcp", "9/tcp"),
        volumes=("/a", "/z"),
    )
    assert one.to_json() == other.to_json()


@pytest.mark.parametrize(
    "name", ["container", "container_config", "docker_version", "id", "parent", "moby.buildkit.buildinfo.v1"]
)
def test_what_changes_though_the_image_does_not_is_dropped(name: str):
    assert read({**FULL, name: "x"}) == read(FULL)


@pytest.mark.parametrize("name", ["Hostname", "Domainname", "Image", "AttachStdin", "Tty", "MacAddress"])
def test_what_is_of_the_building_host_is_dropped(name: str):
    inner = FULL["config"]
    assert isinstance(inner, dict)
    assert read({**FULL, "config": {**inner, name: "x"}}) == read(FULL)


def test_not_set_and_set_to_nothing_are_two_things():
    unset = read({"architecture": "amd64", "os": "linux", "rootfs": {}, "config": {"Cmd": None}})
    nothing = read({"architecture": "amd64", "os": "linux", "rootfs": {}, "config": {"Cmd": []}})
    assert (unset.cmd, nothing.cmd) == (None, ())
    assert b"Cmd" not in unset.to_json()
    assert b'"Cmd":[]' in nothing.to_json()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rootfs": None}, "file: has no 'rootfs', so it is no image configuration"),
        ({"rootfs": {"diff_ids": ["x"]}}, "'x:' is not a sha256 or sha512 digest"),
        ({"config": []}, "file: config: is a list, not a JSON object"),
        ({"config": {"Env": "x"}}, "file: config: 'Env' is a string, not a list"),
        ({"config": {"Labels": {"a": 1}}}, "file: config: 'Labels.a' is a number, not a string"),
        ({"history": [1]}, "file: history[0]: is a number, not a JSON object"),
    ],
)
def test_what_is_no_config_is_refused(changes: dict[str, object], text: str):
    with pytest.raises((InvalidDocument, InvalidDigest)) as caught:
        read({**FULL, **changes})
    assert str(caught.value) == text


def test_a_config_without_platform_is_refused():
    with pytest.raises(InvalidPlatform) as caught:
        read({"rootfs": {}})
    assert str(caught.value) == "a platform object has no 'os'"


def test_variables_are_found_and_set_in_their_place():
    config = read(FULL)
    assert [config.variable(name) for name in ("PATH", "A", "EMPTY", "B")] == ["/bin", "b=c", "", None]
    assert config.with_variable("A", "new").env == ("PATH=/bin", "A=new", "EMPTY=")
    assert config.with_variable("B", "").env == ("PATH=/bin", "A=b=c", "EMPTY=", "B=")
