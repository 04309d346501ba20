"""Names as the reference implementations read them: distribution/reference and containerd/platforms, asked in Go.

Where we differ on purpose, the difference is stated here, and asserted, once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import string
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiarch_oci.platform import KNOWN, InvalidPlatform, Platform
from multiarch_oci.reference import InvalidReference, Reference

SOURCE = Path(__file__).parents[1] / "oracle" / "names"
MANY = settings(
    max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


class Oracle:
    """A running oracle, asked one line at a time."""

    def __init__(self, program):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True, encoding="utf-8")

    def ask(self, kind, text="", wanted=""):
        self._process.stdin.write(json.dumps({"kind": kind, "text": text, "wanted": wanted}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def unavailable(why):
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def oracle(tmp_path_factory):
    if not shutil.which("go"):
        unavailable("go is not installed")
    if subprocess.run(["go", "mod", "download"], cwd=SOURCE, capture_output=True, check=False).returncode:
        unavailable("the Go modules of tests/oracle/names cannot be downloaded")
    program = tmp_path_factory.mktemp("oracle") / ("names.exe" if os.name == "nt" else "names")
    subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, check=True)
    running = Oracle(program)
    yield running
    running.close()


@pytest.fixture(scope="session")
def host(oracle):
    return Platform.from_json(oracle.ask("host")["platform"])


def mutated(texts):
    """Each text as it is, or with a character put in, taken out, doubled or replaced, or a stretch repeated."""
    odd = st.sampled_from([*"/:@._-+%()[]*~ \t\n\\AaZzfv019é☃", "__", "--", "//", "..", "::", "%2F", "library/", "\0"])

    @st.composite
    def change(draw):
        text = draw(texts)
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
            start = draw(st.integers(0, len(text)))
            end = draw(st.integers(start, min(len(text), start + 4)))
            text = text[:start] + draw(st.one_of(st.just(""), odd, st.just(text[start:end] * 2))) + text[end:]
        return text

    return change()


# --- references

HEX = st.sampled_from(["a", "f", "0", "9", "0123456789abcdef"])
ALNUM = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=5)
COMPONENT = st.builds(
    lambda first, rest: first + "".join(separator + word for separator, word in rest),
    ALNUM,
    st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "---", "___", ".."]), ALNUM), max_size=2),
)
LABEL = st.one_of(ALNUM, st.sampled_from(["EXAMPLE", "my-host", "my_host", "xn--n3h", "a-", "-a"]))
DOMAIN = st.builds(
    lambda name, port: name + port,
    st.one_of(
        st.lists(LABEL, min_size=1, max_size=3).map(".".join),
        st.sampled_from(
            [
                "localhost",
                "docker.io",
                "index.docker.io",
                "registry-1.docker.io",
                "127.0.0.1",
                "[::1]",
                "[fc00::1]",
                "::1",
                "[fe80::1%eth0]",
                "[2001:db8:3:4::192.0.2.33]",
                "LOCALHOST",
                "Docker",
                "[]",
                "https:",
            ]
        ),
    ),
    st.sampled_from(["", "", ":5000", ":80", ":", ":http", ":99999999"]),
)
TAG = st.one_of(
    st.sampled_from(["latest", "1.0", "V1_x-y.z", "", "-a", ".a", "a:b", "x" * 128, "x" * 129]),
    st.text(string.ascii_letters + string.digits + "._-", max_size=8),
)
DIGEST = st.one_of(
    st.builds(
        lambda pattern, length: "sha256:" + (pattern * 64)[:length], HEX, st.sampled_from([64, 64, 64, 63, 65, 32])
    ),
    st.builds(lambda pattern, length: "sha512:" + (pattern * 128)[:length], HEX, st.sampled_from([128, 128, 127, 64])),
    st.sampled_from(
        ["sha384:" + "a" * 96, "sha256:" + "A" * 64, "SHA256:" + "a" * 64, "md5:" + "a" * 32, "sha256", ""]
    ),
    st.just("sha256+b64:" + "a" * 64),
)
REPOSITORY = st.one_of(
    st.lists(COMPONENT, min_size=1, max_size=4).map("/".join),
    st.sampled_from(
        ["library", "library/x", "library/x/y", "a" * 64, "a" * 255, "b" * 247, "b" * 248, "a/" * 127 + "a"]
    ),
)
REFERENCE = st.builds(
    lambda domain, repository, tag, digest: domain + repository + tag + digest,
    st.one_of(st.just(""), DOMAIN.map("{}/".format)),
    REPOSITORY,
    st.one_of(st.just(""), st.just(""), TAG.map(":{}".format)),
    st.one_of(st.just(""), st.just(""), DIGEST.map("@{}".format)),
)

UPSTREAM_REFERENCES = [
    *(
        "docker/docker",
        "library/debian",
        "debian",
        "localhost/library/debian",
        "localhost/debian",
        "LOCALDOMAIN/debian",
    ),
    *("LOCALDOMAIN/library/debian", "docker.io/docker/docker", "docker.io/library/debian", "docker.io/debian"),
    *("index.docker.io/docker/docker", "index.docker.io/library/debian", "index.docker.io/debian", "Docker/docker"),
    *("127.0.0.1:5000/docker/docker", "127.0.0.1:5000/library/debian", "127.0.0.1:5000/debian", "DOCKER/docker"),
    *(
        "192.168.0.1",
        "192.168.0.1:80",
        "192.168.0.1:8/debian",
        "192.168.0.2:25000/debian",
        "192.168.1.1:5000/repo:5050",
    ),
    *("[fc00::1]:5000/docker", "[fc00::1]:5000/docker/docker", "[fc00:1:2:3:4:5:6:7]:5000/library/debian"),
    "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev",
    "docker.io/1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
    "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
    *("https://github.com/docker/docker", "docker/Docker", "-docker", "-docker/docker", "-docker.io/docker/docker"),
    *("docker///docker", "docker.io/docker/Docker", "docker.io/docker///docker", "[fc00::1]", "[fc00::1]:5000"),
    *("fc00::1:5000/debian", "[fe80::1%eth0]:5000/debian", "[2001:db8:3:4::192.0.2.33]:5000/debian"),
    *("test_com", "test.com:tag", "test.com:5000", "test.com/repo:tag", "test:5000/repo", "test:5000/repo:tag", ""),
    *("test:5000/repo@sha256:" + "f" * 64, "test:5000/repo:tag@sha256:" + "f" * 64, ":justtag", "@sha256:" + "f" * 64),
    *("repo@sha256:" + "f" * 34, "validname@invaliddigest:" + "f" * 64, "Uppercase:tag", "lowercase:Uppercase"),
    *("Uppercase/lowercase:tag", "test:5000/Uppercase/lowercase:tag", "domain/" + "a" * 256 + ":tag", "aa/asdf$$^/aa"),
    *(
        "a/" * 127 + "a:tag-puts-this-over-max",
        "sub-dom1.foo.com/bar/baz/quux",
        "foo/foo_bar.com:8080",
        "foo_bar.com:8080",
    ),
    *("sub-dom1.foo.com/bar/baz/quux:some-long-tag", "b.gcr.io/test.example.com/my-app:test.example.com"),
    *("xn--n3h.com/myimage:xn--n3h.com", "xn--7o8h.com/myimage:xn--7o8h.com@sha512:" + "f" * 128, "[2001:db8::1]:tag"),
    *("[2001:db8::1]/repo", "[2001:db8:1:2:3:4:5:6]/repo:tag", "[2001:db8::]:5000/repo", "[::1]:5000/repo"),
    *("[fe80::1%@invalidzone]:5000/repo", "example.com/" + "a" * 255 + ":tag", "test_com/foo", "test-com:8080/foo"),
    *("foo_bar.com/x", "a^a", "x--y/a__b", "a___b", "a.-b", "docker.io/", "/x", "x/", "x:", "x@", "docker.io/library"),
]


LAST_PORT = 65535


def same_reference(oracle, text):
    """Assert that we read this as upstream does, or refuse it for one of the reasons below; says which it was."""
    theirs = oracle.ask("reference", text)
    try:
        ours = Reference.parse(text)
    except InvalidReference:
        if theirs.get("digest", "").startswith("sha384:"):
            return "sha384: no registered algorithm of the image spec"
        if "path" in theirs and "domain" not in theirs:
            return "a name without registry: nobody can reach it"
        port = re.search(r":(\d+)$", theirs.get("domain", ""))
        if port and not 0 < int(port[1]) <= LAST_PORT:
            return "a port that no machine has"
        assert "error" in theirs, theirs
        return "invalid"
    assert "error" not in theirs, theirs
    found = {
        "domain": ours.registry,
        "path": ours.repository,
        "tag": ours.tag,
        "full": str(ours),
        "familiar": ours.familiar,
    }
    found["digest"] = ours.digest and str(ours.digest)
    assert {key: value for key, value in found.items() if value} == theirs
    assert Reference.parse(str(ours)) == ours
    return "valid"


@pytest.mark.parametrize("text", UPSTREAM_REFERENCES, ids=lambda text: text[:60] or "(empty)")
def test_a_reference_of_upstreams_tests_reads_as_upstream_reads_it(oracle, text):
    same_reference(oracle, text)


def test_any_reference_reads_as_upstream_reads_it(oracle):
    verdicts = Counter()

    @MANY
    @given(mutated(REFERENCE))
    def check(text):
        verdicts[same_reference(oracle, text)] += 1

    check()
    assert verdicts["valid"] > 500, verdicts
    assert verdicts["invalid"] > 500, verdicts


def test_sha384_and_a_name_without_registry_are_what_we_refuse_and_upstream_takes(oracle):
    assert oracle.ask("reference", "x@sha384:" + "a" * 96)["digest"] == "sha384:" + "a" * 96
    assert oracle.ask("reference", "my_host.example/x") == {
        "path": "my_host.example/x",
        "full": "my_host.example/x",
        "familiar": "my_host.example/x",
    }
    for text in ("x@sha384:" + "a" * 96, "my_host.example/x"):
        with pytest.raises(InvalidReference):
            Reference.parse(text)


# --- platforms; ko's `os/arch:os.version` is ours alone: containerd takes no ':' anywhere

OS = st.sampled_from(
    [
        "linux",
        "windows",
        "darwin",
        "macOS",
        "macos",
        "Linux",
        "wasip1",
        "js",
        "hurd",
        "freebsd",
        "arm",
        "amd64",
        "x86_64",
        "templeos",
        "a_b-c",
    ]
)
ARCHITECTURE = st.sampled_from(
    [
        "amd64",
        "x86_64",
        "x86-64",
        "X86_64",
        "arm64",
        "aarch64",
        "AArch64",
        "arm",
        "armhf",
        "armel",
        "i386",
        "I386",
        "386",
        "s390x",
        "riscv64",
        "sparc",
        "mips64p32le",
        "amd46",
        ".",
        "..",
    ]
)
VARIANT = st.sampled_from(
    [
        "v1",
        "v2",
        "v3",
        "V3",
        "v5",
        "5",
        "v6",
        "6",
        "v7",
        "7",
        "v8",
        "8",
        "v8.0",
        "V8.0",
        "v8.1",
        "8.0",
        "9",
        "9.0",
        "v9",
        "v9.0",
        "v9.2",
        "V7",
        "v9.99",
        "x",
        ".",
        "..",
    ]
)
OPTION = st.one_of(
    st.sampled_from(
        ["", "10.0.20348", "10.0.17763.1", "win32k", "gpu", "simd", "%2B", "%2f..%2F", "50%25done", "%ff", "%zz", "%"]
    ),
    st.text(string.ascii_letters + string.digits + "._-%", max_size=6),
)
OPTIONS = st.one_of(
    st.just(""),
    st.just(""),
    st.builds(
        lambda version, features: "(" + "+".join((version, *features)) + ")", OPTION, st.lists(OPTION, max_size=3)
    ),
)
PLATFORM = st.one_of(
    st.builds("{}{}".format, st.one_of(OS, ARCHITECTURE), OPTIONS),
    st.builds("{}{}/{}".format, OS, OPTIONS, ARCHITECTURE),
    st.builds("{}{}/{}/{}".format, OS, OPTIONS, ARCHITECTURE, VARIANT),
)

UPSTREAM_PLATFORMS = [
    *("*", "linux/*", "*/arm64", "linux/arm64", "linux/arm64/v8", "linux/arm", "linux/arm/v6", "linux/arm/v7", "arm"),
    *(
        "armel",
        "armhf",
        "Aarch64",
        "x86_64",
        "Linux/x86_64",
        "i386",
        "linux",
        "s390x",
        "linux/s390x",
        "macOS",
        "windows",
    ),
    *("windows()", "windows(10.0.17763)", "windows(10.0.17763+win32k)", "linux(+gpu)", "linux(+gpu+simd)"),
    *("linux(+unsorted+erofs)", "windows(10.0.17763%2Bbuild.42)", "windows(10.0.17763%2Bbuild.42+win32k)", "linux(+)"),
    *("windows(50%25done)", "windows(1.0%28beta%29)/amd64", "windows(a%2Fb)/amd64", "linux(+feat%2Bv2)/amd64"),
    *("linux(+100%25gpu)/amd64", "windows(10.0%2Bbuild+feat%2B1)/amd64", "", "/linux/arm", "linux/arm/", "linux /arm"),
    *(
        "linux/&arm",
        "linux/arm/foo/bar",
        "linux/arm/v7\n",
        "linux\n",
        "linux(+a+a)/amd64",
        "linux(++a)/amd64",
        "amd64()",
    ),
]


def same_platform(oracle, host, text):
    """Assert that we read this as upstream does, or refuse escapes that are not UTF-8; says which it was."""
    if ":" in text:
        assert "error" in oracle.ask("platform", text)
        return "ko's"
    theirs = oracle.ask("platform", text)
    try:
        ours = Platform.parse(text, host=host)
    except InvalidPlatform:
        assert "error" in theirs or theirs.get("not_utf8"), theirs
        return "invalid" if "error" in theirs else "not UTF-8: no JSON can hold it"
    assert "error" not in theirs, theirs
    assert ours.to_json() == theirs["platform"]
    assert str(ours) == theirs["formatted"]
    assert ours.normalized() == ours == Platform.from_json(theirs["platform"])
    return "valid"


@pytest.mark.parametrize("text", UPSTREAM_PLATFORMS, ids=repr)
def test_a_platform_of_upstreams_tests_reads_as_upstream_reads_it(oracle, host, text):
    same_platform(oracle, host, text)


def test_any_platform_reads_as_upstream_reads_it(oracle, host):
    verdicts = Counter()

    @MANY
    @given(mutated(PLATFORM))
    def check(text):
        verdicts[same_platform(oracle, host, text)] += 1

    check()
    assert verdicts["valid"] > 500, verdicts
    assert verdicts["invalid"] > 500, verdicts


def test_a_specifier_in_kos_spelling_is_the_one_with_the_version_in_parentheses(oracle):
    assert "error" in oracle.ask("platform", "windows/amd64:10.0.20348.2849")
    theirs = oracle.ask("platform", "windows(10.0.20348.2849)/amd64")
    assert Platform.parse("windows/amd64:10.0.20348.2849").to_json() == theirs["platform"]


LINUX = [f"linux/{architecture}" for system, architecture in sorted(KNOWN) if system == "linux"]
SERVED = [
    *(*LINUX, "linux/arm/v5", "linux/arm/v6", "linux/arm/v8", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"),
    *(f"linux/arm64/v8.{n}" for n in range(1, 10)),
    *("linux/arm64/v9", *(f"linux/arm64/v9.{n}" for n in range(1, 8))),
    *(
        "linux(+gpu)/amd64",
        "linux(+gpu+simd)/amd64",
        "linux(6.1)/amd64",
        "freebsd/amd64",
        "darwin/arm64",
        "windows/arm64",
    ),
    *("windows/amd64", "windows(+win32k)/amd64", "windows(10.0.17763.1)/amd64", "windows(10.0.17763.2)/amd64"),
]


def test_every_image_serves_whom_it_serves_upstream_but_for_32_bit_arm_on_arm64(oracle):
    wrong = []
    for text in SERVED:
        for wish in SERVED:
            image, wanted = Platform.parse(text), Platform.parse(wish)
            theirs = oracle.ask("match", text, wish).get("match", False)
            if (image.architecture, wanted.architecture) == ("arm", "arm64"):
                theirs = False
            if image.matches(wanted) != theirs:
                wrong.append((text, wish, theirs))
    assert not wrong


def test_an_older_windows_serves_a_newer_one_upstream_and_not_here(oracle):
    assert oracle.ask("match", "windows(10.0.20348.1)/amd64", "windows(10.0.26100.1)/amd64") == {"match": True}
    assert not Platform.parse("windows(10.0.20348.1)/amd64").matches(Platform.parse("windows(10.0.26100.1)/amd64"))


def test_every_platform_that_the_installed_go_builds_for_is_known():
    if not shutil.which("go"):
        unavailable("go is not installed")
    listed = subprocess.run(["go", "tool", "dist", "list"], check=True, capture_output=True, text=True).stdout
    assert {tuple(line.split("/")) for line in listed.split()} <= KNOWN
