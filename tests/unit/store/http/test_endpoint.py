"""Which URLs are a registry's own, and what its paths and addresses mean.

RFC 6454 §4 (origins), RFC 3986 §5.2 (references).
"""

from __future__ import annotations

import threading

import pytest

from multiarch_oci.store.http.endpoint import Endpoint, same_origin


def endpoint(scheme: str | None = "https", netloc: str = "r.example:5000") -> Endpoint:
    return Endpoint(netloc, insecure=False, uploads=threading.BoundedSemaphore(), scheme=scheme)


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("/v2/a/manifests/b", "https://r.example:5000/v2/a/manifests/b"),
        ("v2/", "https://r.example:5000/v2/"),
        ("//other.example/v2/", "https://other.example/v2/"),
        ("https://other.example/v2/", "https://other.example/v2/"),
        ("http://other.example/v2/", "http://other.example/v2/"),
        ("http://r.example:5000/v2/", "https://r.example:5000/v2/"),
        ("http://r.example:5000.evil.example/", "http://r.example:5000.evil.example/"),
    ],
)
def test_a_url_is_made_absolute_and_the_registrys_own_keeps_its_scheme(url: str, absolute: str) -> None:
    assert endpoint().absolute(url) == absolute


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://r.example:5000/v2/", True),
        ("HTTPS://R.EXAMPLE:5000/v2/", True),
        ("https://r.example:05000", True),
        ("http://r.example:5000/v2/", False),
        ("https://r.example/v2/", False),
        ("https://r.example:50000/v2/", False),
        ("https://r.example:5000@evil.example/v2/", False),
        ("https://r.example:5000.evil.example/v2/", False),
        ("https://r.example:5000\\@evil.example/", False),
        ("https://sub.r.example:5000/", False),
    ],
)
def test_only_the_registrys_own_origin_is_its_own(url: str, *, own: bool) -> None:
    assert endpoint().owns(url) is own


def test_a_host_whose_scheme_is_not_known_is_taken_for_a_secure_one() -> None:
    assert [endpoint(scheme).root for scheme in (None, "http")] == ["https://r.example:5000/", "http://r.example:5000/"]


def test_what_is_no_url_has_no_origin() -> None:
    assert same_origin("https://r.example:443/a", "https://r.example/b")
    assert not same_origin("nonsense", "nonsense")
