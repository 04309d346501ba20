from __future__ import annotations

import pytest

from multiarch_oci.architectures import KNOWN
from multiarch_oci.platform import InvalidPlatform, Platform, declared, nearest

WINDOWS = Platform("windows", "amd64", os_version="10.0.20348.2849")


@pytest.mark.parametrize(
    ("text", "platform", "canonical"),
    [
        ("linux/amd64", Platform("linux", "amd64"), "linux/amd64"),
        ("Linux/X86_64", Platform("linux", "amd64"), "linux/amd64"),
        ("linux/amd64/v1", Platform("linux", "amd64"), "linux/amd64"),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3"), "linux/amd64/v3"),
        ("linux/aarch64", Platform("linux", "arm64"), "linux/arm64"),
        ("linux/arm64/v8", Platform("linux", "arm64"), "linux/arm64"),
        ("linux/arm64/9.0", Platform("linux", "arm64", "v9"), "linux/arm64/v9"),
        ("linux/arm", Platform("linux", "arm", "v7"), "linux/arm/v7"),
        ("linux/armhf", Platform("linux", "arm", "v7"), "linux/arm/v7"),
        ("linux/armel", Platform("linux", "arm", "v6"), "linux/arm/v6"),
        ("linux/arm/6", Platform("linux", "arm", "v6"), "linux/arm/v6"),
        ("linux/arm/7", Platform("linux", "arm", "v7"), "linux/arm/v7"),
        ("linux(+e+c+b+a+d)/arm64", Platform("linux", "arm64", os_features=tuple("abcde")), "linux(+a+b+c+d+e)/arm64"),
        ("macOS/arm64", Platform("darwin", "arm64"), "darwin/arm64"),
        ("windows(10.0.20348)/amd64", Platform("windows", "amd64", "", "10.0.20348"), "windows(10.0.20348)/amd64"),
        ("windows/amd64:10.0.20348.2849", WINDOWS, "windows(10.0.20348.2849)/amd64"),
        ("linux/arm/v7:6.1", Platform("linux", "arm", "v7", "6.1"), "linux(6.1)/arm/v7"),
        ("linux(+b+a+b)/amd64", Platform("linux", "amd64", os_features=("a", "b")), "linux(+a+b)/amd64"),
        (
            "windows(10.0%2Bb+win%2F32)/amd64",
            Platform("windows", "amd64", "", "10.0+b", ("win/32",)),
            "windows(10.0%2Bb+win%2F32)/amd64",
        ),
        ("templeos/x86_64", Platform("templeos", "amd64"), "templeos/amd64"),
        ("arm64", Platform("linux", "arm64"), "linux/arm64"),
        ("armhf", Platform("linux", "arm", "v7"), "linux/arm/v7"),
        ("windows", Platform("windows", "amd64"), "windows/amd64"),
        ("windows:10.0.20348", Platform("windows", "amd64", "", "10.0.20348"), "windows(10.0.20348)/amd64"),
    ],
)
def test_a_specifier_is_parsed_and_normalised_and_its_canonical_form_parses_to_the_same(text, platform, canonical):
    assert Platform.parse(text) == platform
    assert str(platform) == canonical
    assert Platform.parse(canonical) == platform


def test_a_lone_word_takes_its_other_half_from_the_host_that_is_given():
    host = Platform("darwin", "arm64")
    assert Platform.parse("linux", host=host) == Platform("linux", "arm64")
    assert Platform.parse("amd64", host=host) == Platform("darwin", "amd64")
    assert Platform.parse("linux", host=Platform("linux", "arm", "v6")) == Platform("linux", "arm", "v6")
    assert Platform.parse("linux", host=Platform("linux", "amd64", "v3")) == Platform("linux", "amd64")
    assert Platform.parse("linux/s390x", host=host) == Platform("linux", "s390x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a platform: '' is no operating system"),
        ("linux/", "'linux/' is not a platform: '' is empty or holds more than letters, digits, '_', '.' and '-'"),
        (
            "linux/amd64\n",
            "'linux/amd64\\n' is not a platform: 'amd64\n' is empty or holds more than letters, digits, '_', '.' and '-'",
        ),
        ("linux/*", "'linux/*' is not a platform: '*' is empty or holds more than letters, digits, '_', '.' and '-'"),
        ("linux/arm/v7/x", "'linux/arm/v7/x' is not a platform: it has more than three parts"),
        ("amd46", "'amd46' is not a platform: it is neither an operating system nor an architecture"),
        ("amd64()", "'amd64()' is not a platform: it is neither an operating system nor an architecture"),
        ("windows(1", "'windows(1' is not a platform: 'windows(1' is no operating system"),
        (
            "windows(%zz)/amd64",
            "'windows(%zz)/amd64' is not a platform: '%' in '%zz' is not followed by two hexadecimal digits",
        ),
        ("windows(%ff)/amd64", "'windows(%ff)/amd64' is not a platform: '%ff' is not UTF-8"),
        (
            "windows(10.0)/amd64:10.0",
            "'windows(10.0)/amd64:10.0' is not a platform: one os.version follows the ':', and none stands in parentheses then",
        ),
        (
            "windows/amd64:",
            "'windows/amd64:' is not a platform: one os.version follows the ':', and none stands in parentheses then",
        ),
    ],
)
def test_what_is_no_platform_is_an_error_that_quotes_it_and_says_why(text, message):
    with pytest.raises(InvalidPlatform) as error:
        Platform.parse(text)
    assert error.value.what == message
    assert isinstance(error.value, ValueError)
    assert error.value.hint


def test_the_hint_names_the_nearest_platform_or_how_one_is_written():
    with pytest.raises(InvalidPlatform, match="hint: did you mean linux/amd64\\?"):
        Platform.parse("linux/amd 64")
    with pytest.raises(
        InvalidPlatform, match=r"hint: a platform is written os/architecture\[/variant\], e\.g\. linux/arm64"
    ):
        Platform.parse("?????")


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("linux/amd46", "linux/amd64"),
        ("linx/arm64", "linux/arm64"),
        ("amd64/linux", "linux/amd64"),
        ("win/x64", "windows/amd64"),
        ("windows(10.0.20348)/amd46", "windows/amd64"),
        ("windows/amd46:10.0.20348", "windows/amd64"),
        ("linux/armv7", "linux/arm/v7"),
        ("linux/amd64/v5", "linux/amd64/v4"),
        ("amd46", "linux/amd64"),
        ("windwos", "windows/amd64"),
        ("linux/i686", "linux/386"),
        ("linux/arm/v9", "linux/arm/v8"),
        ("zzz/qqq", None),
        ("foo", None),
        ("", None),
    ],
)
def test_the_nearest_known_platform_of_a_slip(text, suggestion):
    assert nearest(text) == suggestion


@pytest.mark.parametrize(
    ("text", "slug", "suffix", "directory"),
    [
        ("linux/amd64", "linux-amd64", "amd64", "amd64/linux"),
        ("linux/amd64/v3", "linux-amd64-v3", "amd64-v3", "amd64-v3/linux"),
        ("linux/arm", "linux-arm-v7", "arm-v7", "arm-v7/linux"),
        ("windows/amd64", "windows-amd64", "windows-amd64", "amd64/windows"),
        (
            "windows/amd64:10.0.20348.2849",
            "windows-amd64-10.0.20348.2849",
            "windows-amd64-10.0.20348.2849",
            "amd64/windows",
        ),
        ("freebsd/arm/v6", "freebsd-arm-v6", "freebsd-arm-v6", "arm-v6/freebsd"),
        ("linux/amd64:6.1", "linux-amd64-6.1", "amd64", "amd64/linux"),
    ],
)
def test_names_of_files_tags_and_folders(text, slug, suffix, directory):
    platform = Platform.parse(text)
    assert (platform.slug, platform.tag_suffix, platform.directory) == (slug, suffix, directory)


@pytest.mark.parametrize(
    "platform",
    [
        Platform("windows", "amd64", os_version="../../x"),
        Platform("windows", "amd64", os_version=".."),
        Platform("../linux", "amd64"),
        Platform("windows", ".."),
        Platform("windows", "amd64", "-v1"),
        Platform("windows", "amd64", os_version="10.0\n"),
    ],
)
def test_what_a_hostile_base_says_gets_into_no_path_and_no_tag(platform):
    for name in ("slug", "tag_suffix"):
        with pytest.raises(InvalidPlatform, match="cannot stand in a file name or tag"):
            getattr(platform, name)
    with pytest.raises(InvalidPlatform, match="cannot stand in a file name or tag"):
        platform.dockerfiles()


def test_the_text_of_that_error():
    with pytest.raises(InvalidPlatform) as error:
        _ = Platform("windows", "amd64", os_version="a/b").slug
    assert str(error.value) == "'a/b' of platform 'windows(a%2Fb)/amd64' cannot stand in a file name or tag"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("linux/amd64", ["linux-amd64", "amd64", "linux", ""]),
        ("linux/arm", ["linux-arm-v7", "linux-arm", "arm-v7", "arm", "linux", ""]),
        ("windows/amd64", ["windows-amd64", "win", "windows", ""]),
        ("windows(10.0.20348.1)/amd64", ["windows-amd64", "win-10.0.20348.1", "win", "windows", ""]),
        ("freebsd/arm/v6", ["freebsd-arm-v6", "freebsd-arm", "freebsd", ""]),
    ],
)
def test_the_dockerfiles_of_a_platform_from_the_most_to_the_least_special(text, names):
    assert Platform.parse(text).dockerfiles() == tuple("Dockerfile" + (f".{name}" if name else "") for name in names)


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        ("1.0-arm64", "linux/arm64"),
        ("v1.0-arm-v7", "linux/arm/v7"),
        ("v1.0-windows-amd64", "windows/amd64"),
        ("v1-windows-amd64-10.0.20348.2849", "windows(10.0.20348.2849)/amd64"),
        ("v1-windows-amd64-10.0.20348", "windows(10.0.20348)/amd64"),
        ("1.0-rc1-amd64", "linux/amd64"),
        ("1.0-linux-x86_64", "linux/amd64"),
        ("1.0-amd64-v3", "linux/amd64/v3"),
        ("amd64", "linux/amd64"),
        ("1.0", None),
        ("1.0-windows", None),
        ("1.0-wasm", None),
        ("1.0-myamd64", None),
        ("1.0-windows-s390x", None),
        ("1.0-amd64-10.0.20348", None),
        ("1.0-amd64-slim", None),
        ("1.0-arm64\n", None),
        ("", None),
    ],
)
def test_the_platform_that_a_tag_names(tag, platform):
    assert Platform.from_tag(tag) == (Platform.parse(platform) if platform else None)


def test_the_tag_suffix_of_every_known_platform_is_read_back_and_each_is_its_own_nearest():
    for pair in sorted(KNOWN):
        platform = Platform(*pair).normalized()
        platform.check_known()
        assert nearest(str(platform)) == str(platform)
        for version in ("1", "v1.0", "1.0-rc1", "nightly", "2024-01-01"):
            assert Platform.from_tag(f"{version}-{platform.tag_suffix}") == platform


def test_the_json_object_is_that_of_the_image_spec_and_reads_back():
    platform = Platform("windows", "arm", "v7", "10.0.1.2", ("win32k",))
    assert list(platform.to_json().items()) == [
        ("architecture", "arm"),
        ("os", "windows"),
        ("os.version", "10.0.1.2"),
        ("os.features", ["win32k"]),
        ("variant", "v7"),
    ]
    assert Platform.from_json(platform.to_json()) == platform
    assert Platform("linux", "amd64").to_json() == {"architecture": "amd64", "os": "linux"}


def test_json_is_kept_as_it_was_written_and_compared_by_its_normal_form():
    written = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    read = Platform.from_json({**written, "rootfs": {}, "os.version": None})
    assert read.to_json() == written
    assert read != Platform.parse("linux/arm64")
    assert read.normalized() == Platform.parse("linux/arm64")
    assert read.matches(Platform.parse("linux/arm64"))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"os": "linux"}, "a platform object has no 'architecture'"),
        ({"architecture": "amd64"}, "a platform object has no 'os'"),
        ({"os": 1, "architecture": "amd64"}, "'os' of a platform object is not text"),
        ({"os": "linux", "architecture": "arm", "variant": ["v7"]}, "'variant' of a platform object is not text"),
        (
            {"os": "linux", "architecture": "arm", "os.features": "x"},
            "'os.features' of a platform object is not a list",
        ),
        ({"os": "linux", "architecture": "arm", "os.features": [1]}, "'os.features' of a platform object is not text"),
    ],
)
def test_a_json_object_of_another_kind_is_an_error_not_a_crash(mapping, message):
    with pytest.raises(InvalidPlatform) as error:
        Platform.from_json(mapping)
    assert error.value.what == message


@pytest.mark.parametrize(
    ("image", "wanted", "serves"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/amd64/v2", "linux/amd64/v3", True),
        ("linux/amd64/v3", "linux/amd64", False),
        ("linux/386", "linux/amd64", True),
        ("linux/amd64", "linux/386", False),
        ("linux/arm/v6", "linux/arm/v7", True),
        ("linux/arm/v5", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v7", "linux/arm64", False),
        ("linux/arm64", "linux/arm64/v8.2", True),
        ("linux/arm64/v8.5", "linux/arm64/v9", True),
        ("linux/arm64/v8.6", "linux/arm64/v9", False),
        ("windows(10.0.20348.1)/amd64", "windows(10.0.20348.2849)/amd64", True),
        ("windows(10.0.20348.1)/amd64", "windows(10.0.20348)/amd64", True),
        ("windows(10.0.20348.1)/amd64", "windows(10.0.26100.1)/amd64", False),
        ("windows(10.0.20348.1)/amd64", "windows/amd64", True),
        ("windows/amd64", "windows(10.0.20348)/amd64", True),
        ("windows(+win32k)/amd64", "windows/amd64", True),
        ("linux(+gpu)/amd64", "linux/amd64", False),
        ("linux(+gpu)/amd64", "linux(+gpu+simd)/amd64", True),
        ("linux(6.1)/amd64", "linux(5.4)/amd64", True),
    ],
)
def test_which_image_serves_whom(image, wanted, serves):
    assert Platform.parse(image).matches(Platform.parse(wanted)) is serves


def test_the_nearest_of_several_images_has_the_lowest_rank():
    wanted = Platform.parse("linux/amd64/v3")
    images = [Platform.parse(text) for text in ("linux/386", "linux/amd64", "linux/amd64/v2", "linux/amd64/v3")]
    assert sorted(images, key=lambda image: image.rank(wanted)) == images[::-1]
    assert images[-1].rank(wanted) == 0
    older = Platform.parse("windows(10.0.20348.1)/amd64")
    assert (
        WINDOWS.rank(WINDOWS) < older.rank(WINDOWS) < Platform("windows", "386", "", WINDOWS.os_version).rank(WINDOWS)
    )


def test_the_declared_platforms_come_in_their_order_and_blanks_do_not_count():
    text = " linux/arm64, windows(10.0.20348)/x86_64,,linux/arm,windows/amd64:10.0.17763.1, "
    assert [str(platform) for platform in declared(text)] == [
        "linux/arm64",
        "windows(10.0.20348)/amd64",
        "linux/arm/v7",
        "windows(10.0.17763.1)/amd64",
    ]
    assert declared("windows", host=Platform("linux", "arm64")) == (Platform("windows", "arm64"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linux/amd46", "PLATFORMS: platform 'linux/amd46' is not known\n  hint: did you mean linux/amd64?"),
        ("linux/amd64/v9", "PLATFORMS: platform 'linux/amd64/v9' is not known\n  hint: did you mean linux/amd64/v4?"),
        (
            "linux/amd64,linux/x86_64",
            "PLATFORMS: 'linux/amd64' and 'linux/x86_64' are both linux/amd64\n  hint: name each platform once",
        ),
        ("linux/386,linux/386", "PLATFORMS: 'linux/386' stands there twice\n  hint: name each platform once"),
        (" , ", "PLATFORMS: no platform is named\n  hint: e.g. linux/amd64,linux/arm64"),
        (
            "linux/amd64,linux/amd64:6.1",
            (
                "PLATFORMS: 'linux/amd64' and 'linux/amd64:6.1' would share the tag suffix '-amd64'\n"
                "  hint: build them separately, under two versions"
            ),
        ),
        (
            "windows(ltsc2022)/amd64",
            (
                "PLATFORMS: platform 'windows(ltsc2022)/amd64': 'ltsc2022' is no Windows version\n"
                "  hint: three or four numbers, e.g. windows(10.0.20348)/amd64"
            ),
        ),
        (
            "linux/s390x/a..%",
            (
                "PLATFORMS: 'linux/s390x/a..%' is not a platform: 'a..%' is empty or holds more than letters, digits, '_', '.' and '-'\n"
                "  hint: did you mean linux/s390x?"
            ),
        ),
        ("linux/s390x/..", "PLATFORMS: '..' of platform 'linux' cannot stand in a file name or tag"),
    ],
)
def test_a_bad_list_of_platforms_is_an_error_that_names_the_culprit(text, message):
    with pytest.raises(InvalidPlatform) as error:
        declared(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("Linux", "x86_64", "linux/amd64"),
        ("Linux", "aarch64", "linux/arm64"),
        ("Linux", "armv7l", "linux/arm/v7"),
        ("Linux", "armv6l", "linux/arm/v6"),
        ("Linux", "i686", "linux/386"),
        ("Darwin", "arm64", "darwin/arm64"),
        ("Windows", "AMD64", "windows/amd64"),
        ("Windows", "ARM64", "windows/arm64"),
        ("Linux", "riscv64", "linux/riscv64"),
    ],
)
def test_the_platform_of_a_machine_as_python_names_it(system, machine, platform):
    assert Platform.of_machine(system, machine) == Platform.parse(platform)


def test_a_machine_that_does_not_say_what_it_is_is_an_error():
    with pytest.raises(InvalidPlatform):
        Platform.of_machine("", "")


def test_platforms_have_an_order_and_can_be_keys():
    platforms = declared("windows/amd64,linux/arm64,linux/amd64")
    assert [str(platform) for platform in sorted(platforms)] == ["linux/amd64", "linux/arm64", "windows/amd64"]
    assert len({*platforms, Platform.parse("linux/aarch64")}) == 3
    assert str(Platform("", "")) == "unknown"
