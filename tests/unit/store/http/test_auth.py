"""One challenge a host, one exchange a scope; credentials go to no place where they do not belong.

The token specification of the distribution project (token.md, oauth.md); RFC 6750, RFC 7617.
WWW-Authenticate by its grammar, and the algebra of scopes.
RFC 9110 §11 (challenges), RFC 6750 §3 (Bearer).
"""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from multiarch_oci.document import InvalidDocument
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.auth import (
    Authorizations,
    Challenge,
    UnusableRealm,
    covers,
    parse_challenges,
)
from multiarch_oci.store.http.errors import Unreachable
from multiarch_oci.store.http.exchange import Request, join_scopes, repository_scope
from multiarch_oci.store.http.hosts import public_url

BEARER = (Challenge("bearer", (("realm", "https://auth.example/token?a=b"), ("service", "s"))),)


def wanting(repository: str, action: str = "pull", optional: tuple[str, ...] = ()) -> Request:
    return Request("GET", f"/v2/{repository}/tags/list", "r.example", repository, action, optional=optional)


PULL, PUSH = wanting("a"), wanting("a", "push")


class Service:
    """A token service in memory: tokens are numbered, `refuses` names scopes that end a request with 401."""

    def __init__(self, lifetime: float | None = 300, refuses: str = "nothing") -> None:
        self.lifetime = lifetime
        self.refuses = refuses
        self.asked: list[tuple[str, str, dict[str, str], dict[str, list[str]]]] = []
        self.pause = 0.0

    def __call__(self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[int, bytes]:
        address, _, query = url.partition("?")
        self.asked.append((method, address, dict(headers), urllib.parse.parse_qs(query or body.decode())))
        time.sleep(self.pause)
        if self.refuses in urllib.parse.unquote_plus(query + body.decode()):
            return 401, b"{}"
        answer: dict[str, Any] = {"token": f"token{len(self.asked)}"}
        return 200, json.dumps(answer | ({} if self.lifetime is None else {"expires_in": self.lifetime})).encode()


def authorizations(service: Service, **entry: str) -> Authorizations:
    environment = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": {"r.example": entry}})} if entry else {}
    return Authorizations(Credentials(environment, Path("/nowhere")), service, lambda host: host == "insecure.example")


LOGIN = {"auth": base64.b64encode(b"me:hunter2").decode()}


def test_nothing_is_sent_before_a_challenge() -> None:
    service = Service()
    assert authorizations(service, **LOGIN).held(PULL) is None
    assert service.asked == []


def test_a_password_is_exchanged_for_a_token_that_is_kept() -> None:
    service = Service()
    made = authorizations(service, **LOGIN)
    assert made.answer(PULL, BEARER, None) == "Bearer token1"
    assert made.held(PULL) == "Bearer token1"
    method, address, headers, query = service.asked[0]
    assert (method, address) == ("GET", "https://auth.example/token")
    assert headers == {"Authorization": "Basic bWU6aHVudGVyMg=="}
    assert query == {"a": ["b"], "service": ["s"], "scope": ["repository:a:pull"]}
    assert len(service.asked) == 1


def test_an_identity_token_is_posted_and_not_put_into_the_url() -> None:
    service = Service()
    assert authorizations(service, identitytoken="idt").answer(PUSH, BEARER, None) == "Bearer token1"
    method, _, headers, _ = service.asked[0]
    assert method == "POST"
    assert headers == {"Content-Type": "application/x-www-form-urlencoded"}


def test_nobody_gets_a_token_without_a_password() -> None:
    service = Service()
    assert authorizations(service).answer(PULL, BEARER, None) == "Bearer token1"
    assert service.asked[0][2] == {}


def test_a_registry_token_is_taken_as_it_is() -> None:
    service = Service()
    assert authorizations(service, registrytoken="ready").answer(PULL, BEARER, None) == "Bearer ready"
    assert service.asked == []


def test_a_wider_token_serves_a_narrower_request_and_not_the_other_way() -> None:
    service = Service()
    made = authorizations(service, **LOGIN)
    made.answer(PULL, BEARER, None)
    assert made.held(PUSH) == "Bearer token2"
    assert made.held(PULL) in ("Bearer token1", "Bearer token2")
    assert len(service.asked) == 2


def test_a_refused_token_is_replaced_and_a_refused_password_is_not_sent_again() -> None:
    service = Service()
    made = authorizations(service, **LOGIN)
    assert made.answer(PULL, BEARER, None) == "Bearer token1"
    assert made.answer(PULL, BEARER, "Bearer token1") == "Bearer token2"
    assert made.held(PULL) == "Bearer token2"
    basic = (Challenge("basic"),)
    first = made.answer(PULL, basic, None)
    assert first == "Basic bWU6aHVudGVyMg=="
    assert made.answer(PULL, basic, first) is None


def test_after_a_401_every_token_is_void_that_could_have_been_sent() -> None:
    service = Service()
    made = authorizations(service, **LOGIN)
    assert made.answer(PULL, BEARER, None) == "Bearer token1"
    assert made.held(PUSH) == "Bearer token2"
    other = wanting("b")
    assert made.held(other) == "Bearer token3"
    assert made.answer(PULL, BEARER, "Bearer token1", sent=time.monotonic()) == "Bearer token4"
    assert made.held(PULL) == "Bearer token4"
    assert made.held(other) == "Bearer token3"


def test_a_token_that_came_after_the_request_was_sent_takes_the_place_of_the_refused_one() -> None:
    service = Service()
    made = authorizations(service, **LOGIN)
    sent = time.monotonic()
    made.answer(PULL, BEARER, None)
    assert made.held(PUSH) == "Bearer token2"
    assert made.answer(PULL, BEARER, "Bearer token1", sent=sent) == "Bearer token2"
    assert made.answer(PULL, BEARER, "Bearer token2", sent=time.monotonic()) == "Bearer token3"


def test_a_registry_token_that_was_refused_is_not_sent_again() -> None:
    made = authorizations(Service(), registrytoken="ready")
    assert made.answer(PULL, BEARER, "Bearer ready", sent=time.monotonic()) is None


def test_who_waits_for_an_exchange_that_fails_does_not_make_one_more() -> None:
    asked = []

    def silent(*_: object) -> tuple[int, bytes]:
        asked.append(1)
        time.sleep(0.2)
        raise Unreachable("no answer", where="auth.example")

    made = Authorizations(Credentials({}, Path("/nowhere")), silent, lambda _: False)
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(made.answer, PULL, BEARER, None) for _ in range(12)]
        hint = "r.example takes its tokens from there, so that host has to be reached from here, too"
        assert {str(future.exception()) for future in futures} == {f"auth.example: no answer\n  hint: {hint}"}
    assert len(asked) == 1


@pytest.mark.parametrize(("lifetime", "exchanges"), [(300, 1), (None, 1), (0, 2), (-5, 2)])
def test_a_token_is_used_while_it_lives(lifetime: float | None, exchanges: int) -> None:
    service = Service(lifetime)
    made = authorizations(service, **LOGIN)
    made.answer(PULL, BEARER, None)
    made.held(PULL)
    assert len(service.asked) == exchanges


def test_many_at_once_make_one_exchange_and_other_repositories_do_not_wait() -> None:
    service = Service()
    service.pause = 0.2
    made = authorizations(service, **LOGIN)
    made.answer(wanting("z"), BEARER, None)
    requests = [wanting(name) for name in "abcd"] * 3
    before = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(made.held, requests))
    assert time.monotonic() - before < 0.6
    assert len(service.asked) == 5


def test_what_is_optional_is_asked_along_and_given_up_when_refused() -> None:
    optional = (repository_scope("b", "pull"),)
    request = wanting("a", optional=optional)
    generous, strict = Service(), Service(refuses="repository:b")
    made = authorizations(generous, **LOGIN)
    made.answer(request, BEARER, None)
    assert generous.asked[0][3]["scope"] == ["repository:a:pull", "repository:b:pull"]
    assert made.held(wanting("b")) == "Bearer token1"
    assert authorizations(strict, **LOGIN).answer(request, BEARER, None) == "Bearer token2"
    assert [asked[3]["scope"] for asked in strict.asked] == [
        ["repository:a:pull", "repository:b:pull"],
        ["repository:a:pull"],
    ]


def test_a_service_that_refuses_gives_no_token() -> None:
    assert authorizations(Service(refuses="a"), **LOGIN).answer(PULL, BEARER, None) is None
    assert authorizations(Service(), **LOGIN).answer(PULL, (Challenge("negotiate"),), None) is None
    assert authorizations(Service()).answer(PULL, (Challenge("basic"),), None) is None


@pytest.mark.parametrize(
    ("realm", "text"),
    [
        (
            "http://auth.example/token?x=1",
            (
                "the registry wants tokens from http://auth.example/token: no credential goes over plain HTTP\n"
                "  hint: if that is meant: INSECURE=auth.example"
            ),
        ),
        ("", "the registry's token realm '' is not a URL that can be asked"),
        ("/token", "the registry's token realm '/token' is not a URL that can be asked"),
        ("file:///etc/passwd", "the registry's token realm '/etc/passwd' is not a URL that can be asked"),
        (
            "https://user:pw@auth.example/",
            "the registry's token realm 'https://auth.example/' is not a URL that can be asked",
        ),
        (
            "https://auth.example/\r\nx: y",
            "the registry's token realm 'https://auth.example/x: y' is not a URL that can be asked",
        ),
    ],
)
def test_a_realm_must_be_a_safe_place(realm: str, text: str) -> None:
    service = Service()
    with pytest.raises(UnusableRealm) as raised:
        authorizations(service, **LOGIN).answer(PULL, (Challenge("bearer", (("realm", realm),)),), None)
    assert str(raised.value) == text
    assert service.asked == []


def test_an_insecure_host_may_be_a_plain_realm() -> None:
    challenge = Challenge("bearer", (("realm", "http://insecure.example/token"),))
    assert authorizations(Service(), **LOGIN).answer(PULL, (challenge,), None) == "Bearer token1"


def test_an_answer_without_a_token_is_an_error_that_names_the_realm() -> None:
    def empty(*_: object) -> tuple[int, bytes]:
        return 200, b"{}"

    made = Authorizations(Credentials({}, Path("/nowhere")), empty, lambda _: False)
    with pytest.raises(InvalidDocument, match=r"^https://auth.example/token: has no 'access_token'$"):
        made.answer(PULL, BEARER, None)


def test_secrets_are_concealed_also_when_one_holds_another() -> None:
    made = authorizations(Service(), **LOGIN)
    made.answer(PULL, BEARER, None)
    assert made.conceal("hunter2 token1 bWU6aHVudGVyMg== fine") == "*** *** *** fine"


def test_urls_are_shown_without_what_they_may_hide() -> None:
    assert public_url("https://u:p@h.example:1/a/b?sig=1#x") == "https://h.example:1/a/b"
    assert public_url("/v2/a?x") == "/v2/a"
    assert public_url("http://[") == "?"


def test_a_token_that_would_split_the_header_is_an_error() -> None:
    def splitting(*_: object) -> tuple[int, bytes]:
        return 200, b'{"token": "a\\r\\nX: y"}'

    made = Authorizations(Credentials({}, Path("/nowhere")), splitting, lambda _: False)
    with pytest.raises(
        InvalidDocument, match=r"^https://auth.example/token: the token holds characters that no header may"
    ):
        made.answer(PULL, BEARER, None)


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
