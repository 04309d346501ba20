from __future__ import annotations

import pytest

from multiarch_oci.engine.embedded.ownership import Chmod
from multiarch_oci.engine.frontend.tree import CannotCopy


@pytest.mark.parametrize(
    ("text", "mode", "directory", "wanted"),
    [
        ("755", 0o644, False, 0o755),
        ("0600", 0o755, True, 0o600),
        ("4755", 0o644, False, 0o4755),
        ("u=rwX,go=rX", 0o644, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o711, False, 0o755),
        ("a+x", 0o644, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("go-rwx", 0o755, False, 0o700),
        ("go=", 0o755, False, 0o700),
        ("g=u", 0o744, False, 0o774),
        ("go=u-w", 0o755, True, 0o755),
        ("u+s", 0o755, False, 0o4755),
        ("g+s", 0o755, True, 0o2755),
        ("o+s", 0o755, False, 0o755),
        ("+t", 0o777, True, 0o1777),
        ("o+t", 0o777, True, 0o777),
        ("u=rw,g+w-x", 0o755, False, 0o665),
    ],
)
def test_a_mode_is_applied_as_chmod_does(text, mode, directory, wanted):
    assert oct(Chmod.parse(text).apply(mode, directory=directory)) == oct(wanted)


@pytest.mark.parametrize("text", ["9", "77777", "u~x", "x", "u=rw,", "=q", ""])
def test_what_is_no_mode_is_refused(text):
    with pytest.raises(CannotCopy, match="invalid --chmod"):
        Chmod.parse(text)


def test_only_a_number_reaches_the_folders_on_the_way():
    assert Chmod.parse("4700").for_parents == 0o700
    assert Chmod.parse("go=").for_parents == 0o755
