"""A shared cache that is silent, fails or refuses costs seconds, and each cause is one line (docs/cache.md)."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import FaultProxy
from machines.project import Run
from machines.registry import PASSWORD, USER, Registry
from machines.signing import Key
from machines.small import Tree
from machines.tokens import TokenRegistry

Maker = Callable[[str], Tree]
KINDS = ("GET manifest", "HEAD manifest", "PUT manifest", "GET blob", "HEAD blob", "POST", "PATCH", "PUT blob", "other")
FEW_S = 90
"""Where it took more than 8 minutes; the build itself and one limit are a tenth of it."""


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.host) as proxy:
        yield proxy


def spoil(proxy: FaultProxy, kinds: tuple[str, ...], **fault: object) -> None:
    proxy.forget()
    for kind in kinds:
        proxy.order(kind, times=999, **fault)


def warnings(run: Run) -> list[str]:
    return [line for line in run.text.splitlines() if "warning: " in line]


def fill(variant: Maker, cache: str, *words: str) -> None:
    variant("first").scons("manifest", cache, "CACHE_MODE=readwrite", *words)


@pytest.mark.parametrize("mode", ["read", "readwrite"])
def test_a_cache_that_is_silent_costs_seconds_and_one_line(variant: Maker, registry: Registry, mode: str):
    with FaultProxy(registry.host, latency=900) as silent:
        began = time.monotonic()
        words = (f"REGISTRY={registry.host}", f"CACHE={silent.host}/team/cache", f"CACHE_MODE={mode}")
        run = variant("first").scons("push-manifest", *words, timeout=300)
        assert time.monotonic() - began < FEW_S
        (line,) = warnings(run)
        assert f"the cache cannot be read: {silent.host}: no answer within 5 s" in line
        assert "this run goes on without it" in line
    assert registry.digest("demo", "v1.0")


def test_a_cache_that_falls_silent_after_its_entries_were_read_costs_seconds(
    variant: Maker, registry: Registry, proxy: FaultProxy
):
    cache = f"CACHE={proxy.host}/cache"
    fill(variant, cache)
    spoil(proxy, ("GET blob",), stall=900)
    began = time.monotonic()
    second = variant("second")
    run = second.scons("bin", "push-manifest", f"REGISTRY={registry.host}/other", cache, timeout=300)
    assert time.monotonic() - began < FEW_S
    assert len(warnings(run)) == 1, run.text
    assert (second.path / "_output/bin/amd64/linux/demo").exists()


@pytest.mark.parametrize("status", [500, 429])
def test_a_cache_that_fails_is_asked_a_few_times(variant: Maker, registry: Registry, proxy: FaultProxy, status: int):
    spoil(proxy, KINDS, status=status)
    words = (f"REGISTRY={registry.host}", f"CACHE={proxy.host}/cache", "CACHE_MODE=readwrite", "-j1")
    run = variant("first").scons("push-manifest", *words)
    (line,) = warnings(run)
    assert "the cache cannot be read: " in line
    assert sum(seen.method != "GET" or "/cache/" not in seen.path for seen in proxy.seen) == 0
    assert len(proxy.seen) <= 8  # the listing and programs, each twice; the images are not asked for


def test_a_cache_that_fails_for_one_entry_gives_the_others(variant: Maker, proxy: FaultProxy):
    cache = f"CACHE={proxy.host}/cache"
    fill(variant, cache)
    spoil(proxy, ())
    proxy.order("GET manifest", status=500, times=2)
    run = variant("second").scons("manifest", cache)
    assert run.text.count(": from cache") == 4


def test_who_may_not_write_still_reads(variant: Maker, proxy: FaultProxy):
    cache = f"CACHE={proxy.host}/cache"
    fill(variant, cache)
    spoil(proxy, ("POST", "PUT manifest"), status=403)
    second = variant("second")
    second.append("main.go", "// a comment\n")
    run = second.scons("manifest", cache, "CACHE_MODE=readwrite", "-j1")
    assert run.text.count("the cache cannot be written to: ") == 1
    assert run.text.count(": from cache") == 2  # the images, whose programs were compiled


def test_who_may_not_read_what_is_not_there_yet_writes(variant: Maker, registry: Registry, proxy: FaultProxy):
    spoil(proxy, ("GET manifest",), status=403)  # as registries say of a repository that nobody made yet
    run = variant("first").scons("manifest", f"CACHE={proxy.host}/cache", "CACHE_MODE=readwrite")
    assert run.text.count("the cache cannot be read: ") == 1
    assert len(registry.tags("cache")) >= 6


@pytest.mark.parametrize("status", [403, 507])
def test_a_list_that_cannot_be_left_is_said(variant: Maker, registry: Registry, proxy: FaultProxy, status: int):
    cache = f"CACHE={proxy.host}/cache"
    fill(variant, cache)
    for tag in registry.tags("cache"):
        if "list" in tag:
            registry.delete_tag("cache", tag)
    spoil(proxy, ("POST", "PUT manifest"), status=status)
    run = variant("second").scons("manifest", cache, "CACHE_MODE=readwrite")
    assert run.text.count(": from cache") == 4
    (line,) = warnings(run)
    assert "the cache cannot be written to: " in line


@pytest.mark.parametrize("why", ["signed by another key", "a page to log in at"])
def test_one_cause_is_one_line_and_a_number(variant: Maker, proxy: FaultProxy, tmp_path: Path, why: str):
    cache, words = f"CACHE={proxy.host}/cache", []
    if why == "signed by another key":
        fill(variant, cache, f"CACHE_KEY={Key(tmp_path, 'theirs').file}")
        words = [f"CACHE_KEY={Key(tmp_path, 'ours').public}"]
    else:
        page = b"<!DOCTYPE html><html><title>Log in</title></html>"
        spoil(proxy, KINDS, status=200, headers=(("Content-Type", "text/html"),), body=page)
    run = variant("second").scons("manifest", cache, *words)
    first, rest = warnings(run)
    assert "an entry of the cache is left out: " in first
    assert re.search(r": \d more entries of the cache are left out", rest), rest
    assert not re.search(r"[0-9a-f]{64}", first + rest)


def test_entries_that_do_not_come_stop_no_push_to_the_same_registry(
    variant: Maker, registry: Registry, proxy: FaultProxy
):
    spoil(proxy, ("GET manifest",), stall=900)  # pushes ask by HEAD
    proxy.order("PUT manifest", status=503, times=3, path="v1.0-amd64")  # more often than a cache is asked
    words = (f"REGISTRY={proxy.host}", "CACHE=REGISTRY", "CACHE_MODE=readwrite")
    run = variant("first").scons("push-manifest", *words, timeout=300)
    assert len(warnings(run)) == 1, run.text
    assert registry.tags("demo") == ["v1.0", "v1.0-amd64", "v1.0-arm64"]
    assert run.status == 0


def test_a_token_service_that_is_silent_costs_seconds(
    variant: Maker, registry: Registry, token_registry: TokenRegistry, clean_environment: Path
):
    service = token_registry.service.realm.removeprefix("http://").removesuffix("/token")
    with FaultProxy(service, latency=900) as realm, FaultProxy(token_registry.host, realm=realm.host) as proxy:
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (clean_environment / ".docker").mkdir()
        login = json.dumps({"auths": {proxy.host: {"auth": secret}}})
        (clean_environment / ".docker/config.json").write_text(login, encoding="utf-8")
        began = time.monotonic()
        words = (f"REGISTRY={registry.host}", f"CACHE={proxy.host}/cache", "CACHE_MODE=readwrite")
        run = variant("first").scons("push-manifest", *words, timeout=300)
    assert time.monotonic() - began < FEW_S
    assert len(warnings(run)) == 1, run.text
