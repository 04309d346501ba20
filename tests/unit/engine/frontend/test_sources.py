from __future__ import annotations

import pytest

from multiarch_oci.engine.frontend.sources import windows_below, windows_slashed
from multiarch_oci.windows import InvalidWindowsPath


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (r"C:\app\x", "/app/x"),
        ("c:/app/", "/app/"),
        ("C:app", "app"),
        (r"sub\x\ ".strip(), "sub/x/"),
        ("/x", "/x"),
        ("", ""),
    ],
)
def test_slashes_and_drive_are_those_of_the_layer(path, text):
    assert windows_slashed(path) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("D:/x", "'D:/x' is not on drive C:, the only one of an image"),
        (
            r"\\host\x",
            r"'\\host\x' is on another machine" + "\n  hint: a path in a Windows image begins with C:\\ or /",
        ),
        ("C:", "'C:' names no path\n  hint: write C:/, or `# escape=`` above and C:\\ here"),
    ],
)
def test_what_is_in_no_image_is_an_error(path, text):
    with pytest.raises(InvalidWindowsPath) as caught:
        windows_slashed(path)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("folder", "path", "whole"),
    [
        ("", "app/", "/app"),
        ("\\", "app", "/app"),
        (r"\srv", r"..\x", "/x"),
        (r"C:\srv", "C:x", "/srv/x"),
        (r"\srv", r"C:\x", "/x"),
        ("/", "../../x", "/x"),
    ],
)
def test_a_path_is_seen_from_its_folder(folder, path, whole):
    assert windows_below(folder, path) == whole
