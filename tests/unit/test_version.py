from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from multiarch_oci.version import InvalidVersion, Version, expand


@pytest.mark.parametrize(
    ("text", "numbers", "is_prerelease"),
    [
        ("1.2.3", ("1", "2", "3"), False),
        ("v1.2.3", ("1", "2", "3"), False),
        ("1.2.0-rc1", ("1", "2", "0"), True),
        ("v1.2.0-rc.1", ("1", "2", "0"), True),
        ("1.2.3-4-gabcdef0", ("1", "2", "3"), True),
        ("1.2.0-1", ("1", "2", "0"), True),
        ("1.2.0-SNAPSHOT", ("1", "2", "0"), True),
        ("1.2.0rc1", ("1", "2", "0"), True),
        ("v1.2.0a1", ("1", "2", "0"), True),
        ("1.2.0.dev3", ("1", "2", "0"), True),
        ("1.2b2", ("1", "2"), True),
        ("1.2.0.post1", ("1", "2", "0"), False),
        ("1.2", ("1", "2"), False),
        ("1.2.3.4", ("1", "2", "3"), False),
        ("2026.01.05", ("2026", "01", "05"), False),
        ("nightly", (), False),
        ("12a3", (), False),
        ("1234567", (), False),
        ("1.2-alpine", (), False),
        ("_", (), False),
    ],
)
def test_numbers_and_pre_releases_are_read_by_semver_and_pep_440(text, numbers, is_prerelease):
    version = Version.parse(text)
    assert (str(version), version.numbers, version.is_prerelease) == (text, numbers, is_prerelease)


@pytest.mark.parametrize("text", ["", "1.0+x", "-1", ".1", "1/2", "1 2", "1.0\n", "é", "1:2", "../1"])
def test_a_version_that_is_no_tag_is_an_error_that_quotes_it(text):
    with pytest.raises(InvalidVersion) as error:
        Version.parse(text)
    assert str(error.value) == (
        f"VERSION: {text!r} is not a valid tag\n  hint: letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128"
    )
    assert isinstance(error.value, ValueError)


def test_a_tag_has_at_most_128_characters_the_platform_included():
    long = Version.parse("1" * 128)
    assert long.tag() == "1" * 128
    assert Version.parse("1.0").tag("windows-amd64-10.0.20348.2849") == "1.0-windows-amd64-10.0.20348.2849"
    with pytest.raises(InvalidVersion) as error:
        Version.parse("1" * 120).tag("arm-v7ab")
    assert str(error.value) == (
        f"VERSION: tag '{'1' * 120}-arm-v7ab' has 129 characters, 128 are allowed\n  hint: shorten the version"
    )
    with pytest.raises(InvalidVersion, match=r"VERSION: tag '1+' has 129 characters, 128 are allowed"):
        Version.parse("1" * 129)


@pytest.mark.parametrize(
    ("tags", "version", "expanded"),
    [
        ("", "1.2.3", ()),
        ("latest", "1.2.3", ("latest",)),
        ("latest,{major},{major}.{minor}", "v1.2.3", ("latest", "1", "1.2")),
        (" v{major}.{minor}.{patch} , latest,,latest ", "1.2.3", ("v1.2.3", "latest")),
        ("{major}.{minor}.{patch},latest", "1.2.3", ("latest",)),
        ("1.0", "1.2.3", ("1.0",)),
        ("latest,{major}", "1.2.3-rc1", ()),
        ("latest,{major}", "1.2.3rc1", ()),
        ("latest", "nightly", ("latest",)),
        ("{major}", "1.2", ("1",)),
        ("{major}.{minor}", "2026.01.05", ("2026.01",)),
    ],
)
def test_further_tags_come_from_the_version_and_a_pre_release_moves_none(tags, version, expanded):
    assert expand(tags, Version.parse(version)) == expanded


@pytest.mark.parametrize(
    ("tags", "version", "message"),
    [
        (
            "{major}",
            "nightly",
            (
                "TAGS: '{major}' needs a version like 1.2.3, and 'nightly' has no major number\n"
                "  hint: leave '{major}' away, or change VERSION"
            ),
        ),
        (
            "latest,v{patch}",
            "1.2",
            (
                "TAGS: 'v{patch}' needs a version like 1.2.3, and '1.2' has no patch number\n"
                "  hint: leave '{patch}' away, or change VERSION"
            ),
        ),
        (
            "{mayor}",
            "1.2.3-rc1",
            "TAGS: '{mayor}' holds the unknown placeholder '{mayor}'\n  hint: there are {major}, {minor} and {patch}",
        ),
        (
            "{major",
            "1.2.3",
            "TAGS: '{major' is not a valid tag\n  hint: letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128",
        ),
    ],
)
def test_a_bad_further_tag_is_an_error_already_for_a_pre_release(tags, version, message):
    with pytest.raises(InvalidVersion) as error:
        expand(tags, Version.parse(version))
    assert str(error.value) == message


def test_a_semver_version_is_read_without_importing_packaging():
    code = "import sys; from multiarch_oci.version import Version; Version.parse('1.2.3-rc1'); sys.exit('packaging' in sys.modules)"
    root = Path(__file__).parents[2] / "site_scons"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
