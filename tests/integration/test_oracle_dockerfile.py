"""Our reading of Dockerfiles and ignore files against BuildKit's own libraries, on many inputs, good and bad."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_oracle import Oracle, sent
from multiarch_oci.dockerfile import InvalidDockerfile, mounts, parser, shell
from multiarch_oci.dockerfile.instructions import Command, Run, Stage, expanded
from multiarch_oci.dockerfile.stages import stages
from multiarch_oci.errors import MultiarchError
from multiarch_oci.ignorefile import IgnoreFile
from multiarch_oci.wildcard import BadPattern, match_glob

MANY = settings(max_examples=600, deadline=None, database=None, suppress_health_check=list(HealthCheck))
VARIABLES = {"a": "x/y*z", "b": "", "C": "two  words", "_d": "$a\\n", "n1": "10", "é": "ümlaut"}


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: sent(value) for name, value in variables.items()}


@pytest.fixture(scope="session")
def corpus(buildkit: Path) -> list[Path]:
    """BuildKit's own test files."""
    parser = buildkit / "parser"
    return sorted([*parser.glob("testfiles*/*/Dockerfile"), *parser.glob("testfile-line/Dockerfile")])


def _plain(value: object) -> object:
    """Give our records the oracle's shape."""
    if isinstance(value, msgspec.Struct):
        fields = {name: _plain(member) for name, member in msgspec.structs.asdict(value).items()}
        if isinstance(value, (*Command.__args__, Stage)):
            fields["kind"] = type(value).__name__
        if isinstance(value, Run):
            fields |= {"mounts": len(value.mounts), "devices": len(value.devices)}
            fields["files"] = tuple({"name": f.name, "content": f.content, "chomp": f.chomp} for f in value.files)
        return fields
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def _ours(content: bytes) -> dict:
    try:
        parsed = parser.parse(content, name="Dockerfile")
    except InvalidDockerfile as error:
        return {"error": str(error), "where": error.where}
    reply = _plain(parsed)
    del reply["name"]
    try:
        before, found = stages(parsed)
    except InvalidDockerfile as error:
        return {**reply, "stages_error": str(error)}
    reply["stages"] = _plain((*before, *found))

    def expand(word: str) -> str:
        return shell.expand(word, VARIABLES, escape=parsed.escape)

    def every(commands: tuple) -> tuple:
        return tuple(expanded(command, expand) for command in commands)

    try:
        changed = (msgspec.structs.replace(stage, instructions=every(stage.instructions)) for stage in found)
        return {**reply, "expanded": _plain((*every(before), *changed))}
    except InvalidDockerfile as error:
        return {**reply, "expanded_error": str(error)}


def _same(ours: dict, theirs: dict) -> None:
    """Compare answers; of an error only that it is one."""
    for key in {*ours, *theirs}:
        if key == "where":
            assert ours[key].startswith("Dockerfile:")
        elif key.endswith("error"):
            assert (key in ours) == (key in theirs), (ours.get(key), theirs.get(key))
        else:
            assert ours.get(key) == theirs.get(key), key


def _compare(oracle: Oracle, content: bytes) -> dict:
    theirs = oracle.ask("dockerfile", content=sent(content), env=_environment(VARIABLES))
    _same(_ours(content), theirs)
    return theirs


def _pieces(pieces: list[str], most: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(pieces), max_size=most).map(
        lambda found: "".join(found).encode("utf-8", "surrogateescape")
    )


KEYWORDS = [
    "FROM", "from", "COPY", "ADD", "RUN", "ENV", "LABEL", "ARG", "CMD", "ENTRYPOINT", "SHELL", "EXPOSE", "VOLUME",
    "USER", "WORKDIR", "STOPSIGNAL", "HEALTHCHECK", "ONBUILD", "ONBUILD RUN", "ONBUILD COPY", "MAINTAINER", "oops",
]  # fmt: skip
BITS = [
    " ", " ", " ", "\t", "\n", "\n", "\r\n", "\\\n", "\\", "\\\\", "`", "`\n", "'", '"', "$a", "${b:-x y}", "${C}", "$", "=",
    "a=b", "a", "b c", "é", "\xa0", "\x85", "\udcc3", "\udcff", "#", "# c\n", "<<EOF", "<<-EOF", "<<'E F'", '<<"EOF"', "3<<E",
    "\nEOF\n", "\n\tEOF\n", "E F\n", "--", "--from=x", "--chown=a:b", "--link", "--link=false", "--exclude=*.go", "--x", "[", "]",
    '["a", "b"]', '["a",1]', "[1e999]", '"\\ud800"', "NaN", ",", "AS", "as st", "NONE", "CMD", "--interval=1m30s", "--retries=3",
    "--mount=type=cache,target=/x", "--mount=from=$a", "--platform=$C", "\ufeff", "\x00", "\x0b",
]  # fmt: skip
HEADS = [
    "# syntax=docker/dockerfile:1 x\n",
    "# escape=`\n",
    "#escape = \\ \r\n",
    "# check=skip=all\n",
    "# escape=x\n",
    "#!/x\n",
]


def _flag(name: str, values: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(values).map(lambda value: f"--{name}={value} ")


WORDS = st.lists(
    st.sampled_from(["a", "b/c", "$a", "${b:-x}", '"q q"', "'s s'", "a\\ b", "x=1", 'y="z w"', "<<EOF", "é", "/dest/", "80/tcp"]),
    min_size=1, max_size=4,
)  # fmt: skip
ARGUMENTS = st.one_of(
    WORDS.map(" ".join),
    WORDS.map(" \\\n  ".join),
    WORDS.map(" \\\n# comment\n\n".join),
    st.lists(st.sampled_from(["a", "/b c", "$a", "é\n", "<<EOF"]), max_size=3).map(json.dumps),
    WORDS.map(lambda found: "CMD " + " ".join(found)),
)
FLAGS = st.one_of(
    st.just(""),
    _flag("from", ["x", "0", "$a", ""]),
    _flag("chmod", ["755", "u+x", ""]),
    _flag("interval", ["1m", "1.5h", "1us", "x", "-1s", "0", "", "1h2", ".5s", "999999999h", "9223372036854775807ns"]),
    _flag("retries", ["3", "-1", "x", "+4", "99999999999"]),
    _flag("exclude", ["*.go --exclude=b", "b"]),
    _flag("platform", ["linux/amd64", "$a"]),
    _flag("keep-git-dir", ["true", "FALSE", "x", ""]),
    _flag("mount", ["type=bind,from=b", "from=$a", '"x', "type=secret"]),
    _flag("device", ["a", "a,b", "name=a,required=x", "required"]),
    _flag("network", ["none", "x"]),
)
LINES = st.tuples(st.sampled_from(KEYWORDS), FLAGS, ARGUMENTS).map(lambda parts: f"{parts[0]} {parts[1]}{parts[2]}\n")
FILES = st.tuples(
    st.sampled_from(["", *HEADS]),
    st.sampled_from(["FROM x\n", "ARG a=1\nFROM $a AS Base\n", ""]),
    st.lists(st.one_of(LINES, LINES.map(lambda line: f"{line}body $a\n\tEOF\nEOF\n")), max_size=4),
).map(lambda parts: (parts[0] + parts[1] + "".join(parts[2])).encode())


@MANY
@given(FILES)
def test_dockerfiles_read_as_buildkit_reads_them(oracle: Oracle, content: bytes) -> None:
    _compare(oracle, content)


@MANY
@given(
    _pieces(HEADS, 2), st.sampled_from([b"", b"FROM x\n"]), st.sampled_from(KEYWORDS), _pieces([*BITS, *KEYWORDS], 12)
)
def test_nonsense_reads_as_buildkit_reads_it(
    oracle: Oracle, head: bytes, base: bytes, keyword: str, rest: bytes
) -> None:
    _compare(oracle, head + base + keyword.encode() + b" " + rest)


def test_buildkits_own_files_read_as_buildkit_reads_them(oracle: Oracle, corpus: list[Path]) -> None:
    answers = [_compare(oracle, path.read_bytes()) for path in corpus]
    assert len(answers) >= 37
    assert sum("error" in answer for answer in answers) >= 4


@MANY
@given(data=st.data())
def test_damaged_files_of_buildkit_read_as_buildkit_reads_them(
    oracle: Oracle, corpus: list[Path], data: st.DataObject
) -> None:
    content = data.draw(st.sampled_from(corpus)).read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 8)))
        content = content[:start] + data.draw(_pieces(BITS, 2)) + content[end:]
    _compare(oracle, content)


@pytest.mark.parametrize("length", [65534, 65535, 65536, 65537])
@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_the_longest_line_is_buildkits(oracle: Oracle, length: int, end: bytes, bom: bytes) -> None:
    _compare(oracle, bom + b"FROM x # ".ljust(length - len(bom), b"y") + end)
    _compare(oracle, b"FROM x\nRUN ".ljust(length + 7, b"y") + end)


@pytest.mark.parametrize(
    "content",
    [
        b"#!/x\n//syntax=a b\nFROM x", b"//syntax=a\nFROM x", b"#syntax=a\n#syntax=b\nFROM x", b" # syntax=a\nFROM x",
        b"# check=skip=a;error=true\n# syntax = a \nFROM x", b"\xef\xbb\xbf#syntax=a\nFROM x", b"", b"\n\n# x\n", b"\\", b"ARG a",
        b"FROM x\nRUN <<a <<b\n1\na\n2\nb\n", b"FROM x\nONBUILD COPY <<a /x\n1\na\n", b"FROM x\nCOPY <<a <<-a b\n1\na\n2\n\ta\n",
        b"FROM x\nRUN 99999999999999999999999<<a\na\n", b"# es\xc4\xb0ape=`\nFROM x", b"FROM x a\xc5\xbf b", b"FROM x\nworkd\xc4\xb0r a",
    ],
)  # fmt: skip
def test_corner_cases_read_as_buildkit_reads_them(oracle: Oracle, content: bytes) -> None:
    _compare(oracle, content)


WORD_BITS = [
    "a", "b", "C", "_d", "é", "zz", " ", "\t", "\xa0", "'", '"', "\\", "`", "$", "$a", "$b", "$1", "$@", "${", "}", ":", "-", "+", "?", "#",
    "##", "%", "%%", "/", "//", "*", "<", "<<", "[", ".", "${a", "${b:-", "${C#", "${a%%", "${a/", "${a//", "${zz?", "${zz+", "x", "y",
    "\n", "\udcc3", "$0", "${0}", "$$", "\ufeff",
]  # fmt: skip


@MANY
@given(_pieces(WORD_BITS, 10), st.sampled_from(["\\", "`"]), st.sampled_from(["word", "heredoc"]))
def test_words_expand_as_buildkit_expands_them(oracle: Oracle, word: bytes, escape: str, kind: str) -> None:
    _compare_word(oracle, word.decode("utf-8", "surrogateescape"), escape, kind)


def _compare_word(oracle: Oracle, word: str, escape: str, kind: str) -> None:
    escape = "\\" if kind == "heredoc" else escape
    theirs = oracle.ask(kind, content=sent(word), escape=sent(escape), env=_environment(VARIABLES))
    try:
        if kind == "heredoc":
            ours: dict = {"text": shell.expand_heredoc(word, VARIABLES)}
            theirs = {key: theirs[key] for key in theirs if key in {"text", "error"}}
        else:
            found = shell.expand_names(word, VARIABLES, escape=escape)
            names = {"matched": tuple(sorted(found.matched)), "unmatched": tuple(sorted(found.unmatched))}
            ours = {"text": found.text, "words": found.words, **names}
            assert shell.expand_words(word, VARIABLES, escape=escape) == found.words
    except InvalidDockerfile as error:
        ours = {"error": str(error)}
    _same(ours, theirs)


OPERANDS = st.lists(
    st.sampled_from(
        ["x", "y", "z", "/", "\\/", "*", "?", "\\*", "\\\\", "'*'", '"?"', "$n1", "${b:-*}", "$0", "$$", "\\}", ""]
    ),
    max_size=4,
).map("".join)


NAMES = st.sampled_from(["a", "b", "C", "zz", "n1"])
MODIFIERS = st.sampled_from(["#", "##", "%", "%%", "/", "//", ":-", "-", ":+", "+", ":?", "?", ":#", "^", ":"])


@MANY
@given(
    st.tuples(NAMES, MODIFIERS),
    OPERANDS,
    OPERANDS,
    st.sampled_from(["\\", "`"]),
)
def test_modifiers_work_as_in_buildkit(
    oracle: Oracle, asked: tuple[str, str], first: str, second: str, escape: str
) -> None:
    name, modifier = asked
    second = f"/{second}" if modifier.startswith("/") else ""
    _compare_word(oracle, f"p${{{name}{modifier}{first}{second}}}s", escape, "word")


def test_buildkits_own_words_expand_as_buildkit_expands_them(oracle: Oracle, buildkit: Path) -> None:
    folder = buildkit / "shell"
    lines = [line for name in ("envVarTest", "wordsTest") for line in (folder / name).read_text("utf-8").splitlines()]
    assert len(lines) > 100
    for line in lines:
        for part in line.split("|"):
            _compare_word(oracle, part.strip(), "\\", "word")


MOUNT_BITS = [
    "type=bind", "type=cache", "TYPE=Secret", "type=tmpfs", "type=ssh", "type=x", "from=st", "from=$a", "source=/s", "src=$a", "target=/t",
    "dst=", "ro", "rw", "ro=false", "readwrite=x", "required", "required=true", "size=64m", "size=1.5 GiB", "size=x", "size=1e3kb", "id=i",
    "sharing=locked", "sharing=x", "mode=0755", "mode=9", "uid=1000", "gid=4294967296", "env=E", "env=", "oops", "oops=1", '"id=a,b"',
    '"id=a""b"', 'x"', "", "\n",
]  # fmt: skip


@MANY
@given(st.lists(st.sampled_from(MOUNT_BITS), max_size=5).map(",".join))
def test_mounts_read_as_buildkit_reads_them(oracle: Oracle, text: str) -> None:
    theirs = oracle.ask("mount", content=sent(text), env=_environment(VARIABLES))
    try:
        mounts.check_mount(text)
        ours = msgspec.structs.asdict(mounts.parse_mount(text, lambda word: shell.expand(word, VARIABLES)))
    except InvalidDockerfile as error:
        ours = {"error": str(error)}
    _same(ours, theirs)


PATHS = sorted(
    {
        "/".join(parts[:count]) + ("/" if count < len(parts) else "")
        for a in ("a", "b", "ab", "é", "a.b")
        for b in ("a", "b", "ab", "[x]", "1")
        for parts in ((a, b, "a"), (a, b, "b.go"), (a, b, "a b", "ab"), (a, "x*y"), (a + "d",))
        for count in range(1, len(parts) + 1)
    },
    key=lambda path: path.rstrip("/").encode().split(b"/"),
)
PATTERN_BITS = [
    "a", "b", "ab", "é", ".", "..", "/", "/", "*", "**", "**/", "?", "[a-b]", "[^a]", "[", "]", "\\", "\\d", "\\Q", "[*]", "[z-a]", "[[:alpha:]]",
    "[a\\]]", "-", "^", "$", "(", "+", "go", " ", "1", "[a-", "[?]", "\\b", "\\x61", "\\141", "[:^digit:]", "[\\w]", "\udcc3", "\ufeff",
]  # fmt: skip
PATTERNS = st.lists(st.sampled_from(PATTERN_BITS), max_size=5).map("".join)
SIMPLE = st.lists(
    st.sampled_from(["a", "b", "ab", "*", "**", "?", "a.b", "a*", "[x]", "b.go"]), min_size=1, max_size=3
).map("/".join)
RULES = st.tuples(
    st.sampled_from(["", "", "!", "!", "# ", " ", "! ", "/", "!/", "\t"]), st.one_of(SIMPLE, SIMPLE, PATTERNS)
).map("".join)
IGNORES = st.tuples(
    st.sampled_from(["", "", "\ufeff"]), st.lists(RULES, max_size=5), st.sampled_from(["\n", "\r\n", "\n\n"])
).map(lambda parts: (parts[0] + parts[2].join(parts[1])).encode("utf-8", "surrogateescape"))


def _kept(content: bytes, paths: Sequence[str] = PATHS) -> tuple[str, ...]:
    """Walk paths as fsutil does: parents of what is kept appear before it."""
    ignored = IgnoreFile.parse(content, name=".dockerignore")
    states: dict[str, tuple[bool, ...]] = {"": ()}
    kept: list[str] = []
    skipped: list[str] = []
    for entry in paths:
        path = entry.removesuffix("/")
        if any(path.startswith(each) for each in skipped):
            continue
        parent = path.rpartition("/")[0]
        excluded, states[path] = ignored.excludes(path, states[parent])
        if excluded and entry.endswith("/") and ignored.prunable(path):
            skipped.append(entry)
        if not excluded:
            parts = path.split("/")
            kept += [each for count in range(1, len(parts)) if (each := "/".join(parts[:count])) not in kept]
            kept.append(path)
    return tuple(kept)


def _answer(ask: Callable[[], object], key: str) -> dict:
    try:
        return {key: ask()}
    except (MultiarchError, BadPattern) as error:
        return {"error": str(error)}


@MANY
@given(IGNORES)
def test_ignore_files_keep_what_buildkits_walk_keeps(oracle: Oracle, content: bytes) -> None:
    theirs = oracle.ask("walk", content=sent(content), paths=[sent(path) for path in PATHS])
    _same(_answer(lambda: _kept(content), "kept"), theirs)


# What patternmatcher leaves to Go's regexp in a pattern that is no plain text: `|`, `{` and `}` (issue 13, line 11b).
OPERATORS = [
    "src/*.pem|src/*.key", "x{2}*", "[a]{2}", "*|", "a*{2}", "|*", "*|{2}", "{2}*", "a|b", "a{2}", "**/a|b", "**/a*|b{2}", "a{2}**", "?{2}", "?{0}b",
    "a{1001}?", "a{1000}?", "a{2,1}?", "a{,2}?", "a{02}?", "a{2,}?", "a{0,2}*", "a{99999999999}?", "a{2}{2}?", "a{2}\\Q\\E{2}?", "*\\Q\\E{2}",
    "a{500}\\Q\\E{3}?", "\\Qab{2}|\\E{2}?", "a{500}\\Q\\E{2}*", "[{]*", "\\{*", "[|]*", "\\|?", "a**/{2}b", "(a|b)*", "a|b**", "\\x{61}*",
    "[\\x{61}]", "\\x{110000}?", "\\x{}?", "[a-|]*", "[a|{]{1,3}", "{a,b}*", "{*", "}*", "a{*}", "a{?", "a{1,?", "a{1,*}", "^{2}*", "\\b{2}a*",
    "$|*", ".|?", "[*{2}]", "[**]{2}", "*||", "a||?", "?\\", "*|\\", "a{1}{2}|?", "\\A|b?", "\\z|?",
    "\\d{2}|?", "[^a|b]", "[[:alpha:]]{2}", "!*|", "é{2}*", "a{0}\\Q\\E{1000}?", "a{0,1}\\Q\\E{1000}?", "*?{1000}|" + "x{1000}" * 3400,
]  # fmt: skip
NAMES_OF_OPERATORS = sorted(
    ["src/", "src/a.pem", "src/b.key", "src/x.pem|src", "a", "aa", "aaa", "ab", "b", "bb", "xx", "xx1", "x{2}", "x{2}b", "[a]{2}", "a|b", "|", "|b",
     "{2}", "{2}b", "a{2}", "a{2}b", "{a,b}", "ab{2}|", "ab{2}||", "é", "éé", "a*{2}", "d/", "d/a", "d/aa", "d/b", "d/e/", "d/e/b", "(a|b)", "11", "$",
     "a{,2}b", "a{02}b", "a{2,}b", "z\\", "x\ny"],
    key=lambda path: path.rstrip("/").encode().split(b"/"),
)  # fmt: skip
OPERATOR_BITS = st.lists(
    st.sampled_from(
        ["a", "b", "a", "*", "?", "|", "{2}", "{0,1}", "{1,}", "{", "}", "{1001}", "{02}", ",", "2", "[ab]", "[^a]", "[|]", "/", "**/", "\\", "\\Q",
         "\\E", "\\d", "é", "x{500}", "{3}", "(", ")", "$", "^", ".", "\\b", "\\x{61}"],
    ),
    min_size=1,
    max_size=6,
).map("".join)  # fmt: skip


def _operators(oracle: Oracle, lines: Sequence[str]) -> None:
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    theirs = oracle.ask("walk", content=sent(content), paths=[sent(path) for path in NAMES_OF_OPERATORS])
    _same(_answer(lambda: _kept(content, NAMES_OF_OPERATORS), "kept"), theirs)


@pytest.mark.parametrize("pattern", OPERATORS, ids=lambda pattern: pattern[:40])
def test_what_go_takes_for_an_operator_is_one_here(oracle: Oracle, pattern: str) -> None:
    _operators(oracle, [pattern])
    _operators(oracle, [pattern, "!a|b?", "**/b"])


@settings(MANY, max_examples=3000)
@given(st.lists(st.tuples(st.sampled_from(["", "", "!"]), OPERATOR_BITS).map("".join), min_size=1, max_size=2))
def test_any_pattern_with_operators_leaves_out_what_buildkit_leaves_out(oracle: Oracle, lines: list[str]) -> None:
    _operators(oracle, lines)


@MANY
@given(PATTERNS, _pieces(["a", "b", "ab", "é", "/", "[", "\\", "-", "1", "\udcc3", "z"], 4))
def test_globs_match_as_in_go(oracle: Oracle, pattern: str, name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape")
    theirs = oracle.ask("glob", content=sent(pattern), name=sent(text))
    _same(_answer(lambda: match_glob(pattern, text), "match"), theirs)
