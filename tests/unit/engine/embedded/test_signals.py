from __future__ import annotations

import pytest

from multiarch_oci.dockerfile.errors import InvalidDockerfile
from multiarch_oci.engine.embedded.signals import check


@pytest.mark.parametrize("signal", ["SIGTERM", "sigquit", "KILL", "9", "RTMIN+3", "SIGRTMAX-14", "99"])
def test_a_signal_is_a_name_or_a_number(signal):
    check(signal)


@pytest.mark.parametrize("signal", ["", "0", "SIGNOPE", "RTMIN+16", "-9"])
def test_anything_else_is_an_error(signal):
    with pytest.raises(InvalidDockerfile, match="there is no such signal"):
        check(signal)
