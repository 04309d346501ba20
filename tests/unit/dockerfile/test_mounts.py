from __future__ import annotations

import pytest

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.mounts import Mount, check_device, check_mount, parse_mount
from multiarch_oci.dockerfile.shell import expand


def read(text: str) -> Mount:
    return parse_mount(text, lambda word: expand(word, {"V": "1"}))


def test_a_bind_mount_reads_the_context_and_is_read_only():
    assert read("source=a,target=/b$V") == Mount(source="a", target="/b1")


def test_mounts_know_their_type():
    assert read("type=cache,id=c,target=/c,sharing=locked,uid=7,mode=0750") == Mount(
        type="cache", id="c", target="/c", sharing="locked", uid=7, mode=0o750, readonly=False
    )
    assert read("type=tmpfs,target=/t,size=64m").size == 64 << 20
    assert read('type=secret,"id=a,b",required,env=E') == Mount(type="secret", id="a,b", required=True, env="E")
    assert read("from=st,rw").readonly is False


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("type=bnd", 'unsupported mount type "bnd"\n  hint: did you mean bind?'),
        ("form=x", "unexpected key 'form' in 'form=x'\n  hint: did you mean from?"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("size=1", "unexpected key 'size' for mount type 'bind'"),
        ("mode=8", "invalid value 8 for mode"),
        ("uid=1", 'uid not allowed for "bind" type mounts'),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=tmpfs,sharing=locked", "invalid cache sharing set for tmpfs mount"),
        ('a"b', 'stray quote in "a\\"b"'),
    ],
)
def test_a_wrong_mount_is_an_error(text: str, error: str):
    with pytest.raises(InvalidDockerfile) as caught:
        read(text)
    assert str(caught.value) == error


def test_a_variable_in_from_is_refused_before_anything_is_expanded():
    check_mount("from=a$,source=$V")
    with pytest.raises(InvalidDockerfile, match="'from' doesn't support variable expansion"):
        check_mount("from=$V")


def test_devices_are_checked():
    check_device("vendor/class=name,required=true")
    with pytest.raises(InvalidDockerfile, match="device name already set to a"):
        check_device("a,name=b")
