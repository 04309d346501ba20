from __future__ import annotations

import pytest

from multiarch_oci.config import HealthCheck
from multiarch_oci.dockerfile import InvalidDockerfile
from multiarch_oci.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    InlineFile,
    Onbuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    Volume,
    expanded,
)
from multiarch_oci.dockerfile.parser import parse
from multiarch_oci.dockerfile.shell import expand
from multiarch_oci.dockerfile.stages import stages


def typed(line: str):
    return stages(parse(f"FROM x\n{line}\n".encode(), name="D"))[1][0].instructions[0]


def test_stages_begin_with_from_and_meta_args_stand_before():
    content = b"ARG V=1\nARG W\nFROM --platform=$P a:$V AS Base\nARG V\nRUN x\nFROM base\n"
    before, (first, second) = stages(parse(content, name="D"))
    assert [arg.arguments for arg in before] == [(Argument("V", "1"),), (Argument("W"),)]
    assert (first.name, first.base, first.platform, first.line) == ("base", "a:$V", "$P", 3)
    assert [type(each) for each in first.instructions] == [Arg, Run]
    assert (second.name, second.base, second.instructions) == ("", "base", ())


def test_copy_knows_its_flags_and_its_heredocs():
    copy = typed(
        "COPY --from=0 --chown=1:2 --chmod=755 --link --parents --exclude=a --exclude=b s <<-'F' /d/\n\ttext\nF"
    )
    assert isinstance(copy, Copy)
    assert (copy.sources, copy.destination) == (("s",), "/d/")
    assert copy.contents == (InlineFile("F", "text\n", expand=False),)
    assert (copy.from_, copy.chown, copy.chmod, copy.link, copy.parents) == ("0", "1:2", "755", True, True)
    assert (copy.exclude, copy.line, copy.end_line) == (("a", "b"), 2, 4)


def test_add_tells_a_switch_that_was_not_given_from_one_that_is_off():
    add = typed("ADD --keep-git-dir=false --checksum=sha256:1 u /d")
    assert isinstance(add, Add)
    assert (add.keep_git_dir, add.unpack, add.checksum) == (False, None, "sha256:1")


@pytest.mark.parametrize(
    ("line", "arguments", "shell_form"),
    [('ENTRYPOINT ["/a", "b"]', ("/a", "b"), False), ("ENTRYPOINT /a b", ("/a b",), True), ("ENTRYPOINT", (), True)],
)
def test_entrypoint_has_two_forms(line: str, arguments: tuple, shell_form: bool):
    found = typed(line)
    assert isinstance(found, Entrypoint)
    assert (found.arguments, found.shell_form) == (arguments, shell_form)


def test_the_others_say_what_they_say():
    assert typed("ENV a=b c='d e'").pairs == (Pair("a", "b"), Pair("c", "'d e'"))
    assert typed("ENV a b c").pairs == (Pair("a", "b c", legacy=True),)
    assert typed('SHELL ["cmd", "/S"]') == Shell(
        arguments=("cmd", "/S"), original='SHELL ["cmd", "/S"]', line=2, end_line=2
    )
    assert typed("EXPOSE 80 443/tcp $P").ports == ("$P", "443/tcp", "80")
    assert typed('VOLUME ["/a", " /b "]').volumes == ("/a", "/b")
    assert typed("ONBUILD COPY <<A /x\n1\nA").expression == "COPY <<A /x\n1\nA"
    assert typed("RUN --mount=type=cache,target=/c --network=none x").network == "none"
    assert isinstance(typed("EXPOSE 1"), Expose)
    assert isinstance(typed("ONBUILD RUN x"), Onbuild)


def test_a_healthcheck_counts_in_nanoseconds():
    found = typed("HEALTHCHECK --interval=1m30s --timeout=.5s --retries=3 CMD curl x")
    assert isinstance(found, Healthcheck)
    assert found.check == HealthCheck(("CMD-SHELL", "curl x"), interval=90 * 10**9, timeout=5 * 10**8, retries=3)
    assert typed("HEALTHCHECK none").check == HealthCheck(("NONE",))


def test_expanded_expands_what_buildkit_expands():
    def value(word: str) -> str:
        return expand(word, {"V": "1"})

    copy = expanded(typed('COPY --from=$V --chown=$V ["a $V", "/$V"]'), value)
    assert isinstance(copy, Copy)
    assert (copy.from_, copy.chown, copy.sources, copy.destination) == ("$V", "1", ("a 1",), "/1")
    env = expanded(typed('ENV a="$V x" $V=2'), value)
    assert isinstance(env, Env)
    assert env.pairs == (Pair("a", "1 x"), Pair("1", "2"))
    volume, signal, run = (expanded(typed(line), value) for line in ("VOLUME /$V", "STOPSIGNAL $V", "RUN $V"))
    assert isinstance(volume, Volume)
    assert isinstance(signal, StopSignal)
    assert isinstance(run, Run)
    assert (volume.volumes, signal.signal, run.arguments) == (("/1",), "1", ("$V",))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("FROM x\nCOPPY a b", "D:2: unknown instruction: COPPY\n  hint: did you mean COPY?"),
        ("RUN x", "D:1: no build stage in current context\n  hint: begin with FROM"),
        ("ARG a", "D: dockerfile contains no stages to build\n  hint: begin with FROM"),
        ("FROM", "D:1: FROM requires either one or three arguments\n  hint: FROM [--platform=…] image [AS name]"),
        ("FROM x AS 1", 'D:1: invalid name for build stage: "1", name can\'t start with a number or contain symbols'),
        ("FROM x\n\nCOPY --form=a b c", "D:3: unknown flag: --form\n  hint: did you mean from?"),
        ("FROM x\nCOPY --from b c", "D:2: missing a value on flag: --from"),
        ("FROM x\nCOPY --link=x b c", "D:2: expecting boolean value for flag --link, not: x"),
        ("FROM x\nCOPY --from=a --from=b b c", "D:2: duplicate flag specified: --from"),
        ("FROM x\nCOPY a", "D:2: COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
        ("FROM x\nADD a <<A\nA", "D:2: ADD cannot accept a heredoc as a destination"),
        ("FROM x\nUSER", "D:2: USER requires exactly one argument"),
        ("FROM x\nENV =a", "D:2: ENV names can not be blank"),
        ("FROM x\nARG =a", "D:2: ARG names can not be blank"),
        ("FROM x\nLABEL", "D:2: LABEL requires at least one argument"),
        ('FROM x\nVOLUME [""]', "D:2: VOLUME specified can not be an empty string"),
        ("FROM x\nSHELL cmd", 'D:2: SHELL requires the arguments to be in JSON form\n  hint: SHELL ["program", "argument"], each \\ doubled'),
        ("FROM x\nHEALTHCHECK NONE x", "D:2: HEALTHCHECK NONE takes no arguments"),
        ("FROM x\nHEALTHCHECK CMD", "D:2: Missing command after HEALTHCHECK CMD"),
        ("FROM x\nHEALTHCHECK RUN x", 'D:2: Unknown type "RUN" in HEALTHCHECK (try CMD)'),
        ("FROM x\nHEALTHCHECK --retries=-1 CMD x", "D:2: --retries cannot be negative (-1)"),
        ("FROM x\nHEALTHCHECK --interval=1us CMD x", 'D:2: Interval "interval" cannot be less than 1ms'),
        (
            "FROM x\nHEALTHCHECK --interval=1x CMD x",
            'D:2: time: unknown unit "x" in duration "1x"\n  hint: a number and a unit: ns, us, ms, s, m, h, as in 1m30s',
        ),
        ("FROM x\nONBUILD FROM y", "D:2: FROM isn't allowed as an ONBUILD trigger"),
        ("FROM x\nONBUILD ONBUILD RUN y", "D:2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("FROM x\nRUN --network=x y", 'D:2: invalid network mode "x"\n  hint: default, none or host'),
        (
            "FROM x\nRUN --mount=from=$a y",
            ("D:2: 'from' doesn't support variable expansion, define alias stage instead\n"
            "  hint: write FROM image:$NAME AS name above, and from=name here"),
        ),
    ],
)  # fmt: skip
def test_errors_say_file_line_and_what_buildkit_says(content: str, text: str):
    with pytest.raises(InvalidDockerfile) as caught:
        stages(parse(content.encode(), name="D"))
    assert str(caught.value) == text
