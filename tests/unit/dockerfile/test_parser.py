from __future__ import annotations

import pytest

from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.parser import Heredoc, parse


def lines(content: bytes) -> list[tuple]:
    return [(i.keyword, i.arguments, i.line, i.end_line) for i in parse(content, name="Dockerfile").instructions]


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidDockerfile) as caught:
        parse(content, name="Dockerfile.arm64")
    return str(caught.value)


def test_continued_lines_skip_comments_and_blank_lines_and_count_them():
    content = b"FROM a\n\nRUN x \\\n# comment\n\n  y\nUSER u\n"
    assert lines(content) == [("FROM", ("a",), 1, 1), ("RUN", ("x   y",), 3, 6), ("USER", ("u",), 7, 7)]


def test_an_escaped_escape_token_continues_nothing():
    assert lines(b"RUN x \\\\\nUSER u") == [("RUN", ("x \\\\",), 1, 1), ("USER", ("u",), 2, 2)]


def test_windows_files_with_byte_order_mark_and_crlf_read_the_same():
    assert lines(b"\xef\xbb\xbfFROM a\r\nRUN x \\\r\n y\r\n") == lines(b"FROM a\nRUN x \\\n y\n")


def test_directives_stand_at_the_head_only():
    found = parse(
        b"# syntax=docker/dockerfile:1 extra\n# ESCAPE = `\n# check=skip=all\nFROM a\nRUN x `\n y\n", name="D"
    )
    assert (found.syntax, found.escape, found.check) == ("docker/dockerfile:1", "`", "skip=all")
    assert found.instructions[1].arguments == ("x  y",)
    late = parse(b"# a comment\n# escape=`\n# syntax=x\nFROM a\n", name="D")
    assert (late.syntax, late.escape) == (None, "\\")


def test_flags_are_taken_off_and_quotes_in_them_resolved():
    copy = parse(b"COPY --from='a b' --link -- --x /y", name="D").instructions[0]
    assert (copy.flags, copy.arguments) == (("--from=a b", "--link"), ("--x", "/y"))


@pytest.mark.parametrize(
    ("rest", "arguments", "json"),
    [
        (b'["a", "b c"]', ("a", "b c"), True),
        (b"['a']", ("['a']",), False),
        (b'["a"] b', ('["a"] b',), False),
        (b"[]", (), True),
        (b'["\\u00e9\\ud800"]', ("é\ufffd",), True),
    ],
)
def test_the_exec_form_is_json_or_else_it_is_the_shell_form(rest: bytes, arguments: tuple, json: bool):
    found = parse(b"CMD " + rest, name="D").instructions[0]
    assert (found.arguments, found.json) == (arguments, json)


def test_pairs_keep_quotes_and_the_old_form_has_no_delimiter():
    new, old = parse(b"ENV a=\"b c\" d='e'\nENV a b  c", name="D").instructions
    assert new.arguments == ("a", '"b c"', "=", "d", "'e'", "=")
    assert old.arguments == ("a", "b  c", "")


def test_heredocs_belong_to_their_line():
    content = b"COPY <<A <<-'B C' /x/\n1 $a\r\nA\n\t2\n\tB C\nRUN 3<<D\nD\n"
    copy, run = parse(content, name="D").instructions
    assert copy.heredocs == (Heredoc("A", "1 $a\r\n", True, False), Heredoc("B C", "\t2\n", False, True))
    assert (copy.line, copy.end_line) == (1, 5)
    assert run.heredocs == (Heredoc("D", "", True, False, 3),)


@pytest.mark.parametrize("line", [b"ENV a=<<A", b'COPY ["<<A", "/x"]', b"RUN echo '<<A'", b"RUN cat <<<A", b"RUN 1 <<"])
def test_these_open_no_heredoc(line: bytes):
    assert parse(line + b"\nUSER u", name="D").instructions[0].heredocs == ()


def test_onbuild_holds_an_instruction_with_its_own_flags_and_heredocs():
    found = parse(b"ONBUILD COPY --from=x <<A /y\n1\nA", name="D").instructions[0]
    assert found.arguments == ("COPY", "<<A", "/y")
    assert found.trigger
    assert found.trigger.flags == ("--from=x",)
    assert found.heredocs[0].content == "1\n"


def test_bytes_that_are_not_utf_8_survive():
    assert parse(b"LABEL a \xff", name="D").instructions[0].arguments[1].encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "Dockerfile.arm64:1: file with no instructions"),
        (b"# only\n\n# comments\n", "Dockerfile.arm64:3: file with no instructions"),
        (b"# escape=x\nFROM a", "Dockerfile.arm64:1: invalid escape token 'x' does not match ` or \\"),
        (b"# syntax=a\n# syntax=b\nFROM a", "Dockerfile.arm64:2: only one syntax parser directive can be used"),
        (b"FROM a\nENV x", "Dockerfile.arm64:2: ENV must have two arguments"),
        (
            b"FROM a\nLABEL x=y z",
            ("Dockerfile.arm64:2: Syntax error - can't find = in \"z\". Must be of the form: name=value\n"
            "  hint: quote the value, or escape its blanks"),
        ),
        (
            b'FROM a\n\nCMD ["a", 1]',
            "Dockerfile.arm64:3: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            b"FROM a\nRUN <<EOF\nx\n",
            "Dockerfile.arm64:2: unterminated heredoc\n  hint: a line that holds EOF and nothing else ends it",
        ),
        (
            b"FROM a\nRUN " + b"x" * 65536,
            "Dockerfile.arm64:2: dockerfile line greater than max allowed size of 65535",
        ),
    ],
)  # fmt: skip
def test_errors_name_file_and_line(content: bytes, text: str):
    assert refusal(content) == text
