from __future__ import annotations

import pytest

from multiarch_oci.wildcard import BadPattern, Wildcard, match_glob


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*.go", "a.go", True),
        ("*", "a/b", False),
        ("a?c", "aéc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[\\]a]", "]", True),
        ("\\*", "*", True),
        ("a*b*c", "aXbYc", True),
        ("*[^q]*b", "x/yb", False),
        ("a*[", "b", False),
        ("?", "\udcc3a", False),
        ("??", "\udcc3a", True),
    ],
)
def test_globs_match_whole_names(pattern: str, name: str, matches: bool):
    assert match_glob(pattern, name) is matches


@pytest.mark.parametrize("pattern", ["[", "[]a]", "[a-]", "[-a]", "a\\", "[a"])
def test_a_malformed_glob_is_an_error(pattern: str):
    with pytest.raises(BadPattern):
        match_glob(pattern, "a")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "a/b", True),
        ("**/b", "b", True),
        ("**/b", "ab", False),
        ("a/**", "a/b/c", True),
        ("a**/c", "a/b/c", True),
        ("a.b", "axb", False),
        ("[*]x", "[^]x", True),
        ("\\d", "7", True),
        ("[[:alpha:]]", "a", True),
        ("src/*.pem|src/*.key", "src/b.key", True),
        ("src/*.pem|src/*.key", "src/a.pem", True),
        ("src/*.pem|src/*.key", "src/a.txt", False),
        ("a|b", "a|b", True),
        ("a|b", "a", False),
        ("x{2}*", "xxy", True),
        ("x{2}*", "x{2}y", False),
        ("[a]{2}", "aa", True),
        ("*|", "d/e", True),
        ("\\{*", "{x", True),
        ("[|]*", "|x", True),
        ("{a,b}*", "{a,b}x", True),
        ("\\x{61}", "a", True),
        ("a{2}\\Q\\E{2}?", "aaaax", True),
        ("\\pLx", "äx", True),
        ("\\PLx", "äx", False),
        ("\\p{Lu}*", "Äx", True),
        ("\\p{Lu}*", "äx", False),
        ("\\p{^Lu}*", "äx", True),
        ("\\P{^Lu}*", "äx", False),
        ("[\\pN\\p{Zs}-]x", "½x", True),
        ("[\\pN\\p{Zs}-]x", "-x", True),
        ("[^\\pN]x", "½x", False),
        ("\\pN{2}x", "12x", True),
        ("\\p{C}x", "\u0378x", True),
        ("\\p{Any}*", "x", True),
        ("[\\P{Any}]*", "x", False),
    ],
)
def test_wildcards_match_as_patternmatcher_writes_them(pattern: str, path: str, matches: bool):
    assert Wildcard(pattern).matches(path) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "a*[",
        "[z-a]",
        "\\y",
        "[[:no:]]",
        "a*{2}",
        "*|{2}",
        "?{1001}",
        "?{2}{2}",
        "\\p",
        "\\p{L*",
        "[a-\\pL]",
        "[\\p{Greek}]",
        "\\x{110000}",
    ],
)
def test_a_wildcard_that_cannot_be_compiled_is_an_error_when_it_is_used(pattern: str):
    with pytest.raises(BadPattern):
        Wildcard(pattern).matches("a")
