from __future__ import annotations

import pytest

from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.engine.embedded.ports import exposed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", ("80/tcp",)),
        ("80/UDP", ("80/udp",)),
        ("80/", ("80/tcp",)),
        ("80-82/sctp", ("80/sctp", "81/sctp", "82/sctp")),
        ("80-80", ("80/tcp",)),
        ("8080:80", ("80/tcp",)),
        ("8000-8010:80", ("80/tcp",)),
        ("127.0.0.1:8080:80", ("80/tcp",)),
        ("[::1]:8080:80", ("80/tcp",)),
        ("0", ("0/tcp",)),
    ],
)
def test_a_port_is_read_as_buildkit_does(text, wanted):
    assert exposed(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "/tcp", "x", "65536", "80/http", "82-80", "-1", "1.1.1:1:80", "1-2:80-90", "80:", "8 0"]
)
def test_what_is_no_port_is_an_error_that_quotes_it(text):
    with pytest.raises(InvalidDockerfile, match="EXPOSE"):
        exposed(text)
