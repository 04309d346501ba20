from __future__ import annotations

from pathlib import Path

import pytest

from multiarch_oci.ignorefile import IgnoreFile, InvalidIgnoreFile


def ignoring(*lines: str) -> IgnoreFile:
    return IgnoreFile.parse("\n".join(lines).encode(), name=".dockerignore")


def walked(tmp_path: Path, ignored: IgnoreFile, *files: str) -> list[str]:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    return [path for path, _ in ignored.walk(tmp_path)]


@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("*.go", "a.go", True),
        ("*.go", "b/a.go", False),
        ("**/*.go", "b/a.go", True),
        ("/b/", "b/a.go", True),
        ("b/../c", "c", True),
        ("b/**", "b", False),
        ("# b", "# b", False),
        (" # b", "# b", True),
        ("b\\*", "b*", True),
        ("[^a]", "b", True),
        (".", "b", False),
    ],
)
def test_a_pattern_leaves_out_what_it_matches_and_what_is_below(pattern: str, path: str, out: bool):
    assert ignoring(pattern).excludes(path)[0] is out


def test_a_byte_order_mark_and_crlf_are_no_part_of_a_pattern():
    assert IgnoreFile.parse(b"\xef\xbb\xbfa\r\n", name="x").excludes("a")[0]


def test_the_last_pattern_that_matches_decides(tmp_path: Path):
    assert walked(tmp_path, ignoring("*.md", "!README.md"), "README.md", "x.md", "y") == ["README.md", "y"]


def test_what_is_brought_back_shows_its_folders_first(tmp_path: Path):
    ignored = ignoring("a", "!a/b/keep*", "!a/d/keep")
    kept = walked(tmp_path, ignored, "a/b/drop", "a/b/keep1", "a/b/keep2", "a/c/drop", "a/d/keep", "z")
    assert kept == ["a", "a/b", "a/b/keep1", "a/b/keep2", "a/d", "a/d/keep", "z"]


def test_a_walk_remembers_what_matched_a_parent():
    # BuildKit's walk differs from a question about one path: the folder did not match `!b`, as nothing had left it out.
    ignored = ignoring("b/ab", "!b")
    _, state = ignored.excludes("b")
    assert (ignored.excludes("b/ab", state)[0], ignored.excludes("b/ab")[0]) == (True, False)


def test_an_excluded_folder_is_skipped_unless_something_below_may_come_back():
    assert ignoring("a").prunable("a")
    assert not ignoring("a", "!a/b").prunable("a")
    assert ignoring("a", "!b/**").prunable("a")
    assert not ignoring("a", "!*/b").prunable("a")


def test_patterns_of_an_instruction_are_read_without_a_file():
    assert IgnoreFile.of(("*.go",), name="Dockerfile:3").excludes("a.go")[0]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("a", "!"), '.dockerignore:2: illegal exclusion pattern: "!"\n  hint: name what is brought back: !path'),
        (
            ("", "[a"),
            '.dockerignore:2: syntax error in pattern "[a"\n  hint: close each [ with ], write a bracket itself as \\[',
        ),
        (("x" * 65536,), ".dockerignore:1: line too long"),
    ],
)
def test_a_malformed_line_is_an_error_that_names_it(lines: tuple[str, ...], text: str):
    with pytest.raises(InvalidIgnoreFile) as caught:
        ignoring(*lines)
    assert str(caught.value) == text


def test_a_pattern_that_only_a_match_finds_malformed_is_an_error_then():
    ignored = ignoring("[z-a]")
    with pytest.raises(InvalidIgnoreFile, match=r"^\.dockerignore:1: syntax error in pattern"):
        ignored.excludes("a")


@pytest.mark.parametrize(
    ("pattern", "what", "hint"),
    [
        (
            "a*{2}",
            'syntax error in pattern "a*{2}"',
            "beside * ? [ ] or \\ a { repeats and a | is 'or', as BuildKit has it",
        ),
        ("src\\p{Lib}*", 'a Unicode class in pattern "src\\p{Lib}*" is not read here', "is no separator of folders"),
        ("a[b", 'syntax error in pattern "a[b"', "close each ["),
    ],
)
def test_a_pattern_that_no_expression_can_be_made_of_says_where_and_why(pattern: str, what: str, hint: str):
    with pytest.raises(InvalidIgnoreFile) as caught:
        ignoring("x", pattern).excludes("y")
    assert caught.value.where == ".dockerignore:2"
    assert caught.value.what == what
    assert hint in (caught.value.hint or "")


def test_a_loop_of_loops_ends():
    assert not ignoring("*\\Q\\E{1000}\\Q\\E{0,}b").excludes("a" * 3000)[0]
