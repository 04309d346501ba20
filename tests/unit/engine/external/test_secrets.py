"""Secrets for RUN: whether they are there is looked at, what they hold is not."""

from __future__ import annotations

import pytest

from multiarch_oci.engine.external.secrets import MissingSecret, secret_flags

WHERE = "Dockerfile"


def flags(shop, *, secrets=(), ssh=(), typed=False, **environment):
    plan = shop.plan("FROM scratch\n", secrets=secrets, ssh=ssh)
    return secret_flags(plan, environment, where=WHERE, typed=typed)


@pytest.mark.parametrize(
    ("text", "plain", "typed"),
    [
        ("id=t,src=token", "id=t,src={}/token", "id=t,type=file,src={}/token"),
        ("id=t,source=token", "id=t,src={}/token", "id=t,type=file,src={}/token"),
        ("type=file,id=token", "id=token,src={}/token", "id=token,type=file,src={}/token"),
        ("id=t,env=HELD", "id=t,env=HELD", "id=t,type=env,env=HELD"),
        ("type=env,id=t,src=HELD", "id=t,env=HELD", "id=t,type=env,env=HELD"),
        ("id=HELD", "id=HELD,env=HELD", "id=HELD,type=env,env=HELD"),
        ("id=token", "id=token,src={}/token", "id=token,type=file,src={}/token"),
        ('id=t,"src=a,b"', 'id=t,"src={}/a,b"', 'id=t,type=file,"src={}/a,b"'),
    ],
)
def test_a_secret_is_a_file_or_a_variable(shop, text, plain, typed):
    shop.write("token", "x")
    shop.write("a,b", "x")
    assert flags(shop, secrets=(text,), HELD="x") == ["--secret", plain.format(shop.folder)]
    assert flags(shop, secrets=(text,), typed=True, HELD="x") == ["--secret", typed.format(shop.folder)]


@pytest.mark.parametrize("text", ["", "token", "src=token", "id=t,what=x", "id=t,type=vault"])
def test_what_says_no_secret_is_an_error(shop, text):
    with pytest.raises(MissingSecret) as caught:
        flags(shop, secrets=(text,))
    assert str(caught.value) == (
        f"Dockerfile: '{text}' says no secret\n  hint: write id=token,src=file or id=token,env=NAME"
    )


def test_what_is_not_there_is_an_error(shop):
    for given, what in (
        ({"secrets": ("id=t,env=GONE",)}, "secret 't': the variable GONE is not set"),
        ({"secrets": ("id=t,src=gone",)}, f"secret 't': there is no file {shop.folder / 'gone'}"),
        ({"ssh": ("default=gone",)}, "ssh 'default': there is no gone"),
    ):
        with pytest.raises(MissingSecret) as caught:
            flags(shop, **given)
        assert caught.value.what == what


def test_an_agent_is_the_one_of_the_environment_or_named(shop):
    shop.write("sock")
    shop.write("key")
    address = str(shop.folder / "sock")
    assert flags(shop, ssh=("default",), SSH_AUTH_SOCK=address) == ["--ssh", "default"]
    assert flags(shop, ssh=("mine=sock,key",)) == ["--ssh", f"mine={address},{shop.folder / 'key'}"]
    with pytest.raises(MissingSecret, match="SSH_AUTH_SOCK is not set"):
        flags(shop, ssh=("default",))


def test_no_content_is_read(shop):
    shop.write("token", "x", mode=0)
    assert flags(shop, secrets=("id=t,src=token",)) == ["--secret", f"id=t,src={shop.folder}/token"]
