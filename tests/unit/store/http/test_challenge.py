"""WWW-Authenticate by its grammar, and the algebra of scopes.

RFC 9110 §11 (challenges), RFC 6750 §3 (Bearer).
"""

from __future__ import annotations

import pytest

from multiarch_oci.store.http.challenge import Challenge, covers, join_scopes, parse_challenges, repository_scope

REALM = ("realm", "https://auth.example/token")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        pytest.param((), (), id="no header"),
        pytest.param(("",), (), id="an empty header"),
        pytest.param(("Basic",), (Challenge("basic"),), id="a bare scheme"),
        pytest.param(('Basic realm="a"',), (Challenge("basic", (("realm", "a"),)),), id="Basic"),
        pytest.param(
            ('Bearer realm="https://auth.example/token",service="s",scope="repository:a/b:pull,push"',),
            (Challenge("bearer", (REALM, ("service", "s"), ("scope", "repository:a/b:pull,push"))),),
            id="a comma inside quotes",
        ),
        pytest.param(
            (r'Bearer realm="a\"b\\c,d=e" , service=plain',),
            (Challenge("bearer", (("realm", r'a"b\c,d=e'), ("service", "plain"))),),
            id="escaped quotes",
        ),
        pytest.param(
            ('Basic realm="a", Bearer realm="https://auth.example/token"',),
            (Challenge("basic", (("realm", "a"),)), Challenge("bearer", (REALM,))),
            id="two in one header",
        ),
        pytest.param(
            ("Negotiate YWJj==", 'BEARER Realm="https://auth.example/token"'),
            (Challenge("negotiate"), Challenge("bearer", (REALM,))),
            id="two headers, one with token68, any case",
        ),
        pytest.param(('Bearer realm="never closed',), (Challenge("bearer"),), id="a quote that is never closed"),
        pytest.param(("=,;",), (), id="nonsense"),
    ],
)
def test_challenges_are_read(headers: tuple[str, ...], found: tuple[Challenge, ...]) -> None:
    assert parse_challenges(headers) == found


def test_a_hostile_header_is_read_in_no_time() -> None:
    assert len(parse_challenges(('Bearer a="' + "\\" * 1_000_000, "a " * 500_000))) < 10_000


def test_scopes_are_united_by_resource() -> None:
    pull, push = repository_scope("a/b", "pull"), repository_scope("a/b", "pull,push")
    assert join_scopes((push, pull, "registry:catalog:*", pull)) == ("registry:catalog:*", "repository:a/b:pull,push")
    assert join_scopes(("nonsense", "")) == ()


def test_a_token_covers_what_is_within_its_scopes() -> None:
    held = join_scopes((repository_scope("a", "pull,push"), repository_scope("b", "pull")))
    assert covers(held, (repository_scope("a", "pull"),))
    assert covers(held, held)
    assert not covers(held, (repository_scope("b", "pull,push"),))
    assert not covers(held, (repository_scope("c", "pull"),))
