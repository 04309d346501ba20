"""TRUST: which bases a build may use, asked before anything is built on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from machines.bases import push_image, push_index
from machines.project import Project
from machines.registry import Registry
from machines.signing import Key, put_bundle, store_of
from multiarch_oci.digest import Digest
from multiarch_oci.reference import Reference

SCONSTRUCT = """\
DefaultEnvironment(tools=[])
env = Environment(
    tools=["oci_settings", "oci_image", "oci_pin", "oci_push", "oci_index", "oci_provenance", "oci_targets"],
    DEFAULTS={"VERSION": "v1"},
)
one = env.Image("_output/images/one.tar", dockerfile="Dockerfile", platform="linux/amd64")
env.Targets(images=[one])
"""
SLSA = "https://slsa.dev/provenance/v1"


class Case:
    """A build of one image over a base in a registry, and two keys."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.registry = registry
        self.project = Project.linked(folder / "project", {"SConstruct": SCONSTRUCT})
        self.good, self.bad = Key(folder / "project" / "keys", "good"), Key(folder / "elsewhere", "bad")
        self.base = f"{registry.host}/bases/base:1"
        self.digest = self.push(self.base)
        self.from_(self.base)

    def push(self, name: str, content: bytes = b"base") -> Digest:
        return push_image(name, "linux/amd64", {"base": content})

    def from_(self, *lines: str) -> None:
        first = f"FROM {lines[0]}" if " " not in lines[0] else lines[0]
        self.project.edit("Dockerfile", "\n".join([first, *lines[1:], "COPY Dockerfile /\n"]))

    def trust(self, rules: object, name: str = "trust.json") -> None:
        self.project.edit(name, json.dumps(rules))

    def demand(self, **more: object) -> None:
        self.trust({f"{self.registry.host}/bases/*": {"keys": ["keys/good.pub"], **more}, "*": "deny"})

    def build(self, *arguments: str) -> str:
        ran = self.project.scons("images", *arguments, check=False)
        assert "Traceback" not in ran.text, ran.text
        assert ran.status == 0, ran.text
        return ran.text

    def build_alone(self) -> None:
        """Build without the registry: nobody has to be asked, and nothing is to be done."""
        self.registry.stop()
        try:
            assert "is up to date" in self.build()
        finally:
            self.registry.start()

    def refused(self, *arguments: str, targets: tuple[str, ...] = ("images",)) -> str:
        ran = self.project.scons(*targets, *arguments, check=False)
        assert "Traceback" not in ran.text, ran.text
        assert ran.status == 2, ran.text
        assert not (self.project.path / "_output/images/one.tar").exists()
        return ran.text


@pytest.fixture
def case(tmp_path: Path, registry: Registry) -> Case:
    return Case(tmp_path, registry)


def test_a_base_must_be_signed_by_a_key_of_the_trust_file(case: Case):
    case.demand()
    text = case.refused()
    assert f"Dockerfile:1: base {case.base} for linux/amd64 ({case.digest}) is not trusted" in text
    assert f"trust.json demands of {case.registry.host}/bases/* a signature by {case.good.identity}" in text
    assert "nothing is attached to it" in text
    case.bad.sign(case.base)
    assert f"is signed by another key than {case.good.identity}" in case.refused()
    case.good.sign(case.base)
    case.build()


def test_a_verdict_is_kept_so_that_nobody_is_asked_again(case: Case):
    case.demand()
    case.good.sign(case.base)
    case.build()
    case.build_alone()


def test_a_build_with_nothing_to_do_loads_neither_keys_nor_the_network(case: Case):
    case.demand()
    case.good.sign(case.base)
    case.build()
    ran = case.project.scons("images", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert "multiarch_oci.attest.verdicts" in ran.text
    for module in ("cryptography", "multiarch_oci.store", "sigstore", "nacl"):
        assert f" {module}\n" not in ran.text
        assert f" {module}." not in ran.text


def test_a_changed_trust_file_is_a_new_question(case: Case):
    case.demand()
    case.good.sign(case.base)
    case.build()
    case.project.edit("keys/good.pub", case.bad.public.read_text())
    ran = case.project.scons("images", check=False)
    assert ran.status == 2
    assert "is not trusted" in ran.text


def test_without_a_trust_file_and_for_what_no_line_names_all_is_allowed(case: Case):
    case.build()
    case.project.remove("_output")
    case.trust({"ghcr.io/team/*": "deny"})
    case.build()
    case.project.remove("_output")
    case.trust({f"{case.registry.host}/bases/base": "allow", "*": "deny"})
    case.build()


def test_the_first_line_that_matches_decides(case: Case):
    case.trust({f"{case.registry.host}/bases/base": "deny", f"{case.registry.host}/*": "allow"})
    text = case.refused()
    assert f"Dockerfile:1: base {case.base} for linux/amd64 is not trusted" in text
    assert f"demands that nothing of {case.registry.host}/bases/base is used" in text


def test_the_command_line_replaces_the_file(case: Case, tmp_path: Path):
    case.trust({"*": "allow"})
    (tmp_path / "strict.json").write_text('{"*": "deny"}')
    assert "is not trusted" in case.refused(f"TRUST={tmp_path / 'strict.json'}")
    case.build()


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("FROM scratch\nCOPY --from={} /base /base", 2),
        ("FROM {} AS other\nFROM scratch\nCOPY --from=other /base /base", 1),
        ("FROM {0}@{1}", 1),
    ],
    ids=["COPY --from", "a stage", "by digest"],
)
def test_every_image_that_a_dockerfile_takes_is_one(case: Case, line: str, number: int):
    case.trust({f"{case.registry.host}/bases/*": {"keys": ["keys/good.pub"]}})
    case.project.edit("Dockerfile", line.format(case.base, case.digest) + "\n")
    assert f"Dockerfile:{number}: base {case.base}" in case.refused()
    case.good.sign(case.base)
    case.build()


def test_the_image_of_a_mount_is_one(case: Case):
    case.project.edit("Dockerfile", f"FROM scratch\nRUN --mount=from={case.base},target=/m true\n")
    case.demand()
    assert f"Dockerfile:2: base {case.base}" in case.refused()


def test_the_base_of_an_image_without_a_dockerfile_is_one(case: Case):
    case.project.edit("prog", "#!/bin/sh\n")
    case.project.edit(
        "SConstruct",
        SCONSTRUCT.replace('dockerfile="Dockerfile"', f'contents="prog", dockerfile=None, base_image="{case.base}"'),
    )
    case.demand()
    assert f"base {case.base} for linux/amd64 ({case.digest}) is not trusted" in case.refused()
    case.good.sign(case.base)
    case.build()


def test_an_external_image_is_copied_only_when_it_is_trusted(case: Case):
    external = f"{case.registry.host}/bases/theirs:1"
    digest = case.push(external)
    case.project.edit(
        "SConstruct",
        "import scons_multiarch\nenv = scons_multiarch.environment()\n"
        'env.MultiarchImage("app", env.Command("app", [], Touch("$TARGET")), dockerfile="Dockerfile")\n',
    )
    case.project.edit("VERSION", "1.0\n")
    case.project.edit("Dockerfile", "FROM scratch\nCOPY app /\n")
    case.demand()
    words = (f"REGISTRY={case.registry.host}/ours", "PLATFORMS=linux/arm64", f"EXTERNAL=linux/amd64={external}")
    ran = case.project.scons("push-manifest", *words, check=False)
    assert ran.status == 2
    assert f"EXTERNAL: external {external} for linux/amd64 ({digest}) is not trusted" in ran.text
    assert case.registry.digest("ours/app", "1.0-amd64") is None
    assert case.registry.digest("ours/app", "1.0") is None
    case.good.sign(external)
    case.project.scons("push-manifest", *words)
    assert case.registry.digest("ours/app", "1.0-amd64") == str(digest)
    assert case.project.scons("push-manifest", *words).up_to_date


def test_what_onbuild_takes_is_one(case: Case):
    other = f"{case.registry.host}/bases/other:1"
    push_image(case.base, "linux/amd64", {"base": b"new"}, on_build=(f"COPY --from={other} /base /taken",))
    case.push(other)
    case.good.sign(case.base)
    case.demand()
    assert f"base {other}" in case.refused()
    case.good.sign(other)
    case.build()


def test_a_named_context_that_is_an_image_is_one(case: Case):
    case.project.edit(
        "SConstruct",
        SCONSTRUCT.replace(
            'platform="linux/amd64")', f'platform="linux/amd64", contexts={{"c": "docker-image://{case.base}"}})'
        ),
    )
    case.project.edit("Dockerfile", "FROM scratch\nCOPY --from=c /base /base\n")
    case.demand()
    assert "is not trusted" in case.refused()
    case.good.sign(case.base)
    case.build()


def test_the_front_end_of_syntax_is_one_and_its_digest_is_kept(case: Case):
    front = f"{case.registry.host}/fronts/dockerfile:1"
    case.push(front)
    case.project.edit("Dockerfile", f"# syntax={front}\nFROM scratch\nCOPY Dockerfile /\n")
    case.trust({f"{case.registry.host}/fronts/*": {"keys": ["keys/good.pub"]}})
    assert f"Dockerfile:1: base {front}, the front end of # syntax," in case.refused()
    case.good.sign(front)
    case.build()
    case.build_alone()
    case.trust({f"{case.registry.host}/fronts/*": {"keys": ["keys/good.pub"]}, "*": "allow"})
    case.push(front, b"another")
    assert case.project.scons("check-bases", check=False).status == 1


def test_a_front_end_by_a_build_argument_must_be_named_by_its_digest(case: Case):
    front = f"{case.registry.host}/fronts/dockerfile:2"
    digest = case.push(front)
    case.good.sign(front)
    case.trust({f"{case.registry.host}/fronts/*": {"keys": ["keys/good.pub"]}})
    text = case.refused(f"BUILD_ARGS=BUILDKIT_SYNTAX={front}")
    assert "BUILDKIT_SYNTAX" in text
    assert "name it by its digest" in text
    case.build(f"BUILD_ARGS=BUILDKIT_SYNTAX={front}@{digest}")


def test_a_signature_of_the_index_counts_for_its_members_also_when_the_tag_has_moved(case: Case):
    index = f"{case.registry.host}/bases/base:2"
    digest = push_index(index, {"linux/amd64": case.digest})
    case.from_(index)
    case.demand()
    case.refused()
    case.good.sign(index)
    case.build()
    assert f" index={digest}\n" in case.project.read("images.lock")
    case.project.remove("_output")
    case.project.remove(".multiarch/trust")
    push_index(index, {"linux/arm64": case.digest})
    case.build()


def test_a_signature_of_an_index_that_does_not_name_it_counts_for_nothing(case: Case):
    index = f"{case.registry.host}/bases/base:3"
    push_index(index, {"linux/amd64": case.push(f"{case.registry.host}/bases/base:x", b"x")})
    case.good.sign(index)
    lock = f"{case.base} linux/amd64 {case.digest} index={case.registry.digest('bases/base', '3')}\n"
    case.project.edit("images.lock", lock)
    case.demand()
    case.refused()


def test_the_older_tag_of_cosign_is_read(case: Case):
    case.demand()
    case.bad.sign_simply(case.base)
    assert f"its signature is not by {case.good.identity}" in case.refused()
    case.good.sign_simply(case.base, about=Digest.of(b"another"))
    assert "is about" in case.refused()
    case.good.sign_simply(case.base)
    case.build()


def test_an_identity_in_the_older_tag_of_cosign_is_refused_with_what_it_lacks(case: Case):
    """It holds a certificate and the log's promise: the package `sigstore` wants the log's proof, which is not there."""
    who = {"identity": "me@example.com", "issuer": "https://issuer.test"}
    beside = (("dev.sigstore.cosign/certificate", "-----BEGIN CERTIFICATE-----"), ("dev.sigstore.cosign/bundle", "{}"))
    pattern = f"{case.registry.host}/bases/*"
    case.trust({pattern: {"identities": [who]}, "*": "deny"})
    case.bad.sign_simply(case.base, beside=beside)
    text = case.refused()
    assert "….sig: is signed by an identity, in the way of cosign 2, without the log's proof of inclusion" in text
    assert "me@example.com (https://issuer.test)" in text
    case.bad.sign_simply(case.base)
    assert "….sig: is signed by a key, not by me@example.com (https://issuer.test)" in case.refused()
    case.demand()
    case.bad.sign_simply(case.base, beside=beside)
    assert f"….sig: is signed by an identity, not by {case.good.identity}" in case.refused()
    case.good.sign_simply(case.base, beside=beside)
    case.build()


def test_predicates_must_be_there_signed_by_one_who_is_trusted(case: Case):
    case.demand(predicates=[SLSA])
    case.good.sign(case.base)
    case.bad.sign(case.base, SLSA)
    text = case.refused()
    assert f"{SLSA} by {case.good.identity}" in text
    case.good.sign(case.base, SLSA)
    case.build()


def test_any_other_statement_is_no_signature(case: Case):
    case.demand()
    case.good.sign(case.base, "https://example.com/refused/v1")
    assert "https://example.com/refused/v1 by" in case.refused()


def test_a_bundle_that_was_moved_from_another_image_counts_for_nothing(case: Case):
    case.demand()
    case.good.sign(case.base, about=Digest.of(b"another image"))
    assert "is about" in case.refused()


def test_what_is_attached_and_is_nothing_is_no_traceback(case: Case):
    case.demand()
    subject = store_of(Reference.parse(case.base)).resolve("1")
    assert subject is not None
    for content in (b"", b"{}", b"[" * 10_000, b"\0", case.good.bundle(case.digest)[:-40]):
        put_bundle(case.base, subject, content or b" ")
    case.refused()
    case.good.sign(case.base)
    case.build()


def test_an_external_image_is_one(case: Case):
    external = f"{case.registry.host}/bases/external:1"
    case.push(external)
    case.project.edit("SConstruct", SCONSTRUCT + f'env.Alias("pin", env.Pin("{external}", platform="linux/amd64"))\n')
    case.demand()
    text = case.refused(targets=("pin",))
    assert f"EXTERNAL: external {external} for linux/amd64" in text
    case.good.sign(external)
    case.project.scons("pin")
    assert case.project.scons("pin").up_to_date


def test_an_external_image_in_a_folder_is_one(case: Case):
    case.build("TRUST=")
    (case.project.path / "_output/images/one.tar").unlink()
    case.project.edit(
        "SConstruct",
        SCONSTRUCT
        + 'env.Alias("push", env.Push(one, "./theirs/app:1"))\n'
        + 'env.Alias("pin", env.Pin("./theirs/app:1", platform="linux/amd64"))\n',
    )
    case.project.scons("push")
    (case.project.path / "_output/images/one.tar").unlink()
    case.demand()
    assert "EXTERNAL: external" in case.refused(targets=("pin",))
    case.trust({"*.folder.invalid/app": "allow", "*": "deny"})
    case.project.scons("pin")


def test_update_bases_takes_no_untrusted_one_and_check_bases_names_it(case: Case):
    case.good.sign(case.base)
    case.demand()
    case.build()
    before = case.project.read("images.lock")
    case.push(case.base, b"evil")
    checked = case.project.scons("check-bases", check=False)
    assert checked.status == 1
    assert "is not trusted" in checked.text
    updated = case.project.scons("update-bases", check=False)
    assert updated.status == 2
    assert "is not trusted" in updated.text
    assert case.project.read("images.lock") == before
    case.good.sign(case.base)
    assert case.project.scons("update-bases").status == 0
    assert case.project.read("images.lock") != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "trust.json: is a list, not a JSON object"),
        ("{", "trust.json: is not JSON"),
        ('{"*": "maybe"}', "trust.json: '*': is not"),
        ('{"a.b/*": {"keys": []}}', "names nobody"),
        ('{"a.b/*": {"key": ["x"]}}', "holds 'key', which is not known"),
        ('{"a.b/*": {"keys": ["keys/none.pub"]}}', "there is no such file"),
        ('{"a.b/*": {"keys": ["keys/good.pem"]}}', "is a private key"),
        ('{"a.b/*": {"keys": ["Dockerfile"]}}', "holds no key in PEM"),
        ('{"a.b/*": {"identities": [{"identity": "me"}]}}', "has no 'issuer'"),
        ('{"a.b/*": {"identities": [{"identity": "me", "issuer": "http://x"}]}}', "is not an identity and its issuer"),
        ('{"a.b/*": {"identities": [{"identity": "me", "issuer": "https://x", "more": 1}]}}', "holds 'more'"),
        ('{"a.b/*": {"keys": ["keys/good.pub"], "predicates": ["slsa"]}}', "'slsa' is no predicate type"),
        ('{"team/*": "deny"}', "does not begin with a registry"),
        ('{"a.b/c:1": "deny"}', "names more than a repository"),
        ('{"*": "deny", "*": "allow"}', "twice"),
    ],
)
def test_a_trust_file_is_checked_strictly(case: Case, content: str, words: str):
    case.project.edit("trust.json", content)
    text = case.refused()
    assert words in text
    assert "trust.json" in text


def test_a_trust_file_that_is_named_and_not_there_is_an_error(case: Case):
    assert "none.json: there is no such file" in case.refused("TRUST=none.json")


def test_the_trust_file_and_its_keys_are_in_the_provenance(case: Case):
    case.project.edit("SConstruct", SCONSTRUCT + 'env.Provenance("_output/provenance/one.json", one)\n')
    case.good.sign(case.base)
    case.demand()
    case.project.scons("_output/provenance/one.json")
    dependencies = json.loads(case.project.read("_output/provenance/one.json"))["predicate"]["buildDefinition"]
    named = {item.get("name", item.get("uri")): item.get("digest") for item in dependencies["resolvedDependencies"]}
    for file in ("trust.json", "keys/good.pub"):
        assert named[file] == {"sha256": Digest.of_file(case.project.path / file).hex}
