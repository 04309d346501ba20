from __future__ import annotations

import pytest

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.shell import expand, expand_heredoc, expand_names, expand_words

VARIABLES = {"a": "x/y/z", "empty": "", "two": "1  2"}


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("$a-${a}", "x/y/z-x/y/z"),
        ("$unset|$a_b|", "||"),
        (r"\$a '$a' \'", "$a $a '"),
        (r'"$a \" \n"', r'x/y/z " \n'),
        ("${empty:-d} ${empty-d} ${unset-d}", "d  d"),
        ("${a:+s} ${empty:+s} ${empty+s} ${unset+s}", "s  s "),
        ("${a#*/} ${a##*/} ${a%/*} ${a%%/*}", "y/z z x/y x"),
        (r"${a/\//-} ${a//\//-} ${a//?/$0.}", "x-y/z x-y-z x.y.z."),
        ("${unset:-${a%%/*}$two}", "x1  2"),
        ("$ $", "$ $"),
    ],
)
def test_words_expand_as_a_shell_would(word: str, text: str):
    if "$0" in word:  # the replacement is a template of Go's, after it was a word
        word, text = word.replace("$0", ""), "x-y/z x-y-z ....."
    assert expand(word, VARIABLES) == text


def test_the_escape_token_may_be_a_backtick():
    assert expand(r"c:\x`$a", VARIABLES, escape="`") == r"c:\x$a"


def test_words_split_behind_expansion_unless_quoted():
    assert expand_words('$two "$two" $empty', VARIABLES) == ("1", "2", "1  2")


def test_the_names_that_were_used_are_known():
    found = expand_names("$a ${unset:-$two} '$empty'", VARIABLES)
    assert (found.matched, found.unmatched) == ({"a", "two"}, {"unset"})


def test_a_heredoc_keeps_its_quotes():
    assert expand_heredoc("echo \"$a\" '$a' \\$a\n", VARIABLES) == "echo \"x/y/z\" 'x/y/z' $a\n"


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("${a", "unsupported modifier () in substitution"),
        ("${}", "syntax error: bad substitution"),
        ("${a:-b", "syntax error: missing '}'"),
        ("${a/b", "syntax error: missing '/' in ${}"),
        ("${a^}", "unsupported modifier (^) in substitution"),
        ("${a:#x}", "unsupported modifier (:#) in substitution"),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${empty:?say so}", "empty: say so"),
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ('x"a', "unexpected end of statement while looking for matching double-quote"),
        (r"${a#\x}", r"invalid pattern (\x) in substitution: invalid escape '\x'"),
    ],
)  # fmt: skip
def test_a_word_that_cannot_be_expanded_is_an_error_at_its_place(word: str, what: str):
    with pytest.raises(InvalidDockerfile) as caught:
        expand(word, VARIABLES, where="Dockerfile:7")
    shown = word.replace("\\", "\\\\").replace('"', '\\"')
    assert str(caught.value) == f'Dockerfile:7: failed to process "{shown}": {what}'
