from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from multiarch_oci.digest import Digest
from multiarch_oci.reference import Destination, InvalidReference, Reference, check_tag, insecure_hosts

SUM = Digest.of(b"x")


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("redis", "docker.io/library/redis", "redis"),
        ("redis:7", "docker.io/library/redis:7", "redis:7"),
        ("team/app", "docker.io/team/app", "team/app"),
        ("docker.io/redis", "docker.io/library/redis", "redis"),
        ("index.docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/team/app:1.0", "localhost:5000/team/app:1.0", "localhost:5000/team/app:1.0"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("HOST/app", "HOST/app", "HOST/app"),
        ("ghcr.io/a/b__c/d--e.f", "ghcr.io/a/b__c/d--e.f", "ghcr.io/a/b__c/d--e.f"),
        (f"redis:7@{SUM}", f"docker.io/library/redis:7@{SUM}", f"redis:7@{SUM}"),
        (f"ghcr.io/a@sha512:{'0' * 128}", f"ghcr.io/a@sha512:{'0' * 128}", f"ghcr.io/a@sha512:{'0' * 128}"),
        ("ghcr.io/" + "a" * 255, "ghcr.io/" + "a" * 255, "ghcr.io/" + "a" * 255),
    ],
)
def test_a_reference_is_read_as_docker_reads_it_and_its_full_form_reads_the_same(text, full, familiar):
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert Reference.parse(full) == reference


def test_the_parts_of_a_reference():
    reference = Reference.parse(f"localhost:5000/team/app:1.0@{SUM}")
    assert reference == Reference("localhost:5000", "team/app", "1.0", SUM)
    assert reference.name == "localhost:5000/team/app"
    assert reference.bare == Reference("localhost:5000", "team/app")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "team/App:1",
            (
                "'team/App:1' is not an image's name: 'team/App' is not the name of a repository\n"
                "  hint: lower-case letters and digits, joined by '/', '.', '-', '_' or '__'"
            ),
        ),
        (
            "app:x/2",
            "'app:x/2' is not an image's name: 'app:x' is not the name of a registry\n  hint: host or host:port",
        ),
        (
            "app:-1",
            (
                "'app:-1' is not an image's name: '-1' is not a valid tag\n"
                "  hint: letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128"
            ),
        ),
        (
            "app:" + "x" * 129,
            (
                f"'app:{'x' * 129}' is not an image's name: tag '{'x' * 129}' has 129 characters, 128 are allowed\n"
                "  hint: shorten the version"
            ),
        ),
        (
            "app@sha256:abc",
            (
                "'app@sha256:abc' is not an image's name: 'sha256:abc' is not a sha256 or sha512 digest\n"
                "  hint: NAME@sha256:… with 64 hexadecimal digits"
            ),
        ),
        (
            "ghcr.io/" + "a" * 256,
            (
                f"'ghcr.io/{'a' * 256}' is not an image's name: repository '{'a' * 40}…' has 256 characters\n"
                "  hint: 255 are allowed"
            ),
        ),
        ("a" * 64, f"'{'a' * 64}' is an image's id, not its name\n  hint: for a digest: NAME@sha256:{'a' * 64}"),
        ("", "'' names no repository\n  hint: lower-case letters and digits, joined by '/', '.', '-', '_' or '__'"),
        (
            "my_host.example/app",
            (
                "'my_host.example/app' is not an image's name: 'my_host.example' is not the name of a registry\n"
                "  hint: host or host:port"
            ),
        ),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_reference_is_an_error_that_quotes_it_and_says_why(text, message):
    with pytest.raises(InvalidReference) as error:
        Reference.parse(text)
    assert str(error.value) == message
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    "text",
    [
        "app\n",
        "app:1\n",
        "a//b",
        "/a",
        "a/",
        "a/../b",
        "../a",
        "docker.io/",
        "app:",
        "app@",
        f"@{SUM}",
        "a\x00b",
        "é",
        "http://a/b",
        "host.example/..",
        "host.example/.",
        "x@sha384:" + "a" * 96,
        f"app@{str(SUM).upper()}",
        "::1/a",
        "[::1%eth0]/a",
    ],
)
def test_nothing_else_is_a_reference(text):
    with pytest.raises(InvalidReference):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("registry", "repository", "tag"),
    [
        ("host/evil", "a", None),
        ("", "a", None),
        ("host", "../a", None),
        ("host", "A", None),
        ("host", "a", "../x"),
        ("h", "a", ""),
    ],
)
def test_an_invalid_reference_cannot_be_made_by_hand_either(registry, repository, tag):
    with pytest.raises(InvalidReference):
        Reference(registry, repository, tag)


def test_tag_and_digest_are_changed_one_without_the_other():
    reference = Reference.parse("ghcr.io/a:1")
    assert str(reference.with_digest(SUM)) == f"ghcr.io/a:1@{SUM}"
    assert str(reference.with_digest(SUM).with_tag("2")) == f"ghcr.io/a:2@{SUM}"
    with pytest.raises(InvalidReference, match="'a/b' is not a valid tag"):
        reference.with_tag("a/b")


def test_the_tag_latest_is_added_only_where_docker_adds_it():
    assert str(Reference.parse("redis").with_default_tag()) == "docker.io/library/redis:latest"
    for text in ("redis:7", f"redis@{SUM}"):
        assert Reference.parse(text).with_default_tag() == Reference.parse(text)


def test_the_path_of_a_reference_holds_no_colon():
    assert Reference.parse("localhost:5000/a/b:1.0").path == PurePosixPath("localhost_5000/a/b/1.0")
    assert Reference.parse("[::1]:5000/a:1").path == PurePosixPath("[__1]_5000/a/1")
    assert Reference.parse(f"ghcr.io/a@{SUM}").path == PurePosixPath(f"ghcr.io/a/sha256_{SUM.hex}")
    assert Reference.parse("ghcr.io/a").path == PurePosixPath("ghcr.io/a")


def test_a_tag_is_checked_and_the_error_names_where_it_stands():
    assert check_tag("V1.0_x-y") == "V1.0_x-y"
    with pytest.raises(InvalidReference) as error:
        check_tag("1.0+x", where="VERSION")
    assert str(error.value) == (
        "VERSION: '1.0+x' is not a valid tag\n  hint: letters, digits, '_', '.' and '-', not '.' or '-' first, at most 128"
    )


@pytest.mark.parametrize(
    ("text", "registry", "path"),
    [
        ("localhost", "localhost", ""),
        ("localhost:5000", "localhost:5000", ""),
        ("localhost:5000/", "localhost:5000", ""),
        ("localhost/team", "localhost", "team"),
        ("[::1]:5000", "[::1]:5000", ""),
        ("127.0.0.1:5000/team", "127.0.0.1:5000", "team"),
        ("ghcr.io/org/team/", "ghcr.io", "org/team"),
        ("docker.io", "docker.io", ""),
        ("index.docker.io/me", "docker.io", "me"),
        ("REGISTRY.EXAMPLE:443/x", "REGISTRY.EXAMPLE:443", "x"),
        ("c:5000", "c:5000", ""),
    ],
)
def test_a_destination_is_a_registry_when_it_begins_with_a_host(text, registry, path):
    assert Destination.parse(text) == Destination(registry, path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("_output/registry", "_output/registry"),
        ("_output/registry/", "_output/registry"),
        ("out/v1.0:x", "out/v1.0:x"),
        ("Localhost/x", "Localhost/x"),
        (".", "."),
        ("..", ".."),
        ("./out", "./out"),
        ("./ghcr.io", "./ghcr.io"),
        ("../x:y", "../x:y"),
        (".cache/reg", ".cache/reg"),
        ("/srv/reg.d", "/srv/reg.d"),
        ("/", "/"),
        ("C:\\reg", "C:\\reg"),
        ("C:/reg", "C:/reg"),
        ("C:/", "C:/"),
        ("c:", "c:"),
        ("out.d\\reg", "out.d\\reg"),
        ("\\\\server\\share", "\\\\server\\share"),
        ("~/reg.d", "~/reg.d"),
    ],
)
def test_a_destination_is_a_folder_when_it_is_no_host_or_written_as_a_path(text, path):
    assert Destination.parse(text) == Destination(None, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://ghcr.io/x", "REGISTRY: 'https://ghcr.io/x' is a URL\n  hint: leave 'https://' away"),
        ("oci://x", "REGISTRY: 'oci://x' is a URL\n  hint: leave 'oci://' away"),
        (
            "my_host.example/x",
            (
                "REGISTRY: 'my_host.example' in 'my_host.example/x' is not the name of a host\n"
                "  hint: for a folder write ./my_host.example/x; a host is host, host:port or [IPv6]:port"
            ),
        ),
        (
            "::1/x",
            (
                "REGISTRY: '::1' in '::1/x' is not the name of a host\n"
                "  hint: for a folder write ./::1/x; a host is host, host:port or [IPv6]:port"
            ),
        ),
        (
            "ghcr.io/Team",
            (
                "REGISTRY: 'Team' in 'ghcr.io/Team' is not a path in a registry\n"
                "  hint: lower-case letters and digits, joined by '/', '.', '-', '_' or '__'"
            ),
        ),
        ("", "REGISTRY: '' is neither a registry nor a folder\n  hint: e.g. localhost:5000/team or ./out"),
        ("a\0b", "REGISTRY: 'a\\x00b' is neither a registry nor a folder\n  hint: e.g. localhost:5000/team or ./out"),
    ],
)
def test_what_means_a_host_and_is_none_is_an_error_never_a_folder(text, message):
    with pytest.raises(InvalidReference) as error:
        Destination.parse(text)
    assert str(error.value) == message


def test_the_reference_of_an_image_in_a_registry():
    team = Destination.parse("127.0.0.1:5000/team")
    assert team.reference("sub/demo", "1.0") == Reference("127.0.0.1:5000", "team/sub/demo", "1.0")
    assert team.reference("demo").tag is None
    assert team.spell("demo", "1.0") == "127.0.0.1:5000/team/demo:1.0"
    assert str(team) == "127.0.0.1:5000/team"
    assert str(Destination.parse("docker.io").reference("demo", "1")) == "docker.io/library/demo:1"
    assert str(Destination.parse("docker.io/me").reference("demo", "1")) == "docker.io/me/demo:1"
    with pytest.raises(InvalidReference, match="'team/Demo' is not the name of a repository"):
        team.reference("Demo", "1")
    with pytest.raises(InvalidReference, match="is a registry, not a folder"):
        team.layout("demo")


def test_the_reference_of_an_image_in_a_folder_is_an_identity_that_never_resolves():
    folder = Destination.parse("_output/registry")
    reference = folder.reference("sub/demo", "1.0")
    assert str(reference) == "registry-b69a752d70b8.folder.invalid/sub/demo:1.0"
    assert Reference.parse(str(reference)) == reference
    assert folder.layout("sub/demo") == "_output/registry/sub/demo"
    assert folder.spell("sub/demo", "1.0") == "_output/registry/sub/demo:1.0"
    assert str(folder) == "_output/registry"
    assert Destination.parse("/").layout("demo") == "/demo"
    with pytest.raises(InvalidReference, match=r"'\.\./demo' is not the name of a repository"):
        folder.layout("../demo")


def test_two_spellings_of_one_folder_are_one_identity_and_two_folders_are_two():
    def registry(text):
        return Destination.parse(text).reference("demo").registry

    assert registry("./out/") == registry("out") == registry("x/../out") == registry(".\\out")
    assert registry("a/out") != registry("b/out")
    assert registry("/").startswith("root-")
    assert registry("Ünï").endswith(".folder.invalid")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("./team", Destination(None, "./team")),
        ("../team/", Destination(None, "../team")),
        (".", Destination(None, ".")),
        ("/srv/reg.d", Destination(None, "/srv/reg.d")),
        ("~/reg", Destination(None, "/home/me/reg")),
        ("~", Destination(None, "/home/me")),
        ("_output/registry", Destination(None, "_output/registry")),
        ("C:\\reg", Destination(None, "C:\\reg")),
        ("C:/reg", Destination(None, "C:/reg")),
        ("team\\sub", Destination(None, "team\\sub")),
        ("localhost/team", Destination("localhost", "team")),
        ("host:5000", Destination("host:5000", "")),
        ("ghcr.io/team", Destination("ghcr.io", "team")),
        ("old", Destination(None, "old")),
        (".cache/old", Destination(None, ".cache/old")),
        ("old.d", Destination(None, "./old.d")),
        ("localhost:1/old", Destination(None, "./localhost:1/old")),
    ],
)
def test_a_registry_of_the_command_line_is_a_folder_a_host_or_an_error(text, found):
    def is_layout(folder):
        return folder in ("old", ".cache/old", "old.d", "localhost:1/old")

    assert Destination.chosen(text, home="/home/me", is_layout=is_layout) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("team", "'team' is neither a registry nor a folder\n  hint: write ./team or docker.io/team"),
        ("Team", "'Team' is neither a registry nor a folder\n  hint: write ./Team"),
        (".cache/reg", "'.cache/reg' is neither a registry nor a folder\n  hint: write ./.cache/reg"),
        ("~me/reg", "'~me/reg' is neither a registry nor a folder\n  hint: write ./~me/reg"),
        ("~/reg", "'~/reg' needs HOME\n  hint: write the folder in full"),
        (" ", "'' is neither a registry nor a folder\n  hint: e.g. localhost:5000/team or ./out"),
    ],
)
def test_no_word_of_the_command_line_is_a_folder_by_accident(text, message):
    with pytest.raises(InvalidReference) as error:
        Destination.chosen(text, home=None, is_layout=lambda _: False)
    assert str(error.value).replace("' '", "''") == f"REGISTRY: {message}"


@pytest.mark.parametrize("port", ["0", "65536", "99999", "000080", "9" * 400])
@pytest.mark.parametrize("host", ["h.test", "localhost", "[::1]"])
def test_a_port_that_no_host_has_is_an_error_wherever_a_host_is_read(host, port):
    for read in (Destination.parse, insecure_hosts, lambda text: Reference.parse(f"{text}/x:1")):
        with pytest.raises(InvalidReference, match="a port that is none"):
            read(f"{host}:{port}")
    assert Destination.parse(f"{host}:65535/x").registry == f"{host}:65535"


def test_insecure_hosts_are_hosts_addresses_and_ranges():
    text = " registry.lan:5000,localhost,, 10.0.0.0/8,::1,[::1]:5000,fd00::/8,127.0.0.1 "
    hosts = ("registry.lan:5000", "localhost", "10.0.0.0/8", "::1", "[::1]:5000", "fd00::/8", "127.0.0.1")
    assert insecure_hosts(text) == hosts
    assert insecure_hosts("") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://u:PW@h", "'http://***@h' holds a login"),
        ("h,u:PW@h:1", "'***@h:1' holds a login"),
        ("http://h", "'http://h' is a URL\n  hint: leave 'http://' away"),
        ("h.test/team", "'h.test/team' is not the name of a host"),
        ("*.lan", "'*.lan' is not the name of a host"),
        ("a b", "'a b' is not the name of a host"),
    ],
)
def test_an_insecure_host_that_is_none_is_an_error_without_a_secret(text, words):
    with pytest.raises(InvalidReference) as error:
        insecure_hosts(text)
    assert f"INSECURE: {words}" in str(error.value)
    assert "PW" not in str(error.value)
