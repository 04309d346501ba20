"""The pure parts of a registry's repository; the rest is asked of real ones in tests/integration.

OCI distribution spec 1.1: "Listing Tags" (Link, RFC 8288).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multiarch_oci.digest import Digest
from multiarch_oci.reference import InvalidReference, Reference
from multiarch_oci.store.auth import Credentials
from multiarch_oci.store.http.exchange import Settings
from multiarch_oci.store.http.transport import Transport
from multiarch_oci.store.registry import Registry
from multiarch_oci.store.repository import referrers_tag
from multiarch_oci.store.served import next_page


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (None, None),
        ("", None),
        ("</v2/a/tags/list?n=2&last=b>; rel=next", "/v2/a/tags/list?n=2&last=b"),
        ('</a,b;c>; rel="next"', "/a,b;c"),
        ('</p>; rel=prev, </n>; title="x, y"; rel="last next"', "/n"),
        ("</n>; rel=prev", None),
        ("</n> rel=next", None),
        ("nonsense; rel=next", None),
    ],
)
def test_the_next_page_is_read_from_the_link_header(header: str | None, target: str | None) -> None:
    assert next_page(header) == target


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_tag_of_referrers_holds_no_more_than_64_characters_of_a_digest(algorithm: str) -> None:
    subject = Digest.of(b"an image", algorithm)
    assert referrers_tag(subject) == f"{algorithm}-{subject.hex[:64]}"


def test_a_name_that_is_none_is_never_asked_for() -> None:
    transport = Transport(Settings(), Credentials({}, Path("/nowhere")))
    store = Registry(transport, Reference("127.0.0.1:1", "a"))
    for name in ("../../x", "a b", "", "sha256:short", "v1?x=1"):
        with pytest.raises(InvalidReference):
            store.resolve(name)


def test_a_no_op_does_not_pay_for_http() -> None:
    code = "import sys, multiarch_oci.store.tags; print([m for m in ('http.client', 'urllib3', 'docker', 'ssl', 'email') if m in sys.modules])"
    root = Path(__file__).resolve().parents[3] / "site_scons"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
