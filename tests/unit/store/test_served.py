"""What registries call content in headers.

OCI distribution spec 1.1: "Pulling manifests" (Docker-Content-Digest).
"""

from __future__ import annotations

import pytest

from multiarch_oci.digest import Digest, DigestMismatch
from multiarch_oci.store.http.exchange import Answer
from multiarch_oci.store.served import check_digest, digest_of

GOOD, OTHER = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)


def answer(header: str | None) -> Answer:
    return Answer(200, {} if header is None else {"Docker-Content-Digest": header}, b"", "")


@pytest.mark.parametrize("header", [None, "", "nonsense", "sha256:AAAA", "md5:00"])
def test_a_header_that_is_no_digest_says_nothing(header: str | None) -> None:
    assert digest_of(answer(header)) is None
    check_digest(answer(header), GOOD, where="r/a")


def test_a_header_that_agrees_or_uses_another_algorithm_is_fine() -> None:
    for header in (f" {GOOD} ", f"sha512:{'c' * 128}"):
        assert digest_of(answer(header)) is not None
        check_digest(answer(header), GOOD, where="r/a")


def test_a_header_that_contradicts_is_an_error() -> None:
    with pytest.raises(DigestMismatch) as raised:
        check_digest(answer(str(OTHER)), GOOD, where="r/a")
    assert str(raised.value) == f"r/a: the registry calls it {OTHER}, but it is {GOOD}"
