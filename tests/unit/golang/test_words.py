from __future__ import annotations

import pytest

from multiarch_oci.golang.words import fields, quoted, split


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        (" \t\n", ()),
        ("-a  -b\t-c\n", ("-a", "-b", "-c")),
        ("'-ldflags=-X a=b' -v", ("-ldflags=-X a=b", "-v")),
        ("\"-ldflags=-X 'a'=b\"-v", ("-ldflags=-X 'a'=b", "-v")),
        ("-ldflags='-X a=b'", ("-ldflags='-X", "a=b'")),
        (r"-I C:\inc\new", ("-I", r"C:\inc\new")),
        (r"'C:\Program Files\zig.exe' cc", (r"C:\Program Files\zig.exe", "cc")),
        ("'' x", ("", "x")),
        ("'open x", ("'open", "x")),
    ],
)
def test_variables_are_split_as_go_splits_them(text: str, found: tuple[str, ...]):
    assert fields(text) == found


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("-tags=a  -v", ("-tags=a", "-v")),
        ("-gcflags='all=-N -l' -v", ("-gcflags=all=-N -l", "-v")),
        ('"-ldflags=-X a=it\'s" -v', ("-ldflags=-X a=it's", "-v")),
        ("-tags=a # no remark", ("-tags=a", "#", "no", "remark")),
        ("''", ("",)),
    ],
)
def test_flags_are_split_as_a_shell_splits_them(text: str, found: tuple[str, ...], windows: bool):
    assert split(text, windows=windows) == found


@pytest.mark.parametrize(
    ("windows", "found"),
    [(True, (r"-pgo=C:\pgo\new.pprof", "x\\")), (False, ("-pgo=C:pgonew.pprof", "x\\"))],
)
def test_a_backslash_separates_folders_on_windows_and_escapes_elsewhere(windows: bool, found: tuple[str, ...]):
    assert split("-pgo=C:\\pgo\\new.pprof " + ("x\\" if windows else "x\\\\"), windows=windows) == found


def test_an_open_quote_is_an_error():
    with pytest.raises(ValueError, match="quotation"):
        split("-tags='a")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-X", "main.A=built on Monday"), "-X 'main.A=built on Monday'"),
        (("-X=main.A=it's",), '"-X=main.A=it\'s"'),
        (("-X main.version=v1", "-s -w"), "-X main.version=v1 -s -w"),
        (("-X", "'main.A=built on Monday'"), "-X 'main.A=built on Monday'"),
        (("-X=main.A=a b", "", "-s"), "'-X=main.A=a b' '' -s"),
    ],
)
def test_a_list_of_words_becomes_a_text_that_go_splits_into_them(words: tuple[str, ...], text: str):
    assert quoted(words) == text


def test_a_word_with_both_quotes_has_no_text():
    with pytest.raises(ValueError, match="both"):
        quoted(["""it's "both" """])
